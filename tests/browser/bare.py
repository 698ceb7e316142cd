"""Bare tabs: pages that have a client of the library and nothing else; their script is `page/tabs.ts`."""

import json
from collections.abc import Iterable
from pathlib import Path

from playwright.async_api import Page, WebSocket
from syncd_client import Client

from tests.browser.chromium import Device, true_in
from tests.harness import Running, until


async def started(device: Device, **said: object) -> Page:
    """Open a tab with a client of the library in it."""
    tab = await device.tab("/tabs.html")
    await tab.evaluate("(said) => start(said)", said)
    return tab


async def pair(device: Device) -> tuple[Page, Page]:
    """Open two tabs, live; the first one leads."""
    tabs = await started(device), await started(device)
    for tab in tabs:
        await live(tab)
    assert [await look(tab, "leads") for tab in tabs] == [True, False]
    return tabs


async def live(tab: Page) -> None:
    """Wait until a tab's session is live."""
    await true_in(tab, "look().link === 'live'", "a live link")


async def look(tab: Page, what: str) -> object:
    """Return one thing that a tab shows."""
    return await tab.evaluate(f"look().{what}")


async def have(*tabs: Page, texts: Iterable[str]) -> None:
    """Wait until these tabs show exactly these messages, each once."""
    for tab in tabs:
        wanted = json.dumps(sorted(texts))
        await true_in(tab, f"JSON.stringify(texts().sort()) === JSON.stringify({wanted})", wanted)


async def synced(*tabs: Page) -> None:
    """Wait until nothing of these tabs is unsynced, by the server's word."""
    for tab in tabs:
        await true_in(tab, "look().unsynced === 0 && look().link === 'live'", "everything synced")


async def write(tab: Page, *texts: str) -> None:
    """Post messages, which are saved then."""
    for text in texts:
        await tab.evaluate("(text) => write(text)", text)


def links(*tabs: Page) -> list[WebSocket]:
    """Return a list that all links of these tabs go into from now on."""
    made: list[WebSocket] = []
    for tab in tabs:
        tab.on("websocket", lambda link: made.append(link))
    return made


async def on_server(server: Running, tmp_path: Path) -> list[str]:
    """Return the texts that the server has, as a device sees them that never was there."""
    async with Client(server.url, token="dev:eve", store=tmp_path / "eve.db") as eve:
        session = await eve.open("trip")
        await until(lambda: session.status.live, "the session")
        return sorted(view.text for view in session.messages())
