"""Bench: what every scenario is given: a server alone on one core, and how to read what it costs.

Linux only: it reads /proc. Knows nothing of scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.server_process import ServerProcess

#: Bounds that a load generator on one address and under one name would meet first; everything else is as shipped.
OPEN_LIMITS: Mapping[str, float] = {
    "frames_per_s": 1e6,
    "frames_burst": 1e6,
    "bytes_per_s": 1e9,
    "bytes_burst": 1e9,
    "links_per_subject_max": 1e5,
    "links_per_address_max": 1e5,
}
LIMITS_NOTE = "Rates and links per address and per subject are not limited; all other limits are as shipped."


class Server(ServerProcess):
    """A server whose costs can be read."""

    def cpu_s(self) -> float:
        """Return how much processor time it has used so far, all threads."""
        total_ns = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
                total_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return total_ns / 1e9

    def rss_kb(self) -> float:
        """Return its resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass(frozen=True, slots=True)
class Bench:
    """How long the timed parts last, and how large the large ones are (1 as published)."""

    seconds: float
    scale: float = 1.0

    def size(self, count: int) -> int:
        """Return `count` at this scale."""
        return max(1, int(count * self.scale))

    @contextlib.asynccontextmanager
    async def server(self, limits: Mapping[str, float] = OPEN_LIMITS) -> AsyncIterator[Server]:
        """A server alone on the last core; this process is on the others. It is gone at the end, however that comes."""
        cores = sorted(os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
            server = Server(Path(folder) / "server.db", limits=limits, cores=frozenset(cores[-1:]))
            os.sched_setaffinity(0, cores[:-1] or cores)
            try:
                await server.start()
                yield server
            finally:
                os.sched_setaffinity(0, cores)
                await server.kill()


async def settled(server: Server, *, pace_s: float = 0.25, within_s: float = 10.0) -> float:
    """Return the server's resident memory in kB once it uses no processor time to speak of."""
    deadline = asyncio.get_running_loop().time() + within_s
    before = server.cpu_s()
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(pace_s)
        now = server.cpu_s()
        if now - before < 0.02 * pace_s:
            break
        before = now
    return server.rss_kb()
