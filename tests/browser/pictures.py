"""Pictures: the documentation's screenshots of the console, taken anew by `python -m tests.browser.pictures`.

The demo's agents are at work in them: the planner waits for an approval, the critic is in the middle of a sentence.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, async_playwright, expect
from syncd_client import Client

from examples.server_process import ServerProcess
from syncd.cli.demo_agents import serve
from tests.browser.chromium import device, launch
from tests.browser.pages import build_console
from tests.harness import PATIENCE_S, ROOT, until

FOLDER = ROOT / "docs" / "pictures"
BYTES_MAX: Final = 200_000

_SESSION = "trip"
_TITLE = "Lisbon in May"
_DOCUMENT = """# Lisbon in May

Friday to Sunday, three of us.

- mother does not walk far: trams, taxis, benches
- the tile museum closes early on Saturdays
- back on Sunday by the late train
"""
_SIZES: Final[dict[str, dict[str, Any]]] = {
    "console-light": {"viewport": {"width": 1_280, "height": 800}, "color_scheme": "light"},
    "console-dark": {"viewport": {"width": 1_280, "height": 800}, "color_scheme": "dark"},
    "console-phone": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "light",
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 1.5,
    },
}


@asynccontextmanager
async def working(url: str, folder: Path) -> AsyncIterator[None]:
    """A session in which two people and the demo's agents are at work, the critic having just begun."""
    agents = asyncio.create_task(serve(url, folder))
    try:
        async with (
            Client(url, token="dev:mona", store=folder / "mona.db") as client,
            Client(url, token="dev:theo", store=folder / "theo.db") as other,
        ):
            mona, theo = await client.open(_SESSION), await other.open(_SESSION)
            mona.presence.update(where="phone")
            theo.presence.update(where="computer", cursor=None)
            mona.state.map("session")["title"] = _TITLE
            mona.state.text("document").append(_DOCUMENT)
            for session, title in (("budget", "What it may cost"), ("photos", "Photos of the last trip")):
                beside = await client.open(session)
                beside.state.map("session")["title"] = title
                await (await beside.post("Is everything in here?")).synced()
            await (await mona.post("@planner three days in Lisbon, please", to=["agent:planner"])).synced()
            await until(lambda: any(run.status == "suspended" for run in theo.runs()), "the question", within_s=120.0)
            await (await theo.post("@critic what may go wrong in Lisbon?", to=["agent:critic"])).synced()
            mona.presence.update(status="typing")
            await until(
                lambda: any("three doubts" in view.text for view in theo.messages()), "the critic's first words"
            )
            yield
    finally:
        agents.cancel()
        await asyncio.gather(agents, return_exceptions=True)


async def take(browser: Browser, name: str, folder: Path, place: Path) -> Path:
    """Take one picture, each on a server of its own; return its file."""
    async with ServerProcess(folder / "server.db", settings={"CONSOLE": str(build_console())}) as server:
        camera = await device(browser, name, server.port, reduced_motion="reduce", **_SIZES[name])
        page = await camera.tab(f"/s/{_SESSION}")
        page.set_default_timeout(PATIENCE_S * 1_000)
        await page.get_by_label("Your name").fill("ana")
        await page.get_by_role("button", name="Come in").click()
        async with working(server.url, folder):
            await expect(page.get_by_role("button", name="Stop critic")).to_be_visible()
            await expect(page.get_by_role("button", name="Approve")).to_be_visible()
            file = place / f"{name}.png"
            await page.screenshot(path=file, animations="disabled")
        await camera.close()
    return file


async def main() -> int:
    """Take them all; return 1 if one is too large for a page of the documentation."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    code = 0
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        for name in _SIZES:
            with tempfile.TemporaryDirectory() as folder:
                file = await take(browser, name, Path(folder), FOLDER)
            size = file.stat().st_size
            print(f"{file.relative_to(ROOT)}: {size:,} bytes")
            if size >= BYTES_MAX:
                print(
                    f"{file.name} is larger than {BYTES_MAX:,} bytes: show less, or at a smaller scale", file=sys.stderr
                )
                code = 1
        await browser.close()
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
