"""Checksums of rows: what SQLite itself does not notice, a bit flipped inside a value.

The one place that says what a checksum covers. Knows nothing of files or statements.
"""

from zlib import crc32

from syncd.core.errors import StoreDamaged
from syncd.store.log import EntryKind, StoredEntry

_KINDS = {int(kind): kind for kind in EntryKind}


def session_crc(session: str, incarnation: str, created_at_ms: int) -> int:
    """Return the checksum of a session's own row."""
    return crc32(f"{session}\n{incarnation}\n{created_at_ms}".encode())


def entry_crc(session: str, version: int, kind: int, data: bytes) -> int:
    """Return the checksum of a log entry."""
    return crc32(data, crc32(b"%b\n%d\n%d\n" % (session.encode(), version, kind)))


def stored_entry(session: str, version: object, kind: object, crc: object, data: object) -> StoredEntry:
    """Return the entry of a row as read.

    Raises:
        StoreDamaged: it is not what was written.
    """
    if type(version) is not int or type(kind) is not int or type(data) is not bytes:
        raise StoreDamaged(f"version {version} does not decode")
    if entry_crc(session, version, kind, data) != crc:
        raise StoreDamaged(f"version {version} does not check")
    if kind not in _KINDS:
        raise StoreDamaged(f"version {version} is of the unknown kind {kind}")
    return StoredEntry(version, _KINDS[kind], data)


def update_crc(session: str, layer: str, life: str, subject: str, update: bytes) -> int:
    """Return the checksum of a row of the local store."""
    return crc32(update, crc32(f"{session}\n{layer}\n{life}\n{subject}\n".encode()))
