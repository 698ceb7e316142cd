"""Sharing by link, as two people meet it: one makes it, the other follows it, and it can be taken back."""

from pathlib import Path

from playwright.async_api import expect

from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import busy_session, shown, sign_in
from tests.harness import Running


async def test_who_follows_a_link_is_in_until_it_is_taken_back(
    served: Running, new_device: MakeDevice, tmp_path: Path
) -> None:
    """As a guest under a name of their own, in the role of the link, also after a reload; then they are shut out."""
    ana, ben = await new_device("ana", served), await new_device("ben", served)
    async with busy_session(served.url, tmp_path):
        hers = await sign_in(ana, "ana", "/s/trip")
        await hers.get_by_role("button", name="Share", exact=True).click()
        await hers.get_by_role("radio", name="read", exact=True).check()
        await hers.get_by_role("button", name="Make a link").click()
        link = await hers.get_by_label("Link", exact=True).input_value()
        his = await ben.tab(link.removeprefix(ana.url))
        await his.get_by_label("Your name").fill("Ben")
        await his.get_by_role("button", name="Join").click()
        await shown(his, "Lisbon in May")
        assert "invite" not in his.url
        await true_in(hers, "document.querySelector('header.top').textContent.includes('Ben')", "Ben among the faces")
        await his.reload()
        await shown(his, "Plan it, please")
        await hers.get_by_role("button", name="Take back").click()
        await true_in(his, "!document.querySelector('header.top')?.textContent.includes('Live')", "Ben to be cut off")
        again = await ben.tab(link.removeprefix(ana.url))
        await again.get_by_role("button", name="Join").click()
        await shown(again, "revoked")


async def test_a_page_that_may_not_copy_says_how_to(served: Running, new_device: MakeDevice) -> None:
    """One that is not secure has no clipboard: the link is selected, and the dialog says what to press."""
    ana = await new_device("ana", served)
    await ana.context.add_init_script("Object.defineProperty(Navigator.prototype, 'clipboard', { value: undefined })")
    tab = await sign_in(ana, "ana", "/s/trip")
    await tab.get_by_role("button", name="Share", exact=True).click()
    dialog = tab.get_by_role("dialog", name="Share")
    await dialog.get_by_role("button", name="Make a link").click()
    link = await dialog.get_by_label("Link", exact=True).input_value()
    await dialog.get_by_role("button", name="Copy", exact=True).click()

    await expect(dialog.get_by_role("status")).to_contain_text("press Ctrl+C")
    assert await tab.evaluate("getSelection().toString()") == link


async def test_what_leads_nowhere_says_so_and_where_to_go(served: Running, new_device: MakeDevice) -> None:
    """An address that is no session's, and a link that is no invitation; a slash behind an address is no matter."""
    ana = await new_device("ana", served)
    tab = await sign_in(ana, "ana", "/s/trip/")
    field = tab.get_by_role("textbox", name="Message", exact=True)
    await expect(field).to_be_visible()
    await tab.goto(f"{ana.url}/s/a%20b")
    await expect(tab.get_by_role("alert")).to_contain_text("There is no session at this address")
    await tab.goto(f"{ana.url}/#invite=nonsense")
    await tab.get_by_role("button", name="Join").click()
    await expect(tab.get_by_role("alert")).to_be_visible()
    await tab.get_by_role("button", name="Go on without it").click()

    await expect(tab.get_by_role("heading", name="syncd")).to_be_visible()
    await expect(tab.get_by_role("alert")).to_have_count(0)
    assert tab.url == f"{ana.url}/"
