"""Links of tests: honest ones, neighbours that must not notice, and sockets that speak bytes by hand."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack

from syncd.core.messages import (
    Ack,
    Update,
)
from syncd.server.app import Server
from syncd.server.sockets import Links
from tests.core.machines import Pen
from tests.harness import PATIENCE_S, RawLink, mint


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


async def raw_socket(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Upgrade by hand, for frames that no library sends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"GET /v1/sync HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: syncd.v1\r\nAuthorization: Bearer {mint('user:raw')}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def masked(opcode: int, payload: bytes, *, fin: bool = True, declared: int | None = None) -> bytes:
    size = len(payload) if declared is None else declared
    head = bytes([0x80 * fin | opcode])
    head += bytes([0x80 | size]) if size < 126 else b"\xff" + struct.pack(">Q", size)
    return head + b"\0\0\0\0" + payload


async def close_code(reader: asyncio.StreamReader) -> int:
    """Return the code of the close frame that comes."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            first, second = await reader.readexactly(2)
            size = second & 127
            if size > 125:
                size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
            payload = await reader.readexactly(size)
            if first & 15 == 8:
                return int.from_bytes(payload[:2], "big")


async def updates_in(reader: asyncio.StreamReader) -> list[tuple[str, bytes]]:
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
