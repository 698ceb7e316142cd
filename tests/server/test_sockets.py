"""Links: real sockets, honest and hostile. Every close says why, and a neighbour never notices."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
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
    Refresh,
    Refreshed,
    Reject,
    SetPresence,
    Update,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind
from syncd.server.app import Server
from syncd.server.link import websocket_frame
from syncd.server.sockets import Links
from tests.core.machines import Pen, fresh_id
from tests.harness import RawLink, mint, serving, until

Attack = Callable[[RawLink], Any]


@asynccontextmanager
async def link(server: Server, name: str = "ann", **token: Any) -> AsyncIterator[RawLink]:
    async with RawLink(server.url, mint(f"user:{name}", **token)) as raw:
        await raw.hello()
        yield raw


@asynccontextmanager
async def neighbours(server: Server) -> AsyncIterator[Callable[[], Any]]:
    """Two peers of another session; yields what proves that they still hear each other."""
    async with link(server, "bob") as bob, link(server, "eve") as eve:
        await bob.open("elsewhere")
        await eve.open("elsewhere")
        pen = Pen()

        async def check() -> None:
            number = await bob.push(pen.message("still here"), session="elsewhere")
            await eve.expect(Update)
            await bob.expect(Ack, lambda ack: ack.number == number)

        await check()
        yield check
        await check()


def links_of(server: Server) -> Links:
    links = server.services.links
    assert isinstance(links, Links)
    return links


# Hello


async def test_nothing_is_read_before_the_hello(server: Server) -> None:
    """Any other first frame closes the link."""
    async with RawLink(server.url, "") as raw:
        await raw.connect()
        await raw.send(Open("s", {}))
        assert await raw.closed() == (CloseCode.BAD_MESSAGE, CloseCode.BAD_MESSAGE)


async def test_saying_nothing_at_all_is_closed_in_time(tmp_path: Path) -> None:
    """Without a hello the link ends after its deadline, however many pings keep it busy."""
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
    """Before it is authenticated a link may not send much."""
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


# Attacks after the hello


async def _text(raw: RawLink) -> None:
    await raw.ws.send_str("hello")


async def _garbage(raw: RawLink) -> None:
    await raw.ws.send_bytes(b"\xc1\xff\x00garbage")


async def _nested(raw: RawLink) -> None:
    await raw.ws.send_bytes(b"\x91" * 100_000 + b"\xc0")


async def _huge_count(raw: RawLink) -> None:
    await raw.ws.send_bytes(b"\xdd\xff\xff\xff\xff\x01")


async def _second_hello(raw: RawLink) -> None:
    await raw.send(Hello((1,), mint("user:ann"), "d"))


async def _bad_session_id(raw: RawLink) -> None:
    await raw.ws.send_bytes(msgpack.packb([6, "../../etc/passwd"]))


async def _unknown_type(raw: RawLink) -> None:
    await raw.ws.send_bytes(msgpack.packb([42, "x"]))


async def _server_type(raw: RawLink) -> None:
    await raw.ws.send_bytes(msgpack.packb([67, "s", 1]))


async def _opened_twice(raw: RawLink) -> None:
    await raw.open()
    await raw.send(Open("s", {}))


async def _bad_update(raw: RawLink) -> None:
    await raw.open()
    await raw.push(b"\xff" * 100)


async def _bad_presence(raw: RawLink) -> None:
    await raw.open()
    await raw.send(SetPresence("s", {"x": "y" * 10_000}))


async def _bad_vector(raw: RawLink) -> None:
    await raw.send(Open("s", {Layer.STATE: b"\xff" * 9}))


async def _too_many_ids(raw: RawLink) -> None:
    await raw.send(Open("s", {}, client_ids=[*range(300)]))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (_text, CloseCode.BAD_MESSAGE),
        (_garbage, CloseCode.BAD_MESSAGE),
        (_nested, CloseCode.BAD_MESSAGE),
        (_huge_count, CloseCode.BAD_MESSAGE),
        (_second_hello, CloseCode.BAD_MESSAGE),
        (_bad_session_id, CloseCode.BAD_MESSAGE),
        (_unknown_type, CloseCode.UNSUPPORTED),
        (_server_type, CloseCode.UNSUPPORTED),
        (_opened_twice, CloseCode.BAD_MESSAGE),
        (_bad_update, CloseCode.BAD_UPDATE),
        (_bad_presence, CloseCode.BAD_MESSAGE),
        (_bad_vector, CloseCode.BAD_MESSAGE),
        (_too_many_ids, CloseCode.BAD_MESSAGE),
    ],
)
async def test_what_no_correct_client_sends_closes_its_link_alone(
    server: Server, attack: Attack, code: CloseCode
) -> None:
    """The sender is closed with the code that says why, in the bye and on the socket; nobody else notices."""
    async with neighbours(server):
        async with link(server) as raw:
            await attack(raw)
            assert await raw.closed() == (code, code)
            assert not code.retryable
        async with link(server, "zoe") as zoe:
            answer = await zoe.open()
            assert [entry.subject for entry in answer.presence] == ["user:zoe"]


async def test_unknown_optional_frames_are_ignored(server: Server) -> None:
    """Frames of later versions in the optional range, and fields behind the known ones, do no harm."""
    async with link(server) as raw:
        await raw.ws.send_bytes(msgpack.packb([200, {"new": 1}]))
        await raw.ws.send_bytes(msgpack.packb([7, 5, "a field of a later version"]))
        assert await raw.expect(Pong) == Pong(5)


async def _raw_socket(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Upgrade by hand, for frames that no library sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET /v1/sync HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: syncd.v1\r\nAuthorization: Bearer {mint('user:raw')}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def _masked(opcode: int, payload: bytes, *, fin: bool = True, declared: int | None = None) -> bytes:
    size = len(payload) if declared is None else declared
    head = bytes([0x80 * fin | opcode])
    head += bytes([0x80 | size]) if size < 126 else b"\xff" + struct.pack(">Q", size)
    return head + b"\0\0\0\0" + payload


async def _close_code(reader: asyncio.StreamReader) -> int:
    """Return the code of the close frame that comes."""
    async with asyncio.timeout(20):
        while True:
            first, second = await reader.readexactly(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            payload = await reader.readexactly(size)
            if first & 15 == 8:
                return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_declared_gibibyte_is_refused_at_its_header(server: Server, greeted: bool) -> None:
    """A frame that announces more than the limit is refused before any of it is read."""
    async with neighbours(server):
        reader, writer = await _raw_socket(server)
        if greeted:
            writer.write(_masked(2, msgpack.packb([1, [1], "", "d", ""])))
        writer.write(_masked(2, b"x" * 10, declared=1 << 30))
        assert await _close_code(reader) == CloseCode.TOO_BIG
        writer.close()


async def test_a_frame_over_the_limit_is_too_big(server: Server) -> None:
    """One byte more than a frame may have closes the link with 1009."""
    async with neighbours(server), link(server) as raw:
        await raw.ws.send_bytes(b"\x00" * (DEFAULT_LIMITS.frame_bytes_max + 1))
        assert (await raw.closed())[0] == CloseCode.TOO_BIG


async def test_a_frame_in_one_byte_fragments_is_one_frame(server: Server) -> None:
    """However a frame is cut, it is taken whole; too many fragments end as one frame that is too big."""
    async with neighbours(server):
        reader, writer = await _raw_socket(server)
        hello = msgpack.packb([1, [1], "", "d", ""])
        for at in range(len(hello)):
            opcode = 2 if at == 0 else 0
            writer.write(_masked(opcode, hello[at : at + 1], fin=at == len(hello) - 1))
        async with asyncio.timeout(20):
            first, size = await reader.readexactly(2)
            assert first == 0x82
            await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big") if size == 126 else size)
        writer.write(_masked(2, b"", fin=False))
        for _ in range(264):  # Just over the limit: a close with unread bytes behind it would be a reset.
            writer.write(_masked(0, b"x", fin=False) * 4_000)
            await writer.drain()
        assert await _close_code(reader) == CloseCode.TOO_BIG
        writer.close()


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
    """Sessions on one link do not mix; one too many is answered, not the link closed; a leave makes room."""
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
    """Nobody can take all the links; one that ends makes room."""
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


async def test_too_many_links_of_one_address_are_sent_away(tmp_path: Path) -> None:
    """Beyond the bound a link is told to come later, before it may say anything."""
    async with (
        serving(tmp_path / "s.db", limits={"links_per_address_max": 1}) as server,
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


# Tokens


@pytest.mark.parametrize("flooding", [False, True])
async def test_a_token_that_expires_ends_its_link_within_a_second(
    server: Server, monkeypatch: pytest.MonkeyPatch, flooding: bool
) -> None:
    """An idle link is found by the watch; on a busy one no frame is acted on after the end, watch or no watch."""
    if flooding:
        monkeypatch.setattr("syncd.server.sockets._EXPIRY_S", 1_000.0)
    async with neighbours(server), link(server, ttl_s=1) as raw:
        await raw.open()
        pen = Pen()
        loop = asyncio.get_running_loop()
        started = loop.time()
        while raw.close_code is None:
            if flooding:
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    await raw.push(pen.message())
            await asyncio.sleep(0.02)
            assert loop.time() - started < 20
        assert await raw.closed() == (CloseCode.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED)
        assert loop.time() - started < 4  # One of life, which is rounded up to whole seconds, and one to notice.


async def test_a_refresh_in_band_keeps_the_link(server: Server) -> None:
    """With a fresh token of the same subject the link outlives the old one."""
    async with link(server, ttl_s=1) as raw:
        await raw.open()
        await raw.send(Refresh(mint("user:ann")))
        assert (await raw.expect(Refreshed)).expires_at > 0
        await asyncio.sleep(1.8)  # The old token's end, and the time it would take to be noticed.
        await raw.push(Pen().message())
        await raw.expect(Ack)


async def test_a_refresh_may_not_change_the_subject(server: Server) -> None:
    """A fresh token of somebody else, or a bad one, closes the link."""
    for token in (mint("user:eve"), "garbage"):
        async with link(server) as raw:
            await raw.send(Refresh(token))
            assert await raw.closed() == (CloseCode.BAD_TOKEN, CloseCode.BAD_TOKEN)


async def test_a_refresh_changes_rights_at_once(server: Server) -> None:
    """Sessions the fresh token does not name are closed; on the others the new rights count."""
    async with link(server) as raw:
        await raw.open("one")
        await raw.open("two")
        await raw.send(Refresh(mint("user:ann", ("presence",), sessions="one")))
        closed = await raw.expect(Closed)
        assert (closed.session, closed.code) == ("two", CloseCode.FORBIDDEN)
        await raw.push(Pen().message(), session="one")
        assert (await raw.expect(Reject)).code == "forbidden"


async def test_a_revocation_cuts_at_once(server: Server) -> None:
    """Nothing received after the cut is applied; the other people's links go on."""
    async with neighbours(server), link(server, "bob") as watcher, link(server) as raw:
        await watcher.open()
        await raw.open()
        loop = asyncio.get_running_loop()
        await server.services.auth.revoke(subject="user:ann")
        cut = loop.time()
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await raw.push(Pen().message("too late"))
        assert await raw.closed() == (CloseCode.REVOKED, CloseCode.REVOKED)
        assert loop.time() - cut < 5
        await watcher.push(Pen().message("after"))
        await watcher.expect(Ack)
        reader = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
        async with link(server, "new") as late:
            answer = await late.open()
            reader.apply([answer.updates[Layer.TRANSCRIPT]])
        assert len(reader.keys(Root.MESSAGES)) == 1
        gone = {e.subject for m in watcher.got if isinstance(m, PresenceChanged) for e in m.entries if e.state is None}
        assert "user:ann" in gone or all(e.subject != "user:ann" for e in answer.presence)


