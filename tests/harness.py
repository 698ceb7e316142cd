"""What end-to-end tests are made of: servers in and out of this process, tokens, and raw links."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import aiohttp

from examples.server_process import ServerProcess
from syncd.core.codec import decode_server, encode
from syncd.core.messages import (
    Bye,
    ClientMessage,
    Hello,
    Layer,
    Open,
    Opened,
    Push,
    ServerMessage,
    Unknown,
    Welcome,
)
from syncd.server.app import Server, create_server
from syncd.server.auth import Auth, parse_keys
from syncd.server.config import load
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations
from syncd.server.sockets import PROTOCOL

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
SECRET = "a-secret-of-at-least-thirty-two-bytes"
MEMBER = ("transcript", "state", "presence", "command")
#: The machine may be loaded: nothing waits for less.
PATIENCE_S = 40.0


def heed_interrupts() -> None:
    """Have processes that are started from here heed Ctrl-C, also where this one was told to ignore it.

    A shell has what a script puts into the background ignore SIGINT, and Python programs keep to that, as all should.
    A handler that does nothing ignores it here just the same, but is not inherited.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)


def mint(
    subject: str, rights: Iterable[str] = MEMBER, *, sessions: str = "*", ttl_s: float = 3_600.0, name: str = ""
) -> str:
    """Return a token that every server here takes."""
    auth = Auth(parse_keys(SECRET), revocations=Revocations(None), metrics=Metrics())
    return auth.mint(subject, {sessions: tuple(rights)}, ttl_s=ttl_s, name=name).token


async def until(condition: Callable[[], Any], what: str = "it", *, within_s: float = PATIENCE_S) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s:g} s"
        await asyncio.sleep(0.005)
    return found


class Running(Protocol):
    """A server that runs, in this process or in one of its own."""

    @property
    def url(self) -> str:
        """Where it is reached, without a slash at the end."""
        ...

    @property
    def port(self) -> int:
        """The port on loopback."""
        ...


def make_server(store: Path, *, limits: Mapping[str, float] | None = None, **settings: Any) -> Server:
    """Return a server on a port of the system's choice, not started. It takes the tokens made here, or is for `dev`."""
    keys = "" if settings.get("dev") else SECRET
    return create_server(load(store=store, port=0, keys=keys, limits=dict(limits or {}), **settings))


@asynccontextmanager
async def serving(store: Path, *, limits: Mapping[str, float] | None = None, **settings: Any) -> AsyncIterator[Server]:
    """A running server in this process."""
    server = make_server(store, limits=limits, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def meanwhile(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Have `work` done meanwhile, such as an agent served; it is cancelled at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def server_process(store: Path, *, limits: Mapping[str, float] | None = None) -> ServerProcess:
    """Return a server in a process of its own that takes the tokens made here, not started."""
    return ServerProcess(store, limits=limits, keys=SECRET)


def environment() -> dict[str, str]:
    """Return the environment for a Python process of a test."""
    paths = [str(ROOT), str(ROOT / "client_py"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


class RawLink:
    """Speaks frames, honest or not, and notes what comes back."""

    def __init__(self, url: str, token: str = "", *, device: str = "raw") -> None:
        self._url = url + "/v1/sync"
        self._token = token
        self._device = device
        self._http = aiohttp.ClientSession()
        self.ws: aiohttp.ClientWebSocketResponse
        self.got: list[ServerMessage] = []
        self.close_code: int | None = None
        self.numbers: dict[str, int] = {}
        self._reading: asyncio.Task[None] | None = None

    async def connect(
        self, *, protocols: Iterable[str] = (PROTOCOL,), headers: Mapping[str, str] | None = None
    ) -> None:
        """Upgrade, and say nothing."""
        self.ws = await self._http.ws_connect(
            self._url,
            protocols=tuple(protocols),
            headers=headers,
            max_msg_size=1 << 30,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.5),
        )
        self._reading = asyncio.create_task(self._read())

    async def hello(self) -> Welcome:
        """Connect and say hello."""
        await self.connect()
        await self.send(Hello((1,), self._token, self._device))
        return await self.expect(Welcome)

    async def send(self, message: ClientMessage) -> None:
        """Send a frame."""
        await self.ws.send_bytes(encode(message))

    async def open(self, session: str = "s", **fields: Any) -> Opened:
        """Open a session."""
        self.numbers[session] = 0
        await self.send(Open(session, **{"vectors": {}, **fields}))
        return await self.expect(Opened, lambda m: m.session == session)

    async def push(self, update: bytes, *, layer: Layer = Layer.TRANSCRIPT, session: str = "s") -> int:
        """Push an update under the next number; return that."""
        self.numbers[session] += 1
        await self.send(Push(session, layer, self.numbers[session], update))
        return self.numbers[session]

    async def expect(self, kind: type[T], matches: Callable[[T], bool] = lambda _: True) -> T:
        """Return the first frame of `kind` that matches, taking it away with all before it."""

        def find() -> T | None:
            for at, message in enumerate(self.got):
                if isinstance(message, kind) and matches(message):
                    del self.got[: at + 1]
                    return message
            assert self.close_code is None, f"closed with {self.close_code}, {self.got}"
            return None

        found: T = await until(find, kind.__name__)
        return found

    async def closed(self) -> tuple[int, int | None]:
        """Return the code of the WebSocket's close, and of the `Bye` before it if there was one."""
        await until(lambda: self.close_code is not None, "the close")
        byes = [message.code for message in self.got if isinstance(message, Bye)]
        assert self.close_code is not None
        return self.close_code, byes[-1] if byes else None

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is aiohttp.WSMsgType.BINARY:
                decoded = decode_server(message.data)
                if not isinstance(decoded, Unknown):
                    self.got.append(decoded)
        self.close_code = self.ws.close_code or 0

    async def aclose(self) -> None:
        """Cut it."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):
                await self.ws.close()
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
