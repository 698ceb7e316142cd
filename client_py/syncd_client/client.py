"""Client: this device's sessions, its store, and the one link they share.

Knows how to keep a link: tokens, back-off, what to do when it ends. What a session does with it is the session's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

import structlog

from syncd import __version__
from syncd.core.errors import CloseCode, LocalProtocolError, StoreError, SyncdError
from syncd.core.ids import is_id, uuid7
from syncd.core.limits import DEFAULT_LIMITS, Limits
from syncd.core.messages import (
    ClientMessage,
    Hello,
    Index,
    IndexChanged,
    Json,
    Leave,
    Refresh,
    Refreshed,
    ServerMessage,
    Storage,
    Unknown,
    Work,
)
from syncd.store.local import LocalStore
from syncd.store.local_records import LocalSession
from syncd.store.log import SearchHit
from syncd_client.copy import now_ms
from syncd_client.index import IndexLink, SessionIndex
from syncd_client.session import Session
from syncd_client.status import Link, Status
from syncd_client.transport import LinkClosed, Transport, Unreachable, request

_log = structlog.get_logger("syncd.client")

#: A token, a function that returns one (called before every connect and before it expires), or None for a server in
#: development mode.
Token = str | Callable[[], str | Awaitable[str]] | None

_LINK = "link"
_BACKOFF_S = 0.2
_BACKOFF_MAX_S = 15.0
#: A link that held this long was a good one: the next attempt is a first one again.
_STABLE_S = 2.0
#: How often other processes' writes into the same store are looked for.
_POLL_S = 0.25
#: A token is refreshed this long before it ends, or after half of what is left of its life if that is later.
_REFRESH_BEFORE_S = 60.0


class LinkWorker(Protocol):
    """Who takes work that comes over a client's link."""

    def hello(self) -> ClientMessage | None:
        """Return what to say on every new link before any session is opened on it."""
        ...

    def work(self, work: Work) -> None:
        """A run is offered."""
        ...


