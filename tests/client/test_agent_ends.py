"""How an agent's program ends, and its runs with it: whatever cancels what, and whatever a handler raises."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from syncd_client import Agent, Client, LocalProtocolError, Run

from syncd.core.messages import Serve
from tests.client.agents import NOWHERE, PLANNER, ask, failure, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Half(Exception):
    code = "half \ud800"


def run_program(main: Callable[[], Awaitable[None]]) -> BaseException | None:
    """Run a program to its end, which must come; return what it raised."""
    raised: list[BaseException] = []

    async def program() -> None:
        await main()

    def run() -> None:
        try:
            asyncio.run(program())
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the program hangs"
    return raised[0] if raised else None


def agent_in(place: Path, handler: Callable[[Run], Awaitable[None]], name: str = "planner") -> Agent:
    agent = Agent(name, server=NOWHERE, store=place / f"{name}.db", busy="parallel")
    agent.on_work(handler)
    return agent


def test_a_program_whose_main_returns_ends_and_says_so(fake: FakeServer, tmp_path: Path) -> None:
    """All its tasks are cancelled at once; the last word and the end are on this disk, and on the server."""

    async def handler(run: Run) -> None:
        await run.text("so far")
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            await run.text(", and good-bye")

    runs: list[str] = []

    async def main() -> None:
        serving = asyncio.create_task(agent_in(tmp_path, handler).serve())
        async with person(tmp_path) as session:
            runs.append(await ask(fake, session))
            await until(lambda: session.messages()[-1].text == "so far")
        assert not serving.done()

    assert run_program(main) is None
    found = fake.session("s")
    assert (found.last[runs[0]]["lease"], found.last[runs[0]]["status"]) == ("ended", "failed")
    texts = [found.replica.read("messages", key, "parts", 0, "text") for key in found.replica.keys("messages")]
    assert "so far, and good-bye" in texts


def test_a_handler_that_ends_the_program_has_failed(fake: FakeServer, tmp_path: Path) -> None:
    """Its run is not begun again, to end the next program; the others end as abandoned, as when a worker stops."""

    async def handler(run: Run) -> None:
        await run.text("here")
        if run.message is not None and run.message.text == "exit":
            sys.exit(3)
        await asyncio.sleep(60)

    runs: list[str] = []

    async def main() -> None:
        async with person(tmp_path) as session:
            serving = asyncio.create_task(agent_in(tmp_path, handler).serve())
            runs.append(await ask(fake, session, "stay"))
            await until(lambda: session.messages()[-1].text == "here")
            runs.append(await ask(fake, session, "exit"))
            await serving

    ended = run_program(main)
    assert isinstance(ended, SystemExit)
    assert ended.code == 3
    found = fake.session("s")
    assert [found.last[run].get("status") for run in runs] == ["failed", "failed"]
    codes = [found.replica.read("runs", f"{run}_1", "error")["code"] for run in runs]
    assert codes == ["abandoned", "SystemExit"]


async def test_one_sigterm_drains_all_agents_of_a_program(fake: FakeServer, tmp_path: Path) -> None:
    """Each ends its run; a second one ends the waiting of those that are left."""
    release = asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text(f"{run.agent} is at it")
        if run.agent == PLANNER:
            await release.wait()
        else:
            await asyncio.sleep(60)

    planner, weather = serving_agent(tmp_path, handler), serving_agent(tmp_path, handler, name="weather")
    async with person(tmp_path) as session, planner as planning, weather as forecasting:
        await until(lambda: len([link for link in fake.links if link.worker]) == 2)
        message = await session.post("go", to=["agent:planner", "agent:weather"])
        await asyncio.wait_for(message.synced(), PATIENCE_S)
        runs = {run.agent: run.id for run in session.runs()}
        for agent, run in runs.items():
            fake.offer("s", run, message.id, agent=agent)
        await until(lambda: sum("is at it" in view.text for view in session.messages()) == 2)
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: all(link.frames(Serve)[-1].slots == 0 for link in fake.links if link.worker))
        release.set()
        await asyncio.wait_for(planning, PATIENCE_S)
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(forecasting, PATIENCE_S)
        await until(lambda: status(session, runs["agent:weather"]) == "failed")
        assert status(session, runs[PLANNER]) == "completed"
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unsayable(), {"code": "Unsayable", "message": "the error does not say what it is"}),
        (Half("x"), {"code": "half ?", "message": "x"}),
    ],
)
async def test_a_run_that_fails_unspeakably_is_over_all_the_same(
    fake: FakeServer, tmp_path: Path, error: Exception, expected: dict[str, str]
) -> None:
    """Left open it would block its session."""

    async def handler(run: Run) -> None:
        raise error

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        assert await failure(fake, session) == expected


async def test_a_handler_that_awaits_what_it_cancelled_was_not_abandoned(fake: FakeServer, tmp_path: Path) -> None:
    """Nothing stopped but the handler: `abandoned` would say that the worker did."""

    async def handler(run: Run) -> None:
        inner = asyncio.create_task(asyncio.sleep(60))
        inner.cancel()
        await inner

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        error = await failure(fake, session)
        assert error == {"code": "CancelledError", "message": "the handler awaited something that was cancelled"}


async def test_who_waits_for_a_command_is_told_that_its_client_was_closed(fake: FakeServer, tmp_path: Path) -> None:
    """Nothing will be heard of it there any more; also who asks only then."""

    async def handler(run: Run) -> None:
        await asyncio.sleep(60)

    async with serving_agent(tmp_path, handler):
        client = Client(NOWHERE, token="dev:user:mona", store=tmp_path / "m.db")
        async with client:
            session = await client.open("s")
            await until(lambda: session.status.live)
            run = await ask(fake, session)
            await until(lambda: status(session, run) == "running")
            command = await session.steer("hm", run=run)
            assert await command.outcome(timeout=PATIENCE_S) == "accepted"
            waiting = asyncio.create_task(command.consumed())
            await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="closed here"):
            await asyncio.wait_for(waiting, PATIENCE_S)
        with pytest.raises(LocalProtocolError, match="closed here"):
            await asyncio.wait_for(command.consumed(), PATIENCE_S)
