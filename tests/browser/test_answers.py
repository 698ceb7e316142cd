"""Answers: they go on whatever becomes of the tab, the network or the server, and can be stopped and steered."""

import json
import re
from typing import Any

from playwright.async_api import expect
from syncd_client import Session

from syncd.core.transcript import MessageView
from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import SESSION, Noting, ProcessStage, Stage, answers, ended, numbers
from tests.harness import mint, until


def counted(agent: Noting) -> int:
    """The last number of an agent that was steered while it counted."""
    [note] = agent.notes("counted")
    return int(note.split()[1])


async def test_a_reload_in_mid_stream_shows_one_message(stage: Stage, new_device: MakeDevice) -> None:
    """The message in flight is there at once after it, then goes on live; there is one, not two."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner count 150 0.03")
    await ana.shows("1 2 3 4 5")
    await ana.reload()

    await ana.shows("1 2 3 4 5")
    await expect(ana.card()).to_contain_text("done in")
    await expect(ana.card()).to_have_count(1)
    fresh = await stage.curtain()
    assert answers(fresh) == [numbers(150)]
    await ana.agrees(fresh)


async def test_an_answer_goes_on_through_a_cut_a_reload_and_a_killed_server(
    process_stage: ProcessStage, new_device: MakeDevice
) -> None:
    """Whatever falls out while it is being given, it is whole in the end, and given once."""
    agent = await process_stage.agent()
    ana = await Desk.of(await new_device("ana", process_stage.server))
    await ana.say("@planner counts 0.03")
    await ana.shows("1 2 3 4 5")
    ana.device.proxy.refusing = True
    ana.device.proxy.cut()
    await expect(ana.card()).to_contain_text("was running when last heard")
    await ana.reload()
    await ana.shows("1 2 3 4 5")
    ana.device.proxy.heal()
    await ana.live()
    await process_stage.server.kill()
    await expect(ana.card()).to_contain_text("was running when last heard")
    await process_stage.server.start()
    await ana.live()
    await ana.steer("enough")

    await expect(ana.card()).to_contain_text("done in")
    assert len(agent.notes("begin")) == 1
    fresh = await process_stage.curtain()
    assert answers(fresh) == [numbers(counted(agent))]
    await ana.agrees(fresh)


async def test_another_device_stops_it(stage: Stage, new_device: MakeDevice) -> None:
    """What was said stays, with the agent's last word; both are told who stopped it."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.say("@planner sleeps")
    await ben.shows("working")
    await ben.press("Stop planner")

    for desk in (ana, ben):
        await expect(desk.card()).to_contain_text("stopped by ben")
        await expect(desk.card()).to_contain_text("working bye")
        await expect(desk.page.get_by_role("button", name="Stop planner")).to_have_count(0)
    fresh = await stage.curtain()
    for desk in (ana, ben):
        await desk.agrees(fresh)


