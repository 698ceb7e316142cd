"""Load: an answer that is written by window or by the clock, and readers that say when they have it all.

Knows nothing of what is measured with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from benchmarks.native import program
from benchmarks.servers import cpu_s
from benchmarks.tokens import TOKEN, Answer, Script
from benchmarks.wire import Wire


class Flow:
    """One answer from its writer to one reader: pushes its tokens, and notes when each arrived and was acked.

    A token is in flight until the reader has it, whatever the server acks.
    """

    def __init__(self, writer: Wire, reader: Wire, script: Script) -> None:
        #: Tokens pushed after the answer's head, and of them those that arrived and were acked.
        self.sent = 0
        self.arrived = 0
        self.acked = 0
        self._writer = writer
        self._reader = reader
        self._script = script
        self._sent_at: list[float] = []
        self._delivered_s: list[float] = []
        self._acked_s: list[float] = []
        self._window = 0
        self._until = 0.0
        self._wake: asyncio.Future[None] | None = None
        reader.on_tokens = self._arrive
        writer.on_ack = self._ack

    @property
    def total(self) -> int:
        """Tokens pushed so far, those of the head with them."""
        return Answer.HEAD_TOKENS + self.sent

    def take(self) -> tuple[list[float], list[float]]:
        """Return how long each token took to the reader, and each ack to the writer, in seconds; and forget it."""
        taken = self._delivered_s, self._acked_s
        self._delivered_s, self._acked_s = [], []
        return taken

    async def begin(self) -> None:
        """Push the answer's head, and return when it has arrived. Nothing of it is counted."""
        self.arrived, self.acked = -Answer.HEAD_TOKENS, -Answer.HEAD
        self._writer.write(b"".join(self._script.frames(0, Answer.HEAD)))
        await self.settled()

    def prepare(self, tokens: int) -> None:
        """Have the frames of so many tokens ready before they are needed."""
        self._script.frames(0, Answer.HEAD + tokens)

    def push(self, count: int = 1) -> None:
        """Push the next `count` tokens."""
        first = Answer.HEAD + self.sent
        self.sent += count
        self._sent_at += [time.perf_counter()] * count
        self._writer.write(b"".join(self._script.frames(first, first + count)))

    async def keep(self, window: int, seconds: float) -> None:
        """Keep `window` tokens in flight for so long; return when all have arrived."""
        self._window, self._until = window, time.perf_counter() + seconds
        self.push(window)
        await self.settled()
        self._window = 0

    async def settled(self) -> None:
        """Return when all that was pushed has arrived, and was acked where the server does that."""
        while not self._is_settled():
            self._writer.check()
            self._reader.check()
            self._wake = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # Nobody wakes us when a connection is lost.
                    await self._wake

    def _is_settled(self) -> bool:
        return self.arrived == self.sent and (self.acked == self.sent or not self._writer.acks)

    def _arrive(self, count: int) -> None:
        if self.arrived >= 0:
            now = time.perf_counter()
            self._delivered_s += [now - at for at in self._sent_at[self.arrived : self.arrived + count]]
        self.arrived += count
        self._go_on()

    def _ack(self, number: int) -> None:
        acked = number - Answer.HEAD
        if acked > 0:
            now = time.perf_counter()
            self._acked_s += [now - at for at in self._sent_at[self.acked : acked]]
        self.acked = acked
        self._go_on()

    def _go_on(self) -> None:
        if self._window and time.perf_counter() < self._until:
            if free := self._window - (self.sent - self.arrived):
                self.push(free)
        elif self._wake is not None and not self._wake.done() and self._is_settled():
            self._wake.set_result(None)


class Readers(Protocol):
    """Clients of one room that read along."""

    async def have(self, tokens: int) -> None:
        """Return when each has had so many tokens."""
        ...

    def cpu_s(self) -> float:
        """Processor time used so far beside this process'."""
        ...


class Counted:
    """Readers in this process."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._wires = wires

    async def have(self, tokens: int) -> None:
        """See `Readers`."""
        for wire in self._wires:
            while wire.tokens < tokens:
                wire.check()
                await asyncio.sleep(0.002)

    def cpu_s(self) -> float:
        """See `Readers`."""
        return 0.0


class Crowd:
    """Readers whose sockets a small program reads that only counts: lighter than any server (see `crowd.c`)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def have(self, tokens: int) -> None:
        """See `Readers`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % tokens)
        if not await self._process.stdout.readline():
            raise RuntimeError("a reader lost its connection")

    def cpu_s(self) -> float:
        """See `Readers`."""
        return cpu_s(self._process.pid)


@contextlib.asynccontextmanager
async def reading(wires: Sequence[Wire]) -> AsyncIterator[Readers]:
    """Have these wires read along: by the small program where there is a compiler, else by this process."""
    built = program("crowd")
    if built is None or not wires:
        yield Counted(wires)
        return
    descriptors = [wire.hand_over() for wire in wires]
    try:
        process = await asyncio.create_subprocess_exec(
            str(built),
            TOKEN,
            ",".join(map(str, descriptors)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
        )
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    try:
        yield Crowd(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def pace(flows: Sequence[Flow], *, per_s: float, seconds: float) -> float:
    """Have every flow push `per_s` tokens a second, evenly spread; return how late the latest push was, in seconds."""
    gap_s = 1.0 / per_s / len(flows)
    total = int(per_s * seconds) * len(flows)
    started = time.perf_counter()
    due = 0
    late_s = 0.0
    while due < total:
        now = time.perf_counter() - started
        late_s = max(late_s, now - due * gap_s)
        until = min(total, int(now / gap_s) + 1)
        for number in range(due, until):
            flows[number % len(flows)].push()
        due = until
        # Sleeping less would cost the generator more than what it sends.
        await asyncio.sleep(max(0.001, started + due * gap_s - time.perf_counter()))
    return late_s
