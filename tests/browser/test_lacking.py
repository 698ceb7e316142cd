"""Browsers that lack something: space, locks, a channel between tabs, a store; or that keep a page for the way back."""

import json
from pathlib import Path
from random import Random

import pytest
from playwright.async_api import CDPSession, Page, Playwright, expect

from tests.browser.bare import have, live, look, on_server, started, synced, write
from tests.browser.chromium import Device, device, launch, true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import Running, mint

#: Room for one or two messages of the tests below.
_QUOTA_BYTES = 600_000
_LARGE = Random(1).randbytes(200_000).hex()  # Whatever repeats itself is packed.
_REFUSED = "write({!r}).then(() => 'saved', (error) => `${{error.name}} ${{error.code}} ${{error.message}}`)"
_WITHOUT = {
    "locks": "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });",
    "channel": "Object.defineProperty(window, 'BroadcastChannel', { value: undefined });",
    "store": "Object.defineProperty(window, 'indexedDB', { value: undefined });",
}


async def limited(tab: Page, here: Device, quota_bytes: int) -> CDPSession:
    """Have the browser give this device's pages so much space, until what is returned is detached.

    Before the store is opened: what a browser found out about the space it goes by for a while.
    """
    devtools = await here.context.new_cdp_session(tab)
    await devtools.send("Storage.overrideQuotaForOrigin", {"origin": here.url, "quotaSize": quota_bytes})
    return devtools