class Client:
    """One device's connection to a server.

    1. Everything works without a network: sessions open from this disk, edits are kept and sent later.
    2. There is one link for all sessions. When it ends it is made again, with back-off and jitter, until the server
       says not to come back.
    3. A token function is asked again rather than a token used again that was refused.

    Use as `async with Client(...) as client`.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token = None,
        store: str | Path = "syncd-local.db",
        limits: Limits = DEFAULT_LIMITS,
        agent: str = f"syncd-py/{__version__}",
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise LocalProtocolError(f"{url!r} is not a server's address: it starts with http:// or https://")
        self.url = url.rstrip("/")
        self.limits = limits
        self.life = uuid7(time.time_ns() // 1_000_000, secrets.token_bytes(10))
        self.store = LocalStore(Path(store))
        #: Who the token names, as the server said; before that, as the token says, or whoever used the store last.
        self.subject = _subject_of(token) if isinstance(token, str) else ""
        #: As the server last said.
        self.frame_bytes_max = limits.frame_bytes_max
        self.presence_bytes_max = limits.presence_bytes_max
        #: Set it before the link is made.
        self.worker: LinkWorker | None = None
        self._index = IndexLink(self, self.store.index)
        self._token = token
        self._agent = agent
        self._sessions: dict[str, Session] = {}
        self._opening = asyncio.Lock()
        self._closing = False
        self._status = Status(Link.OFFLINE)
        self._transport: Transport | None = None
        self._to_send: dict[str, Session] = {}
        self._loose: list[ClientMessage] = []
        self._send_wake = asyncio.Event()
        self._try_now = asyncio.Event()
        self._live = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._kept: set[asyncio.Task[None]] = set()
        # By the server's clock, so far ahead of this process' monotonic one: this machine's own may be set wrong.
        self._expires_at = 0.0
        self._clock_ahead_s = 0.0
        #: How far the server's clock is ahead of this machine's, as it last said.
        self.clock_ahead_ms = 0
        self._refreshed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.store.open()
        self.subject = self.subject or self.store.subject
        self._tasks = [
            asyncio.create_task(self._keep_link(), name=_LINK),
            asyncio.create_task(self._watch_store(), name="store watch"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Save what is not saved, close sessions, lists, link and store. What is not synced stays for the next time."""
        for session in list(self._sessions.values()):
            await session.close()
        self._index.close()
        self._closing = True
        for task in (*self._tasks, *self._kept):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._kept, return_exceptions=True)
        self._tasks = []
        if self._transport is not None:
            await self._transport.close()
        await self.store.close()

    # What apps use

    @property
    def status(self) -> Status:
        """Where the link stands: live, reconnecting, offline or refused."""
        return self._status

    @property
    def connected(self) -> bool:
        """Whether there is a link."""
        return self._status.live

    async def open(self, session: str) -> Session:
        """Open a session from this disk; it goes live by itself when there is a network. Opening twice gives the same.

        Raises:
            LocalProtocolError: not an id.
            StoreDamaged: the copy does not read: `forget` it.
        """
        if not is_id(session):
            raise LocalProtocolError(f"{session!r} is not a session's id: 1 to 64 of A-Z a-z 0-9 _ -")
        async with self._opening:
            if session not in self._sessions:
                found, subject = Session(self, session), self.subject
                await found.load()
                # Known to the link only now: a link that comes up meanwhile finds no half-loaded session.
                self._sessions[session] = found
                if subject != self.subject:
                    found.reload()
                if self.connected:
                    found.link_up()
                else:
                    found.link_down(self._status)
            return self._sessions[session]

    async def index(self, *, archived: bool = False, count: int = 100) -> SessionIndex:
        """Return one's list of sessions, from this disk and then as the server has it: the newest `count`, for a start.

        With `archived` those that were put away, else the others.
        """
        found = SessionIndex(self._index, archived=archived, count=count)
        await found.load()
        self._index.add(found)
        return found

    async def archive(self, session: str, *, archived: bool = True) -> None:
        """Put a session away in one's own list, or back. Needs the network.

        Raises:
            Unreachable: there is none.
            RequestFailed: there is no such session, or the token does not name it.
        """
        await self.call("PUT", f"/v1/sessions/{session}/standing", body={"archived": archived})

    async def call(self, method: str, path: str, *, body: Json = None) -> Json:
        """Send one REST request with this client's token, and return the answer. Raises as `archive`."""
        return await request(self.url, method, path, token=await self._fetch_token(), body=body)

    async def sessions(self) -> Sequence[LocalSession]:
        """Return the sessions this device has a copy of."""
        return await self.store.sessions()

    async def search(self, query: str, *, limit: int = 50) -> Sequence[SearchHit]:
        """Return messages of all copies that hold all words of `query`, best first."""
        return await self.store.search(query, limit=limit)

    async def forget(self, session: str) -> None:
        """Erase this device's copy, unsynced edits included. The server keeps the session."""
        if session in self._sessions:
            self.leave(self._sessions[session])
            await self._sessions[session].close()
        await self.store.forget(session)

    def retry(self) -> None:
        """Try to connect now, also after a refusal: the network is back, or something changed on the server."""
        self._try_now.set()
        for session in self._sessions.values():
            session.retry()

    def use_token(self, token: Token) -> None:
        """Use another token from now on: connect with it, anew if there is a link."""
        self._token = token
        if self._transport is not None:
            self.keep(asyncio.create_task(self._transport.close(), name="close link"))
        self.retry()

    async def live(self) -> None:
        """Return when the link is live."""
        await self._live.wait()

    async def relink(self) -> None:
        """Have the link kept by a new task, if the one that did was cancelled: a program that ends cancels them all."""
        for at, task in enumerate(self._tasks):
            if task.get_name() == _LINK and (task.done() or task.cancelling()) and not self._closing:
                await asyncio.wait([task])
                self._down(Status(Link.RECONNECTING, 0, "the task that kept the link was cancelled"))
                self._tasks[at] = asyncio.create_task(self._keep_link(), name=_LINK)

    # What sessions use

    def wake_sender(self, session: Session) -> None:
        """Have what `session` wants to send sent."""
        self._to_send[session.id] = session
        self._send_wake.set()

    def send(self, message: ClientMessage) -> None:
        """Send a frame of the link's own, if there is a link."""
        if self.connected:
            self._loose.append(message)
            self._send_wake.set()

    def leave(self, session: Session) -> None:
        """Tell the server that this link is done with a session; it may be opened again."""
        self.send(Leave(session.id))

    def opened(self, session: str) -> Session | None:
        """Return a session that is open here, None if it is not."""
        return self._sessions.get(session)

    @property
    def open_count(self) -> int:
        """How many sessions are open here."""
        return len(self._sessions)

    def closed(self, session: Session) -> None:
        """Forget a session that was closed."""
        self._sessions.pop(session.id, None)
        self._to_send.pop(session.id, None)
        self.leave(session)

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done; say it if it failed."""
        self._kept.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._kept.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task_failed", task=task.get_name(), error=repr(task.exception()))

    @staticmethod
    def backoff_s(attempt: int, *, at_least_s: float = 0.0) -> float:
        """Return how long to wait before attempt number `attempt` (from 0), with full jitter."""
        spread = random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
        return at_least_s + spread * min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** min(attempt, 10))

    # The link

    async def _keep_link(self) -> None:
        attempt = 0
        refused = 0
        while True:
            started = time.monotonic()
            try:
                await self._link()
                raise Unreachable("the link ended")
            except LinkClosed as closed:
                stop = not closed.retryable
                reason, delay_s = closed.reason, closed.retry_after_s
                if closed.code == CloseCode.TOKEN_EXPIRED and not callable(self._token):
                    stop, reason = True, "the token expired: give the client a fresh one"
                elif closed.code in (CloseCode.BAD_TOKEN, CloseCode.REVOKED) and callable(self._token):
                    stop = refused > 0 and time.monotonic() - started <= _STABLE_S  # Invariant 3.
                refused = 0 if time.monotonic() - started > _STABLE_S else refused + (not closed.retryable)
                status = Status(Link.REFUSED if stop else Link.RECONNECTING, closed.code, reason)
            except SyncdError as error:
                was_live = self.connected
                status = Status(Link.RECONNECTING if was_live else Link.OFFLINE, 0, str(error))
                stop, delay_s = False, 0.0
            except Exception as error:  # noqa: BLE001 - better a link that is made again than one that is gone for good
                _log.exception("link_failed")
                status = Status(Link.RECONNECTING, 0, f"{type(error).__name__}: {error}")
                stop, delay_s = False, 0.0
            if self._closing:
                return  # The task group loses a cancellation that meets the end of the link.
            if time.monotonic() - started > _STABLE_S:
                attempt = 0
            self._down(status)
            self._try_now.clear()
            timeout = None if stop else self.backoff_s(attempt, at_least_s=delay_s)
            attempt += 1
            try:
                async with asyncio.timeout(timeout):
                    await self._try_now.wait()
                attempt = refused = 0
            except TimeoutError:
                pass  # Time for the next attempt.

    def _down(self, status: Status) -> None:
        self._status = status
        self._live.clear()
        self._loose.clear()
        self._index.link_down()
        for session in list(self._sessions.values()):
            session.link_down(status)

    async def _fetch_token(self) -> str:
        if not callable(self._token):
            return self._token or ""
        try:
            answer = self._token()
            return await answer if inspect.isawaitable(answer) else answer
        except SyncdError:
            raise
        except Exception as error:
            raise Unreachable(f"no token: {type(error).__name__}: {error}") from error

    async def _link(self) -> None:
        """Make one link and serve it until it ends."""
        token = await self._fetch_token()
        if claimed := _subject_of(token):
            self._identified(claimed)  # It may be long until a server says so.
        transport = Transport(self.url)
        welcome = await transport.connect(token, Hello((1,), token, self.store.device, self._agent))
        self._transport = transport
        self._expires_at, self._clock_ahead_s = welcome.expires_at, welcome.now - time.monotonic()
        if welcome.now:
            self.clock_ahead_ms = int(welcome.now * 1000) - now_ms()
        try:
            self.frame_bytes_max, self.presence_bytes_max = welcome.frame_bytes_max, welcome.presence_bytes_max
            self._identified(welcome.subject)
            self.keep(asyncio.create_task(self._remember(welcome.subject), name="remember subject"))
            self._status = Status(Link.LIVE)
            self._live.set()
            if self.worker is not None and (hello := self.worker.hello()) is not None:
                # Behind it a session that opens finds again who holds its runs. Nothing is sent before this.
                self._loose.insert(0, hello)
                self._send_wake.set()
            for session in list(self._sessions.values()):
                session.link_up()
            self._index.link_up()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive(transport))
                group.create_task(self._send(transport))
                if self._expires_at and callable(self._token):
                    group.create_task(self._refresh_token())
        except BaseExceptionGroup as errors:
            # Of several that failed at once the one counts that knows why.
            raise min(errors.exceptions, key=lambda e: not isinstance(e, LinkClosed)) from None
        finally:
            self._transport = None
            await transport.close()

    def _identified(self, subject: str) -> None:
        """Note who the token names. Copies and lists that were opened for somebody else are read again."""
        before, self.subject = self.subject, subject
        if before != subject:
            for session in list(self._sessions.values()):
                session.reload()
            self._index.identified()

    async def _remember(self, subject: str) -> None:
        try:
            await self.store.remember(subject)
        except StoreError as error:
            _log.warning("subject_not_stored", error=type(error).__name__, reason=str(error))

    async def _receive(self, transport: Transport) -> None:
        async for message in transport.messages():
            self._dispatch(message)

    def _dispatch(self, message: ServerMessage) -> None:
        if isinstance(message, Storage):
            for session in self._sessions.values():
                session.receive(message)
        elif isinstance(message, Refreshed):
            self._expires_at = message.expires_at
            self._refreshed.set()
            self._index.link_up()  # The fresh token may name other sessions.
        elif isinstance(message, Index | IndexChanged):
            self._index.receive(message)
        elif isinstance(message, Work):
            if self.worker is not None:
                self.worker.work(message)
        elif not isinstance(message, Unknown):
            session_id = getattr(message, "session", None)
            found = self._sessions.get(session_id) if session_id else None
            if found is not None:
                found.receive(message)

    async def _send(self, transport: Transport) -> None:
        while True:
            await self._send_wake.wait()
            self._send_wake.clear()
            loose, self._loose = self._loose, []
            for message in loose:
                await transport.send(message)
            sessions, self._to_send = self._to_send, {}
            for session in sessions.values():
                for message in session.machine.outgoing():
                    await transport.send(message)

    async def _refresh_token(self) -> None:
        while self._expires_at:
            left_s = self._expires_at - self._clock_ahead_s - time.monotonic()
            await asyncio.sleep(max(1.0, left_s - _REFRESH_BEFORE_S, left_s * 0.5))
            try:
                refresh = Refresh(await self._fetch_token())
            except Unreachable as error:
                _log.warning("token_refresh_failed", reason=str(error))
                continue
            self._refreshed.clear()
            self._loose.append(refresh)
            self._send_wake.set()
            await self._refreshed.wait()

    async def _watch_store(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            now = time.monotonic()
            for session in list(self._sessions.values()):
                session.tick(now)
            try:
                if self._sessions and await self.store.changed():
                    for session in list(self._sessions.values()):
                        await session.absorb_others()
            except StoreError as error:
                _log.warning("store_not_read", error=type(error).__name__, reason=str(error))


def _subject_of(token: str) -> str:
    """Return the subject a token claims, unchecked, empty if it does not read. For knowing oneself while offline."""
    if token.startswith("dev:"):
        name = token[4:]
        return name if ":" in name else f"user:{name}"
    try:
        body = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims.get("sub", ""))
    except (IndexError, ValueError, AttributeError, binascii.Error):
        return ""
