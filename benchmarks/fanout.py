"""What it costs to show one writer's tokens to ten, to a hundred, to a thousand readers."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from benchmarks.bench import Bench, Compared, Found, Meter
from benchmarks.load import Flow, pace, reading
from benchmarks.report import Figure, Result, quantile, table
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import Script

_READERS = (10, 100, 500, 1_000)
_WINDOWS = (1, 32)
#: An answer at the pace of a fast model, with this many readers.
_PACED_READERS = 100
_PER_S = 50

CPU = "Server CPU per delivered token"
_THROUGHPUT = "Deliveries per second"
_P50, _P99 = "From push to reader, p50", "From push to reader, p99"
_ACK_P50, _ACK_P99 = "From push to ack on disk, p50", "From push to ack on disk, p99"
_OWN = "Load generator's CPU as a share of the server's"
_UNITS = {CPU: "µs", _THROUGHPUT: "", _P50: "ms", _P99: "ms", _ACK_P50: "ms", _ACK_P99: "ms", _OWN: "%"}


def window_row(readers: int, window: int) -> str:
    """The name of the row for so many readers and tokens in flight."""
    return f"{readers:,} readers, {window} in flight"


def paced_row(readers: int) -> str:
    """The name of the row for so many readers of an answer at a steady pace."""
    return f"{readers:,} readers, {_PER_S} tokens/s"


async def fanout(bench: Bench) -> Result:
    """One writer and ten to a thousand readers."""
    figures: list[Figure] = []
    merged: Compared = {}
    scripts = {kind.name: Script(functools.partial(kind.wire.push, "fan")) for kind in bench.kinds}
    paced = bench.size(_PACED_READERS)
    sizes = list(dict.fromkeys(bench.size(readers) for readers in _READERS))
    for readers in sizes:
        compared = await bench.compare(functools.partial(_measure, bench, readers, readers == paced, scripts))
        for name, found in compared.items():
            merged.setdefault(name, {}).update(found)
    rows = [*(window_row(readers, window) for window in _WINDOWS for readers in sizes), paced_row(paced)]
    for group, unit in _UNITS.items():
        figures += table(merged, group, rows, unit, flag=100.0 if group == _OWN else None)
    return Result(
        "Fan-out: one writer, many readers",
        f"A token is in flight until the last of the readers has it; with one in flight nothing can be merged. "
        f"Deliveries are tokens times readers, and every reader is checked to have all. Medians "
        f"of {bench.rounds} rounds of {bench.seconds:g} s in which the servers take turns, each alone on one core, the "
        f"load generator on another. syncd: tokens checked, scanned, `synchronous=FULL`, shown after the commit. "
        f"{LIMITS_NOTE}",
        figures,
        (CPU,),
    )


async def _measure(bench: Bench, readers: int, paced: bool, scripts: Mapping[str, Script], kind: type[Server]) -> Found:
    found: Found = {}
    async with bench.server(kind) as server:
        writer, *wires = await server.join_all(["fan"] * (readers + 1))
        await bench.settled(server)  # What the others are told of who came is not what is measured.
        # The last that came is the one whose tokens are timed: servers write to readers in the order they came.
        async with reading(wires[:-1]) as rest:
            flow = Flow(writer, wires[-1], scripts[kind.name])
            await flow.begin()
            for window in _WINDOWS:
                meter, before = Meter(server, rest.cpu_s), flow.sent
                await flow.keep(window, bench.seconds)
                await rest.have(flow.total)
                found |= _found(window_row(readers, window), meter, flow, (flow.sent - before) * readers)
            if paced:
                meter, before = Meter(server, rest.cpu_s), flow.sent
                await pace([flow], per_s=_PER_S, seconds=bench.seconds)
                await flow.settled()
                await rest.have(flow.total)
                found |= _found(paced_row(readers), meter, flow, (flow.sent - before) * readers)
        for wire in (writer, *wires):
            wire.close()
    return found


def _found(row: str, meter: Meter, flow: Flow, deliveries: int) -> Found:
    cpu_s, own_s, wall_s = meter.read()
    delivered_s, acked_s = flow.take()
    found = {
        f"{CPU}: {row}": cpu_s / deliveries * 1e6,
        f"{_THROUGHPUT}: {row}": deliveries / wall_s,
        f"{_P50}: {row}": quantile(delivered_s, 0.5) * 1e3,
        f"{_P99}: {row}": quantile(delivered_s, 0.99) * 1e3,
        f"{_OWN}: {row}": own_s / cpu_s * 100,
    }
    if acked_s:
        found |= {
            f"{_ACK_P50}: {row}": quantile(acked_s, 0.5) * 1e3,
            f"{_ACK_P99}: {row}": quantile(acked_s, 0.99) * 1e3,
        }
    return found
