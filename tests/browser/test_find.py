"""The console's search over all sessions, and its downloads: without a network, from what is on this device."""

import asyncio
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import aiohttp
from playwright.async_api import Page, expect
from syncd_client import Client

from tests.browser.chromium import Device, in_charge, true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import PATIENCE_S, mint

#: The first SQLite of a visit is 0.9 MB to be loaded and compiled.
_INDEX_S = 2 * PATIENCE_S
_IS_KEPT = """(async () => {
  const kept = [];
  for (const name of await caches.keys())
    for (const { url } of await (await caches.open(name)).keys()) kept.push(new URL(url).pathname);
  return %s.every((part) => kept.some((path) => path.includes(part)));
})()"""

_IS_REMEMBERED = """(async () => {
  const found = (await indexedDB.databases()).find(({ name }) => name.endsWith(":list"));
  if (!found) return false;
  const done = (asked) => new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  const db = await done(indexedDB.open(found.name));
  try {
    return (await done(db.transaction("row").objectStore("row").count())) > 0;
  } finally {
    db.close();
  }
})()"""


async def lose_network(device: Device) -> None:
    """Nothing goes through, and the browser knows it."""
    await device.offline(True)
    device.proxy.refusing = True
    device.proxy.cut()


async def find(page: Page, words: str) -> None:
    """Type into the search over all sessions."""
    await page.keyboard.press("Control+k")
    await page.get_by_role("combobox", name="Words to find").fill(words)


async def note(page: Page, words: str) -> None:
    """Return when the search says this of what it found."""
    await expect(page.get_by_role("dialog").get_by_role("status")).to_have_text(words, timeout=_INDEX_S * 1_000)


