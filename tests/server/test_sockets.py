"""Links: from the hello to the end, over real sockets. Every close says why."""

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from syncd.core.errors import CloseCode
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import (
    Ack,
    Bye,
    Closed,
    Hello,
    Layer,
    Leave,
    Open,
    Opened,
    Ping,
    Pong,
    PresenceChanged,
    Push,
    Reject,
    SetPresence,
)
from syncd.core.schema import Root
from syncd.server.app import Server
from syncd.server.link import websocket_frame
from tests.core.machines import Pen, fresh_id
from tests.harness import RawLink, mint, serving, until
from tests.server.links import link, links_of, neighbours

# Hello


async def test_nothing_is_read_before_the_hello(server: Server) -> None:
    """Any other first frame closes the link."""
    async with RawLink(server.url, "") as raw:
        await raw.connect()
        await raw.send(Open("s", {}))
        assert await raw.closed() == (CloseCode.BAD_MESSAGE, CloseCode.BAD_MESSAGE)


async def test_saying_nothing_at_all_is_closed_in_time(tmp_path: Path) -> None:
    """Without a hello the link ends after `hello_timeout_s`, however many pings keep it busy."""
    async with (
        serving(tmp_path / "s.db", limits={"hello_timeout_s": 0.3}) as server,
        neighbours(server),
        RawLink(server.url) as raw,
    ):
        await raw.connect()
        started = asyncio.get_running_loop().time()
        while raw.close_code is None:
            with contextlib.suppress(ConnectionError):
                await raw.ws.ping()
            await asyncio.sleep(0.05)
            assert asyncio.get_running_loop().time() - started < 10
        assert await raw.closed() == (CloseCode.HANDSHAKE_TIMEOUT, CloseCode.HANDSHAKE_TIMEOUT)


async def test_an_oversize_hello_is_refused(server: Server) -> None:
    """Before it is authenticated a link may send `hello_bytes_max`, and no more."""
    async with RawLink(server.url, "x" * (DEFAULT_LIMITS.hello_bytes_max + 1)) as raw:
        await raw.connect()
        await raw.send(Hello((1,), "x" * (DEFAULT_LIMITS.hello_bytes_max + 1), "d"))
        assert await raw.closed() == (CloseCode.TOO_BIG, CloseCode.TOO_BIG)


@pytest.mark.parametrize(
    ("hello", "code"),
    [
        (Hello((2,), "", "d"), CloseCode.UNSUPPORTED),
        (Hello((1,), "garbage", "d"), CloseCode.BAD_TOKEN),
        (Hello((1,), "", "d"), CloseCode.BAD_TOKEN),
        (Hello((1,), "dev:ann", "d"), CloseCode.BAD_TOKEN),
    ],
)
async def test_a_hello_that_is_refused_says_why(server: Server, hello: Hello, code: CloseCode) -> None:
    """Version and token are checked, and the close carries the code."""
    async with RawLink(server.url) as raw:
        await raw.connect()
        await raw.send(hello)
        assert await raw.closed() == (code, code)


async def test_without_the_subprotocol_a_link_is_refused(server: Server) -> None:
    """A client that does not offer `syncd.v1` speaks something else."""
    async with RawLink(server.url, mint("user:ann")) as raw:
        await raw.connect(protocols=())
        assert await raw.closed() == (CloseCode.UNSUPPORTED, CloseCode.UNSUPPORTED)


async def test_the_token_may_come_with_the_upgrade(server: Server) -> None:
    """An `Authorization` header stands for the hello's token."""
    async with RawLink(server.url) as raw:
        await raw.connect(headers={"Authorization": f"Bearer {mint('user:ann')}"})
        await raw.send(Hello((1,), "", "d"))
        await until(lambda: raw.got)
        assert raw.got[0].subject == "user:ann"  # type: ignore[union-attr]


async def test_refused_hellos_leave_nothing_behind(server: Server) -> None:
    """Whatever becomes of a link before its hello, it is not counted afterwards."""
    for _ in range(3):
        async with RawLink(server.url, "bad") as raw:
            await raw.connect()
            await raw.send(Hello((1,), "bad", "d"))
            await raw.closed()
        async with RawLink(server.url) as raw:
            await raw.connect()
    links = links_of(server)
    await until(lambda: links._pending == 0 and not links._by_address and not links._by_subject)


# Sessions


async def test_forbidden_and_absent_look_alike(server: Server) -> None:
    """A session that is there and not allowed, and one that was never, are answered by the same frame."""
    async with link(server) as owner:
        await owner.open("secret-room")
    async with link(server, "eve", sessions="public*") as eve, link(server, "ro", rights=()) as reader:
        answers = []
        for session in ("secret-room", "never-was"):
            await eve.send(Open(session, {}))
            answers.append(await eve.expect(Closed))
        await reader.send(Open("never-was", {}))
        answers.append(await reader.expect(Closed))
        assert len({replace(answer, session="") for answer in answers}) == 1
        assert answers[0].code == CloseCode.FORBIDDEN
        await eve.open("public-room")


