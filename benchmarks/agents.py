"""What agents cost that write into one session at once, and how soon a worker hears what people want of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from syncd_client import Agent, Client, Run, Session

from benchmarks.bench import Bench, Found, Meter, medians
from benchmarks.load import reading
from benchmarks.report import Figure, Result, quantile
from benchmarks.servers import LIMITS_NOTE, Server
from benchmarks.tokens import WRITER, Answer, Script
from syncd.core.schema import Root

_AGENTS = 5
_READERS = 10
_PER_S = 100
_TURNS = 30

CPU = "Server CPU per token, stored, acked and shown to ten"
ONE, ALL = "one agent", f"{_AGENTS} agents at once"
RATIO = f"{ALL}, times one agent"
CONTROL = "From one device to the agent's handler, over loopback"
_CANCEL, _STEER, _APPROVE = "cancel", "steer", "approve, until the run goes on"


async def agents(bench: Bench) -> Result:
    """Five agents at 100 tokens a second each in one session; cancel, steer and approve to the handler."""
    rounds: list[Found] = []
    for number in range(1, bench.rounds + 1):
        bench.say(f"syncd, round {number} of {bench.rounds}")
        rounds.append({ONE: await _stream(bench, 1), ALL: await _stream(bench, _AGENTS)})
    found = medians(rounds)
    bench.say("syncd, what people want of a worker")
    heard = await _control(bench)
    return Result(
        f"{_AGENTS} agents at once, and what a worker hears",
        f"Each agent streams {_PER_S} tokens a second, pushed one by one, into a message of its own; {_READERS} "
        f"readers of the one session, each of which is checked to have all. Medians of {bench.rounds} rounds of "
        f"{bench.seconds:g} s, the server alone on one core. Below, a person and a worker, both with the Python client "
        f"and a store of their own: from the call on the person's side, which stores it first, to the agent's handler, "
        f"after the server stored it and decided. {bench.size(_TURNS)} times each. {LIMITS_NOTE}",
        (
            Figure(ONE, found[ONE], "µs", None, CPU),
            Figure(ALL, found[ALL], "µs", None, CPU),
            Figure(RATIO, found[ALL] / found[ONE], "×", 1.0, CPU),
            *(
                Figure(f"{what}, {name}", quantile(latencies, share) * 1e3, "ms", None, CONTROL)
                for what, latencies in heard.items()
                for name, share in (("p50", 0.5), ("p99", 0.99))
            ),
        ),
        (CPU, CONTROL),
    )


async def _stream(bench: Bench, count: int) -> float:
    """Return the server's µs for each token of so many agents."""
    async with bench.server() as server:
        wires = await server.join_all(["agents"] * (count + _READERS))
        writers, readers = wires[:count], wires[count:]
        framed = functools.partial(Server.wire.push, "agents")
        scripts = [Script(framed, Answer((WRITER + at,), f"answer-{at}")) for at in range(count)]
        each = int(_PER_S * bench.seconds)
        async with reading(readers) as rest:
            for writer, script in zip(writers, scripts, strict=True):
                script.frames(0, Answer.HEAD + each)
                writer.write(b"".join(script.frames(0, Answer.HEAD)))
            await rest.have(count * Answer.HEAD_TOKENS)
            await bench.settled(server)
            meter = Meter(server, rest.cpu_s)
            started = time.perf_counter()
            for number in range(each):
                for at, (writer, script) in enumerate(zip(writers, scripts, strict=True)):
                    due = started + (number + at / count) / _PER_S
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                    writer.check()
                    writer.write(b"".join(script.frames(Answer.HEAD + number, Answer.HEAD + number + 1)))
            await rest.have(count * (Answer.HEAD_TOKENS + each))
            cpu_s, _, _ = meter.read()
        for wire in wires:
            wire.close()
    return cpu_s / (count * each) * 1e6


class _Heard:
    """A worker that notes when it hears something."""

    def __init__(self) -> None:
        self.at: asyncio.Queue[float] = asyncio.Queue()
        #: Its handler was called: a cancel before that ends the run without it.
        self.begun = asyncio.Event()

    async def work(self, run: Run) -> None:
        kind = run.message.text if run.message else ""
        self.begun.set()
        if kind == _CANCEL:
            await run.wait_cancelled()
        elif kind == _STEER:
            await run.wait_steering()
        else:
            await run.tool("book", {}).approval()
        self.at.put_nowait(time.perf_counter())


@contextlib.asynccontextmanager
async def _serving(server: Server, folder: Path) -> AsyncIterator[tuple[Session, _Heard]]:
    heard = _Heard()
    url = f"http://127.0.0.1:{server.port}"
    agent = Agent("bench", server=url, token=server.mint("agent:bench"), store=folder / "agent.db", on_cancel="tell")
    agent.on_work(heard.work)
    serving = asyncio.create_task(agent.serve())
    try:
        async with Client(url, token=server.mint("user:bench"), store=folder / "person.db") as client:
            yield await client.open("control"), heard
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _control(bench: Bench) -> dict[str, list[float]]:
    """Return, by what was wanted, how long it took to the handler, in seconds."""
    found: dict[str, list[float]] = {_CANCEL: [], _STEER: [], _APPROVE: []}
    with tempfile.TemporaryDirectory(prefix="syncd-bench-") as folder:
        async with bench.server() as server, _serving(server, Path(folder)) as (session, heard):
            for turn in range(bench.size(_TURNS) * len(found)):
                kind = list(found)[turn % len(found)]
                found[kind].append(await _once(session, heard, kind))
    return found


async def _once(session: Session, heard: _Heard, kind: str) -> float:
    asked = await session.post(kind, to=["agent:bench"])
    wanted = "suspended" if kind == _APPROVE else "running"
    async with asyncio.timeout(30):

        def reached() -> tuple[str, str] | None:
            run = next((r for r in session.runs() if r.message == asked.id and r.status == wanted), None)
            if run is None or kind != _APPROVE:
                return (run.id, "") if run else None
            parts = [part for view in session.messages() if view.run == run.id for part in view.parts]
            calls = [str(part["tool_call"]) for part in parts if part.get("state") == "approval-requested"]
            return (run.id, calls[0]) if calls else None

        run, call = await session.watchers.until(reached, roots=(Root.RECEIPTS, Root.RUNS, Root.MESSAGES))
        await heard.begun.wait()
        heard.begun.clear()
        started = time.perf_counter()
        if kind == _CANCEL:
            await session.cancel(run=run)
        elif kind == _STEER:
            await session.steer("go on", run=run)
        else:
            await session.approve(call)
        return await heard.at.get() - started