async def delete(url: str, session: str) -> None:
    """Have the server erase a session."""
    headers = {"Authorization": f"Bearer {mint('user:root', ['admin'])}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.delete(f"{url}/v1/sessions/{session}") as answer:
        assert answer.status == 204, await answer.text()


async def kept(page: Page, *parts: str) -> None:
    """Return when the service worker has files whose paths hold these."""
    await true_in(page, _IS_KEPT % list(parts), f"{parts} kept", within_s=_INDEX_S)


async def visited(page: Page) -> None:
    """Return when the next visit is one of somebody who was here before, whose files the service worker keeps."""
    await in_charge(page)
    await true_in(page, _IS_REMEMBERED, "the list of sessions, remembered")


async def test_a_session_that_is_not_open_is_found_offline(stage: Stage, new_device: MakeDevice) -> None:
    """By the index, which begins by itself: on the next visit, without a network, a hit leads there, each time."""
    mona = await stage.person("mona")
    await mona.post("the azulejos of Lisbon")
    for number in range(60):
        await mona.post(f"small talk {number}")
    await mona.synced()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("small talk 59")
    await visited(ana.page)
    home = await ana.tab(session="home")
    await ana.page.close()
    await kept(home.page, "/assets/worker-", ".wasm")
    await find(home.page, "AZUL")
    await note(home.page, "1 message on this device and the server")
    await lose_network(home.device)
    await home.reload()
    await find(home.page, "AZUL")
    await note(home.page, "1 message on this device; the server does not answer")
    await expect(home.page.get_by_role("option").locator("mark")).to_have_text("azulejos")
    await home.page.keyboard.press("Enter")

    await expect(home.page).to_have_url(re.compile(f"/s/{SESSION}[?]m="))
    await expect(home.message("azulejos")).to_be_in_viewport()
    await home.transcript.evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    await expect(home.message("azulejos")).not_to_be_in_viewport()
    await find(home.page, "AZUL")
    await home.page.get_by_role("option").click()
    await expect(home.message("azulejos")).to_be_in_viewport()
    assert not await home.page.evaluate(_IS_KEPT % ["opfs-async-proxy"])


async def test_sessions_that_are_not_kept_open_are_indexed_too(
    stage: Stage, new_device: MakeDevice, tmp_path: Path
) -> None:
    """A copy from before there was an index, behind more newer sessions than the list keeps open."""
    device = await new_device("ana", stage.server)
    await device.context.route("**/assets/worker-*.js", lambda route: route.abort())
    ana = await Desk.of(device)
    await ana.say("the azulejos of Lisbon")
    await expect(ana.message("azulejos")).not_to_contain_text("not sent yet")
    async with Client(stage.server.url, token=mint("user:mona"), store=tmp_path / "many.db") as client:
        for number in range(30):
            session = await client.open(f"newer-{number}")
            await session.post("small talk")
            await session.synced()
    await device.context.unroute("**/assets/worker-*.js")
    await ana.page.goto(f"{device.url}/s/home")
    await kept((await ana.opened()).page, ".wasm")
    await lose_network(device)
    await find(ana.page, "azul")
    status = ana.page.get_by_role("dialog").get_by_role("status")
    deadline = asyncio.get_running_loop().time() + _INDEX_S
    while asyncio.get_running_loop().time() < deadline:
        await expect(status).to_contain_text("the server does not answer")
        said = await status.inner_text()
        if said.startswith("1 message on this device;"):
            return
        # What is asked already is not asked again by itself.
        for words in ("", "azul"):
            await ana.page.get_by_role("combobox", name="Words to find").fill(words)
            await expect(status).to_have_text(re.compile("answer$" if words else "^$"))
    raise AssertionError(f"the search says {said!r}")


async def test_without_an_index_the_search_says_so(stage: Stage, new_device: MakeDevice) -> None:
    """SQLite does not load: what is on this device is found all the same, and the note says how."""
    device = await new_device("ana", stage.server)
    await device.context.route("**/assets/worker-*.js", lambda route: route.abort())
    ana = await Desk.of(device)
    await ana.say("the azulejos of Lisbon")
    await expect(ana.message("azulejos")).not_to_contain_text("not sent yet")
    await ana.page.goto(f"{device.url}/s/home")
    await find((await ana.opened()).page, "azul")
    await note(ana.page, "1 message on this device, gone through one by one (no index: it failed) and the server")


async def test_a_session_is_downloaded_without_a_network(stage: Stage, new_device: MakeDevice, tmp_path: Path) -> None:
    """As a file that SQLite opens, named after the session's title, with what is not sent yet in it."""
    mona = await stage.person("mona")
    mona.state.map("session")["title"] = "Lisbon: May / June?"
    await mona.post("the azulejos of Lisbon")
    await mona.synced()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("azulejos")
    await visited(ana.page)
    await ana.reload()
    await kept(ana.page, "/assets/worker-", ".wasm")
    await lose_network(ana.device)
    await ana.reload()
    await ana.say("not sent yet")
    await ana.page.get_by_role("tab", name="Timeline").click()
    async with ana.page.expect_download() as begun:
        await ana.press("Download as .sqlite")
    download = await begun.value
    await download.save_as(tmp_path / "file")

    assert download.suggested_filename == "Lisbon May June.sqlite"
    with closing(sqlite3.connect(tmp_path / "file")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        texts = database.execute('SELECT seq, "by", text FROM messages ORDER BY seq IS NULL, seq').fetchall()
    assert texts == [(1, "user:mona", "the azulejos of Lisbon"), (None, None, "not sent yet")]


async def test_an_erased_session_is_not_found_any_more(stage: Stage, new_device: MakeDevice) -> None:
    """It was deleted on the server, and the copy here is erased: the index has none of its words left."""
    mona = await stage.person("mona")
    await mona.post("the azulejos of Lisbon")
    await mona.synced()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("azulejos")
    assert not await ana.page.evaluate(_IS_KEPT % [".wasm"]), "on a first visit nothing is loaded for an index"
    await in_charge(ana.page)
    await find(ana.page, "azul")
    await kept(ana.page, ".wasm")
    await note(ana.page, "1 message on this device and the server")
    await ana.page.keyboard.press("Escape")
    await delete(stage.server.url, SESSION)
    await ana.press("Erase the copy on this device")
    await expect(ana.page).to_have_url(re.compile("/$"))
    await find(ana.page, "azul")

    await note(ana.page, "Nothing found on this device and the server")
