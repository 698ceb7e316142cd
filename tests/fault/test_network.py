"""Networks that fail in the ways that no error tells of, and a server that stands still."""

import asyncio
import time
from pathlib import Path

import pytest
from syncd_client import Client, Session

from examples.fault_proxy import FaultProxy
from syncd.core.errors import CloseCode
from syncd.core.messages import Hello
from syncd.server.app import Server
from syncd.server.sockets import Links
from tests.harness import PATIENCE_S, RawLink, mint, server_process, serving, until

_HEARTBEAT_S = 1.0
#: The machine may be loaded; without heartbeats a dead link would be kept for minutes.
_SLACK_S = 3.0


def links(server: Server) -> int:
    """Return how many links a server has."""
    found = server.services.links
    assert isinstance(found, Links)
    return len(found)


@pytest.mark.parametrize("dead", ["up", "down"])
async def test_a_half_open_link_is_noticed_by_both_sides(
    tmp_path: Path, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one direction dead and nothing closed, client and server each let go after a heartbeat and a half."""
    monkeypatch.setattr("syncd_client.transport.Transport.__init__.__kwdefaults__", {"heartbeat_s": _HEARTBEAT_S})
    async with (
        serving(tmp_path / "server.db", limits={"heartbeat_s": _HEARTBEAT_S}) as server,
        FaultProxy(server.port) as proxy,
        Client(proxy.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann,
    ):
        session = await ann.open("s")
        await (await session.post("before")).synced()
        assert links(server) == 1

        proxy.refusing = True  # Whoever lets go does not come back meanwhile.
        proxy.stall(up=dead == "up", down=dead == "down")
        within_s = 1.5 * _HEARTBEAT_S + _SLACK_S
        await asyncio.gather(
            until(lambda: links(server) == 0, "the server's notice", within_s=within_s),
            until(lambda: not ann.connected, "the client's notice", within_s=within_s),
        )
        message = await session.post("meanwhile")
        proxy.cut()
        proxy.heal()
        ann.retry()
        await asyncio.wait_for(message.synced(), PATIENCE_S)


async def test_a_slow_link_converges(tmp_path: Path) -> None:
    """Over 40 kB/s and with 100 ms of delay, two who write at the same time come to the same, and no link ends."""
    async with (
        serving(tmp_path / "server.db", limits={"heartbeat_s": _HEARTBEAT_S}) as server,
        FaultProxy(server.port) as proxy,
        Client(proxy.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann,
        Client(server.url, token=mint("user:bob"), store=tmp_path / "bob.db") as bob,
    ):
        people = [await ann.open("s"), await bob.open("s")]
        await asyncio.gather(ann.live(), bob.live())
        proxy.bytes_per_s, proxy.delay_s = 40_000, 0.1
        for number in range(10):
            await asyncio.gather(*(person.post(f"{number} " + "x" * 4_000) for person in people))
        await asyncio.wait_for(asyncio.gather(*(person.synced() for person in people)), PATIENCE_S)
        await until(lambda: all(person.seq == 20 for person in people))
        first, second = ([view.json() for view in person.messages()] for person in people)

        assert first == second
        assert ann.connected


async def test_a_server_that_stands_still_costs_time_only(tmp_path: Path) -> None:
    """Stopped for seconds and continued, it goes on with old links and new ones: nothing is lost, nothing doubled."""
    async with (
        server_process(tmp_path / "server.db", limits={"heartbeat_s": _HEARTBEAT_S}) as server,
        FaultProxy(server.port) as proxy,
        Client(proxy.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann,
        Client(server.url, token=mint("user:bob"), store=tmp_path / "bob.db") as bob,
    ):
        people = [await ann.open("s"), await bob.open("s")]
        await asyncio.gather(ann.live(), bob.live())
        writing = [asyncio.create_task(_write(person, name)) for person, name in zip(people, "ab", strict=True)]
        await until(lambda: people[0].seq > 5)
        server.freeze()
        await asyncio.sleep(2.0)
        proxy.cut()  # One of the two comes with a new link to a server that does not answer.
        await asyncio.sleep(1.0)
        server.thaw()
        ann.retry()
        await asyncio.gather(*writing)
        await asyncio.wait_for(asyncio.gather(*(person.synced() for person in people)), PATIENCE_S)
        await until(lambda: all(person.seq == 120 for person in people))
        for person in people:
            assert sorted(view.text for view in person.messages()) == sorted(f"{n}{i}" for n in "ab" for i in range(60))


async def _write(session: Session, name: str) -> None:
    for number in range(60):
        await session.post(f"{name}{number}")
        await asyncio.sleep(0.05)


async def test_a_dripped_hello_does_not_hold_the_link(tmp_path: Path) -> None:
    """A hello that comes byte by byte is cut at the deadline, however steadily it comes."""
    limits = {"hello_timeout_s": 0.5}
    async with serving(tmp_path / "server.db", limits=limits) as server, FaultProxy(server.port) as proxy:
        link = RawLink(proxy.url, mint("user:ann"))
        await link.connect()
        proxy.bytes_per_s = 100  # From here on: a hello of some 500 bytes takes 5 s.
        started = time.monotonic()
        await link.send(Hello((1,), mint("user:ann"), "raw"))
        code, _ = await link.closed()
        await link.aclose()

    assert code == CloseCode.HANDSHAKE_TIMEOUT
    assert time.monotonic() - started < 0.5 + _SLACK_S
