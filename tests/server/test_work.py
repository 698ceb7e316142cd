"""Dispatcher: who is offered what, when, and what becomes of offers that nobody takes."""

import time
from collections.abc import Iterable
from random import Random

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Grant, Right
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Work
from syncd.core.work import WorkRow
from syncd.server.metrics import Metrics
from syncd.server.work import Dispatcher

TRANSCRIPT = frozenset({Right.TRANSCRIPT})
AGENT = "agent:planner"


class FakeLink:
    """A link that keeps the runs it is offered."""

    def __init__(self, agent: str = AGENT, *sessions: str, rights: frozenset[Right] = TRANSCRIPT) -> None:
        self.grant = Grant(agent, agent, "agent", tuple((pattern, rights) for pattern in sessions or ("*",)))
        self.got: list[Work] = []

    def offer(self, work: Work) -> None:
        self.got.append(work)

    def runs(self) -> list[str]:
        """Return the runs it was offered, and forget them."""
        got, self.got = self.got, []
        return [work.run for work in got]


class World:
    """A dispatcher with a clock that stands still, and the rows as they are."""

    def __init__(self) -> None:
        self.now = 100.0
        self.metrics = Metrics()
        self.rows: dict[tuple[str, str], WorkRow] = {}
        timeout = DEFAULT_LIMITS.offer_timeout_s
        self.dispatcher = Dispatcher(self.metrics, offer_timeout_s=timeout, grace_s=10.0, clock=lambda: self.now)
        self.offline: list[tuple[str, set[str]]] = []
        self.dispatcher.on_offline.append(lambda agent, sessions: self.offline.append((agent, {*sessions})))

    def row(
        self, run: str, lease: str = "queued", *, session: str = "s", worker: str = "", agent: str = AGENT, at: int = 0
    ) -> None:
        """Commit a row; it is as old as its run's number says, if `at` does not."""
        row = WorkRow(agent, session, run, f"m{run}", lease, 0, at or int(run.lstrip("r") or 0), worker)
        self.rows[session, run] = row
        self.dispatcher.changed([row])

    def queue(self, runs: Iterable[int], *, session: str = "s", agent: str = AGENT) -> None:
        for run in runs:
            self.row(f"r{run}", session=session, agent=agent)

    def serve(self, worker: str, slots: int = 9, per_session: int = 9, link: FakeLink | None = None) -> FakeLink:
        link = link or FakeLink()
        self.dispatcher.serve(link, worker, slots, per_session)
        return link

    def claim(self, run: str, worker: str, *, session: str = "s") -> None:
        self.row(run, "live", session=session, worker=worker)

    def wait(self, seconds: float = DEFAULT_LIMITS.offer_timeout_s) -> None:
        self.now += seconds
        self.dispatcher.tick()

    def metric(self, name: str) -> float:
        return float(self.metrics.registry.get_sample_value(name) or 0)


@pytest.fixture
def world() -> World:
    return World()


def test_work_waits_for_a_worker_and_is_there_when_one_comes(world: World) -> None:
    """Nothing is offered before anybody serves; then all of it, with its message and attempt, oldest first."""
    world.queue([3, 1, 2])
    link = world.serve("w")

    assert link.got == [Work("s", run, f"m{run}", 0) for run in ("r1", "r2", "r3")]
    world.row("r4")
    assert link.runs()[-1] == "r4"


def test_a_run_is_offered_to_one_worker_at_a_time(world: World) -> None:
    """Two workers share what there is; nothing goes to both."""
    one, two = world.serve("one"), world.serve("two")
    world.queue(range(1, 9))

    first, second = one.runs(), two.runs()
    assert sorted(first + second) == [f"r{n}" for n in range(1, 9)]
    assert len(first) == len(second) == 4


def test_slots_bound_what_a_worker_holds(world: World) -> None:
    """Offers and live runs take a slot each; what ends, is taken away, or waits for a decision, gives it back."""
    link = world.serve("w", slots=2)
    world.queue(range(1, 6))
    assert link.runs() == ["r1", "r2"]
    world.claim("r1", "w")
    world.claim("r2", "w")
    assert link.runs() == []

    world.row("r1", "suspended", worker="w")
    assert link.runs() == ["r3"]
    world.row("r1", "live", worker="w")
    world.row("r1", "ended")
    assert link.runs() == [], "it went on beside those that took its place"
    world.row("r2", "interrupted")
    assert link.runs() == ["r4"]
    world.claim("r3", "somebody else")
    assert link.runs() == ["r5"]


