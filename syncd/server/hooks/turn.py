"""Turn: what some events, and some notices that became due, come to: deliveries, waits, and what is taken back.

Made in memory, to be stored as one. Knows nothing of the log, the store or of channels.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from syncd.core.events import StoredEvent, event_id
from syncd.core.ids import is_person
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.server.hooks.conditions import PeoplePort, answers, reason_not, settled_tags, was_read
from syncd.server.hooks.happened import Happened, SessionFacts
from syncd.server.hooks.judge import GATHERED, Stage, judge, persons
from syncd.server.hooks.known import Known
from syncd.server.hooks.making import WAKE, WITHDRAWN_LANES, Route, make_delivery, options_of, route_of
from syncd.server.hooks.overlooked import Lookout, Overlooked
from syncd.server.hooks.rulebook import RuleBook
from syncd.server.hooks.rules import Rule
from syncd.server.hooks.waiting import Waiting, WaitingRoom
from syncd.store.hook_rows import DEAD, About, Delivery, HookTurn, Settled, settles

_log = structlog.get_logger("syncd.hooks")

_HERE = ("active", "idle")
#: How many times `hooks_waits_max` may wait before an escalation does not.
_ESCALATIONS = 2
#: After somebody may be back: who is there is looked at a moment later than it changes.
_AFTER_MS = 1_000


@record
class Change:
    """Somebody's status in a session is another, or at `looks_ms`, if that is not 0, they begin to look at it."""

    session: str
    subject: str
    before: str
    after: str
    looks_ms: int = 0


@record
class Offline:
    """An agent's last worker is gone. The session is empty where that is news in none."""

    session: str
    agent: str


@dataclass(frozen=True, slots=True)
class World:
    """What a turn looks at. `concurrency` is each target's, `wakes` the targets that call an agent, `disabled` those
    that nothing is sent to, with the reasons; it changes. `lookout` is what was not told since somebody was there."""

    rules: RuleBook
    people: PeoplePort
    known: Known
    room: WaitingRoom
    limits: Limits
    now_ms: Callable[[], int]
    concurrency: Mapping[str, int]
    wakes: Mapping[str, Sequence[str]]
    disabled: Mapping[str, str]
    lookout: Lookout


def happened(stored: StoredEvent, facts: SessionFacts) -> Happened:
    """Return an event as rules see it."""
    event, body = stored.event, stored.event.body
    seq = body.get("seq")
    at = seq if event.type == "message.created" and isinstance(seq, int) else facts.seq
    where = (stored.session, stored.incarnation)
    about = (facts.run_of(body), facts.message_of(body))
    return Happened(stored.id, event.type, event.at_ms, *where, event.by, body, at, *about)


