"""`syncd chat` as a process: from a pipe, without a network, killed, and with a screen."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from examples.server_process import free_port
from tests.cli.terminal import DEADLINE_S, Process, ServerProcess, Terminal


def texts(terminal: Terminal, url: str, session: str) -> list[str]:
    """Return what the server holds, in its order."""
    ran = terminal.run("export", session, "--url", url)
    return [message["parts"][0]["text"] for message in json.loads(ran.out)["messages"]]


def test_lines_become_messages(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """Every line is posted as it is, a blank one is not, and the command ends once all are on the server."""
    ran = terminal.run("chat", room, "--as", "ci", "--url", server.url, lines="built\n\n/etc is fine \x1b[2J\n")

    assert (ran.exit_code, ran.err) == (0, "")
    assert "#1  built\n#2  /etc is fine" in ran.out
    assert "\x1b" not in ran.out
    assert texts(terminal, server.url, room) == ["built", "/etc is fine \x1b[2J"]


def test_addressed_lines(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """--to names whom every message addresses."""
    terminal.run("chat", room, "--as", "ci", "--to", "agent:planner", "--url", server.url, lines="plan it\n")
    ran = terminal.run("export", room, "--url", server.url)

    assert json.loads(ran.out)["messages"][0]["to"] == ["agent:planner"]


def test_offline_is_said_and_nothing_is_lost(terminal: Terminal) -> None:
    """Without a server the lines are kept; --wait 0 takes that for success, waiting in vain does not."""
    quick = terminal.run("chat", "ops", "--store", "ci.db", "--url", "http://127.0.0.1:1", "--wait", "0", lines="one\n")
    waited = terminal.run(
        "chat", "ops", "--store", "ci.db", "--url", "http://127.0.0.1:1", "--wait", "0.2", lines="two\n"
    )

    assert (quick.exit_code, quick.out) == (0, "saved  one\n")
    assert waited.exit_code == 1
    assert "2 edits not synced" in waited.err
    assert "ci.db" in waited.err


def test_refusal_is_said_at_once(tmp_path: Path, terminal: Terminal) -> None:
    """A server that wants a token says so; the command does not wait for it to change its mind."""
    keys = {"SYNCD_KEYS": "a-secret-of-at-least-thirty-two-bytes", "SYNCD_LOG_LEVEL": "error"}
    with Process("serve", "--port", "0", "--store", str(tmp_path / "s.db"), **keys) as server:
        url = server.line().split()[-1]
        started = time.monotonic()
        ran = terminal.run("chat", "ops", "--as", "ci", "--url", url, "--wait", "60", lines="one\n")

    assert time.monotonic() - started < 30
    assert ran.exit_code == 1
    assert "SYNCD_TOKEN" in ran.err


def test_posted_offline_and_killed_arrives_once(tmp_path: Path, terminal: Terminal) -> None:
    """The server is down, a message is posted, the process is killed: the next start brings it to the server, once."""
    port = free_port()
    with ServerProcess(tmp_path / "s.db", port=port) as first:
        terminal.run("chat", "trip", "--as", "mona", "--url", first.url, "--store", "m.db", lines="before\n")
    arguments = ["chat", "trip", "--as", "mona", "--url", f"http://127.0.0.1:{port}", "--store", "m.db"]
    with Process(*arguments) as chat:
        chat.write("written on the train")
        assert chat.line() == "saved  written on the train"
        chat.signal(signal.SIGKILL)
        assert chat.ended().exit_code == -signal.SIGKILL
    with ServerProcess(tmp_path / "s.db", port=port) as second:
        for _ in range(2):
            ran = terminal.run(*arguments, lines="after\n")
            assert ran.exit_code == 0

        assert sorted(texts(terminal, second.url, "trip")) == ["after", "after", "before", "written on the train"]


def test_screen_in_a_terminal(server: ServerProcess, room: str, terminal: Terminal) -> None:
    """On a terminal it shows the transcript, takes a message, searches, and leaves with 0 at /quit."""
    terminal.run("chat", room, "--as", "theo", "--url", server.url, lines="hello from theo\n")
    primary, secondary = pty.openpty()
    arguments = ["chat", room, "--as", "mona", "--url", server.url]
    environment = {**os.environ, "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    process = subprocess.Popen(
        [sys.executable, "-m", "syncd", *arguments],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env=environment,
        start_new_session=True,
    )
    os.close(secondary)
    try:
        shown = read_until(primary, "hello from theo")
        os.write(primary, b"hello from mona\r")
        shown += read_until(primary, "#2")
        os.write(primary, b"/quit\r")
        assert process.wait(timeout=DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(primary)

    assert "● live" in shown
    assert texts(terminal, server.url, room) == ["hello from theo", "hello from mona"]


def read_until(descriptor: int, expected: str) -> str:
    """Return what a terminal was sent until `expected` was among it, escape sequences taken out."""
    seen = b""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace"))
        if expected in text:
            return text
        assert time.monotonic() < deadline, text
        if select.select([descriptor], [], [], 0.2)[0]:
            chunk = os.read(descriptor, 1 << 16)
            seen += chunk
            if b"\x1b[6n" in chunk:
                os.write(descriptor, b"\x1b[1;1R")  # The screen asks where the cursor is, as it would a real terminal.