async def test_another_device_steers_it(stage: Stage, new_device: MakeDevice) -> None:
    """The agent hears it while it works, and it stands in the transcript of both."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    ben = await Desk.of(await new_device("ben", stage.server))
    await ana.say("@planner listens")
    await expect(ben.page.get_by_role("button", name="Steer")).to_be_visible()
    await ben.steer("more food")

    for desk in (ana, ben):
        await desk.shows("told: more food", "ben steered: more food")
        await expect(desk.page.get_by_role("button", name="Steer")).to_have_count(0)
    fresh = await stage.curtain()
    for desk in (ana, ben):
        await desk.agrees(fresh)


async def test_a_run_that_waits_shows_send_and_not_stop(stage: Stage, new_device: MakeDevice) -> None:
    """Nothing is under way to be stopped or steered: what one can do is write, and answer."""
    await stage.agent()
    ana = await Desk.of(await new_device("ana", stage.server))
    await ana.say("@planner books LX1")
    await expect(ana.page.get_by_role("button", name="Approve")).to_be_visible()
    await expect(ana.card()).to_contain_text("waiting for you")

    for name, count in (("Stop", 0), ("Steer", 0), ("Send", 1)):
        await expect(ana.page.get_by_role("button", name=re.compile(f"^{name}"))).to_have_count(count)
    await ana.say("no hurry")
    await expect(ana.message("no hurry")).not_to_contain_text("not sent yet")
    await ana.agrees(await stage.curtain())


async def test_a_token_that_expires_in_mid_stream(stage: Stage, new_device: MakeDevice) -> None:
    """The tab says so and keeps what is typed; signed in again, that goes out and the answer is there, whole."""
    agent = await stage.agent()
    mona = await stage.person("mona")
    asked = await mona.post("counts 0.05", to=["agent:planner"])
    device = await new_device("ana", stage.server)
    page = await device.tab(f"/s/{SESSION}")
    field = page.get_by_label("Your token")
    await expect(field).to_be_visible()
    await field.fill(mint("user:ana", ttl_s=10.0))  # Not before the page is there, which may take long.
    await page.get_by_role("button", name="Sign in").click()
    ana = await Desk(device, page).opened()
    await expect(ana.trouble).to_contain_text("The token expired.")
    await ana.say("still here")
    await expect(ana.message("still here")).to_contain_text("this device, not sent yet")
    await ana.press("Sign in again")
    await ana.page.get_by_label("Your token").fill(mint("user:ana"))
    await ana.press("Sign in")

    await ana.live()
    await ana.steer("enough")
    await expect(ana.card()).to_contain_text("done in")
    await ended(mona, asked.id)
    await expect(ana.trouble).to_have_count(0)
    fresh = await stage.curtain()
    assert answers(fresh) == [numbers(counted(agent))]
    await ana.agrees(fresh)


async def test_python_and_a_browser_read_the_same(bare_stage: Stage, new_device: MakeDevice) -> None:
    """Byte for byte in canonical JSON: messages, their parts, authors, places and times."""
    await bare_stage.agent()
    mona = await bare_stage.person("mona")
    asked = await mona.post("books LX1 “é𝄞”", to=["agent:planner"])
    await mona.approve(str(await until(lambda: _asked(mona), "the question")))
    await ended(mona, asked.id)
    again = await mona.post("count 40 0.01", to=["agent:planner"], metadata={"one": 1, "half": 0.5, "none": None})
    await ended(mona, again.id)
    await mona.edit(asked.id, "says done")
    await until(lambda: "done" in answers(mona), "the other answer")
    device = await new_device("ana", bare_stage.server)
    tab = await device.tab("/tabs.html")
    await tab.evaluate(f"start({{ token: {mint('user:ana')!r}, session: {SESSION!r} }})")

    fresh = await bare_stage.curtain()
    wanted = json.dumps([_record(view) for view in fresh.messages()], sort_keys=True, ensure_ascii=False)
    await true_in(tab, f"look().link === 'live' && session().messages().length === {len(fresh.messages())}")
    read = await tab.evaluate(_RECORDS)
    assert json.dumps(read, sort_keys=True, ensure_ascii=False) == wanted


_RECORDS = """() => session().messages().map((m) => ({
  id: m.id, role: m.role, author: m.author, to: m.to, parts: m.parts, created_at: m.createdAt, run: m.run,
  attempt: m.attempt, parent: m.parent, fork_of: m.forkOf, metadata: m.metadata, seq: m.seq, by: m.by,
  at: m.receipt.at,
}))"""


def _asked(session: Session) -> str:
    """Return the tool call that waits for an approval; empty if there is none."""
    parts = [part for view in session.messages() for part in view.parts if part.get("state") == "approval-requested"]
    return str(parts[0]["tool_call"]) if parts else ""


def _record(view: MessageView) -> dict[str, Any]:
    names = ("run", "attempt", "parent", "fork_of", "to", "metadata")
    return {name: getattr(view, name) for name in names} | view.json()


async def test_a_table_stays_readable_on_a_phone(stage: Stage, new_device: MakeDevice) -> None:
    """No word is cut in two: the table scrolls sideways, and the page does not."""
    mona = await stage.person("mona")
    days = "| Monday | Castle and the old town | Tram 28 to Graça | Fado in Alfama | 120 euros | Comfortable shoes |"
    await mona.post(f"| Day | Morning | Afternoon | Evening | Cost | Notes |\n|---|---|---|---|---|---|\n{days}")
    phone = await new_device("ana", stage.server, viewport={"width": 390, "height": 844})
    ana = await Desk.of(phone)
    await ana.shows("Castle")
    heads = "[...document.querySelectorAll('th')].map((cell) => cell.clientHeight)"
    wide = "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.querySelector('.wide'))"

    assert len(set(await ana.page.evaluate(heads))) == 1
    assert max(await ana.page.evaluate(heads)) < 50
    assert await ana.page.evaluate(wide)
    assert await ana.page.evaluate("document.documentElement.scrollWidth") == 390
