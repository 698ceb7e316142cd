"""Fixtures of the terminal's tests: a clean environment, commands run here, and a server as a process of its own."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import ServerProcess, Terminal

_ROOMS = itertools.count()


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Terminal:
    """A person's terminal: an empty home, no settings."""
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server in development mode, shared by all tests: each uses a room of its own, and leaves it running."""
    with ServerProcess(tmp_path_factory.mktemp("server") / "syncd.db") as process:
        yield process


@pytest.fixture
def room() -> str:
    """The id of a session that no other test uses."""
    return f"room-{next(_ROOMS)}"
