"""Who is pinged, and who is taken for dead."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from examples.fault_proxy import FaultProxy
from syncd.core.messages import Hello, PresenceChanged, Welcome
from syncd.server.heartbeat import Heartbeat
from tests.harness import RawLink, mint, serving


@dataclass(eq=False)
class Quiet:
    """A link of which nothing is heard any more."""

    heard_at: float = 0.0
    pinged_at: float = 0.0


def looks(heartbeat: "Heartbeat[Quiet]", start: float, end: float, step: float = 0.1) -> list[tuple[float, str]]:
    """Look every `step` seconds; return what came of it."""
    found = []
    at = start
    while at < end:
        to_ping, dead = heartbeat.look(at)
        found += [(round(at, 3), "ping") for _ in to_ping] + [(round(at, 3), "dead") for _ in dead]
        at += step
    return found


def test_a_silent_link_is_pinged_and_then_dead() -> None:
    """After one heartbeat, and after half of one more; each a tenth later at most."""
    heartbeat: Heartbeat[Quiet] = Heartbeat(10.0)
    heartbeat.add(Quiet())

    [(pinged_at, first), (dead_at, second), *_] = looks(heartbeat, 0.0, 20.0)

    assert (first, second) == ("ping", "dead")
    assert 10.0 <= pinged_at <= 11.1
    assert 5.0 <= dead_at - pinged_at <= 6.1


def test_whoever_answers_is_left_in_peace() -> None:
    """Any byte counts, and puts the next ping off by a heartbeat."""
    heartbeat: Heartbeat[Quiet] = Heartbeat(10.0)
    link = Quiet()
    heartbeat.add(link)
    assert [what for _, what in looks(heartbeat, 0.0, 12.0)] == ["ping"]
    link.heard_at = 12.0

    assert looks(heartbeat, 12.0, 21.9) == []
    assert [what for _, what in looks(heartbeat, 21.9, 23.5)] == ["ping"]


def test_pings_of_many_links_are_spread() -> None:
    """A thousand links are not pinged at once, however they came."""
    heartbeat: Heartbeat[Quiet] = Heartbeat(10.0)
    for _ in range(1_000):
        heartbeat.add(Quiet())
    most = 0
    at = 0.0
    while at < 12.0:
        most = max(most, len(heartbeat.look(at)[0]))
        at += 0.1

    assert 0 < most <= 120


def test_a_link_that_left_is_forgotten() -> None:
    """Neither pinged nor held."""
    heartbeat: Heartbeat[Quiet] = Heartbeat(10.0)
    link = Quiet()
    heartbeat.add(link)
    heartbeat.remove(link)

    assert looks(heartbeat, 0.0, 30.0) == []


async def test_a_peer_whose_network_swallows_everything_leaves(tmp_path: Path) -> None:
    """Its socket is cut and the others see it go; one that answers its pings stays."""
    async with (
        serving(tmp_path / "s.db", limits={"heartbeat_s": 1.0}) as server,
        FaultProxy(server.port) as proxy,
        RawLink(server.url, mint("user:ann")) as ann,
        RawLink(proxy.url, mint("user:eve")) as eve,
    ):
        await ann.hello()
        await ann.open()
        await eve.hello()
        await eve.open()
        await ann.expect(PresenceChanged, lambda m: any(e.subject == "user:eve" for e in m.entries))
        await asyncio.sleep(2.5)  # Two heartbeats and a half, all answered.
        assert eve.close_code is None
        proxy.stall()

        await ann.expect(PresenceChanged, lambda m: any(e.subject == "user:eve" and e.state is None for e in m.entries))


async def test_pings_are_answered_before_and_after_the_hello(tmp_path: Path) -> None:
    """With what they carried; they are no frames, and do not hold up the hello's deadline."""
    async with serving(tmp_path / "s.db") as server, RawLink(server.url, mint("user:ann")) as ann:
        await ann.connect()
        await ann.ws.ping(b"early")
        await ann.send(Hello((1,), mint("user:ann"), "raw"))
        await ann.expect(Welcome)
        await ann.ws.ping(b"late")
        await ann.open()
