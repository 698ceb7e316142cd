"""Devices and tabs: all of them show the same, all of them may write and decide, and each decision is one."""

import asyncio
from typing import Any

from playwright.async_api import expect
from syncd_client import Session

from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import Stage, answers
from tests.harness import until


def decided(session: Session, count: int) -> list[Any]:
    """The server's receipts of all commands, when it has decided on so many; else nothing."""
    receipts = [command["receipt"] for command in session.commands() if command.get("receipt")]
    return receipts if len(receipts) == count else []


async def test_a_second_tab_approves(stage: Stage, new_device: MakeDevice) -> None:
    """Asked in one tab, loaded again, answered in the other: the run goes on, and nobody is asked twice."""
    agent = await stage.agent()
    one = await Desk.of(await new_device("ana", stage.server))
    two = await one.tab()
    await one.say("@planner books LX1")
    await expect(one.page.get_by_role("button", name="Approve")).to_be_visible()
    await two.reload()
    await two.press("Approve")

    for tab in (one, two):
        await expect(tab.card()).to_contain_text("done, approved by ana")
        await tab.shows("booked by user:ana")
        await expect(tab.page.get_by_role("button", name="Approve")).to_have_count(0)
    assert len(agent.notes("inference")) == 1
    fresh = await stage.curtain()
    for tab in (one, two):
        await tab.agrees(fresh)


async def test_two_devices_decide_at_once(stage: Stage, new_device: MakeDevice) -> None:
    """One says yes and the other no, neither knowing: exactly one counts, both are told which, and it is done once."""
    agent = await stage.agent()
    ana, ben = [await Desk.of(await new_device(name, stage.server)) for name in ("ana", "ben")]
    await ana.say("@planner books LX1")
    for desk in (ana, ben):
        await expect(desk.page.get_by_role("button", name="Approve")).to_be_visible()
        desk.device.proxy.stall(up=True, down=False)
    await ana.press("Approve")
    await ben.press("Deny")
    await ana.shows("Approved here, not sent yet")
    await ben.shows("Denied here, not sent yet")
    for desk in (ben, ana):
        desk.device.proxy.heal()

    await expect(ana.card()).to_contain_text("done in")
    fresh = await stage.curtain()
    receipts: list[Any] = await until(lambda: decided(fresh, 2), "both to be decided on")
    assert sorted(receipt["outcome"] for receipt in receipts) == ["accepted", "late"]
    told = "done, approved by ana" if answers(fresh) == ["booked by user:ana"] else "denied by ben"
    for desk in (ana, ben):
        await expect(desk.card()).to_contain_text(told)
        await desk.agrees(fresh)
    assert len(agent.notes("inference")) == 1


async def test_a_second_tab_sees_all_that_the_first_does(stage: Stage, new_device: MakeDevice) -> None:
    """The prompt, the turn while it is given, the question, the shared state; and both may write."""
    await stage.agent()
    one = await Desk.of(await new_device("ana", stage.server))
    two = await one.tab()
    await one.say("@planner counts 0.05")
    await two.shows("@planner counts", "1 2 3")
    await expect(two.page.get_by_role("button", name="Stop planner")).to_be_visible()
    await two.steer("enough")
    await expect(two.card()).to_contain_text("done in")
    await two.say("@planner books LX1")
    await expect(one.page.get_by_role("button", name="Approve")).to_be_visible()
    await one.write("from one")
    await expect(two.document).to_have_value("from one")
    await two.write(", from two")
    await expect(one.document).to_have_value("from one, from two")
    await asyncio.gather(one.say("typed in one"), two.say("typed in two"))

    for tab in (one, two):
        await tab.shows("typed in one", "typed in two")
    await one.press("Deny")
    await two.shows("not booked")
    fresh = await stage.curtain()
    for tab in (one, two):
        await tab.agrees(fresh)
    assert str(fresh.state.text("document")) == "from one, from two"


async def test_two_devices_with_two_tabs_each(stage: Stage, new_device: MakeDevice) -> None:
    """All four write at once, one device without a network: in the end all four show everything, in one order."""
    ana, ben = [await Desk.of(await new_device(name, stage.server)) for name in ("ana", "ben")]
    desks = {"ana one": ana, "ana two": await ana.tab(), "ben one": ben, "ben two": await ben.tab()}
    await ana.write("Notes:")
    await expect(ben.document).to_have_value("Notes:")
    await ben.live()
    ben.device.proxy.refusing = True
    ben.device.proxy.cut()
    for name, desk in desks.items():
        await desk.say(f"message of {name}")
        await desk.write(f" {name}")
    for name, desk in desks.items():
        await desk.shows(*(f"message of {other}" for other in desks if other[:3] == name[:3]))
    ben.device.proxy.heal()

    for desk in desks.values():
        await desk.shows(*(f"message of {name}" for name in desks))
    fresh = await stage.curtain()
    for desk in desks.values():
        await desk.agrees(fresh)
    document = fresh.state.text("document")
    await until(lambda: all(f" {name}" in str(document) for name in desks), "what all four wrote")
    text = str(document)
    assert all(text.count(f" {name}") == 1 for name in desks)
    for desk in desks.values():
        await expect(desk.document).to_have_value(text)
