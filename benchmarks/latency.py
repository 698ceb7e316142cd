"""How long "saved on the server's disk" takes when nothing else goes on."""

from __future__ import annotations

import asyncio

from benchmarks.bench import LIMITS_NOTE, Bench
from benchmarks.load import Writer
from benchmarks.report import Figure, Result, quantile
from benchmarks.tokens import answer
from benchmarks.wire import Wire, pushes

_PACE_S = 0.02


async def ack(bench: Bench) -> Result:
    """Ack latency on an idle server."""
    frames = pushes("ack", answer(int(bench.seconds / _PACE_S)))
    async with bench.server() as server:
        wire = await Wire.connect(server.port)
        await wire.open("ack")
        writer = Writer(wire, frames)
        before = server.cpu_s()
        for _ in frames:
            writer.push()
            await asyncio.sleep(_PACE_S)
        await writer.all_acked()
        cpu_s = server.cpu_s() - before
        wire.close()
    ms = [latency * 1e3 for latency in writer.latencies_s]
    return Result(
        "Ack latency on an idle server",
        f"One writer, a token every {_PACE_S * 1e3:g} ms, {len(frames)} tokens; `synchronous=FULL`. From the write of "
        f"the push to the ack, over loopback. {LIMITS_NOTE}",
        (
            Figure("ack, p50", quantile(ms, 0.5), "ms", 5.0),
            Figure("ack, p99", quantile(ms, 0.99), "ms"),
            Figure("server CPU per token", cpu_s / len(frames) * 1e6, "µs"),
        ),
    )
