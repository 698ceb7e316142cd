"""LocalStore: a device's own copy of its sessions, in one SQLite file that several processes may share.

Updates are opaque bytes: folding many into one is the caller's. Knows nothing of links, tokens or documents.
"""

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from syncd.core.errors import LocalProtocolError, StoreDamaged
from syncd.core.messages import Layer
from syncd.store import search
from syncd.store.group import GroupCommit
from syncd.store.local_index import LOCAL_INDEX_TABLES, LocalIndex, forget_listed
from syncd.store.local_records import (
    AppendUpdate,
    Fold,
    IndexText,
    LocalSession,
    LocalUpdate,
    MarkSynced,
    RefusedUpdate,
    RefuseUpdates,
    SetSession,
    Write,
)
from syncd.store.log import SearchHit
from syncd.store.rows import update_crc
from syncd.store.sqlite import BUSY_TIMEOUT_S, Database, Schema, rows_per_statement, transact

SCHEMA = Schema(
    name="syncd local store",
    application_id=0x73796C6F,  # "sylo"
    migrations=(
        (
            "CREATE TABLE device (one INTEGER PRIMARY KEY CHECK (one = 1), device TEXT NOT NULL)",
            """CREATE TABLE session (
                number INTEGER PRIMARY KEY AUTOINCREMENT, session TEXT NOT NULL UNIQUE,
                incarnation TEXT NOT NULL DEFAULT '', version INTEGER NOT NULL DEFAULT 0,
                seq INTEGER NOT NULL DEFAULT 0, roots TEXT NOT NULL DEFAULT '{}', opened_at_ms INTEGER NOT NULL
            )""",
            # AUTOINCREMENT: a row's number is never given again, or a process that polls would take it for seen.
            """CREATE TABLE local_update (
                row INTEGER PRIMARY KEY AUTOINCREMENT,
                number INTEGER NOT NULL REFERENCES session ON DELETE CASCADE, layer TEXT NOT NULL,
                is_snapshot INTEGER NOT NULL DEFAULT 0, own INTEGER NOT NULL, life TEXT NOT NULL,
                subject TEXT NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
            )""",
            "CREATE INDEX local_update_session ON local_update (number)",
            """CREATE TABLE refused (
                row INTEGER PRIMARY KEY, number INTEGER NOT NULL REFERENCES session ON DELETE CASCADE,
                layer TEXT NOT NULL, life TEXT NOT NULL, subject TEXT NOT NULL, crc INTEGER NOT NULL,
                data BLOB NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, at_ms INTEGER NOT NULL
            )""",
            "CREATE INDEX refused_session ON refused (number)",
            *search.SEARCH_TABLES,
        ),
        LOCAL_INDEX_TABLES,
        ("ALTER TABLE device ADD COLUMN subject TEXT NOT NULL DEFAULT ''",),
    ),
)

_ROW = "(?, ?, ?, ?, ?, ?, ?)"
_COLUMN_COUNT = 7


class _Stored(Awaitable[list[int]]):
    """Rows to be: who awaits them may be cancelled, their writing is not."""

    def __init__(self, rows: asyncio.Future[list[int]]) -> None:
        self._rows = rows

    def __await__(self) -> Generator[Any, None, list[int]]:
        return asyncio.shield(self._rows).__await__()


