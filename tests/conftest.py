"""Fixtures that tests of several parts share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.server_process import ServerProcess
from syncd.server.app import Server
from tests import harness
from tests.harness import serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A running server in this process, with its store in `server.db`."""
    async with serving(tmp_path / "server.db") as running:
        yield running


@pytest.fixture
async def server_process(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A server in a process of its own, to be killed and started again."""
    async with harness.server_process(tmp_path / "server.db") as running:
        yield running
