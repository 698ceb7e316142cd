"""`syncd tail`: history, what streams, who comes and goes."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from syncd_client import Client

from tests.cli.terminal import Process, ServerProcess, Terminal


async def heard(tail: Process, until: str, **fields: Any) -> list[dict[str, Any]]:
    """Return what `events` does, while this test's own client goes on."""
    return await asyncio.to_thread(lambda: events(tail, until, **fields))


async def read_to(tail: Process, lines: list[str], *words: str) -> None:
    """Add lines up to the first that holds one of `words`."""
    while not any(word in line for word in words for line in lines):
        lines.append(await asyncio.to_thread(tail.line))


def events(tail: Process, until: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the events up to the first of type `until` that has these fields."""
    found = []
    while True:
        found.append(json.loads(tail.line()))
        if found[-1]["type"] == until and found[-1] | fields == found[-1]:
            return found


async def test_json_follows_a_stream(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """History first, then live: an answer as it is written, state, presence; the deltas make up the whole."""
    async with Client(server.url, token="dev:agent:planner", store=terminal.home / "planner.db") as client:
        session = await client.open(room)
        for number in range(3):
            await (await session.post(f"message {number}")).synced()
        with Process("tail", room, "--as", "mona", "--url", server.url, "-n", "2", "--json") as tail:
            begin = await heard(tail, "caught_up", live=True)
            async with session.stream() as stream:
                for number in range(20):
                    await stream.text(f"token {number} ")
                    await stream.flush()
            streamed = await heard(tail, "message", streaming=False)
            session.state.map("plan")["city"] = "Lisbon"
            state = (await heard(tail, "state"))[-1]
            session.presence.update(status="typing")
            presence = (await heard(tail, "presence", state={"status": "typing"}))[-1]
            tail.signal(signal.SIGINT)
            ended = await asyncio.to_thread(tail.ended)

    assert [event["text"] for event in begin if event["type"] == "message"] == ["message 1", "message 2"]
    whole = "".join(f"token {number} " for number in range(20))
    first, *_, last = [event for event in streamed if event["type"] == "message"]
    assert last["text"] == whole
    assert first["text"] + "".join(event["text"] for event in streamed if event["type"] == "delta") == whole
    assert (state["name"], state["key"], state["value"]) == ("plan", "city", "Lisbon")
    assert presence["subject"] == "agent:planner"
    assert (ended.exit_code, ended.err.count("Traceback")) == (130, 0)


async def test_lines_for_people(tmp_path: Path, room: str, terminal: Terminal) -> None:
    """A line for each thing, none of it able to drive the terminal; the link's state is among them."""
    with ServerProcess(tmp_path / "s.db") as server:
        async with Client(server.url, token="dev:theo\u202eevil", store=terminal.home / "theo.db") as client:
            session = await client.open(room)
            await (await session.post("hello \x1b[2J\u202edlrow\nsecond line")).synced()
            with Process("tail", room, "--as", "mona", "--url", server.url) as tail:
                lines: list[str] = []
                await read_to(tail, lines, "second line")
                session.state.list("todo").append("taxi")
                await read_to(tail, lines, "taxi")
                server.signal(signal.SIGTERM)
                await read_to(tail, lines, "◐ reconnecting", "○ offline")

    shown = "\n".join(lines)
    assert "hello \N{REPLACEMENT CHARACTER}[2Jdlrow\n  second line" in shown
    assert "● live" in shown
    assert 'todo = ["taxi"]' in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_reader_that_has_enough(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """`syncd tail | head -1` ends without a word when the pipe is closed."""
    terminal.run("chat", room, "--as", "theo", "--url", server.url, lines="one\n")
    with Process("tail", room, "--as", "mona", "--url", server.url, "--json") as tail:
        events(tail, "caught_up", live=True)
        tail.close_output()
        terminal.run("chat", room, "--as", "theo", "--url", server.url, lines="two\n")
        ended = tail.ended()

    assert (ended.exit_code, ended.err) == (1, "")


def test_refused_tail_ends(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """A token that the server does not take ends it with a sentence."""
    terminal.setenv("SYNCD_TOKEN", "no-token")
    ran = terminal.run("tail", room, "--url", server.url)

    assert ran.exit_code == 1
    assert "syncd token" in ran.err
