"""The console as people use it: signing in, and a session with all that it can show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Page
from syncd_client import Agent, Client, Run

from tests.browser.chromium import Device, true_in
from tests.harness import meanwhile, until

WORDS = (
    "# Two days\n\nA plan with **weight**, `code`, [a link](https://example.com/) and a list:\n\n"
    "1. tram 28\n2. tiles\n\n> slowly\n\n```python\nprint('hello')\n```\n\n"
    "| day | where |\n| --- | --- |\n| 1 | Graça |\n"
)


async def sign_in(device: Device, name: str, path: str = "/") -> Page:
    """Open the console at `path` and come in under a name."""
    tab = await device.tab(path)
    await tab.get_by_label("Your name").fill(name)
    await tab.get_by_role("button", name="Come in").click()
    await tab.get_by_label("Your name").wait_for(state="detached")
    return tab


@asynccontextmanager
async def busy_session(url: str, folder: Path, session: str = "trip") -> AsyncIterator[None]:
    """A session with words of everybody, a shared state, and an agent that waits for an approval all the while."""
    agent = Agent("planner", server=url, token="dev:agent:planner", store=folder / "agent.db")

    @agent.on_work
    async def plan(run: Run) -> None:
        await run.reasoning("What is near what?")
        await run.text(WORDS)
        await run.tool("look_up", {"city": "Lisbon"}).output({"trams": [28, 15]})
        await run.tool("book_hotel", {"hotel": "Graça", "nights": 2}).approval(timeout="1d")

    async with meanwhile(agent.serve()), Client(url, token="dev:theo", store=folder / "theo.db") as client:
        here = await client.open(session)
        here.state.map("session")["title"] = "Lisbon in May"
        here.state.text("document").append("# Notes\n\nThe museum closes early.\n")
        await here.post("Shall we?")
        await here.post("Plan it, please", to=["agent:planner"])
        await until(lambda: any(run.status == "suspended" for run in here.runs()), "the run to wait")
        await here.synced()
        yield


async def shown(tab: Page, text: str) -> None:
    """Return when the page shows a text."""
    await true_in(tab, f"document.body.innerText.includes({text!r})", f"{text!r} on the page")
