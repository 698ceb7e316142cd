"""Receiver: a real HTTP server that takes webhooks, and does with them what a test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """What came, and how it is answered: `answer(got)` gives a status, or a whole response."""

    got: list[Got] = field(default_factory=list)
    answer: Callable[[Got], int | web.StreamResponse] = lambda _: 200
    #: Requests wait here before they are answered.
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self, path: str | None = None) -> list[str]:
        return [got.id for got in self.got if path is None or got.path == path]

    def has(self, count: int, path: str) -> bool:
        return len(self.ids(path)) == count

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Got(request.path, headers, await request.read())
        self.got.append(got)
        self.came.set()
        await self.gate.wait()
        answer = self.answer(got)
        return web.Response(status=answer) if isinstance(answer, int) else answer


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    receiver.gate.set()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()
