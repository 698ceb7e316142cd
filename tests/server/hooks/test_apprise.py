"""Apprise: notices to whatever it speaks, here to a receiver of JSON on a socket."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from syncd.server.hooks.channel import Gone, Retry, Sent
from syncd.server.hooks.channels.apprise import AppriseChannel, BadTarget
from tests.server.hooks.test_push import notice

pytest.importorskip("apprise")
# One of its many plugins imports it, where Python has it still.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@dataclass
class Receiver:
    """Takes what Apprise's `json://` sends. Hangs until `gate` is set."""

    url: str = ""
    status: int = 200
    got: list[Any] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        await self.gate.wait()
        return web.Response(status=self.status)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    receiver.gate.set()
    app = web.Application()
    app.router.add_post("/secret", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"json://{host}:{port}/secret"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()


async def test_a_person_is_told_by_their_subject() -> None:
    """Title and text as they are, and where to look; nobody else's URL is used."""
    async with receiving() as receiver:
        channel = AppriseChannel({"user:mona": receiver.url}, public_url="https://sync.example.com/")
        assert await channel.send(notice(channel="apprise", text="<b>Three</b> days & *more*")) == Sent()
        assert isinstance(await channel.send(notice(target="user:theo")), Gone)
        await channel.close()

    [got] = receiver.got
    assert got["title"] == "planner is done"
    assert got["message"] == "<b>Three</b> days & *more*\n\nhttps://sync.example.com/s/trip?m=m1"


async def test_what_was_refused_is_tried_again() -> None:
    """Apprise does not say why; its log does. No URL is in the reason."""
    async with receiving() as receiver:
        receiver.status = 500
        channel = AppriseChannel({"ops": receiver.url})
        result = await channel.send(notice(target="ops"))
        await channel.close()

    assert isinstance(result, Retry)
    assert "secret" not in result.reason


async def test_a_service_that_hangs_holds_up_nothing() -> None:
    """Neither the loop nor another target, and it is given up in time."""
    async with receiving() as slow, receiving() as good:
        slow.gate.clear()
        channel = AppriseChannel({"slow": slow.url, "good": good.url}, timeout_s=0.5)
        started = time.monotonic()
        hanging = asyncio.create_task(channel.send(notice(target="slow")))
        assert await channel.send(notice(target="good")) == Sent()
        assert not hanging.done()
        assert isinstance(await hanging, Retry)
        assert time.monotonic() - started < 4.0
        slow.gate.set()
        await channel.close()


@pytest.mark.parametrize("url", ["", "nothing://secret@host", "secret", "mailto://"])
async def test_a_target_that_is_none_is_an_error_at_the_start(url: str) -> None:
    """It says which one, and never its URL."""
    with pytest.raises(BadTarget, match="target ops") as raised:
        AppriseChannel({"ops": url})
    assert "secret" not in str(raised.value)


async def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where there is a target: without one nothing of it is needed."""
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    await AppriseChannel({}).close()

    with pytest.raises(BadTarget, match=r"pip install 'syncd\[apprise\]'"):
        AppriseChannel({"ops": "json://localhost"})
