"""Branches: questions asked anew and answers made again stand beside each other, with counters, over reloads too."""

from playwright.async_api import Locator, expect

from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import Stage


def counter(of: Locator) -> Locator:
    """The counter of a message or an answer, such as `1/2`."""
    return of.get_by_role("group", name="Alternatives")


async def step(of: Locator, way: str) -> None:
    """Go to the next or the previous alternative."""
    await counter(of).get_by_role("button", name=f"{way} alternative").click()


async def test_a_question_asked_anew(stage: Stage, new_device: MakeDevice) -> None:
    """2/2 is on the question, the branch before is a step away with its answer, and a reload keeps what was chosen."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.say("@planner says tram")
    await expect(ana.card()).to_contain_text("done in")
    await ana.say("thanks for the tram")
    await ana.edit("@planner says tram", "@planner says ferry")
    await expect(counter(ana.message("says ferry"))).to_have_text("2/2")
    await expect(ana.card()).to_contain_text("ferry")
    await expect(ana.message("thanks")).to_have_count(0)
    await expect(counter(ana.card())).to_have_count(0)
    await step(ana.message("says ferry"), "Previous")
    await ana.shows("says tram", "thanks for the tram")
    await ana.reload()

    await ana.shows("says tram", "thanks for the tram")
    await expect(counter(ana.message("says tram"))).to_have_text("1/2")
    await expect(ben.card()).to_contain_text("ferry")
    await expect(counter(ben.message("says ferry"))).to_have_text("2/2")
    fresh = await stage.curtain()
    await ben.agrees(fresh)
    first = fresh.messages()[0].id
    await ana.agrees(fresh, selected={first: first})


async def test_another_wording_that_names_another_agent(stage: Stage, new_device: MakeDevice) -> None:
    """That one is asked and the first is not; Enter asks once, and not at all while nothing is worded otherwise."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner says tram")
    await expect(ana.card()).to_contain_text("done in")
    await ana.message("says tram").get_by_role("button", name="Edit").click()
    field = ana.page.get_by_role("textbox", name="Edit: @planner says tram")
    await field.press("Enter")
    await expect(ana.page.get_by_role("button", name="Ask again")).to_be_disabled()
    await field.fill("@critic says tram")
    await expect(ana.page.get_by_text("To critic.")).to_be_visible()
    await field.evaluate(_ENTER_TWICE)

    await expect(counter(ana.message("@critic"))).to_have_text("2/2")
    await expect(ana.message("@critic")).to_contain_text("to critic")
    await expect(ana.message("@critic")).not_to_contain_text("not sent yet")
    fresh = await stage.curtain()
    assert [view.to for view in fresh.messages() if view.role == "user"] == [("agent:planner",), ("agent:critic",)]
    await ana.agrees(fresh)


_ENTER_TWICE = """(field) => {
  for (const _ of [1, 2])
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
}"""


async def test_another_answer(stage: Stage, new_device: MakeDevice) -> None:
    """A double click asks for one. The counter is on the answer alone; what was said to the first goes with it."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner says tram")
    await expect(ana.card()).to_contain_text("done in")
    await ana.say("thanks")
    await ana.card().hover()
    await ana.card().get_by_role("button", name="Another answer").dblclick()
    await expect(counter(ana.card())).to_have_text("2/2")
    await expect(ana.card()).to_contain_text("done in")
    await expect(ana.message("thanks")).to_have_count(0)
    await expect(counter(ana.message("says tram"))).to_have_count(0)
    await step(ana.card(), "Previous")
    await expect(counter(ana.card())).to_have_text("1/2")
    await ana.shows("thanks")
    await ana.reload()
    await expect(counter(ana.card())).to_have_text("1/2")
    await ana.shows("thanks")
    await step(ana.card(), "Next")

    await expect(ana.message("thanks")).to_have_count(0)
    await ana.agrees(await stage.curtain())
