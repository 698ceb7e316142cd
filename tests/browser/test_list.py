"""The console's list: what is new in sessions that this device has never opened."""

from pathlib import Path

from playwright.async_api import expect
from syncd_client import Client

from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.desk import Desk
from tests.e2e.stories.stage import Stage
from tests.harness import mint, until

#: The sessions that this device has a copy of.
_COPIES = """new Promise((resolve) => {
  const opening = indexedDB.open("syncd:syncd user:ana");
  opening.onsuccess = () => {
    const asked = opening.result.transaction("session").objectStore("session").getAllKeys();
    asked.onsuccess = () => { opening.result.close(); resolve(asked.result); };
  };
})"""


async def test_the_list_tells_of_sessions_that_are_not_open(
    stage: Stage, new_device: MakeDevice, tmp_path: Path
) -> None:
    """A title, what is new, that somebody is there, and that it waits for this person; read there, it is read here."""
    ana = await Desk.of(await new_device("ana", stage.server))
    sessions = ana.page.get_by_role("navigation", name="Sessions")
    async with Client(stage.server.url, token=mint("user:ben"), store=tmp_path / "ben.db") as ben:
        trip = await ben.open("elsewhere")
        trip.set_activity("active")
        trip.rename("Two days in Lisbon")
        for text in ("one", "two"):
            await trip.post(text, to=["user:ana"])
        row = sessions.get_by_role("link", name="Two days in Lisbon")
        await expect(row).to_contain_text("2 new")
        await expect(row).to_contain_text("1 here")
        await trip.assign("user:ana", note="the taxi")
        await expect(row).to_contain_text("needs you")
        async with Client(stage.server.url, token=mint("user:ana"), store=tmp_path / "phone.db") as phone:
            there = await phone.open("elsewhere")
            await until(lambda: len(there.messages()) == 2 and there.responsible == "user:ana")
            await there.mark_read()
            await expect(row).not_to_contain_text("needs you")
            await expect(row).not_to_contain_text("new")
    await ana.reload()
    await expect(sessions.get_by_role("link", name="Two days in Lisbon")).to_be_visible()


async def test_what_was_put_away_elsewhere_is_gone_from_the_list(
    stage: Stage, new_device: MakeDevice, tmp_path: Path
) -> None:
    """Though this device has a copy of it, which a reload finds."""
    async with Client(stage.server.url, token=mint("user:ana"), store=tmp_path / "phone.db") as phone:
        for session, title in (("elsewhere", "Two days in Lisbon"), ("kept", "The taxi")):
            there = await phone.open(session)
            there.rename(title)
            await there.post("one")
            await there.synced()
        ana = await Desk.of(await new_device("ana", stage.server))
        rows = ana.page.get_by_role("navigation", name="Sessions").get_by_role("listitem")
        await expect(rows.filter(has_text="Two days in Lisbon")).to_be_visible()
        await true_in(ana.page, f"({_COPIES}).then((all) => all.includes('elsewhere'))", "a copy on this device")
        await phone.archive("elsewhere")
        await expect(rows.filter(has_text="Two days in Lisbon")).to_have_count(0)
        await expect(rows.filter(has_text="elsewhere")).to_have_count(0)
        await ana.reload()
        await expect(rows.filter(has_text="The taxi")).to_be_visible()
        await expect(rows.filter(has_text="elsewhere")).to_have_count(0)
