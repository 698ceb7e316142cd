"""Decisions: what the server decides of runs, commands, tool calls and who is responsible. PROTOCOL 5.7.

Facts and time in, receipts out. Holds what earlier receipts say, and nothing else: it is rebuilt from them. Knows
nothing of updates, peers' sockets or the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from syncd.core.events import Event, assigned_event, decision_event, run_event
from syncd.core.facts import ClaimFact, NewAttemptFact, NewCommandFact, NewMessageFact, StatusFact, whole
from syncd.core.ids import is_id, is_person, is_subject, run_id, run_of_call
from syncd.core.messages import Json
from syncd.core.timetable import Timetable
from syncd.core.work import WorkRow

AGENT_KIND: Final = "agent:"
_ENDS: Final = frozenset({"completed", "failed", "cancelled"})
#: Runs whose key must fit an id together with an attempt.
RUN_CHARS_MAX: Final = 48


class Lease(StrEnum):
    """Who holds a run: nobody yet, a worker, a worker that may be gone meanwhile, one that is lost, nobody any more."""

    QUEUED = "queued"
    LIVE = "live"
    SUSPENDED = "suspended"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


class Outcome(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    DENIED = "denied"
    EXPIRED = "expired"


@dataclass(slots=True)
class _Run:
    """One run as its receipts tell it.

    `begun` is the highest attempt that was ever live. `lost_at` is when its worker was found gone, None while it is
    here; `ends_at` when it expires; both in monotonic seconds. `told`: that it was lost is in a receipt. `resume`: it
    waits for a worker that goes on with what is there. `answered`: a decision came since it suspended.
    """

    id: str
    agent: str
    message: str = ""
    parent: str = ""
    expires_at: int = 0
    count: int = 0
    begun: int = 0
    lease: Lease = Lease.QUEUED
    attempt: int = 0
    since: int = 0
    worker: str = ""
    policy: str = "wait"
    attempts_max: int = 1
    at: int = 0
    cancelled_by: str = ""
    resume: bool = False
    answered: bool = False
    lost_at: float | None = None
    ends_at: float | None = None
    told: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.lease is Lease.ENDED


class Decisions:
    """All runs of one session.

    1. A receipt is written once and never changed: what a run's story adds is a further one.
    2. A run that ended stays ended, whoever says what about it later.
    3. A tool call has one decision, the first.
    4. Only the run's own agent begins, claims or moves it.
    5. A worker that is back before anybody took over goes on.

    Call the methods with the facts of a batch in their order, then `settle`, then `take`.
    """

    def __init__(self, session: str, *, grace_s: float, per_message_max: int) -> None:
        self._session = session
        self._grace_s = grace_s
        self._per_message_max = per_message_max
        self._runs: dict[str, _Run] = {}
        self._by_message: dict[str, list[str]] = {}
        self._by_parent: dict[str, list[str]] = {}
        self._decided: dict[str, Mapping[str, Json]] = {}
        self.responsible = ""
        self._handoffs = 0
        # Agent and worker to how many links it has here, and to the runs that are its.
        self._workers: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, str], dict[str, _Run]] = {}
        # There may be thousands of runs: `settle` looks at those that something happened to since it was called last,
        # to them or to their worker, and at those that time has come for.
        self._moved: dict[str, _Run] = {}
        self._timetable = Timetable()
        self._receipts: list[tuple[str, Json]] = []
        self._events: list[Event] = []
        self._changed: dict[str, _Run] = {}

    # Rebuilding

    def load(self, receipts: Iterable[tuple[str, Json]]) -> None:
        """Take the receipts that are there, in any order. Every lease counts as lost from the first `settle` on."""
        chain: list[tuple[str, int, Mapping[str, Json]]] = []
        for key, value in receipts:
            if not isinstance(value, dict):
                continue
            if key.startswith("r:"):
                id, _, number = key[2:].rpartition(".")
                chain.append((id, int(number), value))
            elif key.startswith("d:"):
                self._decided[key[2:]] = value
            elif key.startswith("a:") and int(key[2:]) >= self._handoffs:
                self._handoffs, self.responsible = int(key[2:]) + 1, str(value["to"])
        for id, count, value in sorted(chain, key=lambda link: link[:2]):
            if count == 0:
                self._add(_Run(id, str(value["agent"]), value.get("message") or "", value.get("parent_run") or ""))
            self._replay(self._runs[id], value)
        for call, decision in self._decided.items():
            run = self._runs.get(run_of_call(call))
            if run is not None and run.lease is Lease.SUSPENDED and whole(decision["at"]) >= run.at:
                run.answered = True

    def _replay(self, run: _Run, value: Mapping[str, Json]) -> None:
        run.count += 1
        run.lease = Lease(value["lease"])
        run.attempt, run.since, run.at = whole(value["attempt"]), whole(value["since"]), whole(value["at"])
        run.begun = run.attempt
        run.expires_at = whole(value.get("expires_at")) or run.expires_at
        self._hold(run, str(value.get("worker", "")))
        run.policy = str(value.get("policy", run.policy))
        run.attempts_max = whole(value.get("attempts_max")) or run.attempts_max
        run.cancelled_by = str(value.get("cancelled_by", run.cancelled_by))
        run.resume = bool(value.get("resume"))
        self._time(run)

    def _add(self, run: _Run) -> None:
        self._runs[run.id] = run
        if run.message:
            self._by_message.setdefault(run.message, []).append(run.id)
        if run.parent:
            self._by_parent.setdefault(run.parent, []).append(run.id)

    def _hold(self, run: _Run, worker: str) -> None:
        """Have a run be this worker's from now on; nobody's, if that is empty."""
        if run.worker:
            held = self._held[run.agent, run.worker]
            del held[run.id]
            if not held:
                del self._held[run.agent, run.worker]
        run.worker, run.lost_at, run.told = worker, None, False
        if worker:
            self._held.setdefault((run.agent, worker), {})[run.id] = run

    def _time(self, run: _Run) -> None:
        """Have the next `settle` look at a run, if time, or a worker that comes or goes, can change it."""
        if not run.ended and (run.worker or run.expires_at):
            self._moved[run.id] = run
        else:
            self._moved.pop(run.id, None)
            self._timetable.set(run.id, None)

    # Who is here

    def here(self, agent: str, worker: str) -> None:
        """A link of this worker has the session open."""
        self._workers[agent, worker] = self._workers.get((agent, worker), 0) + 1
        self._moved |= self._held.get((agent, worker), {})

    def gone(self, agent: str, worker: str) -> None:
        """A link of this worker is gone."""
        left = self._workers.pop((agent, worker), 0) - 1
        if left > 0:
            self._workers[agent, worker] = left
        self._moved |= self._held.get((agent, worker), {})

    def agent(self, run: str) -> str | None:
        """Return whose run it is, None if there is none of that id."""
        found = self._runs.get(run)
        return found.agent if found else None

    # Facts

    def message(self, fact: NewMessageFact, at: int) -> None:
        """A message makes work for the agents it names, or for the one that is responsible. `at` is Unix ms."""
        names = [name for name in fact.to if name.startswith(AGENT_KIND)]
        if not fact.to and is_person(fact.by) and self.responsible.startswith(AGENT_KIND):
            names = [self.responsible]
        # What a run asks of another agent is done below it, and cancelled with it.
        parent = fact.run if self.agent(fact.run) == fact.by else ""
        for agent in names[: self._per_message_max]:
            self._queue(agent, fact.id, by=fact.by, parent=parent, expires_at=fact.expires_at, at=at)

    def _queue(self, agent: str, message: str, *, by: str, parent: str = "", expires_at: int = 0, at: int) -> None:
        id = run_id(message, agent)
        if id not in self._runs:
            run = _Run(id, agent, message, parent, expires_at=expires_at)
            self._add(run)
            self._tell(run, Lease.QUEUED, at, by=by)

    def attempt(self, fact: NewAttemptFact, at: int) -> None:
        """An agent began an attempt: of a run that it holds, or of one that it makes now."""
        run = self._runs.get(fact.run)
        if run is None:
            if fact.attempt != 1 or len(fact.run) > RUN_CHARS_MAX:
                return
            run = _Run(fact.run, fact.by, fact.message, fact.parent)
            run.attempt = run.since = 1
            self._hold(run, fact.worker)
            self._add(run)
            self._tell(run, Lease.LIVE, at, by=fact.by)
        self._status(run, fact.by, fact.attempt, fact.status, at)

    def status(self, fact: StatusFact, at: int) -> None:
        """An attempt of a run says how it stands."""
        run = self._runs.get(fact.run)
        if run is not None:
            self._status(run, fact.by, fact.attempt, fact.status, at)

    def _status(self, run: _Run, by: str, attempt: int, status: str, at: int) -> None:
        if by != run.agent or attempt != run.attempt or run.ended:  # Invariants 2 and 4.
            return
        if status in _ENDS:
            self._end(run, at, status=status)
        elif status == "suspended" and run.lease is Lease.LIVE:
            run.answered = False
            self._tell(run, Lease.SUSPENDED, at)
        elif status == "detached" and run.lease in (Lease.LIVE, Lease.SUSPENDED) and run.worker:
            self._detach(run, at)
        elif status == "running" and run.lease is Lease.SUSPENDED and run.worker:
            self._tell(run, Lease.LIVE, at)

    def _detach(self, run: _Run, at: int) -> None:
        """Its worker gave it up."""
        heard = run.lease is Lease.LIVE  # What was decided while it ran.
        self._hold(run, "")
        if run.cancelled_by:
            self._end(run, at, status="cancelled")  # Nobody is left who would.
        elif run.answered and not heard:
            self._resume(run, at)
        else:
            run.answered = False
            self._tell(run, Lease.SUSPENDED, at)

    def claim(self, fact: ClaimFact, at: int) -> None:
        """A worker asks for a run; the first gets it."""
        run = self._runs.get(fact.run)
        if run is None or fact.by != run.agent or run.lease is not Lease.QUEUED:
            return
        if run.expires_at and run.expires_at <= at:
            self._end(run, at, status="failed", code="expired")
            return
        run.attempt += 1
        if not run.resume:
            run.since = run.attempt
        run.resume = False
        self._hold(run, fact.worker)
        run.policy, run.attempts_max = fact.policy, fact.attempts_max
        self._tell(run, Lease.LIVE, at)

    # Commands

    def command(self, fact: NewCommandFact, at: int) -> Outcome:
        """Decide on a command; return what becomes of it."""
        value = fact.value
        if not isinstance(value, dict):
            return Outcome.DENIED
        expires_at = whole(value.get("expires_at"))
        if expires_at and expires_at <= at:
            return Outcome.EXPIRED
        kind, payload = value.get("kind"), value.get("payload")
        if kind in ("approve", "deny", "tool_result"):
            return self._decide(fact, str(kind), value.get("tool_call"), payload, at)
        if kind == "handoff" and "session" in value:
            return self._hand_over(fact, payload, at)
        runs = self._targets(value)
        if not runs or kind not in ("cancel", "steer", "handoff"):
            return Outcome.DENIED
        alive = [run for run in runs if not run.ended]
        if kind == "handoff":
            return self._redirect(fact, runs, alive, payload, at)
        if not alive:
            return Outcome.LATE
        if kind == "cancel":
            fresh = [run for run in alive if not run.cancelled_by]
            for run in fresh:
                self._cancel(run, fact.by, at)
            return Outcome.ACCEPTED if fresh else Outcome.DUPLICATE
        for run in alive:
            if run.lease is Lease.SUSPENDED and self._released(run):
                self._resume(run, at)  # Somebody has to hear it.
        return Outcome.ACCEPTED

    def _released(self, run: _Run) -> bool:
        """Whether a suspended run's worker is gone, or gave it up."""
        return run.told or not run.worker

    def _targets(self, value: Mapping[str, Json]) -> list[_Run]:
        run, message = value.get("run"), value.get("message")
        if isinstance(run, str):
            return [self._runs[run]] if run in self._runs else []
        ids = self._by_message.get(message, []) if isinstance(message, str) else []
        return [self._runs[id] for id in ids]

    def _cancel(self, run: _Run, by: str, at: int) -> None:
        pending = [run]  # No recursion: an agent nests its runs as deep as it likes.
        while pending:
            run = pending.pop()
            if run.ended or run.cancelled_by:
                continue
            run.cancelled_by = by
            held = run.lease in (Lease.LIVE, Lease.SUSPENDED) and (run.agent, run.worker) in self._workers
            if held or run.lease is Lease.LIVE:
                self._tell(run, run.lease, at)  # The worker ends it, with a last word; lost, it ends with the grace.
            else:
                self._end(run, at, status="cancelled")
            pending += [self._runs[child] for child in reversed(self._by_parent.get(run.id, ()))]

    def _decide(self, fact: NewCommandFact, kind: str, call: Json, payload: Json, at: int) -> Outcome:
        if not is_id(call):
            return Outcome.DENIED
        before = self._decided.get(call)
        if before is not None:  # Invariant 3.
            same = (before.get("by"), before.get("kind"), before.get("payload")) == (fact.by, kind, payload)
            return Outcome.DUPLICATE if same else Outcome.LATE
        run = self._runs.get(run_of_call(call))
        if run is None:
            return Outcome.DENIED
        if run.ended:
            return Outcome.LATE
        decision: dict[str, Json] = {"command": fact.id, "by": fact.by, "kind": kind, "at": at}
        if payload is not None:
            decision["payload"] = payload
        self._decided[call] = decision
        self._receipts.append((f"d:{call}", decision))
        self._events.append(decision_event(f"d:{call}", call, decision, at))
        run.answered = True
        if run.lease is Lease.SUSPENDED and self._released(run):
            self._resume(run, at)
        return Outcome.ACCEPTED

    def _resume(self, run: _Run, at: int) -> None:
        """Let any worker go on with a run that was suspended when its own left."""
        run.answered, run.resume = False, True
        self._tell(run, Lease.QUEUED, at)

    def _hand_over(self, fact: NewCommandFact, payload: Json, at: int) -> Outcome:
        to = _heir(payload)
        if not to:
            return Outcome.DENIED
        if to == self.responsible:
            return Outcome.DUPLICATE
        value: dict[str, Json] = {"to": to, "by": fact.by, "at": at, "command": fact.id}
        if isinstance(payload.get("note"), str):
            value["note"] = payload["note"]
        self._receipts.append((f"a:{self._handoffs}", value))
        self._events.append(assigned_event(f"a:{self._handoffs}", value, at))
        self.responsible = to
        self._handoffs += 1
        return Outcome.ACCEPTED

    def _redirect(
        self, fact: NewCommandFact, runs: Sequence[_Run], alive: Sequence[_Run], payload: Json, at: int
    ) -> Outcome:
        to, message = _heir(payload), runs[0].message
        if not to.startswith(AGENT_KIND) or not message:
            return Outcome.DENIED
        if not alive:
            return Outcome.LATE
        for run in alive:
            if run.agent != to:
                self._cancel(run, fact.by, at)
        self._queue(to, message, by=fact.by, at=at)
        return Outcome.ACCEPTED

    # Time

    def settle(self, now: float, at: int) -> None:
        """Let time pass, and workers that are back go on. `now` is monotonic in seconds, `at` Unix ms."""
        self._moved |= {id: self._runs[id] for id in self._timetable.take(now)}
        for run in list(self._moved.values()):
            self._look(run, now, at)
        self._moved.clear()

    def _look(self, run: _Run, now: float, at: int) -> None:
        if run.expires_at and run.ends_at is None:
            run.ends_at = now + (run.expires_at - at) / 1000
        if run.ends_at is not None and now >= run.ends_at:
            self._end(run, at, status="failed", code="expired")
        elif run.worker and (run.agent, run.worker) in self._workers:
            self._found(run, at)
        elif run.worker and run.lost_at is None:
            run.lost_at = now
        elif run.lost_at is not None and not run.told and now >= run.lost_at + self._grace_s:
            self._lost(run, at)
        if not run.ended:
            told_at = run.lost_at + self._grace_s if run.lost_at is not None and not run.told else None
            due = [due_at for due_at in (run.ends_at, told_at) if due_at is not None]
            self._timetable.set(run.id, min(due, default=None))

    def _found(self, run: _Run, at: int) -> None:  # Invariant 5.
        run.lost_at, run.told = None, False
        if run.lease in (Lease.INTERRUPTED, Lease.QUEUED):
            run.resume = False
            self._tell(run, Lease.LIVE, at)

    def _lost(self, run: _Run, at: int) -> None:
        run.told = True
        if run.lease is Lease.SUSPENDED:
            if run.cancelled_by:
                self._end(run, at, status="cancelled")
            elif run.answered:
                self._resume(run, at)
        elif run.lease is Lease.LIVE:
            self._tell(run, Lease.INTERRUPTED, at)
            if run.cancelled_by:
                self._end(run, at, status="cancelled")
            elif run.policy == "fail":
                self._end(run, at, status="failed", code="interrupted")
            elif run.policy == "retry" and run.attempt >= run.attempts_max:
                self._end(run, at, status="failed", code="attempts_exhausted")
            elif run.policy == "retry":
                self._tell(run, Lease.QUEUED, at)

    def due_at(self, now: float) -> float | None:
        """Return when `settle` has something to do, on the clock of `now`; None for never."""
        return now if self._moved else self._timetable.next()

    # Receipts out

    def _end(self, run: _Run, at: int, *, status: str, code: str = "") -> None:
        extra: dict[str, Json] = {"status": status}
        if code:
            extra["code"] = code
        self._hold(run, "")
        self._tell(run, Lease.ENDED, at, **extra)

    def _tell(self, run: _Run, lease: Lease, at: int, **extra: Json) -> None:
        value: dict[str, Json] = {"at": at, "lease": str(lease), "attempt": run.attempt, "since": run.since}
        if run.count == 0:
            value["agent"] = run.agent
            for name, found in (("message", run.message), ("parent_run", run.parent), ("expires_at", run.expires_at)):
                if found:
                    value[name] = found
        if run.worker:
            value |= {"worker": run.worker}
        if lease is Lease.LIVE:
            value |= {"policy": run.policy, "attempts_max": run.attempts_max}
        if run.cancelled_by:
            value["cancelled_by"] = run.cancelled_by
        if run.resume:
            value["resume"] = True
        key, before = f"r:{run.id}.{run.count}", str(run.lease) if run.count else ""
        value |= extra
        self._receipts.append((key, value))  # Invariant 1.
        event = run_event(
            key, value, before, run.begun, run=run.id, agent=run.agent, message=run.message, parent=run.parent
        )
        if event is not None:
            self._events.append(event)
        run.count += 1
        run.lease, run.at = lease, at
        if lease is Lease.LIVE:
            run.begun = run.attempt
            run.lost_at, run.told = None, False
        self._time(run)
        self._changed[run.id] = run

    def take(self) -> tuple[list[tuple[str, Json]], list[WorkRow]]:
        """Return the receipts decided since the last call, in order, and the rows of the runs they are about."""
        receipts, self._receipts = self._receipts, []
        changed, self._changed = self._changed, {}
        return receipts, [self._row(run) for run in changed.values()]

    def take_events(self) -> list[Event]:
        """Return what there is to tell of, decided since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _row(self, run: _Run) -> WorkRow:
        worker = run.worker if run.lease in (Lease.LIVE, Lease.SUSPENDED) else ""
        lease = str(run.lease)
        return WorkRow(
            run.agent, self._session, run.id, run.message, lease, run.attempt, run.at, worker, run.expires_at
        )


def _heir(payload: Json) -> str:
    """Return whom the payload of a hand-over names, empty if that is no subject."""
    to = payload.get("to") if isinstance(payload, dict) else None
    return to if isinstance(to, str) and is_subject(to) else ""
