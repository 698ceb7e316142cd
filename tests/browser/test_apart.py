"""Apart: what people see and can do without a network, and what becomes of it: nothing is lost, nothing comes twice."""

import re

from playwright.async_api import expect

from tests.browser.chromium import Device, frozen, in_charge, renderer
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Stage, ended
from tests.harness import until

_DAY_MS = 86_400_000
_WRONG_CLOCK = f"""
const now = Date.now;
Date.now = () => now() + {_DAY_MS};
window.Date = class extends Date {{ constructor(...given) {{ given.length ? super(...given) : super(Date.now()); }} }};
"""


async def lose_network(device: Device) -> None:
    """What the browser itself notices, and the cut of what was open."""
    device.proxy.refusing = True
    device.proxy.cut()
    await device.offline(True)


async def find_network(device: Device) -> None:
    """The network is back, and the browser is told so."""
    device.proxy.heal()
    await device.offline(False)


async def ready_for_offline(desk: Desk) -> None:
    """Return when the service worker has the console's files and serves them."""
    await in_charge(desk.page)


async def test_a_cold_start_without_a_network(stage: Stage, new_device: MakeDevice) -> None:
    """History is there, a message is taken and shown as not sent, outlives a SIGKILL of its tab, and arrives once."""
    mona = await stage.person("mona")
    await mona.post("from before")
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("from before")
    await ready_for_offline(ana)
    await lose_network(ana.device)
    await ana.page.close()
    ana = await ana.tab()
    await ana.shows("from before")
    await ana.says("Offline")
    await ana.say("written in a tunnel")
    await expect(ana.message("written in a tunnel")).to_contain_text("this device, not sent yet")
    await ana.kill()
    ana = await ana.tab()
    await expect(ana.message("written in a tunnel")).to_contain_text("this device, not sent yet")
    await find_network(ana.device)

    await ana.live()
    fresh = await stage.curtain()
    assert [view.text for view in fresh.messages()] == ["from before", "written in a tunnel"]
    await ana.agrees(fresh)


async def test_saved_here_and_on_the_server_are_told_apart(stage: Stage, new_device: MakeDevice) -> None:
    """What does not get out is shown as not sent, also right after somebody else's edit came in."""
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.live()
    ana.device.proxy.stall(up=True, down=False)
    await ana.say("mine")
    await ben.say("theirs")
    await ana.shows("theirs")
    await expect(ana.message("theirs")).not_to_contain_text("not sent yet")
    await expect(ana.message("mine")).to_contain_text("this device, not sent yet")
    await expect(ana.pill).to_contain_text(re.compile(r"\d+ edits?"))
    await expect(ben.message("mine")).to_have_count(0)
    ana.device.proxy.heal()

    await expect(ana.message("mine")).not_to_contain_text("not sent yet")
    await expect(ana.pill).not_to_contain_text("edit")
    fresh = await stage.curtain()
    for desk in (ana, ben):
        await desk.agrees(fresh)


async def test_two_devices_edit_the_document_without_a_network(stage: Stage, new_device: MakeDevice) -> None:
    """Both edits survive, character by character, and both see the same text in the end."""
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.write("one three")
    await expect(ben.document).to_have_value("one three")
    await ben.live()
    for desk in (ana, ben):
        await lose_network(desk.device)
        await desk.says("Offline")
    await ana.document.press("Home")
    for _ in range(4):
        await ana.document.press("ArrowRight")
    await ana.document.press_sequentially("two ")
    await ben.write(" four")
    await expect(ana.document).to_have_value("one two three")
    await expect(ben.document).to_have_value("one three four")
    for desk in (ana, ben):
        await find_network(desk.device)

    for desk in (ana, ben):
        await expect(desk.document).to_have_value("one two three four")
    fresh = await stage.curtain()
    await until(lambda: str(fresh.state.text("document")) == "one two three four", "the text everywhere")


