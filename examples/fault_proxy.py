"""FaultProxy: a network that breaks on order. It stands between clients and a server, in this process.

Passes bytes, and cuts, refuses, stalls, slows or delays them; can be asked to look at each WebSocket message of the
client before it goes on. Knows nothing of what the messages say.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Callable
from typing import Protocol, Self

_READ_BYTES = 64 << 10
#: A slow link passes its bytes in slices of this length.
_SLICE_S = 0.05
#: Close without a goodbye: the other side gets a reset (RST) in the middle of whatever it was doing.
_RESET = struct.pack("ii", 1, 0)


class Gate(Protocol):
    """What decides when a client's messages go on."""

    def arrived(self, message: bytes) -> int:
        """Take note of a message as it comes from the client; return what `admit` will be asked with."""
        ...

    async def admit(self, ticket: int) -> None:
        """Return when the message may go on. Asked in the order of arrival, one at a time."""
        ...

    def lost(self) -> None:
        """The connection is gone, and with it every message that did not go on."""
        ...


class FaultProxy:
    """A TCP proxy on loopback.

    1. A cut resets both sides: neither is told that the other is gone.
    2. With a gate, a message of the client goes on only when the gate admits it; messages stay in order.
    3. A direction that is dead keeps what comes, and passes it on when it is alive again, as a network does.

    `await start()`, use `url`, then `await stop()`; or `async with`. Its faults are switched by its attributes, at any
    time, for connections that exist and for those to come.
    """

    def __init__(self, port: int, *, gate: Gate | None = None) -> None:
        """Stand in front of the server at `port`."""
        self.url = ""
        self.bytes_up = 0
        self.bytes_down = 0
        #: New connections are reset.
        self.refusing = False
        #: Bytes that pass in a second, each way and on each connection.
        self.bytes_per_s = math.inf
        #: How long bytes are under way, each way.
        self.delay_s = 0.0
        #: Asked for each new connection: after how many bytes, both ways together, it is cut.
        self.budget_bytes: Callable[[], int] | None = None
        self._server_port = port
        self._gate = gate
        self._listening: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._alive = {True: asyncio.Event(), False: asyncio.Event()}
        self.heal()
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
        self.heal()
        connections = list(self._connections)
        self.cut()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Faults

    def cut(self) -> None:
        """Reset every connection now."""
        self._left = None
        for pair in self._connections.values():  # Invariant 1.
            for writer in pair:
                _reset(writer)
        self._was_cut.set()

    async def cut_after(self, after_bytes: int, *, patience_s: float) -> None:
        """Let `after_bytes` more pass, either way, then reset; reset anyway if they do not come within `patience_s`."""
        self._was_cut.clear()
        self._left = after_bytes
        try:
            async with asyncio.timeout(patience_s):
                await self._was_cut.wait()
        except TimeoutError:
            self.cut()

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Be a black hole, open and nothing passes, in both directions or in one: the connection is half open then."""
        for stalled, direction in ((up, True), (down, False)):
            if stalled:
                self._alive[direction].clear()

    async def stall_for(self, seconds: float) -> None:
        """Be a black hole for a while."""
        self.stall()
        await asyncio.sleep(seconds)
        self.heal()

    def heal(self) -> None:
        """Be a network without faults again; what was kept passes."""
        self.refusing = False
        self.bytes_per_s = math.inf
        self.delay_s = 0.0
        self.budget_bytes = None
        for alive in self._alive.values():
            alive.set()

    # Passing

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.refusing:
            _reset(to_client)
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _reset(to_client)
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = (to_client, to_server)
        budget = _Budget(self.budget_bytes() if self.budget_bytes else None)
        down = asyncio.create_task(self._pass_on(from_server, to_client, budget, up=False))
        if self._gate is None:
            pumps = [down, asyncio.create_task(self._pass_on(from_client, to_server, budget, up=True))]
        else:
            held: asyncio.Queue[tuple[bytes, int | None]] = asyncio.Queue()
            take = asyncio.create_task(_take_messages(from_client, held, self._gate))
            pumps = [down, take, asyncio.create_task(self._pass_messages(held, to_server, budget, self._gate))]
        try:
            with contextlib.suppress(asyncio.CancelledError):  # By `stop`; asyncio reports a cancelled one as an error.
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._connections[task]
            if self._gate is not None:
                self._gate.lost()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (to_client, to_server):
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: _Budget, *, up: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_READ_BYTES):
                await self._pass(writer, data, budget, up=up)

    async def _pass_messages(
        self,
        held: asyncio.Queue[tuple[bytes, int | None]],
        writer: asyncio.StreamWriter,
        budget: _Budget,
        gate: Gate,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                data, ticket = await held.get()
                if ticket is not None:
                    await gate.admit(ticket)  # Invariant 2.
                await self._pass(writer, data, budget, up=True)

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes, budget: _Budget, *, up: bool) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        while data:
            await self._alive[up].wait()  # Invariant 3.
            size = len(data) if math.isinf(self.bytes_per_s) else max(1, int(self.bytes_per_s * _SLICE_S))
            part, data = data[:size], data[size:]
            await self._pass_part(writer, part, budget, up=up)
            if data:
                await asyncio.sleep(_SLICE_S)

    async def _pass_part(self, writer: asyncio.StreamWriter, part: bytes, budget: _Budget, *, up: bool) -> None:
        if self._left is not None and self._left < len(part):
            writer.write(part[: self._left])
            self.cut()
            raise ConnectionResetError
        if budget.left is not None and budget.left < len(part):
            writer.write(part[: budget.left])
            raise ConnectionResetError
        if self._left is not None:
            self._left -= len(part)
        if budget.left is not None:
            budget.left -= len(part)
        if up:
            self.bytes_up += len(part)
        else:
            self.bytes_down += len(part)
        writer.write(part)
        await writer.drain()


class _Budget:
    """What one connection may still pass, None for all."""

    def __init__(self, left: int | None) -> None:
        self.left = left


def _reset(writer: asyncio.StreamWriter) -> None:
    connected = writer.get_extra_info("socket")
    if connected is not None and not writer.transport.is_closing():
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def _take_messages(
    reader: asyncio.StreamReader, held: asyncio.Queue[tuple[bytes, int | None]], gate: Gate
) -> None:
    """Take a client's WebSocket apart: its upgrade request, then frames, those that are messages with a ticket."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        held.put_nowait((await reader.readuntil(b"\r\n\r\n"), None))
        while True:
            frame, message = await _read_frame(reader)
            held.put_nowait((frame, None if message is None else gate.arrived(message)))


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes | None]:
    """Return one frame of a client as it came, and its content if it is a whole message (RFC 6455, 5.2)."""
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
