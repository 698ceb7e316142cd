"""The command as a whole: its help, its exit codes, its errors."""

import re
import subprocess
import sys

import pytest
import typer

from syncd import __version__
from syncd.cli.main import app
from tests.cli.terminal import Terminal

COMMANDS = sorted(
    command.name or command.callback.__name__  # type: ignore[union-attr]
    for command in app.registered_commands
)


def test_version_by_module() -> None:
    """`python -m syncd --version` prints the version."""
    ran = subprocess.run([sys.executable, "-m", "syncd", "--version"], capture_output=True, text=True, check=True)

    assert ran.stdout == f"syncd {__version__}\n"


def test_commands_are_those_of_the_design() -> None:
    """What can be done from a terminal."""
    assert COMMANDS == ["chat", "delete", "doctor", "export", "import", "key", "serve", "sessions", "tail", "token"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, terminal: Terminal) -> None:
    """The help says what a command does, explains every option, and shows one way to call it."""
    ran = terminal.run(command, "--help")

    assert ran.exit_code == 0
    assert re.search(rf"Examples?\s+.*syncd {command}\b", ran.out, re.DOTALL), ran.out
    made = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    assert [parameter.name for parameter in made.params if not parameter.help] == []
    assert all("\n" not in paragraph for paragraph in made.help.split("\n\n")), "lines break where they end"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["no-such-command"], "No such command"),
        (["chat"], "Missing argument"),
        (["chat", "no/id"], "not a session's id"),
        (["chat", "s", "--to", "planner"], "agent:planner"),
        (["tail", "s", "--url", "example.com"], "http://"),
        (["token", "--sub", "user:mona"], "--session"),
        (["token", "--sub", "user:mona", "--session", "s=fly"], "transcript"),
        (["token", "--sub", "user:mona", "--session", "s", "--ttl", "soon"], "90s"),
        (["serve", "--demo"], "SYNCD_KEYS"),
        (["serve", "--dev", "--host", "0.0.0.0"], "this machine"),
        (["delete", "s"], "--yes"),
    ],
)
def test_wrong_calls_exit_with_2(arguments: list[str], word: str, terminal: Terminal) -> None:
    """Whoever calls it wrongly is told what is right, and scripts can tell it from a failure."""
    ran = terminal.run(*arguments)

    assert ran.exit_code == 2
    assert word in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "arguments", [["sessions"], ["export", "s"], ["delete", "s", "--yes"], ["import", "FILE"], ["token", "--admin"]]
)
def test_no_server_is_a_sentence(arguments: list[str], terminal: Terminal) -> None:
    """A server that is not there is said in one line with the next step, and exits with 1."""
    (terminal.home / "FILE").write_text("{}")
    if arguments[0] == "token":
        arguments = [*arguments, "--sub", "user:mona"]
    ran = terminal.run(*arguments, "--url", "http://127.0.0.1:1")

    assert ran.exit_code == 1
    assert "syncd serve" in ran.err
    assert ran.err.count("\n") == 1


def test_file_that_is_not_there(terminal: Terminal) -> None:
    """A wrong path is said with the path."""
    ran = terminal.run("import", "no-such.json")

    assert (ran.exit_code, ran.err.startswith("syncd: no-such.json: ")) == (1, True)


def test_two_identities_are_refused(terminal: Terminal) -> None:
    """A token and a name would contradict each other."""
    terminal.setenv("SYNCD_TOKEN", "x")
    ran = terminal.run("tail", "s", "--as", "mona")

    assert (ran.exit_code, "--as" in ran.err) == (2, True)


def test_what_a_server_says_cannot_drive_the_terminal(terminal: Terminal) -> None:
    """An error that quotes others' words shows control characters as marks."""
    ran = terminal.run("delete", "\x1b]0;owned\x07", "--yes")

    assert ran.exit_code == 2
    assert "\x1b]0" not in ran.err
