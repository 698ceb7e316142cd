"""People: handing over, letting somebody in by a link, and doing it all without a mouse."""

from playwright.async_api import Page, expect

from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import mint

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
    """Everybody sees who is responsible now, and the note; an agent that is answers what names nobody."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.say("@planner says here")
    await expect(ben.card()).to_contain_text("done in")
    await ana.press("Hand over")
    dialog = ana.page.get_by_role("dialog", name="Hand over")
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
    """In the link's role: they read and write, but not in the document; what they write is a guest's by its author."""
    ana = await Desk.of(await new_device("ana", stage.server), token=mint("user:ana", _ADMIN))
    await ana.say("welcome")
    await ana.write("ours")
    await ana.press("Share")
    dialog = ana.page.get_by_role("dialog", name="Share")
    await dialog.get_by_label("read and write", exact=True).check()
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_label("Link", exact=True).input_value()
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

    fresh = await stage.curtain()
    assert (fresh.messages()[-1].by or "").startswith("user:guest-")
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
