"""Fixtures of the browser tests: real Chromium, a server process, and devices with networks that break on order.

All of these tests share one event loop and one browser, since starting one takes longer than most tests. An async
fixture of a test file here says so too: `@pytest_asyncio.fixture(loop_scope="session")`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from examples.server_process import ServerProcess
from tests.browser.chromium import Device, device, executable, launch
from tests.browser.pages import build_bare_pages, build_console
from tests.e2e.stories.stage import Stage
from tests.harness import SECRET

MakeDevice = Callable[..., Awaitable[Device]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the one loop that their browser lives in."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The one browser."""
    executable()
    async with async_playwright() as playwright:
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
async def bare(tmp_path: Path, bare_pages: Path) -> AsyncIterator[ServerProcess]:
    """A server in development mode that shows the bare pages; it can be killed, frozen and started again."""
    async with ServerProcess(tmp_path / "server.db", settings={"CONSOLE": str(bare_pages)}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def served(tmp_path: Path, console_pages: Path) -> AsyncIterator[ServerProcess]:
    """A server in development mode that shows the console."""
    async with ServerProcess(tmp_path / "server.db", settings={"CONSOLE": str(console_pages)}) as server:
        yield server


@asynccontextmanager
async def stage_with(pages: Path, place: Path, **limits: float) -> AsyncIterator[Stage]:
    """What a story has: a server that shows `pages` and takes signed tokens, agents, and people with other clients."""
    settings = {"CONSOLE": str(pages)}
    async with (
        ServerProcess(place / "server.db", limits=limits, keys=SECRET, settings=settings) as server,
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
async def new_device(browser: Browser) -> AsyncIterator[MakeDevice]:
    """Make a device by its name and the server it is for; further arguments are those of a browser context.

    In the end they are closed, and a test with troubles that it did not take away has failed.
    """
    made: list[Device] = []

    async def make(name: str, server: ServerProcess, **options: Any) -> Device:
        made.append(await device(browser, name, server.port, **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()
    assert [trouble for one in made for trouble in one.troubles] == []