async def test_without_space_nothing_is_called_saved(bare: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """An edit that does not fit is refused and says what to do, and leaves the documents; with space all goes on."""
    ana = await new_device("ana", bare)
    one = await ana.tab("/tabs.html")
    limit = await limited(one, ana, _QUOTA_BYTES)
    await one.evaluate("start()")
    two = await started(ana)
    await live(one)
    await write(one, "before")
    await synced(one)
    said = []
    for number in range(6):
        said.append(str(await one.evaluate(_REFUSED.format(f"{number} {_LARGE}"))))
    kept = [str(number) for number, word in enumerate(said) if word == "saved"]
    assert len(kept) < len(said)
    for word in said:
        assert word == "saved" or (word.startswith("StoreError quota") and "free some" in word), word
    # What was refused is in no document; what was saved is.
    firsts = "texts().map((text) => text.split(' ')[0]).sort()"
    wanted = json.dumps(sorted(["before", *kept]))
    for tab in (one, two):
        await true_in(tab, f"JSON.stringify({firsts}) === JSON.stringify({wanted})")
    await limit.detach()
    await write(one, "after")

    await synced(one, two)
    await true_in(two, "texts().includes('after')")
    assert [text.split(" ")[0] for text in await on_server(bare, tmp_path)] == sorted(["before", *kept, "after"])


async def test_a_console_without_space_says_so(stage: Stage, new_device: MakeDevice) -> None:
    """What was typed stays in the field, and with space it is sent; what leaves the document again is said to."""
    # Its service worker would take the space.
    device = await new_device("ana", stage.server, service_workers="block")
    limit = await limited(await device.tab("/manifest.webmanifest"), device, _QUOTA_BYTES // 2)
    ana = await Desk.of(device)
    await ana.live()
    await ana.field.fill("a long story " + _LARGE)
    await ana.field.press("Enter")
    await expect(ana.trouble).to_contain_text("no space left")
    assert (await ana.field.input_value()).startswith("a long story")
    await ana.press("Dismiss")
    await ana.document.fill("a long text " + _LARGE)
    await expect(ana.trouble).to_contain_text("no space left")
    await expect(ana.document).to_have_value("")
    await ana.press("Dismiss")
    await ana.document.fill("one that no frame holds " + 3 * _LARGE)
    await expect(ana.trouble).to_contain_text("one edit holds at most")
    await expect(ana.document).to_have_value("")
    await limit.detach()
    await ana.say("a short one")

    await expect(ana.message("a short one")).not_to_contain_text("not sent yet")
    assert [view.text for view in (await stage.curtain()).messages()] == ["a short one"]


@pytest.mark.parametrize("lacks", ["locks", "channel"])
async def test_without_locks_or_a_channel_each_tab_is_on_its_own(
    bare: Running, new_device: MakeDevice, tmp_path: Path, lacks: str
) -> None:
    """Both lead, each with a link; what one writes the other has, and the server has it once."""
    ana = await new_device("ana", bare)
    await ana.context.add_init_script(_WITHOUT[lacks])
    one, two = await started(ana), await started(ana)
    for tab in (one, two):
        await live(tab)
        assert await look(tab, "leads") is True
    await write(one, "from one")
    await write(two, "from two")
    await have(one, two, texts=["from one", "from two"])
    await synced(one, two)
    ana.proxy.refusing = True
    ana.proxy.cut()
    await true_in(one, "look().link !== 'live'")
    await write(one, "apart")
    await one.close()
    ana.proxy.heal()

    three = await started(ana)
    await synced(three)
    await have(three, two, texts=["from one", "from two", "apart"])
    assert await on_server(bare, tmp_path) == ["apart", "from one", "from two"]


async def test_without_a_store_a_session_does_not_open(bare: Running, new_device: MakeDevice) -> None:
    """It says that, and why that may be; nothing is shown that would be gone a moment later."""
    ana = await new_device("ana", bare)
    await ana.context.add_init_script(_WITHOUT["store"])
    tab = await ana.tab("/tabs.html")
    said = await tab.evaluate("start().catch((error) => `${error.name} ${error.code} ${error.message}`)")

    assert said == "StoreError unavailable this browser has no IndexedDB here: is this a private window?"
    assert "IndexedDB" in str(await tab.evaluate("client.status.reason"))
    assert await tab.evaluate("client.status.link") == "refused"


async def test_a_console_without_a_store_says_so(stage: Stage, new_device: MakeDevice) -> None:
    """In place of the session, and not as something that loads for ever."""
    ana = await new_device("ana", stage.server)
    await ana.context.add_init_script(_WITHOUT["store"])
    page = await ana.tab(f"/s/{SESSION}")
    await page.get_by_label("Your token").fill(mint("user:ana"))
    await page.get_by_role("button", name="Sign in").click()

    await expect(page.get_by_role("heading", name="This session does not open")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text("this browser has no IndexedDB here")


async def test_the_way_back_to_a_page(bare: Running, playwright: Playwright) -> None:
    """Kept by the browser or loaded anew: it has what came meanwhile, writes again, and another tab led in between."""
    # Chromium's driver switches the cache of pages off.
    browser = await launch(playwright, ignore_default_args=["--disable-back-forward-cache"])
    ana = await device(browser, "ana", bare.port)
    try:
        one, two = await started(ana), await started(ana)
        await live(two)
        assert await look(one, "leads") is True
        await one.evaluate("window.before = 'kept'")
        await one.goto(f"{ana.url}/store.html")
        await true_in(two, "look().leads", "the hand-over")
        await write(two, "meanwhile")
        await synced(two)
        await one.go_back(wait_until="commit")  # What was kept does not load.
        if await one.evaluate("window.before !== 'kept'"):
            reasons = await one.evaluate(_NOT_KEPT)
            assert reasons, "it was not kept, and nobody says why"
            print("not kept for the way back:", reasons)
            await one.evaluate("start()")
        await have(one, texts=["meanwhile"])
        await live(one)
        await write(one, "back")
        await have(two, texts=["meanwhile", "back"])
        await synced(one, two)
        assert ana.troubles == []
    finally:
        await ana.close()
        await browser.close()


_NOT_KEPT = """() => {
  const { notRestoredReasons } = performance.getEntriesByType("navigation")[0];
  return (notRestoredReasons?.reasons ?? []).map(({ reason }) => reason);
}"""
