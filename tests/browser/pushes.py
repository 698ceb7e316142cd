"""Pushes: messages given to the service worker of a page, and what it shows then.

No push service is there: a message is given over the debugger. What travels in between has its tests on the server's
side.
"""

import asyncio
import json
import time
from typing import Any

from playwright.async_api import CDPSession, Page

from tests.browser.chromium import in_charge
from tests.harness import PATIENCE_S, until

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
#: In the worker: wait long for whatever is waited for.
_PATIENT = """(() => {
  const { setTimeout } = self;
  self.setTimeout = (then, ms, ...given) => setTimeout.call(self, then, 100 * ms, ...given);
})()"""
#: What is shown, as a promise.
SHOWN = """navigator.serviceWorker.ready.then(async (registration) =>
  (await registration.getNotifications()).map(({ title, body, tag, data }) => ({ title, body, tag, ...data })))"""
#: As the console does it, without loading anything.
MOVED = "(path) => { history.pushState(null, '', path); dispatchEvent(new Event('syncd:moved')); }"

NOTICE = {
    "id": "msg_1",
    "type": "run.ended",
    "session": "trip",
    "title": "planner is done",
    "text": "Three days in Lisbon",
    "path": "/s/trip?m=m1",
    "tag": "trip/r1",
}


class Pushes:
    """Gives messages to the service worker of a tab's page, as the browser does when one comes."""

    def __init__(self, page: Page, session: CDPSession, registration: str) -> None:
        self.page = page
        self._session = session
        self._registration = registration

    @classmethod
    async def of(cls, page: Page) -> "Pushes":
        await in_charge(page)
        session = await page.context.new_cdp_session(page)
        found: list[dict[str, Any]] = []
        session.on("ServiceWorker.workerRegistrationUpdated", lambda event: found.extend(event["registrations"]))
        await session.send("ServiceWorker.enable")
        [one, *_] = await until(lambda: [each for each in found if not each["isDeleted"]], "the worker's registration")
        return cls(page, session, one["registrationId"])

    async def patient(self) -> None:
        """Have the worker wait for pages that do not say at once where they are: on a busy machine they are late."""
        [worker] = self.page.context.service_workers
        await worker.evaluate(_PATIENT)

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
        found: list[dict[str, Any]] = await self.page.evaluate(SHOWN)
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


def titles_of(found: list[dict[str, Any]]) -> list[str]:
    """The titles of what is shown, in order of the alphabet."""
    return sorted(str(one["title"]) for one in found)
