"""Tabs of one device: they share a store and a link, and survive whatever happens to each of them."""

import asyncio

from playwright.async_api import Page

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, true_in
from tests.browser.conftest import MakeDevice


async def started(device: Device, **said: object) -> Page:
    """Open a tab with a client of the library in it."""
    tab = await device.tab("/tabs.html")
    await tab.evaluate("(said) => start(said)", said)
    return tab


async def have(*tabs: Page, texts: list[str]) -> None:
    """Wait until these tabs show these messages, in whatever order."""
    for tab in tabs:
        await true_in(tab, f"JSON.stringify(texts().toSorted()) === {_js(sorted(texts))}", f"{texts}")


def _js(texts: list[str]) -> str:
    return "JSON.stringify([" + ",".join(f"{text!r}" for text in texts) + "])"


async def test_two_tabs_sync_over_one_link(bare: ServerProcess, new_device: MakeDevice) -> None:
    """What each writes the other shows, and both are synced over one socket."""
    ana = await new_device("ana", bare)
    one, two = await started(ana), await started(ana)
    await asyncio.gather(one.evaluate("write('from one')"), two.evaluate("write('from two')"))

    await have(one, two, texts=["from one", "from two"])
    for tab in (one, two):
        await true_in(tab, "look().unsynced === 0 && look().link === 'live'")
    assert [await tab.evaluate("look().leads") for tab in (one, two)] == [True, False]
    assert ana.proxy.connections == 1