class Turn:
    """One turn. Give it events, changes and what is due, in any order; then store `stored()`.

    1. What is answered or read by an event is taken back, whether it was stored before or made in this turn.
    2. Of what waits there is a bound, `hooks_waits_max`: beyond it, what would wait is told at once, unless somebody
       looks at it. Escalations, which nobody wants early, have twice of that.
    3. An event that cannot be judged is logged and left out: it holds up no other.
    """

    def __init__(self, world: World, cursor: int) -> None:
        self._world = world
        self._now_ms = world.now_ms()
        #: The row of the last event that it took.
        self.cursor = cursor
        self._about: dict[tuple[str, str, str], About] = {}
        self._settled: list[Settled] = []
        self._deliveries: list[Delivery] = []
        #: What was not told because somebody was there.
        self.overlooked: list[Overlooked] = []
        #: What waits from now on, and rows of what does not wait any more.
        self.waits: list[Waiting] = []
        #: When those are due that are told together, of those that wait from now on.
        self._gathering: dict[tuple[str, str, Stage], int] = {}
        #: How many did not wait since too many did.
        self.hurried = 0
        self.done: dict[int, None] = {}

    def __len__(self) -> int:
        """How much there is to store."""
        return len(self._deliveries) + len(self.waits)

    def stored(self) -> HookTurn:
        """Return all of it, to be stored."""
        waits = [waiting.wait() for waiting in self.waits]
        about = [*self._about.values()]
        return HookTurn(self.cursor, self._deliveries, waits, [*self.done], about, self._settled, self._now_ms)

    # Events

    def take(self, stored: StoredEvent) -> None:
        """Take an event of the log. Its session is known."""
        self.cursor = stored.row
        try:
            self._take(stored)
        except Exception:  # noqa: BLE001 - invariant 3
            _log.exception("hook_event_failed", session=stored.session, type=stored.event.type)

    def _take(self, stored: StoredEvent) -> None:
        facts = self._world.known.get((stored.session, stored.incarnation))
        source = stored.event
        kept = [*facts.learn(source.type, source.by, source.body)]
        event = happened(stored, facts)
        self._keep(event, kept)
        self._settle(event, facts)
        self._tell(event, facts)
        if event.type == "run.queued":
            self._call(event, facts)
        elif event.type == "run.ended":
            self._keep(event, [*facts.forget(event.run)])

    def _keep(self, event: Happened, kept: Sequence[tuple[str, bytes]]) -> None:
        for key, data in kept:
            where = event.session, event.incarnation, key
            self._about[where] = About(*where, data)

    def _settle(self, event: Happened, facts: SessionFacts) -> None:
        """Take back what this event answers, and what its person has read."""
        where = event.session, event.incarnation
        settled = [Settled(*where, tag=tag, withdraw=WITHDRAWN_LANES) for tag in settled_tags(event, facts)]
        room, reader = self._world.room, event.by
        if event.type in ("message.created", "read.moved") and is_person(reader):
            settled.append(Settled(*where, subject=reader, seq=facts.reads.get(reader, 0), withdraw=WITHDRAWN_LANES))
            self._end(room.of_person(event.session, reader), lambda w: was_read(w.event, [reader], facts))
        self._end(room.answerable(event.session), lambda w: answers(event, w.event))
        for one in settled:  # Invariant 1.
            self._deliveries = [delivery for delivery in self._deliveries if not settles(one, delivery)]
        self._settled += settled
        self.waits = [w for w in self.waits if w.event.session != event.session or not answers(event, w.event)]

        def over(notice: Overlooked) -> bool:
            return answers(event, notice.event) or was_read(notice.event, [notice.subject], facts)

        self.overlooked = [n for n in self.overlooked if n.event.session != event.session or not over(n)]
        self._world.lookout.drop(event.session, over)

    def _end(self, stored: Iterator[Waiting], holds: Callable[[Waiting], bool]) -> None:
        """Have those not wait any more for which something holds."""
        self.done |= dict.fromkeys(waiting.row for waiting in stored if holds(waiting))

    def _tell(self, event: Happened, facts: SessionFacts) -> None:
        for rule in self._world.rules.on(event.type):
            if not rule.mismatch(event.session, event.data):
                self._apply(rule, event, facts)

    def _apply(self, rule: Rule, event: Happened, facts: SessionFacts, step: int = 0, told: Sequence[str] = ()) -> None:
        subjects = persons(rule, event, facts, self._world.people, step)
        for subject in subjects:
            self._advance(rule, event, subject, Stage.UNREAD if step else Stage.START, facts, step)
        if rule.escalate_after_s is not None and step < len(rule.escalate_to):
            due_ms = (event.at_ms if step == 0 else self._now_ms) + int(rule.escalate_after_s * 1000)
            self._wait(Waiting(rule.name, Stage.ESCALATE, step + 1, "", (*told, *subjects), event, due_ms))

    def _advance(self, rule: Rule, event: Happened, subject: str, stage: Stage, facts: SessionFacts, step: int) -> bool:
        """Do what follows for one person or target; return whether it is to be told now, which is left to the caller
        for what is gathered."""
        verdict = judge(rule, event, subject, stage, self._now_ms, facts, self._world.people)
        if verdict.act == "wait":
            self._wait(Waiting(rule.name, verdict.stage, step, subject, (), event, verdict.due_ms))
        elif verdict.act == "tell" and stage not in GATHERED:
            self._deliver(rule, subject, [event], step)
        elif verdict.why is not None and (here := set(verdict.why.here)):
            where = verdict.why.session
            self.overlooked.append(Overlooked(rule.name, stage, step, subject, event, here, where, self._now_ms))
        return verdict.act == "tell"

    def _wait(self, waiting: Waiting) -> None:
        if waiting.stage is Stage.DIGEST:
            waiting = replace(waiting, due_ms=self._gathered_ms(waiting))
        waits_max = self._world.limits.hooks_waits_max * (_ESCALATIONS if waiting.stage is Stage.ESCALATE else 1)
        if len(self._world.room) + len(self.waits) < waits_max:
            self.waits.append(waiting)
            return
        self.hurried += 1
        if (rule := self._world.rules.get(waiting.rule)) is None:
            return
        facts = self._world.known.of(waiting.event)
        if waiting.stage is Stage.ESCALATE:  # Invariant 2.
            self._apply(rule, waiting.event, facts, waiting.step, waiting.told)
        elif not reason_not(rule, waiting.event, waiting.subject, facts, self._world.people):
            self._deliver(rule, waiting.subject, [waiting.event], waiting.step)

    def _gathered_ms(self, waiting: Waiting) -> int:
        """Return when the first is due of what is told together with this one, and is not due yet."""
        before = (one.due_ms for one in self._world.room.gathered(waiting) if one.row not in self.done)
        return self._gathering.setdefault(
            waiting.group, next((due_ms for due_ms in before if due_ms > self._now_ms), waiting.due_ms)
        )

    def _deliver(self, rule: Rule, subject: str, events: Sequence[Happened], step: int) -> None:
        route = route_of(rule, subject, self._world.concurrency)
        options = options_of(rule)
        self._add(make_delivery(route, subject, events, self._now_ms, step, content=rule.content, options=options))

    def _add(self, delivery: Delivery) -> None:
        disabled = self._world.disabled.get(delivery.target)
        if disabled is not None:
            reason = f"the target is disabled: {disabled}"[:200]
            delivery = replace(delivery, state=DEAD, ended_ms=self._now_ms, reason=reason)
        self._deliveries.append(delivery)

    # What is due

    def due(self, waiting: Waiting) -> None:
        """Take something that became due, unless this turn has dealt with it already."""
        rule = self._world.rules.get(waiting.rule)
        if waiting.row in self.done:
            return
        self.done[waiting.row] = None
        if rule is None:
            return
        try:
            self._due(rule, waiting)
        except Exception:  # noqa: BLE001 - invariant 3
            _log.exception("hook_wait_failed", session=waiting.event.session, rule=waiting.rule)

    def _due(self, rule: Rule, waiting: Waiting) -> None:
        facts = self._world.known.of(waiting.event)
        if waiting.stage is Stage.ESCALATE:
            if not was_read(waiting.event, waiting.told, facts):
                self._apply(rule, waiting.event, facts, waiting.step, waiting.told)
        elif waiting.stage not in GATHERED:
            self._advance(rule, waiting.event, waiting.subject, waiting.stage, facts, waiting.step)
        else:
            events = []
            for each in self._world.room.gathered(waiting):
                if each.row != waiting.row and (each.row in self.done or each.due_ms > waiting.due_ms):
                    continue
                self.done[each.row] = None
                facts = self._world.known.of(each.event)
                if self._advance(rule, each.event, each.subject, each.stage, facts, each.step):
                    events.append(each.event)
            if events:
                self._deliver(rule, waiting.subject, events, waiting.step)

    def again(self, notice: Overlooked) -> None:
        """Take a notice that nobody saw after all: it is looked at again as soon as whoever lost a link can be back."""
        due_ms = self._now_ms + int(self._world.limits.presence_grace_s * 1000) + _AFTER_MS
        self._wait(Waiting(notice.rule, notice.stage, notice.step, notice.subject, (), notice.event, due_ms))

    # Agents that are called, and who comes and goes

    def _call(self, event: Happened, facts: SessionFacts) -> None:
        agent = str(event.data["agent"])
        for target in self._world.wakes.get(agent, ()):
            self._add(make_delivery(Route("", WAKE, target, event.run), "", [event], self._now_ms))
        if not self._world.people.serving(agent):
            id = event_id(event.incarnation, f"{event.id}.needed")
            data = {"agent": agent, "run": event.run}
            self._tell(replace(event, id=id, type="agent.needed", data=data), facts)

    def changed(self, change: Change) -> None:
        """Take somebody's coming or going. The session is known as it is now."""
        session, subject, before, after = change.session, change.subject, change.before, change.after
        facts = self._world.known.get((session, ""))
        if change.looks_ms:
            self._looked(session, subject, facts, change.looks_ms)
        kind = subject.partition(":")[0]
        type = _change_type(before, after)
        if type:
            self._tell(self._made(type, session, subject, {"subject": subject, "kind": kind}, facts), facts)

    def offline(self, lost: Offline) -> None:
        """Take an agent's going. The session is known as it is now."""
        facts = self._world.known.get((lost.session, ""))
        self._tell(self._made("agent.offline", lost.session, lost.agent, {"agent": lost.agent}, facts), facts)

    def _looked(self, session: str, subject: str, facts: SessionFacts, at_ms: int) -> None:
        """Somebody looks at a session: nothing in it is news to them any more."""
        if facts.seq:
            settled = Settled(session, "", subject=subject, seq=facts.seq, withdraw=WITHDRAWN_LANES)
            self._settled.append(settled)
            if self._world.people.watching(session, subject):  # What this turn brought they see as well.
                self._deliveries = [delivery for delivery in self._deliveries if not settles(settled, delivery)]
        self._end(self._world.room.of_person(session, subject), lambda waiting: waiting.subject == subject)
        mine = (session, subject)
        self.waits = [w for w in self.waits if (w.event.session, w.subject) != mine or w.event.at_ms > at_ms]

    def _made(self, type: str, session: str, by: str, data: Mapping[str, Json], facts: SessionFacts) -> Happened:
        id = "evt_" + secrets.token_hex(16)
        return Happened(id, type, self._now_ms, session, "", by, data, facts.seq, "", "")


def _change_type(before: str, after: str) -> str:
    """Return the type of event that a change of status is, empty for none."""
    if before == "offline" and after != "offline":
        return "participant.joined"
    if after == "offline" and before != "offline":
        return "participant.left"
    if after in _HERE and before not in _HERE:
        return "participant.back"
    if before in _HERE and after not in _HERE:
        return "participant.away"
    return ""
