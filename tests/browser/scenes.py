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
    await tab.get_by_role("link", name="Lisbon in May").click()
    await tab.get_by_role("button", name="Approve").wait_for()
    yield "a session with an approval", tab
    wide = await tab.evaluate("matchMedia('(min-width: 901px)').matches")
    if not wide:
        await tab.get_by_role("button", name="Sessions").click()
        await tab.get_by_role("dialog").wait_for()
        yield "the list as a drawer", tab
        await tab.keyboard.press("Escape")
        await tab.get_by_role("button", name="Document and timeline").click()
        await tab.get_by_role("dialog").wait_for()
        yield "the panel as a drawer", tab
    await tab.get_by_role("tab", name="Timeline").click()
    yield "the timeline", tab
    await tab.get_by_role("button", name="Share", exact=True).click()
    await tab.get_by_role("button", name="Make a link").click()
    link = await tab.get_by_label("Link", exact=True).input_value()
    yield "the share dialog", tab
    await tab.keyboard.press("Escape")
    if not wide:
        await tab.get_by_role("button", name="Document and timeline").click()
    await tab.get_by_role("button", name="Hand over").click()
    await tab.get_by_role("dialog", name="Hand over").wait_for()
    yield "the hand-over dialog", tab
    await tab.keyboard.press("Escape")
    await tab.keyboard.press("Control+k")
    await tab.get_by_role("dialog").wait_for()
    yield "search", tab
    await tab.keyboard.press("Escape")
    guest = await device.tab(link.removeprefix(device.url))
    await guest.get_by_role("heading", name="You are invited").wait_for()
    yield "an invitation", guest
    await guest.close()
