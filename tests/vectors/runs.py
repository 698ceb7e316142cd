"""Vectors of runs: receipts and agents' entries, and what a reader makes of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from syncd.core.replica import Replica, SharedMap
from syncd.core.run_view import RunViews
from syncd.core.schema import Root
from syncd.core.transcript import MessageView
from syncd.core.update import Kind
from tests.vectors.vector import Vectors, to_json

AGENT = "agent:planner"
Fields = Mapping[str, Any]


def run_vectors() -> Vectors:
    """Return runs in all of their states."""
    return {
        "about": "receipts and entries of `runs` by key; the runs that they are, and which attempts' output counts",
        "cases": [_case(name, *story) for name, story in _stories().items()],
    }


def _fact(lease: str, attempt: int, since: int = 1, **fields: Any) -> Fields:
    return {"lease": lease, "attempt": attempt, "since": since, **fields}


def _attempt(status: str = "running", **fields: Any) -> Fields:
    return {"status": status, **fields}


_Story = tuple[list[Fields], dict[int, Fields]] | tuple[list[Fields], dict[int, Fields], list[Fields]]


def _stories() -> dict[str, _Story]:
    """Return facts, and entries by attempt, of one run each; and the facts of the run `p`, where there is one above."""
    stories: dict[str, _Story] = {
        "begun here, the server said nothing": ([], {1: _attempt()}),
        "waits for its first worker": ([_fact("queued", 0, 0, message="m", expires_at=99)], {}),
        "waits to be taken up": ([_fact("live", 1), _fact("queued", 1, resume=True)], {1: _attempt("suspended")}),
        "lost its worker and waits": ([_fact("live", 1), _fact("queued", 1)], {1: _attempt()}),
        "ended by the server": (
            [_fact("queued", 0, 0), _fact("ended", 0, 0, status="failed", code="expired")], {},
        ),
        "ended by receipt, whatever it says later": (
            [_fact("live", 1), _fact("ended", 1, status="cancelled", cancelled_by="user:mona")],
            {1: _attempt("completed")},
        ),
        "taken over, and the old attempt speaks on": (
            [_fact("live", 1), _fact("live", 2, 2, worker="w2")],
            {1: _attempt("completed", finish_reason="stop", usage={"input_tokens": 1}), 2: _attempt()},
        ),
        "failed with its error": (
            [_fact("live", 1, worker="w"), _fact("ended", 1, status="failed")],
            {1: _attempt("failed", ended_at=7, finish_reason="error", error={"code": "c", "message": "m"},
                         usage={"input_tokens": 3}, provider={"id": "x"}, parent_run="p", message="m")},
        ),
        "below an attempt that does not count": (
            [_fact("live", 1, parent_run="p", parent_attempt=1)], {}, [_fact("live", 1), _fact("live", 2, 2)],
        ),
        "below an attempt that counts": (
            [_fact("live", 1, parent_run="p", parent_attempt=2)], {}, [_fact("live", 1), _fact("live", 2, 2)],
        ),
        "a cancel is on its way": ([_fact("live", 1), _fact("live", 1, cancelled_by="user:mona")], {1: _attempt()}),
        "a steer taken by an attempt that does not count": (
            [_fact("live", 1), _fact("live", 2, 2)],
            {1: _attempt(consumed={"c1": 1}), 2: _attempt(consumed={"c2": 2})},
        ),
        "steers taken by two attempts": (
            [_fact("live", 2)], {1: _attempt(consumed={"c1": 1}), 2: _attempt(consumed={"c2": 2})},
        ),
    }  # fmt: skip
    for lease in ("queued", "live", "suspended", "interrupted"):
        for said in ("running", "suspended", "detached", "completed", "failed", "cancelled"):
            stories[f"{lease}, and its agent says {said}"] = [_fact(lease, 1)], {1: _attempt(said)}
    return stories


def _case(name: str, facts: list[Fields], attempts: dict[int, Fields], above: Sequence[Fields] = ()) -> Vectors:
    receipts: dict[str, Any] = {}
    for id, told in (("p", above), ("r", facts)):
        for number, fact in enumerate(told):
            made = {"agent": AGENT, "by": "user:mona"} if number == 0 else {}
            receipts[f"r:{id}.{number}"] = {"at": 10 + number, **made, **fact}
    begun = {"run": "r", "agent": AGENT, "task": "a task", "started_at": 5}
    entries = {f"r_{number}": {**begun, "attempt": number, **fields} for number, fields in attempts.items()}
    replica = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=1 << 52)
    for key, entry in entries.items():
        body = SharedMap(entry)
        body["consumed"] = SharedMap(entry.get("consumed", {}))
        replica.edit(lambda r, key=key, body=body: r.set((Root.RUNS,), key, body))  # type: ignore[misc]
    for key, receipt in receipts.items():
        replica.edit(lambda r, key=key, receipt=receipt: r.set((Root.RECEIPTS,), key, receipt))  # type: ignore[misc]
    views = RunViews()
    run = views.run(replica, "r")
    assert run is not None
    counts = [attempt for attempt in range(1, 5) if not views.superseded(replica, _output(attempt))]
    # A document gives the keys of a value in no order of its own.
    expected = _sorted(to_json({**dataclasses.asdict(run), "ended": run.ended}))
    return {"name": name, "receipts": receipts, "entries": entries, "run": expected, "counts": counts}


def _sorted(value: Any) -> Any:
    return {key: _sorted(value[key]) for key in sorted(value)} if isinstance(value, dict) else value


def _output(attempt: int) -> MessageView:
    return MessageView("m", "assistant", {}, (), (), 0, "r", attempt, None, None, {}, None)
