"""Events: what a session's story tells those who are not looking, one for each fact that the server wrote down.

Derived in the turn that decides, from facts and receipts alone, and committed with them. Knows nothing of who is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from syncd.core.facts import AskedFact, NewCommandFact, NewMessageFact, ReadFact
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.core.schema import SERVER_SUBJECT

#: Every type of event that a session's log makes.
EVENT_TYPES: Final = (
    "message.created",
    "run.queued",
    "run.started",
    "run.suspended",
    "run.interrupted",
    "run.resumed",
    "run.ended",
    "approval.requested",
    "command.decided",
    "tool.decided",
    "session.assigned",
    "read.moved",
)
_TARGETS: Final = ("run", "message", "tool_call", "session")
_LEASE_TYPES: Final = {"queued": "run.queued", "interrupted": "run.interrupted", "ended": "run.ended"}


@record
class Event:
    """One thing that happened in a session.

    `key` is unique in the session's incarnation. `by` is the subject that caused it, `at_ms` when the server took it.
    """

    key: str
    type: str
    at_ms: int
    by: str
    body: Mapping[str, Json]


@record
class StoredEvent:
    """One event as read back from a log. Rows ascend in the order of commits, over all sessions; there may be gaps."""

    row: int
    session: str
    incarnation: str
    event: Event

    @property
    def id(self) -> str:
        """The id by which the world knows it."""
        return event_id(self.incarnation, self.event.key)


def event_id(incarnation: str, key: str) -> str:
    """Return the id by which the world knows an event: the same whoever derives it, however often."""
    return "evt_" + blake2b(f"{incarnation}\n{key}".encode(), digest_size=16).hexdigest()


def message_event(fact: NewMessageFact, seq: int, at_ms: int) -> Event:
    """Return the event of a message that got its receipt."""
    body: dict[str, Json] = {"message": fact.id, "role": fact.role, "to": [*fact.to], "seq": seq, "text": fact.text}
    if fact.run:
        body["run"] = fact.run
    return Event(f"m:{fact.id}", "message.created", at_ms, fact.by, body)


def command_event(fact: NewCommandFact, seq: int, outcome: str, at_ms: int) -> Event:
    """Return the event of a command that was decided on."""
    value = fact.value if isinstance(fact.value, dict) else {}
    target = next((found for name in _TARGETS if isinstance(found := value.get(name), str)), "")
    kind = value.get("kind")
    body: dict[str, Json] = {
        "command": fact.id,
        "kind": kind if isinstance(kind, str) else "",
        "target": target,
        "seq": seq,
        "outcome": outcome,
    }
    return Event(f"c:{fact.id}", "command.decided", at_ms, fact.by, body)


def asked_event(fact: AskedFact, run: str, at_ms: int) -> Event:
    """Return the event of a tool call that waits for somebody's yes."""
    body: dict[str, Json] = {"run": run, "message": fact.message, "tool_call": fact.tool_call, "name": fact.name}
    return Event(f"t:{fact.tool_call}", "approval.requested", at_ms, fact.by, body)


def read_event(fact: ReadFact, at_ms: int) -> Event:
    """Return the event of somebody having read on."""
    return Event(f"p:{fact.by}.{fact.seq}", "read.moved", at_ms, fact.by, {"subject": fact.by, "seq": fact.seq})


def decision_event(key: str, tool_call: str, decision: Mapping[str, Json], at_ms: int) -> Event:
    """Return the event of the one decision on a tool call, from its receipt."""
    body = {"tool_call": tool_call, "kind": decision["kind"], "command": decision["command"]}
    return Event(key, "tool.decided", at_ms, str(decision["by"]), body)


def assigned_event(key: str, handover: Mapping[str, Json], at_ms: int) -> Event:
    """Return the event of somebody else being responsible now, from its receipt."""
    body = {name: handover[name] for name in ("to", "note", "command") if name in handover}
    return Event(key, "session.assigned", at_ms, str(handover["by"]), body)


def run_event(
    key: str, receipt: Mapping[str, Json], before: str, begun: int, *, run: str, agent: str, message: str, parent: str
) -> Event | None:
    """Return the event of a run's fact, from its receipt; None if it tells of nothing new.

    `before` is the lease of the fact before, empty if there is none; `begun` the highest attempt that was live by then.
    """
    lease, attempt = str(receipt["lease"]), int(str(receipt["attempt"]))
    if lease == before:
        return None  # A cancel that its worker is told of: the command says so.
    if lease == "live":
        type = "run.started" if attempt > begun and receipt["since"] == attempt else "run.resumed"
    else:
        type = _LEASE_TYPES.get(lease, "run.suspended")
    body: dict[str, Json] = {"run": run, "agent": agent, "attempt": attempt}
    body |= {name: found for name, found in (("message", message), ("parent_run", parent)) if found}
    body |= {name: receipt[name] for name in ("status", "code", "resume") if name in receipt}
    by = str(receipt.get("by") or agent)
    if lease == "interrupted" or "code" in receipt:
        by = SERVER_SUBJECT
    elif receipt.get("status") == "cancelled":
        by = str(receipt.get("cancelled_by") or agent)
    return Event(key, type, int(str(receipt["at"])), by, body)
