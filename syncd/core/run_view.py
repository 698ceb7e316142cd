"""RunView: one run as a reader sees it, of what the server decided and what its agent wrote. PROTOCOL 5.

Reads a `Replica` of the transcript. Knows nothing of how runs are written (see `run_writer`) or decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from syncd.core.ids import run_key, run_of_call, split_run_key
from syncd.core.messages import Json
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.transcript import MessageView

#: What a run may end as. It stays so.
RUN_ENDS: Final = frozenset({"completed", "failed", "cancelled"})
_FACT: Final = "r:"


@dataclass(frozen=True, slots=True)
class RunView:
    """One agent working on one thing.

    `status` is the effective one: `queued`, `running`, `suspended`, `interrupted`, `completed`, `failed` or
    `cancelled`. `lease` is what the server said last, empty while it said nothing. Output of attempts below `since`
    and above `attempt` is superseded. `parent_attempt` is the attempt
    of the run above that made it. `by` is the subject whose message or entry made the run. `consumed` maps the
    steers that the agent took to when it did (Unix ms), as all times here. `resume`: it waits for a worker that goes
    on with what is there.
    """

    id: str
    agent: str
    status: str
    attempt: int
    since: int
    lease: str = ""
    message: str | None = None
    parent_run: str | None = None
    parent_attempt: int | None = None
    task: str | None = None
    by: str | None = None
    worker: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    expires_at: int | None = None
    finish_reason: str | None = None
    error: Mapping[str, Json] | None = None
    usage: Mapping[str, Json] = field(default_factory=dict)
    provider: Mapping[str, Json] = field(default_factory=dict)
    consumed: Mapping[str, int] = field(default_factory=dict)
    cancelled_by: str | None = None
    resume: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.status in RUN_ENDS

    def json(self) -> dict[str, Json]:
        """Return it as plain JSON, without what is not known."""
        body: dict[str, Json] = {"id": self.id, "agent": self.agent, "status": self.status}
        body |= {"attempt": self.attempt, "since": self.since}
        for name in (
            "message", "parent_run", "task", "by", "worker", "started_at", "ended_at", "expires_at", "finish_reason",
            "cancelled_by",
        ):  # fmt: skip
            if getattr(self, name) is not None:
                body[name] = getattr(self, name)
        for name in ("error", "usage", "provider", "consumed"):
            if getattr(self, name):
                body[name] = dict(getattr(self, name))
        return body


class RunViews:
    """The runs of a transcript, read once and again only where something changed.

    1. What the server wrote counts; what the agent's entries add is of the current attempt, `consumed` of all whose
       output counts: a steer that an attempt took which was given up waits for the next one.
    2. Of messages that name a run, those count that its agent wrote: see `is_output`.
    """

    def __init__(self) -> None:
        self._views: dict[str, RunView] = {}
        # Receipts are never changed: a run's are read on from where they were read to.
        self._facts: dict[str, list[Mapping[str, Json]]] = {}
        self._attempts: dict[str, set[int]] = {}
        self._stale: set[str] | None = None
        self._handoffs: list[Mapping[str, Json]] = []

    def touch(self, entries: Iterable[tuple[str, str]]) -> None:
        """Note that these top-level entries, pairs of root and key, changed."""
        if self._stale is None:
            return
        for root, key in entries:
            self._touch(root, key, self._stale)

    def reset(self) -> None:
        """Forget everything: the document was replaced."""
        self._views, self._facts, self._attempts, self._stale, self._handoffs = {}, {}, {}, None, []

    def runs(self, replica: Replica) -> list[RunView]:
        """Return all runs, in the order they were made in."""
        self._refresh(replica)
        return sorted(self._views.values(), key=lambda view: (self._made_at(view), view.id))

    def run(self, replica: Replica, run: str) -> RunView | None:
        """Return one run, None if there is none of that id."""
        self._refresh(replica)
        return self._views.get(run)

    def superseded(self, replica: Replica, message: MessageView) -> bool:
        """Whether a message is output of an attempt that no longer counts. What others wrote never is."""
        run = self.output_of(replica, message) if message.attempt is not None else None
        if run is None or message.attempt is None:
            return False
        return not run.since <= message.attempt <= run.attempt or self._given_up(run)

    def _given_up(self, run: RunView) -> bool:
        """Whether a run is below an attempt that no longer counts."""
        seen = {run.id}
        while run.parent_attempt is not None and (above := self._views.get(run.parent_run or "")) is not None:
            if run.parent_attempt < above.since:
                return True
            if above.id in seen:
                return False
            seen.add(above.id)
            run = above
        return False

    def output_of(self, replica: Replica, message: MessageView) -> RunView | None:
        """Return the run whose agent wrote a message in it; None for any other message."""
        run = self.run(replica, message.run) if message.run is not None else None
        return run if run is not None and is_output(message, run.id, run.agent) else None

    def decision(self, replica: Replica, tool_call: str) -> Mapping[str, Json] | None:
        """Return the one decision on a tool call, `{command, by, kind, at, payload?}`; None before there is one."""
        found = replica.read(Root.RECEIPTS, f"d:{tool_call}")
        return found if isinstance(found, dict) else None

    def responsible(self, replica: Replica) -> Mapping[str, Json] | None:
        """Return who is responsible now, `{to, by, at, note?, command}`; None if nobody was ever named."""
        while isinstance(found := replica.read(Root.RECEIPTS, f"a:{len(self._handoffs)}"), dict):
            self._handoffs.append(found)
        return self._handoffs[-1] if self._handoffs else None

    def _touch(self, root: str, key: str, stale: set[str]) -> None:
        if root == Root.RUNS:
            run, attempt = split_run_key(key)
            if attempt:
                self._attempts.setdefault(run, set()).add(attempt)
                stale.add(run)
        elif root == Root.RECEIPTS and (changed := run_of_fact(key)):
            stale.add(changed)

    def _refresh(self, replica: Replica) -> None:
        if self._stale is None:
            self._stale = set()
            for root in (Root.RUNS, Root.RECEIPTS):
                for key in replica.keys(root):
                    self._touch(root, key, self._stale)
        stale, self._stale = self._stale, set()
        for run in stale:
            view = self.read(replica, run)
            if view is not None:
                self._views[run] = view

    def _made_at(self, view: RunView) -> int:
        facts = self._facts.get(view.id)
        return (_whole(facts[0].get("at")) if facts else None) or view.started_at or 0

    def read(self, replica: Replica, run: str) -> RunView | None:
        """Return one run as it is now, read on from what is known of it. Of one that the server took that is all."""
        facts = self._facts.setdefault(run, [])
        read_on(replica, run, facts)
        # What a receipt tells of may be in the document before this is told that it is: a view never says that a run
        # is over without why.
        known = self._attempts.setdefault(run, set())
        known.update(range(1, (_whole(facts[-1].get("attempt")) or 0) + 1) if facts else ())
        attempts = {
            attempt: entry
            for attempt in sorted(known)
            if isinstance(entry := replica.read(Root.RUNS, run_key(run, attempt)), dict)
        }
        if not facts and not attempts:
            return None
        return _view(run, facts, attempts)


def read_run(replica: Replica, run: str) -> RunView | None:
    """Return one run, None if there is none of that id. Costs nothing for the others."""
    return RunViews().read(replica, run)


def is_output(message: MessageView, run: str, agent: str) -> bool:
    """Whether `agent` wrote a message in its `run`. Anybody can name the run in a message: that adds nothing to it.

    What has no receipt is of this device, and nobody else sees it.
    """
    return message.run == run and message.by in (None, agent)


def is_call_in(part: Mapping[str, Json], run: str) -> bool:
    """Whether a part is a tool call of `run`, provided that it stands in output of it: what is decided is the run's."""
    call = part.get("tool_call")
    return part.get("type") == "tool" and isinstance(call, str) and run_of_call(call) == run


