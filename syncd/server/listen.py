"""Listen: the listening socket, and a deadline for the headers of every request.

aiohttp waits for ever for a header that is dripped byte by byte. Knows nothing of routes or tokens.
"""

import asyncio
import time
from typing import Any

import structlog
from aiohttp import web

from syncd.server.http import ApiError, error_response

_log = structlog.get_logger("syncd.listen")

#: Connections the system may hold until they are accepted: as many as return at once after a restart.
BACKLOG = 2_048
#: An idle connection is kept this long for its next request: longer than the 60 s common with proxies.
KEEPALIVE_TIMEOUT_S = 75.0


class Connection(web.RequestHandler):
    """aiohttp's protocol with a deadline.

    1. The headers of a connection's first request are complete within `header_timeout_s` of its being accepted.
    2. Those of every later request are complete within it, counted from the first byte that was seen of them.
    3. No byte extends a deadline; only a complete header ends it. Bodies and links have deadlines of their own.
    """

    __slots__ = ("_deadline", "_header_timeout_s", "_last_payload", "heard_at")

    def __init__(self, manager: web.Server, *, header_timeout_s: float, **options: Any) -> None:
        super().__init__(manager, **options)
        self._header_timeout_s = header_timeout_s
        self._deadline: asyncio.TimerHandle | None = None
        self._last_payload: Any = None
        #: When the last bytes of an upgraded connection came, by the monotonic clock.
        self.heard_at = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the first request's deadline."""
        super().connection_made(transport)
        self._start_deadline()  # Invariant 1.

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the deadline."""
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Start, keep or end a deadline by what `data` turns out to be."""
        if self._upgraded:
            self.heard_at = time.monotonic()
            super().data_received(data)
            return
        seen = self._request_count
        in_body = self._last_payload is not None and not self._last_payload.is_eof()
        super().data_received(data)
        if self._request_count > seen:
            self._stop_deadline()  # Invariant 3.
            if self._messages:
                self._last_payload = self._messages[-1][1]
        elif data and not in_body:
            self._start_deadline()  # Invariant 2.

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer malformed HTTP in our own words: aiohttp quotes the bytes, in its answer and its log."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was begun already")
        if status >= 500:
            _log.error("connection failed", error=type(exc).__name__)
        response = error_response(ApiError("bad_request" if status < 500 else "internal"))
        response.headers["Server"] = "syncd"
        response.force_close()
        return response

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self._loop.call_later(self._header_timeout_s, self._late)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport is not None:
            _log.debug("header deadline passed")
            self.transport.abort()


async def listen(
    server: web.Server, host: str, port: int, *, header_timeout_s: float, **options: Any
) -> asyncio.Server:
    """Listen on `host` and `port` (0 lets the system choose) and serve `server`. Close the result when done.

    Raises:
        OSError: the address cannot be used.
    """
    loop = asyncio.get_running_loop()

    def accept() -> Connection:
        return Connection(
            server,
            loop=loop,
            header_timeout_s=header_timeout_s,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            # The access log is our own, one line a request.
            access_log=None,
            # A compressed body could be a thousand times what was sent; nothing that comes here is worth compressing.
            auto_decompress=False,
            **options,
        )

    return await loop.create_server(accept, host, port, backlog=BACKLOG)
