"""Scenes: the places of the console that somebody comes by, one after the other, to be looked at."""

from collections.abc import AsyncIterator

from playwright.async_api import Page

from tests.browser.chromium import Device
from tests.browser.console import shown, sign_in


async def walk(device: Device, *, name: str = "ana") -> AsyncIterator[tuple[str, Page]]:
    """Lead through the console of a server that has `console.busy_session`; yield each scene and its tab, as it is."""
    tab = await device.tab("/")
    await tab.get_by_label("Your name").wait_for()
    yield "sign-in", tab
    await tab.close()
    tab = await sign_in(device, name)
    await shown(tab, "Lisbon in May")
    yield "the list", tab
    wide = await tab.get_by_role("navigation", name="Sessions").count() > 0 and await _is_wide(tab)
    await tab.get_by_role("link", name="Lisbon in May").click()
    await tab.get_by_role("button", name="Approve").wait_for()
    yield "a session with an approval", tab
    if not wide:
        await tab.get_by_role("button", name="Sessions").click()
        await tab.get_by_role("dialog").wait_for()
        yield "the list as a drawer", tab
        await tab.keyboard.press("Escape")
        await tab.get_by_role("button", name="Document and timeline").click()
        await tab.get_by_role("dialog").wait_for()
        yield "the panel as a drawer", tab
    for button, scene in (("Timeline", "the timeline"),):
        await tab.get_by_role("tab", name=button).click()
        yield scene, tab
    for button, scene in (("Share", "the share dialog"), ("Hand over", "the hand-over dialog")):
        if not wide and not await tab.get_by_role("dialog").count():
            await tab.get_by_role("button", name="Document and timeline").click()
        await tab.get_by_role("button", name=button, exact=True).click()
        await tab.get_by_role("dialog", name=button).wait_for()
        if button == "Share":
            await tab.get_by_role("button", name="Make a link").click()
            await tab.get_by_label("Link", exact=True).wait_for()
        yield scene, tab
        await tab.keyboard.press("Escape")
    await tab.keyboard.press("Control+k")
    await tab.get_by_role("dialog").wait_for()
    yield "search", tab
    await tab.keyboard.press("Escape")


async def _is_wide(tab: Page) -> bool:
    return bool(await tab.evaluate("matchMedia('(min-width: 901px)').matches"))
