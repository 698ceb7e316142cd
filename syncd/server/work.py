"""Dispatcher: which worker is offered which run.

Rows come in as they were committed, offers go out to links. Knows nothing of sockets, of sessions or of the log, and
does not decide who gets a run: the session's machine does, when somebody claims it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Grant
from syncd.core.messages import Work
from syncd.core.work import WorkRow
from syncd.server.agents import Agent, Key, Line, Place, Pool, Worker, WorkerLink
from syncd.server.metrics import Metrics

#: An agent, and sessions.
OnOffline = Callable[[str, Collection[str]], None]


@dataclass(slots=True)
class _Offer:
    worker: Worker
    place: Place
    until: float


@dataclass(slots=True)
class _Lost:
    """An agent without workers, until when one may be back, and the sessions where it was."""

    agent: str
    until: float
    sessions: set[str]


class Dispatcher:
    """Offers each run that waits to one worker of its agent at a time.

    1. A worker is never offered more than it has free slots, nor a session's runs beyond what may be live in it. What
       waits for a decision takes no slot: it may wait for days.
    2. The oldest work goes first, to the worker with the most free slots; one that let its last offer pass comes last.
    3. What a worker did not claim in time goes to one that has not let it pass yet; when all have, it waits behind what
       waits by then, so that what nobody can take holds up nothing else.
    4. A worker is offered only what its grant lets it work on.
    5. No event costs time in proportion to what waits, but for the first worker of an agent with some grant, and the
       loss of the last one.
    6. An agent is offline when it has had no worker for `grace_s` since it lost its last one; that is said once.

    Give it every committed row by `changed`, every worker by `serve` and `gone`; call `tick` about once a second.
    """

    def __init__(self, metrics: Metrics, *, offer_timeout_s: float, grace_s: float, clock: Callable[[], float]) -> None:
        """Make one that knows of nothing. `clock` is monotonic, in seconds."""
        #: Called with each agent that is offline, and the sessions where it was or has a run that is not over.
        self.on_offline: list[OnOffline] = []
        #: In which sessions somebody is.
        self.where: Callable[[str], Collection[str]] = lambda _: ()
        self._metrics = metrics
        self._offer_timeout_s = offer_timeout_s
        self._grace_s = grace_s
        self._clock = clock
        self._agents: dict[str, Agent] = {}
        self._rows: dict[str, dict[str, WorkRow]] = {}
        self._workers: dict[WorkerLink, Worker] = {}
        # In the order of their ends, since all last equally long.
        self._offers: dict[Key, _Offer] = {}
        # By agent, in the order of their ends.
        self._lost: dict[str, _Lost] = {}
        # Workers that let a run pass since it was queued.
        self._passed: dict[Key, set[str]] = {}
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
        self._lost.pop(agent.name, None)
        pool = self._pool(agent, link.grant)
        if before is None:
            known = agent.workers[worker] = Worker(worker, agent, link, slots, per_session, pool)
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
            if not worker.agent.workers:
                name = worker.agent.name
                self._lost[name] = _Lost(name, self._clock() + self._grace_s, {*self.where(name)})
            self._recount(worker.agent)
            self._dispatch(worker.agent)

    def _leave(self, worker: Worker) -> None:
        del self._workers[worker.link]
        del worker.agent.workers[worker.id]
        self._leave_pool(worker)
        for key in list(worker.offers):
            offer = self._withdraw(key)
            self._wait(worker.agent, key, offer.place)

    def _pool(self, agent: Agent, grant: Grant) -> Pool:
        key = frozenset(grant.sessions)
        pool = agent.pools.get(key)
        if pool is None:
            pool = agent.pools[key] = Pool(grant)
            agent.show_all()
        return pool

    def _leave_pool(self, worker: Worker) -> None:
        worker.pool.workers -= 1
        if not worker.pool.workers:
            del worker.agent.pools[frozenset(worker.pool.grant.sessions)]

    def _recount(self, agent: Agent) -> None:
        """Find out how many runs may be live in a session; of workers that take none now only if there is no other."""
        workers = agent.workers.values()
        counting = [worker for worker in workers if worker.slots] or workers
        per_session = min((worker.per_session for worker in counting), default=1)
        if per_session != agent.per_session:
            agent.per_session = per_session
            agent.show_all()

    def serves(self, agent: str) -> bool:
        """Whether some worker serves an agent, be it one that takes nothing more for now."""
        found = self._agents.get(agent)
        return found is not None and bool(found.workers)

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

    def waits(self, session: str, run: str) -> bool:
        """Whether a run waits for a worker."""
        row = self._rows.get(session, {}).get(run)
        return row is not None and row.lease == "queued"

    def forget(self, session: str) -> None:
        """Forget all work of a session that was deleted."""
        agents = {}
        for row in list(self._rows.get(session, {}).values()):
            agent = self._remove(row)
            self._passed.pop((session, row.run), None)
            agents[agent.name] = agent
        for lost in self._lost.values():
            lost.sessions.discard(session)
        self._count()
        for agent in agents.values():
            self._dispatch(agent)

    def tick(self) -> None:
        """Offer what was not claimed in time to others, and say who is offline."""
        now = self._clock()
        self._say_offline(now)
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

    def _say_offline(self, now: float) -> None:
        while self._lost and (lost := next(iter(self._lost.values()))).until <= now:
            del self._lost[lost.agent]  # Invariant 6.
            for session, rows in self._rows.items():
                if any(row.agent == lost.agent for row in rows.values()):
                    lost.sessions.add(session)
            for tell in self.on_offline:
                tell(lost.agent, lost.sessions)

    def _change(self, row: WorkRow) -> Sequence[Agent]:
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

    def _add(self, row: WorkRow) -> Agent:
        self._rows.setdefault(row.session, {})[row.run] = row
        self._leases[row.lease] += 1
        agent = self._agent(row.agent)
        if row.lease == "queued":
            self._newest_ms = max(self._newest_ms, row.at_ms)
            self._wait(agent, (row.session, row.run), self._place(row.at_ms))
        elif row.lease == "live":
            agent.held[row.worker] += 1
            line = agent.line(row.session)
            line.active += 1
            agent.show(line)
        return agent

    def _remove(self, row: WorkRow) -> Agent:
        rows = self._rows[row.session]
        del rows[row.run]
        if not rows:
            del self._rows[row.session]
        self._leases[row.lease] -= 1
        agent = self._agent(row.agent)
        line = agent.line(row.session)
        if row.lease == "live":
            agent.held[row.worker] -= 1
            if not agent.held[row.worker]:
                del agent.held[row.worker]
            line.active -= 1
        elif (row.session, row.run) in self._offers:
            self._withdraw((row.session, row.run))
        else:
            line.waiting.pop(row.run, None)
        agent.show(line)
        return agent

    def _wait(self, agent: Agent, key: Key, place: Place) -> None:
        session, run = key
        line = agent.line(session)
        line.add(run, place)
        agent.show(line)

    def _place(self, at_ms: int) -> Place:
        self._order += 1
        return at_ms, self._order

    # Offers

    def _dispatch(self, agent: Agent) -> None:
        while (line := agent.oldest()) is not None:  # Invariant 1.
            self._offer(agent, line)
        if not agent.workers and not agent.lines and not agent.held and self._agents.get(agent.name) is agent:
            del self._agents[agent.name]

    def _offer(self, agent: Agent, line: Line) -> None:
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

    def _choose(self, agent: Agent, key: Key) -> Worker:
        able = [worker for worker in agent.able(key[0]) if worker.free > 0]
        passed = self._passed.get(key, ())
        others = [worker for worker in able if worker.id not in passed]  # Invariant 3.
        return max(others or able, key=lambda worker: (not worker.missed, worker.free))  # Invariant 2.

    def _withdraw(self, key: Key) -> _Offer:
        offer = self._offers.pop(key)
        agent = offer.worker.agent
        offer.worker.offers.discard(key)
        agent.line(key[0]).active -= 1
        return offer

    def _miss(self, key: Key, offer: _Offer) -> None:
        worker, place = offer.worker, offer.place
        worker.missed += 1
        passed = self._passed.setdefault(key, set())
        passed.add(worker.id)
        if all(other.id in passed or not other.slots for other in worker.agent.able(key[0])):
            self._passed[key] = {worker.id}
            place = self._place(self._newest_ms)
        self._wait(worker.agent, key, place)

    def _agent(self, name: str) -> Agent:
        agent = self._agents.get(name)
        if agent is None:
            agent = self._agents[name] = Agent(name)
        return agent

    def _count(self) -> None:
        self._metrics.work_queued.set(self._leases["queued"])
        self._metrics.work_live.set(self._leases["live"])
