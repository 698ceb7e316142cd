"""Push in real Chromium: what the service worker shows, replaces and takes back, and when somebody is asked.

No push service is there, so a message is given to the worker over the debugger, and `subscribe` is replaced. What
travels in between has its tests on the server's side.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest_asyncio
from playwright.async_api import CDPSession, Page, expect
from syncd_client import Agent, Run

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import shown, sign_in
from tests.browser.test_accessibility import findings
from tests.harness import PATIENCE_S, meanwhile, until
from tests.server.hooks.push_service import Browser, push_service

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
#: In the worker: count the pushes that it is through with. A notification that is shown while somebody lists them may
#: be lost, so nobody looks before.
_COUNTS = """() => {
  if (self.through !== undefined) return self.through;
  self.through = 0;
  const wait = ExtendableEvent.prototype.waitUntil;
  ExtendableEvent.prototype.waitUntil = function (work) {
    if (this instanceof PushEvent) work.finally(() => { self.through += 1; });
    return wait.call(this, work);
  };
  return 0;
}"""
_SHOWN = """navigator.serviceWorker.ready.then(async (registration) =>
  (await registration.getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, ...data })))"""
#: As the console does it, without loading anything.
_MOVED = "(path) => { history.pushState(null, '', path); dispatchEvent(new Event('syncd:moved')); }"

NOTICE = {
    "id": "msg_1",
    "type": "run.ended",
    "session": "trip",
    "title": "planner is done",
    "text": "Three days in Lisbon",
    "path": "/s/trip?m=m1",
    "tag": "trip/r1",
}


#: Without a rule that tells by push nobody is asked for anything.
_RULES = """
[[hooks.rules]]
name = "done"
on = ["run.ended"]
whom = ["asker"]
channel = "push"
"""


@pytest_asyncio.fixture(loop_scope="session")
async def told(tmp_path: Path, console_pages: Path) -> AsyncIterator[ServerProcess]:
    """A server in development mode that shows the console, and has a rule by which people are told on their devices."""
    rules = tmp_path / "hooks.toml"
    rules.write_text(_RULES)
    settings = {"CONSOLE": str(console_pages), "HOOKS": str(rules), "PUSH_ALLOW": "127.0.0.0/8"}
    async with ServerProcess(tmp_path / "server.db", settings=settings) as server:
        yield server


class Pushes:
    """Gives messages to the service worker of a tab's page, as the browser does when one comes."""

    def __init__(self, page: Page, session: CDPSession, registration: str) -> None:
        self.page = page
        self._session = session
        self._registration = registration

    @classmethod
    async def of(cls, page: Page) -> "Pushes":
        await grown(page)
        session = await page.context.new_cdp_session(page)
        found: list[dict[str, Any]] = []
        session.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
        await session.send("ServiceWorker.enable")
        [one, *_] = await until(lambda: [each for each in found if not each["isDeleted"]], "the worker's registration")
        return cls(page, session, one["registrationId"])

    async def deliver(self, message: Any) -> None:
        """Have a message come, and return when the worker is through with it. A text is sent as it is."""
        [worker] = self.page.context.service_workers
        before = await worker.evaluate(_COUNTS)
        data = message if isinstance(message, str) else json.dumps(message)
        origin = self.page.url.split("/s/")[0].rstrip("/")
        await self._session.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": origin, "registrationId": self._registration, "data": data},
        )
        deadline = time.monotonic() + PATIENCE_S
        while await worker.evaluate("self.through") == before:
            assert time.monotonic() < deadline, "the worker was given a push and is not through with it"
            await asyncio.sleep(0.02)

    async def shown(self) -> list[dict[str, Any]]:
        """What is shown."""
        found: list[dict[str, Any]] = await self.page.evaluate(_SHOWN)
        return found

    async def until_shown(self, *titles: str) -> list[dict[str, Any]]:
        """Return when exactly these titles are shown."""
        deadline = time.monotonic() + PATIENCE_S
        while titles_of(found := await self.shown()) != sorted(titles):
            assert time.monotonic() < deadline, f"{titles_of(found)} are shown, not {titles}"
            await asyncio.sleep(0.02)
        return found

    async def click(self, title: str) -> list[str]:
        """Have the worker told that a notification was clicked; return what it wanted to open.

        A browser without a screen has nothing to click at. Windows are opened and brought to the front only after a
        real click, so both are noted here instead.
        """
        [worker] = self.page.context.service_workers
        opened: list[str] = await worker.evaluate(
            """async (title) => {
              const opened = [];
              const all = await registration.getNotifications();
              const notification = all.find((one) => one.title === title);
              clients.openWindow = async (path) => { opened.push(path); return null; };
              WindowClient.prototype.focus = async function () { opened.push("focus"); return this; };
              const event = new NotificationEvent("notificationclick", { notification });
              const waits = [];
              event.waitUntil = (work) => waits.push(work);
              self.dispatchEvent(event);
              await Promise.all(waits);
              return opened;
            }""",
            title,
        )
        return opened


