"""Agents at work, as the terminal shows them: open runs, outcomes of commands, what does not count."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prompt_toolkit.formatted_text import fragment_list_to_text, to_formatted_text
from prompt_toolkit.input import PipeInput
from syncd_client import Agent, Client, Run, Session

from syncd.cli import paint
from syncd.cli.outcomes import Outcome, Outcomes
from syncd.cli.scroll import Transcript
from syncd.cli.slash import Slash
from syncd.cli.words import now_ms
from syncd.core.errors import SyncdError
from tests.cli.terminal import Process, ServerProcess, Terminal
from tests.cli.test_screen import keys, lines, note, shown, until
from tests.cli.test_tail import heard, read_to
from tests.harness import meanwhile

__all__ = ["keys"]  # The fixture.


async def work(run: Run) -> None:
    """Say what it is told, until it is told to book; then ask, and say what came of it."""
    await run.text("begun. ")
    while True:
        for steer in await run.wait_steering():
            if steer.text == "book":
                decision = await run.tool("book", {"line": 28}).approval()
                await run.text("booked" if decision.approved else f"not booked: {decision.reason}")
                return
            await run.text(f"{steer.text}! ")


@asynccontextmanager
async def served(
    server: ServerProcess, directory: Path, name: str, handler: Callable[[Run], Awaitable[None]] = work
) -> AsyncIterator[None]:
    """Have an agent served meanwhile."""
    agent = Agent(name, server=server.url, store=directory / f"{name}.db")
    agent.on_work(handler)
    async with meanwhile(agent.serve()):
        yield


def open_runs(session: Session) -> list[str]:
    """Return the lines about agents at work."""
    return [line.plain for line in paint.open_runs(session, now_ms())]


def on_screen(session: Session) -> str:
    """Return the transcript as it is shown."""
    transcript = Transcript(session.messages, Outcomes(session).of)
    return "\n".join(line.rstrip() for line in lines(transcript, 60))


def answered(session: Session, text: str) -> Callable[[], bool]:
    """Return whether some message ends in `text`."""
    return lambda: any(view.text.endswith(text) for view in session.messages())


async def test_a_run_from_question_to_answer(
    server: ServerProcess, room: str, terminal: Terminal, keys: PipeInput
) -> None:
    """@name asks; a line says who is at work and what it waits for; each command says what became of it."""
    name = f"worker-{room}"
    async with (
        Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client,
        served(server, terminal.home, name),
    ):
        session = await client.open(room)
        async with shown(session, keys) as screen:
            await until(lambda: session.status.live)
            keys.send_text(f"@{name} go\r")
            await until(answered(session, "begun. "))
            await until(lambda: session.runs()[0].status == "running" and not screen._buffer.text)
            working = fragment_list_to_text(to_formatted_text(screen._runs_text()))
            keys.send_text("/steer left\r")
            await until(lambda: "heard" in note(screen))
            steered = note(screen)
            keys.send_text("/steer book\r")
            await until(lambda: any("waits for you" in line for line in open_runs(session)))
            keys.send_text("/deny too dear\r")
            await until(answered(session, "not booked: too dear"))
            await until(lambda: "deny book: accepted" in note(screen) and not open_runs(session))
            denied = note(screen)
            keys.send_text("/runs\r")
            await until(lambda: "done" in note(screen))
            keys.send_text("/quit\r")

    assert session.messages()[0].to == (f"agent:{name}",)
    assert f"agent:{name} is at work" in working
    assert "for mona #1" in working
    assert f"“left” to agent:{name}: accepted\n“left” to agent:{name}: heard" in steered
    assert "deny book: accepted" in denied


async def test_second_of_two_is_told_who_was_first(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """What came too late, was asked for before, or means nothing, is said as that."""
    name = f"worker-{room}"
    async with (
        Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as mine,
        Client(server.url, token="dev:theo", store=terminal.home / "theo.db") as other,
        served(server, terminal.home, name),
    ):
        session, theirs = await mine.open(room), await other.open(room)
        slash, news = Slash(mine, session), list[str]()
        changes = session.changes()

        async def listen() -> None:
            async for change in changes:
                if (line := slash.sent.news(change)) is not None:
                    news.append(line.plain)

        listening = asyncio.create_task(listen())
        await session.post("go", to=[f"agent:{name}"])
        await until(answered(session, "begun. "))
        await slash.run("/steer book")
        await until(lambda: any("waits for you" in line for line in open_runs(theirs)))
        (call,) = [str(p["tool_call"]) for v in theirs.messages() for p in v.parts if p["type"] == "tool"]
        assert await (await theirs.approve(call)).outcome(timeout=10) == "accepted"
        await until(answered(session, "booked"))
        await until(lambda: session.runs()[0].ended)
        await slash.run(f"/deny {call} no")
        await slash.run("/approve no-such-call")
        await slash.run("/stop #2")
        await until(lambda: len(news) == 5)
        await slash.run("/stop #1")
        await until(lambda: len(news) == 6)
        listening.cancel()

    assert news == [
        f"“book” to agent:{name}: accepted",
        f"“book” to agent:{name}: heard",
        "deny book: too late, theo approved it",
        "approve no-such-call: not allowed, or there is no such thing",
        "stop #2: too late, it is completed",
        "stop #1: too late, it is completed",
    ]


async def test_stop_ends_all_or_one(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """/stop with a name ends that agent's work alone, without one whatever is at work; work that waits too."""
    names = f"one-{room}", f"two-{room}"
    async with (
        Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client,
        served(server, terminal.home, names[0]),
    ):
        session = await client.open(room)
        slash = Slash(client, session)
        await session.post("go", to=[f"agent:{name}" for name in (*names, "nobody")])
        await until(lambda: sorted(run.status for run in session.runs()) == ["queued", "queued", "running"])
        waiting = [line for line in open_runs(session) if "waits for a worker" in line]
        await slash.run(f"/stop @{names[1]}")
        await until(lambda: sorted(run.status for run in session.runs()) == ["cancelled", "queued", "running"])
        await slash.run("/stop")
        await until(lambda: all(run.status == "cancelled" for run in session.runs()))
        try:
            await slash.run("/stop")
        except SyncdError as error:
            said = str(error)

    assert len(waiting) == 2
    assert "nobody is at work" in said


