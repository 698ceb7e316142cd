"""Fixtures of the browser tests: real Chromium, a server, and devices with networks that break on order.

All of these tests share one event loop and one browser, since starting one takes longer than most tests. An async
fixture of a test file here says so too: `@pytest_asyncio.fixture(loop_scope="session")`.

Each test has a server and a store of its own. The server is in this process, which is started by the time that another
one has loaded its modules; only where it is killed it is another one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, device, executable, launch
from tests.browser.pages import build_bare_pages, build_console
from tests.e2e.stories.stage import ProcessStage, Stage
from tests.harness import SECRET, Running, serving

MakeDevice = Callable[..., Awaitable[Device]]
#: Without a rule that tells by push nobody is asked for anything.
_RULES = """
[[hooks.rules]]
name = "done"
on = ["run.ended"]
whom = ["asker"]
channel = "push"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the one loop that their browser lives in."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """What drives browsers."""
    executable()
    async with async_playwright() as driver:
        yield driver


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """The one browser."""
    running = await launch(playwright)
    yield running
    await running.close()


@pytest.fixture(scope="session")
def bare_pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bare pages."""
    folder = tmp_path_factory.mktemp("bare")
    build_bare_pages(folder)
    return folder


@pytest.fixture(scope="session")
def console_pages() -> Path:
    """The folder of the console."""
    return build_console()


@pytest_asyncio.fixture(loop_scope="session")
async def bare(tmp_path: Path, bare_pages: Path) -> AsyncIterator[Running]:
    """A server in development mode that shows the bare pages."""
    async with serving(tmp_path / "server.db", dev=True, console=bare_pages) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def bare_process(tmp_path: Path, bare_pages: Path) -> AsyncIterator[ServerProcess]:
    """The same in a process of its own, which can be killed, frozen and started again."""
    async with ServerProcess(tmp_path / "server.db", settings={"CONSOLE": str(bare_pages)}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def served(tmp_path: Path, console_pages: Path) -> AsyncIterator[Running]:
    """A server in development mode that shows the console."""
    async with serving(tmp_path / "server.db", dev=True, console=console_pages) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def told(tmp_path: Path, console_pages: Path) -> AsyncIterator[ServerProcess]:
    """A server in development mode that shows the console, and has a rule by which people are told on their devices."""
    rules = tmp_path / "hooks.toml"
    rules.write_text(_RULES)
    settings = {"CONSOLE": str(console_pages), "HOOKS": str(rules), "PUSH_ALLOW": "127.0.0.0/8"}
    async with ServerProcess(tmp_path / "server.db", settings=settings) as server:
        yield server


@asynccontextmanager
async def stage_with(pages: Path, place: Path, **limits: float) -> AsyncIterator[Stage]:
    """What a story has: a server that shows `pages` and takes signed tokens, agents, and people with other clients."""
    async with (
        serving(place / "server.db", limits=limits, console=pages) as server,
        AsyncExitStack() as stack,
    ):
        yield Stage(server, place, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path, console_pages: Path) -> AsyncIterator[Stage]:
    """A stage whose server shows the console."""
    async with stage_with(console_pages, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def bare_stage(tmp_path: Path, bare_pages: Path) -> AsyncIterator[Stage]:
    """A stage whose server shows the bare pages."""
    async with stage_with(bare_pages, tmp_path) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def process_stage(tmp_path: Path, console_pages: Path) -> AsyncIterator[ProcessStage]:
    """A stage whose server shows the console, and whose server and agents are processes of their own."""
    settings = {"CONSOLE": str(console_pages)}
    async with (
        ServerProcess(tmp_path / "server.db", keys=SECRET, settings=settings) as server,
        AsyncExitStack() as stack,
    ):
        yield ProcessStage(server, tmp_path, stack)


@pytest_asyncio.fixture(loop_scope="session")
async def new_device(browser: Browser) -> AsyncIterator[MakeDevice]:
    """Make a device by its name and the server it is for; further arguments are those of a browser context.

    In the end they are closed, and a test with troubles that it did not take away has failed.
    """
    made: list[Device] = []

    async def make(name: str, server: Running, **options: Any) -> Device:
        made.append(await device(browser, name, server.port, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()
    assert [trouble for one in made for trouble in one.troubles] == []
