"""The load generator counts what really arrived, with and without its small program in C."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from benchmarks.bench import Bench
from benchmarks.load import Counted, Crowd, Flow, reading
from benchmarks.native import program
from benchmarks.servers import Relay, Server
from benchmarks.tokens import Script
from benchmarks.wire import Wire

Join = Callable[[int], Awaitable[list[Wire]]]

pytestmark = pytest.mark.skipif(
    program("relay") is None, reason="the relay needs a C compiler: install gcc and libc6-dev"
)


@pytest.fixture
async def relay() -> AsyncIterator[Server]:
    async with Bench(0.1).server(Relay) as server:
        yield server


@pytest.fixture
async def join(relay: Server) -> AsyncIterator[Join]:
    joined: list[Wire] = []

    async def join_all(count: int) -> list[Wire]:
        joined.extend(await relay.join_all(["room"] * count))
        return joined

    yield join_all
    for wire in joined:
        wire.close()
    await asyncio.sleep(0)  # Sockets are closed in the loop's next round.


def script() -> Script:
    return Script(lambda number, update: Relay.wire.push("room", number, update))


@pytest.mark.parametrize("compiler", [True, False])
async def test_every_reader_has_every_token(join: Join, monkeypatch: pytest.MonkeyPatch, compiler: bool) -> None:
    """Tokens are told from other bytes wherever they are cut; without a compiler this process counts."""
    if not compiler:
        monkeypatch.setattr("benchmarks.load.program", lambda _: None)
    writer, reader, *others = await join(12)

    async with reading(others) as rest:
        flow = Flow(writer, reader, script())
        await flow.begin()
        while flow.sent <= 100:
            await flow.keep(32, 0.1)
        await rest.have(flow.total)

        delivered_s, acked_s = flow.take()
        assert isinstance(rest, Crowd if compiler else Counted)
        assert len(delivered_s) == flow.sent == flow.total - 1 > 100
        assert min(delivered_s) > 0
        assert not acked_s
        if compiler:
            assert rest.cpu_s() > 0


async def test_a_token_too_few_is_waited_for(join: Join) -> None:
    """Nothing is measured that did not arrive: the last token of each reader is waited for."""
    writer, *others = await join(3)
    frames = script().frames(0, 12)

    async with reading(others) as rest:
        writer.write(b"".join(frames[:-1]))
        await rest.have(10)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await rest.have(11)


async def test_a_reader_that_is_lost_ends_the_run(relay: Server, join: Join) -> None:
    """Its tokens are not counted as delivered."""
    _, *others = await join(3)

    async with reading(others) as rest:
        await relay.kill()
        with pytest.raises(RuntimeError, match="lost its connection"):
            await rest.have(1)


async def test_a_writer_that_is_lost_ends_the_run(relay: Server, join: Join) -> None:
    """The run does not wait for ever for what cannot come."""
    writer, reader = await join(2)
    flow = Flow(writer, reader, script())
    await flow.begin()
    await relay.kill()
    flow.push()

    with pytest.raises(RuntimeError, match="closed the connection"):
        await flow.settled()
