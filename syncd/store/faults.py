"""What a failure inside SQLite means for the store, and what to do about it.

The one table from SQLite's result codes to `StoreError`s. Knows nothing of sessions, tables or threads.
"""

import errno
import os
import sqlite3
import tempfile
from pathlib import Path

from syncd.core.errors import StorageFull, StoreDamaged, StoreError, StoreFatal

_FLUSH_CODES = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})
_READ_CODES = frozenset(
    {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
    # The checksum VFS reports a page that does not check so; Python 3.11 has no name for it.
    | {sqlite3.SQLITE_IOERR | 32 << 8}
)
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
#: More than a file system keeps in one block, so that a full one cannot hide it.
_PROBE_BYTES = 64 << 10


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return what `error` means for the store at `path`; raise it from `error`.

    An error of the call itself (a wrong statement, a broken constraint) is a bug here: it becomes a bare `StoreError`
    that says so.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        if "Could not decode" in str(error):
            return StoreDamaged(f"{path}: a text does not decode; run `syncd doctor`, restore from a backup")
        return StoreError(f"{path}: {error}; this is a bug in syncd, please report it")
    primary = code & 0xFF
    if code in _FLUSH_CODES:
        return StoreFatal(
            f"{path}: the disk failed to flush, what is on it is unknown; stop, check the disk, then start again"
        )
    if primary == sqlite3.SQLITE_FULL or (primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _full(path)):
        return StorageFull(f"{path}: no space left; free some on that disk (or quota), writing goes on by itself")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageFull(f"{path}: another process kept it locked; end its transaction, writing goes on by itself")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in _READ_CODES:
        return StoreDamaged(f"{path}: {error}; run `syncd doctor`, restore from a backup what it names")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreFatal(f"{path}: the disk failed ({error}); stop, check the disk, then start again")
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"{path}: cannot be written ({error}); check its owner and how the file system is mounted")
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"{path}: cannot be opened; check that it is a file and that this user may read and write it")
    return StoreError(f"{path}: {error}; this is a bug in syncd, please report it")


def os_error(error: OSError, path: Path) -> StoreError:
    """Return what a failed system call on the store's own files means; raise it from `error`."""
    if error.errno in _NO_SPACE:
        return StorageFull(f"{path}: no space left; free some on that disk (or quota), then try again")
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{path}: there is no directory {path.parent}; create it, or name another path")
    return StoreError(f"{path}: {error.strerror}; check its owner and permissions, or name another path")


def _full(path: Path) -> bool:
    """Whether a write beside `path` finds no space.

    SQLite reports an exceeded quota, and no space for its shared memory, as a plain I/O error.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in _NO_SPACE
    return False
