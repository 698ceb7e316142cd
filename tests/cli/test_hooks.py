"""`syncd hooks`: what would be told, what was, and dead letters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.cli.hooks import hooks
from syncd.server.hooks.config import HooksConfig
from tests.cli.terminal import ServerProcess, Terminal

NAMES = sorted(command.name or "" for command in hooks.registered_commands)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_what_it_does(name: str, terminal: Terminal) -> None:
    """And the page has it."""
    ran = terminal.run("hooks", name, "--help")
    page = (Path(__file__).parents[2] / "docs/terminal.md").read_text(encoding="utf-8")

    assert ran.exit_code == 0
    assert f"hooks {name}" in page


def test_what_would_be_told_is_shown(terminal: Terminal, server: ServerProcess) -> None:
    """With why, for each rule."""
    put_rule(server.url, "boss", {"on": ["run.ended"], "channel": "webhook", "target": "none"}, refused=True)
    data = '{"run": "r", "agent": "agent:a", "attempt": 1, "status": "failed"}'
    ran = terminal.run("hooks", "test", "--type", "run.ended", "--data", data, "--url", server.url)

    assert ran.out.splitlines() == ["run.ended in test", "  there are no rules"]
    assert terminal.run("hooks", "log", "--url", server.url).out == "nothing\n"
    assert terminal.run("hooks", "dead", "--url", server.url).out == "nothing\n"


def test_nothing_to_send_again_is_said(terminal: Terminal, server: ServerProcess) -> None:
    """With where to look: the name may be another one."""
    ran = terminal.run("hooks", "replay", "--target", "cmr", "--url", server.url)

    assert ran.exit_code == 0
    assert ran.out == "0 to be sent again: no dead letter is named so, syncd hooks dead lists them\n"


@pytest.mark.parametrize(
    "arguments",
    [("test",), ("test", "evt_1", "--type", "run.ended"), ("test", "--type", "run.ended", "--data", "{"), ("replay",)],
)
def test_what_is_called_wrongly_is_said(arguments: tuple[str, ...], terminal: Terminal) -> None:
    """Before anything is sent."""
    assert terminal.run("hooks", *arguments).exit_code == 2


def test_a_key_is_one(terminal: Terminal) -> None:
    """What `hooks key` prints can stand in the configuration, and is another one each time."""
    first, second = (terminal.run("hooks", "key").out.strip() for _ in range(2))
    target = {"name": "a", "channel": "webhook", "url": "https://example.com/", "secrets": [first, second]}

    assert first != second
    config = HooksConfig.model_validate({"targets": [target]})
    assert [len(secret) for secret in config.make_targets()["a"][0].secrets] == [32, 32]


def put_rule(url: str, name: str, rule: dict[str, object], *, refused: bool) -> None:
    """Put a rule over REST, in a process of its own: this one has no loop."""
    program = (
        "import json,sys,urllib.request as u\n"
        "r=u.Request(sys.argv[1],sys.argv[2].encode(),{'Content-Type':'application/json'},method='PUT')\n"
        "try: u.urlopen(r); print(200)\n"
        "except u.HTTPError as e: print(e.code)\n"
    )
    body = json.dumps({"name": name, **rule})
    ran = subprocess.run(
        [sys.executable, "-c", program, f"{url}/v1/hooks/rules/{name}", body],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == ("422" if refused else "200")