def read_on(replica: Replica, run: str, facts: list[Mapping[str, Json]]) -> None:
    """Append to `facts`, the first of a run's that were read already, those that came since."""
    while isinstance(fact := replica.read(Root.RECEIPTS, f"{_FACT}{run}.{len(facts)}"), dict):
        facts.append(fact)


def run_of_fact(key: str) -> str:
    """Return the run that a receipt of this key is about; empty if it is about none."""
    return key[len(_FACT) :].rpartition(".")[0] if key.startswith(_FACT) else ""


def _view(run: str, facts: list[Mapping[str, Json]], attempts: Mapping[int, Mapping[str, Json]]) -> RunView:
    first, last = (facts[0], facts[-1]) if facts else ({}, {})
    # One that was begun here is its own word until the server takes it.
    attempt = _whole(last.get("attempt")) if facts else max(attempts)
    since = _whole(last.get("since")) if facts else min(attempts)
    entry = attempts.get(attempt or 0, {})
    made = attempts[min(attempts)] if attempts else {}
    lease = _string(last.get("lease")) or ""
    status = _status(lease, last, entry)
    consumed: dict[str, int] = {}
    for one in (entry for number, entry in attempts.items() if number >= (since or 0)):  # Invariant 1.
        consumed |= {id: _whole(at) or 0 for id, at in _mapping(one.get("consumed")).items()}
    error = _mapping(entry.get("error"))
    if status == "failed" and not error and (code := _string(last.get("code"))):
        error = {"code": code, "message": ""}
    ended = status in RUN_ENDS
    return RunView(
        id=run,
        agent=_string(first.get("agent")) or _string(made.get("agent")) or "",
        status=status,
        attempt=attempt or 0,
        since=since or 0,
        lease=lease,
        message=_string(first.get("message")) or _string(made.get("message")),
        parent_run=_string(first.get("parent_run")) or _string(made.get("parent_run")),
        parent_attempt=_whole(first.get("parent_attempt")),
        task=_string(made.get("task")),
        by=_string(first.get("by")),
        worker=_string(last.get("worker")),
        started_at=_whole(entry.get("started_at")),
        ended_at=(_whole(entry.get("ended_at")) or _whole(last.get("at"))) if ended else None,
        expires_at=_whole(first.get("expires_at")),
        finish_reason=_string(entry.get("finish_reason")),
        error=error or None,
        usage=_mapping(entry.get("usage")),
        provider=_mapping(entry.get("provider")),
        consumed=consumed,
        cancelled_by=_string(last.get("cancelled_by")) or (_string(last.get("by")) if status == "cancelled" else None),
        resume=bool(last.get("resume")),
    )


def _status(lease: str, last: Mapping[str, Json], entry: Mapping[str, Json]) -> str:
    """DESIGN 3: the agent's terminal status if its attempt is the current one, else the server's word, else its own."""
    said = _string(entry.get("status")) or ""
    if lease == "ended":
        return _string(last.get("status")) or "failed"
    if said in RUN_ENDS:
        return said
    if lease == "queued":
        # Offered again after its worker was lost: whoever looks has to see that, until somebody has it.
        return "interrupted" if last.get("attempt") and not last.get("resume") else "queued"
    if lease == "interrupted":
        return lease
    if said in ("running", "suspended", "detached"):
        return "running" if said == "running" else "suspended"
    return "suspended" if lease == "suspended" else "running"


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _whole(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _string(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None
