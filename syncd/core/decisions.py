"""Decisions: what the server decides of runs, commands, tool calls and who is responsible. PROTOCOL 5.7.

Facts and time in, receipts out. Holds what earlier receipts say, and nothing else: it is rebuilt from them. What time
does to runs is in `leases`. Knows nothing of updates, peers' sockets or the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from syncd.core.events import Event, assigned_event, decision_event
from syncd.core.facts import ClaimFact, NewAttemptFact, NewCommandFact, NewMessageFact, StatusFact, WakeFact, whole
from syncd.core.ids import is_id, is_person, is_subject, run_id, run_of_call
from syncd.core.leases import Lease, Leases, Run
from syncd.core.messages import Json
from syncd.core.work import WorkRow

AGENT_KIND: Final = "agent:"
_ENDS: Final = frozenset({"completed", "failed", "cancelled"})
#: Runs whose key must fit an id together with an attempt.
RUN_CHARS_MAX: Final = 48


class Outcome(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    DENIED = "denied"
    EXPIRED = "expired"


class Decisions:
    """All runs of one session.

    1. A receipt is written once and never changed: what a run's story adds is a further one.
    2. A run that ended stays ended, whoever says what about it later.
    3. A tool call has one decision, the first, and none before its run's agent has made it.
    4. Only the run's own agent begins, claims or moves it.
    5. A worker that is back before anybody took over goes on.

    Call the methods with the facts of a batch in their order, then `settle`, then `take`.
    """

    def __init__(
        self, session: str, *, grace_s: float, per_message_max: int, names: Callable[[str, str], bool]
    ) -> None:
        """Make those of an empty session. `names`: whether a part of that subject's is that tool call."""
        self._per_message_max = per_message_max
        self._names = names
        self._leases = Leases(session, grace_s=grace_s)
        self._decided: dict[str, Mapping[str, Json]] = {}
        self.responsible = ""
        self._handoffs = 0

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
                run = Run(id, str(value["agent"]), value.get("message") or "", value.get("parent_run") or "")
                run.parent_attempt = whole(value.get("parent_attempt"))
                self._leases.add(run)
            self._leases.replay(self._leases.runs[id], value)
        for call, decision in self._decided.items():
            found = self._leases.runs.get(run_of_call(call))
            if found is not None and found.lease is Lease.SUSPENDED and whole(decision["at"]) >= found.at:
                found.answered = True

    # Who is here

    def here(self, agent: str, worker: str) -> None:
        """A link of this worker has the session open."""
        self._leases.here(agent, worker)

    def gone(self, agent: str, worker: str) -> None:
        """A link of this worker is gone."""
        self._leases.gone(agent, worker)

    def agent(self, run: str) -> str | None:
        """Return whose run it is, None if there is none of that id."""
        found = self._leases.runs.get(run)
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
            self._queue(
                agent, fact.id, by=fact.by, parent=parent, attempt=fact.attempt, expires_at=fact.expires_at, at=at
            )

    def _queue(
        self,
        agent: str,
        message: str,
        *,
        by: str,
        parent: str = "",
        attempt: int = 0,
        expires_at: int = 0,
        at: int,
        anew: bool = False,
    ) -> bool:
        """Make a message work for an agent; `anew`: also where its run is over. Return whether it was not yet."""
        number = 1
        while (known := self._leases.runs.get(id := run_id(message, agent, number))) is not None:
            over = known.ended or known.cancelled_by
            if known.agent == agent and not (anew and over):
                return False
            number += 1
        run = Run(id, agent, message, parent, expires_at=expires_at)
        if parent:
            run.parent_attempt = attempt or self._leases.runs[parent].attempt
        self._leases.add(run)
        self._leases.tell(run, Lease.QUEUED, at, by=by)
        if parent and run.parent_attempt < self._leases.runs[parent].since:
            self._leases.end(run, at, status="failed", code="interrupted")  # Asked by an attempt that was given up.
        return True

    def attempt(self, fact: NewAttemptFact, at: int) -> None:
        """An agent began an attempt: of a run that it holds, or of one that it makes now."""
        run, parent = self._leases.runs.get(fact.run), None
        if run is None:
            if fact.attempt != 1 or len(fact.run) > RUN_CHARS_MAX:
                return
            run = Run(fact.run, fact.by, fact.message, fact.parent)
            run.attempt = run.since = 1
            parent = self._leases.runs.get(fact.parent)
            if parent is not None:
                run.parent_attempt = parent.attempt if self._is_of(parent, fact.worker) else parent.since - 1
            self._leases.hold(run, fact.worker)
            self._leases.add(run)
            self._leases.tell(run, Lease.LIVE, at, by=fact.by)
        if self._speaks(run, fact.by, fact.attempt):
            self._leases.wake(run, fact.wake_at)
        self._status(run, fact.by, fact.attempt, fact.status, at)
        if parent is not None and not run.ended and (parent.ended or run.parent_attempt < parent.since):
            self._leases.end(run, at, status="failed", code="interrupted")  # It was offline: nobody waits for it.

    def _is_of(self, parent: Run, worker: str) -> bool:
        """Whether a run that this worker begins is of its parent's current attempt, and not of one given up before."""
        return parent.since <= 1 or not parent.worker or parent.worker == worker

    def status(self, fact: StatusFact, at: int) -> None:
        """An attempt of a run says how it stands."""
        run = self._leases.runs.get(fact.run)
        if run is not None:
            self._status(run, fact.by, fact.attempt, fact.status, at)

    def wake(self, fact: WakeFact, at: int) -> None:
        """An attempt of a run says when it is to be taken up again, if it waits and nobody has it by then."""
        run = self._leases.runs.get(fact.run)
        if run is not None and self._speaks(run, fact.by, fact.attempt) and fact.wake_at != run.wake_at:
            self._leases.wake(run, fact.wake_at)
            if run.lease is Lease.SUSPENDED:
                self._leases.tell(run, Lease.SUSPENDED, at)

    def _speaks(self, run: Run, by: str, attempt: int) -> bool:
        """Whether it is the current attempt that says something of a run that is not over."""
        return by == run.agent and attempt == run.attempt and not run.ended  # Invariants 2 and 4.

    def _status(self, run: Run, by: str, attempt: int, status: str, at: int) -> None:
        if not self._speaks(run, by, attempt):
            return
        if status in _ENDS:
            self._leases.end(run, at, status=status)
        elif status == "suspended" and run.lease is Lease.LIVE:
            run.answered = False
            self._leases.tell(run, Lease.SUSPENDED, at)
        elif status == "detached" and run.lease in (Lease.LIVE, Lease.SUSPENDED) and run.worker:
            self._detach(run, at)
        elif status == "running" and run.lease is Lease.SUSPENDED and run.worker:
            self._leases.tell(run, Lease.LIVE, at)

    def _detach(self, run: Run, at: int) -> None:
        """Its worker gave it up."""
        heard = run.lease is Lease.LIVE  # What was decided while it ran.
        self._leases.hold(run, "")
        if run.cancelled_by:
            self._leases.end(run, at, status="cancelled")  # Nobody is left who would.
        elif run.answered and not heard:
            self._leases.resume(run, at)
        else:
            run.answered = False
            self._leases.tell(run, Lease.SUSPENDED, at)

    def claim(self, fact: ClaimFact, at: int) -> None:
        """A worker asks for a run; the first gets it."""
        run = self._leases.runs.get(fact.run)
        if run is None or fact.by != run.agent or run.lease is not Lease.QUEUED:
            return
        if run.expires_at and run.expires_at <= at:
            self._leases.end(run, at, status="failed", code="expired")
            return
        run.attempt += 1
        if not run.resume:
            run.since = run.attempt
            self._leases.end_below(run, at)
        run.resume = False
        self._leases.hold(run, fact.worker)
        run.policy, run.attempts_max = fact.policy, fact.attempts_max
        self._leases.tell(run, Lease.LIVE, at)

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
                self._cancel(run, fact, at)
            return Outcome.ACCEPTED if fresh else Outcome.DUPLICATE
        for run in alive:
            if run.lease is Lease.SUSPENDED and self._leases.released(run):
                self._leases.resume(run, at)  # Somebody has to hear it.
        return Outcome.ACCEPTED

    def _targets(self, value: Mapping[str, Json]) -> list[Run]:
        run, message = value.get("run"), value.get("message")
        if isinstance(run, str):
            return [self._leases.runs[run]] if run in self._leases.runs else []
        ids = self._leases.by_message.get(message, []) if isinstance(message, str) else []
        return [self._leases.runs[id] for id in ids]

    def _cancel(self, run: Run, command: NewCommandFact, at: int) -> None:
        pending = [run]  # No recursion: an agent nests its runs as deep as it likes.
        while pending:
            run = pending.pop()
            if run.ended or run.cancelled_by:
                continue
            run.cancelled_by, run.cancel = command.by, command.id
            held = run.lease in (Lease.LIVE, Lease.SUSPENDED) and self._leases.is_here(run)
            if held or run.lease is Lease.LIVE:
                # The worker ends it, with a last word; lost, it ends with the grace.
                self._leases.tell(run, run.lease, at)
            else:
                self._leases.end(run, at, status="cancelled")
            pending += [self._leases.runs[child] for child in reversed(self._leases.by_parent.get(run.id, ()))]

    def _decide(self, fact: NewCommandFact, kind: str, call: Json, payload: Json, at: int) -> Outcome:
        if not is_id(call):
            return Outcome.DENIED
        before = self._decided.get(call)
        if before is not None:  # Invariant 3.
            same = (before.get("by"), before.get("kind"), before.get("payload")) == (fact.by, kind, payload)
            return Outcome.DUPLICATE if same else Outcome.LATE
        run = self._leases.runs.get(run_of_call(call))
        if run is None:
            return Outcome.DENIED
        if run.ended:
            return Outcome.LATE
        if not self._names(call, run.agent):  # Nobody knows yet what it would be a yes to.
            return Outcome.DENIED
        decision: dict[str, Json] = {"command": fact.id, "by": fact.by, "kind": kind, "at": at}
        if payload is not None:
            decision["payload"] = payload
        self._decided[call] = decision
        self._leases.write(f"d:{call}", decision, decision_event(f"d:{call}", call, decision, at))
        run.answered = True
        if run.lease is Lease.SUSPENDED and self._leases.released(run):
            self._leases.resume(run, at)
        return Outcome.ACCEPTED

    def _hand_over(self, fact: NewCommandFact, payload: Json, at: int) -> Outcome:
        to = _heir(payload)
        if not to:
            return Outcome.DENIED
        if to == self.responsible:
            return Outcome.DUPLICATE
        value: dict[str, Json] = {"to": to, "by": fact.by, "at": at, "command": fact.id}
        if isinstance(payload.get("note"), str):
            value["note"] = payload["note"]
        key = f"a:{self._handoffs}"
        self._leases.write(key, value, assigned_event(key, value, at))
        self.responsible = to
        self._handoffs += 1
        return Outcome.ACCEPTED

    def _redirect(
        self, fact: NewCommandFact, runs: Sequence[Run], alive: Sequence[Run], payload: Json, at: int
    ) -> Outcome:
        to, message = _heir(payload), runs[0].message
        if not to.startswith(AGENT_KIND) or not message:
            return Outcome.DENIED
        if not alive:
            return Outcome.LATE
        given_up = [run for run in alive if run.agent != to and not run.cancelled_by]
        for run in given_up:
            self._cancel(run, fact, at)
        queued = self._queue(to, message, by=fact.by, at=at, anew=True)
        return Outcome.ACCEPTED if queued or given_up else Outcome.DUPLICATE

    # Time, and what comes of it

    def settle(self, now: float, at: int) -> None:
        """Let time pass, and workers that are back go on. `now` is monotonic in seconds, `at` Unix ms."""
        self._leases.settle(now, at)

    def due_at(self, now: float) -> float | None:
        """Return when `settle` has something to do, on the clock of `now`; None for never."""
        return self._leases.due_at(now)

    def take(self) -> tuple[list[tuple[str, Json]], list[WorkRow]]:
        """Return the receipts decided since the last call, in order, and the rows of the runs they are about."""
        return self._leases.take()

    def take_events(self) -> list[Event]:
        """Return what there is to tell of, decided since the last call, in order."""
        return self._leases.take_events()


def _heir(payload: Json) -> str:
    """Return whom the payload of a hand-over names, empty if that is no subject."""
    to = payload.get("to") if isinstance(payload, dict) else None
    return to if isinstance(to, str) and is_subject(to) else ""
