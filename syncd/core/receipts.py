"""Receipts: numbers what a batch brought, and has it decided on: the receipts of one turn, in order. PROTOCOL 5.2.

Facts and time in, entries out. Knows nothing of updates, nor of how entries are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from syncd.core.content import Content
from syncd.core.decisions import Decisions
from syncd.core.facts import Fact, NewAttemptFact, NewCommandFact, NewMessageFact, StatusFact
from syncd.core.messages import Json
from syncd.core.work import WorkRow


def decide(
    facts: Iterable[Fact], content: Content, decisions: Decisions, *, now: float, now_ms: int
) -> tuple[Sequence[tuple[str, Json]], Sequence[WorkRow]]:
    """Return the receipts of a batch, pairs of key and value, and the runs that they move.

    One for every message and command, which get the session's next numbers, then what was decided of runs. `now` is
    monotonic in seconds, `now_ms` Unix.
    """
    numbered: list[tuple[str, Json]] = []
    for fact in facts:
        if isinstance(fact, NewMessageFact):
            content.seq += 1
            numbered.append((f"m:{fact.id}", {"seq": content.seq, "by": fact.by, "at": now_ms}))
            decisions.message(fact, now_ms)
        elif isinstance(fact, NewCommandFact):
            content.seq += 1
            outcome = str(decisions.command(fact, now_ms))
            numbered.append((f"c:{fact.id}", {"seq": content.seq, "by": fact.by, "at": now_ms, "outcome": outcome}))
        elif isinstance(fact, NewAttemptFact):
            decisions.attempt(fact, now_ms)
        elif isinstance(fact, StatusFact):
            decisions.status(fact, now_ms)
        else:
            decisions.claim(fact, now_ms)
    decisions.settle(now, now_ms)
    receipts, work = decisions.take()
    return numbered + receipts, work
