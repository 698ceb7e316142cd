"""How long "saved on the server's disk" and "shown to a reader" take when nothing else goes on."""

from __future__ import annotations

import functools

from benchmarks.bench import Bench, Found, Meter
from benchmarks.load import Flow, pace
from benchmarks.report import Result, quantile, table
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import Script

_PER_S = 50.0

LATENCY = "Latency"
ACK_P50, ACK_P99 = "push to ack on disk, p50", "push to ack on disk, p99"
_P50, _P99 = "push to reader, p50", "push to reader, p99"
_CPU = "Server CPU"
_PER_TOKEN = "per token"


async def ack(bench: Bench) -> Result:
    """Ack and delivery latency on an idle server."""
    compared = await bench.compare(functools.partial(_measure, bench))
    return Result(
        "Latency on an idle server",
        f"One writer and one reader, a token every {1e3 / _PER_S:g} ms, {int(_PER_S * bench.seconds)} tokens; over "
        f"loopback. syncd acks when the token is on disk (`synchronous=FULL`), and shows it then; the peers show it "
        f"from memory. Medians of {bench.rounds} rounds in which the servers take turns. {LIMITS_NOTE}",
        [
            *table(compared, LATENCY, (ACK_P50, ACK_P99, _P50, _P99), "ms", limits={ACK_P50: 5.0}),
            *table(compared, _CPU, (_PER_TOKEN,), "µs"),
        ],
        (LATENCY,),
    )


async def _measure(bench: Bench, kind: type[Server]) -> Found:
    async with bench.server(kind) as server:
        writer, reader = await server.join("ack"), await server.join("ack")
        flow = Flow(writer, reader, Script(functools.partial(kind.wire.push, "ack")))
        await flow.begin()
        meter = Meter(server)
        await pace([flow], per_s=_PER_S, seconds=bench.seconds)
        await flow.settled()
        cpu_s, _, _ = meter.read()
        writer.close()
        reader.close()
    delivered_s, acked_s = flow.take()
    found = {
        f"{LATENCY}: {_P50}": quantile(delivered_s, 0.5) * 1e3,
        f"{LATENCY}: {_P99}": quantile(delivered_s, 0.99) * 1e3,
        f"{_CPU}: {_PER_TOKEN}": cpu_s / flow.sent * 1e6,
    }
    if acked_s:
        found |= {
            f"{LATENCY}: {ACK_P50}": quantile(acked_s, 0.5) * 1e3,
            f"{LATENCY}: {ACK_P99}": quantile(acked_s, 0.99) * 1e3,
        }
    return found