async def test_the_button_cuts_this_tab_alone(stage: Stage, new_device: MakeDevice) -> None:
    """It hears nothing, not even of this device's other tab, and keeps what is written; let back, both have it all."""
    one = await Desk.of(await new_device("ana", stage.server))
    two = await one.tab()
    await one.say("before")
    await two.shows("before")
    await one.press("Cut network")
    await one.says("Offline, this tab's network is cut")
    await two.say("together")
    # It has the link now: whoever takes that over looks into the store that they share, once.
    await expect(two.message("together")).not_to_contain_text("not sent yet")
    await one.say("alone")
    await expect(one.message("alone")).to_contain_text("this device, not sent yet")
    await expect(one.message("together")).to_have_count(0)
    await expect(two.message("alone")).to_have_count(0)
    await one.press("Reconnect")

    await one.shows("together")
    await two.shows("alone")
    fresh = await stage.curtain()
    for tab in (one, two):
        await tab.agrees(fresh)


async def test_a_tab_that_was_cut_off_is_so_in_every_session(stage: Stage, new_device: MakeDevice) -> None:
    """Another one that is opened says so too, and one press there brings the tab back."""
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("before")
    await ana.live()
    await ana.press("Cut network")
    await ana.press("New session")
    await expect(ana.page).not_to_have_url(re.compile(f"/s/{SESSION}$"))
    await ana.says("Offline, this tab's network is cut")
    await ana.press("Reconnect")

    await ana.live()


async def test_who_was_away_is_told_what_came(stage: Stage, new_device: MakeDevice) -> None:
    """How much it was, and how many runs ended; a line stands where it begins, and a button leads there."""
    await stage.agent()
    mona = await stage.person("mona")
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner counts 0.05")
    await ana.shows("1 2 3")
    await ana.press("Cut network")
    await ana.says("Offline")
    await until(mona.runs, "the run at the other end")
    await mona.steer("enough", run=mona.runs()[0].id)
    await ended(mona, mona.messages()[0].id)
    for number in range(60):
        await mona.post(f"small talk {number}")
    await mona.synced()
    await ana.press("Reconnect")

    await ana.says("Caught up")
    told = ana.page.get_by_text("while you were away, 1 run finished")
    await expect(told).to_contain_text(re.compile(r"^Caught up: 6\d events"))
    await expect(ana.message("small talk 59")).to_be_in_viewport()
    await ana.press("Show")
    await expect(ana.page.get_by_text("New since you were away")).to_be_in_viewport()
    await ana.press("Dismiss")
    await expect(told).to_have_count(0)


async def test_a_tab_that_slept_recovers_when_it_wakes(stage: Stage, new_device: MakeDevice) -> None:
    """Its socket was cut while it was frozen; awake it has what was said meanwhile, and writes again."""
    mona = await stage.person("mona")
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.live()
    async with frozen(ana.page):
        ana.device.proxy.cut()
        await mona.post("while you slept")
        await mona.synced()

    await ana.shows("while you slept")
    await ana.live()
    await ana.say("good morning")
    await until(lambda: mona.messages()[-1].text == "good morning", "the message at the other end")
    await ana.agrees(await stage.curtain())


async def test_the_tab_with_the_link_is_killed(stage: Stage, new_device: MakeDevice) -> None:
    """Right after it showed a message that could not get out: another tab sends it, once."""
    one = await Desk.of(await new_device("ana", stage.server))
    two = await one.tab()
    await one.live()
    pid = await renderer(one.page)
    one.device.proxy.stall(up=True, down=False)
    await one.say("last words")
    await expect(one.message("last words")).to_contain_text("not sent yet")
    await one.kill(pid=pid)
    two.device.proxy.heal()

    await expect(two.message("last words")).not_to_contain_text("not sent yet")
    await two.say("afterwards")
    await expect(two.message("afterwards")).not_to_contain_text("not sent yet")
    fresh = await stage.curtain()
    assert [view.text for view in fresh.messages()] == ["last words", "afterwards"]
    await two.agrees(fresh)


