"""What it costs when two hundred clients come back at once to a document of 207 kB."""

from __future__ import annotations

import asyncio
import functools
import time

from benchmarks.bench import Bench, Found, Meter
from benchmarks.report import Result, quantile, table
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import Document
from benchmarks.wire import Wire

_CLIENTS = 200
_DOCUMENT_BYTES = 207_000

CPU = "Server CPU per client"
HALF, SILENT = "half", "half, nobody told who came"
_P50, _P99 = "From connecting to having the document, p50", "From connecting to having the document, p99"
_BYTES = "Bytes down per client"
_GENERATOR = "Load generator's CPU as a share of the server's"
_UNITS = {CPU: "ms", _P50: "ms", _P99: "ms", _BYTES: "kB", _GENERATOR: "%"}


async def storm(bench: Bench) -> Result:
    """Two hundred clients that connect at once, with nothing, with half of the document, with all of it."""
    document = Document(bench.size(_DOCUMENT_BYTES))
    clients = bench.size(_CLIENTS)
    compared = await bench.compare(functools.partial(_measure, bench, document, clients), documents=True)
    figures = [
        figure
        for group, unit in _UNITS.items()
        for figure in table(
            compared, group, (*document.vectors, SILENT), unit, flag=100.0 if group == _GENERATOR else None
        )
    ]
    return Result(
        f"Reconnect storm: {clients} clients at once on a document of {document.bytes / 1e3:,.0f} kB",
        f"The rows are what the clients have already: nothing, half of the document, all of it. The document is "
        f"{document.tokens:,} tokens that two client ids wrote in turn, so that nothing can be squashed. A client "
        f"connects, authenticates where the server asks for it, says its state vector and who it is: with syncd by "
        f"opening the session, with the others by an awareness update, as a stock client with a user's name does. In "
        f"the last row the others' clients leave that away, and syncd's cannot. Medians of {bench.rounds} "
        f"rounds in which the servers take turns, each alone on one core, the load generator on another. {LIMITS_NOTE}",
        figures,
        (CPU, _P99),
    )


async def _measure(bench: Bench, document: Document, clients: int, kind: type[Server]) -> Found:
    found: Found = {}
    async with bench.server(kind) as server:
        writer, reader = await server.join("storm"), await server.join("storm")
        await fill(writer, reader, document)
        for name, vector in {**document.vectors, SILENT: document.vectors[HALF]}.items():
            meter = Meter(server)
            came = await asyncio.gather(*(_come(server, vector, present=name != SILENT) for _ in range(clients)))
            cpu_s, own_s, _ = meter.read()
            latencies = [latency * 1e3 for _, latency in came]
            opening = max(wire.opening_bytes for wire, _ in came)
            found |= {
                f"{CPU}: {name}": cpu_s / clients * 1e3,
                f"{_P50}: {name}": quantile(latencies, 0.5),
                f"{_P99}: {name}": quantile(latencies, 0.99),
                f"{_BYTES}: {name}": opening / 1e3,
                f"{_GENERATOR}: {name}": own_s / cpu_s * 100,
            }
            for wire, _ in came:
                wire.close()
            await bench.settled(server)  # What their leaving costs is not part of the next.
        writer.close()
        reader.close()
    return found


async def fill(writer: Wire, reader: Wire, document: Document) -> None:
    """Push a document; return when `reader` has it."""
    for number, update in enumerate(document.updates, 1):
        writer.write(writer.push(writer.room, number, update))
    while reader.tokens < document.tokens:
        writer.check()
        reader.check()
        await asyncio.sleep(0.01)


async def _come(server: Server, vector: bytes, *, present: bool) -> tuple[Wire, float]:
    started = time.perf_counter()
    wire = await server.connect("storm")
    await wire.open(vector, present=present)
    return wire, time.perf_counter() - started
