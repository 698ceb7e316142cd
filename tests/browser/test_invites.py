"""Sharing by link, as two people meet it: one makes it, the other follows it, and it can be taken back."""

from pathlib import Path

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
