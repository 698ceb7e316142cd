"""Chromium: real tabs to be driven, killed and frozen, as devices that each have a network of their own.

Knows nothing of what the pages show.
"""

import asyncio
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Page, Playwright

from examples.fault_proxy import FaultProxy
from tests.harness import PATIENCE_S, until

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Each tab is a process of its own, so that one can be killed and the others live on.
    "--disable-features=ProcessPerSiteUpToMainFrameThreshold",
)
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP report: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

# A task that keeps the page from any other one until its process was stopped: then there is a cookie. What else a page
# sees in the middle of a task is the time, by which one that was stopped is like one that had to wait for its turn.
_HOLD = """async () => {
  await (ONCE);
  console.log("held");
  const end = performance.now() + 30_000;
  while (!document.cookie.includes("NAME=") && performance.now() < end);
}"""


def executable() -> str:
    """Return where Chromium is; skip the test if there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (path := shutil.which(name)) is not None:
            return path
    pytest.skip("install chromium to run this test (Debian, Ubuntu: apt-get install chromium)")


async def launch(playwright: Playwright, **options: Any) -> Browser:
    """Start a browser without a screen."""
    return await playwright.chromium.launch(executable_path=executable(), args=[*FLAGS], **options)


#: In what the browser says on the page's console.
_TROUBLES = ("CSP report", "Content Security Policy", "the server responded with a status of 405")


class Device:
    """One device: a browser's storage, tabs, and a network of its own to the server.

    1. What nobody expected is kept in `troubles`: exceptions that no page caught, crashes, reports of the CSP, and
       requests of a kind that the server does not know. The fixture that made the device fails the test for them,
       unless the test took them away.
    2. `url` stays the same through `restart`, since storage belongs to an origin.

    The network's faults are the proxy's: `cut()`, `refusing`, `stall()`, `delay_s`, `heal()`. `offline()` is what the
    browser itself believes: events and new connections; an open WebSocket then hangs without being closed.
    """

    def __init__(self, name: str, proxy: FaultProxy, context: BrowserContext) -> None:
        self.name = name
        self.proxy = proxy
        self.troubles: list[str] = []
        self._context = context
        context.on("page", self._listen)

    @property
    def url(self) -> str:
        """Where this device reaches the server, without a slash at the end."""
        return self.proxy.url

    @property
    def context(self) -> BrowserContext:
        """The browser's side of it: cookies, storage, permissions, time."""
        return self._context

    async def tab(self, path: str = "/") -> Page:
        """Open a tab, and return when its page has loaded."""
        page = await self._context.new_page()
        await page.goto(self.url + path)
        return page

    async def offline(self, on: bool) -> None:
        """Make the browser believe that there is no network, or that there is one again."""
        await self._context.set_offline(on)

    async def collect(self, name: str) -> list[Any]:
        """Give every page, from its next load on, a function `name`; return the list of what they call it with.

        What stands in it was promised before whatever the test does next.
        """
        got: list[Any] = []
        await self._context.expose_binding(name, lambda _, value=None: got.append(value))
        return got

    async def close(self) -> None:
        """Close all tabs and forget the storage."""
        await self._context.close()
        await self.proxy.stop()

    def _listen(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.troubles.append(f"{self.name}: {error}"))
        page.on("crash", lambda _: self.troubles.append(f"{self.name}: a tab crashed"))
        page.on("console", self._said)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and any(words in message.text for words in _TROUBLES):
            self.troubles.append(f"{self.name}: {message.text}")


async def device(browser: Browser, name: str, port: int, **options: Any) -> Device:
    """Return a fresh device whose network leads to the server at `port`. `options` are those of a browser context."""
    proxy = FaultProxy(port)
    await proxy.start()
    context = await browser.new_context(**options)
    await context.add_init_script(_REPORT_VIOLATIONS)
    return Device(name, proxy, context)


async def true_in(page: Page, expression: str, what: str = "", *, within_s: float = PATIENCE_S) -> Any:
    """Return the first true value of a JavaScript expression; a promise is waited for.

    In place of Playwright's `wait_for_function`, which makes code of a string in the page: its policy refuses that.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while not (value := await page.evaluate(expression)):
        assert asyncio.get_running_loop().time() < deadline, f"{what or expression} did not happen in {within_s:g} s"
        await asyncio.sleep(0.02)
    return value


async def in_charge(page: Page) -> None:
    """Return when the service worker is in charge of a page, and takes messages: while it activates, none come."""
    await true_in(page, "navigator.serviceWorker.controller?.state === 'activated'", "the service worker in charge")


# Processes


async def renderer(page: Page) -> int:
    """Return the id of the process that a tab lives in.

    A page can be asked how much time its process has had, to a hundredth of a second, and so can the system of each
    process. The one whose times agree, before and after the page was kept busy, is it.
    """
    browser = page.context.browser
    assert browser is not None
    of_browser, of_page = await browser.new_browser_cdp_session(), await page.context.new_cdp_session(page)
    try:
        await of_page.send("Performance.enable")
        info = (await of_browser.send("SystemInfo.getProcessInfo"))["processInfo"]
        possible = {int(process["id"]) for process in info if process["type"] == "renderer"}
        for spin_ms in (0, 100, 200, 400, 800):
            await page.evaluate(
                "(ms) => { const end = performance.now() + ms; while (performance.now() < end); }", spin_ms
            )
            least = await _process_s(of_page) - _TICK_S / 2
            had = {pid: _cpu_s(pid) for pid in possible}
            most = await _process_s(of_page) + _TICK_S / 2
            possible = {pid for pid, cpu_s in had.items() if least <= cpu_s <= most}
            if len(possible) == 1 and spin_ms:
                return possible.pop()
    finally:
        await of_page.detach()
        await of_browser.detach()
    raise AssertionError(f"which process the tab is in cannot be told: {possible}")


async def _process_s(of_page: CDPSession) -> float:
    metrics = (await of_page.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "ProcessTime"))


async def kill(page: Page, *, pid: int = 0) -> None:
    """SIGKILL a tab's process: it has no chance to do anything more. `pid` is its `renderer`, if that is known."""
    crashed = asyncio.Event()
    page.on("crash", lambda _: crashed.set())
    os.kill(pid or await renderer(page), signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_S):
        await crashed.wait()


@asynccontextmanager
async def frozen(page: Page, *, once: str = "undefined") -> AsyncIterator[None]:
    """Stop a tab's process, and have it go on in the end: what a phone does to a tab in the background.

    Its last task ends first, as where browsers freeze tabs: one that stops within a task may have made a transaction
    and not yet asked for anything in it, and Chromium lets that keep all other tabs out for as long as it stands.
    `once` is a promise, in JavaScript, for the task that is to be the last one.
    """
    pid = await renderer(page)
    name = f"stopped-{secrets.token_hex(4)}"
    async with page.expect_console_message(lambda message: message.text == "held"):
        holding = asyncio.ensure_future(page.evaluate(_HOLD.replace("ONCE", once).replace("NAME", name)))
    os.kill(pid, signal.SIGSTOP)
    try:
        await until(lambda: _state(pid) == "T", "the tab's process to stop")
        await page.context.add_cookies([{"name": name, "value": "1", "url": page.url}])
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        await holding


def _stat(pid: int) -> Sequence[str]:
    # The name in parentheses may hold anything.
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()


def _cpu_s(pid: int) -> float:
    try:
        fields = _stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _state(pid: int) -> str:
    return _stat(pid)[0]
