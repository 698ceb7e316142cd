"""Lies: something between the console and its server answers with pages of its own, as networks that want a login do.

Whatever it says while it is there, nothing of it is left when it is gone.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from playwright.async_api import Page, expect

from tests.browser.chromium import in_charge, true_in
from tests.browser.conftest import MakeDevice
from tests.harness import Running, until

_PORTAL = "<!doctype html><title>Hotel</title>Please log in"
_LATER = "/assets/later-12345678.js"
#: What is kept and is no file of the console.
_WRONG = """(async () => {
  const found = [];
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys())
      if ((await (await cache.match(request)).text()).includes("Please log in"))
        found.push(new URL(request.url).pathname);
  }
  return found;
})()"""
_SPOIL = """async (portal) => {
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys())
      await cache.put(request, new Response(portal, { headers: { "content-type": "text/html" } }));
  }
}"""


class Portal:
    """A server in front of the server. `lies` says of which requests; `told` counts them."""

    def __init__(self) -> None:
        self.lies: Callable[[web.Request], bool] = lambda _: False
        self.told = 0
        self.port = 0

    @asynccontextmanager
    async def before(self, url: str) -> AsyncIterator["Portal"]:
        """Stand there until the block ends. Links are not let through."""
        async with aiohttp.ClientSession(auto_decompress=False) as http:

            async def answer(request: web.Request) -> web.Response:
                if self.lies(request):
                    self.told += 1
                    return web.Response(text=_PORTAL, content_type="text/html")
                async with http.get(url + request.path_qs, headers=request.headers) as said:
                    kept = {k: v for k, v in said.headers.items() if k not in ("Transfer-Encoding", "Content-Length")}
                    return web.Response(body=await said.read(), status=said.status, headers=kept)

            app = web.Application()
            app.router.add_get("/{path:.*}", answer)
            runner = web.AppRunner(app)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                self.port = runner.addresses[0][1]
                yield self
            finally:
                await runner.cleanup()


async def is_there(tab: Page) -> None:
    """Return when the console has started."""
    await expect(tab.get_by_label("Your name")).to_be_visible()


async def test_what_lies_while_the_worker_installs_is_not_kept(served: Running, new_device: MakeDevice) -> None:
    """The page is there, its worker is not; when all is true again it installs, and what it has are the files."""
    async with Portal().before(served.url) as portal:
        # Of what a page loads itself a browser says what it is for.
        portal.lies = lambda request: (
            request.path.startswith("/assets/") and request.headers.get("Sec-Fetch-Dest") == "empty"
        )
        tab = await (await new_device("ana", portal)).tab()
        await is_there(tab)
        await until(lambda: portal.told > 0, "the worker to be lied to")
        await true_in(tab, "navigator.serviceWorker.getRegistration().then((found) => !found)", "it to be given up")
        assert await tab.evaluate(_WRONG) == []

        portal.lies = lambda _: False
        await tab.reload()
        await in_charge(tab)
        await tab.reload()
        await is_there(tab)


async def test_what_is_wrong_among_what_is_kept_is_had_anew(served: Running, new_device: MakeDevice) -> None:
    """What is loaded later, when that was a lie, is not kept; nor is believed what an older worker may have kept."""
    async with Portal().before(served.url) as portal:
        tab = await (await new_device("ana", portal)).tab()
        await is_there(tab)
        await in_charge(tab)
        portal.lies = lambda request: request.path == _LATER
        assert await tab.evaluate("(path) => fetch(path).then((said) => said.text())", _LATER) == _PORTAL
        assert await tab.evaluate(_WRONG) == []

        portal.lies = lambda _: False
        await tab.evaluate(_SPOIL, _PORTAL)
        assert "/" in await tab.evaluate(_WRONG)
        await tab.reload()
        await is_there(tab)
        wrong = await tab.evaluate(_WRONG)
        loaded = await tab.evaluate(
            "performance.getEntriesByType('resource').map(({ name }) => new URL(name).pathname)"
        )
        assert not [path for path in loaded if path.startswith("/assets/") and path in wrong]
