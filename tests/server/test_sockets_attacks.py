"""Links: what no correct client sends. It closes its own link with a code, and a neighbour never notices."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from syncd.core.errors import CloseCode
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import (
    Hello,
    Layer,
    Open,
    Pong,
    SetPresence,
)
from syncd.server.app import Server
from tests.harness import PATIENCE_S, RawLink, mint
from tests.server.links import close_code, link, masked, neighbours, raw_socket

Attack = Callable[[RawLink], Any]


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


@pytest.mark.parametrize("greeted", [False, True])
async def test_a_declared_gibibyte_is_refused_at_its_header(server: Server, greeted: bool) -> None:
    """A frame that announces more than the limit is refused before any of it is read."""
    async with neighbours(server):
        reader, writer = await raw_socket(server)
        if greeted:
            writer.write(masked(2, msgpack.packb([1, [1], "", "d", ""])))
        writer.write(masked(2, b"x" * 10, declared=1 << 30))
        assert await close_code(reader) == CloseCode.TOO_BIG
        writer.close()


async def test_a_frame_over_the_limit_is_too_big(server: Server) -> None:
    """One byte more than `frame_bytes_max` closes the link with 1009."""
    async with neighbours(server), link(server) as raw:
        await raw.ws.send_bytes(b"\x00" * (DEFAULT_LIMITS.frame_bytes_max + 1))
        assert (await raw.closed())[0] == CloseCode.TOO_BIG


async def test_a_frame_in_one_byte_fragments_is_one_frame(server: Server) -> None:
    """However a frame is cut, it is taken whole; too many fragments end as one frame that is too big."""
    async with neighbours(server):
        reader, writer = await raw_socket(server)
        hello = msgpack.packb([1, [1], "", "d", ""])
        for at in range(len(hello)):
            opcode = 2 if at == 0 else 0
            writer.write(masked(opcode, hello[at : at + 1], fin=at == len(hello) - 1))
        async with asyncio.timeout(PATIENCE_S):
            first, size = await reader.readexactly(2)
            assert first == 0x82
            await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big") if size == 126 else size)
        writer.write(masked(2, b"", fin=False))
        for _ in range(264):  # Just over the limit: a close with unread bytes behind it would be a reset.
            writer.write(masked(0, b"x", fin=False) * 4_000)
            await writer.drain()
        assert await close_code(reader) == CloseCode.TOO_BIG
        writer.close()
