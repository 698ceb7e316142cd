"""What the server keeps in memory for connections that say nothing, and for small sessions that are loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from benchmarks.bench import LIMITS_NOTE, OPEN_LIMITS, Bench, Server, settled
from benchmarks.report import Figure, Result
from benchmarks.tokens import answer
from benchmarks.wire import Wire, pushes

_CONNECTIONS = 2_000
_TOKENS = 20
_EVICT_S = 2.0
#: Connections made at the same time.
_AT_ONCE = 50


async def memory(bench: Bench) -> Result:
    """Resident memory per idle connection and per loaded session."""
    count = bench.size(_CONNECTIONS)
    figures: list[Figure] = []
    async with bench.server() as server:
        figures.append(Figure("the process with nothing on it", (empty_kb := await settled(server)) / 1024, "MB"))
        wires = await _connect(server, count, lambda _: "shared")
        alone_kb = (await settled(server) - empty_kb) / count
        figures.append(Figure("per idle connection, all on one session", alone_kb, "kB", 25.0))
        for wire in wires:
            wire.close()
    async with bench.server({**OPEN_LIMITS, "idle_evict_s": _EVICT_S}) as server:
        empty_kb = await settled(server)
        with_empty_kb, full_kb, gone_kb = await _fill_and_leave(server, count, "small")
        _, second_kb, _ = await _fill_and_leave(server, count, "second")
        _, third_kb, _ = await _fill_and_leave(server, count, "third")
    figures += [
        Figure("per idle connection, each on an empty session of its own", (with_empty_kb - empty_kb) / count, "kB"),
        Figure("per loaded small session", (full_kb - empty_kb) / count - alone_kb, "kB", 40.0),
        Figure("given back to the system when all are evicted", (full_kb - gone_kb) / (full_kb - empty_kb) * 100, "%"),
        Figure("growth for a second lot of as many others", (second_kb - full_kb) / (full_kb - empty_kb) * 100, "%"),
        Figure("growth for a third", (third_kb - second_kb) / (full_kb - empty_kb) * 100, "%"),
    ]
    return Result(
        f"Memory: {count:,} connections",
        f"Resident memory of the server, the growth divided by {count:,}. A small session holds one answer of "
        f"{_TOKENS} tokens, pushed one by one; what its connection takes is subtracted. Evicted after {_EVICT_S:g} s "
        f"without a peer. Evicted sessions leave pages with holes, which the next ones fill. {LIMITS_NOTE}",
        figures,
    )


async def _fill_and_leave(server: Server, count: int, name: str) -> tuple[float, float, float]:
    """Return the server's memory in kB with `count` empty sessions, with an answer in each, and after they left."""
    wires = await _connect(server, count, lambda number: f"{name}-{number:05}")
    empty_kb = await settled(server)
    updates = answer(_TOKENS)
    for number, wire in enumerate(wires):
        wire.write(b"".join(pushes(f"{name}-{number:05}", updates)))
    full_kb = await settled(server)
    for wire in wires:
        wire.close()
    # Sweeps come at most this far apart, and one of them has to see the session unused for long enough.
    await asyncio.sleep(3 * _EVICT_S)
    return empty_kb, full_kb, await settled(server)


async def _connect(server: Server, count: int, session: Callable[[int], str]) -> list[Wire]:
    wires: list[Wire] = []

    async def one(number: int) -> Wire:
        wire = await Wire.connect(server.port)
        await wire.open(session(number))
        return wire

    for first in range(0, count, _AT_ONCE):
        wires += await asyncio.gather(*(one(number) for number in range(first, min(count, first + _AT_ONCE))))
    return wires
