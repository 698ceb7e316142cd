"""The commands of a chat, on a session without a network."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from syncd_client import Client, Session

from syncd.cli.paint import to_lines
from syncd.cli.slash import Slash
from syncd.core.errors import SyncdError
from syncd.core.messages import Layer
from syncd.core.run_writer import NewAttempt, put_attempt


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """A session on this disk."""
    async with Client("http://127.0.0.1:1", token="dev:mona", store=tmp_path / "mona.db") as client:
        yield await client.open("trip")


async def run(session: Session, line: str) -> str:
    """Run one line and return what is shown."""
    shown = await Slash(session._client, session).run(line)
    return "\n".join(to_lines(shown, 100, colours=False))


async def asks(session: Session, call: str) -> None:
    """Write a tool call of the run `call` that waits for an approval."""
    part = {"type": "tool", "id": "0", "tool_call": call, "state": "approval-requested"}
    await session.write_message(replace(session.draft(role="assistant"), run="call", attempt=1, parts=[part]))


async def test_every_command_is_in_the_help(session: Session) -> None:
    """/help names each command as it is written."""
    slash = Slash(session._client, session)
    shown = await run(session, "/help")

    for name, command in slash.commands.items():
        assert command.usage.startswith(f"/{name}")
        assert command.usage in shown


async def test_search_works_offline(session: Session) -> None:
    """What was said a moment ago is found, without a network."""
    await session.post("the tram to Graça")
    await session.post("something else")

    assert "the tram to Graça" in await run(session, "/search graca")
    assert "something else" not in await run(session, "/search graca")
    assert "nothing found" in await run(session, "/search no-such-word")


async def test_state_and_who(session: Session) -> None:
    """The shared state is shown as it is; who is here is not known without a link."""
    assert "nothing shared" in await run(session, "/state")
    session.state.map("plan")["city"] = "Lisbon"

    assert json.loads(await run(session, "/state")) == {"plan": {"city": "Lisbon"}}
    assert "no link" in await run(session, "/who")


async def test_commands_address_what_they_mean(session: Session) -> None:
    """stop, steer, approve, deny and handoff are written into the session, to be sent with everything else."""
    async with session.stream() as stream:
        await stream.text("a long answer")
        await stream.flush()
        await run(session, "/stop")
        await run(session, "/steer faster, please")
    session._edit(Layer.TRANSCRIPT, lambda replica: put_attempt(replica, NewAttempt("call", 1, "agent:planner", 1)))
    await asks(session, "call-1")
    await run(session, "/approve")
    await asks(session, "call-2")
    await run(session, "/deny call-1 too dear")
    await run(session, "/deny by far too dear")
    await run(session, "/handoff user:theo it is late")
    commands = {(c["kind"], c.get("message") or c.get("tool_call") or c.get("run")): c for c in session.commands()}

    assert commands.keys() == {
        ("cancel", stream.id),
        ("steer", stream.id),
        ("approve", "call-1"),
        ("deny", "call-1"),
        ("deny", "call-2"),
        ("handoff", None),
    }
    assert commands["steer", stream.id]["payload"] == {"text": "faster, please"}
    assert commands["deny", "call-1"]["payload"] == {"reason": "too dear"}
    assert commands["deny", "call-2"]["payload"] == {"reason": "by far too dear"}
    assert commands["handoff", None]["payload"] == {"to": "user:theo", "note": "it is late"}


@pytest.mark.parametrize(
    "line",
    [
        *(
            "/fly",
            "/search",
            "/steer",
            "/steer left",
            "/steer @planner",
            "/interrupt",
            "/stop",
            "/stop #9",
            "/stop critic",
        ),
        *("/approve", "/deny", "/handoff", "/handoff nobody", "/handoff @", "/export", "/"),
    ],
)
async def test_what_cannot_be_done_is_said(line: str, session: Session) -> None:
    """A command that lacks something says what; nothing is written."""
    with pytest.raises(SyncdError):
        await run(session, line)
    assert session.commands() == []


async def test_export_never_overwrites(session: Session, tmp_path: Path) -> None:
    """This copy becomes a file, of the format its ending says, unless there is one."""
    await session.post("hello")
    await run(session, f"/export {tmp_path / 'trip.md'}")
    await run(session, f"/export {tmp_path / 'trip.json'}")
    with pytest.raises(SyncdError, match="exists"):
        await run(session, f"/export {tmp_path / 'trip.md'}")

    assert "hello" in (tmp_path / "trip.md").read_text()
    assert json.loads((tmp_path / "trip.json").read_text())["messages"][0]["parts"][0]["text"] == "hello"
