"""SessionLog: the seam between the server and whatever keeps its sessions on disk.

Entries are opaque bytes with a kind. Knows nothing of Yjs, of peers or of the wire.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from syncd.core.entries import Entry, EntryKind, StoredEntry
from syncd.core.errors import LocalProtocolError
from syncd.core.events import Event, StoredEvent
from syncd.core.record import record
from syncd.core.work import WorkRow
from syncd.store.listing import Listing

__all__ = [
    "Append",
    "Entry",
    "EntryKind",
    "SearchHit",
    "SessionInfo",
    "SessionLog",
    "StoredEntry",
    "StoredEvent",
    "WorkRow",
]


@record
class Append:
    """All of one session's entries of a batch: committed together or not at all.

    `expected` is the version of the last entry the writer knows (0 for none); the entries get the versions behind it.
    `work` are runs whose lease the entries changed, `events` what they tell of: neither comes without entries.
    """

    session: str
    expected: int
    entries: Sequence[Entry]
    work: Sequence[WorkRow] = ()
    events: Sequence[Event] = ()


def check_append(batch: Sequence[Append]) -> None:
    """Check that work and events come with the entries that tell of them, in their own session.

    Raises:
        LocalProtocolError: they do not.
    """
    for item in batch:
        if (item.work or item.events) and not item.entries:
            raise LocalProtocolError(
                f"session {item.session}: append work and events with the entries that tell of them"
            )
        if any(row.session != item.session for row in item.work):
            raise LocalProtocolError(f"session {item.session}: append work with the entries of its own session")


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session's row. Times are Unix milliseconds. `damaged` says why it is quarantined, empty if it is not."""

    session: str
    incarnation: str
    created_at_ms: int
    updated_at_ms: int
    version: int
    entries: int
    log_bytes: int
    damaged: str = ""
    deleted_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One message that matched. `excerpt` marks matches by U+2068 and U+2069, never by markup."""

    session: str
    message: str
    excerpt: str


class SessionLog(Protocol):
    """A durable log of many sessions.

    1. When `append` returns, the entries of every session it did not name as conflicting survive `kill -9` and, on an
       engine that flushes, power loss.
    2. One call is one transaction: if it raises, nothing of it was committed.
    3. `compact` removes only versions up to `through`, and puts the snapshot in their place in the same transaction.
    4. A damaged session raises on `read` and is marked; all others go on.
    """

    #: What lists of sessions are made of, kept up in the transactions of `append`.
    listing: Listing

    async def open(self) -> None:
        """Open or create the store and take it for this process.

        Raises:
            StoreLocked: another server holds it.
            StoreTooNew: a newer version wrote it.
            StoreDamaged: it is not a store, or its structure does not read.
        """
        ...

    async def close(self) -> None:
        """Flush and let go. Idempotent."""
        ...

    async def create(
        self, session: str, incarnation: str, now_ms: int, *, snapshot: bytes | None = None
    ) -> SessionInfo:
        """Create a session; return the existing one's row if it is there already.

        A deleted session's id may be created again: it then has the new `incarnation`. With `snapshot` that is its
        first entry, in the same transaction; an existing session stays as it is, which its `incarnation` tells.
        """
        ...

    async def info(self, session: str) -> SessionInfo | None:
        """Return a session's row, a deleted one's included, or None if it never was."""
        ...

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[SessionInfo]:
        """Return up to `limit` rows of sessions that are not deleted, ids above `after`, in order of id."""
        ...

    async def append(self, batch: Sequence[Append]) -> Sequence[str]:
        """Commit a batch in one transaction; return the sessions whose expected version was not the current one.

        Rows of `work` are kept by run, those of ended runs removed, and events are kept, in the same transaction. A
        deleted, unknown or
        damaged session counts as conflicting. Cancelling the call does not take a commit back:
        read the session before the next one.

        Raises:
            LocalProtocolError: work or events without entries, or of another session; nothing was committed.
            StorageFull: no space, or the file stayed locked; nothing was committed.
            StoreFatal: the flush failed; stop the process.
        """
        ...

    async def open_work(self) -> Sequence[WorkRow]:
        """Return the last row of each run that has not ended, oldest first, of all sessions that are not quarantined.

        A row that is not what was written is left out, and its session quarantined.
        """
        ...

    async def events(self, after: int, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Return up to `limit` events behind row `after`, of all sessions in the order of commits; and the last row.

        That is the `after` to go on with; it moves on over rows that are not what was written, or are of quarantined
        sessions: those are left out. A deleted session's events are gone with it.
        """
        ...

    async def last_event(self) -> int:
        """Return the row of the newest event there ever was, 0 for none."""
        ...

    async def drop_events(self, through: int) -> None:
        """Remove the events up to row `through`. Whoever reads them is done with those."""
        ...

    async def read(self, session: str, *, after: int = 0) -> Sequence[StoredEntry]:
        """Return a session's entries above version `after`, in order.

        Raises:
            StoreDamaged: an entry does not check; the session is quarantined, `info` says so.
        """
        ...

    async def compact(self, session: str, *, through: int, snapshot: bytes) -> None:
        """Replace all entries up to version `through` by one snapshot that holds what they held.

        The snapshot gets the version `through`. What it replaces cannot be read from the store's files any more.

        Raises:
            LocalProtocolError: the log holds no entry of that version; nothing was changed.
            StoreDamaged: the session is quarantined.
        """
        ...

    async def delete(self, session: str, now_ms: int) -> bool:
        """Erase a session's content for good, search index included, and leave a tombstone of its id.

        Works on a damaged one too. Returns whether there was one.
        """
        ...

    async def scrub(self) -> None:
        """Overwrite what deletions may have left in places that no row uses. Slow: call it when it is quiet.

        Raises:
            StorageFull: it needs space of its own, or another process is reading; try again later.
        """
        ...

    async def index_messages(self, session: str, version: int, texts: Mapping[str, str]) -> None:
        """Put message texts (id to text) into the search index, which is then up to `version`.

        A text replaces the one indexed under its id; an empty one takes it out and erases it.
        """
        ...

    async def indexed_version(self, session: str) -> int:
        """Return the version the search index of a session is up to, 0 for none."""
        ...

    async def search(self, query: str, *, sessions: Sequence[str] | None, limit: int) -> Sequence[SearchHit]:
        """Return messages that hold all words of `query`, best first, in `sessions` (None for all).

        `query` is plain words, never an expression: quotes and operators mean themselves. Case and accents do not
        count, and the last word may be the beginning of one.
        """
        ...

    async def probe(self) -> None:
        """Commit something tiny, to learn whether there is space again.

        Raises:
            StorageFull: there is not.
        """
        ...
