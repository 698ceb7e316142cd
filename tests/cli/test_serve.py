"""`syncd serve` as a process: its greeting, its stores, its end."""

import json
import signal
import sqlite3
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import syncd
from tests.cli.terminal import SECRET, Process, ServerProcess, Terminal, wait_for


def get(url: str) -> Any:
    """Return the JSON behind a URL."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(number: signal.Signals, tmp_path: Path, terminal: Terminal) -> None:
    """SIGTERM and Ctrl-C end it with 0, the write-ahead log folded into the store."""
    with ServerProcess(tmp_path / "s.db") as server:
        assert get(server.url + "/readyz") == {"status": "ready"}
        server.signal(number)
        ended = server.ended()

    assert (ended.exit_code, ended.err) == (0, "")
    assert not (tmp_path / "s.db-wal").exists()


def test_greeting_says_what_to_do_next(tmp_path: Path, terminal: Terminal) -> None:
    """The first line holds the URL; store, next commands and the loud banner follow."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        server.signal(signal.SIGTERM)
        ended = server.ended()

    word, where = ended.out.splitlines()[0].split()[:2]
    assert word == "open"
    assert where.startswith(server.url)
    assert str(tmp_path / "s.db") in ended.out
    assert f"syncd chat demo --as mona --url {server.url}" in ended.out
    assert "DEVELOPMENT MODE" in ended.out


@pytest.mark.parametrize(("option", "opened"), [("--open", True), ("--no-open", False), (None, False)])
def test_browser_is_opened_when_asked_to(
    option: str | None, opened: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    """On the demo's session, where there is a console; left out, only on a terminal, which a test's pipe is not."""
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "index.html").write_text("<!doctype html>", encoding="utf-8")
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    arguments = ["--demo", *([option] if option else [])]
    with ServerProcess(tmp_path / "s.db", *arguments, SYNCD_CONSOLE=str(tmp_path / "console")) as server:
        if opened:
            wait_for(lambda: seen.exists() and seen.read_text(encoding="utf-8") != "")
        server.terminate()

    assert seen.exists() == opened
    if opened:
        assert seen.read_text(encoding="utf-8") == f"{server.url}/s/demo\n"


def test_the_console_is_told_of_the_demo(tmp_path: Path, terminal: Terminal) -> None:
    """So that it begins there."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        told = {"dev": True, "demo": "demo", "version": syncd.__version__, "push": True}
        assert get(server.url + "/v1/console") == told


def test_demo_is_written_once(tmp_path: Path, terminal: Terminal) -> None:
    """The demo has two speakers and shared state, and a second start leaves it as it is."""
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        first = get(server.url + "/v1/sessions/demo")
        server.signal(signal.SIGTERM)
        assert server.ended().exit_code == 0
    with ServerProcess(tmp_path / "s.db", "--demo") as server:
        again = get(server.url + "/v1/sessions/demo")

    assert again == first
    assert [message["by"] for message in first["messages"]] == ["user:mona", "agent:planner"] * 2
    assert set(first["state"]) == {"document", "plan", "session", "todo"}


def test_store_held_by_another_server(server: ServerProcess, terminal: Terminal) -> None:
    """The second server names the process that holds the store, and exits with 1."""
    ran = terminal.run("serve", "--dev", "--port", "0", "--store", str(server.store))

    assert ran.exit_code == 1
    assert "held by process" in ran.err
    assert "Traceback" not in ran.err


def test_port_in_use(server: ServerProcess, terminal: Terminal) -> None:
    """A port that is taken is said, with the option that chooses another."""
    ran = terminal.run("serve", "--dev", "--port", str(server.port), "--store", "other.db", "--log-level", "error")

    assert (ran.exit_code, "--port" in ran.err) == (1, True)


def test_store_of_a_newer_version(terminal: Terminal) -> None:
    """A store that a newer syncd wrote is left alone."""
    make_store(terminal.home / "s.db", "PRAGMA user_version = 99")
    ran = terminal.run("serve", "--dev", "--port", "0", "--store", "s.db")

    assert (ran.exit_code, "newer" in ran.err) == (1, True)


def test_store_that_is_none(terminal: Terminal) -> None:
    """A file that is no database is not touched."""
    (terminal.home / "s.db").write_text("my diary, " * 1000)
    ran = terminal.run("serve", "--dev", "--port", "0", "--store", "s.db")

    assert (ran.exit_code, "not a database" in ran.err) == (1, True)
    assert (terminal.home / "s.db").read_text().startswith("my diary")


def test_keys_are_checked(tmp_path: Path, terminal: Terminal) -> None:
    """With keys there is no development mode: who has no token is told how to get one."""
    with Process(
        "serve", "--port", "0", "--store", str(tmp_path / "s.db"), SYNCD_KEYS=SECRET, SYNCD_LOG_LEVEL="error"
    ) as server:
        url = server.line().split()[-1]
        refused = terminal.run("sessions", "--url", url)
        terminal.setenv("SYNCD_KEYS", SECRET)
        token = terminal.run("token", "--sub", "user:mona", "--admin").out.strip()
        terminal.setenv("SYNCD_TOKEN", token)
        allowed = terminal.run("sessions", "--url", url)
        minted = terminal.run("token", "--sub", "user:theo", "--session", "s", "--url", url)

    assert (refused.exit_code, "syncd token" in refused.err) == (1, True)
    assert allowed.exit_code == 0
    assert minted.out.count(".") == 2


def make_store(path: Path, *statements: str) -> None:
    """Make a server's store, then do something to it behind its back."""
    import asyncio

    from syncd.store.session_log import SqliteSessionLog

    async def make() -> None:
        log = SqliteSessionLog(path)
        await log.open()
        await log.close()

    asyncio.run(make())
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()
