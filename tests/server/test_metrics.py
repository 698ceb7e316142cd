"""What the server counts."""

from syncd.core.errors import CloseCode, RejectCode
from syncd.server.metrics import Metrics


def test_label_values_are_bounded() -> None:
    """Whatever is given, the number of series does not grow beyond the known codes and one more."""
    metrics = Metrics()
    for code in (*RejectCode, "hostile", "x" * 100):
        metrics.reject(code)
    for number in (*CloseCode, *range(3_000, 3_100)):
        metrics.close(number)
    for method in ("GET", "BREW", "x" * 100):
        metrics.request(method, "/healthz", 200, 0.01)
    page = metrics.render()[0].decode()

    assert page.count("syncd_rejects_total{") == len(RejectCode) + 1
    assert page.count("syncd_closes_total{") == len(CloseCode) + 1
    assert page.count("syncd_requests_total{") == 2
    assert 'syncd_rejects_total{code="other"} 2.0' in page
    assert 'syncd_closes_total{code="4003"} 1.0' in page


def test_link_has_no_duration() -> None:
    """A link open for a week says nothing about the time of requests."""
    metrics = Metrics()
    metrics.request("GET", "/v1/sync", 101, None)

    assert "syncd_request_seconds_count{" not in metrics.render()[0].decode()


def test_registries_are_separate() -> None:
    """Two servers in one process do not meet in a global registry."""
    first, second = Metrics(), Metrics()
    first.links.set(3)

    assert "syncd_links 3.0" in first.render()[0].decode()
    assert "syncd_links 0.0" in second.render()[0].decode()
