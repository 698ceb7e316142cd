"""The console as those meet it who do not see it, or not well: axe finds nothing serious, in any scene or colour."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from syncd_client import Client

from tests.browser.conftest import MakeDevice
from tests.browser.console import busy_session, shown, sign_in
from tests.browser.scenes import walk
from tests.harness import Running, until
from tests.node import WEB_CLIENT

_AXE = WEB_CLIENT / "node_modules" / "axe-core" / "axe.min.js"
_PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
#: What the pill says of edits that have been on their way for less than a second.
_SAID_TOO_SOON = """{
  const pill = document.querySelector("header [role=status]");
  let since = null;
  window.tooSoon = [];
  new MutationObserver(() => {
    since = pill.dataset.link === "sending" ? (since ?? performance.now()) : null;
    const late = since !== null && performance.now() - since > 1000;
    if (pill.textContent.includes("sending") && !late) tooSoon.push(pill.textContent);
  }).observe(pill, { attributes: true, childList: true, subtree: true, characterData: true });
}"""
_SERIOUS = ("serious", "critical")


async def findings(tab: Page) -> list[str]:
    """Return what axe finds that keeps somebody from using the page: the rule, and where."""
    if not await tab.evaluate("typeof axe !== 'undefined'"):
        # By the debugger, which the page's policy does not bind: nothing else of the page is another than it is.
        await tab.evaluate(_AXE.read_text(encoding="utf-8"))
    # What still moves has colours that are not meant to be read.
    await tab.evaluate("Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {})))")
    found = await tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['target']} {node.get('failureSummary', '')}"
        for violation in found["violations"]
        if violation["impact"] in _SERIOUS
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_nothing_serious_is_found(
    size: str, scheme: str, served: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """On every screen that somebody comes by."""
    options = _PHONE if size == "phone" else {"viewport": {"width": 1_280, "height": 800}}
    device = await new_device("ana", served, color_scheme=scheme, reduced_motion="reduce", **options)
    found: dict[str, list[str]] = {}
    async with busy_session(served.url, tmp_path):
        async for scene, tab in walk(device):
            found[scene] = await findings(tab)

    assert {scene: serious for scene, serious in found.items() if serious} == {}
    assert len(found) >= 7


async def test_what_others_write_is_told(served: Running, new_device: MakeDevice, tmp_path: Path) -> None:
    """To a screen reader, and not with the words; that it was read is no news, and not said."""
    device = await new_device("ana", served)
    tab = await sign_in(device, "ana", "/s/trip")
    async with Client(served.url, token="dev:theo", store=tmp_path / "theo.db") as client:
        here = await client.open("trip")
        await here.post("before")
        await shown(tab, "before")
        told = tab.locator("[aria-live=polite]")
        await told.wait_for(state="attached")
        await tab.evaluate(_SAID_TOO_SOON)
        message = await here.post("hello")
        await expect(told).to_have_text("theo wrote")
        await message.synced()
        seq = message.view.seq
        assert seq is not None
        await until(lambda: here.reads().get("user:ana", 0) >= seq, "ana to have read it")

    assert await tab.evaluate("tooSoon") == []


async def test_what_is_serious_is_found(served: Running, new_device: MakeDevice) -> None:
    """The check itself: a field without a name and a button without words do not pass."""
    device = await new_device("ana", served)
    tab = await device.tab("/")
    await tab.get_by_label("Your name").wait_for()
    await tab.evaluate("document.body.append(document.createElement('button'), document.createElement('input'))")

    assert {finding.split(":")[0] for finding in await findings(tab)} >= {"button-name", "label"}
