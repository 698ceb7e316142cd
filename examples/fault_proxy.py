"""FaultProxy: a network that breaks on order. It stands between one client and a server, in this process.

Passes bytes, and cuts or stalls them; can be asked to look at each WebSocket message of the client before it goes on.
Knows nothing of what the messages say.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

_READ_BYTES = 64 << 10
#: Close without a goodbye: the other side gets a reset (RST) in the middle of whatever it was doing.
_RESET = struct.pack("ii", 1, 0)

Admit = Callable[[bytes], Awaitable[None]]


class FaultProxy:
    """A TCP proxy on loopback.

    1. A cut resets both sides: neither is told that the other is gone.
    2. With `admit`, a message of the client goes on only when `admit` has returned; messages stay in order.

    `await start()`, use `url`, then `await stop()`.
    """

    def __init__(self, port: int, *, admit: Admit | None = None, on_lost: Callable[[], None] | None = None) -> None:
        """Stand in front of the server at `port`. `on_lost` is called when a connection ended, however it did."""
        self.url = ""
        self.bytes_up = 0
        self.bytes_down = 0
        self._server_port = port
        self._admit = admit
        self._on_lost = on_lost
        self._listening: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._flow = asyncio.Event()
        self._flow.set()
        self._left: int | None = None
        self._was_cut = asyncio.Event()

    async def start(self) -> None:
        """Listen."""
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Accept no more and reset what is open."""
        if self._listening is not None:
            self._listening.close()
        self._flow.set()
        connections = list(self._connections)
        self._reset()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    # Faults

    async def cut(self, after_bytes: int, *, patience_s: float) -> None:
        """Let `after_bytes` more pass, either way, then reset; reset anyway if they do not come within `patience_s`."""
        self._was_cut.clear()
        self._left = after_bytes
        try:
            async with asyncio.timeout(patience_s):
                await self._was_cut.wait()
        except TimeoutError:
            self._reset()

    async def stall(self, seconds: float) -> None:
        """Be a black hole for a while: open, and nothing passes."""
        self._flow.clear()
        await asyncio.sleep(seconds)
        self._flow.set()

    def _reset(self) -> None:
        self._left = None
        for pair in self._connections.values():  # Invariant 1.
            for writer in pair:
                connected = writer.get_extra_info("socket")
                if connected is not None and not writer.transport.is_closing():
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
        self._was_cut.set()

    # Passing

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            to_client.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = (to_client, to_server)
        pumps = [
            asyncio.create_task(self._pass_up(from_client, to_server)),
            asyncio.create_task(self._pass_down(from_server, to_client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._connections[task]
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (to_client, to_server):
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            if self._on_lost is not None:
                self._on_lost()

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self._admit is None:
                while data := await reader.read(_READ_BYTES):
                    self.bytes_up += len(data)
                    await self._pass(writer, data)
                return
            head = await reader.readuntil(b"\r\n\r\n")
            self.bytes_up += len(head)
            await self._pass(writer, head)
            upgrade = b"upgrade: websocket" in head.lower()
            while upgrade:
                frame, payload = await _read_frame(reader)
                if payload is not None:
                    await self._admit(payload)  # Invariant 2.
                self.bytes_up += len(frame)
                await self._pass(writer, frame)

    async def _pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                self.bytes_down += len(data)
                await self._pass(writer, data)

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        await self._flow.wait()
        if self._left is not None:
            part, self._left = data[: self._left], self._left - len(data)
            if self._left < 0:
                writer.write(part)
                self._reset()
                return
        writer.write(data)
        await writer.drain()


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes | None]:
    """Return one WebSocket frame of a client as it came, and its content if it holds a whole message (RFC 6455, 5.2)."""
    head = await reader.readexactly(2)
    size = head[1] & 0x7F
    if size >= 126:
        extra = await reader.readexactly(2 if size == 126 else 8)
        size = int.from_bytes(extra, "big")
        head += extra
    mask = await reader.readexactly(4)
    body = await reader.readexactly(size)
    whole_message = head[0] == 0x82
    if not whole_message:
        return head + mask + body, None
    pad = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + body, (int.from_bytes(body, "big") ^ pad).to_bytes(size, "big")
