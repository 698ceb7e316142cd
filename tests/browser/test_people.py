"""People: handing over, letting somebody in by a link, and doing it all without a mouse."""

from playwright.async_api import Locator, Page, expect

from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import mint, until

_ADMIN = ("transcript", "state", "presence", "command", "admin")
_FOCUSED = """[document.activeElement].map((at) => at.getAttribute("aria-label") || at.innerText || at.value)[0]"""


async def focus(page: Page, name: str, *, back: bool = False) -> None:
    """Go to what is called `name` by the keyboard alone."""
    for _ in range(60):
        if await page.evaluate(_FOCUSED) == name:
            return
        await page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"the keyboard does not come to {name!r}")


async def test_a_session_is_handed_over(stage: Stage, new_device: MakeDevice) -> None:
    """To a name that can be one. Everybody sees whose, and the note; an agent that is answers what names nobody."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.say("@planner says here")
    await expect(ben.card()).to_contain_text("done in")
    await ana.press("Hand over")
    dialog = ana.page.get_by_role("dialog", name="Hand over")
    await dialog.get_by_role("combobox").select_option(label="Somebody else…")
    other = dialog.get_by_label("Name", exact=True)
    await other.fill("user: bob the builder")
    await dialog.get_by_role("button", name="Hand over").click()
    assert "without spaces" in await other.evaluate("(field) => field.validationMessage")
    await dialog.get_by_role("combobox").select_option(label="planner, an agent")
    await dialog.get_by_label("Note").fill("until Monday")
    await dialog.get_by_role("button", name="Hand over").click()
    for desk in (ana, ben):
        await desk.shows("ana handed over to planner: until Monday")
    await ben.say("says at your service")

    await expect(ben.card()).to_have_count(2)
    await ana.shows("at your service")
    fresh = await stage.curtain()
    assert fresh.responsible == "agent:planner"
    for desk in (ana, ben):
        await desk.agrees(fresh)


async def test_a_guest_comes_by_a_link(stage: Stage, new_device: MakeDevice) -> None:
    """In the link's role: they write, but not in the document, and are named by what they call themselves."""
    ana = await Desk.of(await new_device("ana", stage.server), token=mint("user:ana", _ADMIN))
    await ana.say("welcome")
    await ana.write("ours")
    await ana.press("Share")
    dialog = ana.page.get_by_role("dialog", name="Share")
    await dialog.get_by_label("read and write", exact=True).check()
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_label("Link", exact=True).input_value()
    await dialog.press("Escape")
    there = await new_device("guest", stage.server)
    page = await there.tab(link.removeprefix(ana.device.url))
    await page.get_by_label("Your name").fill("Gwen")
    await page.get_by_role("button", name="Join").click()
    guest = await Desk(there, page).opened()
    assert page.url == f"{there.url}/s/{SESSION}"
    await guest.shows("welcome")
    await expect(guest.document).to_have_value("ours")
    await expect(guest.document).not_to_be_editable()
    await guest.say("good evening")
    await ana.shows("good evening")
    await expect(ana.page.get_by_role("list", name="Who is here")).to_contain_text("Gwen")
    await ana.field.press_sequentially("@gw")
    await expect(ana.page.get_by_role("option")).to_have_text("Gwen guest")
    await ana.field.press("Enter")
    await expect(ana.page.get_by_text("To Gwen (guest)")).to_be_visible()
    await ana.field.fill("@planner, or nobody")
    await expect(ana.page.get_by_text("To planner, not met here yet")).to_be_visible()
    await ana.say("@gwen are you here?")
    await expect(ana.message("are you here?")).not_to_contain_text("not sent yet")

    fresh = await stage.curtain()
    by, asked = fresh.messages()[-2].by or "", fresh.messages()[-1].to
    assert by.startswith("user:guest-")
    assert asked == (by,)
    assert not fresh.runs()
    for desk in (ana, guest):
        await desk.agrees(fresh)


