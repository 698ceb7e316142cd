"""React itself on the library's hooks: what is drawn, how often, and what is left when a component goes."""

import pytest
from playwright.async_api import Page

from syncd.core.ids import run_id
from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.e2e.stories.stage import SESSION, Stage
from tests.harness import mint, until


async def drawn(stage: Stage, new_device: MakeDevice, *, run: str = "", strict: bool = False) -> Page:
    """Open a tab of ana's in which React draws the session, live."""
    tab = await (await new_device("ana", stage.server)).tab("/react.html")
    await tab.evaluate("(token) => start(token)", mint("user:ana"))
    await tab.evaluate("(args) => mount(...args)", [SESSION, run, strict])
    await true_in(tab, "text('strong') === 'live'", "the session, live")
    return tab


@pytest.mark.parametrize("strict", [False, True])
async def test_what_happens_in_a_session_is_drawn(bare_stage: Stage, new_device: MakeDevice, strict: bool) -> None:
    """Messages of others and own ones, who is here, and how a run stands; in strict mode, too."""
    await bare_stage.agent()
    mona = await bare_stage.person("mona")
    asked = await mona.post("listens", to=["agent:planner"])
    tab = await drawn(bare_stage, new_device, run=run_id(asked.id, "agent:planner"), strict=strict)
    await true_in(tab, "text('output') === 'running' && texts()[0] === 'listens'")
    mona.presence.update(status="typing")
    await true_in(tab, "text('aside').split(',').includes('user:mona')")
    await mona.steer("enough", run=run_id(asked.id, "agent:planner"))
    await true_in(tab, "text('output') === 'completed' && texts().some((text) => text.includes('told: enough'))")
    await tab.evaluate("post(['thank you'])")
    await true_in(tab, "texts().includes('thank you')")

    fresh = await bare_stage.curtain()
    await until(lambda: fresh.messages()[-1].text == "thank you", "the message everywhere")
    assert await tab.evaluate("texts()") == [view.text for view in fresh.messages()]


async def test_much_in_one_frame_is_drawn_once(bare_stage: Stage, new_device: MakeDevice) -> None:
    """A hundred messages, each a change of its own, are drawn no oftener than there were frames."""
    tab = await drawn(bare_stage, new_device)
    before = await tab.evaluate("({ ...seen })")
    await tab.evaluate("post(Array.from({ length: 100 }, (_, n) => `message ${n}`))")
    await true_in(tab, "texts().length === 100")
    after = await tab.evaluate("({ ...seen })")

    assert 0 < after["draws"] - before["draws"] <= after["frames"] - before["frames"] + 1


async def test_a_component_that_goes_leaves_nothing(bare_stage: Stage, new_device: MakeDevice) -> None:
    """Its session is closed, nobody sees it here any more, nothing is drawn; drawn again, all is there."""
    mona = await bare_stage.person("mona")
    tab = await drawn(bare_stage, new_device, strict=True)
    await tab.evaluate("session().presence.update({ status: 'reading' })")
    ana = "user:ana"
    await until(lambda: ana in [entry.subject for entry in mona.presence.everyone()], "ana to be here")
    await tab.evaluate("window.left = session()")
    await tab.evaluate("unmount()")

    await until(lambda: ana not in [entry.subject for entry in mona.presence.everyone()], "ana to be gone")
    assert await tab.evaluate("left.post('too late').catch((error) => error.code)") == "closed"
    draws = await tab.evaluate("seen.draws")
    await mona.post("to nobody")
    await mona.synced()
    await tab.evaluate(f"mount({SESSION!r})")
    await true_in(tab, "texts().join() === 'to nobody'")
    assert await tab.evaluate("seen.draws") > draws
