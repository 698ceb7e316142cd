"""Lists: everybody's list of sessions, by page and as it changes.

Follows the sessions, keeps what the store lists of them up to what is no event, and tells the links that watch. Knows
nothing of documents' insides, of sockets or of how a list is stored.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from syncd.core.errors import CloseCode, RemoteProtocolError, StoreError
from syncd.core.grant import Grant, Right
from syncd.core.limits import Limits
from syncd.core.listing import EXCERPT_CHARS_MAX, STATE_ROOT, called, shorten
from syncd.core.messages import Index, IndexChanged, IndexRow, Layer, ServerMessage, Watch
from syncd.core.replica import ReplicaBroken
from syncd.core.server_turn import Ready
from syncd.core.transcript import read_message
from syncd.server.live_session import Follower, LiveSession
from syncd.server.people import People
from syncd.server.renewal import renew
from syncd.server.sessions import SessionGone, Sessions
from syncd.store.listing import Listed

V = TypeVar("V")

_log = structlog.get_logger("syncd.lists")

#: Sessions that nothing is known of, looked up at a time after a start.
_UNKNOWN_AT_ONCE = 100
#: After a failure of the store.
_AGAIN_S = 1.0
#: A link that takes nothing for so many changes has to ask anew.
_MISSED_MAX = 10_000


class ListLink(Protocol):
    """A link that watches its list. `link.Link` is one."""

    grant: Grant

    @property
    def writable(self) -> bool:
        """Whether its reader has taken most of what was sent."""
        ...

    def send(self, message: ServerMessage) -> None:
        """Write a message. Never blocks."""
        ...


@dataclass(slots=True, eq=False)
class _Watcher:
    """One link. `missed` are sessions that changed while its reader did not take anything."""

    link: ListLink
    asking: bool = False
    told: bool = False
    missed: set[str] = field(default_factory=set)


class Lists(Follower):
    """Everybody's list of sessions.

    1. A link is told of sessions that its grant names, as it is at that moment, and of no other.
    2. Changes are told `index_gather_s` after they came, and who is here at most every `index_here_s`; all at once.
    3. One page at a time is read for a link, and one for all of them: commits wait for no more.
    4. Nothing is done for a change that no event, no title and nobody's coming or going is behind.
    5. What could not be noted or read is tried again; what cannot be noted keeps nothing from being told.

    `await start()` when the sessions have started, `await stop()` before they stop.
    """

    def __init__(self, sessions: Sessions, people: People, limits: Limits) -> None:
        self.people = people
        self._sessions = sessions
        self._listing = sessions.log.listing
        self._limits = limits
        self._watchers: dict[str, dict[ListLink, _Watcher]] = {}
        # Sessions that changed, for whom: None for everybody.
        self._changed: dict[str, set[str] | None] = {}
        self._gone: set[str] = set()
        # Sessions that somebody came to or left.
        self._moved: set[str] = set()
        self._moved_at = 0.0
        # What is to be noted of sessions: what they are called, and how their last message begins.
        self._called: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._quotes: dict[str, tuple[str, str]] = {}
        # Last messages that were begun without a text.
        self._growing: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._paging = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        people.on_change.append(self._came_or_left)
        sessions.followers.append(self)

    async def start(self) -> None:
        """Begin to tell, and find out what nothing is known of.

        Raises:
            StoreError: the store does not read.
        """
        await self.people.start(self._listing)
        self.people.worked(await self._sessions.log.open_work())
        self._keep(self._run(), "session lists")
        self._keep(self._learn(), "learn lists")

    async def stop(self) -> None:
        """Note what is to be noted, and stop."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._worked(self._note)
        await self.people.stop()

    def _keep(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("list_task_failed", task=task.get_name(), error=repr(error))

    # Following the sessions

    async def loaded(self, live: LiveSession) -> None:
        """Find out what is not known of a session, and what it is called."""
        try:
            summary = await self._listing.summary(live.session)
            if summary is None or summary.seq != live.machine.committed_seq:
                await renew(self._listing, live.session, live.machine, self._sessions.now_ms())
                self._change(live.session, None)
            elif STATE_ROOT in live.machine.content.roots and await self._listing.call(live.session, *_called(live)):
                self._change(live.session, None)
        except (StoreError, ReplicaBroken) as error:
            # A session that cannot be listed, as while the storage is full, can be opened all the same.
            _log.warning("session_not_listed", session=live.session, error=type(error).__name__, reason=str(error))

    def advanced(self, live: LiveSession, ready: Ready) -> None:
        """Take what a turn brought, now that it is on the disk."""
        if live.machine.published:
            self.people.moved(live.session, live.machine.published)
        if ready.work:
            self.people.worked(ready.work)
        if ready.called:
            self._called[live.session] = _called(live)
            self._wake.set()
        for event in ready.events:
            if event.type == "read.moved":
                self._change(live.session, event.by)
            else:
                self._change(live.session, None)
            if event.type == "message.created" and event.body.get("role") != "system":
                if event.body.get("text"):
                    self._growing.pop(live.session, None)
                else:
                    self._growing[live.session] = str(event.body["message"])
            elif event.type == "run.ended" and (message := self._growing.pop(live.session, "")):
                self._quote(live, message)

        for message in ready.rewritten:
            if self._growing.get(live.session) != message:
                self._quote(live, message)

    def unloaded(self, session: str) -> None:
        """Take notice that all peers of a session are gone."""
        self._growing.pop(session, None)
        self.people.unloaded(session)

    def deleted(self, session: str) -> None:
        """Take notice that a session is no more."""
        self._changed.pop(session, None)
        self._called.pop(session, None)
        self._quotes.pop(session, None)
        self.people.deleted(session)
        if self._watchers:
            self._gone.add(session)
            self._wake.set()

    def _quote(self, live: LiveSession, message: str) -> None:
        view = read_message(live.machine.document(Layer.TRANSCRIPT).replica, message)
        # What its author has taken back is not shown for them either.
        self._quotes[live.session] = (message, shorten(view.text, EXCERPT_CHARS_MAX) if view is not None else "")
        self._wake.set()

    def _came_or_left(self, session: str, subject: str, before: str, after: str) -> None:
        if self._watchers:
            self._moved.add(session)
            self._wake.set()

    def _change(self, session: str, subject: str | None) -> None:
        if not self._watchers:  # Invariant 4.
            return
        told = self._changed.get(session, set())
        if subject is None or told is None:
            self._changed[session] = None
        else:
            self._changed[session] = told | {subject}
        self._wake.set()

    # What people do

    async def archive(self, session: str, subject: str, *, archived: bool) -> bool:
        """Put a session away for one subject, or back; return whether there is such a session."""
        found = await self._listing.stand(session, subject, archived=archived, now_ms=self._sessions.now_ms())
        if found:
            self._change(session, subject)
        return found

    async def participants(self, session: str) -> Mapping[str, bool]:
        """Return the persons that take part in a session, and whether by what they did there themselves."""
        return await self._listing.participants(session)

    # Links

    def watch(self, link: ListLink, message: Watch) -> None:
        """Answer a link with a page, and tell it of changes from now on.

        Raises:
            RemoteProtocolError: it asked again before it had its answer.
        """
        links = self._watchers.setdefault(link.grant.subject, {})
        watcher = links.setdefault(link, _Watcher(link))
        if watcher.asking:  # Invariant 3.
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "ask for the next page when you have the one before")
        if message.limit == 0:
            self.gone(link)
            link.send(Index((), "", True))
            return
        watcher.asking = True
        self._keep(self._answer(watcher, message), "list page")

    def gone(self, link: ListLink) -> None:
        """Forget a link. Idempotent."""
        links = self._watchers.get(link.grant.subject)
        if links is not None:
            links.pop(link, None)
            if not links:
                del self._watchers[link.grant.subject]
        if not self._watchers:
            self._changed.clear()
            self._gone.clear()
            self._moved.clear()

    async def _answer(self, watcher: _Watcher, message: Watch) -> None:
        link, grant = watcher.link, watcher.link.grant
        patterns = [pattern for pattern, _ in grant.sessions]
        limit = min(message.limit, self._limits.page_max)
        try:
            async with self._paging:
                page = await self._listing.page(
                    grant.subject, patterns, after=message.after, limit=limit, archived=message.archived
                )
        except StoreError as error:
            _log.warning("list_not_read", error=type(error).__name__, reason=str(error))
            page = None
        finally:
            watcher.asking = False
        if self._watchers.get(grant.subject, {}).get(link) is not watcher:
            return
        if page is None:  # It holds what it has, and may ask again.
            link.send(Index((), message.after, False))
            return
        watcher.told = True
        # The grant may be another by now. Invariant 1.
        rows = [self._row(row, link.grant) for row in page.rows if link.grant.rights(row.session) is not None]
        link.send(Index(tuple(rows), page.next, not page.next))

    # Telling

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._limits.index_gather_s)  # Invariant 2.
            self._wake.clear()
            done = [await self._worked(work) for work in (self._note, self._tell)]
            if not all(done):  # Invariant 5.
                await asyncio.sleep(_AGAIN_S)
                self._wake.set()

    async def _worked(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except StoreError as error:
            _log.warning("lists_wait", error=type(error).__name__, reason=str(error))
            return False
        return True

    async def _note(self) -> None:
        await self._note_all(self._called, self._listing.call)
        await self._note_all(self._quotes, self._listing.quote)

    async def _note_all(self, noted: dict[str, tuple[str, V]], put: Callable[[str, str, V], Awaitable[bool]]) -> None:
        for session in list(noted):
            given = noted.get(session)
            if given is None:
                continue  # The session was deleted meanwhile.
            if await put(session, *given):
                self._change(session, None)
            if noted.get(session) is given:
                del noted[session]

    async def _tell(self) -> None:
        changed, self._changed = self._changed, {}
        gone, self._gone = self._gone, set()
        now = time.monotonic()
        if self._moved and now >= self._moved_at:
            self._moved_at = now + self._limits.index_here_s
            moved, self._moved = self._moved, set()
            changed |= dict.fromkeys(moved)
        elif self._moved:
            asyncio.get_running_loop().call_later(self._moved_at - now, self._wake.set)
        watchers = [watcher for links in self._watchers.values() for watcher in links.values() if watcher.told]
        # Who still takes nothing is told later, and nothing is read for them.
        missed = {session for watcher in watchers if watcher.link.writable for session in watcher.missed}
        # What is gone may have been made anew.
        wanted = changed.keys() | missed | gone
        if wanted:
            try:
                rows = await self._listing.rows(wanted, self._watchers.keys())
            except StoreError:
                self._put_back(changed, gone)
                raise
            found = dict.fromkeys(wanted) | {row.session: row for row in rows}
            for watcher in watchers:
                self._tell_one(watcher, changed, gone, found)
        if any(watcher.missed for watcher in watchers):
            self._wake.set()

    def _put_back(self, changed: Mapping[str, set[str] | None], gone: set[str]) -> None:
        for session, subjects in changed.items():
            for subject in [None] if subjects is None else subjects:
                self._change(session, subject)
        if self._watchers:
            self._gone |= gone

    def _tell_one(
        self,
        watcher: _Watcher,
        changed: Mapping[str, set[str] | None],
        gone: set[str],
        found: Mapping[str, Listed | None],
    ) -> None:
        """Tell a link what it has not been told. `found` is what was looked up, None for what is not there."""
        link = watcher.link
        grant = link.grant  # Invariant 1: as it is now.
        mine = {s for s, whose in changed.items() if whose is None or grant.subject in whose} | watcher.missed | gone
        mine = {session for session in mine if grant.rights(session) is not None}
        if not mine or self._watchers.get(grant.subject, {}).get(link) is not watcher:
            watcher.missed.clear()
            return
        if not link.writable or not found.keys() >= mine:  # It may have begun to take something since.
            watcher.missed |= mine
            if len(watcher.missed) > _MISSED_MAX:
                self.gone(link)
            return
        watcher.missed.clear()
        told = [(session, found[session]) for session in sorted(mine)]
        rows = tuple(self._row(row, grant) for _, row in told if row is not None)
        lost = tuple(session for session, row in told if row is None)
        link.send(IndexChanged(rows, lost))

    def _row(self, listed: Listed, grant: Grant) -> IndexRow:
        subject, summary = grant.subject, listed.summary
        standing = listed.standings.get(subject)
        needs = summary.needs(subject, standing.read_seq) if standing is not None else ()
        if Right.COMMAND not in (grant.rights(listed.session) or ()):
            needs = tuple(need for need in needs if need != "approval")  # It could not give one.
        return IndexRow(
            session=listed.session,
            title=summary.name,
            tags=summary.tags,
            archived=standing is not None and standing.archived,
            at_ms=listed.at_ms,
            seq=summary.seq,
            excerpt=summary.excerpt,
            unread=standing.unread if standing is not None else 0,
            needs=needs,
            running=summary.running(),
            here=self._here(listed.session),
            responsible=summary.responsible,
        )

    def _here(self, session: str) -> Mapping[str, str]:
        people = self.people.people(session)[: self._limits.index_here_max]
        return {person.subject: person.status for person in people}

    # What nothing is known of

    async def _learn(self) -> None:
        """Load what was made before there were lists, or was imported, one after the other: loading makes it known."""
        after = ""
        while sessions := await self._listing.unknown(after=after, limit=_UNKNOWN_AT_ONCE):
            for session in sessions:
                try:
                    await self._sessions.live(session)
                except SessionGone as gone:
                    _log.info("list_not_learned", session=session, code=int(gone.code))
                await asyncio.sleep(0)
            after = sessions[-1]


def _called(live: LiveSession) -> tuple[str, tuple[str, ...]]:
    """Return what a session's state says that it is called."""
    document = live.machine.document(Layer.STATE)
    return called(document.replica.read(STATE_ROOT) if STATE_ROOT in live.machine.content.roots else None)
