"""Fixtures of the client's tests."""

from collections.abc import Iterator

import pytest
import structlog

from tests.client.fake_server import FakeServer


@pytest.fixture(autouse=True)
def _quiet_log() -> Iterator[None]:
    """Nothing is printed; thousands of links would drown what failed."""
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory()
    )
    yield
    structlog.reset_defaults()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """A server that every client of this test meets, without sockets."""
    server = FakeServer()
    monkeypatch.setattr("syncd_client.client.Transport", server.transport)
    return server
