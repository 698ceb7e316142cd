"""Push on the page: who is asked, and when; what a device is told of and what is taken back from it.

`subscribe` is replaced, since no push service is there.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Locator, Page, expect
from syncd_client import Agent, Run

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, in_charge, true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import shown, sign_in
from tests.browser.pushes import NOTICE, Pushes
from tests.browser.test_accessibility import findings
from tests.harness import PATIENCE_S, meanwhile, until
from tests.server.hooks.push_service import Browser, PushService, push_service

#: In place of a push service: subscribing gives what the test says, and ends like the real one.
_SUBSCRIBES = """
(() => {
  let current = null;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  PushManager.prototype.getSubscription = async () => current;
  PushManager.prototype.subscribe = async (options) => {
    window.subscribedWith = options;
    const key = options.applicationServerKey;
    current = {
      options: { ...options, applicationServerKey: key.buffer ?? key },
      toJSON: () => (GIVEN),
      unsubscribe: async () => { window.unsubscribed = true; current = null; return true; },
    };
    return current;
  };
})();
"""
_ASKED = """
window.asked = 0;
const ask = Notification.requestPermission.bind(Notification);
Notification.requestPermission = () => { window.asked += 1; return ask(); };
"""


async def gone(url: str, session: str, subject: str) -> None:
    """Return when the server knows that somebody has a session open on no device."""
    deadline = time.monotonic() + PATIENCE_S
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer dev:theo"}) as http:
        while True:
            async with http.get(f"{url}/v1/sessions/{session}/people") as response:
                people = (await response.json())["people"]
            if not any(person["subject"] == subject and person["devices"] for person in people):
                return
            assert time.monotonic() < deadline, f"{people} are there"
            await asyncio.sleep(0.02)


class Asked:
    """A device at which nobody was asked yet, with a push service that answers."""

    def __init__(self, device: Device, browser: Browser) -> None:
        self.device = device
        self.browser = browser

    @classmethod
    async def of(cls, device: Device, browser: Browser | None = None) -> "Asked":
        made = cls(device, browser or Browser("https://push.example.com/abc"))
        await device.context.add_init_script(_SUBSCRIBES.replace("GIVEN", json.dumps(made.browser.json())))
        await device.context.add_init_script(_ASKED)
        return made

    async def known(self, url: str, *, by: str = "ana") -> list[dict[str, Any]]:
        """The devices of somebody, as the server says."""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Bearer dev:{by}"}) as http,
            http.get(f"{url}/v1/push/subscriptions") as response,
        ):
            found: list[dict[str, Any]] = (await response.json())["devices"]
            return found

    async def until_known(
        self, url: str, holds: Callable[[list[dict[str, Any]]], bool], *, by: str = "ana"
    ) -> list[dict[str, Any]]:
        """Return what the server knows when that holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(found := await self.known(url, by=by)):
            assert time.monotonic() < deadline, f"the server knows {found}"
            await asyncio.sleep(0.02)
        return found


