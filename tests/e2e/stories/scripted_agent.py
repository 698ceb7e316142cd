"""An agent with a scripted model: the words of a message say what it does.

As a program of its own, its arguments are: address, token, name, store, settings as JSON. It prints `begin RUN ATTEMPT`
for each run that it begins, once its handler is called, and what else a story wants to know.

    count N [DELAY_S]   says "1 2 … N ", a word each DELAY_S
    counts DELAY_S      says "1 2 … ", a word each DELAY_S, until it is steered; notes `counted N`
    says TEXT           says TEXT
    books               asks for approval of a tool, says what came of it
    asks                has a device run a tool, says its result
    paced N PATH        says "1 2 … N ", each word when the file has as many bytes as words were said before
    lingers N           says "1 2 … " without an end; a second attempt says "1 2 … N "
    listens             says "…" until it is steered, then what it was told
    waits               says "waiting " and no more until it is steered, then what it was told
    breaks TEXT         says TEXT, then fails
    family N M          N sub-runs that say "1 … M " each
    reads               says who wrote what, as the model would be told
    leaves              says "first" and detaches; taken up again, it says "second"
    sleeps              says "working " and waits until it is cancelled; then says "bye"
    fades               says "half " and waits; a second attempt says nothing at all
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from syncd_client import Agent, Run

from tests.harness import until


async def words(count: int, delay_s: float) -> AsyncIterator[str]:
    """The model: what it says depends on nothing but the prompt."""
    for number in range(1, count + 1):
        yield f"{number} "
        await asyncio.sleep(delay_s)


async def count(run: Run, rest: list[str]) -> None:
    await run.stream(words(int(rest[0]), float(rest[1]) if len(rest) > 1 else 0.0))


def holds(file: Path, count: int) -> bool:
    """Whether a file has so many bytes."""
    return file.stat().st_size >= count


async def paced(run: Run, rest: list[str]) -> None:
    heard = Path(rest[1])

    async def one_by_one() -> AsyncIterator[str]:
        async for word in words(int(rest[0]), 0.0):
            yield word
            await until(partial(holds, heard, int(word)))

    await run.stream(one_by_one())


async def lingers(run: Run, rest: list[str]) -> None:
    await run.stream(words(1_000_000, 0.05) if run.attempt == 1 else words(int(rest[0]), 0.0))


async def counts(run: Run, rest: list[str]) -> None:
    steered = asyncio.ensure_future(run.wait_steering())
    number = 0

    async def model() -> AsyncIterator[str]:
        nonlocal number
        while not steered.done():
            number += 1
            yield f"{number} "
            await asyncio.sleep(float(rest[0]))

    try:
        await run.stream(model())
        note("counted", number)
    finally:
        steered.cancel()


async def says(run: Run, rest: list[str]) -> None:
    await run.text(" ".join(rest))


async def books(run: Run, rest: list[str]) -> None:
    call = run.tool("book", {"flight": rest[0] if rest else "LX1"})
    decision = await call.approval(timeout="2d")
    note("inference", run.id)
    if decision.approved:
        await call.output({"booked": True})
        await run.text(f"booked by {decision.by}")
    else:
        await run.text(f"not booked: {decision.reason}")


async def asks(run: Run, rest: list[str]) -> None:
    result = await run.tool("where", {}).result()
    await run.text(f"you are in {result['place']}")


async def listens(run: Run, rest: list[str]) -> None:
    for _ in range(2_000):
        await run.text("… ")
        if run.interrupted:
            note("interrupted", run.id)
        if steers := run.steering:
            await run.text("told: " + " and ".join(steer.text for steer in steers))
            return
        await asyncio.sleep(0.02)


async def waits(run: Run, rest: list[str]) -> None:
    await run.text("waiting ")
    steers = await run.wait_steering()
    await run.text("told: " + " and ".join(steer.text for steer in steers))


async def breaks(run: Run, rest: list[str]) -> None:
    await run.text(" ".join(rest))
    raise RuntimeError("the model is out of words")


async def family(run: Run, rest: list[str]) -> None:
    async def child(number: int) -> None:
        async with await run.sub(f"part {number}") as sub:
            await sub.stream(words(int(rest[1]), float(rest[2]) if len(rest) > 2 else 0.01))

    async with asyncio.TaskGroup() as group:
        for number in range(int(rest[0])):
            group.create_task(child(number))
    await run.text("all done")


async def reads(run: Run, rest: list[str]) -> None:
    await run.text(json.dumps(run.history(), ensure_ascii=False))


async def leaves(run: Run, rest: list[str]) -> None:
    if run.resumed:
        await run.text("second")
        return
    await run.text("first ")
    run.detach()


async def sleeps(run: Run, rest: list[str]) -> None:
    await run.text("working ")
    try:
        await asyncio.sleep(3_600)
    except asyncio.CancelledError:
        await run.text("bye")
        raise


async def fades(run: Run, rest: list[str]) -> None:
    if run.attempt == 1:
        await run.text("half ")
        await asyncio.sleep(3_600)


_SPEAKING = (count, counts, paced, lingers, says, reads, leaves, fades, breaks, family)
_WAITING = (books, asks, listens, waits, sleeps)
SCRIPTS: dict[str, Callable[[Run, list[str]], Awaitable[None]]] = {
    script.__name__: script for script in (*_SPEAKING, *_WAITING)
}


#: Where the notes of an agent go; in one process there may be several.
_tell: ContextVar[Callable[[str], None]] = ContextVar("tell")


def note(*words: object) -> None:
    """Tell the story."""
    _tell.get()(" ".join(map(str, words)))


async def serve(
    url: str, token: str, name: str, store: str, settings: Mapping[str, Any], tell: Callable[[str], None]
) -> None:
    """Serve until it is told to stop; `tell` gets each note."""
    _tell.set(tell)
    options = dict(settings)
    concurrency, drain_s = options.pop("concurrency", 8), options.pop("drain_s", 0.0)
    agent = Agent(name, server=url, token=token, store=store, **options)

    @agent.on_work
    async def work(run: Run) -> None:
        note("begin", run.id, run.attempt)
        # A request for another answer says nothing itself: what is to be answered is the last that a person said.
        said = [turn["parts"] for turn in run.history("parts") if turn["role"] == "user"]
        words = "".join(str(part.get("text", "")) for part in said[-1]).split()
        prompt = [word for word in words if not word.startswith("@")]
        await SCRIPTS[prompt[0]](run, prompt[1:])

    await agent.serve(concurrency=concurrency, drain_s=drain_s)
    note("stopped")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    address, token, name, store, settings = sys.argv[1:]
    asyncio.run(serve(address, token, name, store, json.loads(settings), partial(print, flush=True)))
