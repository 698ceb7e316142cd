"""What a session with a long history costs: to open from this disk, to join with nothing, to keep on a server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from syncd_client import Client, Session

from benchmarks.bench import Bench
from benchmarks.report import Figure, Result
from benchmarks.servers import LIMITS_NOTE, Server
from examples.fault_proxy import FaultProxy
from examples.server_process import disk_bytes

_MESSAGES = 10_000

OPENED, JOINED = "open from the local store, after a join", "join with an empty store until live and listed"
_TEXT = "What is said in a message of usual length, a line or two of it, and then it is somebody else's turn. "
_AT_ONCE = 200


async def history(bench: Bench) -> Result:
    """A session of ten thousand messages."""
    count = bench.size(_MESSAGES)
    async with bench.server() as server:
        folder = server.store.parent
        await _fill(server, folder / "writer.db", count)
        stored = disk_bytes(server.store)
        # A server that has just been started has the session on disk only.
        await server.stop()
        await server.start()
        empty_kb = await bench.settled(server)
        joined_s, joined_bytes = await _join(server, folder / "joiner.db", count)
        loaded_kb = await bench.settled(server) - empty_kb
        opened_s, listed_s = await _open(folder / "joiner.db", count)
        grown_s, _ = await _open(folder / "writer.db", count)
    return Result(
        f"A session of {count:,} messages",
        f"Messages of {len(_TEXT)} characters by one person, each with the server's receipt. Server alone on one core, "
        f"clients on another. {LIMITS_NOTE}",
        (
            Figure(OPENED, opened_s * 1e3, "ms"),
            Figure("open from the local store of who wrote it all", grown_s * 1e3, "ms"),
            Figure("list all messages after that", listed_s * 1e3, "ms"),
            Figure(JOINED, joined_s * 1e3, "ms"),
            Figure("bytes down to join", joined_bytes / 1e3, "kB"),
            Figure("server memory for it after the join", loaded_kb / 1024, "MB"),
            Figure("server's store on disk", stored / 1e6, "MB"),
        ),
    )


async def _fill(server: Server, store: Path, count: int) -> None:
    async with Client(server.url, token=server.token, store=store) as client:
        session = await client.open("history")
        await client.live()
        for first in range(0, count, _AT_ONCE):
            await asyncio.gather(*(session.post(_TEXT) for _ in range(min(_AT_ONCE, count - first))))
            await session.synced()
        async for _ in session.changes():
            if all(view.seq is not None for view in session.messages()[-_AT_ONCE:]):
                return


async def _join(server: Server, store: Path, count: int) -> tuple[float, int]:
    proxy = FaultProxy(server.port)
    await proxy.start()
    try:
        started = time.perf_counter()
        async with Client(proxy.url, token=server.token, store=store) as client:
            session = await client.open("history")
            await _live(session)
            assert len(session.messages()) == count
            joined_s = time.perf_counter() - started
            return joined_s, proxy.bytes_down
    finally:
        await proxy.stop()


async def _live(session: Session) -> None:
    async for _ in session.changes():
        if session.status.live:
            return


async def _open(store: Path, count: int) -> tuple[float, float]:
    async with Client("http://127.0.0.1:9", token="dev:joiner", store=store) as client:
        started = time.perf_counter()
        session = await client.open("history")
        opened_s = time.perf_counter() - started
        started = time.perf_counter()
        assert len(session.messages()) == count
        return opened_s, time.perf_counter() - started
