"""Transport: one WebSocket to a server, frames in and out. The only module of the client that imports aiohttp.

Knows the hello and nothing else of the protocol; knows nothing of sessions, stores or retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from syncd.core.codec import decode_server, encode
from syncd.core.errors import CloseCode, RemoteProtocolError, SyncdError
from syncd.core.messages import Bye, ClientMessage, Hello, ServerMessage, Welcome

PROTOCOL = "syncd.v1"
CONNECT_TIMEOUT_S = 10.0
WELCOME_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0
#: What one frame of the server may hold: a whole session may come with one open.
FRAME_BYTES_MAX = 160 << 20
#: Pings at this pace until the server said at which; one that does not answer within half of it is taken for gone.
HEARTBEAT_S = 15.0
#: What a server says beyond these is not believed.
_HEARTBEATS_S = (0.1, 120.0)
_CODES = frozenset(CloseCode)


class Unreachable(SyncdError):
    """The server cannot be reached, or the link broke. Try again later."""


class LinkClosed(SyncdError):
    """The server closed the link. `code` says whether to come back, `retry_after_s` when."""

    def __init__(self, code: int, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(f"{reason or 'closed'} ({code})")
        self.code = code
        self.reason = reason
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether to come back by itself."""
        return not 4400 <= self.code < 4500


class RequestFailed(SyncdError):
    """A REST request was answered with an error. `code` is stable, `hint` says what to do next."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message} ({code})" + (f": {hint}" if hint else ""))
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint


class _WebSocket(aiohttp.ClientWebSocketResponse):
    """A WebSocket whose heartbeat can be changed: the server says its pace when the socket is there already."""

    def set_heartbeat(self, heartbeat_s: float) -> None:
        # aiohttp has no call for it. Its own timers know that bytes of a frame that is not complete are a sign of life.
        self._heartbeat, self._pong_heartbeat = heartbeat_s, heartbeat_s / 2
        self._cancel_heartbeat()
        self._reset_heartbeat()


class Transport:
    """One WebSocket.

    1. `connect` has a deadline, and so has every silence: a black hole is noticed within two heartbeats.
    """

    def __init__(self, url: str, *, heartbeat_s: float | None = None) -> None:
        """`url` is the server's, `http://` or `https://`. Pings at the pace that the server says, or this one."""
        self._url = url.rstrip("/") + "/v1/sync"
        self._heartbeat_s = heartbeat_s
        self._http: aiohttp.ClientSession | None = None
        self._ws: _WebSocket | None = None
        self._bye: Bye | None = None

    async def connect(self, token: str, hello: Hello) -> Welcome:
        """Connect, say hello and return the server's welcome.

        Raises:
            Unreachable: no answer, or none of this protocol.
            LinkClosed: the server refused.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S)
        self._http = aiohttp.ClientSession(timeout=timeout, ws_response_class=_WebSocket)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + WELCOME_TIMEOUT_S):  # Invariant 1.
                ws = await self._http.ws_connect(
                    self._url,
                    protocols=(PROTOCOL,),
                    headers=headers,
                    heartbeat=self._heartbeat_s or HEARTBEAT_S,
                    max_msg_size=FRAME_BYTES_MAX,
                    compress=0,
                    autoclose=True,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                )
                assert isinstance(ws, _WebSocket)
                self._ws = ws
                await ws.send_bytes(encode(hello))
                answer = await self._receive()
        except aiohttp.WSServerHandshakeError as error:
            await self.close()
            if error.status in (401, 403):
                raise LinkClosed(CloseCode.FORBIDDEN, f"the server refused the link (HTTP {error.status})") from error
            raise Unreachable(f"no syncd at {self._url}: HTTP {error.status}") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            await self.close()
            raise Unreachable(f"{self._url} cannot be reached: {error or type(error).__name__}") from error
        except BaseException:
            await self.close()
            raise
        if isinstance(answer, Bye):
            await self.close()
            raise LinkClosed(answer.code, answer.reason, answer.retry_after_s)
        if not isinstance(answer, Welcome):
            await self.close()
            raise Unreachable(f"{self._url} did not answer the hello")
        if self._heartbeat_s is None:
            least_s, most_s = _HEARTBEATS_S
            ws.set_heartbeat(min(max(answer.heartbeat_s, least_s), most_s))
        return answer

    async def send(self, message: ClientMessage) -> None:
        """Send a frame; wait while the network takes no more.

        Raises:
            Unreachable: the link broke.
        """
        if self._ws is None:
            raise Unreachable("not connected")
        try:
            await self._ws.send_bytes(encode(message))
        except (ConnectionError, aiohttp.ClientError, RuntimeError) as error:
            raise Unreachable(f"the link broke: {error}") from error

    async def messages(self) -> AsyncIterator[ServerMessage]:
        """Yield frames as they come, until the link ends.

        Raises:
            Unreachable: the link broke.
            LinkClosed: the server closed it.
        """
        while True:
            message = await self._receive()
            if isinstance(message, Bye):
                self._bye = message
            else:
                yield message

    async def _receive(self) -> ServerMessage:
        assert self._ws is not None
        message = await self._ws.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            try:
                decoded = decode_server(message.data)
            except RemoteProtocolError as error:
                raise LinkClosed(
                    error.code, f"the server sent what this version cannot read: {error.reason}"
                ) from error
            return decoded
        if self._bye is not None:
            raise LinkClosed(self._bye.code, self._bye.reason, self._bye.retry_after_s)
        if message.type is aiohttp.WSMsgType.CLOSE and message.data in _CODES and message.data != CloseCode.NORMAL:
            raise LinkClosed(int(message.data), str(message.extra or ""))
        code = self._ws.close_code
        if code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE or message.type is aiohttp.WSMsgType.ERROR:
            raise Unreachable("the link broke")
        raise Unreachable(f"the link ended ({code})")

    async def close(self) -> None:
        """Close the link. Idempotent, and never longer than its deadline."""
        ws, self._ws = self._ws, None
        http, self._http = self._http, None
        if ws is not None and not ws.closed:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await ws.close()
            except (TimeoutError, aiohttp.ClientError, ConnectionError):
                pass  # The socket goes with its session, below.
        if http is not None:
            await http.close()


async def request(
    url: str, method: str, path: str, *, token: str = "", body: Any = None, query: Mapping[str, str] | None = None
) -> Any:
    """Send one REST request and return the answer: JSON decoded, anything else as bytes.

    Raises:
        Unreachable: no answer.
        RequestFailed: the server's error, with its code and hint.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
    if isinstance(body, bytes):
        headers["Content-Type"] = "application/json"
    timeout = aiohttp.ClientTimeout(total=120, connect=CONNECT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as http,
            http.request(method, url.rstrip("/") + path, headers=headers, params=query, **data) as answer,
        ):
            is_json = answer.content_type == "application/json"
            content = await answer.json() if is_json else await answer.read()
            if answer.status < 400:
                return content
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise Unreachable(f"{url} cannot be reached: {error or type(error).__name__}") from error
    error_body = content.get("error", {}) if is_json and isinstance(content, dict) else {}
    raise RequestFailed(
        answer.status,
        str(error_body.get("code", f"http_{answer.status}")),
        str(error_body.get("message", f"the server answered HTTP {answer.status}")),
        str(error_body.get("hint", "")),
    )