class LocalStore:
    """A device's local copy. Every process that uses it opens its own.

    1. When `write` returns, what it was given is on disk; when it raises, nothing of it is there.
    2. Rows are numbered in the order they were committed, by whichever process, and no number is given twice.
    3. `compact` replaces exactly the rows it folded, by one that takes the highest of their numbers: a process that
       has seen them all does not see it, one that missed any of them does.
    4. Own updates stay as they are until they are marked synced or refused.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._now_ms = now_ms
        self._database = Database(Path(path), SCHEMA, busy_timeout_s=busy_timeout_s)
        #: What this device heard of its subject's list of sessions.
        self.index = LocalIndex(self._database)
        self._writer = GroupCommit(self._database, self._write_all)
        self._device = self._subject = ""
        self._data_version = 0
        # Words of texts taken out may be left in the index: by this process, or by one that ended before it purged.
        self._purge_due = True

    @property
    def device(self) -> str:
        """The id of this store, made with it and kept."""
        if not self._device:
            raise LocalProtocolError("the store has no device id before it is open; call open() first")
        return self._device

    @property
    def subject(self) -> str:
        """Who used this store last, as a server said; empty if none ever did."""
        return self._subject

    async def remember(self, subject: str) -> None:
        """Keep who uses this store, for a start at which nobody can be asked.

        Raises:
            StorageFull: no space, or another process kept the file locked.
        """
        if subject != self._subject:
            sql = "UPDATE device SET subject = ?"
            await self._database.transaction(lambda connection: connection.execute(sql, (subject,)))
            self._subject = subject

    async def open(self) -> None:
        """Open the file, or make it (mode 0600). Call `close` afterwards.

        Raises:
            StoreTooNew: a newer version wrote it.
            StoreDamaged: it is not a local store, or its structure does not read.
            StorageFull: no space, or another process kept it locked.
            StoreError: it cannot be opened.
        """
        await self._database.open()
        self._writer.start()
        try:
            self._device, self._subject = await self._database.run(_device)
            self._data_version = await self._database.run(_data_version)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish the writes that wait, then close. Idempotent."""
        await self._writer.stop()
        await self._database.close()

    async def sessions(self) -> list[LocalSession]:
        """Return every session there is a copy of, the last opened first."""
        sql = f"{_SESSIONS} ORDER BY opened_at_ms DESC, session"
        rows = await self._database.run(lambda connection: connection.execute(sql).fetchall())
        return [_session(row) for row in rows]

    async def load(self, session: str) -> tuple[LocalSession, list[LocalUpdate]]:
        """Return a session's place and all its updates, snapshots first, then in order of their rows.

        A session never written to has an empty place.

        Raises:
            StoreDamaged: a row does not read back as written. `forget` the session and load it from the server again.
        """

        def read(connection: sqlite3.Connection) -> tuple[LocalSession, list[LocalUpdate]]:
            row = connection.execute(f"{_SESSIONS} WHERE session = ?", (session,)).fetchone()
            place = _session(row) if row else LocalSession(session, "", 0, 0, {}, 0, 0)
            return place, _updates(connection, session, 0, "is_snapshot DESC, row")

        return await self._database.run(lambda connection: _snapshot(connection, read))

    async def write(self, writes: Sequence[Write]) -> list[int]:
        """Commit `writes`, together with what others wait to write; return the rows of its `AppendUpdate`s, in order.

        Cancelling the call does not take its writes back.

        Raises:
            StorageFull: no space, or another process kept the file locked; try again later.
            StoreFatal: the disk failed to flush; close the store.
        """
        return await self.submit(writes)

    def submit(self, writes: Sequence[Write]) -> Awaitable[list[int]]:
        """Have `writes` committed as by `write`; return what will hold the rows, to be awaited as often as need be."""
        return _Stored(self._writer.submit(list(writes)))

    async def poll(self, session: str, after_row: int) -> list[LocalUpdate]:
        """Return the updates behind `after_row`, whoever wrote them, in order of their rows.

        Raises:
            StoreDamaged: as for `load`.
        """
        return await self._database.run(lambda connection: _updates(connection, session, after_row, "row"))

    async def changed(self) -> bool:
        """Whether another process (or store object) committed anything since this was last asked."""
        version = await self._database.run(_data_version)
        before, self._data_version = self._data_version, version
        return version != before

    async def compact(self, session: str, fold: Fold) -> bool:
        """Fold a session's synced updates into one per layer; return whether any was.

        What the fold does not hold, and texts taken out of the index, cannot be read from the store's files any more.

        `fold` runs on the calling thread, outside of any transaction. Own unacked updates are not among those it is
        given, and others may depend on them: it must return None if what it was given does not integrate by itself.
        If another process folded the same rows meanwhile, nothing is changed.
        """

        def read(connection: sqlite3.Connection) -> list[LocalUpdate]:
            return [update for update in _updates(connection, session, 0, "is_snapshot DESC, row") if not update.own]

        updates = await self._database.run(read)
        folded: list[tuple[Layer, list[int], bytes]] = []
        for layer in Layer:
            group = [update for update in updates if update.layer is layer]
            result = fold(layer, [update.update for update in group]) if group else None
            if result is not None:
                folded.append((layer, [update.row for update in group], result))
        if not folded:
            return False

        def replace(connection: sqlite3.Connection) -> bool:
            done = [_replace(connection, session, layer, rows, result) for layer, rows, result in folded]
            return any(done)

        replaced = await self._database.transaction(replace)
        if replaced:
            if self._purge_due:
                await self._purge_index()
            await self._database.truncate_wal()
        return replaced

    async def refused(self, session: str) -> list[RefusedUpdate]:
        """Return a session's refused updates, oldest first.

        Raises:
            StoreDamaged: as for `load`.
        """

        def read(connection: sqlite3.Connection) -> list[RefusedUpdate]:
            found = connection.execute(
                "SELECT row, layer, life, subject, crc, data, code, reason, refused.at_ms FROM refused "
                "JOIN session USING (number) WHERE session = ? ORDER BY row",
                (session,),
            )
            out = []
            for row, layer, life, subject, crc, data, code, reason, at_ms in found:
                update = _update(session, row, layer, False, life, subject, crc, data)
                out.append(RefusedUpdate(row, update.layer, update.update, code, reason, at_ms))
            return out

        return await self._database.run(read)

    async def drop_refused(self, session: str, rows: Iterable[int]) -> None:
        """Erase refused updates that the app has dealt with."""
        given = [(session, row) for row in rows]
        sql = "DELETE FROM refused WHERE number = (SELECT number FROM session WHERE session = ?) AND row = ?"
        await self._database.transaction(lambda connection: connection.executemany(sql, given))
        await self._database.truncate_wal()

    async def search(self, query: str, *, session: str | None = None, limit: int = 50) -> Sequence[SearchHit]:
        """Return messages that hold all words of `query`, best first. The last word may be the beginning of one."""
        sessions = None if session is None else [session]
        return await self._database.run(lambda connection: search.find(connection, query, sessions, limit))

    async def forget(self, session: str) -> None:
        """Erase a session's copy, unsynced and refused updates included, from the file and its write-ahead log.

        Rewrites the file, some 10 ms a megabyte, during which nothing else runs.

        Raises:
            StorageFull: no space for a second copy, or another process is using the file. The copy is forgotten, but
                the file may still hold pieces of it: call again.
        """

        def erase(connection: sqlite3.Connection) -> None:
            search.drop(connection, session)
            forget_listed(connection, session)
            connection.execute("DELETE FROM session WHERE session = ?", (session,))

        await self._database.transaction(erase)
        await self._purge_index()
        await self._database.rewrite()

    async def _purge_index(self) -> None:
        self._purge_due = False
        more = await self._database.run(lambda connection: search.purge(connection, start=True))
        while more:
            more = await self._database.run(lambda connection: search.purge(connection, start=False))

    def _write_all(self, connection: sqlite3.Connection, groups: Sequence[Sequence[Write]]) -> list[list[int]]:
        """Write several callers' writes in one transaction; return the rows of each."""
        return transact(connection, lambda connection: self._write_groups(connection, groups))

    def _write_groups(self, connection: sqlite3.Connection, groups: Sequence[Sequence[Write]]) -> list[list[int]]:
        # Appends first, in one statement: whatever else is written refers to rows of earlier commits.
        appends = [write for group in groups for write in group if isinstance(write, AppendUpdate)]
        rows = iter(self._append(connection, appends))
        for group in groups:
            for write in group:
                if not isinstance(write, AppendUpdate):
                    self._apply(connection, write)
        return [[next(rows) for write in group if isinstance(write, AppendUpdate)] for group in groups]

    def _append(self, connection: sqlite3.Connection, appends: Sequence[AppendUpdate]) -> list[int]:
        numbers = {session: self._number(connection, session) for session in {write.session for write in appends}}
        most = rows_per_statement(connection, _COLUMN_COUNT)
        rows: list[int] = []
        for at in range(0, len(appends), most):
            part = appends[at : at + most]
            values: list[object] = []
            for write in part:
                crc = update_crc(write.session, write.layer, write.life, write.subject, write.update)
                values += (numbers[write.session], str(write.layer), write.own, write.life, write.subject)
                values += (crc, write.update)
            places = ", ".join([_ROW] * len(part))
            sql = f"INSERT INTO local_update (number, layer, own, life, subject, crc, data) VALUES {places}"  # noqa: S608
            last = connection.execute(sql, values).lastrowid
            assert last is not None
            rows += range(last - len(part) + 1, last + 1)
        return rows

    def _apply(
        self, connection: sqlite3.Connection, write: MarkSynced | SetSession | IndexText | RefuseUpdates
    ) -> None:
        number = self._number(connection, write.session)
        if isinstance(write, MarkSynced):
            sql = "UPDATE local_update SET own = 0 WHERE row = ? AND number = ?"
            connection.executemany(sql, [(row, number) for row in write.rows])
        elif isinstance(write, SetSession):
            connection.execute(
                "UPDATE session SET incarnation = ?, version = ?, seq = ?, roots = ?, "
                "opened_at_ms = coalesce(?, opened_at_ms) WHERE number = ?",
                (write.incarnation, write.version, write.seq, json.dumps(write.roots), write.opened_at_ms, number),
            )
        elif isinstance(write, IndexText):
            search.put(connection, write.session, write.message, write.author, write.text, write.at_ms)
            self._purge_due = self._purge_due or not write.text
        else:
            connection.executemany(
                "INSERT INTO refused SELECT row, number, layer, life, subject, crc, data, ?, ?, ? "
                "FROM local_update WHERE row = ? AND number = ?",
                [(write.code, write.reason, write.at_ms, row, number) for row in write.rows],
            )
            sql = "DELETE FROM local_update WHERE row = ? AND number = ?"
            connection.executemany(sql, [(row, number) for row in write.rows])

    def _number(self, connection: sqlite3.Connection, session: str) -> int:
        """Return a session's number, made if it is new. Never remembered: another process may forget the session."""
        row = connection.execute("SELECT number FROM session WHERE session = ?", (session,)).fetchone()
        if row is None:
            sql = "INSERT INTO session (session, opened_at_ms) VALUES (?, ?) RETURNING number"
            row = connection.execute(sql, (session, self._now_ms())).fetchone()
        number: int = row[0]
        return number


