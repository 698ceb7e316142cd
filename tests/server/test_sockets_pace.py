"""Links: floods, and readers that do not read."""

import asyncio
from pathlib import Path

import msgpack
import pytest

from syncd.core.errors import CloseCode
from syncd.core.messages import (
    Ack,
    Layer,
    Pong,
    Update,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind
from tests.core.machines import Pen
from tests.harness import serving, until
from tests.server.links import link, links_of, masked, neighbours, raw_socket, updates_in


@pytest.mark.parametrize(
    "limits",
    [{"frames_per_s": 200, "frames_burst": 20}, {"bytes_per_s": 20_000, "bytes_burst": 2_000}],
)
async def test_a_link_that_sends_too_fast_is_read_more_slowly(tmp_path: Path, limits: dict[str, float]) -> None:
    """Beyond `frames_burst` and `frames_per_s`, or `bytes_burst` and `bytes_per_s`, a flood's sender alone waits."""
    async with serving(tmp_path / "s.db", limits=limits) as server, link(server) as raw, neighbours(server) as check:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for nonce in range(220):
            await raw.ws.send_bytes(msgpack.packb([7, nonce, "x" * 100]))
        await check()
        await raw.expect(Pong, lambda pong: pong.nonce == 219)
        assert loop.time() - started > 0.9


async def test_a_reader_that_never_reads_harms_nobody_and_catches_up(tmp_path: Path) -> None:
    """`outbox_bytes_max` bounds what waits for it, the others go on, and when it reads again it lacks nothing."""
    limits = {"outbox_bytes_max": 64 << 10, "bytes_burst": 1 << 30, "frames_burst": 100_000}
    # However long all this takes: it answers no pings either.
    limits |= {"heartbeat_s": 600, "behind_timeout_s": 600}
    async with serving(tmp_path / "s.db", limits=limits) as server:
        reader, writer = await raw_socket(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(masked(2, msgpack.packb([1, [1], "", "slow", ""])))
        writer.write(masked(2, msgpack.packb([2, "s", {}, [], "", 0, 0])))
        async with link(server) as ann, link(server, "bob") as bob:
            await ann.open()
            await bob.open()
            pen, board = Pen(), Pen()
            for _ in range(150):
                await ann.push(pen.message("x" * 60_000))
                await ann.push(board.set("k", "y" * 60_000), layer=Layer.STATE)
                await bob.expect(Update)
            links = links_of(server)
            [slow] = [found for found in links._links if found.device == "slow"]
            assert slow.behind == {"s"}
            assert slow._transport.get_write_buffer_size() < 2 << 20
            number = await ann.push(pen.message("last"))
            await ann.expect(Ack, lambda ack: ack.number == number)

            writer.transport.resume_reading()  # type: ignore[attr-defined]
            transcript = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
            state = Replica({"ui": Kind.MAP})
            async with asyncio.timeout(60):
                while len(transcript.keys(Root.MESSAGES)) < 151 or transcript.length(Root.RECEIPTS) < 152:
                    for layer, update in await updates_in(reader):
                        (transcript if layer == "transcript" else state).apply([update])
                while state.vector() != board.state.vector():
                    for layer, update in await updates_in(reader):
                        (transcript if layer == "transcript" else state).apply([update])
        writer.transport.abort()


async def test_a_reader_that_stays_behind_is_closed(tmp_path: Path) -> None:
    """Nothing read for `behind_timeout_s`: its link ends with 4003, and its memory returns."""
    limits = {"outbox_bytes_max": 16 << 10, "behind_timeout_s": 0.3, "bytes_burst": 1 << 30}
    async with serving(tmp_path / "s.db", limits=limits) as server, link(server) as ann:
        await ann.open()
        _, writer = await raw_socket(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(masked(2, msgpack.packb([1, [1], "", "slow", ""])))
        writer.write(masked(2, msgpack.packb([2, "s", {}, [], "", 0, 0])))
        links = links_of(server)
        slow = await until(
            lambda: next((found for found in links._links if found.device == "slow" and found.sessions), None)
        )
        pen = Pen()
        while slow in links._links:
            await ann.push(pen.message("x" * 200_000))
            await ann.expect(Ack)
        assert server.services.metrics._closes.labels(str(int(CloseCode.BEHIND)))._value.get() == 1
        writer.transport.abort()


async def test_a_link_that_answers_no_ping_is_dead(tmp_path: Path) -> None:
    """Without an answer for one and a half `heartbeat_s` the server takes the link for lost."""
    async with serving(tmp_path / "s.db", limits={"heartbeat_s": 0.4}) as server, link(server) as ann:
        _, writer = await raw_socket(server)
        writer.write(masked(2, msgpack.packb([1, [1], "", "dead", ""])))
        started = asyncio.get_running_loop().time()
        await until(lambda: len(links_of(server)) == 2)
        await until(lambda: len(links_of(server)) == 1)
        assert 0.4 < asyncio.get_running_loop().time() - started < 5
        await ann.open()
        writer.close()


async def test_a_session_much_larger_than_the_outbox_can_be_opened(tmp_path: Path) -> None:
    """An open is answered whole, also to a reader who takes its time, and both layers come."""
    limits = {"outbox_bytes_max": 16 << 10, "bytes_burst": 1 << 30, "frames_burst": 100_000}
    async with serving(tmp_path / "s.db", limits=limits) as server, link(server) as ann:
        await ann.open()
        pen = Pen()
        for _ in range(20):
            number = await ann.push(pen.message("x" * 400_000))
        await ann.expect(Ack, lambda ack: ack.number == number)
        reader, writer = await raw_socket(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(masked(2, msgpack.packb([1, [1], "", "slow", ""])))
        writer.write(masked(2, msgpack.packb([2, "s", {}, [], "", 0, 0])))
        writer.write(masked(2, msgpack.packb([7, 1])))
        await until(lambda: len(links_of(server)) == 2)
        await ann.push(pen.message("meanwhile"))
        await ann.expect(Ack)
        await asyncio.sleep(0.3)  # The server finds a full socket several times.
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        transcript = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
        async with asyncio.timeout(60):
            while len(transcript.keys(Root.MESSAGES)) < 21:
                transcript.apply([update for _, update in await updates_in(reader)])
        writer.transport.abort()
