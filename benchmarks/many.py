"""What many small sessions cost that all have an answer running, and how many one core bears."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence

from benchmarks.bench import Bench, Found, Meter
from benchmarks.load import Flow, pace, reading
from benchmarks.report import Result, quantile, table
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import Script

#: How many sessions, in steps until one is too many.
_STEPS = (100, 200, 300, 400, 500, 600, 700)
_READERS = 2
_TOKENS_PER_S = 30
#: What bears means: this share of the tokens is with a reader, or acked, within this time.
_P99_S = 0.1

CPU = "Server CPU per update (stored, acked, shown to two)"
MOST = "Sessions that one core bears"
ACK_P50, ACK_P99 = "From push to ack on disk, p50", "From push to ack on disk, p99"
_P50, _P99 = "From push to reader, p50", "From push to reader, p99"
#: Above one and a half, queues grow.
GROWTH = "From push to reader, p50, last third over middle third"
_SHARE = "Share of the server's core"
_GENERATOR = "Load generator's CPU as a share of the server's"
_UNITS = {CPU: "µs", GROWTH: "×", _P50: "ms", _P99: "ms", ACK_P50: "ms", ACK_P99: "ms", _SHARE: "%", _GENERATOR: "%"}
MOST_ROW = f"99 % of the tokens within {_P99_S * 1e3:g} ms"


def row(sessions: int) -> str:
    """The name of the row for so many sessions."""
    return f"{sessions} sessions"


async def many(bench: Bench) -> Result:
    """Up to seven hundred sessions with a writer and two readers each, thirty tokens a second."""
    steps = list(dict.fromkeys(bench.size(step) for step in _STEPS))
    compared = await bench.compare(functools.partial(_climb, bench, steps), within_s=1_200.0)
    figures = table(compared, MOST, [MOST_ROW], "")
    for group, unit in _UNITS.items():
        figures += table(compared, group, map(row, steps), unit, flag=100.0 if group == _GENERATOR else None)
    return Result(
        f"Many sessions, a writer and {_READERS} readers each, {_TOKENS_PER_S} tokens a second each",
        f"{bench.seconds:g} s for each number of sessions, of which the first third is for warming up, in steps of "
        f"{steps[0]} up to {steps[-1]} or until a server no longer bears it, twice: p99 at "
        f"{_P99_S * 1e3:g} ms or above (with syncd of the acks, too), or tokens left over long after the last push. "
        f"Medians of {bench.rounds} rounds in which the servers take turns, each alone on one core, the load generator "
        f"on another. syncd: tokens checked, scanned, `synchronous=FULL`, shown after the commit. {LIMITS_NOTE}",
        figures,
        (MOST, CPU),
    )


async def _climb(bench: Bench, steps: list[int], kind: type[Server]) -> Found:
    found: Found = {f"{MOST}: {MOST_ROW}": 0.0}
    for sessions in steps:
        for _ in range(2):  # One hiccup of the machine is no limit of the server.
            bench.say(f"{kind.name}, {sessions} sessions")
            try:
                once = await _measure(bench, sessions, kind)
            except (RuntimeError, TimeoutError, OSError):
                continue
            found |= once
            if max(once.get(f"{group}: {row(sessions)}", 0.0) for group in (_P99, ACK_P99)) < _P99_S * 1e3:
                found[f"{MOST}: {MOST_ROW}"] = sessions
                break
        else:
            break
    return found


async def _measure(bench: Bench, sessions: int, kind: type[Server]) -> Found:
    names = [f"many-{number:03}" for number in range(sessions)]
    async with bench.server(kind) as server:
        wires = await server.join_all([name for name in names for _ in range(1 + _READERS)])
        groups = [wires[first : first + 1 + _READERS] for first in range(0, len(wires), 1 + _READERS)]
        async with reading([wire for group in groups for wire in group[2:]]) as rest:
            flows = [
                Flow(group[0], group[1], Script(functools.partial(kind.wire.push, name)))
                for name, group in zip(names, groups, strict=True)
            ]
            for flow in flows:
                await flow.begin()
                flow.prepare(int(_TOKENS_PER_S * bench.seconds))
            await bench.settled(server)
            meter = Meter(server, rest.cpu_s)
            await pace(flows, per_s=_TOKENS_PER_S, seconds=bench.seconds)
            async with asyncio.timeout(2.0 + bench.seconds):
                await asyncio.gather(*(flow.settled() for flow in flows))
                await rest.have(flows[0].total)
            cpu_s, own_s, wall_s = meter.read()
        for wire in wires:
            wire.close()
    total = sum(flow.sent for flow in flows)
    name = row(sessions)
    taken = [flow.take() for flow in flows]
    delivered = [latency * 1e3 for latencies, _ in taken for latency in latencies[len(latencies) // 3 :]]
    acked = [latency * 1e3 for _, latencies in taken for latency in latencies[len(latencies) // 3 :]]
    found = {
        f"{CPU}: {name}": cpu_s / total * 1e6,
        f"{GROWTH}: {name}": _growth([latencies for latencies, _ in taken]),
        f"{_P50}: {name}": quantile(delivered, 0.5),
        f"{_P99}: {name}": quantile(delivered, 0.99),
        f"{_SHARE}: {name}": cpu_s / wall_s * 100,
        f"{_GENERATOR}: {name}": own_s / cpu_s * 100,
    }
    if acked:
        found |= {f"{ACK_P50}: {name}": quantile(acked, 0.5), f"{ACK_P99}: {name}": quantile(acked, 0.99)}
    return found


def _growth(taken: Sequence[Sequence[float]]) -> float:
    """Return by how much the last third of all tokens took longer than the middle third."""
    middle = [latency for latencies in taken for latency in latencies[len(latencies) // 3 : -len(latencies) // 3]]
    last = [latency for latencies in taken for latency in latencies[-len(latencies) // 3 :]]
    return quantile(last, 0.5) / quantile(middle, 0.5)
