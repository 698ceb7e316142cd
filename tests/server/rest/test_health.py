"""The routes for whoever watches the server."""

from tests.server.fakes import Running


async def test_health_needs_no_token(http: Running) -> None:
    """Probes have none."""
    for path in ("/healthz", "/readyz", "/metrics", "/v1/openapi.json"):
        reply = await http.call("GET", path, token=None)

        assert reply.status == 200, path


async def test_full_storage_is_not_ready_but_healthy(http: Running) -> None:
    """A full disk turns readiness red with the reason, and it recovers by itself."""
    http.sessions.storage_full = True
    ready, healthy = await http.call("GET", "/readyz"), await http.call("GET", "/healthz")
    http.sessions.storage_full = False
    again = await http.call("GET", "/readyz")

    assert (ready.status, ready.code) == (503, "not_ready")
    assert ready.json["error"]["message"] == "the storage is full"
    assert (healthy.status, again.status) == (200, 200)


async def test_draining_is_not_ready_but_healthy(http: Running) -> None:
    """While draining, readiness is red and all else is refused with a time to come back."""
    http.server.services.lifecycle.draining = True
    ready, healthy = await http.call("GET", "/readyz"), await http.call("GET", "/healthz")
    other = await http.call("GET", "/v1/sessions")
    http.server.services.lifecycle.draining = False

    assert (ready.status, ready.code) == (503, "draining")
    assert healthy.status == 200
    assert (other.status, other.code) == (503, "draining")
    assert int(other.headers["Retry-After"]) > 0


async def test_store_that_is_not_open_is_not_ready(http: Running) -> None:
    """Before the store is open nothing is promised."""
    http.server.services.lifecycle.started = False
    ready = await http.call("GET", "/readyz")
    http.server.services.lifecycle.started = True

    assert (ready.status, ready.code) == (503, "not_ready")


async def test_metrics_name_routes_not_paths(http: Running) -> None:
    """An id never becomes a label."""
    await http.call("GET", "/v1/sessions/some-session-id")
    await http.call("GET", "/no/such/path")
    page = (await http.call("GET", "/metrics", token=None)).raw.decode()

    assert 'syncd_requests_total{method="GET",route="/v1/sessions/{session}",status="404"} 1.0' in page
    assert 'syncd_requests_total{method="GET",route="-",status="404"} 1.0' in page
    assert "some-session-id" not in page
    assert "/no/such/path" not in page