async def test_how_a_run_ended_and_what_was_decided_stands_in_the_transcript(
    server: ServerProcess, room: str, terminal: Terminal
) -> None:
    """A failure without a word stands below the question, a stop below the answer; a decided call asks no more."""
    name = f"worker-{room}"

    async def fail(run: Run) -> None:
        raise ValueError("no key")

    async with (
        Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client,
        served(server, terminal.home, name),
        served(server, terminal.home, f"bad-{room}", fail),
    ):
        session = await client.open(room)
        slash = Slash(client, session)
        await session.post("one", to=[f"agent:bad-{room}"])
        await until(lambda: [run.status for run in session.runs()] == ["failed"])
        await session.post("two", to=[f"agent:{name}"])
        await until(answered(session, "begun. "))
        await slash.run("/steer book")
        await until(lambda: any("waits for you" in line for line in open_runs(session)))
        asking = on_screen(session)
        await slash.run("/approve")
        await until(answered(session, "booked"))
        await session.post("three", to=[f"agent:{name}"])
        await until(lambda: [view.text for view in session.messages()].count("begun. ") == 1)
        await slash.run("/stop")
        await until(lambda: [run.status for run in session.runs()] == ["failed", "completed", "cancelled"])
        shown_ = on_screen(session)

    assert "allow it?" in asking
    assert "allow it?" not in shown_
    assert "approved by mona" in shown_
    assert f"  one\n  ✖ agent:bad-{room} failed  ValueError: no key\n" in shown_
    assert f"  begun.\n  ■ agent:{name} was stopped by mona" in shown_