_SESSIONS = (
    "SELECT session, incarnation, version, seq, roots, opened_at_ms, "
    "(SELECT count(*) FROM local_update WHERE local_update.number = session.number AND own) FROM session"
)


def _session(row: tuple[str, str, int, int, str, int, int]) -> LocalSession:
    session, incarnation, version, seq, roots, opened_at_ms, unsynced = row
    try:
        return LocalSession(session, incarnation, version, seq, json.loads(roots), unsynced, opened_at_ms)
    except ValueError as error:
        raise StoreDamaged(_damaged(session, "its own row does not decode")) from error


def _updates(connection: sqlite3.Connection, session: str, after_row: int, order: str) -> list[LocalUpdate]:
    rows = connection.execute(
        "SELECT row, layer, own, life, subject, crc, data FROM local_update "  # noqa: S608
        "WHERE number = (SELECT number FROM session WHERE session = ?) AND row > ? ORDER BY " + order,
        (session, after_row),
    )
    return [_update(session, *row) for row in rows]


def _update(
    session: str, row: int, layer: str, own: int, life: str, subject: str, crc: int, data: bytes
) -> LocalUpdate:
    try:
        if crc == update_crc(session, layer, life, subject, data):
            return LocalUpdate(row, Layer(layer), data, bool(own), life, subject)
    except (TypeError, ValueError) as error:
        raise StoreDamaged(_damaged(session, f"row {row} does not decode")) from error
    raise StoreDamaged(_damaged(session, f"row {row} does not check"))


