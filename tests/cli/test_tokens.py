"""`syncd token` and `syncd key`."""

import jwt
import pytest

from syncd.cli.tokens import parse_ttl
from syncd.cli.trouble import Trouble
from syncd.server.auth import parse_keys
from tests.cli.terminal import SECRET, Terminal


def test_token_alone_on_standard_output(terminal: Terminal) -> None:
    """A script gets the token and nothing else; it says what was asked for."""
    terminal.setenv("SYNCD_KEYS", SECRET)
    ran = terminal.run(
        "token", "--sub", "user:mona", "--session", "trip-*=transcript,state", "--session", "x=", "--ttl", "10m"
    )
    claims = jwt.decode(ran.out.strip(), SECRET, algorithms=["HS256"], audience="syncd", issuer="syncd")

    assert ran.out == ran.out.strip() + "\n"
    assert claims["sub"] == "user:mona"
    assert claims["sessions"] == {"trip-*": ["state", "transcript"], "x": []}
    assert claims["exp"] - claims["iat"] == 600


def test_session_without_rights_is_a_members(terminal: Terminal) -> None:
    """Left out, the rights are all but admin."""
    terminal.setenv("SYNCD_KEYS", SECRET)
    ran = terminal.run("token", "--sub", "user:mona", "--session", "trip")
    claims = jwt.decode(ran.out.strip(), SECRET, algorithms=["HS256"], audience="syncd")

    assert claims["sessions"] == {"trip": ["command", "presence", "state", "transcript"]}


def test_without_keys(terminal: Terminal) -> None:
    """Nothing to sign with: it says both ways to go on."""
    ran = terminal.run("token", "--sub", "user:mona", "--session", "trip")

    assert ran.exit_code == 2
    assert "SYNCD_KEYS" in ran.err
    assert "--url" in ran.err


def test_token_that_no_server_would_take(terminal: Terminal) -> None:
    """A subject or a life that the server refuses is refused here already."""
    terminal.setenv("SYNCD_KEYS", SECRET)

    assert "subject" in terminal.run("token", "--sub", "mona", "--session", "trip").err
    assert "longer" in terminal.run("token", "--sub", "user:mona", "--session", "trip", "--ttl", "400d").err


def test_key_is_one(terminal: Terminal) -> None:
    """What `key` prints is accepted as a secret, and is another one each time."""
    first, second = (terminal.run("key").out.strip() for _ in range(2))

    assert first != second
    assert parse_keys(f"new:{first} old:{second}")


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5h", 5400), ("30m", 1800), ("7d", 604_800), ("60", 60)])
def test_ttl(text: str, seconds: float) -> None:
    """Durations as people write them."""
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "h", "1y", "-1h", "1h30m"])
def test_ttl_that_is_none(text: str) -> None:
    """What is no duration is refused."""
    with pytest.raises(Trouble):
        parse_ttl(text)
