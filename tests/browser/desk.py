"""Desk: one tab of the console as a person uses it. Things are found by what they are and what they are called.

Knows nothing of the server, nor of what is in the page's store.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Self

from playwright.async_api import Locator, Page, expect
from syncd_client import Session

from tests.browser.chromium import Device, kill, true_in
from tests.e2e.stories.stage import SESSION
from tests.harness import PATIENCE_S, mint

expect.set_options(timeout=PATIENCE_S * 1_000)

#: Id and words of what is shown, in order; of a run's messages those that stand in its card.
_SHOWN = """() => [...document.querySelectorAll('main article[id^="m-"], main section [id^="m-"]')]
    .map((element) => [element.id.slice(2), element.textContent])"""


class Desk:
    """A tab of somebody who is signed in and has the session open."""

    def __init__(self, device: Device, page: Page) -> None:
        self.device = device
        self.page = page
        page.set_default_timeout(PATIENCE_S * 1_000)
        self.transcript = page.get_by_role("main", name="Messages")
        self.field = page.get_by_role("textbox", name="Message", exact=True)
        self.document = page.get_by_role("textbox", name="Shared text: document")
        #: How the connection is, in the header.
        self.pill = page.get_by_role("banner").get_by_role("status")
        self.trouble = page.get_by_role("alert")

    @classmethod
    async def of(cls, device: Device, name: str = "", *, token: str = "", session: str = SESSION) -> Self:
        """Come in under a name, the device's if none is given, or with a token, and open the session."""
        page = await device.tab(f"/s/{session}")
        await page.get_by_label("Your token").fill(token or mint(f"user:{name or device.name}"))
        await page.get_by_role("button", name="Sign in").click()
        return await cls(device, page).opened()

    async def tab(self, *, session: str = SESSION) -> Self:
        """Open the session in another tab of this device."""
        return await type(self)(self.device, await self.device.tab(f"/s/{session}")).opened()

    async def opened(self) -> Self:
        """Return when the session is open, with or without a network."""
        await expect(self.field).to_be_visible()
        return self

    async def reload(self) -> Self:
        """Load the page again."""
        await self.page.reload()
        return await self.opened()

    # What a person does

    async def say(self, text: str) -> None:
        """Write a message and send it. Returns when it is saved: until then the device keeps it as a draft."""
        await self.field.fill(text)
        await self.field.press("Enter")
        await expect(self.field).to_have_value("")
        await true_in(self.page, f"!Object.values(localStorage).includes({text!r})", f"{text!r} to be saved")

    async def insist(self, text: str) -> None:
        """Write a message, and send it as often as it stays in the field."""
        await self.field.fill(text)
        async with asyncio.timeout(PATIENCE_S):
            while await self.field.input_value():
                await self.field.press("Enter")
                await asyncio.sleep(0.5)

    async def steer(self, text: str) -> None:
        """Say something to the one agent at work."""
        await self.field.fill(text)
        await self.page.get_by_role("button", name="Steer").click()

    async def press(self, name: str) -> None:
        """Press a button."""
        await self.page.get_by_role("button", name=name, exact=True).click()

    async def sign_out(self) -> None:
        """Sign out, also where something is not on the server yet, be it how far they have read."""
        await self.press("Sign out")
        sure = self.page.get_by_role("dialog", name="Sign out?").get_by_role("button", name=re.compile("^Sign out"))
        door = self.page.get_by_label(re.compile("^Your (token|name)$"))
        await expect(sure.or_(door)).to_be_visible()
        if await sure.is_visible():
            await sure.click()
        await expect(door).to_be_visible()

    async def edit(self, before: str, after: str) -> None:
        """Write a message anew, beside itself."""
        await self.message(before).get_by_role("button", name="Edit").click()
        field = self.page.get_by_role("textbox", name=f"Edit: {before}")
        await field.fill(after)
        await self.press("Ask again")

    async def write(self, text: str) -> None:
        """Write at the end of the shared document."""
        await self.document.press("Control+End")
        await self.document.press_sequentially(text)

    async def kill(self, *, pid: int = 0) -> None:
        """SIGKILL the tab's process, which is no trouble of the device's. `pid` is its `renderer`, if that is known."""
        await kill(self.page, pid=pid)
        await self.page.close()
        self.device.troubles.remove(f"{self.device.name}: a tab crashed")

    # What a person sees

    def message(self, text: str) -> Locator:
        """Messages of people that hold a text."""
        return self.page.get_by_role("article").filter(has_text=text)

    def card(self, agent: str = "planner") -> Locator:
        """Cards of the runs of an agent."""
        return self.page.get_by_role("region", name=re.compile(f"^{agent}: "))

    async def shows(self, *texts: str) -> None:
        """Return when all of these texts stand in the transcript."""
        for text in texts:
            await expect(self.transcript).to_contain_text(text)

    async def live(self) -> None:
        """Return when the pill says that the server is heard, and it has everything, which is not said at once."""
        await expect(self.pill).to_have_text(re.compile(r"^(Live|Caught up \d+ events?)$"))
        await expect(self.pill).to_have_attribute("data-link", "live")

    async def says(self, words: str) -> None:
        """Return when the pill holds these words."""
        await expect(self.pill).to_contain_text(words)

    async def shown(self) -> list[tuple[str, str]]:
        """Return id and words of each message that is shown."""
        return [(id, plain(text)) for id, text in await self.page.evaluate(_SHOWN)]

    async def agrees(self, session: Session, *, selected: Mapping[str, str] | None = None) -> None:
        """Return when this tab shows the messages of `session`, all of them whole, once, and at their places."""
        shown: Any = None
        wanted: Any = None
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < deadline:
            shown, wanted = await self.shown(), in_cards(session, selected)
            if [id for id, _ in shown] == [id for id, _ in wanted] and all(
                text in words for (_, words), (_, texts) in zip(shown, wanted, strict=True) for text in texts
            ):
                break
            await true_in(self.page, "new Promise((then) => setTimeout(then, 50, true))")
        else:
            raise AssertionError(f"the tab shows {shown}, not {wanted}")
        await expect(self.transcript).not_to_contain_text("not sent yet")


def in_cards(session: Session, selected: Mapping[str, str] | None = None) -> list[tuple[str, list[str]]]:
    """What a tab has to show of a session: id and texts of each message, those of one run together."""
    cards: dict[str, list[tuple[str, list[str]]]] = {}
    for item in session.view(selected=selected).items:
        message = item.message
        if message.role != "system":
            texts = [plain(str(part["text"])) for part in message.parts if part["type"] == "text"]
            cards.setdefault(message.run or message.id, []).append((message.id, texts))
    return [message for card in cards.values() for message in card]


def plain(text: str) -> str:
    """A text without its spaces: how lines are broken is a matter of the screen, which may not have drawn all yet."""
    return "".join(text.split())