async def test_the_keyboard_alone(stage: Stage, new_device: MakeDevice) -> None:
    """Signing in, writing, naming an agent from the list, sending, and approving: no mouse is needed."""
    await stage.agent()
    there = await Desk.of(await new_device("theo", stage.server))
    await there.say("@planner says hello")
    await expect(there.card()).to_contain_text("done in")
    device = await new_device("ana", stage.server)
    page = await device.tab(f"/s/{SESSION}")
    await page.get_by_label("Your token").wait_for()
    await page.keyboard.insert_text(mint("user:ana"))
    await page.keyboard.press("Enter")
    ana = await Desk(device, page).opened()
    await ana.shows("hello")
    await focus(page, "Message")
    await page.keyboard.type("@pl")
    await expect(page.get_by_role("option")).to_contain_text("planner")
    await page.keyboard.press("Enter")
    await page.keyboard.type("books LX1")
    await expect(ana.field).to_have_value("@planner books LX1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await true_in(page, f"({_FOCUSED}) !== null")
    await focus(page, "Approve", back=True)
    await page.keyboard.press("Enter")

    await ana.shows("booked by user:ana")
    await ana.agrees(await stage.curtain())


async def test_the_focus_comes_back(stage: Stage, new_device: MakeDevice) -> None:
    """From an editor, the title and the word why, to the button that opened it; after an answer, to the card."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    page = ana.page
    await ana.say("@planner books LX1")
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    for name, field in (("Edit", "Edit: @planner books LX1"), ("Rename", "Title"), ("Deny and say why", "Why not")):
        opener = page.get_by_role("button", name=name, exact=True)
        await opener.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("textbox", name=field)).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(opener).to_be_focused()
    await page.get_by_role("button", name="Approve").focus()
    await page.keyboard.press("Enter")

    await ana.shows("booked by user:ana")
    await expect(ana.card()).to_be_focused()


async def test_the_focus_stays_near_what_goes_away(stage: Stage, new_device: MakeDevice) -> None:
    """A button that did its work leaves it to the card around, to the other of two, or to the field for messages; a
    search has it in its field, and hands it back."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    page = ana.page

    async def press(name: str, within: Page | Locator = page) -> Locator:
        button = within.get_by_role("button", name=name, exact=True)
        await expect(button).to_be_enabled()  # One that is not takes no focus.
        await button.focus()
        await page.keyboard.press("Enter")
        return button

    await ana.write("!")
    await press("Undo")
    await expect(page.get_by_role("button", name="Redo")).to_be_focused()
    await press("Redo")
    await expect(page.get_by_role("button", name="Undo")).to_be_focused()
    opener = await press("Hand over")
    await press("Cancel", page.get_by_role("dialog"))
    await expect(opener).to_be_focused()
    await page.keyboard.press("Control+k")
    await expect(page.get_by_role("combobox", name="Words to find")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(opener).to_be_focused()
    await ana.say("one")
    await ana.edit("one", "two")
    await press("Previous alternative")
    await expect(page.get_by_role("button", name="Next alternative")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Previous alternative")).to_be_focused()
    await ana.say("@planner sleeps")
    stop = page.get_by_role("button", name="Stop planner")
    await expect(stop).to_be_visible()
    await press("Stop planner")
    await expect(stop).to_have_count(0)
    await expect(ana.card()).to_be_focused()
    await ana.say("@nobody are you here?")
    await press("Take back what waits for nobody")
    await expect(page.get_by_role("list", name="Waiting")).to_have_count(0)
    await expect(ana.field).to_be_focused()


async def test_a_title_that_was_typed_is_kept(stage: Stage, new_device: MakeDevice) -> None:
    """Also when one goes on elsewhere, and on a phone; not after Esc. Without space it stays, and is said why."""
    device = await new_device("ana", stage.server, viewport={"width": 390, "height": 844}, has_touch=True)
    await device.context.add_init_script(_FULL)
    ana = await Desk.of(device)
    await ana.say("hello")
    name, title = ana.page.get_by_role("heading", level=1), ana.page.get_by_label("Title")

    async def typed(text: str) -> None:
        await ana.press("Rename")
        await title.fill(text)

    await typed("Two days in Lisbon")
    await ana.field.click()
    await expect(name).to_have_text("Two days in Lisbon")
    await typed("never mind")
    await title.press("Escape")
    await expect(name).to_have_text("Two days in Lisbon")
    await ana.page.evaluate("window.full = true")
    await typed("Three days")
    await title.press("Enter")
    await expect(ana.trouble).to_contain_text("no space left")
    await expect(title).to_have_value("Three days")
    await ana.page.evaluate("window.full = false")
    await title.press("Enter")

    await expect(name).to_have_text("Three days")
    await expect(ana.page.get_by_role("button", name="Rename")).to_be_focused()
    shared = (await stage.curtain()).state.map("session")
    await until(lambda: shared.get("title") == "Three days", "the title everywhere")


#: What a browser says that has no space left for an edit, while `full` is true.
_FULL = """const { add } = IDBObjectStore.prototype;
IDBObjectStore.prototype.add = function (...given) {
  if (window.full && this.name === "row") throw new DOMException("no space", "QuotaExceededError");
  return add.apply(this, given);
};"""
