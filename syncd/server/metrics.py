"""Metrics: what the server counts, in a registry of its own.

Knows nothing of who counts. No label ever holds a name, an id or an address: each has a fixed set of values, so that
nobody outside can make the series grow.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from syncd.core.errors import CloseCode, RejectCode

_COMMIT_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_REQUEST_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_HOOK_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0, 86_400.0)
_ENTRIES_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000)
_REJECT_CODES = frozenset(code.value for code in RejectCode)
_CLOSE_CODES = frozenset(code.value for code in CloseCode)
_CHANNELS = frozenset({"webhook", "push", "apprise", "call", "wake"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """Counters, gauges and histograms of one server.

    1. Label values come from fixed sets; anything else is counted as `other`.

    Use `reject`, `close` and `request` where a label is needed; all else is a prometheus object to be used as it is.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.links = self._gauge("syncd_links", "WebSocket links that are open.")
        self.sessions_loaded = self._gauge("syncd_sessions_loaded", "Sessions held in memory.")
        self.frames_in = self._counter("syncd_frames_in", "Frames received.")
        self.bytes_in = self._counter("syncd_bytes_in", "Bytes of frames received.")
        self.bytes_out = self._counter("syncd_bytes_out", "Bytes of frames written.")
        self.updates = self._counter("syncd_updates", "Updates accepted and committed.")
        self.behind = self._counter("syncd_behind", "Times a reader was marked behind and got one diff instead.")
        self.work_queued = self._gauge("syncd_work_queued", "Runs that wait for a worker.")
        self.work_live = self._gauge("syncd_work_live", "Runs that a worker is at.")
        self.work_offers = self._counter("syncd_work_offers", "Offers of runs to workers.")
        self.hook_events = self._counter("syncd_hook_events", "Events that rules were tried on.")
        self.hook_pending = self._gauge("syncd_hook_pending", "Notices that wait to be delivered.")
        self.hook_waits = self._gauge("syncd_hook_waits", "Notices in the making: unread, quiet hours, digests.")
        self.hook_disabled = self._gauge("syncd_hook_disabled", "Targets that nothing is sent to any more.")
        self._hook_attempts = Counter(
            "syncd_hook_attempts", "Attempts to deliver a notice.", ["channel", "result"], registry=self.registry
        )
        self.hook_seconds = Histogram(
            "syncd_hook_seconds",
            "Time from a notice's making to its delivery.",
            buckets=_HOOK_BUCKETS_S,
            registry=self.registry,
        )
        self.auth_failures = self._counter("syncd_auth_failures", "Tokens that were refused.")
        self.storage_full = self._gauge("syncd_storage_full", "1 while nothing can be written, else 0.")
        self.commit_seconds = Histogram(
            "syncd_commit_seconds", "Time of one commit.", buckets=_COMMIT_BUCKETS_S, registry=self.registry
        )
        self.batch_entries = Histogram(
            "syncd_batch_entries", "Log entries in one commit.", buckets=_ENTRIES_BUCKETS, registry=self.registry
        )
        self._rejects = Counter("syncd_rejects", "Pushes and requests refused.", ["code"], registry=self.registry)
        self._closes = Counter("syncd_closes", "Links closed by the server.", ["code"], registry=self.registry)
        self._requests = Counter(
            "syncd_requests", "HTTP requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "syncd_request_seconds",
            "Time of one HTTP request, links aside.",
            ["route"],
            buckets=_REQUEST_BUCKETS_S,
            registry=self.registry,
        )

    def reject(self, code: str) -> None:
        """Count one refused push or request by its `RejectCode`."""
        self._rejects.labels(str(code) if code in _REJECT_CODES else "other").inc()  # Invariant 1.

    def hook(self, channel: str, result: str, count: int = 1) -> None:
        """Count an attempt at a notice: `sent`, `retry`, `dead`, `gone`; or notices `dropped` that were given up."""
        self._hook_attempts.labels(channel if channel in _CHANNELS else "other", result).inc(count)  # Invariant 1.

    def close(self, code: int) -> None:
        """Count one link, or one session on a link, closed by the server with a `CloseCode`."""
        self._closes.labels(str(int(code)) if code in _CLOSE_CODES else "other").inc()  # Invariant 1.

    def request(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count one answered request.

        `route` is the route's template, never the path itself. `seconds` is None for a link, whose length says nothing.
        """
        self._requests.labels(method if method in _METHODS else "other", route, str(status)).inc()  # Invariant 1.
        if seconds is not None:
            self._request_seconds.labels(route).observe(seconds)

    def render(self) -> tuple[bytes, str]:
        """Return the page for a scraper and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