def so_many(count: int) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether the server knows so many devices."""
    return lambda found: len(found) == count


@asynccontextmanager
async def long_run(url: str, folder: Path) -> AsyncIterator[asyncio.Event]:
    """An agent that works until the event is set."""
    done = asyncio.Event()
    agent = Agent("planner", server=url, token="dev:agent:planner", store=folder / "agent.db")

    @agent.on_work
    async def plan(run: Run) -> None:
        await run.text("Thinking…")
        await done.wait()
        await run.text("Lisbon it is.")

    async with meanwhile(agent.serve()):
        yield done
        done.set()


async def taking_long(tab: Page, question: Locator) -> None:
    """Have time go by until a run has taken so long that somebody is asked.

    It is watched from a moment on that the page does not tell: what went by before does not count.
    """
    async with asyncio.timeout(PATIENCE_S):
        while not await question.is_visible():
            await tab.context.clock.fast_forward(21_000)
            await asyncio.sleep(0.05)


async def turned_on(tab: Page) -> None:
    """Return when the page knows that its device is told: the server knows it before."""
    bell = tab.get_by_role("button", name="Notifications on this device")
    await expect(bell).to_have_attribute("aria-pressed", "true")
    # What is begun by what was drawn is begun after the next frame.
    await tab.evaluate("new Promise((then) => requestAnimationFrame(() => setTimeout(then)))")


async def ask_agent(tab: Page) -> None:
    """Give the agent something to do, and return when it is at it."""
    field = tab.get_by_role("textbox", name="Message", exact=True)
    await field.fill("@planner three days in Lisbon")
    await field.press("Enter")
    await shown(tab, "Thinking…")


async def test_they_are_asked_at_the_first_long_run_and_not_before(
    told: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """Not when the page loads, not while a run is short; the browser's own question comes after a click alone."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    await device.context.clock.install()
    question = "Be told on this device"
    async with long_run(told.url, tmp_path):
        tab = await sign_in(device, "ana", "/s/trip")
        await ask_agent(tab)
        await device.context.clock.fast_forward(12_000)
        await shown(tab, "Thinking…")
        assert question not in await tab.inner_text("body")
        # A run that is seen at a start is not a long one yet, however long it has taken.
        await tab.reload()
        await shown(tab, "Thinking…")
        await device.context.clock.fast_forward(12_000)
        assert question not in await tab.inner_text("body")
        await device.context.clock.fast_forward(12_000)
        await shown(tab, question)
        assert await tab.evaluate("window.asked") == 0
        assert await asked.known(told.url) == []

        await tab.get_by_role("button", name="Tell me").click()
        [one] = await asked.until_known(told.url, so_many(1))
        assert one["service"] == "push.example.com"
        assert await tab.evaluate("window.asked") == 1
        assert await tab.evaluate("window.subscribedWith.userVisibleOnly")
        await expect(tab.get_by_role("region", name="Notifications")).to_have_count(0)
        await expect(tab.get_by_role("button", name="Notifications on this device")).to_have_attribute(
            "aria-pressed", "true"
        )


