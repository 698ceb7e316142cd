"""Accounts: who leaves is asked about what is not sent, and who comes next at this browser finds nothing of theirs."""

import re

from playwright.async_api import Page, expect

from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import shown, sign_in
from tests.browser.desk import Desk
from tests.browser.test_find import delete
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import Running, mint, until

#: Whether the server has all that was written in this browser, by what is stored here.
_ALL_SYNCED = """(async () => {
  const done = (asked) => new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
  let count = 0;
  for (const { name } of await indexedDB.databases()) {
    const db = await done(indexedDB.open(name));
    const rows = db.transaction("row").objectStore("row");
    if (rows.indexNames.contains("mine")) count += await done(rows.index("mine").count());
    db.close();
  }
  return count === 0;
})()"""
_ADMIN = ("transcript", "state", "presence", "command", "admin")


async def made_link(page: Page) -> str:
    """Make a link to the session that is open, by its Share dialog."""
    await page.get_by_role("button", name="Share", exact=True).click()
    dialog = page.get_by_role("dialog", name="Share")
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_label("Link", exact=True).input_value()
    await page.keyboard.press("Escape")
    return link


async def test_a_guest_is_asked_before_words_are_lost(stage: Stage, new_device: MakeDevice) -> None:
    """With something unsent, Sign out says that it is lost and lets them stay; once it is sent nothing is asked."""
    ana = await Desk.of(await new_device("ana", stage.server), token=mint("user:ana", _ADMIN))
    link = await made_link(ana.page)
    there = await new_device("guest", stage.server)
    page = await there.tab(link.removeprefix(ana.device.url))
    await page.get_by_label("Your name").fill("Gwen")
    await page.get_by_role("button", name="Join").click()
    guest = await Desk(there, page).opened()
    await guest.live()
    await guest.press("Cut network")
    await guest.say("my only words")
    await guest.press("Sign out")
    asked = page.get_by_role("dialog", name="Sign out?")
    await expect(asked).to_contain_text(re.compile(r"\d edits? of yours (is|are) on this device only"))
    await expect(asked).to_contain_text("lost when you sign out")
    await asked.get_by_role("button", name="Stay").click()
    await expect(asked).to_have_count(0)
    await guest.press("Reconnect")
    await expect(guest.message("my only words")).not_to_contain_text("not sent yet")
    await guest.sign_out()

    await expect(page.get_by_label("Your token")).to_be_visible()
    await ana.shows("my only words")


async def test_what_was_typed_and_refused_can_be_copied(stage: Stage, new_device: MakeDevice) -> None:
    """Of the shared document too: the words leave it, and are shown in one piece with what the server said."""
    device = await new_device("ana", stage.server, permissions=["clipboard-read", "clipboard-write"])
    ana = await Desk.of(device)
    await ana.live()
    theo = await stage.person("theo")
    await ana.write("Plan: ")
    await until(lambda: str(theo.state.text("document")) == "Plan: ", "what she may write")
    await true_in(ana.page, _ALL_SYNCED, "everything synced")
    await ana.press("Cut network")
    await ana.write("tram 28")
    await ana.press("Sign out")
    await ana.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    await ana.page.get_by_label("Your token").fill(mint("user:ana", ("transcript", "presence")))
    await ana.press("Sign in")
    await expect(ana.trouble).to_contain_text("refused by the server")
    await expect(ana.document).to_have_value("Plan: ")
    await expect(ana.trouble.get_by_role("blockquote")).to_have_text(["tram 28"])
    await ana.press("Copy")

    assert await ana.page.evaluate("navigator.clipboard.readText()") == "tram 28"


async def test_who_has_a_token_finds_unsent_words_again(stage: Stage, new_device: MakeDevice) -> None:
    """They are told so before they leave; with their next sign-in the words go out."""
    device = await new_device("ana", stage.server)
    ana = await Desk.of(device)
    await ana.live()
    await ana.press("Cut network")
    await ana.say("for later")
    await ana.press("Sign out")
    asked = ana.page.get_by_role("dialog", name="Sign out?")
    await expect(asked).to_contain_text("when you sign in here again as ana")
    await asked.get_by_role("button", name="Sign out").click()
    await expect(ana.page.get_by_label("Your token")).to_be_visible()
    await ana.page.close()

    again = await Desk.of(device)
    await expect(again.message("for later")).not_to_contain_text("not sent yet")


async def test_who_comes_next_finds_nothing_of_who_left(served: Running, new_device: MakeDevice) -> None:
    """Neither the tab's title, nor the links they made, nor what they selected; and all tabs are who came."""
    device = await new_device("mona", served)
    mona = Desk(device, await sign_in(device, "mona", "/s/one"))
    await mona.say("first")
    await mona.edit("first", "second")
    await mona.press("Previous alternative")
    await mona.shows("first")
    await expect(mona.page).to_have_title("first · syncd")
    await made_link(mona.page)
    await true_in(mona.page, _ALL_SYNCED, "everything synced")
    other = await mona.tab(session="one")
    await mona.sign_out()
    await expect(mona.page).to_have_title("syncd")
    await other.page.get_by_label("Your name").wait_for()
    await mona.page.get_by_label("Your name").fill("theo")
    await mona.page.get_by_role("button", name="Come in").click()

    for tab in (mona, other):
        await shown(tab.page, "Signed in as theo")
        await tab.shows("second")
    await other.press("Share")
    await expect(other.page.get_by_role("dialog", name="Share")).not_to_contain_text("Links made here")
    # A page that the browser kept for the way back was told of nothing: storage says nothing to who writes, either.
    await mona.page.evaluate("localStorage.removeItem('syncd:account'); dispatchEvent(new Event('pageshow'))")
    await mona.page.get_by_label("Your name").wait_for()


async def test_a_server_that_did_not_answer_is_asked_again(served: Running, new_device: MakeDevice) -> None:
    """A page that was loaded while the server told it nothing lets people in once it does, without a reload."""
    device = await new_device("mona", served, service_workers="block")
    await device.context.route("**/v1/console", lambda route: route.abort())
    page = await device.tab("/s/one")
    await shown(page, "The server does not answer")
    await device.context.unroute("**/v1/console")

    await expect(page.get_by_label("Your name")).to_be_visible()


async def test_a_link_to_a_message_outlives_the_sign_in(served: Running, new_device: MakeDevice) -> None:
    """Whoever follows it and has to come in first is led to the message."""
    device = await new_device("mona", served)
    page = await sign_in(device, "mona", "/s/one?m=m1")

    await expect(page).to_have_url(f"{device.url}/s/one?m=m1")


async def test_what_was_not_sent_can_be_kept_before_the_copy_is_erased(stage: Stage, new_device: MakeDevice) -> None:
    """Where a session is over on the server, the words that it never had are copied by one press."""
    device = await new_device("ana", stage.server, permissions=["clipboard-read", "clipboard-write"])
    ana = await Desk.of(device)
    await ana.say("sent")
    await expect(ana.message("sent")).not_to_contain_text("not sent yet")
    await ana.live()
    await ana.press("Cut network")
    await ana.say("one")
    await ana.say("two")
    await delete(stage.server.url, SESSION)
    await ana.press("Reconnect")
    await expect(ana.trouble).to_contain_text("deleted for good")
    await ana.press("Copy what was not sent")

    await true_in(ana.page, "navigator.clipboard.readText().then((text) => text === 'one\\n\\ntwo')")
