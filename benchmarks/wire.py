"""Wire: the lightest client there is: prepared frames out, frames in told apart by one byte and counted.

So light that the server is what is measured. Holds no documents; knows nothing of scenarios.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Sequence
from typing import Self, cast

from syncd.core.codec import encode
from syncd.core.messages import ClientMessage, Hello, Layer, Open, Push

_OPENED, _ACK, _REJECT, _UPDATE, _CLOSED, _BYE = 66, 67, 68, 69, 71, 72
_PING, _CLOSE = 0x89, 0x88


def frame(payload: bytes) -> bytes:
    """Return one client frame. Its mask is zero, so that the payload goes as it is (RFC 6455, 5.3)."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, 0x80 | size)) + bytes(4) + payload
    if size < 1 << 16:
        return b"\x82\xfe" + size.to_bytes(2, "big") + bytes(4) + payload
    return b"\x82\xff" + size.to_bytes(8, "big") + bytes(4) + payload


def pushes(session: str, updates: Sequence[bytes], *, first: int = 1) -> list[bytes]:
    """Return the frames that push `updates` one by one into the transcript, numbered from `first`."""
    return [frame(encode(Push(session, Layer.TRANSCRIPT, first + at, u))) for at, u in enumerate(updates)]


class Wire(asyncio.Protocol):
    """One WebSocket of `syncd.v1`.

    1. Nothing is decoded that is not counted.
    2. A refusal is never taken for a delivery: it fails the run.
    """

    def __init__(self) -> None:
        self.updates = 0
        self.update_bytes = 0
        self.opened = 0
        self.failed = ""
        #: Called with the number of each ack.
        self.on_ack: Callable[[int], None] = lambda _: None
        #: Called with each update's frame.
        self.on_update: Callable[[bytes], None] | None = None
        self._rest = b""
        self._upgraded = False
        self._wake: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    @classmethod
    async def connect(cls, port: int, *, subject: str = "load") -> Self:
        """Connect and say hello."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(cls, "127.0.0.1", port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "GET /v1/sync HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: syncd.v1",
        )
        wire.write("\r\n".join((*lines, "", "")).encode())
        wire.send(Hello((1,), f"dev:{subject}", "bench"))
        return wire

    async def open(self, session: str, client_ids: Sequence[int] = ()) -> None:
        """Open a session, and return when it is open."""
        wanted = self.opened + 1
        self.send(Open(session, {Layer.TRANSCRIPT: b"\0", Layer.STATE: b"\0"}, client_ids))
        while self.opened < wanted:
            self._check()
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def send(self, message: ClientMessage) -> None:
        """Send one message."""
        self.write(frame(encode(message)))

    def write(self, data: bytes) -> None:
        """Send prepared frames."""
        self._transport.write(data)

    def close(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def _check(self) -> None:
        if self.failed:
            raise RuntimeError(self.failed)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(self.failed or f"the server closed the connection ({exc})")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at = 0
        if not self._upgraded:
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            if b" 101 " not in data[:at].split(b"\r\n", 1)[0]:
                self._fail(data[:at].decode(errors="replace").split("\r\n", 1)[0])
            self._upgraded = True
        end = len(data)
        while at + 2 <= end:
            size, body = data[at + 1], at + 2
            if size == 126:
                size, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if body > end or body + size > end:
                break
            if data[at] == 0x82:
                self._message(data, body, body + size)
            elif data[at] == _PING:
                self.write(b"\x8a\x80" + bytes(4) if not size else bytes((0x8A, 0x80 | size)) + bytes(4) + data[body:])
            at = body + size
        self._rest = data[at:]

    def _message(self, data: bytes, start: int, end: int) -> None:
        kind = data[start + 1]  # Invariant 1: the types of all frames of a server fit one byte.
        if kind == _UPDATE:
            self.updates += 1
            self.update_bytes += end - start
            if self.on_update is not None:
                self.on_update(data[start:end])
        elif kind == _ACK:
            number = data[start + 3 + (data[start + 2] & 0x1F) : end]
            self.on_ack(number[0] if len(number) == 1 else int.from_bytes(number[1:], "big"))
        elif kind == _OPENED:
            self.opened += 1
            self._stir()
        elif kind in (_REJECT, _CLOSED, _BYE):  # Invariant 2.
            self._fail(f"the server refused: {data[start:end]!r}")

    def _fail(self, reason: str) -> None:
        self.failed = reason
        self._stir()

    def _stir(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
