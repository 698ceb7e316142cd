"""Dispatcher: which worker is offered which run.

Rows come in as they were committed, offers go out to links. Knows nothing of sockets, of sessions or of the log, and
does not decide who gets a run: the session's machine does, when somebody claims it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Grant, Right
from syncd.core.messages import Work
from syncd.core.work import WorkRow
from syncd.server.metrics import Metrics

#: Since when a run waits (Unix ms), and a number that tells equal ones apart: the smallest is offered first.
_Place: TypeAlias = tuple[int, int]
#: A session and a run.
_Key: TypeAlias = tuple[str, str]
#: A heap with more entries than this beside the valid ones is made anew.
_STALE_MAX = 64


class WorkerLink(Protocol):
    """Where a worker's offers go. `grant` names the agent it serves, and the sessions it may work in."""

    grant: Grant

    def offer(self, work: Work) -> None:
        """Send an offer. Never blocks."""
        ...


@dataclass(slots=True, eq=False)
class _Worker:
    id: str
    agent: _Agent
    link: WorkerLink
    slots: int
    per_session: int
    pool: _Pool
    # What it was offered and has not answered yet; how often in a row it let an offer pass.
    offers: set[_Key] = field(default_factory=set)
    missed: int = 0

    @property
    def free(self) -> int:
        return self.slots - self.agent.held[self.id] - len(self.offers)


@dataclass(slots=True)
class _Line:
    """What waits for one agent in one session. `active`: its live runs there, and those that are offered."""

    session: str
    active: int = 0
    waiting: dict[str, _Place] = field(default_factory=dict)
    _heap: list[tuple[_Place, str]] = field(default_factory=list)

    def add(self, run: str, place: _Place) -> None:
        self.waiting[run] = place
        heappush(self._heap, (place, run))

    def head(self) -> tuple[_Place, str] | None:
        while self._heap:
            place, run = self._heap[0]
            if self.waiting.get(run) == place:
                return place, run
            heappop(self._heap)
        return None


@dataclass(slots=True, eq=False)
class _Pool:
    """The workers whose grants name the same sessions, and the lines that they may be offered from, by their heads."""

    grant: Grant
    workers: int = 0
    heads: list[tuple[_Place, str]] = field(default_factory=list)
    # The heads above that are still meant, by session.
    shown: dict[str, _Place] = field(default_factory=dict)

    def allows(self, session: str) -> bool:
        return Right.TRANSCRIPT in (self.grant.rights(session) or ())

    def show(self, session: str, place: _Place) -> None:
        if self.shown.get(session) != place:
            self.shown[session] = place
            heappush(self.heads, (place, session))


@dataclass(slots=True, eq=False)
class _Agent:
    """One agent: who serves it, what waits for it, and how many runs each worker holds, connected or not."""

    name: str
    # Live runs in one session: the least that any of its workers asks for.
    per_session: int = 1
    workers: dict[str, _Worker] = field(default_factory=dict)
    pools: dict[frozenset[tuple[str, frozenset[Right]]], _Pool] = field(default_factory=dict)
    lines: dict[str, _Line] = field(default_factory=dict)
    held: Counter[str] = field(default_factory=Counter)

    def line(self, session: str) -> _Line:
        line = self.lines.get(session)
        if line is None:
            line = self.lines[session] = _Line(session)
        return line

    def show(self, line: _Line) -> None:
        """Have a line offered from, if there is something to offer; forget it if there is nothing in it."""
        head = line.head()
        if head is None:
            if not line.active:
                self.lines.pop(line.session, None)
        elif line.active < self.per_session:
            for pool in self.pools.values():
                if pool.allows(line.session):
                    pool.show(line.session, head[0])

    def head(self, pool: _Pool) -> tuple[_Place, str] | None:
        """Return place and session of the oldest run that a pool's workers may be offered."""
        if len(pool.heads) > 2 * len(pool.shown) + _STALE_MAX:
            pool.heads = [(place, session) for session, place in pool.shown.items()]
            heapify(pool.heads)
        while pool.heads:
            place, session = pool.heads[0]
            if pool.shown.get(session) == place:
                line = self.lines.get(session)
                head = line.head() if line is not None and line.active < self.per_session else None
                if head is not None and head[0] == place:
                    return place, session
                del pool.shown[session]
            heappop(pool.heads)
        return None


@dataclass(slots=True)
class _Offer:
    worker: _Worker
    place: _Place
    until: float


