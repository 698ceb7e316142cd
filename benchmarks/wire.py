"""Wire: the lightest WebSocket client there is: prepared frames out, frames in told apart by a byte and counted.

So light that the server is what is measured. Holds no documents; knows nothing of scenarios. What the frames of one
kind of server look like is in `dialects`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
from collections.abc import Callable
from typing import Self, cast

from benchmarks.tokens import TOKEN

_PING, _CLOSE = 0x89, 0x88
_TOKEN = TOKEN.encode()


def frame(payload: bytes) -> bytes:
    """Return one client frame. Its mask is zero, so that the payload goes as it is (RFC 6455, 5.3)."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, 0x80 | size)) + bytes(4) + payload
    if size < 1 << 16:
        return b"\x82\xfe" + size.to_bytes(2, "big") + bytes(4) + payload
    return b"\x82\xff" + size.to_bytes(8, "big") + bytes(4) + payload


class Wire(asyncio.Protocol):
    """One WebSocket on one room. A dialect says how rooms are opened and what arrives.

    1. Nothing is decoded that is not counted.
    2. A refusal is never taken for a delivery: it fails the run.
    """

    #: Whether the server acks what it was sent, and only when it is on disk.
    acks = False
    subprotocol = ""

    def __init__(self, room: str, token: str) -> None:
        self.room = room
        self.token = token
        #: Tokens in updates that arrived, without those that came with the opening, and the size of that.
        self.tokens = 0
        self.opening_bytes = 0
        self.failed = ""
        self.opened = False
        #: Called with the number of tokens in an update that arrived.
        self.on_tokens: Callable[[int], None] = lambda _: None
        #: Called with the number of each ack.
        self.on_ack: Callable[[int], None] = lambda _: None
        self._rest = b""
        self._upgraded = False
        self._wake: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    # What a dialect fills in

    @classmethod
    def push(cls, room: str, number: int, update: bytes) -> bytes:
        """Return the frame that pushes the n-th update of one writer."""
        raise NotImplementedError

    def path(self) -> str:
        """The path to connect to."""
        return f"/{self.room}"

    def ask(self, vector: bytes) -> None:
        """Say what opens the room, for a client with this state vector; `_is_open` follows when it is."""
        raise NotImplementedError

    def appear(self) -> None:
        """Say who is there, where opening does not say it."""

    def message(self, data: bytes, start: int, end: int) -> None:
        """Take one binary message."""
        raise NotImplementedError

    # For scenarios

    @classmethod
    async def connect(cls, port: int, room: str, token: str = "") -> Self:
        """Connect, and return when the WebSocket is there."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: cls(room, token), "127.0.0.1", port)
        lines = [
            f"GET {wire.path()} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        ]
        lines += [f"Sec-WebSocket-Protocol: {cls.subprotocol}"] if cls.subprotocol else []
        wire.write("\r\n".join((*lines, "", "")).encode())
        while not wire._upgraded:
            await wire._change()
        return wire

    async def open(self, vector: bytes = b"\0", *, present: bool = False) -> None:
        """Open the room, and return when it is open. With `present` say who is there, if opening does not say it."""
        self.ask(vector)
        if present:
            self.appear()
        while not self.opened:
            await self._change()

    def write(self, data: bytes) -> None:
        """Send prepared frames."""
        self._transport.write(data)

    def stop_reading(self) -> None:
        """Read nothing more, and let the system hold little of what comes."""
        self._transport.pause_reading()
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)

    def close(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    def check(self) -> None:
        """Return if the connection is whole.

        Raises:
            RuntimeError: it was lost, or the server refused something.
        """
        if self.failed:
            raise RuntimeError(self.failed)

    def hand_over(self) -> int:
        """Return a file descriptor of the socket for somebody else to read; nothing more is read here."""
        self.check()
        assert not self._rest, "a frame is half read"
        self._transport.pause_reading()
        descriptor: int = self._transport.get_extra_info("socket").fileno()
        return os.dup(descriptor)

    async def _change(self) -> None:
        self.check()
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake
        self.check()

    # For dialects

    def _is_open(self, size: int = 0) -> None:
        self.opened = True
        self.opening_bytes = size
        self._stir()

    def _update(self, data: bytes, start: int, end: int) -> None:
        if count := data.count(_TOKEN, start, end):
            self.tokens += count
            self.on_tokens(count)

    def _fail(self, reason: str) -> None:
        self.failed = self.failed or reason
        self._stir()

    def _stir(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server closed the connection ({exc})")

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
            self._stir()
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
                self.message(data, body, body + size)
            elif data[at] == _PING:
                self.write(bytes((0x8A, 0x80 | size)) + bytes(4) + data[body : body + size])
            elif data[at] == _CLOSE:
                self._fail(f"the server closed: {data[body : body + size]!r}")
            at = body + size
        self._rest = data[at:]
