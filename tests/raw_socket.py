"""RawSocket: a socket to a server that sends any bytes at all, and says how it ended. For what no library sends."""

import asyncio
import contextlib
import struct
from types import TracebackType
from typing import Self

from tests.harness import PATIENCE_S, mint


def upgrade_request(port: int, *, token: str = "", path: str = "/v1/sync", headers: str = "") -> bytes:
    """Return the bytes that ask for a link."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: syncd.v1\r\nAuthorization: Bearer {token or mint('user:raw')}\r\n{headers}\r\n"
    ).encode()


def ws_frame(
    opcode: int, payload: bytes, *, fin: bool = True, mask: bool = True, reserved: int = 0, declared: int | None = None
) -> bytes:
    """Return a WebSocket frame; `declared` is the length it claims to have. The mask is zero."""
    size = len(payload) if declared is None else declared
    head = bytes([0x80 * fin | reserved << 4 | opcode])
    if size < 126:
        head += bytes([0x80 * mask | size])
    elif size < 1 << 16:
        head += bytes([0x80 * mask | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 * mask | 127]) + struct.pack(">Q", size)
    return head + (b"\0\0\0\0" if mask else b"") + payload


class RawSocket:
    """One connection.

    `status` is the status of the first answer, 0 without one; `code` the code of the close frame, 0 without one.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 0
        self.code = 0

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        """Send bytes, as far as the other side takes them."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    async def upgraded(self) -> Self:
        """Ask for a link and get it."""
        await self.send(upgrade_request(self.port))
        assert (await self.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        self.status = 101
        return self

    async def frame(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload.

        Raises:
            EOFError, OSError: there is none any more.
        """
        first, second = await self.reader.readexactly(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 15, await self.reader.readexactly(size)

    async def end(self, *, within_s: float = PATIENCE_S) -> int:
        """Read to the end; return the code of the close frame, else the status of the answer, else 0 for a cut.

        A close is answered, as RFC 6455 has it.
        """
        with contextlib.suppress(EOFError, OSError):
            async with asyncio.timeout(within_s):
                if self.status == 0:
                    head = await self.reader.readuntil(b"\r\n\r\n")
                    self.status = int(head.split(b" ", 2)[1])
                while self.status == 101:
                    opcode, payload = await self.frame()
                    if opcode == 8:
                        self.code = int.from_bytes(payload[:2], "big")
                        await self.send(ws_frame(8, payload[:2]))
                        break
        return self.code or (self.status if self.status != 101 else 0)
