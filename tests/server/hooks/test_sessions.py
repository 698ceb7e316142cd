"""Hooks over real sessions: people who are there by real clients, agents that work, and what they are told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from syncd_client import Client, Run

from syncd.server.app import Server
from syncd.server.hooks.channel import Notice
from tests.client.agents import PLANNER
from tests.client.test_agent_on_server import ask, person, planner
from tests.harness import make_server, mint, until

MONA, THEO = "user:mona", "user:theo"


class Told:
    """Whom the server's function was told for, and of what."""

    def __init__(self, server: Server) -> None:
        self.notices: list[Notice] = []
        self.server = server

    async def __call__(self, notice: Notice) -> None:
        self.notices.append(notice)

    def of(self, type: str) -> list[str]:
        """Return the persons who were told of a type of event."""
        return [notice.subject for notice in self.notices if notice.type == type]

    async def quiet(self) -> None:
        """Wait until all that happened was judged and told."""
        hooks = self.server.services.hooks
        assert hooks is not None
        last = await hooks.log.last_event()
        await until(lambda: hooks.cursor >= last and not hooks.pending, "the notices")


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    """A server that tells of messages and of runs."""
    (tmp_path / "phone").mkdir()
    server = make_server(tmp_path / "syncd.db", limits={"presence_grace_s": 0.2})
    told = Told(server)

    async def hear(notice: Notice) -> None:
        await told(notice)

    for name, types, whom in (
        ("messages", ["message.created"], ["participants"]),
        ("ends", ["run.ended"], ["asker"]),
        ("asks", ["approval.requested"], ["asker"]),
        ("comings", ["participant.*", "agent.offline"], ["user:boss"]),
    ):
        server.on(*types, name=name, whom=whom)(hear)
    await server.start()
    try:
        yield told
    finally:
        await server.stop()


async def test_who_looks_is_not_told_and_who_is_away_is(told: Told, tmp_path: Path) -> None:
    """By what clients say: active and idle look, hidden does not; on one device is enough; gone is gone."""
    url = told.server.url
    async with person(url, tmp_path, "theo") as theo:
        await theo.post("from theo")
        async with person(url, tmp_path) as mona:
            await mona.post("hello")
            await theo.synced()
            await mona.synced()
            await told.quiet()
            theo.set_activity("hidden")
            mona.set_activity("active")
            await told.quiet()
            told.notices.clear()

            await until(lambda: watching(told.server, MONA), "Mona's looking")
            async with Client(url, token=mint(PLANNER), store=tmp_path / "planner.db") as agent:
                session = await agent.open("s")
                await session.post("news")
                await session.synced()
                await told.quiet()
                assert told.of("message.created") == [THEO]

                async with person(url, tmp_path / "phone", "theo") as phone:
                    phone.set_activity("idle")
                    await until(lambda: watching(told.server, THEO), "Theo's looking")
                    await session.post("more news")
                    await session.synced()
                    await told.quiet()
                    assert told.of("message.created") == [THEO]


async def test_who_asked_is_told_when_it_is_done_and_when_they_are_needed(told: Told, tmp_path: Path) -> None:
    """An approval that waits, and the end of the run: who asked, and nobody else."""

    async def handler(run: Run) -> None:
        await run.text("Thinking. ")
        decision = await run.tool("book_flight", {"to": "LIS"}).approval(timeout="2d")
        await run.text("Booked." if decision.approved else "Not booked.")

    url = told.server.url
    async with planner(url, tmp_path, handler), person(url, tmp_path) as mona:
        run = await ask(mona)
        await until(lambda: told.of("approval.requested"), "the request")
        async with person(url, tmp_path, "theo") as theo:
            await until(lambda: len(theo.messages()) == 2)
            await theo.approve(f"{run}-1_0")
            await theo.synced()
        await until(lambda: told.of("run.ended"), "the end")

    assert told.of("approval.requested") == [MONA]
    assert told.of("run.ended") == [MONA]
    end = next(notice for notice in told.notices if notice.type == "run.ended")
    assert (end.title, end.text) == ("planner is done", "in s")
    assert end.path.startswith("/s/s?m=")


async def test_comings_and_goings_are_told(told: Told, tmp_path: Path) -> None:
    """Once for a person, whatever the number of devices; a reload within the grace is no leave."""
    url = told.server.url
    async with person(url, tmp_path) as first:
        first.set_activity("active")
        await until(lambda: told.of("participant.joined"), "the coming")
        async with person(url, tmp_path / "phone") as second:
            second.set_activity("active")
            await second.synced()
    await until(lambda: told.of("participant.left"), "the leave")
    mine = [n.type for n in told.notices if n.type.startswith("participant.") and n.events[0]["by"] == MONA]

    assert mine.count("participant.joined") == 1
    assert mine[-1] == "participant.left"


async def test_an_agent_that_is_gone_is_said_once(told: Told, tmp_path: Path) -> None:
    """Where it was connected and has a run that is not over it is news once, not for each."""

    async def handler(run: Run) -> None:
        await run.text("Thinking.")
        await run.tool("book_flight", {"to": "LIS"}).approval(timeout="2d")

    url = told.server.url
    async with person(url, tmp_path) as mona:
        async with planner(url, tmp_path, handler):
            await ask(mona)
            await until(lambda: told.of("approval.requested"), "the request")
        await until(lambda: told.of("agent.offline"), "the loss")
        await asyncio.sleep(1.5)
        await told.quiet()
    assert [notice.session for notice in told.notices if notice.type == "agent.offline"] == ["s"]


def watching(server: Server, subject: str) -> bool:
    lists = server.services.lists
    assert lists is not None
    return lists.people.watching("s", subject)