async def test_a_link_carries_many_sessions_up_to_its_limit(tmp_path: Path) -> None:
    """Sessions on a link do not mix; one over `sessions_per_link_max` is answered Closed; a leave makes room."""
    async with serving(tmp_path / "s.db", limits={"sessions_per_link_max": 2}) as server, link(server) as raw:
        await raw.open("one")
        await raw.open("two")
        await raw.send(Open("three", {}))
        assert (await raw.expect(Closed)).code == CloseCode.RATE
        await raw.send(Leave("one"))
        assert (await raw.expect(Closed)).code == CloseCode.NORMAL
        await raw.open("three")
        await raw.push(Pen().message(), session="two")
        assert (await raw.expect(Ack)).session == "two"


async def test_too_many_links_of_one_subject_are_refused(tmp_path: Path) -> None:
    """`links_per_subject_max`: nobody can take all the links; one that ends makes room."""
    async with serving(tmp_path / "s.db", limits={"links_per_subject_max": 2}) as server:
        async with link(server), link(server):
            async with RawLink(server.url, mint("user:ann")) as third:
                await third.connect()
                await third.send(Hello((1,), mint("user:ann"), "d"))
                assert await third.closed() == (CloseCode.RATE, CloseCode.RATE)
            async with link(server, "bob"):
                pass
        await until(lambda: len(links_of(server)) == 0)
        async with link(server):
            pass


@pytest.mark.parametrize("limit", ["links_per_address_max", "links_max"])
async def test_too_many_links_are_sent_away(tmp_path: Path, limit: str) -> None:
    """Beyond `links_per_address_max` or `links_max` a link is told to come later, before it may say anything."""
    async with (
        serving(tmp_path / "s.db", limits={limit: 1}) as server,
        link(server),
        RawLink(server.url) as second,
    ):
        await second.connect()
        assert (await second.closed())[0] == CloseCode.TRY_LATER


async def test_a_push_that_is_refused_leaves_the_link_open(server: Server) -> None:
    """The refusal has a code, and the next push is taken."""
    async with link(server) as raw:
        await raw.open()
        pen = Pen()
        await raw.push(pen.transcript_edit(lambda r: r.set((Root.RECEIPTS,), "m:x", {"seq": 1})))
        assert (await raw.expect(Reject)).code == "server_only"
        number = await raw.push(Pen().message())
        await raw.expect(Ack, lambda ack: ack.number == number)


async def test_frames_for_a_session_that_is_not_open_are_ignored(server: Server) -> None:
    """They change nothing, whether the session exists or not."""
    async with link(server, "bob") as bob, link(server) as raw:
        await bob.open("theirs")
        for session in ("theirs", "never-was"):
            await raw.send(Push(session, Layer.TRANSCRIPT, 1, Pen().message("intruder")))
            await raw.send(SetPresence(session, {"x": 1}))
        await raw.send(Ping(1))
        await raw.expect(Pong)
        await bob.push(Pen().message("mine"), session="theirs")
        await bob.expect(Ack)
        assert server.services.metrics.updates._value.get() == 1


# Ends


async def test_a_drain_acks_what_was_read_and_sends_everybody_away(tmp_path: Path) -> None:
    """Whatever was acked before the bye is on disk, whatever was not is not called saved; all links get 4000."""
    async with serving(tmp_path / "s.db") as server, link(server) as ann, link(server, "bob") as idle:
        await ann.open()
        pen = Pen()

        async def flood() -> None:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                while True:
                    await ann.push(pen.message("x"))
                    await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        await ann.expect(Ack)
        await server.stop()
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        assert await ann.closed() == (CloseCode.SHUTDOWN, CloseCode.SHUTDOWN)
        assert await idle.closed() == (CloseCode.SHUTDOWN, CloseCode.SHUTDOWN)
        acked = max((m.number for m in ann.got if isinstance(m, Ack)), default=0)
        assert any(isinstance(m, Bye) and m.code == CloseCode.SHUTDOWN for m in ann.got)
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        answer = await ann.open()
        assert answer.seq >= acked


async def test_a_link_that_ends_leaves_no_presence(server: Server) -> None:
    """Cut without a word, its entry goes."""
    async with link(server, "bob") as bob:
        await bob.open()
        async with link(server) as ann:
            await ann.open()
            await bob.expect(PresenceChanged, lambda m: any(e.subject == "user:ann" for e in m.entries))
        await bob.expect(PresenceChanged, lambda m: any(e.subject == "user:ann" and e.state is None for e in m.entries))


async def test_opened_again_on_the_same_link_a_session_starts_anew(server: Server) -> None:
    """After a leave the numbers start at 1, and no answer of the life before comes behind `Opened`."""
    async with link(server) as raw:
        await raw.open()
        pen = Pen()
        for _ in range(20):
            for _ in range(5):
                await raw.push(pen.message())
            await raw.send(Leave("s"))
            raw.numbers["s"] = 0
            await raw.send(Open("s", {}, client_ids=(fresh_id(),)))
            await raw.expect(Opened)
            await raw.send(Ping(1))
            await until(lambda: any(isinstance(m, Pong) for m in raw.got))
            assert not any(isinstance(m, Ack | Reject) for m in raw.got)
            raw.got.clear()


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_frames_are_framed_as_websockets_are(size: int) -> None:
    """Each length is written in its shortest form."""
    frame = websocket_frame(b"x" * size)
    head = 2 if size < 126 else 4 if size < 1 << 16 else 10
    assert frame[0] == 0x82
    assert len(frame) == head + size
