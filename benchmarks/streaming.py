"""What it costs a Python program to append to an answer that is long already."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from syncd_client import Client, Session

from benchmarks.bench import Bench
from benchmarks.report import Figure, Result

_CHARS = 200_000
_TOKEN = "tok "
#: No server listens here: this is about the program and its disk.
_NOWHERE = "http://127.0.0.1:9"

STREAMED, ONE_BY_ONE = "streamed into an answer, per token", "one by one into an answer, per append"


async def streaming(bench: Bench) -> Result:
    """Appends to an answer and to a shared text of 200 kB."""
    chars = bench.size(_CHARS)
    appends = int(200 * bench.seconds)
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        async with Client(_NOWHERE, token="dev:bench", store=Path(folder) / "client.db") as client:
            session = await client.open("long")
            streamed_us, edited_us, stored_us, read_us = await _answer(session, chars, appends)
            text_us = await _text(session, chars, appends)
    return Result(
        f"Appending at {chars / 1e3:,.0f} kB in the Python client",
        f"{appends:,} appends of {len(_TOKEN)} characters. Processor time of the whole process, storing on this disk "
        "included where it says so. Streamed: as a model's tokens come, gathered for 40 ms and stored. One by one: "
        "each its own edit, transaction and update.",
        (
            Figure(STREAMED, streamed_us, "µs", 200.0),
            Figure(ONE_BY_ONE, edited_us, "µs", 200.0),
            Figure("one by one into an answer, per append, each waited for until stored", stored_us, "µs"),
            Figure("one by one into a shared text, per append", text_us, "µs"),
            Figure("reading the whole answer once", read_us, "µs"),
        ),
    )


async def _answer(session: Session, chars: int, appends: int) -> tuple[float, float, float, float]:
    async with session.stream() as stream:
        for _ in range(chars // len(_TOKEN)):
            await stream.text(_TOKEN)
        await stream.flush()
        started = time.process_time()
        for _ in range(appends):
            await stream.text(_TOKEN)
            await asyncio.sleep(0.0005)
        await stream.flush()
        streamed_s = time.process_time() - started
        started = time.process_time()
        for _ in range(appends):
            await stream.text(_TOKEN)
            stream._flush()  # What its timer calls: the edit, and nothing of the disk.
        edited_s = time.process_time() - started
        await stream.flush()
        started = time.process_time()
        for _ in range(appends):
            await stream.text(_TOKEN)
            await stream.flush()
        stored_s = time.process_time() - started
        started = time.process_time()
        assert len(session.messages()[-1].text) >= chars
        read_s = time.process_time() - started
    return streamed_s / appends * 1e6, edited_s / appends * 1e6, stored_s / appends * 1e6, read_s * 1e6


async def _text(session: Session, chars: int, appends: int) -> float:
    text = session.state.text("document")
    text.insert(0, _TOKEN * (chars // len(_TOKEN)))
    await session.saved()
    started = time.process_time()
    for _ in range(appends):
        text.append(_TOKEN)
    spent_s = time.process_time() - started
    await session.saved()
    return spent_s / appends * 1e6
