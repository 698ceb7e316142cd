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


async def test_another_answer(stage: Stage, new_device: MakeDevice) -> None:
    """The counter is on the answer alone; what was said to the first goes and comes with it, here and elsewhere."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner says tram")
    await expect(ana.card()).to_contain_text("done in")
    await ana.say("thanks")
    await ana.card().hover()
    await ana.card().get_by_role("button", name="Another answer").click()
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