def test_the_worker_with_the_most_free_slots_goes_first(world: World) -> None:
    """However many slots each has in all."""
    world.row("r1", "live", session="other", worker="large")
    world.row("r2", "live", session="other", worker="large")
    large, small = world.serve("large", slots=4), world.serve("small", slots=3)
    world.queue([3])

    assert (large.runs(), small.runs()) == ([], ["r3"])


def test_a_worker_without_slots_is_offered_nothing(world: World) -> None:
    """And served again with some, it is."""
    link = world.serve("w", slots=0)
    world.queue([1])
    assert link.runs() == []
    world.serve("w", slots=1, link=link)
    assert link.runs() == ["r1"]


def test_live_runs_in_one_session_are_bounded(world: World) -> None:
    """Beyond `per_session` further runs of an agent in a session wait, offers counted; other sessions do not."""
    link = world.serve("w", per_session=1)
    world.queue([1, 2, 3], session="a")
    world.queue([4, 5], session="b")
    assert link.runs() == ["r1", "r4"]

    world.claim("r1", "w", session="a")
    assert link.runs() == []
    world.row("r1", "suspended", session="a", worker="w")
    assert link.runs() == ["r2"]
    world.row("r2", "ended", session="a")
    assert link.runs() == ["r3"]


def test_of_several_workers_the_least_counts_in_a_session(world: World) -> None:
    """The narrowest of those that take work says how many runs may be live; when it goes, the next one does."""
    wide, narrow = world.serve("wide", per_session=3), world.serve("narrow", per_session=1)
    world.serve("resting", slots=0, per_session=1)
    world.queue([1, 2, 3, 4])
    assert len(wide.runs() + narrow.runs()) == 1

    world.dispatcher.gone(narrow)
    world.queue([5])
    assert len(world.dispatcher._offers) == 3


def test_an_offer_that_nobody_claims_goes_to_another(world: World) -> None:
    """After `offer_timeout_s`, not before; never while there is one that has not let it pass."""
    links = {name: world.serve(name, slots=3) for name in "abc"}
    world.queue([1])
    seen: list[str] = []
    for _ in range(3):
        offered = [name for name, link in links.items() if link.runs()]
        assert len(offered) == 1
        seen += offered
        world.wait(DEFAULT_LIMITS.offer_timeout_s - 0.1)
        assert not any(link.runs() for link in links.values())
        world.wait(0.1)

    assert sorted(seen) == ["a", "b", "c"]
    assert any(link.runs() for link in links.values())


def test_one_that_let_it_pass_is_not_asked_before_the_others(world: World) -> None:
    """Not even if it has the most free slots and is well again."""
    links = {name: world.serve(name, slots) for name, slots in {"a": 9, "b": 6, "c": 3}.items()}
    world.queue([1])
    assert links["a"].runs() == ["r1"]
    world.wait()
    assert links["b"].runs() == ["r1"]
    world.serve("a", 9, link=links["a"])
    world.wait()
    assert links["c"].runs() == ["r1"]


def test_one_that_is_alone_is_offered_it_again(world: World) -> None:
    """There is nobody else."""
    link = world.serve("w")
    world.queue([1])
    for _ in range(3):
        assert link.runs() == ["r1"]
        world.wait()


def test_what_all_let_pass_holds_up_nothing_else(world: World) -> None:
    """A run that no worker can take, as of a damaged session, takes its turn behind what waits by then."""
    link = world.serve("w", slots=1)
    world.serve("resting", slots=0)
    world.queue([1, 2, 3])
    assert link.runs() == ["r1"]
    world.wait()
    assert link.runs() == ["r2"]
    world.claim("r2", "w")
    world.row("r2", "ended")
    assert link.runs() == ["r3"]
    world.claim("r3", "w")
    world.row("r3", "ended")

    assert link.runs() == ["r1"]


