"""What one reader that stops reading costs the others, in time, and the server, in memory."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

from syncd_client.transport import request

from benchmarks.bench import LIMITS_NOTE, Bench, Server
from benchmarks.load import Readers, Writer
from benchmarks.report import Figure, Result, quantile
from benchmarks.tokens import answer
from benchmarks.wire import Wire, pushes
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.replica import Replica
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import PartWriter, put_message
from syncd.core.update import Kind

_READERS = 100
_TOKENS_PER_S = 200
#: Written before anything is timed, so that who does not read is behind from the start: more than the system's buffers
#: and the outbox hold together.
_FILL = 1_200
_FILLING = "x" * 4_000
#: Rounds without and with a reader that stalls, in turn, since a shared machine is never twice the same.
_PAIRS = 4
_NUMBER = re.compile(rb"#(\d+) ")


async def stalled(bench: Bench) -> Result:
    """A hundred readers, one of which stops reading."""
    readers, pairs = max(3, bench.size(_READERS)), bench.size(_PAIRS)
    seconds = max(1.0, bench.seconds / 2)
    with_s: list[float] = []
    without_s: list[float] = []
    grown_kb: list[float] = []
    for number in range(pairs):
        kb = {}
        for stall in (False, True) if number % 2 == 0 else (True, False):
            latencies_s, kb[stall] = await _round(bench, readers, seconds, stall=stall)
            (with_s if stall else without_s).append(quantile(latencies_s, 0.99))
        grown_kb.append(kb[True] - kb[False])
    before, after = _median(without_s), _median(with_s)
    cap_kb = DEFAULT_LIMITS.outbox_bytes_max / 1024
    return Result(
        f"One stalled reader among {readers}",
        f"An answer of {_TOKENS_PER_S} tokens a second by the clock, {seconds:g} s a round; {pairs} rounds without "
        f"and {pairs} with a reader that stops reading, in turn; medians of the rounds. Before that, {_FILL} frames "
        f"of {len(_FILLING) // 1000} kB, so that this reader is behind from the start. Delivery: from the push until "
        f"the token is at a reader, at the {readers - 1} others. Memory: the server's, resident, at the end of a "
        f"round, the difference of neighbouring rounds. {LIMITS_NOTE}",
        (
            Figure("delivery at the others, p99, nobody stalls", before * 1e3, "ms"),
            Figure("delivery at the others, p99, one stalls", after * 1e3, "ms"),
            Figure("ratio of the two", after / before, "", 1.1),
            Figure("largest by smallest p99 of the rounds in which nobody stalls", max(without_s) / min(without_s), ""),
            Figure("server's memory, with the stalled reader minus without", _median(grown_kb), "kB", cap_kb),
        ),
    )


async def _round(bench: Bench, readers: int, seconds: float, *, stall: bool) -> tuple[list[float], float]:
    """Return each delivery's time at the others, and the server's memory in kB at the end."""
    fill = pushes("stall", answer(_FILL, token=_FILLING))
    frames = pushes("stall", _numbered(max(2, int(seconds * _TOKENS_PER_S))), first=len(fill) + 1)
    sent_at: list[float] = []
    latencies_s: list[float] = []

    def arrived(frame: bytes) -> None:
        now = time.perf_counter()
        latencies_s.extend(now - sent_at[int(number)] for number in _NUMBER.findall(frame))

    async with bench.server() as server:
        wires = [await Wire.connect(server.port) for _ in range(readers + 1)]
        for wire in wires:
            await wire.open("stall")
        others, last = wires[1:-1], wires[-1]
        if stall:
            last.stop_reading()
        async with asyncio.timeout(60.0):
            filled = Readers(others)
            await Writer(wires[0], fill).push_all(8)
            await filled.have_all()
        for wire in others:
            wire.on_update = arrived
        async with asyncio.timeout(60.0 + 2 * seconds):
            await _stream(wires[0], frames, sent_at)
            while len(latencies_s) < len(others) * (len(frames) - 1):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        resident_kb, behind = server.rss_kb(), await _times_behind(server)
        for wire in wires:
            wire.close()
    if stall and not behind:
        raise RuntimeError("the reader that stalls did not fall behind: nothing was measured")
    return latencies_s, resident_kb


def _numbered(count: int) -> list[bytes]:
    """Return the updates of an answer whose tokens have numbers."""
    replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=4_712)
    updates = [put_message(replica, NewMessage("numbered", "assistant", {"kind": "agent", "name": "bench"}, (), (), 0))]
    writer = PartWriter(replica, "numbered")
    return updates + [writer.append(f"#{number} ") for number in range(1, count)]


async def _stream(wire: Wire, frames: Sequence[bytes], sent_at: list[float]) -> None:
    """Push frames by the clock."""
    started = time.perf_counter()
    for number, frame in enumerate(frames):
        await asyncio.sleep(max(0.0, started + number / _TOKENS_PER_S - time.perf_counter()))
        sent_at.append(time.perf_counter())
        wire.write(frame)


async def _times_behind(server: Server) -> float:
    """Return how often the server marked a reader as behind."""
    page = (await request(server.url, "GET", "/metrics", token="dev:bench")).decode()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("syncd_behind_total"))


def _median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)
