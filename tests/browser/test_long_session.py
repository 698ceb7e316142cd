"""A long session: ten thousand messages are a page of them on the screen, and the rest a scroll away.

How long that takes depends on the machine, and is not looked at here.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.conftest import MakeDevice, stage_with
from tests.browser.desk import Desk
from tests.browser.long_session import IMPORT_LIMITS, import_messages
from tests.e2e.stories.stage import Stage

_COUNT = 10_000
_PAGE = 50


@pytest_asyncio.fixture(loop_scope="session")
async def roomy(tmp_path: Path, console_pages: Path) -> AsyncIterator[Stage]:
    """A stage whose server takes a long session as one file."""
    async with stage_with(console_pages, tmp_path, **IMPORT_LIMITS) as made:
        yield made


async def test_ten_thousand_messages_are_one_page(roomy: Stage, new_device: MakeDevice) -> None:
    """The page holds the newest of them alone; what is older comes on demand, above what is read, which stays."""
    await import_messages(roomy.server.url, _COUNT)
    ana = await Desk.of(await new_device("ana", roomy.server))
    await ana.shows(f"message {_COUNT} of many")
    articles = ana.page.get_by_role("article")
    await expect(articles).to_have_count(_PAGE)
    await expect(ana.message(f"message {_COUNT} ")).to_be_in_viewport()
    await ana.shows(f"{_COUNT - _PAGE} above")
    await ana.page.get_by_role("button", name="Load older").scroll_into_view_if_needed()
    read = ana.message(f"message {_COUNT - _PAGE + 1} ")
    await expect(read).to_be_in_viewport()
    await ana.press("Load older")

    await expect(articles).to_have_count(2 * _PAGE)
    await ana.shows(f"message {_COUNT - 2 * _PAGE + 1} of many", f"{_COUNT - 2 * _PAGE} above")
    await expect(read).to_be_in_viewport()
    await ana.say("and one more")
    await expect(ana.message("and one more")).not_to_contain_text("not sent yet")
    await ana.reload()
    await expect(ana.message("and one more")).to_be_in_viewport()
    await expect(articles).to_have_count(_PAGE)
    await ana.agrees(await roomy.curtain())