def test_a_worker_that_let_an_offer_pass_comes_last(world: World) -> None:
    """One that hangs has the most free slots of all, and gets no new work while another has one; a claim mends it."""
    hung, well = world.serve("hung", slots=9), world.serve("well", slots=3)
    world.queue([1])
    assert hung.runs() == ["r1"]
    world.wait()
    assert well.runs() == ["r1"]
    world.queue([2, 3])
    assert (hung.runs(), well.runs()) == ([], ["r2", "r3"])
    world.queue([4])
    assert hung.runs() == ["r4"]
    world.claim("r4", "hung")
    world.row("r2", "ended")
    world.queue([5])
    assert hung.runs() == ["r5"]


def test_a_worker_that_goes_leaves_its_offers_to_others(world: World) -> None:
    """At once; what it holds stays its own, and counts when it is back."""
    one = world.serve("one", slots=2)
    world.queue([1, 2])
    world.claim("r1", "one")
    two = world.serve("two")
    assert one.runs() == ["r1", "r2"]
    world.dispatcher.gone(one)
    assert two.runs() == ["r2"]
    world.dispatcher.gone(one)
    world.dispatcher.gone(two)

    world.queue([3])
    back = world.serve("one", slots=2)
    assert back.runs() == ["r2"]


def test_a_worker_is_back_before_its_old_link_is_found_dead(world: World) -> None:
    """The new link takes the old one's place; the old one's end is nobody's any more."""
    old = world.serve("w")
    world.queue([1])
    new = world.serve("w")
    assert (old.runs(), new.runs()) == (["r1"], ["r1"])
    world.dispatcher.gone(old)
    world.queue([2])

    assert (old.runs(), new.runs()) == ([], ["r2"])


def test_one_link_is_one_worker(world: World) -> None:
    """To serve under a second name is the caller's mistake."""
    link = world.serve("one")
    with pytest.raises(LocalProtocolError, match="serves as one"):
        world.serve("two", link=link)


def test_agents_do_not_meet(world: World) -> None:
    """Work goes to its own agent's workers, though they share a worker's name."""
    planner, writer = world.serve("w"), world.serve("w", link=FakeLink("agent:writer"))
    world.queue([1], agent="agent:writer")
    world.queue([2])

    assert (planner.runs(), writer.runs()) == (["r2"], ["r1"])


def test_a_worker_is_offered_only_what_its_grant_allows(world: World) -> None:
    """Sessions that it does not name, or only lets read, are never mentioned to it, and hold up nothing."""
    narrow = world.serve("narrow", slots=1, link=FakeLink(AGENT, "trip-*"))
    reader = world.serve("reader", link=FakeLink(AGENT, "*", rights=frozenset()))
    world.queue([1], session="other")
    world.queue([2], session="trip-1")
    assert (narrow.runs(), reader.runs()) == (["r2"], [])
    wide = world.serve("wide")
    assert wide.runs() == ["r1"]


def test_a_fresh_grant_counts_at_once(world: World) -> None:
    """What it newly names is offered; a link that does not serve is left alone."""
    link = world.serve("w", link=FakeLink(AGENT, "trip-*"))
    world.queue([1], session="other")
    assert link.runs() == []
    link.grant = FakeLink().grant
    world.dispatcher.regrant(link)
    assert link.runs() == ["r1"]
    world.dispatcher.regrant(FakeLink())
    assert len(world.dispatcher._workers) == 1


def test_what_ends_while_it_is_offered_frees_the_slot(world: World) -> None:
    """A run that is cancelled or claimed by somebody else is not offered again."""
    link = world.serve("w", slots=1)
    world.queue([1, 2])
    world.row("r1", "ended")
    assert link.runs() == ["r1", "r2"]
    world.wait()
    assert link.runs() == ["r2"]


def test_a_suspended_run_that_goes_on_is_offered_anew(world: World) -> None:
    """Queued again by a decision, it waits behind what is older."""
    link = world.serve("w", slots=1)
    world.row("r1", "suspended", worker="w")
    world.queue([2, 3])
    assert link.runs() == ["r2"]
    world.row("r1", "queued", at=9)
    world.row("r2", "ended")
    assert link.runs() == ["r3"]
    world.row("r3", "ended")
    assert link.runs() == ["r1"]


