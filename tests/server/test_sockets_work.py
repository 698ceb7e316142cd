"""Workers on real sockets: who may serve, what they are offered, and what is found again after a restart."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from syncd.core.errors import CloseCode, StoreError
from syncd.core.ids import run_id
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Ack, Bye, Claim, Closed, Layer, Open, Ping, Pong, Refresh, Refreshed, Serve, Work
from syncd.core.schema import Root
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Ready
from syncd.core.transcript import put_message
from syncd.core.work import WorkRow
from syncd.server.app import Server
from syncd.server.live_session import Follower, LiveSession
from syncd.server.open_work import OpenWork
from syncd.server.records import Records
from syncd.server.sessions import Sessions
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog
from tests.core.machines import Pen, new_message
from tests.harness import MEMBER, RawLink, mint, serving, until
from tests.server.links import links_of

OFFER = Work("s", "r1", "m1", 0)


def row(run: str = "r1", lease: str = "queued", *, session: str = "s", worker: str = "") -> WorkRow:
    return WorkRow("agent:planner", session, run, "m1", lease, 0, 1, worker)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "s.db", limits={"offer_timeout_s": 0.2}) as running:
        yield running


def sessions_of(server: Server) -> Sessions:
    records = server.services.sessions
    assert isinstance(records, Records)
    return records._sessions


def work_of(server: Server) -> OpenWork:
    [work] = [follower for follower in sessions_of(server).followers if isinstance(follower, OpenWork)]
    return work


@asynccontextmanager
async def worker(server: Server, name: str = "w1", slots: int = 4, **token: Any) -> AsyncIterator[RawLink]:
    """A link of `agent:planner` that serves; without slots, one that does not."""
    async with RawLink(server.url, mint("agent:planner", **token)) as raw:
        await raw.hello()
        if slots:
            await raw.send(Serve(name, slots, 4))
            await settled(raw)
        yield raw


async def settled(raw: RawLink) -> None:
    """Wait until the server has read all that was sent; what came meanwhile is still to be expected."""
    await raw.send(Ping(1))
    pong = await until(lambda: next((message for message in raw.got if isinstance(message, Pong)), None))
    raw.got.remove(pong)


def offered(raw: RawLink) -> list[str]:
    return [message.run for message in raw.got if isinstance(message, Work)]


async def test_only_an_agent_may_serve(server: Server) -> None:
    """Anybody else's link is closed, and told whose token it takes."""
    async with RawLink(server.url, mint("user:ann")) as raw:
        await raw.hello()
        await raw.send(Serve("w1", 1, 1))
        assert await raw.closed() == (CloseCode.BAD_MESSAGE, CloseCode.BAD_MESSAGE)
        assert [message.reason for message in raw.got if isinstance(message, Bye)] == [
            "user:ann cannot serve: it takes the token of an agent, of a subject agent:NAME"
        ]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (Serve("w2", 1, 1), "another worker on this link"),
        (Serve("w1", DEFAULT_LIMITS.slots_max + 1, 1), "at most 1000 slots"),
    ],
)
async def test_a_worker_is_one_life_within_its_limits(server: Server, second: Serve, reason: str) -> None:
    """Another name, or more than `slots_max`, closes the link; just as many do not."""
    async with worker(server, slots=DEFAULT_LIMITS.slots_max) as raw:
        await raw.send(second)
        assert await raw.closed() == (CloseCode.BAD_MESSAGE, CloseCode.BAD_MESSAGE)
        assert reason in str(raw.got)


async def test_a_worker_is_offered_what_is_committed(server: Server) -> None:
    """A row goes to a link that serves its agent, and to no other."""
    async with worker(server) as raw, worker(server, slots=0) as idle, RawLink(server.url, mint("agent:x")) as other:
        await other.hello()
        await other.send(Serve("w1", 1, 1))
        await settled(other)
        work_of(server).changed([row()])

        assert await raw.expect(Work) == OFFER
        await settled(idle)
        await settled(other)
        assert not offered(idle) + offered(other)


