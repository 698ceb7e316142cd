"""Stage: a server, agents and people: all in this process, or the server and each agent in one of its own.

Every story ends with `curtain`: a fresh replica that loads the session from nothing sees what everybody else sees.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from syncd_client import Client, RunView, Session

from examples.server_process import ServerProcess
from syncd.core.ids import run_id
from syncd.core.messages import Layer
from syncd.core.schema import Root
from tests.e2e.stories import scripted_agent
from tests.harness import PATIENCE_S, Running, environment, meanwhile, mint, server_process, until

SESSION = "trip"


class Noting(Protocol):
    """The scripted agent, as far as it tells what it does."""

    def notes(self, word: str) -> Sequence[str]:
        """Return what it noted so far, of the lines that begin with `word`."""
        ...


class AgentTask:
    """The scripted agent in this process."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def notes(self, word: str) -> list[str]:
        """Return what it noted so far, of the lines that begin with `word`."""
        return [line for line in self.told if line.startswith(word)]


class AgentProcess:
    """The scripted agent, as often as it is started; every start is a new life."""

    def __init__(self, url: str, name: str, store: Path, settings: Mapping[str, Any]) -> None:
        self.subject = f"agent:{name}"
        self.log = store.with_suffix(".log")
        self._arguments = [url, mint(self.subject), name, str(store), json.dumps(dict(settings))]
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Self:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                scripted_agent.__file__,
                *self._arguments,
                env=environment(),
                stdout=log,
                stderr=log,
            )
        return self

    def notes(self, word: str) -> list[str]:
        """Return what it noted so far, of the lines that begin with `word`."""
        text = self.log.read_text() if self.log.exists() else ""
        return [line for line in text.splitlines() if line.startswith(word)]

    async def kill(self) -> None:
        """SIGKILL."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM, as an operator stops it; return when it has ended."""
        await self._end(signal.SIGTERM)

    def terminate(self) -> None:
        """SIGTERM, and go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """Return when it has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP, until `thaw`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self.ended()


class Stage:
    """What a story has: call `agent` and `person` for more of them. Agents live in this process."""

    def __init__(self, server: Running, place: Path, stack: AsyncExitStack) -> None:
        self.server = server
        self._place = place
        self._stack = stack
        self._count = 0
        self.people: list[Session] = []

    async def agent(self, name: str = "planner") -> Noting:
        """Have an agent serve from now on."""
        agent = AgentTask()
        url, token, store = self.server.url, mint(f"agent:{name}"), str(self._store(name))
        await self._stack.enter_async_context(
            meanwhile(scripted_agent.serve(url, token, name, store, {}, agent.told.append))
        )
        return agent

    async def person(
        self, name: str = "mona", *, url: str = "", token: str = "", store: str = "", session: str = SESSION
    ) -> Session:
        """Open a session on another device of somebody's."""
        path = self._store(name, store)
        client = Client(url or self.server.url, token=token or mint(f"user:{name}"), store=path)
        await self._stack.enter_async_context(client)
        opened = await client.open(session)
        self.people.append(opened)
        return opened

    def facts(self, session: Session, message: str, agent: str) -> list[dict[str, Any]]:
        """Return what the server decided about a message's run, in order."""
        replica = session.machine.document(Layer.TRANSCRIPT).replica
        facts: list[dict[str, Any]] = []
        while isinstance(fact := replica.read(Root.RECEIPTS, f"r:{run_id(message, agent)}.{len(facts)}"), dict):
            facts.append(fact)
        return facts

    def _store(self, name: str, store: str = "") -> Path:
        self._count += 1
        return self._place / f"{store or f'{name}-{self._count}'}.db"

    async def fresh(self) -> Session:
        """Open the session from nothing, live."""
        session = await self.person("fresh")
        self.people.remove(session)
        await until(lambda: session.status.live, "a fresh replica")
        return session

    async def curtain(self) -> Session:
        """Everybody sees the same in the end, and whoever comes then sees it too; return the newcomer."""
        for session in self.people:
            async with asyncio.timeout(PATIENCE_S):
                await session.synced()
        fresh = await self.fresh()
        for session in self.people:
            await until(lambda session=session: seen(session) == seen(fresh), "equal replicas")  # type: ignore[misc]
        return fresh


class ProcessStage(Stage):
    """A stage whose server and agents are processes of their own, to be killed, stopped and started."""

    server: ServerProcess

    async def agent(self, name: str = "planner", *, url: str = "", store: str = "", **settings: Any) -> AgentProcess:
        """Start an agent's process: with the same `store` another life of the same device."""
        process = AgentProcess(url or self.server.url, name, self._store(name, store), settings)
        self._stack.push_async_callback(process.kill)
        return await process.start()


def seen(session: Session) -> str:
    """What a session shows, as canonical JSON: messages, runs, commands."""
    shown = {
        "messages": [view.json() for view in session.messages()],
        "runs": [view.json() for view in session.runs()],
        "commands": session.commands(),
        "responsible": session.responsible,
    }
    return json.dumps(shown, sort_keys=True, ensure_ascii=False)


def answers(session: Session, run: RunView | str | None = None) -> list[str]:
    """The texts of what agents wrote that counts: of one run, or of all."""
    id = run.id if isinstance(run, RunView) else run
    return [
        view.text
        for view in session.messages()
        if view.run is not None and view.role == "assistant" and id in (None, view.run) and not session.superseded(view)
    ]


def numbers(count: int) -> str:
    """What `count` says in all."""
    return "".join(f"{number} " for number in range(1, count + 1))


async def ended(session: Session, message: str, *, within_s: float = PATIENCE_S) -> RunView:
    """Return the run of a message when it is over."""
    return await reached(session, message, "completed", "failed", "cancelled", within_s=within_s)


async def reached(session: Session, message: str, *statuses: str, within_s: float = PATIENCE_S) -> RunView:
    """Return the one run of a message when its status is one of these."""

    def find() -> RunView | None:
        runs = [run for run in session.runs() if run.message == message]
        return next((run for run in runs if run.status in statuses), None)

    found: RunView = await until(find, f"a run that is {' or '.join(statuses)}", within_s=within_s)
    return found


async def says(session: Session, text: str, *, within_s: float = PATIENCE_S) -> None:
    """Return when some answer that counts holds `text`."""
    await until(lambda: any(text in answer for answer in answers(session)), f"{text!r}", within_s=within_s)


@asynccontextmanager
async def stage(place: Path, **limits: float) -> AsyncIterator[ProcessStage]:
    """A stage with its server."""
    async with server_process(place / "server.db", limits=limits) as server, AsyncExitStack() as stack:
        yield ProcessStage(server, place, stack)
