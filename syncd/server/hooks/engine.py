"""Engine: reads what happened, behind its own place in the log, and stores what follows from it.

Events and time in; deliveries and waits out, in one transaction with the place. Knows nothing of channels.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from syncd.core.errors import StorageFull
from syncd.core.events import StoredEvent, event_id
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.server.hooks.conditions import PeoplePort, answers, settled_tags, was_read
from syncd.server.hooks.happened import PERSON, Happened, SessionFacts
from syncd.server.hooks.judge import GATHERED, Stage, judge, persons
from syncd.server.hooks.making import WAKE, WITHDRAWN_LANES, Route, make_delivery, options_of, route_of
from syncd.server.hooks.rulebook import RuleBook
from syncd.server.hooks.rules import Rule
from syncd.server.hooks.waiting import Waiting, WaitingRoom
from syncd.server.metrics import Metrics
from syncd.store.hook_rows import About, Committed, Delivery, HookTurn, Settled, settles
from syncd.store.outbox import HookStore

_log = structlog.get_logger("syncd.hooks")

#: Events of one transaction: it shares the disk's one thread with the sessions' commits.
PAGE: Final = 100
#: Events that are kept behind the place, so that they can be tried on rules.
KEPT: Final = 10_000
_SESSIONS_KNOWN: Final = 1_000
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


@dataclass(slots=True)
class _Turn:
    """What one page of events, or some that became due, come to."""

    cursor: int | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    done: dict[int, None] = field(default_factory=dict)
    about: dict[tuple[str, str, str], About] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)


class Engine:
    """Rules at work.

    1. The place moves in the transaction that holds all that follows from the events it passes, so that each event is
       judged once, across any kill.
    2. Nothing here waits for a delivery; what cannot be stored now is tried again until it can.
    3. Of what waits there is a bound: beyond it, what would wait is judged as if it were due.
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
        """`concurrency` is each target's, `wakes` the targets that call an agent; `disabled` is looked at each time."""
        self._log = log
        self._store = store
        self._rules = rules
        self._people = people
        self._limits = limits
        self._metrics = metrics
        self._now_ms = now_ms
        self._concurrency = concurrency
        self._wakes = wakes
        self._disabled = disabled
        self._on_committed = on_committed
        self._facts: OrderedDict[tuple[str, str], SessionFacts] = OrderedDict()
        self._room = WaitingRoom()
        self._presence: deque[tuple[str, str, str, str, bool]] = deque(maxlen=KEPT)
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
        self._task = asyncio.create_task(self._run(), name="hooks engine")
        self.wake()

    async def stop(self) -> None:
        """Stop. Idempotent."""
        if self._task is not None:
            self._people.on_change.remove(self._changed)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def wake(self) -> None:
        """Look for events: there may be new ones."""
        self._wake.set()

    def forget(self, session: str) -> None:
        """Forget a session that was deleted."""
        self._room.remove([waiting.row for waiting in self._room.of(session)])
        for key in [key for key in self._facts if key[0] == session]:
            del self._facts[key]

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
        timeout_s = None if due_ms is None else max(0.0, (due_ms - self._now_ms()) / 1000)
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
                # What follows gathers meanwhile: each turn is a commit that the disk does beside the sessions'.
                await asyncio.sleep(_GATHER_S if self._rules or self._wakes else _IDLE_GATHER_S)
        except TimeoutError:
            pass

    async def _step(self) -> bool:
        """Judge a page of events and what is due; return whether there may be more."""
        self._wake.clear()
        page, last = await self._log.events(self._cursor, PAGE)
        changes = [self._presence.popleft() for _ in range(min(PAGE, len(self._presence)))]
        due = self._room.take_due(self._now_ms(), PAGE)
        if last == self._cursor and not (changes or due):
            return False
        turn = _Turn(last)
        try:
            sessions = {(stored.session, stored.incarnation) for stored in page}
            sessions |= {(waiting.event.session, waiting.event.incarnation) for waiting in due}
            await self._know(sessions | {(change[0], "") for change in changes if change[0]})
            for stored in page:
                self._guarded(turn, stored)
                await asyncio.sleep(0)  # With many rules an event takes a while: others' turn.
            for change in changes:
                self._presence_event(turn, *change)
            for waiting in due:
                if waiting.row not in turn.done:
                    self._due(turn, waiting)
            committed = await self._commit(turn)
        except BaseException:
            self._room.put_back(due)
            self._facts.clear()  # They are ahead of what is stored.
            self._presence.extendleft(reversed(changes))
            raise
        for change in changes:
            self._facts.pop((change[0], ""), None)
        self._metrics.hook_events.inc(len(page))
        self._metrics.hook_waits.set(len(self._room))
        self._cursor = last
        await self._drop()
        self._on_committed(committed)
        return True

    async def _commit(self, turn: _Turn) -> Committed:
        committed = await self._store.commit(  # Invariant 1.
            HookTurn(
                turn.cursor,
                turn.deliveries,
                [waiting.wait() for waiting in turn.waits],
                [*turn.done],
                [*turn.about.values()],
                turn.settled,
                self._now_ms(),
            )
        )
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
        for _ in facts.learn(stored.event.type, stored.event.by, stored.event.body):
            pass
        event, found = self.happened(stored, facts), []
        for rule in self._rules:
            reason = rule.mismatch(event.session, event.data) if rule.is_on(event.type) else "is about other types"
            if reason:
                found.append(Explained(rule.name, rule.channel, rule.target, "", "no", reason))
                continue
            subjects = persons(rule, event, facts, self._people)
            if not subjects:
                found.append(Explained(rule.name, rule.channel, rule.target, "", "no", "it is about no person"))
            for subject in subjects:
                verdict = judge(rule, event, subject, Stage.START, self._now_ms(), facts, self._people)
                found.append(
                    Explained(
                        rule.name, rule.channel, rule.target, subject, verdict.act, verdict.reason, verdict.due_ms
                    )
                )
        return found

    # Facts

    async def _know(self, sessions: set[tuple[str, str]]) -> None:
        missing = [key for key in sessions if key not in self._facts]
        if missing:
            for key, kept in (await self._store.about(missing)).items():
                facts = self._facts[key] = SessionFacts()
                facts.load(kept)
        while len(self._facts) > max(_SESSIONS_KNOWN, len(sessions)):
            oldest = next(iter(self._facts))
            if oldest in sessions:
                self._facts.move_to_end(oldest)
            else:
                del self._facts[oldest]

    def _of(self, event: Happened) -> SessionFacts:
        key = event.session, event.incarnation
        facts = self._facts.get(key)
        if facts is None:
            return SessionFacts()
        self._facts.move_to_end(key)
        return facts

    def _keep(self, turn: _Turn, event: Happened, key: str, data: bytes) -> None:
        turn.about[event.session, event.incarnation, key] = About(event.session, event.incarnation, key, data)

    # Events

    def happened(self, stored: StoredEvent, facts: SessionFacts) -> Happened:
        """Return an event as rules see it."""
        event = stored.event
        seq = event.body.get("seq")
        at = seq if event.type == "message.created" and isinstance(seq, int) else facts.seq
        run, message = facts.run_of(event.body), facts.message_of(event.body)
        return Happened(
            stored.id, event.type, event.at_ms, stored.session, stored.incarnation, event.by, event.body, at, run,
            message,
        )  # fmt: skip

    def _guarded(self, turn: _Turn, stored: StoredEvent) -> None:
        try:
            self._take(turn, stored)
        except Exception:  # noqa: BLE001 - one event that cannot be judged must not hold up all others for ever
            _log.exception("hook_event_failed", session=stored.session, type=stored.event.type)

    def _take(self, turn: _Turn, stored: StoredEvent) -> None:
        facts = self._facts[stored.session, stored.incarnation]
        source = stored.event
        kept = [*facts.learn(source.type, source.by, source.body)]
        event = self.happened(stored, facts)
        for key, data in kept:
            self._keep(turn, event, key, data)
        self._settle(turn, event, facts)
        self._tell(turn, event, facts)
        if event.type == "run.queued":
            self._call(turn, event)
        elif event.type == "run.ended":
            for key, data in facts.forget(event.run):
                self._keep(turn, event, key, data)

    def _settle(self, turn: _Turn, event: Happened, facts: SessionFacts) -> None:
        """Take back what this event answers, and what its person has read."""
        where = event.session, event.incarnation
        settled = [Settled(*where, tag=tag, withdraw=WITHDRAWN_LANES) for tag in settled_tags(event, facts)]
        reader = event.by if event.type == "message.created" else str(event.data.get("subject", ""))
        if event.type in ("message.created", "read.moved") and reader.startswith(PERSON):
            read = facts.reads.get(reader, 0)
            settled.append(Settled(*where, subject=reader, seq=read, withdraw=WITHDRAWN_LANES))
        for one in settled:
            turn.deliveries = [delivery for delivery in turn.deliveries if not settles(one, delivery)]
        turn.settled += settled
        for waiting in self._room.of(event.session):
            concerned = waiting.told if waiting.stage is Stage.ESCALATE else [waiting.subject]
            if answers(event, waiting.event) or was_read(waiting.event, concerned, facts):
                turn.done[waiting.row] = None
        turn.waits = [w for w in turn.waits if w.event.session != event.session or not answers(event, w.event)]

    def _tell(self, turn: _Turn, event: Happened, facts: SessionFacts) -> None:
        for rule in self._rules.on(event.type):
            if not rule.mismatch(event.session, event.data):
                self._apply(turn, rule, event, facts)

    def _apply(self, turn: _Turn, rule: Rule, event: Happened, facts: SessionFacts, step: int = 0) -> None:
        subjects = persons(rule, event, facts, self._people, step)
        for subject in subjects:
            self._advance(turn, rule, event, subject, Stage.UNREAD if step else Stage.START, facts, step)
        if rule.escalate_after_s is not None and step < len(rule.escalate_to):
            due_ms = (event.at_ms if step == 0 else self._now_ms()) + int(rule.escalate_after_s * 1000)
            waiting = Waiting(rule.name, Stage.ESCALATE, step + 1, "", tuple(subjects), event, due_ms)
            self._wait(turn, waiting, facts)

    def _advance(
        self, turn: _Turn, rule: Rule, event: Happened, subject: str, stage: Stage, facts: SessionFacts, step: int
    ) -> None:
        verdict = judge(rule, event, subject, stage, self._now_ms(), facts, self._people)
        if verdict.act == "tell":
            self._deliver(turn, rule, subject, [event], step)
        elif verdict.act == "wait":
            waiting = Waiting(rule.name, verdict.stage, step, subject, (), event, verdict.due_ms)
            self._wait(turn, waiting, facts)

    def _wait(self, turn: _Turn, waiting: Waiting, facts: SessionFacts) -> None:
        if waiting.stage is Stage.DIGEST:
            before = next(self._room.gathered(waiting), None)
            same = (
                w for w in turn.waits if (w.rule, w.subject, w.stage) == (waiting.rule, waiting.subject, waiting.stage)
            )
            before = before or next(same, None)
            if before is not None:
                waiting = Waiting(
                    waiting.rule, waiting.stage, waiting.step, waiting.subject, waiting.told, waiting.event,
                    before.due_ms,
                )  # fmt: skip
        if len(self._room) + len(turn.waits) < self._limits.hooks_waits_max:
            turn.waits.append(waiting)
            return
        _log.warning("hooks_full", rule=waiting.rule, waits=self._limits.hooks_waits_max)
        rule = self._rules.get(waiting.rule)
        if rule is not None and waiting.stage is not Stage.ESCALATE:  # Invariant 3.
            self._deliver(turn, rule, waiting.subject, [waiting.event], waiting.step)

    def _deliver(self, turn: _Turn, rule: Rule, subject: str, events: Sequence[Happened], step: int) -> None:
        route = route_of(rule, subject, self._concurrency)
        self._add(
            turn,
            make_delivery(
                route, subject, events, now_ms=self._now_ms(), step=step, content=rule.content,
                options=options_of(rule),
            ),
        )  # fmt: skip

    def _add(self, turn: _Turn, delivery: Delivery) -> None:
        reason = self._disabled.get(delivery.target)
        if reason is not None:
            delivery = Delivery(
                delivery.id, delivery.session, delivery.target, delivery.lane, delivery.data, delivery.subject,
                delivery.seq, delivery.tag, delivery.due_ms, delivery.made_ms, delivery.incarnation, state="dead",
                ended_ms=delivery.made_ms, reason=f"the target is disabled: {reason}"[:200],
            )  # fmt: skip
        turn.deliveries.append(delivery)

    # What is due

    def _due(self, turn: _Turn, waiting: Waiting) -> None:
        turn.done[waiting.row] = None
        rule = self._rules.get(waiting.rule)
        if rule is None:
            return
        if waiting.stage is Stage.ESCALATE:
            facts = self._of(waiting.event)
            if not was_read(waiting.event, waiting.told, facts):
                self._apply(turn, rule, waiting.event, facts, waiting.step)
        elif waiting.stage not in GATHERED:
            facts = self._of(waiting.event)
            self._advance(turn, rule, waiting.event, waiting.subject, waiting.stage, facts, waiting.step)
        else:
            together = [w for w in self._room.gathered(waiting) if w.due_ms <= waiting.due_ms]
            events = []
            for each in together:
                turn.done[each.row] = None
                verdict = judge(
                    rule, each.event, each.subject, each.stage, self._now_ms(), self._of(each.event), self._people
                )
                if verdict.act == "wait":  # A digest that falls into quiet hours.
                    self._wait(
                        turn,
                        Waiting(rule.name, verdict.stage, each.step, each.subject, (), each.event, verdict.due_ms),
                        self._of(each.event),
                    )
                elif verdict.act == "tell":
                    events.append(each.event)
            if events:
                self._deliver(turn, rule, waiting.subject, events, waiting.step)

    # Agents that are called, and who comes and goes

    def _call(self, turn: _Turn, event: Happened) -> None:
        agent = str(event.data["agent"])
        for target in self._wakes.get(agent, ()):
            route = Route("", WAKE, target)
            delivery = make_delivery(route, "", [event], now_ms=self._now_ms())
            turn.deliveries.append(
                Delivery(
                    delivery.id, delivery.session, target, f"{WAKE}:{target}/{event.session}/{event.run}",
                    delivery.data, tag=f"w:{event.run}", due_ms=delivery.due_ms, made_ms=delivery.made_ms,
                    incarnation=delivery.incarnation,
                )
            )  # fmt: skip
        if not self._people.serving(agent):
            needed = event_id(event.incarnation, f"{event.id}.needed")
            data = {"agent": agent, "run": event.run}
            self._tell(
                turn,
                Happened(
                    needed, "agent.needed", event.at_ms, event.session, event.incarnation, event.by, data, event.seq,
                    event.run, event.message,
                ),
                self._of(event),
            )  # fmt: skip

    def _changed(self, session: str, subject: str, before: str, after: str) -> None:
        looks = subject.startswith(PERSON) and bool(session) and self._people.watching(session, subject)
        self._presence.append((session, subject, before, after, looks))
        self.wake()

    def _presence_event(self, turn: _Turn, session: str, subject: str, before: str, after: str, looks: bool) -> None:
        facts = self._facts.get((session, "")) or SessionFacts()
        if looks:
            self._looked(turn, session, subject)
        kind = subject.partition(":")[0]
        data: dict[str, Json] = {"subject": subject, "kind": kind}
        here, was_here = after in ("active", "idle"), before in ("active", "idle")
        types = []
        if before == "offline" and after != "offline":
            types.append("participant.joined")
        elif after == "offline" and before != "offline":
            types.append("participant.left")
        elif here and not was_here:
            types.append("participant.back")
        elif was_here and not here:
            types.append("participant.away")
        for type in types:
            self._tell(turn, self._made(type, session, subject, data, facts), facts)
        if kind == "agent" and "participant.left" in types and not self._people.serving(subject):
            self._tell(turn, self._made("agent.offline", session, subject, {"agent": subject}, facts), facts)

    def _looked(self, turn: _Turn, session: str, subject: str) -> None:
        """Somebody looks at a session: nothing in it is news to them any more."""
        newest = max((known.seq for (name, _), known in self._facts.items() if name == session), default=0)
        if newest:
            turn.settled.append(Settled(session, "", subject=subject, seq=newest, withdraw=WITHDRAWN_LANES))
        for waiting in self._room.of(session):
            if waiting.subject == subject:
                turn.done[waiting.row] = None

    def _made(self, type: str, session: str, by: str, data: Mapping[str, Json], facts: SessionFacts) -> Happened:
        id = "evt_" + secrets.token_hex(16)
        return Happened(id, type, self._now_ms(), session, "", by, data, facts.seq, "", "")