async def test_the_tab_with_the_link_is_frozen(stage: Stage, new_device: MakeDevice) -> None:
    """Another tab goes on in its place; the one that wakes has lost nothing and writes again."""
    one = await Desk.of(await new_device("ana", stage.server))
    two = await one.tab()
    await two.say("before")
    await expect(one.message("before")).not_to_contain_text("not sent yet")
    async with frozen(one.page):
        await two.say("meanwhile")
        await expect(two.message("meanwhile")).not_to_contain_text("not sent yet")

    await one.shows("meanwhile")
    await one.say("awake")
    await two.shows("awake")
    await expect(two.message("awake")).not_to_contain_text("not sent yet")
    fresh = await stage.curtain()
    assert [view.text for view in fresh.messages()] == ["before", "meanwhile", "awake"]
    for tab in (one, two):
        await tab.agrees(fresh)


async def test_storage_that_is_cleared_while_it_is_open(stage: Stage, new_device: MakeDevice) -> None:
    """What was not sent yet is kept and sent, what others wrote is there again, and the tab goes on."""
    mona = await stage.person("mona")
    await mona.post("from mona")
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("from mona")
    await lose_network(ana.device)
    await ana.says("Offline")
    await ana.say("still here, mind you")
    devtools = await ana.device.context.new_cdp_session(ana.page)
    await devtools.send("Storage.clearDataForOrigin", {"origin": ana.device.url, "storageTypes": "indexeddb"})
    await ana.insist("after it")  # While the browser erases, nothing can be stored, and nothing is said to be.
    await find_network(ana.device)

    fresh_texts = {"from mona", "still here, mind you", "after it"}
    await until(lambda: {view.text for view in mona.messages()} == fresh_texts, "all at the other end")
    await ana.live()
    await ana.reload()
    await ana.agrees(await stage.curtain())


async def test_a_clock_that_is_a_day_wrong(stage: Stage, new_device: MakeDevice) -> None:
    """Messages stand in the server's order with the server's times, and no run looks a day long."""
    agent = await stage.agent()
    device = await new_device("ana", stage.server)
    await device.context.add_init_script(_WRONG_CLOCK)
    ana = await Desk.of(device)
    ben = await Desk.of(await new_device("ben", stage.server))
    for desk, text in ((ana, "first"), (ben, "second"), (ana, "third")):
        await desk.say(text)
        for each in (ana, ben):
            await expect(each.message(text)).not_to_contain_text("not sent yet")
            await each.shows(text)
    await ana.say("@planner counts 0.05")
    await expect(ana.card()).to_contain_text(re.compile(r"running, 00:\d\d"))
    await expect(ana.card()).not_to_contain_text("24:0")
    await ana.steer("enough")
    await expect(ana.card()).to_contain_text("done in")

    assert len(agent.notes("begin")) == 1
    fresh = await stage.curtain()
    assert [view.text for view in fresh.messages()][:3] == ["first", "second", "third"]
    for desk in (ana, ben):
        await desk.agrees(fresh)


async def test_search_without_a_network(stage: Stage, new_device: MakeDevice) -> None:
    """A word of long ago is found on this device, and chosen it is shown where it stands, above what was drawn."""
    mona = await stage.person("mona")
    await mona.post("the azulejos of Lisbon")
    for number in range(120):
        await mona.post(f"small talk {number}")
    await mona.synced()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.shows("small talk 119")
    await expect(ana.message("azulejos")).to_have_count(0)
    await ready_for_offline(ana)
    await lose_network(ana.device)
    await ana.says("Offline")
    await ana.page.keyboard.press("Control+k")
    await ana.page.get_by_role("combobox", name="Words to find").fill("azul")
    await expect(ana.page.get_by_role("option")).to_contain_text("the azulejos of Lisbon")
    await expect(ana.page.get_by_role("dialog").get_by_role("status")).to_contain_text("on this device")
    await ana.page.keyboard.press("Enter")

    await expect(ana.message("azulejos")).to_be_in_viewport()
