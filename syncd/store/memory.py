"""MemorySessionLog: a `SessionLog` that forgets, for tests that need no disk.

Keeps the contract of the durable engines but for durability, and fails on demand. Knows nothing of files.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from syncd.core.errors import LocalProtocolError, StorageFull, StoreDamaged
from syncd.core.work import WorkRow
from syncd.store import search
from syncd.store.listing import LISTING_TABLES, PART_COLUMN, Listing, drop_listing, follow, open_listing
from syncd.store.log import Append, Entry, EntryKind, SearchHit, SessionInfo, StoredEntry, StoredEvent, check_append
from syncd.store.work import ENDED

T = TypeVar("T")

_SESSION_TABLE = """CREATE TABLE session (
    number INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, deleted_at_ms INTEGER, damaged TEXT NOT NULL DEFAULT ''
)"""


class MemoryTables:
    """Tables that are gone with this object, for what is the same SQL in memory and on disk. A `listing.Runner`."""

    def __init__(self, *tables: str) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for table in tables:
            self.connection.execute(table)

    def number(self, session: str) -> int:
        """Return the number of a session, which is made if there is none, and no longer deleted."""
        sql = "INSERT INTO session (session) VALUES (?) ON CONFLICT (session) DO UPDATE SET deleted_at_ms = NULL"
        number = self.connection.execute(sql + " RETURNING number", (session,)).fetchone()[0]
        return int(number)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection."""
        return function(self.connection)

    async def transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function. Nothing can fail half-way here that the tests ask for."""
        return function(self.connection)


@dataclass(slots=True)
class _Session:
    info: SessionInfo
    entries: list[StoredEntry] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    indexed: int = 0
    work: dict[str, WorkRow] = field(default_factory=dict)


class MemorySessionLog:
    """A `SessionLog` in memory.

    1. While `full` is set nothing can be written; reads go on.
    """

    def __init__(self, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.full = False
        self._now_ms = now_ms
        self._sessions: dict[str, _Session] = {}
        self._turn = asyncio.Lock()
        self._events: list[StoredEvent] = []
        self._last_event = 0
        self._tables = MemoryTables(_SESSION_TABLE, *LISTING_TABLES, PART_COLUMN)
        self.listing = Listing(self._tables)

    async def open(self) -> None:
        """See `SessionLog.open`. What an earlier opening of this object held is still there."""

    async def close(self) -> None:
        """See `SessionLog.close`."""

    async def create(
        self, session: str, incarnation: str, now_ms: int, *, snapshot: bytes | None = None
    ) -> SessionInfo:
        """See `SessionLog.create`."""
        self._check_space()
        kept = self._sessions.get(session)
        if kept is None or kept.info.deleted_at_ms is not None:
            kept = self._sessions[session] = _Session(SessionInfo(session, incarnation, now_ms, now_ms, 0, 0, 0))
            open_listing(self._tables.connection, self._tables.number(session), now_ms, known=snapshot is None)
            if snapshot is not None:
                self._extend(kept, Append(session, 0, [Entry(EntryKind.SNAPSHOT, snapshot)]))
        return kept.info

    async def info(self, session: str) -> SessionInfo | None:
        """See `SessionLog.info`."""
        kept = self._sessions.get(session)
        return None if kept is None else kept.info

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[SessionInfo]:
        """See `SessionLog.list`."""
        ids = sorted(session for session, kept in self._sessions.items() if kept.info.deleted_at_ms is None)
        return [self._sessions[session].info for session in ids if session > after][:limit]

    async def append(self, batch: Sequence[Append]) -> Sequence[str]:
        """See `SessionLog.append`."""
        check_append(batch)
        async with self._turn:
            self._check_space()
            due: dict[str, int] = {}
            conflicts: dict[str, None] = {}
            for item in batch:
                kept = self._sessions.get(item.session)
                writable = kept is not None and kept.info.deleted_at_ms is None and not kept.info.damaged
                version = due.get(item.session, kept.info.version if kept else 0)
                if not writable or version != item.expected:
                    conflicts[item.session] = None
                due[item.session] = version + len(item.entries)
            for item in batch:
                if item.session not in conflicts and item.entries:
                    self._extend(self._sessions[item.session], item)
            return [*conflicts]

    async def open_work(self) -> Sequence[WorkRow]:
        """See `SessionLog.open_work`."""
        rows = (row for kept in self._sessions.values() if not kept.info.damaged for row in kept.work.values())
        return sorted(rows, key=lambda row: (row.at_ms, row.session, row.run))

    async def events(self, after: int, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """See `SessionLog.events`."""
        found = [stored for stored in self._events if stored.row > after][:limit]
        whole = [stored for stored in found if not self._sessions[stored.session].info.damaged]
        return whole, found[-1].row if found else after

    async def last_event(self) -> int:
        """See `SessionLog.last_event`."""
        return self._last_event

    async def drop_events(self, through: int) -> None:
        """See `SessionLog.drop_events`."""
        self._check_space()
        self._events = [stored for stored in self._events if stored.row > through]

    async def read(self, session: str, *, after: int = 0) -> Sequence[StoredEntry]:
        """See `SessionLog.read`."""
        kept = self._sessions.get(session)
        if kept is None or kept.info.deleted_at_ms is not None:
            return []
        if kept.info.damaged:
            raise StoreDamaged(f"session {session} is damaged: {kept.info.damaged}")
        return [entry for entry in kept.entries if entry.version > after]

    async def compact(self, session: str, *, through: int, snapshot: bytes) -> None:
        """See `SessionLog.compact`."""
        async with self._turn:
            self._check_space()
            kept = self._sessions.get(session)
            if kept is not None and kept.info.damaged:
                raise StoreDamaged(f"session {session} is damaged: {kept.info.damaged}")
            if kept is None or all(entry.version != through for entry in kept.entries):
                raise LocalProtocolError(f"session {session} has no version {through} to compact; read() it first")
            rest = [entry for entry in kept.entries if entry.version > through]
            kept.entries = [StoredEntry(through, EntryKind.SNAPSHOT, snapshot), *rest]
            self._measure(kept, kept.info.updated_at_ms)

    async def delete(self, session: str, now_ms: int) -> bool:
        """See `SessionLog.delete`."""
        self._check_space()
        kept = self._sessions.get(session)
        if kept is None or kept.info.deleted_at_ms is not None:
            return False
        gone = replace(kept.info, version=0, entries=0, log_bytes=0, damaged="", deleted_at_ms=now_ms)
        self._sessions[session] = _Session(replace(gone, updated_at_ms=gone.created_at_ms))
        self._events = [stored for stored in self._events if stored.session != session]
        drop_listing(self._tables.connection, self._tables.number(session))
        sql = "UPDATE session SET deleted_at_ms = ? WHERE session = ?"
        self._tables.connection.execute(sql, (now_ms, session))
        return True

    async def scrub(self) -> None:
        """See `SessionLog.scrub`. Nothing is left anywhere here."""
        self._check_space()

    async def index_messages(self, session: str, version: int, texts: Mapping[str, str]) -> None:
        """See `SessionLog.index_messages`."""
        self._check_space()
        kept = self._sessions.get(session)
        if kept is not None and kept.info.deleted_at_ms is None:
            kept.texts.update(texts)
            kept.indexed = version

    async def indexed_version(self, session: str) -> int:
        """See `SessionLog.indexed_version`."""
        kept = self._sessions.get(session)
        return 0 if kept is None else kept.indexed

    async def search(self, query: str, *, sessions: Sequence[str] | None, limit: int) -> Sequence[SearchHit]:
        """See `SessionLog.search`. Hits come in order of indexing, not of relevance."""
        wanted = search.phrases(query)
        if not wanted:
            return []
        hits = [
            SearchHit(session, message, search.excerpt(text, wanted))
            for session, kept in self._sessions.items()
            if sessions is None or session in sessions
            for message, text in kept.texts.items()
            if search.matches(text, wanted)
        ]
        return hits[:limit]

    async def probe(self) -> None:
        """See `SessionLog.probe`."""
        self._check_space()

    def _check_space(self) -> None:
        if self.full:  # Invariant 1.
            raise StorageFull("no space left; set `full` to False")

    def _extend(self, kept: _Session, item: Append) -> None:
        for version, entry in enumerate(item.entries, item.expected + 1):
            kept.entries.append(StoredEntry(version, entry.kind, entry.data))
        for row in item.work:
            kept.work[row.run] = row
            if row.lease == ENDED:
                del kept.work[row.run]
        if item.events:
            follow(self._tables.connection, [(self._tables.number(item.session), item.events)])
        for event in item.events:
            self._last_event += 1
            self._events.append(StoredEvent(self._last_event, item.session, kept.info.incarnation, event))
        self._measure(kept, self._now_ms())

    def _measure(self, kept: _Session, updated_at_ms: int) -> None:
        kept.info = replace(
            kept.info,
            updated_at_ms=updated_at_ms,
            version=kept.entries[-1].version,
            entries=len(kept.entries),
            log_bytes=sum(len(entry.data) for entry in kept.entries),
        )
