"""Link: one WebSocket after its hello, and the frames written to it, none of which waits for its reader.

Knows nothing of what frames do, nor of other links.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Protocol

from aiohttp import web

from syncd.core.codec import encode
from syncd.core.errors import CloseCode
from syncd.core.grant import Grant
from syncd.core.ids import uuid7
from syncd.core.limits import Limits
from syncd.core.messages import Bye, Closed, Hello, Opened, PresenceChanged, ServerMessage, Update, Work
from syncd.server.listen import Connection
from syncd.server.metrics import Metrics

#: How long a link may take to answer a close before its socket is cut.
CLOSE_TIMEOUT_S = 2.0
#: A link whose unsent frames grow beyond this many outboxes is not reading even its acks.
_HARD_OUTBOXES = 8
_PING_FRAME = b"\x89\x00"
_PONG = 0x8A


class _Transport(Protocol):
    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...
    def abort(self) -> None: ...


def websocket_frame(payload: bytes) -> bytes:
    """Return `payload` as one unmasked binary WebSocket frame (RFC 6455, 5.2), the same for every reader."""
    size = len(payload)
    if size < 126:
        return bytes((0x82, size)) + payload
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload


class Owner(Protocol):
    """What a link needs of whoever has them all."""

    limits: Limits
    metrics: Metrics
    bytes_out: int

    def framed(self, payload: bytes) -> bytes:
        """Return `payload` as a WebSocket frame, made once for all its readers."""
        ...

    def watch(self, link: Link) -> None:
        """Catch `link` up as soon as its reader has taken what was sent."""
        ...

    def close(self, link: Link, code: CloseCode, reason: str, retry_after_s: float = 0.0) -> None:
        """Close `link` without waiting for it."""
        ...


class Link:
    """One WebSocket after its hello.

    1. Writing never waits: what a slow reader cannot take is not sent, and made up for by one diff.
    2. A link is closed once, with one code.
    """

    def __init__(
        self, owner: Owner, ws: web.WebSocketResponse, connection: Connection, grant: Grant, hello: Hello
    ) -> None:
        assert connection.transport is not None
        self.peer = uuid7(int(time.time() * 1000), secrets.token_bytes(10))
        self.grant = grant
        self.device = hello.device
        self.sessions: set[str] = set()
        #: The process' id once it serves an agent, else empty.
        self.worker = ""
        # Nothing more is read from it; `closing`: nor written to it.
        self.ending = False
        self.closing = False
        # Sessions this link is behind in, and since when.
        self.behind: set[str] = set()
        self.behind_since = 0.0
        self.pinged_at = 0.0
        #: Set when the socket is closed, by whichever side.
        self.closed = asyncio.Event()
        self._owed_bytes = 0
        self._outbox_bytes = owner.limits.outbox_bytes_max
        self._owner = owner
        self._ws = ws
        self._connection = connection
        self._transport: _Transport = connection.transport

    @property
    def heard_at(self) -> float:
        """When its last byte came, by the monotonic clock."""
        return self._connection.heard_at

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._write(_PING_FRAME)

    def pong(self, payload: bytes) -> None:
        """Answer a ping. RFC 6455, 5.5: it carries at most 125 bytes."""
        self._write(bytes((_PONG, len(payload))) + payload)

    def cut(self) -> None:
        """End the connection without a word: nobody is there."""
        self._transport.abort()

    def send(self, message: ServerMessage) -> None:
        """Write a message for this link alone."""
        self._write(websocket_frame(encode(message)))

    def offer(self, work: Work) -> None:
        """See `work.WorkerLink`."""
        self.send(work)

    def _write(self, frame: bytes, *, owed: bool = False) -> None:
        if self.closing or self._transport.is_closing():
            return
        self._transport.write(frame)
        self._owner.bytes_out += len(frame)
        unsent = self._transport.get_write_buffer_size()
        # A whole session may go out at once; that it takes its time is not the reader's fault.
        if owed:
            self._owed_bytes = unsent
        elif unsent <= self._outbox_bytes:
            self._owed_bytes = 0
        elif unsent > self._owed_bytes + _HARD_OUTBOXES * self._outbox_bytes:
            self._owner.close(self, CloseCode.BEHIND, "nothing was read for too long")

    def deliver(self, session: str, message: ServerMessage, frame: bytes, *, owed: bool = False) -> bool:
        """See `sessions.Outlet`. `frame` is the message's, shared by all its readers."""
        full = self._transport.get_write_buffer_size() > self._outbox_bytes
        if full and not owed and isinstance(message, Update | PresenceChanged):  # Invariant 1.
            if not self.behind:
                self.behind_since = time.monotonic()
            self.behind.add(session)
            self._owner.watch(self)
            return False
        self._write(self._owner.framed(frame), owed=owed or type(message) is Opened)
        return True

    def drop(self, session: str, code: CloseCode, reason: str, *, whole_link: bool) -> None:
        """See `sessions.Outlet`."""
        self.sessions.discard(session)
        self.behind.discard(session)
        if whole_link:
            self._owner.close(self, code, reason)
        else:
            self._owner.metrics.close(code)
            self.send(Closed(session, code, reason))

    @property
    def writable(self) -> bool:
        """Whether its reader has taken most of what was sent."""
        return self._transport.get_write_buffer_size() <= self._outbox_bytes // 4

    @property
    def stuffed(self) -> bool:
        """Whether so much waits for its reader that another whole session is too much."""
        return self._transport.get_write_buffer_size() > _HARD_OUTBOXES * self._outbox_bytes

    async def close(self, code: CloseCode, reason: str, retry_after_s: float = 0.0) -> None:
        """Say bye and close the socket; cut it if it does not answer."""
        if self.closing:  # Invariant 2.
            return
        self.send(Bye(code, reason, retry_after_s))
        self.ending = self.closing = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._ws.close(code=code, message=reason.encode()[:120])
        except (TimeoutError, ConnectionError, RuntimeError):
            self._transport.abort()
        finally:
            self.closed.set()
