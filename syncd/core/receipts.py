"""Receipts: numbers what a batch brought, and has it decided on: the receipts of one turn, in order. PROTOCOL 5.2.

Facts and time in, entries out. Knows nothing of updates, nor of how entries are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncd.core.content import Content
from syncd.core.decisions import Decisions
from syncd.core.events import Event, asked_event, command_event, message_event, read_event
from syncd.core.facts import (
    AskedFact,
    ClaimFact,
    Fact,
    NewAttemptFact,
    NewCommandFact,
    NewMessageFact,
    ReadFact,
    StatusFact,
    WakeFact,
)
from syncd.core.ids import run_of_call
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.core.work import WorkRow


@record
class Decided:
    """What one turn came to: its receipts (key and value), the runs that they move, and the events they tell of."""

    receipts: Sequence[tuple[str, Json]] = ()
    work: Sequence[WorkRow] = ()
    events: Sequence[Event] = ()


def decide(facts: Iterable[Fact], content: Content, decisions: Decisions, *, now: float, now_ms: int) -> Decided:
    """Decide on a batch.

    A receipt for every message and command, which get the session's next numbers, then for what was decided of runs.
    `now` is monotonic in seconds, `now_ms` Unix.
    """
    numbered: list[tuple[str, Json]] = []
    events: list[Event] = []
    for fact in facts:
        if isinstance(fact, NewMessageFact):
            content.seq += 1
            numbered.append((f"m:{fact.id}", {"seq": content.seq, "by": fact.by, "at": now_ms}))
            events.append(message_event(fact, content.seq, now_ms))
            decisions.message(fact, now_ms)
        elif isinstance(fact, NewCommandFact):
            content.seq += 1
            outcome = str(decisions.command(fact, now_ms))
            numbered.append((f"c:{fact.id}", {"seq": content.seq, "by": fact.by, "at": now_ms, "outcome": outcome}))
            events.append(command_event(fact, content.seq, outcome, now_ms))
        elif isinstance(fact, AskedFact):
            run = run_of_call(fact.tool_call)
            if decisions.agent(run) == fact.by:
                events.append(asked_event(fact, run, now_ms))
        elif isinstance(fact, ReadFact):
            events.append(read_event(fact, now_ms))
        else:
            _move(fact, decisions, now_ms)
        events += decisions.take_events()
    decisions.settle(now, now_ms)
    receipts, work = decisions.take()
    return Decided(numbered + receipts, work, events + decisions.take_events())


def _move(fact: NewAttemptFact | StatusFact | WakeFact | ClaimFact, decisions: Decisions, now_ms: int) -> None:
    if isinstance(fact, NewAttemptFact):
        decisions.attempt(fact, now_ms)
    elif isinstance(fact, StatusFact):
        decisions.status(fact, now_ms)
    elif isinstance(fact, WakeFact):
        decisions.wake(fact, now_ms)
    else:
        decisions.claim(fact, now_ms)
