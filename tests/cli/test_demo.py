"""`syncd serve --demo` and its agents, as a new user meets them: on a terminal, with a server of their own."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Agent, Client, MessageView, Run, RunView, Session

from syncd.cli import demo_agents
from tests.cli.terminal import DEADLINE_S, ServerProcess, Terminal, wait_for
from tests.cli.test_chat import read_until
from tests.cli.test_screen import until


@pytest.fixture
async def mona(
    server: ServerProcess, room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    """Somebody in a session of her own, with the demo's agents, who think and speak faster than for people."""
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(demo_agents, "_WORD_S", 0.01)
    monkeypatch.setattr(demo_agents, "_THINK_S", 0.3)
    serving = asyncio.create_task(demo_agents.serve(server.url, tmp_path))
    async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
        yield await client.open(room)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def answers(session: Session, agent: str) -> list[MessageView]:
    """Return what an agent wrote that counts."""
    return [view for view in session.messages() if view.by == agent and not session.superseded(view)]


def run_of(session: Session, agent: str) -> RunView | None:
    """Return the newest run of an agent."""
    return next((run for run in reversed(session.runs()) if run.agent == agent), None)


def status_of(session: Session, agent: str) -> str:
    """Return how the newest run of an agent stands."""
    run = run_of(session, agent)
    return run.status if run is not None else ""


def waiting_call(session: Session) -> str:
    """Return the tool call that waits for a decision, empty if none does."""
    return next(
        (
            str(part["tool_call"])
            for view in session.messages()
            for part in view.parts
            if part.get("state") == "approval-requested"
        ),
        "",
    )


async def test_what_it_is_told_is_not_where_to(server: ServerProcess, room: str, tmp_path: Path) -> None:
    """Where to is what was asked, whatever is said meanwhile: a plan taken up again asks for the same hotel."""
    places: list[str] = []

    async def work(run: Run) -> None:
        places.append(demo_agents._place(run))
        await run.text("Well. ")
        await run.wait_steering()
        places.append(demo_agents._place(run))

    agent = Agent(f"traveller-{room}", server=server.url, store=tmp_path / "traveller.db")
    agent.on_work(work)
    serving = asyncio.create_task(agent.serve())
    async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open(room)
        await session.post("plan a week in Porto", to=[f"agent:traveller-{room}"])
        await until(lambda: len(places) == 1)
        await session.steer("more food", run=session.runs()[0].id)
        await until(lambda: len(places) == 2)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    assert places == ["Porto", "Porto"]


