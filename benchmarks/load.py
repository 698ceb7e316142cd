"""Load: writers that push prepared tokens, by window or by the clock, and readers that say when they have it all.

Knows nothing of what is measured with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.tokens import LAST
from benchmarks.wire import Wire

_LAST = LAST.encode()


class Writer:
    """Pushes frames over one wire and notes how long each ack took."""

    def __init__(self, wire: Wire, frames: Sequence[bytes]) -> None:
        self.latencies_s: list[float] = []
        self.sent = 0
        self.acked = 0
        self._wire = wire
        self._frames = frames
        self._sent_at: list[float] = []
        self._window = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wire.on_ack = self._ack

    def push(self, count: int = 1) -> None:
        """Push the next `count` frames, fewer at the end."""
        frames = self._frames[self.sent : self.sent + count]
        self._sent_at += [time.perf_counter()] * len(frames)
        self.sent += len(frames)
        if frames:
            self._wire.write(b"".join(frames))

    async def push_all(self, window: int) -> None:
        """Push everything, `window` frames in flight at any time; return when all is acked."""
        self._window = window
        self.push(window)
        await self.all_acked()

    async def all_acked(self) -> None:
        """Return when all frames are acked."""
        await self._done

    def _ack(self, number: int) -> None:
        now = time.perf_counter()
        self.latencies_s += [now - sent_at for sent_at in self._sent_at[self.acked : number]]
        freed, self.acked = number - self.acked, number
        if self.acked == len(self._frames) and not self._done.done():
            self._done.set_result(None)
        if self._window:
            self.push(freed)


class Readers:
    """Wires that read one answer each."""

    def __init__(self, wires: Sequence[Wire]) -> None:
        self._left = len(wires)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for wire in wires:
            wire.on_update = self._update

    def _update(self, frame: bytes) -> None:
        if _LAST in frame:
            self._left -= 1
            if not self._left:
                self._done.set_result(None)

    async def have_all(self) -> None:
        """Return when every reader has the last token."""
        await self._done
