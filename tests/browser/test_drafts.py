"""Drafts: what is typed is not lost, whatever becomes of the message before it, of the page, or of who is signed in."""

from playwright.async_api import expect

from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import Stage
from tests.harness import mint

#: Keep all of the page's stores from being written to by anybody else, until `release` is called.
_HOLD = """async () => {
  let held = true;
  const done = [];
  for (const { name } of await indexedDB.databases()) {
    const database = await new Promise((resolve, reject) => {
      const asked = indexedDB.open(name);
      asked.onsuccess = () => resolve(asked.result);
      asked.onerror = () => reject(asked.error);
    });
    const writing = database.transaction([...database.objectStoreNames], "readwrite");
    const store = writing.objectStore(database.objectStoreNames[0]);
    const again = () => held && (store.count().onsuccess = again);
    await new Promise((resolve) => (store.count().onsuccess = () => resolve(again())));
    done.push(new Promise((resolve) => (writing.oncomplete = () => resolve(database.close()))));
  }
  window.release = () => Promise.all(done, (held = false));
}"""


async def test_what_is_typed_while_a_message_is_saved(stage: Stage, new_device: MakeDevice) -> None:
    """It stays in the field, over a reload too; a second Enter does not send the message again."""
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("first")
    await expect(ana.message("first")).not_to_contain_text("not sent yet")
    other = await ana.device.tab("/icon.svg")
    await other.evaluate(_HOLD)
    await ana.page.bring_to_front()
    await ana.field.fill("second")
    await ana.field.press("Enter")
    await ana.field.press("Enter")
    await expect(ana.field).to_have_value("")
    await ana.field.press_sequentially("third")
    await expect(ana.field).to_have_value("third")
    await other.evaluate("release()")
    await expect(ana.message("second")).not_to_contain_text("not sent yet")
    await expect(ana.field).to_have_value("third")
    await ana.reload()

    await expect(ana.field).to_have_value("third")
    fresh = await stage.curtain()
    assert [view.text for view in fresh.messages()] == ["first", "second"]
    await ana.agrees(fresh)


async def test_a_draft_is_its_writers(stage: Stage, new_device: MakeDevice) -> None:
    """What another tab sends does not take it away, and who signs in next does not see it: it waits for its writer."""
    ana = await Desk.of(await new_device("ana", stage.server))
    two = await ana.tab()
    await ana.field.fill("a long one, in the first tab")
    await two.say("quick")
    await ana.reload()
    await expect(ana.field).to_have_value("a long one, in the first tab")
    await two.page.close()
    for name, draft in (("theo", ""), ("ana", "a long one, in the first tab")):
        await ana.sign_out()
        await ana.page.get_by_label("Your token").fill(mint(f"user:{name}"))
        await ana.press("Sign in")
        await ana.opened()

        await expect(ana.field).to_have_value(draft)