def _replace(connection: sqlite3.Connection, session: str, layer: Layer, rows: Sequence[int], folded: bytes) -> bool:
    """Put `folded` in the place of `rows`, if all of them are still there."""
    found = connection.execute("SELECT number FROM session WHERE session = ?", (session,)).fetchone()
    given = json.dumps(list(rows))
    there = "FROM local_update WHERE number = ? AND row IN (SELECT value FROM json_each(?))"
    if not found or connection.execute(f"SELECT count(*) {there}", (*found, given)).fetchone()[0] != len(rows):
        return False
    connection.execute(f"DELETE {there}", (*found, given))
    connection.execute(
        "INSERT INTO local_update (row, number, layer, is_snapshot, own, life, subject, crc, data) "
        "VALUES (?, ?, ?, 1, 0, '', '', ?, ?)",
        (max(rows), *found, str(layer), update_crc(session, layer, "", "", folded), folded),  # Invariant 3.
    )
    return True


def _snapshot(
    connection: sqlite3.Connection, read: Callable[[sqlite3.Connection], tuple[LocalSession, list[LocalUpdate]]]
) -> tuple[LocalSession, list[LocalUpdate]]:
    """Run several reads on one state of the file, whatever another process writes meanwhile."""
    connection.execute("BEGIN")
    try:
        return read(connection)
    finally:
        connection.execute("ROLLBACK")


def _device(connection: sqlite3.Connection) -> tuple[str, str]:
    sql = "INSERT OR IGNORE INTO device (one, device) VALUES (1, ?)"
    connection.execute(sql, (secrets.token_urlsafe(16),))
    device, subject = connection.execute("SELECT device, subject FROM device").fetchone()
    return device, subject


def _data_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version


def _damaged(session: str, reason: str) -> str:
    return f"the local copy of session {session} is damaged: {reason}; forget() it and open it again from the server"