async def test_what_is_not_claimed_goes_to_another_worker(server: Server) -> None:
    """After `offer_timeout_s`, though nothing else happens."""
    async with worker(server, "w1", slots=4) as first, worker(server, "w2", slots=3) as second:
        work_of(server).changed([row()])
        assert await first.expect(Work) == OFFER
        assert await second.expect(Work) == OFFER


async def test_a_link_that_ends_gives_its_offers_back(tmp_path: Path) -> None:
    """At once, not when they time out."""
    async with (
        serving(tmp_path / "s.db", limits={"offer_timeout_s": 600}) as server,
        worker(server, "w1", slots=4) as first,
        worker(server, "w2", slots=3) as second,
    ):
        work_of(server).changed([row()])
        await first.expect(Work)
        await first.aclose()
        assert await second.expect(Work) == OFFER


async def test_a_link_that_is_being_closed_is_offered_nothing(server: Server) -> None:
    """From the moment that the server decided so."""
    async with worker(server, "w1", slots=4) as first, worker(server, "w2", slots=3) as second:
        links = links_of(server)
        links.close(next(link for link in links._links if link.worker == "w1"), CloseCode.SHUTDOWN, "away")
        work_of(server).changed([row()])
        assert await second.expect(Work) == OFFER
        await first.closed()
        assert not offered(first)


async def test_a_fresh_token_brings_more_work(server: Server) -> None:
    """A session that only the new one names is offered then."""
    async with worker(server, sessions="trip") as raw:
        work_of(server).changed([row()])
        await settled(raw)
        assert not offered(raw)
        await raw.send(Refresh(mint("agent:planner")))
        assert await raw.expect(Work) == OFFER
        await raw.expect(Refreshed)