class Dispatcher:
    """Offers each run that waits to one worker of its agent at a time.

    1. A worker is never offered more than it has free slots, nor a session's runs beyond what may be live in it.
    2. The oldest work goes first, to the worker with the most free slots; one that let its last offer pass comes last.
    3. What a worker did not claim in time goes to one that has not let it pass yet; when all have, it waits behind what
       waits by then, so that what nobody can take holds up nothing else.
    4. A worker is offered only what its grant lets it work on.
    5. No event costs time in proportion to what waits, but for the first worker of an agent with some grant.

    Give it every committed row by `changed`, every worker by `serve` and `gone`; call `tick` about once a second.
    """

    def __init__(self, metrics: Metrics, *, offer_timeout_s: float, clock: Callable[[], float]) -> None:
        """Make one that knows of nothing. `clock` is monotonic, in seconds."""
        self._metrics = metrics
        self._offer_timeout_s = offer_timeout_s
        self._clock = clock
        self._agents: dict[str, _Agent] = {}
        self._rows: dict[str, dict[str, WorkRow]] = {}
        self._workers: dict[WorkerLink, _Worker] = {}
        # In the order of their ends, since all last equally long.
        self._offers: dict[_Key, _Offer] = {}
        # Workers that let a run pass since it was queued.
        self._passed: dict[_Key, set[str]] = {}
        self._order = 0
        self._newest_ms = 0
        self._leases: Counter[str] = Counter()

    # Workers

    def serve(self, link: WorkerLink, worker: str, slots: int, per_session: int) -> None:
        """Let a link's process take work of the agent that its grant names, or change how much.

        Raises:
            LocalProtocolError: the link serves as another worker already.
        """
        agent = self._agent(link.grant.subject)
        before = agent.workers.get(worker)
        if before is not None and before.link is not link:
            self._leave(before)  # It came back before its old link was found dead.
            before = None
        elif before is None and link in self._workers:
            raise LocalProtocolError(f"this link serves as {self._workers[link].id}; use one link for each worker")
        pool = self._pool(agent, link.grant)
        if before is None:
            known = agent.workers[worker] = _Worker(worker, agent, link, slots, per_session, pool)
            self._workers[link] = known
            pool.workers += 1
        else:
            known = before
            known.slots, known.per_session, known.missed = slots, per_session, 0
            if known.pool is not pool:
                pool.workers += 1
                self._leave_pool(known)
                known.pool = pool
        self._recount(agent)
        self._dispatch(agent)

    def regrant(self, link: WorkerLink) -> None:
        """Take notice that a link's grant was replaced. Nothing, if it does not serve."""
        if (worker := self._workers.get(link)) is not None:
            self.serve(link, worker.id, worker.slots, worker.per_session)

    def gone(self, link: WorkerLink) -> None:
        """Forget a link. What it was offered is offered to others, what it holds stays its worker's. Idempotent."""
        if (worker := self._workers.get(link)) is not None:
            self._leave(worker)
            self._recount(worker.agent)
            self._dispatch(worker.agent)

    def _leave(self, worker: _Worker) -> None:
        del self._workers[worker.link]
        del worker.agent.workers[worker.id]
        self._leave_pool(worker)
        for key in list(worker.offers):
            offer = self._withdraw(key)
            self._wait(worker.agent, key, offer.place)

    def _pool(self, agent: _Agent, grant: Grant) -> _Pool:
        key = frozenset(grant.sessions)
        pool = agent.pools.get(key)
        if pool is None:
            pool = agent.pools[key] = _Pool(grant)
            for line in list(agent.lines.values()):
                agent.show(line)
        return pool

    def _leave_pool(self, worker: _Worker) -> None:
        worker.pool.workers -= 1
        if not worker.pool.workers:
            del worker.agent.pools[frozenset(worker.pool.grant.sessions)]

    def _recount(self, agent: _Agent) -> None:
        """Find out how many runs may be live in a session; of workers that take none now only if there is no other."""
        workers = agent.workers.values()
        counting = [worker for worker in workers if worker.slots] or workers
        per_session = min((worker.per_session for worker in counting), default=1)
        if per_session != agent.per_session:
            agent.per_session = per_session
            for line in list(agent.lines.values()):
                agent.show(line)

    # Work

    def changed(self, rows: Iterable[WorkRow]) -> None:
        """Take rows that are on the disk, in their order."""
        agents = {}
        for row in rows:
            for agent in self._change(row):
                agents[agent.name] = agent
        self._count()
        for agent in agents.values():
            self._dispatch(agent)

    def forget(self, session: str) -> None:
        """Forget all work of a session that was deleted."""
        agents = {}
        for row in list(self._rows.get(session, {}).values()):
            agent = self._remove(row)
            self._passed.pop((session, row.run), None)
            agents[agent.name] = agent
        self._count()
        for agent in agents.values():
            self._dispatch(agent)

    def tick(self) -> None:
        """Offer what was not claimed in time to others."""
        now = self._clock()
        agents = {}
        while self._offers:
            key, offer = next(iter(self._offers.items()))
            if offer.until > now:
                break
            self._withdraw(key)
            self._miss(key, offer)
            agents[offer.worker.agent.name] = offer.worker.agent
        for agent in agents.values():
            self._dispatch(agent)

    def _change(self, row: WorkRow) -> Sequence[_Agent]:
        before = self._rows.get(row.session, {}).get(row.run)
        if before == row:
            return ()
        key = row.session, row.run
        offer = self._offers.get(key)
        if offer is not None and row.lease == "live" and row.worker == offer.worker.id:
            offer.worker.missed = 0
        touched = [self._remove(before)] if before is not None else []
        if row.lease != "queued":
            self._passed.pop(key, None)
        if row.lease != "ended":
            touched.append(self._add(row))
        return touched

    def _add(self, row: WorkRow) -> _Agent:
        self._rows.setdefault(row.session, {})[row.run] = row
        self._leases[row.lease] += 1
        agent = self._agent(row.agent)
        if row.lease == "queued":
            self._newest_ms = max(self._newest_ms, row.at_ms)
            self._wait(agent, (row.session, row.run), self._place(row.at_ms))
        elif row.lease == "live":
            agent.held[row.worker] += 1
            agent.line(row.session).active += 1
        elif row.lease == "suspended":
            agent.held[row.worker] += 1
        return agent

    def _remove(self, row: WorkRow) -> _Agent:
        rows = self._rows[row.session]
        del rows[row.run]
        if not rows:
            del self._rows[row.session]
        self._leases[row.lease] -= 1
        agent = self._agent(row.agent)
        if row.lease in ("live", "suspended"):
            agent.held[row.worker] -= 1
            if not agent.held[row.worker]:
                del agent.held[row.worker]
        line = agent.line(row.session)
        if row.lease == "live":
            line.active -= 1
        elif (row.session, row.run) in self._offers:
            self._withdraw((row.session, row.run))
        else:
            line.waiting.pop(row.run, None)
        agent.show(line)
        return agent

    def _wait(self, agent: _Agent, key: _Key, place: _Place) -> None:
        session, run = key
        line = agent.line(session)
        line.add(run, place)
        agent.show(line)

    def _place(self, at_ms: int) -> _Place:
        self._order += 1
        return at_ms, self._order

    # Offers

    def _dispatch(self, agent: _Agent) -> None:
        while (found := self._oldest(agent)) is not None:
            self._offer(agent, agent.lines[found])
        if not agent.workers and not agent.lines and not agent.held and self._agents.get(agent.name) is agent:
            del self._agents[agent.name]

    def _oldest(self, agent: _Agent) -> str | None:
        """Return the session of the oldest run that some worker has a free slot for."""
        free = {worker.pool for worker in agent.workers.values() if worker.free > 0}  # Invariant 1.
        heads = [head for pool in free if (head := agent.head(pool)) is not None]
        return min(heads)[1] if heads else None

    def _offer(self, agent: _Agent, line: _Line) -> None:
        head = line.head()
        assert head is not None
        place, run = head
        key = line.session, run
        row = self._rows[line.session][run]
        worker = self._choose(agent, key)
        del line.waiting[run]
        line.active += 1
        worker.offers.add(key)
        self._offers[key] = _Offer(worker, place, self._clock() + self._offer_timeout_s)
        agent.show(line)
        self._metrics.work_offers.inc()
        # Last: a link that cannot take it may be closed by this, and is gone when it returns.
        worker.link.offer(Work(line.session, run, row.message, row.attempt))

    def _choose(self, agent: _Agent, key: _Key) -> _Worker:
        able = [worker for worker in self._able(agent, key) if worker.free > 0]
        passed = self._passed.get(key, ())
        others = [worker for worker in able if worker.id not in passed]  # Invariant 3.
        return max(others or able, key=lambda worker: (not worker.missed, worker.free))  # Invariant 2.

    def _able(self, agent: _Agent, key: _Key) -> list[_Worker]:
        pools = {pool for pool in agent.pools.values() if pool.allows(key[0])}  # Invariant 4.
        return [worker for worker in agent.workers.values() if worker.pool in pools]

    def _withdraw(self, key: _Key) -> _Offer:
        offer = self._offers.pop(key)
        agent = offer.worker.agent
        offer.worker.offers.discard(key)
        agent.line(key[0]).active -= 1
        return offer

    def _miss(self, key: _Key, offer: _Offer) -> None:
        worker, place = offer.worker, offer.place
        worker.missed += 1
        passed = self._passed.setdefault(key, set())
        passed.add(worker.id)
        if all(other.id in passed or not other.slots for other in self._able(worker.agent, key)):
            self._passed[key] = {worker.id}
            place = self._place(self._newest_ms)
        self._wait(worker.agent, key, place)

    def _agent(self, name: str) -> _Agent:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = _Agent(name)
        return agent

    def _count(self) -> None:
        self._metrics.work_queued.set(self._leases["queued"])
        self._metrics.work_live.set(self._leases["live"])
