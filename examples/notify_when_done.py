"""Told when it is done: somebody asks an agent for something that takes a while, leaves, and is told when it is there.

    python examples/notify_when_done.py

Everything is in this one program, so that it can be read from top to bottom: a server, an agent, a person, and a
function that is called in place of a mail, a chat or a phone. Nothing is left behind but what it printed.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from syncd_client import Agent, Client, Run

from syncd.server.app import Server, create_server
from syncd.server.config import load
from syncd.server.hooks.channel import Notice
from syncd.server.logs import configure

STEPS = ("looking at maps", "reading what others say", "comparing trams")


# 1. Who is told of what. A rule is an event, for whom it is, a condition, and a way to tell: here a function of this
#    program. The same rule in the file that SYNCD_HOOKS names, for the phones of people who allowed it:
#
#        [[hooks.rules]]
#        name = "done"
#        on = ["run.ended", "approval.requested"]
#        whom = ["asker"]
#        when = { nobody_watching = true }
#        channel = "push"
#
#    With channel = "webhook" and a target it is a signed request to a URL of yours, with "apprise" a mail or a chat.
def add_rule(server: Server, told: asyncio.Queue[Notice]) -> None:
    """Have whoever asked be told when a run has ended and they are not looking."""

    @server.on("run.ended", name="done", whom=("asker",), when={"nobody_watching": True})
    async def tell(notice: Notice) -> None:
        # Called once for each person and run, and again later if it raises: also when this process was killed in
        # between. `notice.id` is the same then, so whoever must not do something twice can know it by that.
        await told.put(notice)


# 2. An agent that takes its time. It knows nothing of notices, and goes on when everybody has left.
def make_agent(url: str, place: Path, step_s: float) -> Agent:
    """Return a planner."""
    agent = Agent("planner", server=url, token="dev:agent:planner", store=place / "planner.db")

    @agent.on_work
    async def plan(run: Run) -> None:
        for step in STEPS:
            await run.text(f"({step}) ")
            await asyncio.sleep(step_s)
        await run.text("Take the 28, early, and sit on the left.")

    return agent


# 3. Somebody who asks, and closes the laptop.
async def ask_and_leave(url: str, place: Path) -> None:
    """Ask for a plan, see that it is begun, and go."""
    async with Client(url, token="dev:mona", store=place / "laptop.db") as laptop:
        session = await laptop.open("trip")
        message = await session.post("@planner what do we do in Lisbon?", to=["agent:planner"])
        await message.synced()
        async for _ in session.changes():
            if any(run.status == "running" for run in session.runs()):
                break
        print("mona: asked, and left while the planner was at it")


async def read_on_another_device(url: str, place: Path, notice: Notice) -> None:
    """Come back on a phone that has no copy yet, where the notice leads to."""
    async with Client(url, token="dev:mona", store=place / "phone.db") as phone:
        session = await phone.open(notice.session)
        async for _ in session.changes():
            if any(run.ended for run in session.runs()):
                break
        print("mona:", session.messages()[-1].text.rpartition(") ")[2])
        # Read here, it is read everywhere: a notice on another device would be taken back now.
        await session.mark_read()
        await session.synced()


async def main(step_s: float) -> None:
    """Run all of it once."""
    configure("console", "error")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        server = create_server(load(dev=True, port=0, store=place / "server.db"))
        told: asyncio.Queue[Notice] = asyncio.Queue()
        add_rule(server, told)
        await server.start()
        serving = asyncio.create_task(make_agent(server.url, place, step_s).serve())
        try:
            await ask_and_leave(server.url, place)
            notice = await asyncio.wait_for(told.get(), timeout=60)
            print(f"told {notice.subject}: {notice.title} {notice.text} -> {server.url}{notice.path}")
            await read_on_another_device(server.url, place, notice)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--step-s", type=float, default=1.0, help="how long each of the agent's three steps takes")
    asyncio.run(main(parser.parse_args().step_s))
