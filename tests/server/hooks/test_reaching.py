"""All the way: who asked an agent and went is told on their device, and it is taken back where they read it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from syncd_client import Agent, Client, Run

from examples.fault_proxy import FaultProxy
from syncd.server.app import Server
from tests.harness import meanwhile, mint, serving, until
from tests.server.hooks.push_service import Browser, PushService, push_service

#: A machine that dies is missed after one and a half of the first, and given up after the second. By then a run has to
#: be over that ends as it dies.
LIMITS = {"heartbeat_s": 3.0, "presence_grace_s": 0.5}
RULES = """
[[hooks.rules]]
name = "done"
on = ["run.ended"]
whom = ["asker"]
channel = "push"

[[hooks.rules]]
name = "said"
on = ["message.created"]
where = { role = "user" }
whom = ["participants"]
channel = "push"
devices = "all"

[[hooks.rules]]
name = "asks"
on = ["approval.requested"]
whom = ["asker"]
channel = "push"
"""


class Town:
    """A server with rules, a push service, and people with devices."""

    def __init__(self, server: Server, service: PushService, place: Path, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.service = service
        self.place = place
        self._http = http

    def client(self, name: str) -> Client:
        """Somebody's client, on a device that takes no pushes."""
        return Client(self.server.url, token=mint(f"user:{name}"), store=self.place / f"{name}.db")

    async def device(self, name: str, device: str) -> Browser:
        """Register a browser of somebody's."""
        browser = self.service.browser(f"{name}-{device}")
        path = f"{self.server.url}/v1/push/subscriptions/{device}"
        headers = {"Authorization": f"Bearer {mint(f'user:{name}')}"}
        async with self._http.put(path, json=browser.json(), headers=headers) as response:
            assert response.status == 204, await response.text()
        return browser

    def titles(self, browser: Browser) -> list[str]:
        """What a device was told, and what was taken back."""
        return [told.get("title") or f"not {told['withdraw']}" for told in self.service.taken(browser)]

    @asynccontextmanager
    async def planner(self, work: Callable[[Run], Any]) -> AsyncIterator[None]:
        """An agent that does this."""
        agent = Agent("planner", server=self.server.url, token=mint("agent:planner"), store=self.place / "planner.db")
        agent.on_work(work)
        async with meanwhile(agent.serve()):
            yield


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    """Everything but a device."""
    rules = tmp_path / "hooks.toml"
    rules.write_text(RULES)
    async with (
        push_service() as service,
        aiohttp.ClientSession() as http,
        serving(tmp_path / "syncd.db", hooks=rules, push_allow="127.0.0.0/8", limits=LIMITS) as server,
    ):
        yield Town(server, service, tmp_path, http)


async def test_who_asked_is_told_that_it_is_done(town: Town) -> None:
    """Once, on the device used last, with a link to the answer; nobody else is."""
    laptop = await town.device("mona", "laptop")
    phone = await town.device("mona", "phone")
    theirs = await town.device("theo", "phone")
    go_on = asyncio.Event()

    async def plan(run: Run) -> None:
        await go_on.wait()
        await run.text("Three days.")

    async with town.planner(plan):
        async with town.client("mona") as mona:
            session = await mona.open("trip")
            await session.post("Lisbon?", to=["agent:planner"])
            await until(lambda: [run for run in session.runs() if run.status == "running"], "the run")
        go_on.set()
        await until(lambda: town.service.to(phone), "a push")

    assert town.titles(phone) == ["planner is done"]
    [told] = town.service.taken(phone)
    assert told["path"].startswith("/s/trip")
    assert (town.service.to(laptop), town.service.to(theirs)) == ([], [])


async def test_who_seemed_to_watch_from_a_machine_that_died_is_told(town: Town) -> None:
    """Nobody hears of it when it dies: what ended before that was noticed is told then."""
    phone = await town.device("mona", "phone")
    done = asyncio.Event()

    async def plan(run: Run) -> None:
        await done.wait()
        await run.text("Three days.")

    async with FaultProxy(town.server.port) as network, town.planner(plan), town.client("theo") as theo:
        mona = Client(network.url, token=mint("user:mona"), store=town.place / "laptop.db")
        async with mona:
            session = await mona.open("trip")
            session.presence.update(activity="active")
            await session.post("Lisbon?", to=["agent:planner"])
            here = await theo.open("trip")
            await until(lambda: [run for run in here.runs() if run.status == "running"], "the run")
            await until(lambda: [one for one in here.people() if one.watching], "her watching")
            network.refusing = True
            network.stall()
            done.set()
            await until(lambda: here.runs()[0].status == "completed", "the end")
            assert town.service.to(phone) == []
            await until(lambda: town.service.to(phone), "a push")

    assert town.titles(phone) == ["planner is done"]


async def test_two_devices_and_one_reader(town: Town) -> None:
    """Both of Mona's are told what Theo wrote; she reads it on a third, and it is taken back from both."""
    phone, laptop = await town.device("mona", "phone"), await town.device("mona", "laptop")
    async with town.client("mona") as mona, town.client("theo") as theo:
        here = await mona.open("trip")
        await here.post("Shall we?")
        await here.mark_read()
        await here.synced()
        there = await theo.open("trip")
        await there.post("Yes, in May")
        await until(lambda: town.service.to(phone) and town.service.to(laptop), "both pushes")
        await until(lambda: [m for m in here.messages() if m.text == "Yes, in May" and m.seq], "the message")
        await here.mark_read()
        await until(lambda: len(town.service.to(phone)) == len(town.service.to(laptop)) == 2, "it taken back")

    assert town.titles(phone) == town.titles(laptop) == ["theo in trip", "not s:trip"]
    assert town.service.taken(phone)[0]["text"] == "Yes, in May"


async def test_what_somebody_else_answered_is_taken_back(town: Town) -> None:
    """An approval that Theo gave needs Mona no more."""
    phone = await town.device("mona", "phone")

    async def book(run: Run) -> None:
        await run.tool("book", {"hotel": "Graça"}).approval(timeout="1d")

    async with town.planner(book), town.client("theo") as theo:
        async with town.client("mona") as mona:
            here = await mona.open("trip")
            await here.post("Book it", to=["agent:planner"])
            await here.synced()
        there = await theo.open("trip")
        await until(lambda: town.service.to(phone), "a push")
        await there.approve(town.service.taken(phone)[0]["tag"].removeprefix("t:"))
        await until(lambda: any(t.startswith("not ") for t in town.titles(phone)), "it taken back")

    asked, *rest = town.titles(phone)
    assert asked == "planner asks for your approval"
    assert rest[0].startswith("not t:")