async def grown(page: Page) -> None:
    """Return when the service worker is in charge of a page, and takes messages: while it activates, none come."""
    await true_in(page, "navigator.serviceWorker.controller?.state === 'activated'", "the service worker in charge")


async def test_a_push_is_shown_replaced_and_taken_back(told: ServerProcess, new_device: MakeDevice) -> None:
    """Title, words and tag as they were told; a later one under the same tag replaces it; withdrawn it is gone."""
    device = await new_device("ana", told, permissions=["notifications"])
    pushes = await Pushes.of(await sign_in(device, "ana"))
    await pushes.deliver(NOTICE)
    [first] = await pushes.until_shown("planner is done")
    assert first == {"title": "planner is done", "body": "Three days in Lisbon", "tag": "trip/r1"} | {
        name: NOTICE[name] for name in ("id", "session", "path")
    }

    await pushes.deliver(NOTICE | {"id": "msg_2", "title": "planner waits for you"})
    await pushes.deliver(NOTICE | {"id": "msg_3", "title": "critic is done", "tag": "trip/r2"})
    await pushes.until_shown("critic is done", "planner waits for you")
    await pushes.deliver({"withdraw": "trip/r1"})
    await pushes.until_shown("critic is done")
    await pushes.deliver({"withdraw": "trip/unknown"})
    await pushes.until_shown("critic is done")


async def test_what_is_not_understood_is_shown_without_words(told: ServerProcess, new_device: MakeDevice) -> None:
    """A browser takes a site's pushes away whose pushes show nothing; and nothing in one is run or followed."""
    device = await new_device("ana", told, permissions=["notifications"])
    pushes = await Pushes.of(await sign_in(device, "ana"))
    for message in ("", "no json", "[1]", "null", json.dumps({"title": 7, "tag": ["x"], "path": {}})):
        await pushes.deliver(message)
        shown = await true_in(pushes.page, f"({_SHOWN}).then((all) => all.length ? all : null)", "it to be shown")
        assert {(one["title"], one["body"], one["path"]) for one in shown} == {("Something is new", "", "/")}
        await pushes.page.evaluate(
            "navigator.serviceWorker.ready.then(async (r) => (await r.getNotifications()).forEach((n) => n.close()))"
        )


async def test_nobody_is_shown_what_they_look_at(told: ServerProcess, new_device: MakeDevice) -> None:
    """The session is open before their eyes; another one's notice is shown."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana", "/s/trip")
    await tab.bring_to_front()
    pushes = await Pushes.of(tab)
    await pushes.deliver(NOTICE)
    await pushes.deliver(NOTICE | {"session": "other", "title": "of another", "tag": "other"})

    await pushes.until_shown("of another")


async def test_where_somebody_moved_to_counts_and_not_where_the_page_was_loaded(
    told: ServerProcess, new_device: MakeDevice
) -> None:
    """The console moves without loading: the session they left is told of, the one they came to is not."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana", "/s/other")
    await tab.bring_to_front()
    pushes = await Pushes.of(tab)
    await tab.evaluate(_MOVED, "/s/trip")
    await pushes.deliver(NOTICE)
    await pushes.deliver(NOTICE | {"session": "other", "title": "of the one they left", "tag": "other"})

    await pushes.until_shown("of the one they left")


async def test_a_page_that_does_not_say_where_it_is_shows_nothing(told: ServerProcess, new_device: MakeDevice) -> None:
    """One of an older build, or one that is frozen: nothing is kept from somebody because of it."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana", "/s/trip")
    await tab.bring_to_front()
    pushes = await Pushes.of(tab)
    await tab.evaluate("MessagePort.prototype.postMessage = () => {}")
    await pushes.deliver(NOTICE)

    await pushes.until_shown("planner is done")


async def test_a_click_leads_to_the_window_that_shows_the_session(told: ServerProcess, new_device: MakeDevice) -> None:
    """Whatever address it was loaded at; the other windows stay as they are."""
    device = await new_device("ana", told, permissions=["notifications"])
    there = await sign_in(device, "ana", "/s/other")
    here = await device.tab("/s/another")
    pushes = await Pushes.of(here)
    await pushes.deliver(NOTICE)
    await pushes.until_shown("planner is done")
    # Not before the notice: without a screen every window has the focus.
    await there.evaluate(_MOVED, "/s/trip")

    assert await pushes.click("planner is done") == ["focus"]
    await true_in(there, "location.search === '?m=m1'", "the message shown in the window that had its session")
    assert here.url.endswith("/s/another")


async def test_a_click_does_not_lead_to_a_page_that_is_none_of_the_console(
    told: ServerProcess, new_device: MakeDevice
) -> None:
    """What the server answers to a program may stand in a window too: it could show nothing."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana")
    pushes = await Pushes.of(tab)
    await pushes.deliver(NOTICE)
    await pushes.until_shown("planner is done")
    await tab.goto(f"{device.url}/v1/console")

    assert await pushes.click("planner is done") == ["/s/trip?m=m1"]


