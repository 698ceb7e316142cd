"""What many small sessions cost that all have an answer running, and whether one core keeps up."""

from __future__ import annotations

import asyncio
import time

from benchmarks.bench import LIMITS_NOTE, Bench
from benchmarks.load import Readers, Writer
from benchmarks.report import Figure, Result, quantile
from benchmarks.tokens import answer
from benchmarks.wire import Wire, pushes

_SESSIONS = 300
_READERS = 2
_TOKENS_PER_S = 30


async def many(bench: Bench) -> Result:
    """Three hundred sessions with a writer and two readers each, thirty tokens a second."""
    sessions = bench.size(_SESSIONS)
    updates = answer(int(_TOKENS_PER_S * bench.seconds))
    names = [f"many-{number:03}" for number in range(sessions)]
    async with bench.server() as server:
        wires = [[await Wire.connect(server.port) for _ in range(1 + _READERS)] for _ in names]
        for name, group in zip(names, wires, strict=True):
            for wire in group:
                await wire.open(name)
        await asyncio.sleep(0.5)
        writers = [Writer(group[0], pushes(name, updates)) for name, group in zip(names, wires, strict=True)]
        having = Readers([reader for group in wires for reader in group[1:]])
        cpu_s, own_s, wall_s = server.cpu_s(), time.process_time(), time.perf_counter()
        async with asyncio.timeout(60.0 + 3 * bench.seconds):
            late_s = await _pace(writers, len(updates))
            sent_s = time.perf_counter() - wall_s
            await asyncio.gather(*(writer.all_acked() for writer in writers))
            await having.have_all()
        cpu_s, own_s, wall_s = server.cpu_s() - cpu_s, time.process_time() - own_s, time.perf_counter() - wall_s
        for group in wires:
            for wire in group:
                wire.close()
    total = sessions * len(updates)
    third = len(updates) // 3
    first = [latency * 1e3 for writer in writers for latency in writer.latencies_s[:third]]
    last = [latency * 1e3 for writer in writers for latency in writer.latencies_s[-third:]]
    return Result(
        f"{sessions} sessions, a writer and {_READERS} readers each, {_TOKENS_PER_S} tokens a second each",
        f"{total:,} updates in {sent_s:.1f} s. Queues grow if the last third's latencies are well above those of the "
        "first, or if much is left to do at the end. Server alone on one core, load generator on another, "
        "`synchronous=FULL`. "
        f"{LIMITS_NOTE}",
        (
            Figure("server CPU per update (stored, acked, shown to two)", cpu_s / total * 1e6, "µs"),
            Figure("share of the server's core", cpu_s / wall_s * 100, "%", 100.0),
            Figure("ack, p50, first third", quantile(first, 0.5), "ms"),
            Figure("ack, p50, last third", quantile(last, 0.5), "ms"),
            Figure("ack, p50, last third over first", quantile(last, 0.5) / quantile(first, 0.5), "×", 1.5),
            Figure("ack, p99, first third", quantile(first, 0.99), "ms"),
            Figure("ack, p99, last third", quantile(last, 0.99), "ms", 100.0),
            Figure("everything acked and shown after the last push", wall_s - sent_s, "s", 0.5),
            Figure("load generator: latest that a push was written", late_s * 1e3, "ms"),
            Figure("load generator's CPU as a share of the server's", own_s / cpu_s * 100, "%"),
        ),
    )


async def _pace(writers: list[Writer], tokens: int) -> float:
    """Have every writer push at the pace, evenly spread; return how late the latest push was, in seconds."""
    gap_s = 1.0 / _TOKENS_PER_S / len(writers)
    started = time.perf_counter()
    due = 0
    total = tokens * len(writers)
    late_s = 0.0
    while due < total:
        now = time.perf_counter() - started
        late_s = max(late_s, now - due * gap_s)
        until = min(total, int(now / gap_s) + 1)
        for number in range(due, until):
            writers[number % len(writers)].push()
        due = until
        await asyncio.sleep(0.001)
    return late_s