async def test_planner_is_steered_and_asks(mona: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is told changes the rest of its plan, and only that; it books nothing before somebody allows it."""
    say, heard = demo_agents._say, list[str]()

    async def waits_for_a_word(run: Run, text: str) -> None:
        heard.extend(["one"] if "(heard:" in text else [])
        if "Saturday" in text and not heard:
            await run._steering.wait()
        await say(run, text)

    monkeypatch.setattr(demo_agents, "_say", waits_for_a_word)
    await mona.post("@planner plan a week in Porto", to=["agent:planner"])
    await until(lambda: any("Friday" in view.text for view in answers(mona, "agent:planner")))
    command = await mona.steer("more food", run=mona.runs()[0].id)
    assert await command.consumed(timeout=DEADLINE_S)
    await until(lambda: waiting_call(mona) != "")
    steered = "".join(view.text for view in answers(mona, "agent:planner"))
    suspended = status_of(mona, "agent:planner")
    await mona.approve(waiting_call(mona))
    await until(lambda: status_of(mona, "agent:planner") == "completed")
    booked = "".join(view.text for view in answers(mona, "agent:planner"))

    before, _, after = steered.partition("(heard: more food)")
    assert "Porto" in before
    assert "sardines" not in before
    assert "sardines" in after
    assert "the long tram" not in after
    assert (suspended, "Booked" in steered, "mona said yes" in booked) == ("suspended", False, True)


async def test_two_agents_answer_at_once(mona: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both that a message addresses are at work at the same time; a denial is heard with its reason."""
    say, go_on = demo_agents._say, asyncio.Event()

    async def waits(run: Run, text: str) -> None:
        await go_on.wait()
        await say(run, text)

    monkeypatch.setattr(demo_agents, "_say", waits)
    await mona.post("plan Faro", to=["agent:planner", "agent:critic"])
    await until(
        lambda: {run.agent for run in mona.runs() if run.status == "running"} == {"agent:planner", "agent:critic"}
    )
    go_on.set()
    await until(lambda: status_of(mona, "agent:critic") == "completed" and waiting_call(mona) != "")
    await mona.deny(waiting_call(mona), "too dear")
    await until(lambda: status_of(mona, "agent:planner") == "completed")

    assert "too dear" in answers(mona, "agent:planner")[-1].text
    assert "doubts" in answers(mona, "agent:critic")[0].text


async def test_real_model_without_its_library_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key alone changes nothing: where the library is missing the script speaks, and where there is no key too."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert demo_agents._model("planner") is None
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key")
    monkeypatch.setitem(sys.modules, "openai", None)
    monkeypatch.setitem(sys.modules, "anthropic", None)
    assert demo_agents._model("planner") is None


class Library:
    """Stands in for a model's library: its client is called as that is, and says what it was told; then it fails."""

    class OpenAIError(Exception):
        """As the library's."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.AsyncOpenAI = lambda: self
        self.chat = self.completions = self

    async def create(self, **asked: Any) -> AsyncIterator[str]:
        """As `chat.completions.create`."""
        self.asked.append(asked)
        return self._stream(len(self.asked))

    async def _stream(self, number: int) -> AsyncIterator[str]:
        yield f"answer {number}"
        if number > 1:
            raise self.OpenAIError("out of credit")


async def test_real_model_speaks_where_there_is_one(mona: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key and its library the model is given the history and its words are the answer; if it fails, the script
    goes on."""
    library = Library()
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setitem(sys.modules, "openai", library)
    await mona.post("what may go wrong?", to=["agent:critic"])
    await until(lambda: status_of(mona, "agent:critic") == "completed")
    await mona.post("and else?", to=["agent:critic"])
    await until(lambda: len(mona.runs()) == 2 and status_of(mona, "agent:critic") == "completed")

    first, second = ("".join(view.text for view in mona.messages() if view.run == run.id) for run in mona.runs())
    assert first == "answer 1"
    assert "the model failed: OpenAIError" in second
    assert "doubts" in second
    assert [turn["role"] for turn in library.asked[1]["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_agents_end_with_their_server(number: signal.Signals, tmp_path: Path, terminal: Terminal) -> None:
    """However the server ends, its agents' process does not stay behind."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        wait_for(lambda: children(server.id) != [])
        (agents,) = children(server.id)
        server.signal(number)
        ended = server.ended()
        wait_for(lambda: not Path(f"/proc/{agents}").exists())

    assert ended.exit_code == (0 if number == signal.SIGTERM else -number)


async def test_killed_agents_are_started_again(tmp_path: Path, terminal: Terminal) -> None:
    """After a kill there is another process, and what is asked then is answered."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        await until(lambda: children(server.id) != [])
        (killed,) = children(server.id)
        os.kill(killed, signal.SIGKILL)
        async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
            session = await client.open("trip")
            await session.post("what may go wrong?", to=["agent:critic"])
            await until(lambda: status_of(session, "agent:critic") == "completed")
            assert children(server.id) != [killed]
        await asyncio.to_thread(server.terminate)


def test_new_user(tmp_path: Path, terminal: Terminal) -> None:
    """The two commands of the README: @planner is at work, is told something, waits for /approve, and says it heard."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server, chat(server.url) as screen:
        screen.type("@planner plan Lisbon\r")
        at_work = screen.until("at work")
        screen.until("Friday")
        screen.type("/steer more food\r")
        screen.until("(heard: more food)")
        waits = screen.until("waits for you")
        screen.type("/approve\r")
        screen.until("mona said yes")

    assert "/steer TEXT" in at_work  # What can be done is said where it can be done.
    assert "/approve" in waits


class Typing:
    """A chat on a terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""

    def type(self, keys: str) -> None:
        """Type."""
        self._shown = ""
        os.write(self._terminal, keys.encode())

    def until(self, expected: str) -> str:
        """Return what is written to the terminal since something was typed, once `expected` is among it."""
        if expected not in self._shown:  # Several things may have come at once.
            self._shown += read_until(self._terminal, expected)
        return self._shown


@contextmanager
def chat(url: str) -> Iterator[Typing]:
    """Open the demo's chat as mona, on a terminal."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", "chat", "demo", "--as", "mona", "--url", url],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**os.environ, "TERM": "xterm", "LINES": "40", "COLUMNS": "110"},
        start_new_session=True,
    )
    os.close(secondary)
    try:
        read_until(primary, "live")
        yield Typing(primary)
    finally:
        process.kill()
        process.wait()
        os.close(primary)


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