# Pace and slow readers


async def test_a_link_that_sends_too_fast_is_read_more_slowly(tmp_path: Path) -> None:
    """Nothing of a flood is lost, its sender waits, and the neighbours do not."""
    limits = {"frames_per_s": 200, "frames_burst": 20}
    async with serving(tmp_path / "s.db", limits=limits) as server, link(server) as raw, neighbours(server) as check:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for nonce in range(220):
            await raw.send(Ping(nonce))
        await check()
        await raw.expect(Pong, lambda pong: pong.nonce == 219)
        assert loop.time() - started > 0.9


async def test_a_reader_that_never_reads_harms_nobody_and_catches_up(tmp_path: Path) -> None:
    """What waits for it is bounded, the others go on, and when it reads again it lacks nothing."""
    limits = {"outbox_bytes_max": 64 << 10, "bytes_burst": 1 << 30, "frames_burst": 100_000}
    async with serving(tmp_path / "s.db", limits=limits) as server:
        reader, writer = await _raw_socket(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(_masked(2, msgpack.packb([1, [1], "", "slow", ""])))
        writer.write(_masked(2, msgpack.packb([2, "s", {}, [], "", 0, 0])))
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
                    for layer, update in await _updates(reader):
                        (transcript if layer == "transcript" else state).apply([update])
                while state.vector() != board.state.vector():
                    for layer, update in await _updates(reader):
                        (transcript if layer == "transcript" else state).apply([update])
        writer.transport.abort()


async def _updates(reader: asyncio.StreamReader) -> list[tuple[str, bytes]]:
    first, second = await reader.readexactly(2)
    size = second & 127
    if size > 125:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    payload = await reader.readexactly(size)
    if first & 15 != 2:
        return []
    frame = msgpack.unpackb(payload)
    if frame[0] == 66:
        return list(frame[7].items())
    return [(frame[2], frame[3])] if frame[0] == 69 else []


async def test_a_session_much_larger_than_the_outbox_can_be_opened(tmp_path: Path) -> None:
    """An open is answered whole, also to a reader who takes its time, and both layers come."""
    limits = {"outbox_bytes_max": 16 << 10, "bytes_burst": 1 << 30, "frames_burst": 100_000}
    async with serving(tmp_path / "s.db", limits=limits) as server, link(server) as ann:
        await ann.open()
        pen = Pen()
        for _ in range(20):
            number = await ann.push(pen.message("x" * 400_000))
        await ann.expect(Ack, lambda ack: ack.number == number)
        reader, writer = await _raw_socket(server)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(_masked(2, msgpack.packb([1, [1], "", "slow", ""])))
        writer.write(_masked(2, msgpack.packb([2, "s", {}, [], "", 0, 0])))
        writer.write(_masked(2, msgpack.packb([7, 1])))
        await until(lambda: len(links_of(server)) == 2)
        await ann.push(pen.message("meanwhile"))
        await ann.expect(Ack)
        await asyncio.sleep(0.3)  # The server finds a full socket several times.
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        transcript = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
        async with asyncio.timeout(60):
            while len(transcript.keys(Root.MESSAGES)) < 21:
                transcript.apply([update for _, update in await _updates(reader)])
        writer.transport.abort()


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