async def test_nobody_is_asked_where_nobody_is_told(
    served: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """A server without such a rule has no bell and no question."""
    device = await new_device("ana", served, permissions=["notifications"])
    await device.context.clock.install()
    async with long_run(served.url, tmp_path):
        tab = await sign_in(device, "ana", "/s/trip")
        await ask_agent(tab)
        await device.context.clock.fast_forward(60_000)
        await shown(tab, "Thinking…")

        await expect(tab.get_by_role("region", name="Notifications")).to_have_count(0)
        await expect(tab.get_by_role("button", name="Notifications on this device")).to_have_count(0)


async def test_who_says_no_is_not_asked_again(told: ServerProcess, new_device: MakeDevice, tmp_path: Path) -> None:
    """Neither in this tab nor after a reload; the bell is still there."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    await device.context.clock.install()
    async with long_run(told.url, tmp_path):
        tab = await sign_in(device, "ana", "/s/trip")
        await ask_agent(tab)
        decline = tab.get_by_role("button", name="Not now")
        await taking_long(tab, decline)
        await decline.click()
        await tab.reload()
        await shown(tab, "Thinking…")
        await device.context.clock.fast_forward(60_000)
        await expect(tab.get_by_role("button", name="Notifications on this device")).to_be_visible()
        await expect(tab.get_by_role("region", name="Notifications")).to_have_count(0)

        assert await tab.evaluate("window.asked") == 0
        assert await asked.known(told.url) == []


async def test_a_browser_that_forbids_it_is_told_of_once(
    told: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """In words, with what can be done; then there is no more of it, and everything works as before."""
    device = await new_device("ana", told)
    asked = await Asked.of(device)
    # Without a screen Chromium refuses before anybody is asked.
    await device.context.add_init_script(
        "Object.defineProperty(Notification, 'permission', { get: () => window.refused ? 'denied' : 'default' });"
        "Notification.requestPermission = async () => { window.refused = true; return 'denied'; };"
    )
    await device.context.clock.install()
    async with long_run(told.url, tmp_path) as done:
        tab = await sign_in(device, "ana", "/s/trip")
        await tab.get_by_role("button", name="Notifications on this device").wait_for()
        await ask_agent(tab)
        accept = tab.get_by_role("button", name="Tell me")
        await taking_long(tab, accept)
        await accept.click()
        await shown(tab, "The browser does not allow it.")
        await tab.get_by_role("button", name="Dismiss").click()
        await device.context.clock.fast_forward(60_000)
        await expect(tab.get_by_role("region", name="Notifications")).to_have_count(0)
        done.set()
        await shown(tab, "Lisbon it is.")

    assert await asked.known(told.url) == []


async def test_it_can_be_turned_off_and_ends_with_signing_out(told: ServerProcess, new_device: MakeDevice) -> None:
    """By the bell; and who signs in next at this browser is told nothing of what was theirs."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    tab = await sign_in(device, "ana")
    bell = tab.get_by_role("button", name="Notifications on this device")
    await bell.click()
    await asked.until_known(told.url, so_many(1))
    await bell.click()
    await asked.until_known(told.url, so_many(0))
    assert await tab.evaluate("window.unsubscribed")
    await expect(bell).to_have_attribute("aria-pressed", "false")
    assert await findings(tab) == []

    await bell.click()
    await asked.until_known(told.url, so_many(1))
    await tab.evaluate("window.unsubscribed = false")
    await tab.get_by_role("button", name="Sign out").click()
    await asked.until_known(told.url, so_many(0))
    assert await tab.evaluate("window.unsubscribed")


async def test_who_signs_out_in_one_tab_has_signed_out_in_all(told: ServerProcess, new_device: MakeDevice) -> None:
    """A tab that went on would have this device told again of what was theirs."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    tab = await sign_in(device, "ana")
    other = await device.tab("/s/trip")
    await other.get_by_role("textbox", name="Message", exact=True).wait_for()
    await tab.get_by_role("button", name="Notifications on this device").click()
    await asked.until_known(told.url, so_many(1))
    await tab.get_by_role("button", name="Sign out").click()

    await other.get_by_label("Your name").wait_for()
    await asked.until_known(told.url, so_many(0))


async def test_the_server_is_told_that_a_device_is_used(told: ServerProcess, new_device: MakeDevice) -> None:
    """At each start, so that the last used one is known; and of a new subscription as soon as the browser makes one."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    tab = await sign_in(device, "ana")
    await tab.get_by_role("button", name="Notifications on this device").click()
    [before] = await asked.until_known(told.url, so_many(1))
    await turned_on(tab)
    await tab.reload()
    await true_in(tab, "window.subscribedWith !== undefined", "the device subscribed again")

    [after] = await asked.until_known(told.url, lambda found: found[0]["used"] > before["used"])
    assert (after["device"], after["since"]) == (before["device"], before["since"])


async def test_a_subscription_that_the_browser_replaced_is_told_to_the_server(
    told: ServerProcess, new_device: MakeDevice
) -> None:
    """The worker hears of it and subscribes again with the same key; an open page tells the server the new address."""
    device = await new_device("ana", told, permissions=["notifications"])
    asked = await Asked.of(device)
    tab = await sign_in(device, "ana")
    await in_charge(tab)
    await tab.get_by_role("button", name="Notifications on this device").click()
    [before] = await asked.until_known(told.url, so_many(1))
    await turned_on(tab)
    [worker] = device.context.service_workers
    await tab.evaluate("window.subscribedWith = undefined")
    key = await worker.evaluate(
        """async () => {
          let key = null;
          PushManager.prototype.getSubscription = async () => null;
          PushManager.prototype.subscribe = async (options) => { key = options.applicationServerKey; };
          const event = new ExtendableEvent("pushsubscriptionchange");
          event.oldSubscription = { options: { applicationServerKey: new Uint8Array([4, 1, 2]).buffer } };
          const waits = [];
          event.waitUntil = (work) => waits.push(work);
          self.dispatchEvent(event);
          await Promise.all(waits);
          return [...new Uint8Array(key)];
        }"""
    )

    assert key == [4, 1, 2]
    [after] = await asked.until_known(told.url, lambda found: found[0]["used"] > before["used"])
    assert after["device"] == before["device"]


async def test_opening_a_session_takes_back_what_was_shown_of_it(told: ServerProcess, new_device: MakeDevice) -> None:
    """Also where no push may take anything back; what is shown of others stays."""
    device = await new_device("ana", told, permissions=["notifications"])
    await Asked.of(device)
    tab = await sign_in(device, "ana")
    pushes = await Pushes.of(tab)
    await tab.get_by_role("button", name="Notifications on this device").click()
    await pushes.deliver(NOTICE)
    await pushes.deliver(NOTICE | {"session": "other", "title": "of another", "tag": "other"})
    await pushes.until_shown("planner is done", "of another")
    await tab.goto(f"{device.url}/s/trip")

    await pushes.until_shown("of another")


async def told_on_a_phone(told: ServerProcess, new_device: MakeDevice, service: PushService) -> tuple[Page, Browser]:
    """Sign ana in on a phone where she is told what happens; return its page, and its browser to the push service."""
    phone = await new_device("phone", told, permissions=["notifications"])
    browser = service.browser("phone")
    asked = await Asked.of(phone, browser)
    pocket = await sign_in(phone, "ana")
    await in_charge(pocket)
    await pocket.get_by_role("button", name="Notifications on this device").click()
    await asked.until_known(told.url, so_many(1))
    return pocket, browser


async def test_asked_on_one_device_told_on_another_and_read_on_the_first(
    told: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """The whole way: the agent is done, the server tells the phone, and takes it back when the laptop has it read."""
    async with push_service() as service, long_run(told.url, tmp_path) as done:
        laptop = await new_device("laptop", told)
        pocket, browser = await told_on_a_phone(told, new_device, service)
        pushes = await Pushes.of(pocket)
        desk = await sign_in(laptop, "ana", "/s/trip")
        await ask_agent(desk)
        await desk.goto(laptop.url)
        await gone(told.url, "trip", "user:ana")
        done.set()
        await until(lambda: service.taken(browser), "a push")
        await pushes.deliver(service.taken(browser)[0])
        [notice] = await pushes.until_shown("planner is done")
        assert notice["path"].startswith("/s/trip")

        await desk.goto(f"{laptop.url}/s/trip")
        await shown(desk, "Lisbon it is.")
        await until(lambda: len(service.taken(browser)) > 1, "it taken back")
        for message in service.taken(browser)[1:]:
            await pushes.deliver(message)
        await pushes.until_shown()
        assert service.taken(browser)[1:] == [{"withdraw": notice["tag"]}]


async def test_who_looks_at_it_on_one_device_is_not_told_on_another(
    told: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """An answer that comes before their eyes is told nowhere; the next one, which they did not wait for, is."""
    async with push_service() as service, long_run(told.url, tmp_path) as done:
        laptop = await new_device("laptop", told)
        _, browser = await told_on_a_phone(told, new_device, service)
        desk = await sign_in(laptop, "ana", "/s/trip")
        await ask_agent(desk)
        done.set()
        await shown(desk, "Lisbon it is.")
        done.clear()
        field = desk.get_by_role("textbox", name="Message", exact=True)
        await field.fill("@planner and Porto")
        await field.press("Enter")
        await true_in(desk, "document.querySelectorAll('section.run').length === 2", "the second run")
        second = await desk.evaluate("[...document.querySelectorAll('article[id^=m-]')].at(-1).id.slice(2)")
        await desk.close()
        await gone(told.url, "trip", "user:ana")
        done.set()
        await until(lambda: service.taken(browser), "a push")

        assert [message["path"] for message in service.taken(browser)] == [f"/s/trip?m={second}"]
