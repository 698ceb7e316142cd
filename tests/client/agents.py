"""What tests of agents are made of: an agent being served, a person beside it, work that is offered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from syncd_client import Agent, Client, Run, RunView, Session

from syncd.core.ids import run_id
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until

NOWHERE = "http://127.0.0.1:9"
PLANNER = "agent:planner"
Handler = Callable[[Run], Awaitable[None]]


@asynccontextmanager
async def serving_agent(
    place: Path, handler: Handler, *, concurrency: int = 8, name: str = "planner", store: str = "", **settings: Any
) -> AsyncIterator[asyncio.Task[None]]:
    """An agent that is served in a task of its own; leaving the block stops it."""
    agent = Agent(name, server=NOWHERE, store=place / (store or f"{name}.db"), **settings)
    agent.on_work(handler)
    task = asyncio.create_task(agent.serve(concurrency=concurrency))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def person(place: Path, name: str = "mona") -> AsyncIterator[Session]:
    """Somebody with the session open."""
    async with Client(NOWHERE, token=f"dev:user:{name}", store=place / f"{name}.db") as client:
        session = await client.open("s")
        await until(lambda: session.status.live)
        yield session


async def ask(fake: FakeServer, session: Session, text: str = "plan it") -> str:
    """Post to the planner and have the work offered; return the run's id."""
    message = await session.post(text, to=[PLANNER])
    await asyncio.wait_for(message.synced(), PATIENCE_S)
    run = run_id(message.id, PLANNER)
    fake.offer("s", run, message.id)
    return run


def status(session: Session, run: str) -> str:
    """Return a run's status, empty if it is not there yet."""
    view = session.run(run)
    return view.status if view is not None else ""


async def ended(session: Session, run: str) -> RunView:
    """Return the run when it is over."""

    def look() -> RunView | None:
        view = session.run(run)
        return view if view is not None and view.ended else None

    found: RunView = await until(look, "the end of the run")
    return found


async def failure(fake: FakeServer, session: Session) -> Mapping[str, str] | None:
    """Ask, wait until the run has failed, and return what it failed with."""
    run = await ask(fake, session)
    await until(lambda: status(session, run) == "failed")
    view = session.run(run)
    assert view is not None
    return view.error
