"""Database: one SQLite file, opened, configured and migrated; its failures in syncd's words.

The only module that imports aiosqlite. Knows nothing of what the tables hold.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import aiosqlite

from syncd.core.errors import LocalProtocolError, StorageFull, StoreDamaged, StoreError, StoreFatal, StoreTooNew
from syncd.store.faults import os_error, store_error

T = TypeVar("T")

#: A commit waits this long for another process' write transaction before it counts as refused.
BUSY_TIMEOUT_S = 5.0
#: Statements kept compiled: one text per number of rows, so that batches of a usual size are not parsed again.
_STATEMENTS_CACHED = 256
#: How often a new file is asked again while another process is making it a WAL database.
_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file is: `application_id` marks it, `migrations` are the steps that make it, never edited once released.

    `user_version` in the file counts the steps done.
    """

    name: str
    application_id: int
    migrations: tuple[tuple[str, ...], ...]


class _Connection(aiosqlite.Connection):
    """aiosqlite's thread and queue, for whole functions instead of single statements: one hop each."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=1)
        # A process that dies without closing must die, and let go of its locks, not wait for this thread.
        self._thread.daemon = True

    def call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """As `_execute`, with the future itself: no task, which the end of a program would cancel, stands between."""
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, function))
        return future

    def join(self) -> None:
        self._thread.join()


class Database:
    """One SQLite file and the one thread that touches it.

    1. Functions given to `run` and `transaction` run one at a time, in the order given, on the connection's thread.
       State that only they touch needs no lock. Cancelling the waiting task does not stop them.
    2. `synchronous=FULL` in WAL mode: when a commit returns it is on disk.
    3. A function that raises leaves no transaction open, and nothing of what it wrote.
    4. After `StoreFatal` every call raises it: a flush is never tried again.
    """

    def __init__(
        self, path: Path, schema: Schema, *, read_only: bool = False, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._schema = schema
        self._busy_timeout_s = busy_timeout_s
        self._connection: _Connection | None = None
        self._sqlite: sqlite3.Connection
        self._fatal = ""

    async def open(self) -> None:
        """Open the file, create it (mode 0600) unless `read_only`, and bring it up to date. Call `close` afterwards.

        Raises:
            StoreError: it cannot be opened or written.
            StorageFull: no space, or another process kept it locked.
            StoreTooNew: a newer version wrote it.
            StoreDamaged: it is not a file of this schema.
        """
        connection = _Connection(self._connect)
        try:
            await connection
        except BaseException:
            connection.join()  # or it reports its end to a loop that may be closed by then
            raise
        self._connection = connection

    async def close(self) -> None:
        """Finish what was given, then close. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close()
            except sqlite3.Error as error:
                raise store_error(error, self.path) from error

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` on the connection, each of its statements a transaction of its own; return its result.

        Raises:
            StoreError: and its kinds, for whatever SQLite raised.
        """
        return await self.begin(function)

    def begin(self, function: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Have `function` run as by `run`; return what will hold its result."""
        if self._connection is None:
            raise LocalProtocolError(f"{self.path} is not open; call open() first")
        return self._connection.call(lambda: self._guarded(function))

    async def transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run `function` inside BEGIN IMMEDIATE and COMMIT; whatever it raises rolls back.

        Raises:
            StoreError: and its kinds, for whatever SQLite raised.
        """
        return await self.run(lambda connection: transact(connection, function))

    async def truncate_wal(self) -> bool:
        """Copy the write-ahead log into the file and cut it to nothing, so that it keeps no replaced content.

        Returns whether that was possible: a long read in another process prevents it.
        """
        busy, _, _ = await self.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return not busy

    async def rewrite(self) -> None:
        """Write the whole file anew, so that nothing deleted is left in it, and cut the write-ahead log.

        Takes time in proportion to the file, during which nothing else runs.

        Raises:
            StorageFull: there is no space for a second copy, or another process is reading.
        """
        await self.run(lambda c: c.execute("VACUUM"))
        if not await self.truncate_wal():
            raise StorageFull(f"{self.path}: another process is reading it; end that, then try again")

    def _guarded(self, function: Callable[[sqlite3.Connection], T]) -> T:
        if self._fatal:  # Invariant 4.
            raise StoreFatal(self._fatal)
        try:
            return function(self._sqlite)
        except sqlite3.Error as error:
            mapped = store_error(error, self.path)
            if isinstance(mapped, StoreFatal):
                self._fatal = str(mapped)
            raise mapped from error

    def _connect(self) -> sqlite3.Connection:
        """Open, configure and migrate, all on the connection's own thread."""
        self._create_file()
        mode = "ro" if self.read_only else "rw"
        try:
            connection = sqlite3.connect(
                f"file:{quote(str(self.path.absolute()))}?mode={mode}",
                uri=True,
                timeout=self._busy_timeout_s,
                isolation_level=None,
                cached_statements=_STATEMENTS_CACHED,
            )
        except sqlite3.Error as error:
            raise store_error(error, self.path) from error
        try:
            self._configure(connection)
            self._migrate(connection)
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error, self.path) from error
        except BaseException:
            connection.close()
            raise
        self._sqlite = connection
        return connection

    def _create_file(self) -> None:
        if self.read_only:
            if not self.path.is_file():
                raise StoreError(f"{self.path}: there is no store; check the path")
            return
        # Never opened if it exists: closing a second descriptor would drop the locks of this process on the file.
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise os_error(error, self.path) from error

    def _configure(self, connection: sqlite3.Connection) -> None:
        execute = connection.execute
        execute(f"PRAGMA busy_timeout = {int(self._busy_timeout_s * 1000)}")
        self._check_identity(connection)
        execute("PRAGMA cell_size_check = ON")
        execute("PRAGMA trusted_schema = OFF")
        execute("PRAGMA foreign_keys = ON")
        # Sorting must not spill content into files that nobody erases.
        execute("PRAGMA temp_store = MEMORY")
        if self.read_only:
            return
        execute("PRAGMA page_size = 4096")
        self._enter_wal(connection)
        execute("PRAGMA synchronous = FULL")  # Invariant 2.
        execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync leaves the data in the drive's cache
        execute("PRAGMA secure_delete = ON")
        execute("PRAGMA wal_autocheckpoint = 1000")

    def _enter_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait here by itself: two processes that create one file would fail each other.
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_S)

    def _check_identity(self, connection: sqlite3.Connection) -> int:
        """Return the file's schema version, 0 for an empty file."""
        # One statement, so one state of the file: another process may be making it.
        application, version, objects = connection.execute(
            "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) "
            "FROM pragma_application_id, pragma_user_version"
        ).fetchone()
        if application == version == objects == 0:
            if self.read_only:
                raise StoreError(f"{self.path}: the store is empty; nothing was ever written")
            return 0
        if application != self._schema.application_id:
            raise StoreDamaged(f"{self.path}: is a database, but not a {self._schema.name}; name another path")
        newest = len(self._schema.migrations)
        if version > newest:
            raise StoreTooNew(
                f"{self.path}: written by a newer syncd (schema {version}, this one knows {newest}); "
                "upgrade this one, or name another path"
            )
        if self.read_only and version < newest:
            raise StoreError(f"{self.path}: written by an older syncd; open it once with this version's server")
        return int(version)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        newest = len(self._schema.migrations)
        if self.read_only or self._check_identity(connection) == newest:
            return

        def step_up(connection: sqlite3.Connection) -> None:
            # Asked again inside the transaction: another process may have been faster.
            for done in range(self._check_identity(connection), newest):
                for statement in self._schema.migrations[done]:
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._schema.application_id}")
            connection.execute(f"PRAGMA user_version = {newest}")

        transact(connection, step_up)


def transact(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    """Run `function` inside BEGIN IMMEDIATE and COMMIT on the connection's thread; whatever it raises rolls back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = function(connection)
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already; a rollback that fails itself must not hide why it was needed.
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")  # Invariant 3.
        raise
    return result


def rows_per_statement(connection: sqlite3.Connection, columns: int) -> int:
    """Return how many rows of `columns` parameters one statement may insert."""
    return connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) // columns
