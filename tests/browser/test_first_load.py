"""First load: what the console loads until a session is shown and synced, and what it loads when it is first used."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from playwright.async_api import Page, Request, expect

from tests.browser.chromium import in_charge, true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import busy_session, shown, sign_in
from tests.harness import Running, until
from tests.node import WEB_CLIENT, run_node

#: Begun when the session is shown and synced: the list beside it, who is there, what a screen reader is told, whom an
#: `@` may name, then the search with its worker and SQLite; and what comes when the page is loaded: the service worker,
#: and styles of what opens later. No part of showing a session.
_LATER = re.compile(
    r"/assets/(?:attending|listening|offers|session_list|everywhere|scan|words|worker|sqlite3|loaded|later)[-.]"
)


async def test_what_is_measured_is_what_is_loaded(served: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """A session with an agent's Markdown, shown and synced, took the files whose sizes are held to the limit."""
    device = await new_device("ana", served, service_workers="block")
    async with busy_session(served.url, tmp_path):
        await (await sign_in(device, "ana")).close()
        tab = await device.context.new_page()
        loaded: list[str] = []
        tab.on("request", lambda request: loaded.append(_path_of(request)))
        await tab.goto(f"{device.url}/s/trip")
        await tab.get_by_role("cell", name="Graça").wait_for()
        await expect(tab.get_by_label("Shared text: document")).to_have_value(re.compile("The museum closes early"))
        await expect(tab.get_by_role("banner").get_by_role("status")).to_have_text("Live")
        parts = {path for path in loaded if re.search(r"\.(?:js|css)$", path) and not _LATER.match(path)}

    listed = run_node("tests/size.mjs", "first-load", place=WEB_CLIENT)
    assert listed.returncode == 0, listed.stderr
    measured = {f"/{name}" for name in json.loads(listed.stdout)}
    assert parts | {"/index.html"} == measured


async def test_what_is_loaded_on_first_use_is_there_without_a_network(
    served: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """The network is cut right after the first load: every drawer, dialog and form opens that was not loaded yet."""
    device = await new_device("ana", served)
    async with busy_session(served.url, tmp_path):
        tab = await sign_in(device, "ana", "/s/trip")
        await shown(tab, "The museum closes early")
        await in_charge(tab)
        before = await _chunks(tab)
        for name in ("timeline", "forms", "dialog", "share", "hand_over", "search"):
            assert name not in before, f"{name} is loaded already"
        device.proxy.refusing = True
        device.proxy.cut()
        await device.offline(True)

        await tab.get_by_role("tab", name="Timeline").click()
        await tab.get_by_role("group", name="Show").wait_for()
        await tab.get_by_role("button", name="Rename").click()
        await tab.get_by_label("Title").wait_for()
        await tab.keyboard.press("Escape")
        for button, title in (
            ("Share", "Share"),
            ("Hand over", "Hand over"),
            ("Search all sessions", "Search all sessions"),
        ):
            await tab.get_by_role("button", name=button, exact=True).click()
            await tab.get_by_role("dialog", name=title).wait_for()
            styled = "getComputedStyle(document.querySelector('dialog[open] .sheet')).display === 'grid'"
            await true_in(tab, styled, "its styles")
            await tab.keyboard.press("Escape")
        after = await _chunks(tab)
        assert {"timeline", "forms", "dialog", "share", "hand_over", "search"} <= after


async def test_what_did_not_load_says_so_and_is_tried_again(served: Running, new_device: MakeDevice) -> None:
    """Without a service worker yet, and without a network: by its button, by the one that it was asked for by, by
    `online`; or let go of."""
    device = await new_device("ana", served, service_workers="block")
    tab = await sign_in(device, "ana", "/s/trip")
    await expect(tab.get_by_role("banner").get_by_role("status")).to_have_text("Live")
    await tab.get_by_role("button", name="New session").wait_for()
    device.proxy.refusing = True
    device.proxy.cut()
    missing = tab.get_by_role("alert").filter(has_text="This part did not load.")
    await tab.get_by_role("button", name="Share", exact=True).click()
    await missing.get_by_role("button", name="Close").click()
    await expect(missing).to_have_count(0)
    await tab.get_by_role("button", name="Share", exact=True).click()
    await expect(missing).to_be_visible()
    device.proxy.heal()
    await tab.get_by_role("button", name="Share", exact=True).click()
    await tab.get_by_role("dialog", name="Share").wait_for()
    await tab.keyboard.press("Escape")
    device.proxy.cut()
    device.proxy.refusing = True
    await tab.get_by_role("button", name="Hand over", exact=True).click()
    await expect(missing).to_be_visible()

    device.proxy.heal()
    await missing.get_by_role("button", name="Try again").click()
    await tab.get_by_role("dialog", name="Hand over").wait_for()
    await tab.keyboard.press("Escape")
    device.proxy.cut()
    device.proxy.refusing = True
    await tab.get_by_role("tab", name="Timeline").click()
    await expect(missing).to_be_visible()
    device.proxy.heal()
    await tab.evaluate("dispatchEvent(new Event('online'))")
    await tab.get_by_role("group", name="Show").wait_for()
    await expect(missing).to_have_count(0)


async def test_the_worker_takes_charge_of_a_page_that_came_past_it(served: Running, new_device: MakeDevice) -> None:
    """Loaded anew by force, or while the worker was just becoming active: what it uses is kept all the same."""
    device = await new_device("ana", served)
    tab = await sign_in(device, "ana", "/s/trip")
    await in_charge(tab)
    loaded: list[bool] = []
    tab.on("domcontentloaded", lambda _: loaded.append(True))
    chrome = await device.context.new_cdp_session(tab)
    await chrome.send("Page.reload", {"ignoreCache": True})
    await until(lambda: loaded, "the page to be loaded anew")

    await in_charge(tab)


def _path_of(request: Request) -> str:
    return urlsplit(request.url).path


async def _chunks(tab: Page) -> set[str]:
    """The names, without their hashes, of the scripts that a page has loaded."""
    urls = await tab.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    found = (re.search(r"/assets/([a-z_]+)-[\w-]+\.js$", url) for url in urls)
    return {match.group(1) for match in found if match}