async def test_what_does_not_count_is_left_out(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """The transcript says that a replaced attempt was there, not what it said; a request is not an empty message."""
    async with Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client:
        session = await client.open(room)
        answer = await session.post("take the tram", role="assistant")
        await session.regenerate(answer.id, to="agent:nobody")
        request = session.messages()[-1]
    dropped: set[str] = set()
    transcript = Transcript(session.messages, lambda view: Outcome(superseded=view.id in dropped))
    before = "\n".join(lines(transcript, 20))
    dropped.add(answer.id)
    after = "\n".join(lines(transcript, 20))

    assert "take the tram" in before
    assert "take the tram" not in after
    assert "left out" in after
    assert "asks for another answer" in paint.to_lines(paint.message(request), 80, colours=False)[0]


async def test_tail_tells_of_runs(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """A line whenever a run stands otherwise than before, for people and as JSON; hand-overs too."""
    name = f"worker-{room}"
    async with Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client:
        session = await client.open(room)
        await (await session.post("hello")).synced()
        arguments = ["tail", room, "--as", "theo", "--url", server.url]
        with (
            Process(*arguments, "--json", "--store", str(terminal.home / "a.db")) as tail,
            Process(*arguments, "--store", str(terminal.home / "b.db")) as text,
        ):
            await heard(tail, "caught_up", live=True)
            printed: list[str] = []
            await read_to(text, printed, "hello")
            await session.post("go", to=[f"agent:{name}"])
            (queued,) = [e for e in await heard(tail, "run") if e["type"] == "run"]
            await read_to(text, printed, "waits for a worker")
            async with served(server, terminal.home, name):
                await heard(tail, "run", status="running")
                await read_to(text, printed, "is at work")
                await (await session.cancel(run=queued["id"])).outcome()
                cancelled = (await heard(tail, "run", status="cancelled"))[-1]
            await session.assign("user:theo", note="yours")
            assigned = (await heard(tail, "assigned"))[-1]
            await read_to(text, printed, "handed over")
            tail.signal(signal.SIGINT)
            await asyncio.to_thread(tail.ended)

    lines_ = "\n".join(printed)
    assert (queued["status"], queued["agent"], queued["attempt"]) == ("queued", f"agent:{name}", 0)
    assert (cancelled["id"], cancelled["cancelled_by"]) == (queued["id"], "user:mona")
    assert (assigned["to"], assigned["by"], assigned["note"]) == ("user:theo", "user:mona", "yours")
    assert lines_.index("waits for a worker") < lines_.index("is at work") < lines_.index("stopped")
    assert "mona handed over to theo: yours" in lines_


async def test_tail_tells_no_history_of_runs(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """On a device without a copy, and started again with one: messages first, then what is open, nothing that is over.

    What happens from then on is told.
    """
    async with Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client:
        session = await client.open(room)
        for text in ("over", "open"):
            await session.post(text, to=["agent:nobody"])
        over, open_ = session.messages()
        await (await session.cancel(message=over.id)).outcome()
        began = []
        for _ in range(2):
            arguments = ["tail", room, "--as", "theo", "--url", server.url, "--store", str(terminal.home / "t.db")]
            with Process(*arguments, "--json") as tail:
                found = await heard(tail, "caught_up", live=True)
                began.append([(e["type"], e.get("id")) for e in found if e["type"] in ("message", "command", "run")])
        with Process(*arguments, "--json") as tail:
            await heard(tail, "caught_up", live=True)
            await session.cancel(message=open_.id)
            ended = (await heard(tail, "run", status="cancelled"))[-1]
    (run,) = [run.id for run in session.runs() if run.message == open_.id]

    assert began == 2 * [[("message", over.id), ("message", open_.id), ("run", run)]]
    assert ended["id"] == run


async def test_without_a_link_it_is_as_last_heard(tmp_path: Path, room: str, terminal: Terminal) -> None:
    """An agent that was at work when the link ended is shown as what was last heard of it."""
    with ServerProcess(tmp_path / "s.db") as server:
        async with Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as client:
            session = await client.open(room)
            await session.post("go", to=["agent:nobody"])
            await until(lambda: any("/stop" in line for line in open_runs(session)))
            server.signal(signal.SIGTERM)
            await until(lambda: any("as last heard" in line for line in open_runs(session)))
