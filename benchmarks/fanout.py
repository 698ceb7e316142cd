"""What it costs to show one writer's tokens to a hundred readers, one by one and in bursts."""

from __future__ import annotations

import asyncio
import time

from benchmarks.bench import LIMITS_NOTE, Bench
from benchmarks.load import Readers, Writer
from benchmarks.report import Figure, Result, quantile
from benchmarks.tokens import answer
from benchmarks.wire import Wire, pushes

_READERS = 100
#: Tokens per second of measuring, for each window: about what the server does in one.
_TOKENS_PER_S = {1: 150, 32: 3_000}


async def fanout(bench: Bench) -> Result:
    """One writer, a hundred readers."""
    readers = bench.size(_READERS)
    figures: list[Figure] = []
    for window, per_s in _TOKENS_PER_S.items():
        figures += await _round(bench, readers, window, max(window * 2, int(per_s * bench.seconds)))
    return Result(
        f"Fan-out: one writer, {readers} readers",
        "A token counts as in flight until it is acked, so with one in flight nothing can be merged. Deliveries are "
        "tokens times readers; every reader is checked to have the last. Server alone on one core, load generator on "
        f"another, `synchronous=FULL`. {LIMITS_NOTE}",
        figures,
    )


async def _round(bench: Bench, readers: int, window: int, tokens: int) -> list[Figure]:
    frames = pushes("fan", answer(tokens))
    async with bench.server() as server:
        wires = [await Wire.connect(server.port) for _ in range(readers + 1)]
        for wire in wires:
            await wire.open("fan")
        await asyncio.sleep(0.5)  # What the others are told of who came is not what is measured.
        writer, having = Writer(wires[0], frames), Readers(wires[1:])
        cpu_s, own_s, wall_s = server.cpu_s(), time.process_time(), time.perf_counter()
        async with asyncio.timeout(60.0 + 10 * bench.seconds):
            await writer.push_all(window)
            await having.have_all()
        cpu_s, own_s, wall_s = server.cpu_s() - cpu_s, time.process_time() - own_s, time.perf_counter() - wall_s
        for wire in wires:
            wire.close()
    deliveries = len(frames) * readers
    name = f"{window} in flight"
    return [
        Figure(f"{name}: server CPU per delivered token", cpu_s / deliveries * 1e6, "µs"),
        Figure(f"{name}: deliveries per CPU second", deliveries / cpu_s, ""),
        Figure(f"{name}: deliveries per second", deliveries / wall_s, ""),
        Figure(f"{name}: ack, p50", quantile(writer.latencies_s, 0.5) * 1e3, "ms"),
        Figure(f"{name}: ack, p99", quantile(writer.latencies_s, 0.99) * 1e3, "ms"),
        Figure(f"{name}: share of the server's core", cpu_s / wall_s * 100, "%", 100.0),
        Figure(f"{name}: load generator's CPU as a share of the server's", own_s / cpu_s * 100, "%"),
    ]
