"""People: who is here, over all sessions of this process, and when somebody was last seen.

Fed with presence as sessions publish it and with runs as they are committed. Knows nothing of links, frames or of who
is told what.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

import structlog

from syncd.core.errors import StoreError
from syncd.core.messages import PresenceEntry
from syncd.core.people import Attendance, Moved, Person, Status
from syncd.core.timetable import Timetable
from syncd.core.work import WorkRow
from syncd.store.listing import Listing

_log = structlog.get_logger("syncd.people")

#: Whoever is here is noted this often, so that a killed server knows when that was.
_SEEN_S = 30.0
#: Of a crowd that leaves at once one write tells.
_GATHER_S = 1.0
#: Rows of one write: commits wait for no more.
_SEEN_ROWS = 500
_ORDER = {str(status): rank for rank, status in enumerate((Status.OFFLINE, Status.AWAY, Status.IDLE, Status.ACTIVE))}

#: Session, subject, status before and after.
OnChange = Callable[[str, str, str, str], None]


class Serving(Protocol):
    """Who knows which agents are served. `work.Dispatcher` is one."""

    def serves(self, agent: str) -> bool:
        """Whether some worker serves the agent."""
        ...


class People:
    """Everybody's status, by session and over all.

    1. What is told is told once: nobody hears of a reload.
    2. When somebody was last here is on the disk at most 30 s after it was, and soon after the leave.

    `await start()`, then `await stop()`.
    """

    def __init__(
        self,
        serving: Serving,
        *,
        grace_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        #: Called with session, subject, status before and after, whenever somebody's status in a session is another.
        self.on_change: list[OnChange] = []
        #: Called with session and subject whenever somebody begins to look at a session, after a moment away too.
        self.on_look: list[Callable[[str, str], None]] = []
        #: Called with session, subject and a Unix time in ms, when somebody who seemed to look at it was gone by then.
        self.on_lost: list[Callable[[str, str, int], None]] = []
        self._serving = serving
        self._grace_s = grace_s
        self._monotonic = monotonic
        self._now_ms = now_ms
        self._here: dict[str, Attendance] = {}
        # Sessions that somebody attends, by subject.
        self._where: dict[str, set[str]] = {}
        # Links that were found dead and are about to go, by session and peer: when they were last heard.
        self._silent: dict[tuple[str, str], float] = {}
        self._settles_ms = 0
        self._runs: dict[tuple[str, str], set[str]] = {}
        self._due = Timetable()
        self._timer: asyncio.TimerHandle | None = None
        self._listing: Listing | None = None
        self._left: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    # What others ask

    def watching(self, session: str, subject: str) -> bool:
        """Whether a subject has the session open and visible on some device, now."""
        found = self._here.get(session)
        return found is not None and found.watching(subject)

    def watchers(self, session: str) -> frozenset[str]:
        """Return the persons that have the session open and visible on some device, now."""
        found = self._here.get(session)
        return found.watchers() if found is not None else frozenset()

    def settles_ms(self) -> int:
        """Return until when those who were here before a restart may not be back yet, in Unix ms; 0 for not at all."""
        return self._settles_ms

    def status(self, subject: str) -> str:
        """Return how present a subject is, over all sessions and devices."""
        found = [str(self._here[session].status(subject)) for session in self._where.get(subject, ())]
        return max(found, key=_ORDER.__getitem__, default=str(Status.OFFLINE))

    def audience(self, session: str) -> Mapping[str, str]:
        """Return the status of everybody on a session who is not offline, people and agents."""
        found = self._here.get(session)
        return found.statuses() if found is not None else {}

    def people(self, session: str) -> Sequence[Person]:
        """Return everybody on a session who is not offline, the most present first."""
        found = self._here.get(session)
        return found.people() if found is not None else ()

    def where(self, subject: str) -> Collection[str]:
        """Return the sessions that a subject is on."""
        return self._where.get(subject, ())

    def serving(self, agent: str) -> bool:
        """Whether some worker serves the agent."""
        return self._serving.serves(agent)

    async def seen(self, subjects: Sequence[str]) -> Mapping[str, int]:
        """Return when these subjects were last connected, Unix ms; those that never were are left out."""
        stored = await self._listing.seen(subjects) if self._listing is not None else {}
        now_ms = self._now_ms()
        fresh = {s: now_ms if self._connected(s) else self._left[s] for s in subjects if self._fresh(s)}
        return {**stored, **fresh}

    # What happens

    def moved(self, session: str, entries: Sequence[PresenceEntry]) -> None:
        """Take presence entries as a session published them."""
        found = self._here.get(session)
        if found is None:
            found = self._here[session] = Attendance(grace_s=self._grace_s)
        subjects = dict.fromkeys(entry.subject for entry in entries)
        looked = [subject for subject in subjects if found.watching(subject)]
        self._take(session, found, found.take(entries, self._monotonic()), [*subjects])
        for subject in subjects:
            if subject not in looked and found.watching(subject):
                for tell in self.on_look:
                    tell(session, subject)
        for entry in entries:
            heard_at = self._silent.pop((session, entry.peer), None)
            if heard_at is None or entry.subject not in looked or found.watching(entry.subject):
                continue
            # What they had before their eyes on another device meanwhile they saw.
            since = max(heard_at, found.looked_at(entry.subject, entry.device))
            for say in self.on_lost:
                say(session, entry.subject, self._now_ms() - int((self._monotonic() - since) * 1000))

    def silent(self, sessions: Iterable[str], subject: str, peer: str, heard_at: float) -> None:
        """Take notice that a link is dead, of which nothing was heard since `heard_at`, in monotonic seconds.

        Its presence is still there, and goes next.
        """
        self._silent |= {(session, peer): heard_at for session in sessions if self.watching(session, subject)}

    def unloaded(self, session: str) -> None:
        """Take notice that a session was unloaded: all its peers are gone, most of them to come back."""
        found = self._here.get(session)
        if found is not None:
            subjects = [person.subject for person in found.people()]
            self._take(session, found, found.clear(self._monotonic()), subjects)
            self._silent = {key: at for key, at in self._silent.items() if key[0] != session}

    def deleted(self, session: str) -> None:
        """Forget who was on a session that is no more, and worked in it. Nobody is told: there is nothing to leave."""
        for key in [key for key in self._runs if key[0] == session]:
            del self._runs[key]
        for subject in self.audience(session):
            self._leave(session, subject)
        self._here.pop(session, None)
        self._due.set(session, None)
        self._time()

    def worked(self, rows: Sequence[WorkRow]) -> None:
        """Take rows of runs as they were committed."""
        for row in rows:
            runs = self._runs.setdefault((row.session, row.agent), set())
            before = len(runs)
            if row.lease == "live":
                runs.add(row.run)
            else:
                runs.discard(row.run)
            if len(runs) != before:
                found = self._here.setdefault(row.session, Attendance(grace_s=self._grace_s))
                self._take(row.session, found, found.works(row.agent, runs, self._monotonic()), [row.agent])
            if not runs:
                del self._runs[row.session, row.agent]

    def _take(self, session: str, found: Attendance, moved: Sequence[Moved], touched: Sequence[str]) -> None:
        for subject in touched:
            if found.connected(subject):
                self._where.setdefault(subject, set()).add(session)
            elif not self._connected(subject) and subject in self._where:
                self._left[subject] = self._now_ms()  # Invariant 2.
                self._wake.set()
        for move in moved:
            if move.after is Status.OFFLINE:
                self._leave(session, move.subject)
        if len(found) == 0:
            self._here.pop(session, None)
        self._due.set(session, found.due_at())
        self._time()
        for move in moved:
            for tell in self.on_change:
                tell(session, move.subject, str(move.before), str(move.after))

    def _leave(self, session: str, subject: str) -> None:
        sessions = self._where.get(subject)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._where[subject]

    def _connected(self, subject: str) -> bool:
        return any(self._here[session].connected(subject) for session in self._where.get(subject, ()))

    def _fresh(self, subject: str) -> bool:
        return subject in self._left or self._connected(subject)

    # Time

    def tick(self) -> None:
        """Let time pass: who did not come back within the grace is gone."""
        now = self._monotonic()
        for session in self._due.take(now):
            found = self._here[session]
            self._take(session, found, found.tick(now), ())

    def _time(self) -> None:
        due_at = self._due.next()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_at is not None and self._writer is not None:
            delay_s = max(0.01, due_at - self._monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.tick)

    async def start(self, listing: Listing) -> None:
        """Begin to note who was seen when. The store is open.

        Raises:
            StoreError: it does not read.
        """
        self._listing = listing
        if await listing.anybody_seen():
            self._settles_ms = self._now_ms() + int(self._grace_s * 1000)
        self._writer = asyncio.create_task(self._write_seen(), name="last seen")
        self._time()

    async def stop(self) -> None:
        """Note who is here and who left, and stop. The store is open still. Idempotent."""
        writer, self._writer = self._writer, None
        if self._timer is not None:
            self._timer.cancel()
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            await self._note(here=True)

    async def _write_seen(self) -> None:
        here_at = time.monotonic() + _SEEN_S
        while True:
            try:
                async with asyncio.timeout(max(0.0, here_at - time.monotonic())):
                    await self._wake.wait()
                await asyncio.sleep(_GATHER_S)
            except TimeoutError:
                pass  # Time to note who is here.
            self._wake.clear()
            here = time.monotonic() >= here_at
            if here:
                here_at = time.monotonic() + _SEEN_S
            await self._note(here=here)

    async def _note(self, *, here: bool) -> None:
        assert self._listing is not None
        left, self._left = self._left, {}
        now_ms = self._now_ms()
        times = left | ({s: now_ms for s in self._where if self._connected(s)} if here else {})
        rows = [*times.items()]
        try:
            for at in range(0, len(rows), _SEEN_ROWS):
                await self._listing.saw(dict(rows[at : at + _SEEN_ROWS]))
        except StoreError as error:
            # Noted again with the next: when somebody was last here is worth no alarm.
            self._left = left | self._left
            _log.warning("last_seen_not_written", error=type(error).__name__, reason=str(error))