async def test_a_click_leads_to_the_message(told: ServerProcess, new_device: MakeDevice) -> None:
    """In the window that shows the session, else in any of the console's; it is brought to the front."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana", "/s/other")
    pushes = await Pushes.of(tab)
    await pushes.deliver(NOTICE)
    await pushes.until_shown("planner is done")

    assert await pushes.click("planner is done") == ["focus"]
    await true_in(tab, "location.pathname + location.search === '/s/trip?m=m1'", "the session opened at the message")
    assert await pushes.shown() == []


async def test_a_click_without_a_window_opens_one(told: ServerProcess, new_device: MakeDevice) -> None:
    """At the message; and never anywhere else than in this console."""
    device = await new_device("ana", told, permissions=["notifications"])
    tab = await sign_in(device, "ana")
    pushes = await Pushes.of(tab)
    paths = {
        "foreign": "https://example.com/s/trip",
        "relative": "//example.com/s/trip",
        "script": "javascript:alert(1)",
        "file": "/sw.js",
        "api": "/v1/sessions",
    }
    await pushes.deliver(NOTICE | {"title": "first", "tag": "first"})
    await pushes.until_shown("first")
    [worker] = device.context.service_workers
    await worker.evaluate("clients.matchAll = async () => []")

    opened = {"first": await pushes.click("first")}
    for name, path in paths.items():
        await pushes.deliver(NOTICE | {"title": name, "tag": name, "path": path})
        await pushes.until_shown(name)
        opened[name] = await pushes.click(name)
    assert opened == {"first": ["/s/trip?m=m1"]} | {name: ["/"] for name in paths}


# On the page: who is asked, and when


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


def titles_of(found: list[dict[str, Any]]) -> list[str]:
    """The titles of what is shown, in order of the alphabet."""
    return sorted(str(one["title"]) for one in found)


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
        await device.context.clock.fast_forward(10_000)
        await shown(tab, "Thinking…")
        assert question not in await tab.inner_text("body")
        # A run that is seen at a start is not a long one yet, however long it has taken.
        await tab.reload()
        await shown(tab, "Thinking…")
        await device.context.clock.fast_forward(15_000)
        assert question not in await tab.inner_text("body")
        await device.context.clock.fast_forward(10_000)
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
        await device.context.clock.fast_forward(21_000)
        await tab.get_by_role("button", name="Not now").click()
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
        await device.context.clock.fast_forward(21_000)
        await tab.get_by_role("button", name="Tell me").click()
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
    await grown(tab)
    await tab.get_by_role("button", name="Notifications on this device").click()
    [before] = await asked.until_known(told.url, so_many(1))
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


async def test_asked_on_one_device_told_on_another_and_read_on_the_first(
    told: ServerProcess, new_device: MakeDevice, tmp_path: Path
) -> None:
    """The whole way: the agent is done, the server tells the phone, and takes it back when the laptop has it read."""
    async with push_service() as service, long_run(told.url, tmp_path) as done:
        laptop = await new_device("laptop", told)
        phone = await new_device("phone", told, permissions=["notifications"])
        browser = service.browser("phone")
        asked = await Asked.of(phone, browser)
        pocket = await sign_in(phone, "ana")
        pushes = await Pushes.of(pocket)
        await pocket.get_by_role("button", name="Notifications on this device").click()
        await asked.until_known(told.url, so_many(1))
        desk = await sign_in(laptop, "ana", "/s/trip")
        await ask_agent(desk)
        await desk.goto(laptop.url)
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
        phone = await new_device("phone", told, permissions=["notifications"])
        browser = service.browser("phone")
        asked = await Asked.of(phone, browser)
        pocket = await sign_in(phone, "ana")
        await grown(pocket)
        await pocket.get_by_role("button", name="Notifications on this device").click()
        await asked.until_known(told.url, so_many(1))
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
