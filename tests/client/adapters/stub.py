"""A model's server that says what a test tells it to, by server-sent events; and what reads pieces to their end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from aiohttp import web
from syncd_client.adapters import Piece, recognise

from tests.harness import PATIENCE_S


class Stub:
    """Answers every request with the same events. `left` is set when a client went before all was said."""

    def __init__(self, events: Sequence[Mapping[str, Any] | str], *, endless: bool) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self._events = events
        self._endless = endless

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in self._events:
                await response.write(_sse(event).encode())
            if self._endless:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        await response.write_eof()
        return response


def _sse(event: Mapping[str, Any] | str) -> str:
    if isinstance(event, str):
        return f"data: {event}\n\n"
    kind = f"event: {event['type']}\n" if "type" in event else ""
    return f"{kind}data: {json.dumps(event)}\n\n"


@asynccontextmanager
async def stub(events: Sequence[Mapping[str, Any] | str], *, endless: bool = False) -> AsyncIterator[Stub]:
    """A running server. With `endless`, it stays silent after its events, as a model that thinks."""
    served = Stub(events, endless=endless)
    app = web.Application()
    app.router.add_post("/{path:.*}", served.handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.addresses
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


async def pieces_of(source: Any) -> list[Piece]:
    """Return all pieces of `source`."""
    async with asyncio.timeout(PATIENCE_S), aclosing(recognise(source)) as pieces:
        return [piece async for piece in pieces]


async def stream(items: Iterable[Any]) -> AsyncIterator[Any]:
    """A stream of `items`."""
    for item in items:
        yield item
