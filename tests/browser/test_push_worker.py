"""Push in the service worker: what it shows, replaces and takes back, and where a click leads."""

import json

from examples.server_process import ServerProcess
from tests.browser.chromium import true_in
from tests.browser.conftest import MakeDevice
from tests.browser.console import sign_in
from tests.browser.pushes import MOVED, NOTICE, SHOWN, Pushes


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
        shown = await true_in(pushes.page, f"({SHOWN}).then((all) => all.length ? all : null)", "it to be shown")
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
    await pushes.patient()
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
    await pushes.patient()
    await tab.evaluate(MOVED, "/s/trip")
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
    await pushes.patient()
    # Not before the notice: without a screen every window has the focus.
    await there.evaluate(MOVED, "/s/trip")

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
