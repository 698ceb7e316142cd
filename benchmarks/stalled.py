"""What one reader that stops reading costs the others, in time, and the server, in memory."""

from __future__ import annotations

import asyncio
import functools
import statistics

from syncd_client.transport import request

from benchmarks.bench import Bench
from benchmarks.load import Counted, Flow, pace, reading
from benchmarks.report import Figure, Result, quantile
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import OTHER, Answer, Script
from benchmarks.wire import Wire
from syncd.core.limits import DEFAULT_LIMITS

_READERS = 100
_PER_S = 200
_ROOM = "stall"
#: Written before anything is timed, so that who does not read is behind from the start: more than the system's buffers
#: and the outbox hold together.
_FILL_UPDATES, _FILL_TOKENS = 450, 1_000
#: Rounds without and with a reader that stalls, in turn, since a shared machine is never twice the same.
_PAIRS = 5
RATIO = "delivery, p99: one stalls over nobody stalls"
MEMORY = "server's memory: one stalls minus nobody stalls"


async def stalled(bench: Bench) -> Result:
    """A hundred readers, one of which stops reading."""
    readers, pairs = max(3, bench.size(_READERS)), max(1, bench.size(_PAIRS))
    p99_s: dict[bool, list[float]] = {False: [], True: []}
    grown_kb: list[float] = []
    for number in range(pairs):
        kb = {}
        for stall in (False, True) if number % 2 == 0 else (True, False):
            bench.say(f"pair {number + 1} of {pairs}, {'one stalls' if stall else 'nobody stalls'}")
            async with asyncio.timeout(120.0):
                delivered_s, kb[stall] = await _round(bench, readers, stall=stall)
            p99_s[stall].append(quantile(delivered_s, 0.99))
        grown_kb.append(kb[True] - kb[False])
    before, after = statistics.median(p99_s[False]), statistics.median(p99_s[True])
    spread = max(p99_s[False]) / min(p99_s[False])
    return Result(
        f"One stalled reader among {readers}",
        f"An answer of {_PER_S} tokens a second by the clock, {bench.seconds:g} s a round; {pairs} rounds without and "
        f"{pairs} with a reader that stops reading, in turn; medians. Before that, {_FILL_UPDATES} updates of some "
        f"13 kB, so that this reader is behind from the start. Delivery: from the push until the token is at the last "
        f"of the others. Memory: the server's, resident, at the end of a round. {LIMITS_NOTE}",
        (
            Figure("delivery, p99, nobody stalls", before * 1e3, "ms"),
            Figure("delivery, p99, one stalls", after * 1e3, "ms"),
            Figure(RATIO, after / before, "", 1.1),
            Figure(
                "largest by smallest p99 of the rounds in which nobody stalls",
                spread,
                "",
            ),
            Figure(MEMORY, statistics.median(grown_kb), "kB", DEFAULT_LIMITS.outbox_bytes_max / 1024),
        ),
    )


async def _round(bench: Bench, readers: int, *, stall: bool) -> tuple[list[float], float]:
    """Return how long each token took to the last reader, and the server's memory in kB at the end."""
    async with bench.server() as server:
        writer, filler, quiet, *others = await server.join_all([_ROOM] * (readers + 2))
        if stall:
            quiet.stop_reading()
        await _fill(server, filler, others)
        async with reading(others[:-1]) as rest:
            flow = Flow(writer, others[-1], Script(functools.partial(server.wire.push, _ROOM)))
            flow.prepare(int(bench.seconds * _PER_S))
            await flow.begin()
            await pace([flow], per_s=_PER_S, seconds=bench.seconds)
            await flow.settled()
            await rest.have(flow.total)
        delivered_s, _ = flow.take()
        resident_kb, behind = await bench.settled(server), await _times_behind(server)
        for wire in (writer, filler, quiet, *others):
            wire.close()
    if stall and not behind:
        raise RuntimeError("the reader that stalls did not fall behind: nothing was measured")
    return delivered_s, resident_kb


async def _fill(server: Server, filler: Wire, others: list[Wire]) -> None:
    """Write so much that who does not read cannot have it all under way; return when the others have it."""
    answer = Answer((OTHER,), "filling")
    updates = [*answer.head, *(answer.tokens(_FILL_TOKENS) for _ in range(_FILL_UPDATES))]
    acked = asyncio.Event()
    filler.on_ack = lambda _: acked.set()
    for number, update in enumerate(updates, 1):
        # One at a time, so that those who read are not behind, too.
        acked.clear()
        filler.write(server.wire.push(_ROOM, number, update))
        await acked.wait()
    await Counted(others).have(answer.HEAD_TOKENS + _FILL_UPDATES * _FILL_TOKENS)


async def _times_behind(server: Server) -> float:
    """Return how often the server marked a reader as behind."""
    page = (await request(server.url, "GET", "/metrics", token=server.token)).decode()
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith("syncd_behind_total"))
