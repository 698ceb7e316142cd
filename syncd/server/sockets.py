"""Links: the WebSockets of `syncd.v1`, many sessions on each.

Reads frames, knows who may send them and how fast, and looks after who is slow, silent or no longer allowed. Knows
nothing of documents or of the log.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Awaitable

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from syncd.core.codec import decode_client, encode
from syncd.core.errors import CloseCode, RemoteProtocolError
from syncd.core.grant import Grant
from syncd.core.limits import Limits
from syncd.core.messages import (
    Bye,
    ClientMessage,
    Closed,
    Hello,
    Leave,
    Open,
    Ping,
    Pong,
    Push,
    Refresh,
    Refreshed,
    Serve,
    Storage,
    Unknown,
    Watch,
    Welcome,
)
from syncd.server.auth import Auth, BadToken, TooManyFailures
from syncd.server.heartbeat import Heartbeat
from syncd.server.link import CLOSE_TIMEOUT_S, Link, websocket_frame
from syncd.server.listen import Connection
from syncd.server.lists import Lists
from syncd.server.metrics import Metrics
from syncd.server.ratelimit import Pace
from syncd.server.services import ADDRESS
from syncd.server.sessions import SessionGone, Sessions
from syncd.server.work import Dispatcher

_log = structlog.get_logger("syncd.links")

PROTOCOL = "syncd.v1"
VERSION = 1
_CONTROL = frozenset({WSMsgType.PING, WSMsgType.PONG})
_ENDS = frozenset({WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR})
_WATCH_S = 0.1
_EXPIRY_S = 0.5
#: aiohttp leaves each closed link's objects, some 12 kB, in a cycle; a running server looks for cycles by itself hardly
#: ever, since that stops the loop.
_COLLECT_AFTER_LINKS = 1_000


class Links:
    """All links of this process.

    1. Before its hello a link may send one frame, of bounded size, within a deadline that traffic does not extend.
    2. No frame is acted on after the token expired or was revoked.
    3. A link that sends too fast is read more slowly; nobody else notices.
    """

    def __init__(
        self,
        sessions: Sessions,
        auth: Auth,
        limits: Limits,
        metrics: Metrics,
        dispatcher: Dispatcher,
        lists: Lists | None = None,
        *,
        server: str = "syncd",
    ) -> None:
        self.limits = limits
        self.metrics = metrics
        self._sessions = sessions
        self._auth = auth
        self._dispatcher = dispatcher
        self._lists = lists
        self._server = server
        self._links: set[Link] = set()
        self._pending = 0
        self._by_subject: dict[str, int] = {}
        self._by_address: dict[str, int] = {}
        self._behind: set[Link] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._heartbeat: Heartbeat[Link] = Heartbeat(limits.heartbeat_s)
        self._watcher: asyncio.Task[None] | None = None
        self._draining = False
        self._framed: tuple[bytes, bytes] = (b"", b"")
        #: Since the metrics were last brought up to date: counters with a lock are too dear for each frame and reader.
        self.bytes_out = 0
        self.frames_in = 0
        self.bytes_in = 0
        # Since the last collection.
        self._forgotten = 0
        sessions.on_storage = self._storage_moved

    def __len__(self) -> int:
        return len(self._links)

    # One link's life

    async def sync_handler(self, request: web.Request) -> web.WebSocketResponse:
        """Serve `GET /v1/sync`: one link, until it ends."""
        address = request.get(ADDRESS) or request.remote or ""
        ws = web.WebSocketResponse(
            protocols=(PROTOCOL,),
            heartbeat=None,  # Our own: see `heartbeat`.
            max_msg_size=self.limits.frame_bytes_max + 1024,
            compress=False,
            autoclose=True,
            autoping=False,
            timeout=CLOSE_TIMEOUT_S,
            writer_limit=self.limits.outbox_bytes_max,
        )
        try:
            await ws.prepare(request)
        except ValueError:  # aiohttp decodes the key without a look at what it is made of
            raise web.HTTPBadRequest(reason="no key of a WebSocket") from None
        assert request.transport is not None
        self._watch_all()
        full = len(self._links) + self._pending >= self.limits.links_max
        if full or self._draining or self._by_address.get(address, 0) >= self.limits.links_per_address_max:
            await ws.close(code=CloseCode.TRY_LATER, message=b"the server takes no more links now")
            return ws
        _count(self._by_address, address, 1)
        self._pending += 1
        link: Link | None = None
        try:
            try:
                link = await self._greet(request, ws, address)
            finally:
                self._pending -= 1
            if link is not None:
                # In a task of its own, so that a frame does not wake the whole stack of the request's handlers.
                await asyncio.create_task(self._serve(link, ws), name="link")
        except RemoteProtocolError as error:
            self.metrics.close(error.code)
            await self._finish(ws, link, error)
        finally:
            _count(self._by_address, address, -1)
            if link is not None:
                self._forget(link)
        return ws

    async def _greet(self, request: web.Request, ws: web.WebSocketResponse, address: str) -> Link | None:
        if ws.ws_protocol != PROTOCOL:
            raise RemoteProtocolError(CloseCode.UNSUPPORTED, f"offer the subprotocol {PROTOCOL}")
        try:
            async with asyncio.timeout(self.limits.hello_timeout_s):  # Invariant 1.
                while (message := await ws.receive()).type in _CONTROL:
                    pass
        except TimeoutError:
            raise RemoteProtocolError(CloseCode.HANDSHAKE_TIMEOUT, "no hello in time") from None
        if message.type in _ENDS:
            return None
        if message.type is not WSMsgType.BINARY:
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "frames are binary")
        if len(message.data) > self.limits.hello_bytes_max:
            raise RemoteProtocolError(CloseCode.TOO_BIG, "the hello is too large")
        hello = decode_client(message.data, self.limits)
        if not isinstance(hello, Hello):
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "the first frame is a hello")
        if VERSION not in hello.versions:
            raise RemoteProtocolError(CloseCode.UNSUPPORTED, f"this server speaks version {VERSION}")
        grant = self._admit(hello.token or _bearer(request), address)
        if self._by_subject.get(grant.subject, 0) >= self.limits.links_per_subject_max:
            raise RemoteProtocolError(CloseCode.RATE, "too many links of one subject")
        assert isinstance(request.protocol, Connection)
        link = Link(self, ws, request.protocol, grant, hello)
        self._links.add(link)
        self._heartbeat.add(link)
        _count(self._by_subject, grant.subject, 1)
        self.metrics.links.set(len(self._links))
        _log.info("link_opened", peer=link.peer, subject=grant.subject, jti=grant.token_id, device=hello.device)
        link.send(self._welcome(link))
        if self._draining:
            self.close(link, CloseCode.SHUTDOWN, "the server goes away")
        return link

    def _welcome(self, link: Link) -> Welcome:
        return Welcome(
            version=VERSION,
            peer=link.peer,
            subject=link.grant.subject,
            server=self._server,
            heartbeat_s=self.limits.heartbeat_s,
            frame_bytes_max=self.limits.frame_bytes_max,
            presence_bytes_max=self.limits.presence_bytes_max,
            expires_at=link.grant.expires_at or 0.0,
            now=time.time(),
        )

    def _admit(self, token: str, address: str) -> Grant:
        try:
            return self._auth.admit(token, address)
        except BadToken as error:
            raise RemoteProtocolError(error.code, error.reason) from None
        except TooManyFailures:
            raise RemoteProtocolError(CloseCode.TRY_LATER, "too many refused tokens from this address") from None

    async def _serve(self, link: Link, ws: web.WebSocketResponse) -> None:
        limits = self.limits
        pace = Pace(limits.frames_per_s, limits.frames_burst, limits.bytes_per_s, limits.bytes_burst)
        while True:
            message = await ws.receive()
            if link.ending or self._draining:
                await link.closed.wait()  # By whoever is ending it, with the code that says why.
                return
            if message.type in _ENDS:
                break
            data = message.data
            if message.type is WSMsgType.BINARY:
                self.frames_in += 1
                self.bytes_in += len(data)
                if link.grant.expired(time.time()):  # Invariant 2.
                    raise RemoteProtocolError(CloseCode.TOKEN_EXPIRED, "the token expired")
                frame = decode_client(data, limits)
                if type(frame) is Push:  # Nearly all of them.
                    self._sessions.receive(frame.session, link.peer, frame)
                else:
                    await self._act(link, frame)
            elif message.type is WSMsgType.PING:
                link.pong(data)
            elif message.type is not WSMsgType.PONG:
                raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "frames are binary")
            wait_s = pace.take(len(data), time.monotonic())
            if wait_s > 0.0:
                await asyncio.sleep(wait_s)  # Invariant 3.
        if ws.close_code == WSCloseCode.MESSAGE_TOO_BIG:
            self.metrics.close(CloseCode.TOO_BIG)

    async def _act(self, link: Link, message: ClientMessage) -> None:
        if isinstance(message, Open):
            await self._open(link, message)
        elif isinstance(message, Leave):
            self._sessions.detach(message.session, link.peer)
            link.sessions.discard(message.session)
            link.send(Closed(message.session, CloseCode.NORMAL, ""))
        elif isinstance(message, Ping):
            link.send(Pong(message.nonce))
        elif isinstance(message, Refresh):
            self._refresh(link, message)
        elif isinstance(message, Hello):
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "a second hello")
        elif isinstance(message, Serve):
            self._take_worker(link, message)
        elif isinstance(message, Watch):
            if self._lists is not None:
                self._lists.watch(link, message)
        elif not isinstance(message, Unknown):
            self._sessions.receive(message.session, link.peer, message)

    async def _open(self, link: Link, opened: Open) -> None:
        if opened.session in link.sessions:
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, f"{opened.session} is open on this link: leave it first")
        if len(link.sessions) >= self.limits.sessions_per_link_max:
            link.send(Closed(opened.session, CloseCode.RATE, "too many sessions on one link"))
            return
        if link.stuffed:
            link.send(Closed(opened.session, CloseCode.BEHIND, "read first what was sent"))
            return
        link.sessions.add(opened.session)
        try:
            await self._sessions.attach(
                link.peer, link, link.grant, opened, device=link.device, worker=link.worker or link.device
            )
        except SessionGone as gone:
            link.sessions.discard(opened.session)
            self.metrics.close(gone.code)
            link.send(Closed(opened.session, gone.code, gone.reason))

    def _take_worker(self, link: Link, serve: Serve) -> None:
        if not link.grant.subject.startswith("agent:"):
            reason = f"{link.grant.subject} cannot serve: it takes the token of an agent, of a subject agent:NAME"
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, reason)
        if serve.slots > self.limits.slots_max:
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, f"a worker has at most {self.limits.slots_max} slots")
        if link.worker not in ("", serve.worker):
            raise RemoteProtocolError(CloseCode.BAD_MESSAGE, "another worker on this link: use one link for each")
        if not link.worker:
            link.worker = serve.worker
            for session in list(link.sessions):  # They took it for another worker's.
                self._sessions.detach(session, link.peer)
                link.drop(session, CloseCode.RESYNC, "opened before its link served: open it again", whole_link=False)
        self._dispatcher.serve(link, serve.worker, serve.slots, serve.per_session)

    def _refresh(self, link: Link, refresh: Refresh) -> None:
        try:
            grant = self._auth.verify(refresh.token)
        except BadToken as error:
            raise RemoteProtocolError(error.code, error.reason) from None
        if grant.subject != link.grant.subject:
            raise RemoteProtocolError(CloseCode.BAD_TOKEN, "a fresh token must name the same subject")
        link.grant = grant
        self._dispatcher.regrant(link)
        for session in list(link.sessions):
            if not self._sessions.regrant(session, link.peer, grant):
                self._sessions.detach(session, link.peer)
                link.drop(session, CloseCode.FORBIDDEN, "the fresh token does not name this session", whole_link=False)
        link.send(Refreshed(grant.expires_at or 0.0))

    async def _finish(self, ws: web.WebSocketResponse, link: Link | None, error: RemoteProtocolError) -> None:
        _log.info("link_refused", peer=link.peer if link else "", code=int(error.code), reason=error.reason)
        if link is not None:
            await link.close(error.code, error.reason)
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await ws.send_bytes(encode(Bye(error.code, error.reason)))
                await ws.close(code=error.code, message=error.reason.encode()[:120])
        except (TimeoutError, ConnectionError):
            return

    def _forget(self, link: Link) -> None:
        self._forgotten += 1
        link.ending = link.closing = True
        link.closed.set()
        self._links.discard(link)
        self._heartbeat.remove(link)
        self._behind.discard(link)
        self._dispatcher.gone(link)
        if self._lists is not None:
            self._lists.gone(link)
        for session in link.sessions:
            self._sessions.detach(session, link.peer)
        _count(self._by_subject, link.grant.subject, -1)
        self.metrics.links.set(len(self._links))
        _log.info("link_closed", peer=link.peer, subject=link.grant.subject)

    # All links

    def framed(self, payload: bytes) -> bytes:
        """Return `payload` as a WebSocket frame; made once for a run of readers of the same message."""
        if self._framed[0] is not payload:
            self._framed = (payload, websocket_frame(payload))
        return self._framed[1]

    def watch(self, link: Link) -> None:
        """Have `link` caught up as soon as its reader has taken what was sent."""
        self._behind.add(link)

    def close(self, link: Link, code: CloseCode, reason: str, retry_after_s: float = 0.0) -> None:
        """Close a link without waiting for it."""
        if not link.ending:
            link.ending = True
            self._dispatcher.gone(link)
            self.metrics.close(code)
            task = asyncio.create_task(link.close(code, reason, retry_after_s), name="close link")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def revoke(self, *, token_ids: frozenset[str], subjects: frozenset[str]) -> None:
        """Close the links of these tokens and subjects at once; nothing more of theirs is read."""
        for link in list(self._links):
            if link.grant.revoked_by(token_ids, subjects):
                for session in list(link.sessions):
                    self._sessions.detach(session, link.peer)
                self.close(link, CloseCode.REVOKED, "the token was revoked")

    async def drain(self) -> None:
        """Read no more, commit and ack what was read, then send everybody away, to come back spread over seconds."""
        self._draining = True
        await self._sessions.settle()
        spread_s = min(5.0, 0.01 * len(self._links))
        links = list(self._links)
        closes: list[Awaitable[None]] = [
            link.close(CloseCode.SHUTDOWN, "the server goes away", random.uniform(0.0, spread_s))  # noqa: S311
            for link in links
        ]
        await asyncio.gather(*closes)
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, *self._closing, return_exceptions=True)

    def _catch_up(self, link: Link) -> None:
        while link.behind and link.writable:
            self._sessions.catch_up(link.behind.pop(), link.peer)
        if link.behind:
            link.behind_since = time.monotonic()
        else:
            self._behind.discard(link)

    def _storage_moved(self, storage: Storage) -> None:
        for link in self._links:
            link.send(storage)

    def _watch_all(self) -> None:
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch(), name="link watch")

    async def _watch(self) -> None:
        next_expiry = 0.0
        while True:
            await asyncio.sleep(_WATCH_S)
            self.metrics.bytes_out.inc(self.bytes_out)
            self.metrics.frames_in.inc(self.frames_in)
            self.metrics.bytes_in.inc(self.bytes_in)
            self.bytes_out = self.frames_in = self.bytes_in = 0
            if self._forgotten >= _COLLECT_AFTER_LINKS:
                self._forgotten = 0
                gc.collect()
            now = time.monotonic()
            to_ping, dead = self._heartbeat.look(now)
            for link in to_ping:
                link.ping()
            for link in dead:
                _log.info("link_dead", peer=link.peer)
                if self._lists is not None:
                    self._lists.people.silent(link.sessions, link.grant.subject, link.peer, link.heard_at)
                link.cut()
            for link in list(self._behind):
                if link.closing:
                    self._behind.discard(link)
                elif link.writable:
                    self._catch_up(link)
                elif now - link.behind_since > self.limits.behind_timeout_s:
                    self.close(link, CloseCode.BEHIND, "nothing was read for too long")
            if now >= next_expiry:
                next_expiry = now + _EXPIRY_S
                for link in [link for link in self._links if link.grant.expired(time.time())]:
                    self.close(link, CloseCode.TOKEN_EXPIRED, "the token expired")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _count(counts: dict[str, int], key: str, by: int) -> None:
    left = counts.get(key, 0) + by
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
