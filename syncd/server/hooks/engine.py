"""Engine: reads what happened, behind its own place in the log, and stores what follows from it.

Events and time in; deliveries and waits out, in one transaction with the place. Knows nothing of channels.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import structlog

from syncd.core.errors import StorageFull
from syncd.core.events import Event, StoredEvent
from syncd.core.ids import is_person
from syncd.core.limits import Limits
from syncd.core.record import record
from syncd.server.hooks.conditions import PeoplePort
from syncd.server.hooks.happened import SessionFacts
from syncd.server.hooks.judge import Stage, judge, persons
from syncd.server.hooks.known import Known
from syncd.server.hooks.overlooked import Lookout, Overlooked
from syncd.server.hooks.rulebook import RuleBook
from syncd.server.hooks.turn import Change, Offline, Turn, World, happened
from syncd.server.hooks.waiting import Waiting, WaitingRoom
from syncd.server.metrics import Metrics
from syncd.store.hook_rows import Committed
from syncd.store.outbox import HookStore

_log = structlog.get_logger("syncd.hooks")

#: Events of one transaction: it shares the disk's one thread with the sessions' commits.
PAGE: Final = 100
#: Events that are kept behind the place, so that they can be tried on rules.
KEPT: Final = 10_000
#: Deliveries and waits of one transaction, after which it takes no further event: an event may concern a crowd.
_STORED: Final = 1_000
_DROP_EVERY: Final = 1_000
_RETRY_S: Final = 1.0
#: How long events gather before they are judged, and how long where there is no rule to judge them by.
_GATHER_S: Final = 0.01
_IDLE_GATHER_S: Final = 1.0


class EventLog(Protocol):
    """Where events come from: the log of the sessions."""

    async def events(self, after: int, limit: int) -> tuple[Sequence[StoredEvent], int]:
        """Return events behind a row, in order, and the last row that was looked at."""
        ...

    async def last_event(self) -> int:
        """Return the row of the newest event."""
        ...

    async def drop_events(self, through: int) -> None:
        """Forget events up to a row."""
        ...


@record
class Explained:
    """What a rule makes of an event for one person, empty for its target: told, waiting until `due_ms`, or not; why."""

    rule: str
    channel: str
    target: str
    subject: str
    act: str
    reason: str
    due_ms: int = 0


class Engine:
    """Rules at work.

    1. The place moves in the transaction that holds all that follows from the events it passes, so that each event is
       judged once, across any kill.
    2. Nothing here waits for a delivery; what cannot be stored now is tried again until it can.
    """

    def __init__(
        self,
        log: EventLog,
        store: HookStore,
        rules: RuleBook,
        people: PeoplePort,
        limits: Limits,
        metrics: Metrics,
        *,
        now_ms: Callable[[], int],
        concurrency: Mapping[str, int],
        wakes: Mapping[str, Sequence[str]],
        disabled: Mapping[str, str],
        on_committed: Callable[[Committed], None],
    ) -> None:
        """See `World` for what the mappings are."""
        self._log = log
        self._store = store
        self._people = people
        self._metrics = metrics
        self._on_committed = on_committed
        self._known = Known(store)
        self._room = WaitingRoom()
        self._lookout = Lookout(int((2 * limits.heartbeat_s + limits.presence_grace_s) * 1000))
        self._world = World(
            rules, people, self._known, self._room, limits, now_ms, concurrency, wakes, disabled, self._lookout
        )  # fmt: skip
        # Losses during a turn: what that does not tell is on the lookout only when it is stored.
        self._losses: list[tuple[str, str, int]] | None = None
        self._changes: deque[Change | Offline | Overlooked] = deque(maxlen=KEPT)
        #: Sessions that were deleted and are not forgotten yet.
        self._erased: set[str] = set()
        self._cursor = 0
        self._dropped = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def cursor(self) -> int:
        """The row of the last event that was judged."""
        return self._cursor

    async def start(self) -> None:
        """Take up what waits, and go on behind the last event that was judged."""
        self._cursor = self._dropped = await self._store.cursor()
        for wait in await self._store.waits():
            self._room.add(Waiting.of(wait), wait.row)
        self._people.on_change.append(self._changed)
        self._people.on_look.append(self._looks)
        self._people.on_lost.append(self._lost)
        self._task = asyncio.create_task(self._run(), name="hooks engine")
        self.wake()

    async def stop(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._people.on_change.remove(self._changed)
            self._people.on_look.remove(self._looks)
            self._people.on_lost.remove(self._lost)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Look for events: there may be new ones."""
        self._wake.set()

    def forget(self, session: str) -> None:
        """Forget a session that was deleted; what is of another one that has its name by now stays."""
        self._erased.add(session)
        self.wake()

    def _changed(self, session: str, subject: str, before: str, after: str) -> None:
        self._changes.append(Change(session, subject, before, after))
        self.wake()

    def _looks(self, session: str, subject: str) -> None:
        if is_person(subject):
            status = self._people.status(subject)  # It need not be another: who comes back in time never left.
            self._changes.append(Change(session, subject, status, status, self._world.now_ms()))
            self.wake()

    def _lost(self, session: str, subject: str, since_ms: int) -> None:
        if self._losses is not None:
            self._losses.append((session, subject, since_ms))
        if found := self._lookout.lost(session, subject, since_ms):
            self._changes.extend(found)
            self.wake()

    def offline(self, agent: str, sessions: Collection[str]) -> None:
        """Take notice that an agent's last worker is gone."""
        self._changes.extend(Offline(session, agent) for session in sorted(sessions) or [""])
        self.wake()

    # The loop

    async def _run(self) -> None:
        while True:
            try:
                busy = await self._step()
            except StorageFull:
                await asyncio.sleep(_RETRY_S)  # Invariant 2.
                continue
            except Exception:  # noqa: BLE001 - a loop that had ended would tell nobody anything any more
                _log.exception("hooks_engine_failed")
                await asyncio.sleep(_RETRY_S)
                continue
            if not busy:
                await self._pause()

    async def _pause(self) -> None:
        due_ms = self._room.due_ms()
        timeout_s = None if due_ms is None else max(0.0, (due_ms - self._world.now_ms()) / 1000)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
                # What follows gathers meanwhile: each turn is a commit that the disk does beside the sessions'.
                await asyncio.sleep(_GATHER_S if self._world.rules or self._world.wakes else _IDLE_GATHER_S)
        except TimeoutError:
            pass

    async def _step(self) -> bool:
        """Judge a page of events and what is due; return whether there may be more."""
        self._wake.clear()
        await self._forget()
        page, last = await self._log.events(self._cursor, PAGE)
        changes = [self._changes.popleft() for _ in range(min(PAGE, len(self._changes)))]
        due = self._room.take_due(self._world.now_ms(), PAGE)
        if last == self._cursor and not (changes or due):
            return False
        self._losses = []
        try:
            turn = await self._judge(page, last, changes, due)
            committed = await self._commit(turn)
        except BaseException:
            self._losses = None
            self._room.put_back(due)
            self._known.clear()  # It is ahead of what is stored.
            self._changes.extendleft(reversed(changes))
            raise
        self._metrics.hook_events.inc(sum(stored.row <= turn.cursor for stored in page))
        self._metrics.hook_waits.set(len(self._room))
        self._cursor = turn.cursor
        if turn.hurried:
            _log.warning("hooks_full", told_at_once=turn.hurried, waits=len(self._room))
        self._lookout.add(turn.overlooked, self._world.now_ms())
        losses, self._losses = self._losses, None
        for loss in losses:
            self._lost(*loss)
        self._on_committed(committed)
        await self._drop()
        return True

    async def _forget(self) -> None:
        """Forget what is of deleted sessions. Between turns: these alone add to what is kept here."""
        while self._erased:
            session = next(iter(self._erased))
            waiting = [waiting.row for waiting in self._room.of(session)]
            incarnation, left = await self._store.left(session, waiting)
            self._erased.discard(session)
            self._room.remove(row for row in waiting if row not in left)
            self._known.drop(session)
            self._lookout.keep(session, incarnation)

    async def _judge(
        self,
        page: Sequence[StoredEvent],
        last: int,
        changes: Sequence[Change | Offline | Overlooked],
        due: Sequence[Waiting],
    ) -> Turn:
        sessions = {(stored.session, stored.incarnation) for stored in page}
        sessions |= {(waiting.event.session, waiting.event.incarnation) for waiting in due}
        moved = [change for change in changes if not isinstance(change, Overlooked)]
        await self._known.load(sessions | {(change.session, "") for change in moved if change.session})
        turn = Turn(self._world, self._cursor)
        for stored in page:
            turn.take(stored)
            await asyncio.sleep(0)  # With many rules an event takes a while: others' turn.
            if len(turn) >= _STORED:
                break
        else:
            turn.cursor = last
        for change in changes:
            if isinstance(change, Overlooked):
                turn.again(change)
                continue
            if isinstance(change, Offline):
                turn.offline(change)
            else:
                turn.changed(change)
            self._known.drop(change.session, unnamed=True)
        for waiting in due:
            turn.due(waiting)
        return turn

    async def _commit(self, turn: Turn) -> Committed:
        committed = await self._store.commit(turn.stored())  # Invariant 1.
        self._room.remove(turn.done)
        for waiting, wait in zip(turn.waits, committed.waits, strict=True):
            if wait is not None:
                self._room.add(waiting, wait.row)
        return committed

    async def _drop(self) -> None:
        through = self._cursor - KEPT
        if through - self._dropped >= _DROP_EVERY:
            await self._log.drop_events(through)
            self._dropped = through

    async def explain(self, stored: StoredEvent) -> Sequence[Explained]:
        """Return what all rules would make of an event now, and why. Nothing is told and nothing stored."""
        kept = await self._store.about([(stored.session, stored.incarnation)])
        facts = SessionFacts()
        facts.load(kept[stored.session, stored.incarnation])
        for told in (*await self._begun(stored, facts), stored.event):
            for _ in facts.learn(told.type, told.by, told.body):
                pass
        event, found, now_ms = happened(stored, facts), list[Explained](), self._world.now_ms()
        for rule in self._world.rules:
            where = rule.name, rule.channel, rule.target
            reason = rule.mismatch(event.session, event.data) if rule.is_on(event.type) else "is about other types"
            subjects = [] if reason else persons(rule, event, facts, self._people)
            if not subjects:
                nobody = f"there is nobody who is {' or '.join(rule.whom)}"
                found.append(Explained(*where, "", "no", reason or nobody))
            for subject in subjects:
                verdict = judge(rule, event, subject, Stage.START, now_ms, facts, self._people)
                found.append(Explained(*where, subject, verdict.act, verdict.reason, verdict.due_ms))
        return found

    async def _begun(self, stored: StoredEvent, facts: SessionFacts) -> Sequence[Event]:
        """Return how the run of an event began, if that is among the last events and forgotten: of one that is over."""
        run, after, last = facts.run_of(stored.event.body), -1, 0
        while run and run not in facts.runs and last > after:
            after = last
            page, last = await self._log.events(after, PAGE)
            for one in page:
                begins = one.event.type in ("run.queued", "run.started") and one.event.body["run"] == run
                if begins and one.session == stored.session and stored.incarnation in ("", one.incarnation):
                    return [one.event]
        return []
