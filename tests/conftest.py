"""Fixtures that tests of several parts share."""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from examples.server_process import ServerProcess
from syncd.server.app import Server
from tests import harness
from tests.harness import serving


def pytest_configure() -> None:
    """Start processes of tests in the same way, however pytest itself was started."""
    harness.heed_interrupts()


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # lazy: a failed test may hold files
