"""Command: what a sender learns of a request, with and without a link."""

import asyncio
import time
from pathlib import Path

import pytest
from syncd_client import Assigned, Client, CommandChanged, LocalProtocolError, RunChanged

from syncd.core.messages import Layer
from syncd.core.schema import Root
from tests.client.agents import NOWHERE, person
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until


@pytest.mark.parametrize("outcome", ["accepted", "duplicate", "late", "denied", "expired"])
async def test_the_outcome_is_the_receipts(fake: FakeServer, tmp_path: Path, outcome: str) -> None:
    """Whatever the server decided."""
    fake.outcomes["cancel"] = outcome
    async with person(tmp_path) as session:
        command = await session.cancel(run="r")
        assert await command.outcome(timeout=PATIENCE_S) == outcome
        assert command.receipt is not None
        assert await command.outcome() == outcome


async def test_an_offline_command_has_its_outcome_when_there_is_a_link(fake: FakeServer, tmp_path: Path) -> None:
    """Until then asking times out, and the command stands."""
    fake.up = False
    async with Client(NOWHERE, token="dev:user:mona", store=tmp_path / "m.db") as client:
        session = await client.open("s")
        command = await session.steer("by bus", message="m")
        with pytest.raises(TimeoutError):
            await command.outcome(timeout=0.01)
        fake.up = True
        client.retry()
        assert await command.outcome(timeout=PATIENCE_S) == "accepted"


async def test_each_verb_writes_its_command(fake: FakeServer, tmp_path: Path) -> None:
    """Kind, target and payload as the protocol names them."""
    fake.outcomes.update(cancel="accepted", approve="accepted", deny="accepted", tool_result="accepted")
    async with person(tmp_path) as session:
        commands = [
            await session.cancel(message="m"),
            await session.steer("x", run="r", interrupt=True),
            await session.approve("r-1", {"seat": 1}),
            await session.deny("r-1", "no"),
            await session.tool_result("r-1", [1]),
            await session.handoff("agent:other", run="r", note="yours"),
            await session.handoff("user:theo"),
            await session.assign("user:theo", note="please"),
        ]
        bodies = [fake.session("s").replica.read(Root.COMMANDS, command.id) for command in commands]
        await until(lambda: all(command.receipt for command in commands))
        bodies = [fake.session("s").replica.read(Root.COMMANDS, command.id) for command in commands]
        for body in bodies:
            del body["at"]
        assert bodies == [
            {"kind": "cancel", "message": "m"},
            {"kind": "steer", "run": "r", "payload": {"text": "x", "interrupt": True}},
            {"kind": "approve", "tool_call": "r-1", "payload": {"seat": 1}},
            {"kind": "deny", "tool_call": "r-1", "payload": {"reason": "no"}},
            {"kind": "tool_result", "tool_call": "r-1", "payload": [1]},
            {"kind": "handoff", "run": "r", "payload": {"to": "agent:other", "note": "yours"}},
            {"kind": "handoff", "session": "s", "payload": {"to": "user:theo"}},
            {"kind": "handoff", "session": "s", "payload": {"to": "user:theo", "note": "please"}},
        ]


async def test_a_command_names_one_target(fake: FakeServer, tmp_path: Path) -> None:
    """Neither none nor two; nothing is written."""
    async with person(tmp_path) as session:
        with pytest.raises(LocalProtocolError, match="one target"):
            await session.cancel()
        with pytest.raises(LocalProtocolError, match="one target"):
            await session.cancel(run="r", message="m")
        assert session.commands() == []


async def test_changes_tell_of_runs_and_of_who_is_responsible(fake: FakeServer, tmp_path: Path) -> None:
    """Of receipts, of what the agent writes, and of decisions on its calls."""
    async with person(tmp_path) as session:
        changes = session.changes()
        seen: list[object] = []

        async def follow() -> None:
            async for change in changes:
                if isinstance(change, RunChanged):
                    seen.append((change.run.id, change.run.status))
                elif isinstance(change, Assigned):
                    seen.append((change.to, change.note))
                elif isinstance(change, CommandChanged):
                    seen.append(change.command["kind"])

        task = asyncio.create_task(follow())
        fake.tell("s", "r", "queued", agent="agent:planner", by="user:mona")
        await until(lambda: ("r", "queued") in seen)
        fake.tell("s", "r", "live", attempt=1, since=1, worker="w")
        await until(lambda: ("r", "running") in seen)
        seen.clear()
        fake.write("s", "d:r-1_0", {"kind": "approve", "by": "user:theo", "command": "c", "at": 1})
        await until(lambda: seen == [("r", "running")])
        fake.write("s", "a:0", {"to": "user:theo", "by": "user:mona", "at": 1, "command": "c", "note": "n"})
        await until(lambda: ("user:theo", "n") in seen)
        assert session.responsible == "user:theo"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watcher_that_raises_stops_nobody(fake: FakeServer, tmp_path: Path) -> None:
    """The others are told, and the session goes on."""
    told: list[tuple[str, str]] = []
    async with person(tmp_path) as session:

        def broken(_: object) -> None:
            raise RuntimeError("mine")

        session.watchers.add(broken)
        remove = session.watchers.add(told.extend)
        await (await session.post("hi")).synced()
        await until(lambda: session.messages()[-1].seq)
        assert any(root == Root.MESSAGES for root, _ in told)
        remove()
        told.clear()
        await (await session.post("again")).synced()
        assert told == []


async def test_what_expires_does_so_by_the_servers_clock(fake: FakeServer, tmp_path: Path) -> None:
    """A device whose clock is slow may use it as all do: what it sends is not over before it is there."""
    fake.clock_s = time.time() + 300
    async with person(tmp_path) as session:
        command = await session.cancel(run="r", expires_in_s=60)
        message = await session.post("soon", expires_in_s=60)
        said = session.command_json(command.id)
        replica = session.machine.document(Layer.TRANSCRIPT).replica
        assert said is not None
        for expires_at in (said["expires_at"], replica.read(Root.MESSAGES, message.id, "expires_at")):
            assert isinstance(expires_at, int)
            assert fake.clock_s + 59 < expires_at / 1000 < fake.clock_s + 60 + PATIENCE_S