def test_who_let_a_run_pass_may_have_it_when_it_goes_on(world: World) -> None:
    """Once it was claimed, what was before no longer counts."""
    large, small = world.serve("large", slots=9), world.serve("small", slots=3)
    world.queue([1])
    world.wait()
    assert (large.runs(), small.runs()) == (["r1"], ["r1"])
    world.claim("r1", "small")
    world.row("r1", "suspended", worker="small")
    world.serve("large", 9, link=large)
    world.row("r1", "queued", at=9)

    assert (large.runs(), small.runs()) == (["r1"], [])


def test_what_is_queued_anew_has_its_new_place(world: World) -> None:
    """In its session's line, and in what its agent's workers see of that."""
    world.queue([1, 2, 3])
    world.row("r2", at=9)
    link = world.serve("w", slots=3)
    assert link.runs() == ["r1", "r3", "r2"]

    world.queue([4, 8], session="a")
    world.queue([5], session="b")
    world.row("r4", "ended", session="a")
    world.serve("w", slots=5, link=link)
    assert link.runs() == ["r5", "r8"]


def test_the_oldest_goes_first_whoever_may_take_it(world: World) -> None:
    """Also where workers may work in different sessions: what one alone can take is not left for what both can."""
    wide = world.serve("wide", slots=1)
    narrow = world.serve("narrow", slots=1, link=FakeLink(AGENT, "trip-*"))
    rows = [
        WorkRow(AGENT, session, run, "", "queued", 0, at) for session, run, at in (("x", "r1", 1), ("trip-1", "r2", 2))
    ]
    world.dispatcher.changed(rows)

    assert (wide.runs(), narrow.runs()) == (["r1"], ["r2"])


def test_a_deleted_session_is_forgotten(world: World) -> None:
    """Its runs are neither offered nor counted, and the slots they took are free."""
    link = world.serve("w", slots=2)
    world.queue([1, 2], session="gone")
    world.claim("r1", "w", session="gone")
    world.queue([3, 4])
    link.runs()
    world.dispatcher.forget("gone")

    assert link.runs() == ["r3", "r4"]
    assert world.metric("syncd_work_queued") == 2
    assert world.metric("syncd_work_live") == 0


def test_what_waits_is_counted(world: World) -> None:
    """Queued runs, live ones and offers, offers made again included."""
    world.queue([1, 2])
    assert (world.metric("syncd_work_queued"), world.metric("syncd_work_offers_total")) == (2, 0)
    world.serve("w", slots=1)
    world.wait()
    world.claim("r2", "w")

    assert (world.metric("syncd_work_queued"), world.metric("syncd_work_live")) == (1, 1)
    assert world.metric("syncd_work_offers_total") == 2


def test_a_link_that_closes_while_it_is_offered_something_loses_it(world: World) -> None:
    """A socket that cannot take the offer is gone within the call; the offer goes to the next."""

    class Full(FakeLink):
        def offer(self, work: Work) -> None:
            world.dispatcher.gone(self)

    world.serve("full", slots=100, link=Full())
    other = world.serve("other", slots=3)
    world.queue([1, 2])

    assert other.runs() == ["r1", "r2"]


def test_thousands_of_runs_wait_at_no_cost() -> None:
    """An event among 40,000 queued runs, in one session or in many, takes no longer than among a few."""

    def seconds_each(waiting: int, sessions: int) -> float:
        world = World()
        world.dispatcher.changed(
            WorkRow(AGENT, f"s{n % sessions}", f"r{n}", "", "queued", 0, n) for n in range(1, waiting + 1)
        )
        link = world.serve("w", slots=1)
        best = 1.0
        for _ in range(5):
            started = time.thread_time()  # What others do on this machine meanwhile does not count.
            for _ in range(100):
                (work,), link.got = link.got, []
                world.claim(work.run, "w", session=work.session)
                world.row(work.run, "ended", session=work.session)
            best = min(best, time.thread_time() - started)
        return best / 100

    few = seconds_each(1_000, 600)
    assert seconds_each(40_000, 1) < 10 * few
    assert seconds_each(40_000, 40_000) < 10 * few


