"""Agent: who serves one agent, what waits for it, and in which order that is offered.

Keeps queues. Knows nothing of time, nor of how an offer is made or answered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

from syncd.core.grant import Grant, Right
from syncd.core.messages import Work

#: Since when a run waits (Unix ms), and a number that tells equal ones apart: the smallest is offered first.
Place: TypeAlias = tuple[int, int]
#: A session and a run.
Key: TypeAlias = tuple[str, str]
#: A heap with more entries than this beside the valid ones is made anew.
_STALE_MAX = 64


class WorkerLink(Protocol):
    """Where a worker's offers go. `grant` names the agent it serves, and the sessions it may work in."""

    grant: Grant

    def offer(self, work: Work) -> None:
        """Send an offer. Never blocks."""
        ...


@dataclass(slots=True, eq=False)
class Worker:
    """One process that serves an agent.

    `offers` is what it has not answered yet, `missed` how often in a row it let an offer pass.
    """

    id: str
    agent: Agent
    link: WorkerLink
    slots: int
    per_session: int
    pool: Pool
    offers: set[Key] = field(default_factory=set)
    missed: int = 0

    @property
    def free(self) -> int:
        """How many more runs it may be offered."""
        return self.slots - self.agent.held[self.id] - len(self.offers)


@dataclass(slots=True)
class Line:
    """What waits for one agent in one session. `active`: its live runs there, and those that are offered."""

    session: str
    active: int = 0
    waiting: dict[str, Place] = field(default_factory=dict)
    _heap: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, run: str, place: Place) -> None:
        """Have a run wait."""
        self.waiting[run] = place
        heappush(self._heap, (place, run))

    def head(self) -> tuple[Place, str] | None:
        """Return place and run of what waits longest."""
        while self._heap:
            place, run = self._heap[0]
            if self.waiting.get(run) == place:
                return place, run
            heappop(self._heap)
        return None


@dataclass(slots=True, eq=False)
class Pool:
    """The workers whose grants name the same sessions, and the sessions that they may be offered work of.

    `shown` is those sessions with the place of what waits longest there; the heap may hold more that is past.
    """

    grant: Grant
    workers: int = 0
    shown: dict[str, Place] = field(default_factory=dict)
    _heap: list[tuple[Place, str]] = field(default_factory=list)

    def allows(self, session: str) -> bool:
        """Whether its workers may work in a session."""
        return Right.TRANSCRIPT in (self.grant.rights(session) or ())

    def show(self, session: str, place: Place | None) -> None:
        """Take notice of what waits longest in a session, None for nothing that may be offered."""
        if place is None or not self.allows(session):
            self.shown.pop(session, None)
        elif self.shown.get(session) != place:
            self.shown[session] = place
            heappush(self._heap, (place, session))
            if len(self._heap) > 2 * len(self.shown) + _STALE_MAX:
                self._heap = [(place, session) for session, place in self.shown.items()]
                heapify(self._heap)

    def head(self) -> tuple[Place, str] | None:
        """Return place and session of the oldest run that may be offered."""
        while self._heap:
            place, session = self._heap[0]
            if self.shown.get(session) == place:
                return place, session
            heappop(self._heap)
        return None


@dataclass(slots=True, eq=False)
class Agent:
    """One agent: who serves it, what waits for it, and how many runs each worker has live, connected or not.

    `per_session`: how many of its runs may be live in one session, the least that any of its workers asks for.
    """

    name: str
    per_session: int = 1
    workers: dict[str, Worker] = field(default_factory=dict)
    pools: dict[frozenset[tuple[str, frozenset[Right]]], Pool] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def line(self, session: str) -> Line:
        """Return a session's line. Call `show` when it was changed."""
        line = self.lines.get(session)
        if line is None:
            line = self.lines[session] = Line(session)
        return line

    def show(self, line: Line) -> None:
        """Take notice that a line was changed; forget it if nothing is in it."""
        head = line.head()
        place = head[0] if head is not None and line.active < self.per_session else None
        for pool in self.pools.values():
            pool.show(line.session, place)
        if head is None and not line.active:
            self.lines.pop(line.session, None)

    def show_all(self) -> None:
        """Take notice that what holds for all lines was changed."""
        for line in list(self.lines.values()):
            self.show(line)

    def oldest(self) -> Line | None:
        """Return the line of the oldest run that some worker has a free slot for."""
        pools = {worker.pool for worker in self.workers.values() if worker.free > 0}
        heads = [head for pool in pools if (head := pool.head()) is not None]
        return self.lines[min(heads)[1]] if heads else None

    def able(self, session: str) -> list[Worker]:
        """Return the workers that may work in a session, busy ones included."""
        pools = {pool for pool in self.pools.values() if pool.allows(session)}
        return [worker for worker in self.workers.values() if worker.pool in pools]
