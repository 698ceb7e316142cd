"""The chat's screen, with keys from a pipe: what it shows and what it writes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from prompt_toolkit.application import create_app_session
from prompt_toolkit.formatted_text import fragment_list_to_text, to_formatted_text
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput
from syncd_client import Client, Session

from syncd.cli.screen import Screen
from syncd.cli.scroll import Transcript
from syncd.core.errors import StorageFull
from tests.cli.terminal import DEADLINE_S, ServerProcess, Terminal


@pytest.fixture
def keys() -> Iterator[PipeInput]:
    """Somebody's keyboard."""
    with create_pipe_input() as pipe:
        yield pipe


@asynccontextmanager
async def shown(session: Session, keys: PipeInput) -> AsyncIterator[Screen]:
    """Show a chat; it must have left by itself at the end."""
    with create_app_session(input=keys, output=DummyOutput()):
        screen = Screen(session._client, session, to=(), dev=True)
        running = asyncio.create_task(screen.run())
        await until(lambda: screen.app.is_running)
        yield screen
        await asyncio.wait_for(running, DEADLINE_S)


async def until(condition: Callable[[], bool]) -> None:
    """Return when `condition` holds; fail if it does not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "this did not come about in time"
        await asyncio.sleep(0.01)


def status(screen: Screen) -> str:
    """Return the line at the bottom."""
    return fragment_list_to_text(to_formatted_text(screen._status_line()))


def note(screen: Screen) -> str:
    """Return what is shown above the line to type in."""
    return fragment_list_to_text(to_formatted_text(screen._note_text()))


def lines(transcript: Transcript, height: int) -> list[str]:
    """Return the lines of a transcript in a window of `height`."""
    content = transcript.create_content(60, height)
    return [fragment_list_to_text(content.get_line(number)).rstrip() for number in range(content.line_count)]


async def test_offline_chat(tmp_path: Path, keys: PipeInput) -> None:
    """Without a network messages are taken, marked, counted, and the badge says offline."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        async with shown(session, keys) as screen:
            keys.send_text("hello\r")
            await until(lambda: len(session.messages()) == 1 and not screen._buffer.text)
            keys.send_text("two\x1b\rlines\r")
            await until(lambda: len(session.messages()) == 2 and not screen._buffer.text)
            await until(lambda: "offline" in status(screen))
            bottom, transcript = status(screen), "\n".join(lines(screen._transcript, 20))
            keys.send_text("/quit\r")

    assert "2 edits not synced" in bottom
    assert transcript.count("not sent yet") == 2
    assert session.messages()[1].text == "two\nlines"


async def test_what_is_typed_while_a_message_is_saved_stays(
    tmp_path: Path, keys: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was sent leaves the line, however long the disk takes."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        post, disk = session.post, asyncio.Event()

        async def slow(*args: Any, **options: Any) -> Any:
            await disk.wait()
            return await post(*args, **options)

        monkeypatch.setattr(session, "post", slow)
        async with shown(session, keys) as screen:
            keys.send_text("hello\r")
            await until(lambda: screen._buffer.text == "hello")
            keys.send_text(" and more")
            await until(lambda: screen._buffer.text == "hello and more")
            disk.set()
            await until(lambda: len(session.messages()) == 1 and screen._buffer.text == " and more")
            keys.send_text("\x03")
            await until(lambda: not screen._buffer.text)
            keys.send_text("/quit\r")

    assert session.messages()[0].text == "hello"


async def test_slash_commands_and_slashes(tmp_path: Path, keys: PipeInput) -> None:
    """A line that begins with / is a command, with // a message; what fails keeps what was typed, Ctrl-C empties it."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        async with shown(session, keys) as screen:
            keys.send_text("/help\r")
            await until(lambda: "/search" in note(screen))
            keys.send_text("//etc\r")
            await until(lambda: len(session.messages()) == 1 and not screen._buffer.text)
            keys.send_text("/fly\r")
            await until(lambda: "no /fly" in note(screen))
            kept = screen._buffer.text
            keys.send_text("\x03")
            await until(lambda: not screen._buffer.text)
            keys.send_text("\x03")

    assert session.messages()[0].text == "/etc"
    assert kept == "/fly"


async def test_line_stays_when_the_disk_is_full(
    tmp_path: Path, keys: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that this disk did not take is still in the line, and it says why."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")

        async def full(*_: object, **__: object) -> None:
            raise StorageFull("no space left")

        monkeypatch.setattr(session, "post", full)
        async with shown(session, keys) as screen:
            keys.send_text("precious words\r")
            await until(lambda: "no space left" in note(screen))
            kept = screen._buffer.text
            keys.send_text("\x03\x04")

    assert kept == "precious words"


async def test_logs_do_not_spoil_the_screen(tmp_path: Path, keys: PipeInput, capfd: pytest.CaptureFixture[str]) -> None:
    """What libraries and the client log is shown above the line to type in, and never printed."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        async with shown(session, keys) as screen:
            structlog.get_logger("syncd.client").error("task_failed", task="one")
            first = note(screen)
            logging.getLogger("asyncio").error("never retrieved")
            second = note(screen)
            keys.send_text("\x04")

    assert "task_failed" in first
    assert "never retrieved" in second
    assert capfd.readouterr() == ("", "")


async def test_two_people_see_each_other(server: ServerProcess, room: str, terminal: Terminal, keys: PipeInput) -> None:
    """Who is here and who types is in the status line; what the other writes comes into the transcript."""
    async with (
        Client(server.url, token="dev:mona", store=terminal.home / "mona.db") as mine,
        Client(server.url, token="dev:theo", store=terminal.home / "theo.db") as other,
    ):
        session, theirs = await mine.open(room), await other.open(room)
        async with shown(session, keys) as screen:
            theirs.presence.update(status="typing")
            await until(lambda: "theo is typing" in status(screen))
            await theirs.post("hello \x1b[2Jmona")
            await until(lambda: any("mona" in line for line in lines(screen._transcript, 20)))
            keys.send_text("hi")
            typing = {"status": "typing", "activity": "active"}
            await until(lambda: any(e.state == typing for e in theirs.presence.everyone() if e.name == "mona"))
            keys.send_text("\r")
            await until(lambda: len(theirs.messages()) == 2)
            bottom = status(screen)
            keys.send_text("\x04")

    assert bottom.startswith("● live")


async def test_scrolling(tmp_path: Path) -> None:
    """The newest line is at the bottom; pages go back to the first message and no further; the end is one key away."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        session = await client.open("trip")
        for number in range(30):
            await session.post(f"message {number}")
        texts = [view.text for view in session.messages()]
        transcript = Transcript(session.messages)
        newest = lines(transcript, 10)
        for _ in range(50):
            transcript.scroll(1)
            oldest = lines(transcript, 10)
        transcript.to_end()
        again = lines(transcript, 10)

    assert newest[-1] == f"  {texts[-1]}"
    assert f"  {texts[0]}" in oldest
    assert len(oldest) == 10
    assert again == newest