@pytest.mark.parametrize("seed", range(30))
def test_the_rules_hold_whatever_happens(seed: int) -> None:
    """Random workers, claims, ends, losses and waits: never too much for a worker or a session, and nothing is stuck.

    In the end, with one worker that takes everything, every run that waits is offered.
    """
    rng = Random(seed)
    world = World()
    dispatcher = world.dispatcher
    links: dict[str, FakeLink] = {}
    grants = (("*",), ("a*",), ("a1", "b*"))
    for step in range(400):
        match rng.randrange(8):
            case 0:
                name = rng.choice("uvwxyz")
                link = links.get(name) if rng.random() < 0.5 else None
                links[name] = world.serve(
                    name, rng.randrange(4), rng.randrange(1, 3), link or FakeLink(AGENT, *rng.choice(grants))
                )
            case 1 if links:
                dispatcher.gone(links.pop(rng.choice(sorted(links))))
            case 2 | 3:
                world.row(f"r{step}", session=rng.choice(("a1", "a2", "b1", "c1")))
            case 4 | 5 if dispatcher._offers:
                (session, run), offer = rng.choice(list(dispatcher._offers.items()))
                world.claim(run, offer.worker.id, session=session)
            case 6 if world.rows:
                (session, run), row = rng.choice(list(world.rows.items()))
                worker = row.worker if row.lease == "live" else ""
                lease = rng.choice(("ended", "queued", "suspended", "interrupted"))
                world.row(run, lease, session=session, worker=worker if lease == "suspended" else "")
                if lease == "ended":
                    del world.rows[session, run]
            case _:
                world.wait(rng.choice((0.5, 4.0, 10.0)))
        check(world)
    for link in links.values():
        dispatcher.gone(link)
    last = world.serve("last", slots=10_000, per_session=10_000)
    waiting = {key for key, row in world.rows.items() if row.lease == "queued"}
    assert {(work.session, work.run) for work in last.got} == waiting


def check(world: World) -> None:
    """Hold what the dispatcher did against the rows, counted anew."""
    agent = world.dispatcher._agents.get(AGENT)
    offers = world.dispatcher._offers
    assert offers.keys() <= {key for key, row in world.rows.items() if row.lease == "queued"}
    for worker in agent.workers.values() if agent else ():
        held = sum(row.worker == worker.id and row.lease == "live" for row in world.rows.values())
        mine = [key for key, offer in offers.items() if offer.worker is worker]
        assert set(mine) == worker.offers
        assert worker.free == worker.slots - held - len(mine)
        assert all(Right.TRANSCRIPT in (worker.link.grant.rights(session) or ()) for session, _ in mine)
        if worker.free <= 0:
            continue
        for key, row in world.rows.items():
            if (
                row.lease == "queued"
                and key not in offers
                and Right.TRANSCRIPT in (worker.link.grant.rights(key[0]) or ())
            ):
                live = sum(row.lease == "live" for (at, _), row in world.rows.items() if at == key[0])
                assert agent is not None
                assert live + sum(at == key[0] for at, _ in offers) >= agent.per_session, "it could be offered"


def test_an_agent_without_workers_is_offline_after_the_grace(world: World) -> None:
    """Said once, with where it was and where its runs are not over; not if one is back, or another is there."""
    world.dispatcher.where = lambda agent: {"talk", "erased"} if agent == AGENT else set()
    one, two = world.serve("one"), world.serve("two")
    for session, lease in (("a", "live"), ("b", "suspended"), ("c", "interrupted"), ("d", "ended"), ("erased", "live")):
        world.row("r1", lease, session=session, worker="one")
    world.row("r1", session="other", agent="agent:critic")
    world.dispatcher.gone(one)
    world.wait(60)
    assert world.offline == []

    world.dispatcher.gone(two)
    world.wait(9)
    back = world.serve("two")
    world.wait(60)
    assert world.offline == []

    world.dispatcher.gone(back)
    world.dispatcher.forget("erased")
    world.wait(10)
    world.wait(60)
    assert world.offline == [(AGENT, {"talk", "a", "b", "c"})]