async def test_sessions_know_whose_leases_a_link_keeps(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's id once it serves, else the device's; what was open before is to be opened again. Claims arrive."""
    attached: list[str] = []
    claims: list[object] = []
    attach, receive = ServerMachine.attach, ServerMachine.receive

    def noted(machine: ServerMachine, *args: Any, worker: str = "", **more: Any) -> None:
        attached.append(worker)
        attach(machine, *args, worker=worker, **more)

    def taken(machine: ServerMachine, peer: str, message: Any) -> None:
        claims.append(message)
        receive(machine, peer, message)

    monkeypatch.setattr(ServerMachine, "attach", noted)
    monkeypatch.setattr(ServerMachine, "receive", taken)
    async with worker(server, slots=0) as raw:
        await raw.open("s")
        await raw.send(Serve("w1", 1, 1))
        closed = await raw.expect(Closed)
        assert (closed.session, closed.code) == ("s", CloseCode.RESYNC)
        await raw.open("s")
        await raw.send(Serve("w1", 2, 1))
        await raw.send(Claim("s", "r1", "retry", 3))
        await raw.send(Claim("not-open", "r1", "retry", 3))
        await settled(raw)

        assert attached == ["raw", "w1"]
        assert claims == [Claim("s", "r1", "retry", 3)]
        assert raw.close_code is None


async def test_work_is_told_behind_its_commit_only(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that a turn brings are on the disk when they are offered; those of a commit that conflicts are not."""
    ready = ServerMachine.ready

    def with_work(machine: ServerMachine, now_ms: int) -> Ready | None:
        made = ready(machine, now_ms)
        if made is None or not made.pushes:
            return made
        number = machine.version
        return Ready(made.expected, made.entries, made.batch, made.receipts, made.merged, [row(f"r{number}")])

    monkeypatch.setattr(ServerMachine, "ready", with_work)
    log = sessions_of(server).log
    async with worker(server) as raw:
        pen = Pen()
        version = (await raw.open("s", client_ids=(pen.id,))).version
        await raw.push(pen.message("hi"))
        offer = await raw.expect(Work)
        assert [found.run for found in await log.open_work()] == [offer.run]

        told: list[str] = []

        class Note(Follower):
            def advanced(self, live: LiveSession, ready: Ready) -> None:
                told.extend(found.run for found in ready.work)

        sessions_of(server).followers.append(Note())
        now = await log.info("s")
        assert now is not None
        assert now.version > version
        await log.append([Append("s", now.version, [Entry(EntryKind.STATE, b"\0\0")])])
        await raw.push(pen.message("again"))
        assert (await raw.expect(Closed)).code == CloseCode.RESYNC
        assert not told


async def test_a_deleted_sessions_work_is_not_offered(server: Server) -> None:
    """It goes with the session."""
    sessions = sessions_of(server)
    await sessions.create("s")
    work_of(server).changed([row(), row("r2", session="t")])
    await sessions.delete("s")
    async with worker(server) as raw:
        assert (await raw.expect(Work)).run == "r2"
        assert not offered(raw)


async def fill(path: Path, *rows: WorkRow) -> None:
    """Make a store whose sessions have these rows, as an earlier server would have left it."""
    log = SqliteSessionLog(path)
    await log.open()
    for number, found in enumerate(rows):
        await log.create(found.session, "i", 1)
        update = Pen().message(f"message {number}")
        assert await log.append([Append(found.session, 0, [Entry(EntryKind.TRANSCRIPT, update)], [found])]) == []
        await log.index_messages(found.session, 1, {"m": "so that the search index loads none of them"})
    await log.close()


async def test_work_is_there_after_a_restart(tmp_path: Path) -> None:
    """What waits is offered without a load of its session; what somebody held is loaded, and unloaded when idle."""
    held = [row("r2", "live", session="t", worker="w9"), row("r3", "suspended", session="u", worker="w9")]
    await fill(tmp_path / "s.db", row(), *held, row("r4", "interrupted", session="v"))
    async with serving(tmp_path / "s.db", limits={"idle_evict_s": 0.3}) as server:
        sessions = sessions_of(server)
        await until(lambda: {live.session for live in sessions.lives()} == {"t", "u", "v"})
        async with worker(server) as raw:
            assert await raw.expect(Work) == OFFER
        metrics = server.services.metrics.registry
        assert metrics.get_sample_value("syncd_work_live") == 1
        await until(lambda: not sessions.loaded)


async def test_a_session_that_does_not_load_keeps_no_other_from_it(tmp_path: Path) -> None:
    """It is logged, and the others are loaded."""
    await fill(tmp_path / "s.db", *(row("r1", "live", session=f"s{n}") for n in range(9)))
    log = SqliteSessionLog(tmp_path / "s.db")
    await log.open()
    await log.append([Append("s0", 1, [Entry(EntryKind.TRANSCRIPT, b"\xff no update")])])
    await log.close()
    with capture_logs() as logs:
        async with serving(tmp_path / "s.db") as server:
            await until(lambda: sessions_of(server).loaded == 8)
            await until(lambda: any(entry["event"] == "work_not_loaded" for entry in logs))
    assert [entry["session"] for entry in logs if entry["event"] == "work_not_loaded"] == ["s0"]


async def test_few_sessions_are_loaded_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many have runs that were held, so that people who come back do not wait behind them."""
    await fill(tmp_path / "s.db", *(row("r1", "live", session=f"s{n}") for n in range(12)))
    gate, at_once, most = asyncio.Event(), 0, 0
    read = SqliteSessionLog.read

    async def slow(log: SqliteSessionLog, session: str, *, after: int = 0) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await gate.wait()
        at_once -= 1
        return await read(log, session, after=after)

    monkeypatch.setattr(SqliteSessionLog, "read", slow)
    async with serving(tmp_path / "s.db") as server:
        await until(lambda: at_once == 4)
        gate.set()
        await until(lambda: sessions_of(server).loaded == 12)
    assert most == 4


async def test_rows_that_do_not_read_keep_the_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would leave work undone and say nothing."""

    async def broken(log: SqliteSessionLog) -> Any:
        raise StoreError("a broken page")

    monkeypatch.setattr(SqliteSessionLog, "open_work", broken)
    with pytest.raises(StoreError, match="a broken page"):
        async with serving(tmp_path / "s.db"):
            pass


async def test_a_worker_that_served_may_open_and_leave(server: Server) -> None:
    """Its sessions are as anybody's; serving changes nothing else."""
    async with worker(server, rights=MEMBER) as raw:
        await raw.open("s")
        await raw.send(Open("t", {}))
        await settled(raw)
        assert raw.close_code is None


async def indexed(path: Path, session: str) -> None:
    """Bring a session's search index up to date, so that it is not loaded for that."""
    log = SqliteSessionLog(path)
    await log.open()
    info = await log.info(session)
    assert info is not None
    await log.index_messages(session, info.version, {"m1": "plan"})
    await log.close()


async def claim(raw: RawLink, server: Server, name: str) -> Work:
    """Take the next offer as a worker does; return it once the claim is on the disk."""
    offer = await raw.expect(Work)
    await raw.open(offer.session)
    await raw.send(Claim(offer.session, offer.run, "retry", 9))
    rows = links_of(server)._dispatcher._rows
    await until(lambda: rows[offer.session][offer.run].worker == name)
    assert [(found.lease, found.worker) for found in await sessions_of(server).log.open_work()] == [("live", name)]
    return offer


async def test_a_run_goes_from_a_lost_worker_to_the_next(tmp_path: Path) -> None:
    """A message makes it, a claim takes it, a lost worker leaves it after the grace, a restart of the server between.

    Nobody has the session open when the server starts: it is loaded so that the grace passes.
    """
    limits = {"lease_grace_s": 0.3}
    async with (
        serving(tmp_path / "s.db", limits=limits) as server,
        worker(server, "w1", slots=4) as first,
        worker(server, "w2", slots=3) as second,
        RawLink(server.url, mint("user:ann")) as ann,
    ):
        await ann.hello()
        pen = Pen()
        await ann.open("s", client_ids=(pen.id,))
        message = replace(new_message("plan", id="m1"), to=("agent:planner",))
        await ann.push(put_message(pen.transcript, message))
        offer = await claim(first, server, "w1")
        assert (offer.run, offer.message, offer.attempt) == (run_id("m1", "agent:planner"), "m1", 0)
        assert not offered(second)
        await first.aclose()
        again = await claim(second, server, "w2")
        assert (again.run, again.attempt) == (offer.run, 1)
    await indexed(tmp_path / "s.db", "s")
    async with serving(tmp_path / "s.db", limits=limits) as server, worker(server, "w3") as third:
        last = await claim(third, server, "w3")
        assert (last.run, last.attempt) == (offer.run, 2)


async def test_work_that_expires_in_a_session_nobody_opens_is_ended(tmp_path: Path) -> None:
    """It was unloaded long before, and the server restarted: the session is loaded when the time is up."""
    limits = {"idle_evict_s": 0.2}
    async with serving(tmp_path / "s.db", limits=limits) as server:
        async with RawLink(server.url, mint("user:ann")) as ann:
            await ann.hello()
            await ann.open()
            expires_at = int(time.time() * 1000) + 2_000
            message = replace(new_message("go", id="m1"), to=("agent:absent",), expires_at=expires_at)
            await ann.push(put_message(Pen().transcript, message))
            await ann.expect(Ack)
        await until(lambda: sessions_of(server).loaded == 0 or time.time() * 1000 > expires_at)
    async with serving(tmp_path / "s.db", limits=limits) as server:
        log = sessions_of(server).log
        deadline = time.monotonic() + 20
        while await log.open_work():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        live = await sessions_of(server).live("s")
        fact = live.machine.document(Layer.TRANSCRIPT).replica.read(
            Root.RECEIPTS, f"r:{run_id('m1', 'agent:absent')}.1"
        )
        assert (fact["lease"], fact["code"]) == ("ended", "expired")
