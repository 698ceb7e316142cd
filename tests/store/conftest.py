"""Stores on real files, opened and closed around each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.store.local import LocalStore
from syncd.store.log import SessionLog
from syncd.store.memory import MemorySessionLog
from syncd.store.session_log import SqliteSessionLog


@pytest.fixture(params=["sqlite", "memory"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SessionLog]:
    """Every engine in turn, empty and open."""
    engine = SqliteSessionLog(tmp_path / "log.db") if request.param == "sqlite" else MemorySessionLog()
    await engine.open()
    yield engine
    await engine.close()


@pytest.fixture
async def sqlite_log(tmp_path: Path) -> AsyncIterator[SqliteSessionLog]:
    """A log in `log.db`, with a short time-out for locks."""
    engine = SqliteSessionLog(tmp_path / "log.db", busy_timeout_s=0.1)
    await engine.open()
    yield engine
    await engine.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalStore]:
    """A local store in `local.db`, with a short time-out for locks."""
    store = LocalStore(tmp_path / "local.db", busy_timeout_s=0.1)
    await store.open()
    yield store
    await store.close()
