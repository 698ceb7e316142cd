"""Fixtures of the server's tests."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from tests.server.fakes import Running, running


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Nothing is printed; a test that looks at the log captures it itself."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Running]:
    """A server with one key, and a client."""
    async with running(tmp_path) as here:
        yield here
