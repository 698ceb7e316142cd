"""What a server keeps in memory: for connections that say nothing, for small sessions, for long documents."""

from __future__ import annotations

import asyncio
import dataclasses
import functools

from benchmarks.bench import Bench, Found
from benchmarks.report import Figure, Result, table
from benchmarks.servers import LIMITS_NOTE, OPEN_LIMITS, Server
from benchmarks.storm import fill
from benchmarks.tokens import Answer, Document

_CONNECTIONS = 2_000
_DOCUMENTS = 50
_DOCUMENT_BYTES = 200_000
_TOKENS = 20
_EVICT_S = 2.0
#: Some tell each of two thousand who are there of each that comes.
_WITHIN_S = 400.0

EMPTY = "The process with nothing on it"
IDLE = "Per idle connection"
SHARED, APART = "all on one document", "each on an empty document of its own"
DOCUMENT = "Per document of 200 kB"
PUSHED, JOINED = "as pushed by its writer", "after a second client joined with nothing"
_ALL = "in all"
_SMALL = "Small sessions"


async def memory(bench: Bench) -> Result:
    """Resident memory per idle connection, per document, per loaded session."""
    connections = bench.size(_CONNECTIONS)
    # Memory does not depend on how busy the machine is, so once is enough; coming and going takes minutes.
    bench = dataclasses.replace(bench, rounds=1)
    compared = await bench.compare(functools.partial(_measure, bench, connections), within_s=_WITHIN_S)
    documents, long = bench.size(_DOCUMENTS), Document(bench.size(_DOCUMENT_BYTES))
    kept = await bench.compare(functools.partial(_documents, bench, documents, long), documents=True)
    for name, found in kept.items():
        compared.setdefault(name, {}).update(found)
    return Result(
        f"Memory: {connections:,} connections, {documents} long documents, small sessions",
        f"Resident memory of the server: its growth divided by the number. Long documents are as in the reconnect "
        f"storm, {long.bytes / 1e3:,.0f} kB each; what their connections take is subtracted. A small session holds one "
        f"answer of {_TOKENS} tokens, pushed one by one. Evicted {_evict_s(bench):g} s after its last peer left; "
        f"evicted sessions leave pages with holes, which the next ones fill. One round. {LIMITS_NOTE}",
        [
            *table(compared, EMPTY, (_ALL,), "MB"),
            *table(compared, IDLE, (SHARED, APART), "kB", limits={SHARED: 20.0}),
            *table(compared, DOCUMENT, (PUSHED, JOINED), "kB"),
            *await _small(bench, connections, compared["syncd"][f"{IDLE}: {SHARED}"]),
        ],
        (IDLE, DOCUMENT),
    )


async def _measure(bench: Bench, count: int, kind: type[Server]) -> Found:
    found: Found = {}
    for what, rooms in ((SHARED, ["shared"] * count), (APART, [f"apart-{number:05}" for number in range(count)])):
        async with bench.server(kind) as server:
            empty_kb = await bench.settled(server)
            wires = await server.join_all(rooms)
            found[f"{IDLE}: {what}"] = (await bench.settled(server) - empty_kb) / count
            found[f"{EMPTY}: {_ALL}"] = empty_kb / 1024
            for wire in wires:
                wire.close()
    return found


async def _documents(bench: Bench, count: int, document: Document, kind: type[Server]) -> Found:
    rooms = [f"long-{number:03}" for number in range(count)]
    async with bench.server(kind) as server:
        writers, readers, waiting = [await server.join_all(rooms) for _ in range(3)]
        before_kb = await bench.settled(server)
        for writer, reader in zip(writers, readers, strict=True):
            await fill(writer, reader, document)
        pushed_kb = await bench.settled(server)
        # Those that join take the places of others, so that connections cost nothing here.
        for wire in waiting:
            wire.close()
        joined = await server.join_all(rooms)
        joined_kb = await bench.settled(server)
        assert all(wire.opening_bytes >= document.bytes // 2 for wire in joined)
        for wire in (*writers, *readers, *joined):
            wire.close()
    return {
        f"{DOCUMENT}: {PUSHED}": (pushed_kb - before_kb) / count,
        f"{DOCUMENT}: {JOINED}": (joined_kb - before_kb) / count,
    }


def _evict_s(bench: Bench) -> float:
    return _EVICT_S * min(1.0, max(0.1, bench.scale))


async def _small(bench: Bench, count: int, connection_kb: float) -> list[Figure]:
    async with bench.server(limits={**OPEN_LIMITS, "idle_evict_s": _evict_s(bench)}) as server:
        empty_kb = await bench.settled(server)
        full_kb, gone_kb = await _fill_and_leave(bench, server, count, "small")
        second_kb, _ = await _fill_and_leave(bench, server, count, "second")
        third_kb, _ = await _fill_and_leave(bench, server, count, "third")
    grown_kb = max(1.0, full_kb - empty_kb)
    return [
        Figure("each, while loaded", grown_kb / count - connection_kb, "kB", 40.0, _SMALL),
        Figure(
            "given back to the system when all are evicted", (full_kb - gone_kb) / grown_kb * 100, "%", None, _SMALL
        ),
        Figure("growth for a second lot of as many others", (second_kb - full_kb) / grown_kb * 100, "%", None, _SMALL),
        Figure("growth for a third", (third_kb - second_kb) / grown_kb * 100, "%", None, _SMALL),
    ]


async def _fill_and_leave(bench: Bench, server: Server, count: int, name: str) -> tuple[float, float]:
    """Return the server's memory in kB with an answer in each of `count` sessions, and after they left."""
    wires = await server.join_all([f"{name}-{number:05}" for number in range(count)])
    made = Answer()
    updates = [*made.head, *(made.tokens() for _ in range(_TOKENS - Answer.HEAD_TOKENS))]
    for wire in wires:
        wire.write(b"".join(wire.push(wire.room, number, update) for number, update in enumerate(updates, 1)))
    full_kb = await bench.settled(server)
    for wire in wires:
        wire.close()
    # Sweeps come at most this far apart, and one of them has to see the session unused for long enough.
    await asyncio.sleep(3 * _evict_s(bench))
    return full_kb, await bench.settled(server)
