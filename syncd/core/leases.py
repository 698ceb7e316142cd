"""Leases: the runs of one session, who holds each, and what the time that passes does to that. PROTOCOL 5.7.

What is decided comes out as receipts, and is rebuilt from them. Knows nothing of commands, nor of why a run is moved
(see `decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from syncd.core.events import Event, run_event
from syncd.core.facts import whole
from syncd.core.messages import Json
from syncd.core.timetable import Timetable
from syncd.core.work import WorkRow


class Lease(StrEnum):
    """Who holds a run: nobody yet, a worker, a worker that may be gone meanwhile, one that is lost, nobody any more."""

    QUEUED = "queued"
    LIVE = "live"
    SUSPENDED = "suspended"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


@dataclass(slots=True)
class Run:
    """One run as its receipts tell it.

    `begun` is the highest attempt that was ever live. `lost_at` is when its worker was found gone, None while it is
    here; `ends_at` when it expires, `wakes_at` when it is to be taken up again by whoever is there, if it is suspended
    and nobody has it: all in monotonic seconds. `told`: that it was lost is in a receipt. `cancel` is the command that
    cancelled it, `parent_attempt` the attempt of its parent that made it. `resume`: it waits for a worker that goes on
    with what is there. `answered`: a decision came since it suspended.
    """

    id: str
    agent: str
    message: str = ""
    parent: str = ""
    parent_attempt: int = 0
    expires_at: int = 0
    wake_at: int = 0
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
    cancel: str = ""
    resume: bool = False
    answered: bool = False
    lost_at: float | None = None
    ends_at: float | None = None
    wakes_at: float | None = None
    told: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.lease is Lease.ENDED


class Leases:
    """All runs of one session, by who holds them.

    1. A receipt is written once and never changed: what a run's story adds is a further one.
    2. A worker that is back before anybody took over goes on.

    Call `settle` behind the facts of a batch, then `take`.
    """

    def __init__(self, session: str, *, grace_s: float) -> None:
        self._session = session
        self._grace_s = grace_s
        self.runs: dict[str, Run] = {}
        self.by_message: dict[str, list[str]] = {}
        self.by_parent: dict[str, list[str]] = {}
        # Agent and worker to how many links it has here, and to the runs that are its.
        self._workers: dict[tuple[str, str], int] = {}
        self._held: dict[tuple[str, str], dict[str, Run]] = {}
        # There may be thousands of runs: `settle` looks at those that something happened to since it was called last,
        # to them or to their worker, and at those that time has come for.
        self._moved: dict[str, Run] = {}
        self._timetable = Timetable()
        self._receipts: list[tuple[str, Json]] = []
        self._events: list[Event] = []
        self._changed: dict[str, Run] = {}

    # Rebuilding

    def replay(self, run: Run, value: Mapping[str, Json]) -> None:
        """Take a run's next receipt, as it was written in an earlier life of the server."""
        run.count += 1
        run.lease = Lease(value["lease"])
        run.attempt, run.since, run.at = whole(value["attempt"]), whole(value["since"]), whole(value["at"])
        run.begun = run.attempt
        run.expires_at = whole(value.get("expires_at")) or run.expires_at
        self.hold(run, str(value.get("worker", "")))
        run.policy = str(value.get("policy", run.policy))
        run.attempts_max = whole(value.get("attempts_max")) or run.attempts_max
        run.cancelled_by = str(value.get("cancelled_by", run.cancelled_by))
        self.wake(run, whole(value.get("wake_at")))
        run.cancel = str(value.get("cancel", run.cancel))
        run.resume = bool(value.get("resume"))
        self._time(run)

    def add(self, run: Run) -> None:
        """Take in a run that is new."""
        self.runs[run.id] = run
        if run.message:
            self.by_message.setdefault(run.message, []).append(run.id)
        if run.parent:
            self.by_parent.setdefault(run.parent, []).append(run.id)

    def hold(self, run: Run, worker: str) -> None:
        """Have a run be this worker's from now on; nobody's, if that is empty."""
        if run.worker:
            held = self._held[run.agent, run.worker]
            del held[run.id]
            if not held:
                del self._held[run.agent, run.worker]
        run.worker, run.lost_at, run.told = worker, None, False
        if worker:
            self._held.setdefault((run.agent, worker), {})[run.id] = run

    def wake(self, run: Run, at: int) -> None:
        """Have a run be taken up again at `at` (Unix ms) if it is suspended and nobody has it by then; 0 for never."""
        run.wake_at, run.wakes_at = at, None
        self._time(run)

    def _time(self, run: Run) -> None:
        """Have the next `settle` look at a run, if time, or a worker that comes or goes, can change it."""
        if not run.ended and (run.worker or run.expires_at or run.wake_at):
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

    def is_here(self, run: Run) -> bool:
        """Whether the worker that holds a run has the session open."""
        return bool(run.worker) and (run.agent, run.worker) in self._workers

    def released(self, run: Run) -> bool:
        """Whether a suspended run's worker is gone, or gave it up."""
        return run.told or not run.worker

    # Time

    def settle(self, now: float, at: int) -> None:
        """Let time pass, and workers that are back go on. `now` is monotonic in seconds, `at` Unix ms."""
        self._moved |= {id: self.runs[id] for id in self._timetable.take(now)}
        for run in list(self._moved.values()):
            self._look(run, now, at)
        self._moved.clear()

    def _look(self, run: Run, now: float, at: int) -> None:
        if run.expires_at and run.ends_at is None:
            run.ends_at = now + (run.expires_at - at) / 1000
        if run.wake_at and run.wakes_at is None:
            run.wakes_at = now + (run.wake_at - at) / 1000
        if run.ends_at is not None and now >= run.ends_at:
            self.end(run, at, status="failed", code="expired")
        elif self.is_here(run):
            self._found(run, at)
        elif run.worker and run.lost_at is None:
            run.lost_at = now
        elif run.lost_at is not None and not run.told and now >= run.lost_at + self._grace_s:
            self._lost(run, at)
        wakes_at = run.wakes_at if run.lease is Lease.SUSPENDED and self.released(run) else None
        if wakes_at is not None and now >= wakes_at:
            self.resume(run, at)
            wakes_at = None
        if not run.ended:
            told_at = run.lost_at + self._grace_s if run.lost_at is not None and not run.told else None
            due = [due_at for due_at in (run.ends_at, told_at, wakes_at) if due_at is not None]
            self._timetable.set(run.id, min(due, default=None))

    def _found(self, run: Run, at: int) -> None:  # Invariant 2.
        run.lost_at, run.told = None, False
        if run.lease in (Lease.INTERRUPTED, Lease.QUEUED):
            run.resume = False
            self.tell(run, Lease.LIVE, at)

    def _lost(self, run: Run, at: int) -> None:
        run.told = True
        if run.lease is Lease.SUSPENDED:
            if run.cancelled_by:
                self.end(run, at, status="cancelled")
            elif run.answered:
                self.resume(run, at)
        elif run.lease is Lease.LIVE:
            self.tell(run, Lease.INTERRUPTED, at)
            if run.cancelled_by:
                self.end(run, at, status="cancelled")
            elif run.policy == "fail":
                self.end(run, at, status="failed", code="interrupted")
            elif run.policy == "retry" and run.attempt >= run.attempts_max:
                self.end(run, at, status="failed", code="attempts_exhausted")
            elif run.policy == "retry":
                self.tell(run, Lease.QUEUED, at)

    def due_at(self, now: float) -> float | None:
        """Return when `settle` has something to do, on the clock of `now`; None for never."""
        return now if self._moved else self._timetable.next()

    # Receipts out

    def resume(self, run: Run, at: int) -> None:
        """Let any worker go on with a run that was suspended when its own left."""
        run.answered, run.resume = False, True
        self.tell(run, Lease.QUEUED, at)

    def end(self, run: Run, at: int, *, status: str, code: str = "") -> None:
        """End a run, for good. `code` says why, if nobody who works on it did."""
        extra: dict[str, Json] = {"status": status}
        if code:
            extra["code"] = code
        self.hold(run, "")
        self.tell(run, Lease.ENDED, at, **extra)
        if code:
            self.end_below(run, at)

    def end_below(self, run: Run, at: int) -> None:
        """End what is open below a run whose attempt was given up: nobody waits for it any more."""
        pending = [*self.by_parent.get(run.id, ())]  # No recursion: an agent nests its runs as deep as it likes.
        while pending:
            below = self.runs[pending.pop()]
            if not below.ended:
                self.hold(below, "")
                self.tell(below, Lease.ENDED, at, status="failed", code="interrupted")
                pending += self.by_parent.get(below.id, ())

    def tell(self, run: Run, lease: Lease, at: int, **extra: Json) -> None:
        """Write a run's next receipt."""
        value: dict[str, Json] = {"at": at, "lease": str(lease), "attempt": run.attempt, "since": run.since}
        if run.count == 0:
            value["agent"] = run.agent
            made = {"message": run.message, "parent_run": run.parent, "parent_attempt": run.parent_attempt}
            made["expires_at"] = run.expires_at
            value |= {name: found for name, found in made.items() if found}
        if run.worker:
            value |= {"worker": run.worker}
        if lease is Lease.LIVE:
            value |= {"policy": run.policy, "attempts_max": run.attempts_max}
        if lease is not Lease.SUSPENDED:
            self.wake(run, 0)
        elif run.wake_at:
            value["wake_at"] = run.wake_at
        if run.cancelled_by:
            value |= {"cancelled_by": run.cancelled_by, "cancel": run.cancel}
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

    def write(self, key: str, value: Json, event: Event) -> None:
        """Add a receipt that is about no run, with its event."""
        self._receipts.append((key, value))
        self._events.append(event)

    def take(self) -> tuple[list[tuple[str, Json]], list[WorkRow]]:
        """Return the receipts decided since the last call, in order, and the rows of the runs they are about."""
        receipts, self._receipts = self._receipts, []
        changed, self._changed = self._changed, {}
        return receipts, [self._row(run) for run in changed.values()]

    def take_events(self) -> list[Event]:
        """Return what there is to tell of, decided since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _row(self, run: Run) -> WorkRow:
        worker = run.worker if run.lease in (Lease.LIVE, Lease.SUSPENDED) else ""
        lease = str(run.lease)
        wakes = run.lease is Lease.SUSPENDED and run.wake_at
        due_at = min(filter(None, (run.expires_at, wakes)), default=0)
        return WorkRow(run.agent, self._session, run.id, run.message, lease, run.attempt, run.at, worker, due_at)
