"""How the log looks, and what is never in it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from syncd.server.logs import FORBIDDEN_FIELDS, configure
from tests.server.fakes import Running, running


@pytest.fixture(autouse=True)
def _restore_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """One object a line, the standard library's loggers included, on standard error only."""
    configure("json", "info")
    structlog.get_logger("syncd.test").info("hello", session="room")
    structlog.get_logger("syncd.test").debug("not this")
    logging.getLogger("aiohttp.server").warning("from %s", "elsewhere")
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in err.splitlines()]

    assert out == ""
    assert [line["event"] for line in lines] == ["hello", "from elsewhere"]
    assert (lines[0]["session"], lines[0]["level"]) == ("room", "info")
    assert "timestamp" in lines[0]


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_tokens_and_contents_are_not_logged(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    """A field that would hold one is replaced, and a traceback shows no variables."""
    configure("json" if log_format == "json" else "console", "info")
    log = structlog.get_logger("syncd.test")
    local_secret = "in a variable"
    try:
        raise ValueError("what went wrong")
    except ValueError:
        log.exception("oops", **dict.fromkeys(FORBIDDEN_FIELDS, "the secret"))
    err = capsys.readouterr().err

    assert "the secret" not in err
    assert local_secret not in err.replace('local_secret = "in a variable"', "")
    assert err.count("[not logged]") == len(FORBIDDEN_FIELDS)
    assert "what went wrong" in err


async def test_request_is_one_line_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Method, route, status, time and who; never the token, the text or the id."""
    async with running(tmp_path) as http:
        await http.sessions.create("private-room")
        configure("json", "info")
        token = http.token()
        await http.call(
            "POST", "/v1/sessions/private-room/messages?x=private-query", json={"text": "private words"}, token=token
        )
        err = capsys.readouterr().err
    lines = [json.loads(line) for line in err.splitlines()]

    assert len(lines) == 1
    assert (
        lines[0].items()
        >= {
            "event": "request",
            "method": "POST",
            "route": "/v1/sessions/{session}/messages",
            "status": 201,
            "subject": "user:mona",
        }.items()
    )
    assert lines[0]["jti"]
    assert lines[0]["ms"] >= 0
    assert "private" not in err
    assert token not in err


async def test_mistake_of_ours_is_logged_once(http: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """With its traceback, and the request's line after it."""
    await http.sessions.create("room")
    http.sessions.fail_with = RuntimeError("bug")
    configure("json", "info")
    await http.call("GET", "/v1/sessions/room")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [line["event"] for line in lines] == ["request failed", "request"]
    assert "RuntimeError: bug" in lines[0]["exception"]
    assert lines[1]["status"] == 500


async def test_who_is_gone_leaves_no_trace(http: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """A connection that was closed before its answer is nobody's mistake, and fills no log with tracebacks."""
    await http.sessions.create("room")
    http.sessions.fail_with = ConnectionResetError("gone")
    configure("json", "info")
    await http.call("GET", "/v1/sessions/room")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [(line["event"], line["status"]) for line in lines] == [("request", 400)]
