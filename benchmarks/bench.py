"""Bench: what every scenario is given: servers alone on one core, one after the other, and how to compare them.

Knows nothing of scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.servers import OPEN_LIMITS, Server

#: What one run of one server found: values by name. A peer that could not do it has none.
Found = dict[str, float]
#: By server, then by name: the median over the rounds.
Compared = dict[str, Found]


class Say(Protocol):
    """Told what goes on."""

    def __call__(self, what: str, *, lasting: bool = False) -> None: ...


def _silent(what: str, *, lasting: bool = False) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Bench:
    """How long the timed parts last, how large the large ones are (1 as published), and beside whom."""

    seconds: float
    scale: float = 1.0
    rounds: int = 1
    #: The servers that are compared, syncd first.
    kinds: Sequence[type[Server]] = (Server,)
    #: Told what is being measured now, and what should be seen afterwards, too.
    say: Say = _silent

    def size(self, count: int) -> int:
        """Return `count` at this scale."""
        return max(1, int(count * self.scale))

    @contextlib.asynccontextmanager
    async def server(
        self, kind: type[Server] = Server, limits: Mapping[str, float] = OPEN_LIMITS
    ) -> AsyncIterator[Server]:
        """A server alone on the last core; this process is on the others. It is gone at the end, however that comes."""
        cores = sorted(os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
            server = kind(Path(folder), frozenset(cores[-1:]), limits)
            os.sched_setaffinity(0, cores[:-1] or cores)
            try:
                await server.start()
                yield server
            finally:
                os.sched_setaffinity(0, cores)
                await server.kill()

    async def settled(self, server: Server, *, within_s: float = 10.0) -> float:
        """Return the server's resident memory in kB once it uses no processor time to speak of."""
        pace_s = 0.25 if self.scale >= 0.1 else 0.05
        deadline = asyncio.get_running_loop().time() + within_s
        before = server.cpu_s()
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(pace_s)
            now = server.cpu_s()
            if now - before < 0.02 * pace_s:
                break
            before = now
        return server.rss_kb()

    async def compare(
        self, measure: Callable[[type[Server]], Awaitable[Found]], *, documents: bool = False, within_s: float = 120.0
    ) -> Compared:
        """Run `measure` for each server in turn, as many rounds; return the medians.

        With `documents` only those that keep documents. A peer that fails is left out from then on, and said so;
        when syncd fails, so does this.
        """
        rounds: dict[type[Server], list[Found]] = {kind: [] for kind in self.kinds if kind.documents or not documents}
        failed: set[type[Server]] = set()
        for number in range(1, self.rounds + 1):
            for kind in rounds:
                if kind in failed:
                    continue
                self.say(f"{kind.name}, round {number} of {self.rounds}")
                gc.collect()
                gc.disable()  # A collection of this program's would look like a slow server.
                try:
                    async with asyncio.timeout(within_s):
                        rounds[kind].append(await measure(kind))
                except (RuntimeError, TimeoutError, OSError) as error:
                    if kind is Server:
                        raise
                    failed.add(kind)
                    self.say(f"{kind.name} failed and is left out: {type(error).__name__} {error}", lasting=True)
                finally:
                    gc.enable()
        return {kind.name: medians(found) for kind, found in rounds.items() if found}


def medians(rounds: Sequence[Found]) -> Found:
    """Return the median of each value, over the rounds that have it."""
    names = dict.fromkeys(name for found in rounds for name in found)
    return {name: statistics.median([found[name] for found in rounds if name in found]) for name in names}


class Meter:
    """What a server and the load generator used of their processors since it was made."""

    def __init__(self, server: Server, beside_s: Callable[[], float] = lambda: 0.0) -> None:
        """`beside_s` is the load generator's processor time beside this process'."""
        self._server = server
        self._beside_s = beside_s
        self._before = server.cpu_s(), self._own_s(), time.perf_counter()

    def _own_s(self) -> float:
        return time.process_time() + self._beside_s()

    def read(self) -> tuple[float, float, float]:
        """Return the server's seconds of processor time, the generator's, and those of the clock."""
        server_s, own_s, wall_s = self._before
        return self._server.cpu_s() - server_s, self._own_s() - own_s, time.perf_counter() - wall_s
