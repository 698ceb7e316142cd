"""SqliteSessionLog: the server's log of all its sessions in one SQLite file.

Knows nothing of Yjs, of peers or of the wire; entries are opaque bytes.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from syncd.core.errors import LocalProtocolError, StoreDamaged
from syncd.core.events import Event, StoredEvent
from syncd.core.work import WorkRow
from syncd.store import search
from syncd.store.check import Problem, Progress, check_log
from syncd.store.entries import (
    ENTRY_TABLES,
    EntryRow,
    fits_one_statement,
    insert_entries,
    measure_entries,
    read_entries,
)
from syncd.store.events import (
    EVENT_TABLES,
    drop_events,
    drop_session_events,
    last_event,
    put_events,
    read_events,
)
from syncd.store.listing import INDEX_TABLES, PART_COLUMN, Listing, drop_listing, follow, open_listing
from syncd.store.lockfile import LockFile
from syncd.store.log import Append, EntryKind, SearchHit, SessionInfo, StoredEntry, check_append
from syncd.store.outbox import HOOK_INDEXES, HOOK_TABLES, HookStore, drop_hooks
from syncd.store.rows import entry_crc, session_crc
from syncd.store.sqlite import BUSY_TIMEOUT_S, Database, Schema, transact
from syncd.store.subscriptions import PUSH_TABLES, Subscriptions, drop_noted
from syncd.store.work import WORK_TABLES, drop_work, put_work, read_work

SCHEMA = Schema(
    name="syncd session log",
    application_id=0x73796C67,  # "sylg"
    migrations=(
        (
            """CREATE TABLE session (
                number INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, incarnation TEXT NOT NULL,
                created_at_ms INTEGER NOT NULL, deleted_at_ms INTEGER, damaged TEXT NOT NULL DEFAULT '',
                indexed INTEGER NOT NULL DEFAULT 0, crc INTEGER NOT NULL
            )""",
            *ENTRY_TABLES,
            "CREATE TABLE probe (one INTEGER PRIMARY KEY, filler BLOB NOT NULL)",
            *search.SEARCH_TABLES,
        ),
        WORK_TABLES,
        (*EVENT_TABLES, *INDEX_TABLES, *HOOK_TABLES, *PUSH_TABLES),
        (PART_COLUMN, *HOOK_INDEXES),
    ),
)

_PROBE_BYTES = 64 << 10
#: Sessions whose place is kept in memory, about 300 bytes each; others are looked up again.
_HEADS_MAX = 20_000


@dataclass(slots=True)
class _Head:
    """What is known of a session without reading its entries."""

    number: int
    incarnation: str
    created_at_ms: int
    deleted_at_ms: int | None
    damaged: str
    version: int
    entries: int
    log_bytes: int
    appended_at_ms: int

    @property
    def writable(self) -> bool:
        return self.deleted_at_ms is None and not self.damaged


@dataclass(slots=True)
class _Grown:
    """What one batch adds to one session."""

    head: _Head
    rows: list[EntryRow]
    data_bytes: int
    work: list[WorkRow] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class SqliteSessionLog:
    """A `SessionLog` in one SQLite file, with a lock file beside it.

    1. While it is open for writing no other process writes the file, so a session's place is kept in memory.
    2. That place changes only behind a commit, on the database's thread.
    3. Each row's checksum covers the session, the version, the kind and the content, and is checked at every read.
    4. What `compact` and `delete` remove is overwritten, in the file and in its write-ahead log, before they return.
       Two exceptions: SQLite may have left a copy of a row in the slack of a page when it moved it, which `scrub`
       removes; and a long read in another process keeps the write-ahead log as it is until the next of these calls.

    `read_only` opens beside a running server, for looking only; nothing can be written then, quarantine included.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        read_only: bool = False,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._path = Path(path)
        self._now_ms = now_ms
        self._database = Database(self._path, SCHEMA, read_only=read_only, busy_timeout_s=busy_timeout_s)
        #: See `SessionLog.listing`.
        self.listing = Listing(self._database)
        self._lock = LockFile(self._path.with_name(self._path.name + ".lock"))
        self._heads: dict[str, _Head] = {}
        #: What hooks keep beside the sessions.
        self.outbox = HookStore(self._database)
        #: Whose devices are told what they were not there for.
        self.subscriptions = Subscriptions(self._database)

    async def open(self) -> None:
        """See `SessionLog.open`. Read only, it raises `StoreError` if there is nothing to read."""
        if not self._database.read_only:
            self._lock.acquire()  # Invariant 1.
        try:
            await self._database.open()
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """See `SessionLog.close`."""
        try:
            await self._database.close()
        finally:
            self._heads.clear()
            self._lock.release()

    async def create(
        self, session: str, incarnation: str, now_ms: int, *, snapshot: bytes | None = None
    ) -> SessionInfo:
        """See `SessionLog.create`."""

        def create(connection: sqlite3.Connection) -> None:
            head = self._head(connection, session)
            if head is not None and head.deleted_at_ms is None:
                return
            self._heads.pop(session, None)
            if head is None:
                connection.execute(
                    "INSERT INTO session (session, incarnation, created_at_ms, crc) VALUES (?, ?, ?, ?)",
                    (session, incarnation, now_ms, session_crc(session, incarnation, now_ms)),
                )
            else:
                connection.execute(
                    "UPDATE session SET incarnation = ?, created_at_ms = ?, crc = ?, deleted_at_ms = NULL, "
                    "damaged = '', indexed = 0 WHERE number = ?",
                    (incarnation, now_ms, session_crc(session, incarnation, now_ms), head.number),
                )
            made = self._head(connection, session)
            assert made is not None
            open_listing(connection, made.number, now_ms, known=snapshot is None)
            if snapshot is not None:
                crc = entry_crc(session, 1, EntryKind.SNAPSHOT, snapshot)
                insert_entries(connection, [(made.number, 1, EntryKind.SNAPSHOT, now_ms, crc, snapshot)])

        def commit(connection: sqlite3.Connection) -> None:
            try:
                transact(connection, create)
            finally:
                self._heads.pop(session, None)

        await self._database.run(commit)
        info = await self.info(session)
        assert info is not None
        return info

    async def info(self, session: str) -> SessionInfo | None:
        """See `SessionLog.info`."""

        def look(connection: sqlite3.Connection) -> SessionInfo | None:
            head = self._head(connection, session)
            return None if head is None else _info(session, head)

        return await self._database.run(look)

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[SessionInfo]:
        """See `SessionLog.list`."""

        def look(connection: sqlite3.Connection) -> Sequence[SessionInfo]:
            found = connection.execute(
                "SELECT session FROM session WHERE session > ? AND deleted_at_ms IS NULL ORDER BY session LIMIT ?",
                (after, limit),
            ).fetchall()
            heads = ((session, self._head(connection, session)) for (session,) in found)
            return [_info(session, head) for session, head in heads if head is not None]

        return await self._database.run(look)

    async def append(self, batch: Sequence[Append]) -> Sequence[str]:
        """See `SessionLog.append`."""
        check_append(batch)

        def commit(connection: sqlite3.Connection) -> Sequence[str]:
            grown, conflicts = self._plan(connection, batch)
            try:
                _commit(connection, grown)
            except sqlite3.DatabaseError as error:
                damaged = self._find_damaged(connection, grown) if _is_damage(error) else []
                if not damaged:
                    raise
                conflicts = [*conflicts, *damaged]
                _commit(connection, grown)
            for part in grown.values():  # Invariant 2.
                part.head.version += len(part.rows)
                part.head.entries += len(part.rows)
                part.head.log_bytes += part.data_bytes
                part.head.appended_at_ms = part.rows[-1][3]
            return conflicts

        return await self._database.run(commit)

    async def open_work(self) -> Sequence[WorkRow]:
        """See `SessionLog.open_work`."""

        def read(connection: sqlite3.Connection) -> Sequence[WorkRow]:
            rows, broken = read_work(connection)
            for session, run in broken:
                head = self._head(connection, session)
                if head is not None and head.writable:
                    self._quarantine(connection, session, head, f"the row of run {run} does not check")
            damaged = {session for session, _ in broken}
            return [row for row in rows if row.session not in damaged]

        return await self._database.run(read)

    async def events(self, after: int, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """See `SessionLog.events`."""
        return await self._database.run(lambda connection: read_events(connection, after, limit))

    async def last_event(self) -> int:
        """See `SessionLog.last_event`."""
        return await self._database.run(last_event)

    async def drop_events(self, through: int) -> None:
        """See `SessionLog.drop_events`."""
        await self._database.run(lambda connection: drop_events(connection, through))

    async def read(self, session: str, *, after: int = 0) -> Sequence[StoredEntry]:
        """See `SessionLog.read`."""

        def read(connection: sqlite3.Connection) -> Sequence[StoredEntry]:
            head = self._head(connection, session)
            if head is None or head.deleted_at_ms is not None:
                return []
            if head.damaged:
                raise StoreDamaged(_quarantined(session, head.damaged))
            try:
                return read_entries(connection, session, head.number, after)
            except (StoreDamaged, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.DatabaseError) and not _is_damage(error):
                    raise
                self._quarantine(connection, session, head, str(error))
                raise StoreDamaged(_quarantined(session, head.damaged)) from error

        return await self._database.run(read)

    async def compact(self, session: str, *, through: int, snapshot: bytes) -> None:
        """See `SessionLog.compact`.

        Raises:
            LocalProtocolError: the log holds no version `through` of this session; nothing was changed.
            StoreDamaged: the session is quarantined.
        """

        def fold(connection: sqlite3.Connection) -> None:
            head = self._head(connection, session)
            if head is not None and head.damaged:
                raise StoreDamaged(_quarantined(session, head.damaged))
            last = (
                head
                and connection.execute(
                    "SELECT at_ms FROM entry WHERE number = ? AND version = ?", (head.number, through)
                ).fetchone()
            )
            if head is None or not last:
                raise LocalProtocolError(f"session {session} has no version {through} to compact; read() it first")
            connection.execute("DELETE FROM entry WHERE number = ? AND version <= ?", (head.number, through))
            crc = entry_crc(session, through, EntryKind.SNAPSHOT, snapshot)
            insert_entries(connection, [(head.number, through, EntryKind.SNAPSHOT, last[0], crc, snapshot)])

        def commit(connection: sqlite3.Connection) -> None:
            transact(connection, fold)
            self._heads.pop(session, None)

        await self._database.run(commit)
        await self._database.truncate_wal()  # Invariant 4.

    async def delete(self, session: str, now_ms: int) -> bool:
        """See `SessionLog.delete`."""

        def erase(connection: sqlite3.Connection) -> bool:
            head = self._head(connection, session)
            if head is None or head.deleted_at_ms is not None:
                return False
            self._heads.pop(session, None)
            connection.execute("DELETE FROM entry WHERE number = ?", (head.number,))
            drop_work(connection, head.number)
            drop_session_events(connection, head.number)
            drop_listing(connection, head.number)
            drop_hooks(connection, head.number, session)
            drop_noted(connection, head.number)
            connection.execute(
                "UPDATE session SET deleted_at_ms = ?, damaged = '', indexed = 0 WHERE number = ?",
                (now_ms, head.number),
            )
            search.drop(connection, session)
            return True

        erased = await self._database.transaction(erase)
        if erased:
            await self._purge_index()
            await self._database.truncate_wal()  # Invariant 4.
        return erased

    async def index_messages(self, session: str, version: int, texts: Mapping[str, str]) -> None:
        """See `SessionLog.index_messages`."""
        given = dict(texts)

        def index(connection: sqlite3.Connection) -> None:
            head = self._head(connection, session)
            if head is None or head.deleted_at_ms is not None:
                return
            for message, text in given.items():
                search.put(connection, session, message, "", text, 0)
            connection.execute("UPDATE session SET indexed = ? WHERE number = ?", (version, head.number))

        await self._database.transaction(index)
        if "" in given.values():
            await self._purge_index()
            await self._database.truncate_wal()  # Invariant 4.

    async def indexed_version(self, session: str) -> int:
        """See `SessionLog.indexed_version`."""
        sql = "SELECT indexed FROM session WHERE session = ?"
        row = await self._database.run(lambda connection: connection.execute(sql, (session,)).fetchone())
        return row[0] if row else 0

    async def search(self, query: str, *, sessions: Sequence[str] | None, limit: int) -> Sequence[SearchHit]:
        """See `SessionLog.search`."""
        return await self._database.run(lambda connection: search.find(connection, query, sessions, limit))

    async def probe(self) -> None:
        """See `SessionLog.probe`."""
        # As much as a busy batch: space for a tiny row alone would only let the next batch fail again.
        sql = "INSERT OR REPLACE INTO probe (one, filler) VALUES (1, zeroblob(?))"
        await self._database.run(lambda connection: connection.execute(sql, (_PROBE_BYTES,)))

    async def scrub(self) -> None:
        """Write the file anew, so that not even the slack of its pages holds anything erased.

        Blocks the log for some 10 ms a megabyte: call it when it is quiet, once after any number of deletions.

        Raises:
            StorageFull: there is no space for a second copy, or another process is reading.
        """
        await self._purge_index()
        await self._database.rewrite()

    async def verify(self, progress: Progress | None = None) -> Sequence[Problem]:
        """Check the file's structure and every row; return what is wrong, nothing if all is well.

        `progress(done, total)` is called on the database's thread, in rows. Works read only, beside a running server.
        """
        return await check_log(self._database, progress)

    async def _purge_index(self) -> None:
        # In steps, so that appends pass in between.
        more = await self._database.run(lambda connection: search.purge(connection, start=True))
        while more:
            more = await self._database.run(lambda connection: search.purge(connection, start=False))

    def _head(self, connection: sqlite3.Connection, session: str) -> _Head | None:
        head = self._heads.get(session)
        if head is None:
            row = connection.execute(
                "SELECT number, incarnation, created_at_ms, deleted_at_ms, damaged, crc FROM session WHERE session = ?",
                (session,),
            ).fetchone()
            if row is None:
                return None
            number, incarnation, created_at_ms, deleted_at_ms, damaged, crc = row
            if crc != session_crc(session, incarnation, created_at_ms):
                damaged = damaged or "its own row does not check"
            head = _Head(number, incarnation, created_at_ms, deleted_at_ms, damaged, 0, 0, 0, 0)
            try:
                _measure(connection, head)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._quarantine(connection, session, head, str(error))
            if self._database.read_only:  # Invariant 1 does not hold.
                return head
            if len(self._heads) >= _HEADS_MAX:
                del self._heads[next(iter(self._heads))]
            self._heads[session] = head
        return head

    def _plan(self, connection: sqlite3.Connection, batch: Sequence[Append]) -> tuple[dict[str, _Grown], Sequence[str]]:
        grown: dict[str, _Grown] = {}
        conflicts: dict[str, None] = {}
        now_ms = self._now_ms()
        for item in batch:
            session = item.session
            head = self._head(connection, session)
            part = grown.get(session)
            version = -1 if head is None else head.version + (len(part.rows) if part else 0)
            if head is None or not head.writable or version != item.expected or session in conflicts:
                conflicts[session] = None
                grown.pop(session, None)
                continue
            if not item.entries:
                continue
            if part is None:
                part = grown[session] = _Grown(head, [], 0)
            for entry in item.entries:
                version += 1
                crc = entry_crc(session, version, entry.kind, entry.data)
                part.rows.append((head.number, version, int(entry.kind), now_ms, crc, entry.data))
                part.data_bytes += len(entry.data)
            part.work += item.work
            part.events += item.events
        return grown, [*conflicts]

    def _find_damaged(self, connection: sqlite3.Connection, grown: dict[str, _Grown]) -> Sequence[str]:
        """Take out of `grown`, quarantine and return the sessions whose own pages do not read.

        None of them: then it is a page that all share, and nothing can be appended at all.
        """
        damaged = []
        for session, part in [*grown.items()]:
            try:
                _measure(connection, part.head)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._quarantine(connection, session, grown.pop(session).head, str(error))
                damaged.append(session)
        return damaged

    def _quarantine(self, connection: sqlite3.Connection, session: str, head: _Head, reason: str) -> None:
        head.damaged = reason
        if self._database.read_only:
            return
        try:
            connection.execute("UPDATE session SET damaged = ? WHERE number = ?", (reason, head.number))
        except sqlite3.DatabaseError:
            # The page of its row is damaged too, or the disk is full: it is found damaged again after a restart.
            self._heads[session] = head


def _commit(connection: sqlite3.Connection, grown: Mapping[str, _Grown]) -> None:
    rows = [*chain.from_iterable(part.rows for part in grown.values())]
    more = [(session, part) for session, part in grown.items() if part.work or part.events]
    if not more and fits_one_statement(connection, rows):
        insert_entries(connection, rows)  # one statement is a transaction by itself, and the cheapest
        return

    def write(connection: sqlite3.Connection) -> None:
        insert_entries(connection, rows)
        for session, part in more:
            put_work(connection, part.head.number, part.work)
            put_events(connection, session, part.head.number, part.events)
        follow(connection, [(part.head.number, part.events) for _, part in more if part.events])

    transact(connection, write)


def _measure(connection: sqlite3.Connection, head: _Head) -> None:
    head.version, head.entries, head.log_bytes, head.appended_at_ms = measure_entries(connection, head.number)


def _info(session: str, head: _Head) -> SessionInfo:
    return SessionInfo(
        session=session,
        incarnation=head.incarnation,
        created_at_ms=head.created_at_ms,
        updated_at_ms=max(head.created_at_ms, head.appended_at_ms),
        version=head.version,
        entries=head.entries,
        log_bytes=head.log_bytes,
        damaged=head.damaged,
        deleted_at_ms=head.deleted_at_ms,
    )


def _quarantined(session: str, reason: str) -> str:
    return f"session {session} is damaged: {reason}; restore it from a backup, or delete it"


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CORRUPT
