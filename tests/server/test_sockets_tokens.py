"""Links: tokens that expire, are refreshed or revoked while the link is up."""

import asyncio
import contextlib

import aiohttp
import pytest

from syncd.core.errors import CloseCode
from syncd.core.messages import (
    Ack,
    Closed,
    Layer,
    PresenceChanged,
    Refresh,
    Refreshed,
    Reject,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind
from syncd.server.app import Server
from tests.core.machines import Pen
from tests.harness import mint
from tests.server.links import link, neighbours


@pytest.mark.parametrize("flooding", [False, True])
async def test_a_token_that_expires_ends_its_link_within_a_second(
    server: Server, monkeypatch: pytest.MonkeyPatch, flooding: bool
) -> None:
    """An idle link is found by the watch; on a busy one no frame is acted on after the end, watch or no watch."""
    if flooding:
        monkeypatch.setattr("syncd.server.sockets._EXPIRY_S", 1_000.0)
    async with neighbours(server), link(server, ttl_s=2) as raw:
        await raw.open()
        pen = Pen()
        loop = asyncio.get_running_loop()
        started = loop.time()
        while raw.close_code is None:
            if flooding:
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    await raw.push(pen.message())
            await asyncio.sleep(0.02)
            assert loop.time() - started < 20
        assert await raw.closed() == (CloseCode.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED)
        assert loop.time() - started < 5  # Two of life, which are rounded up to whole seconds, and one to notice.


async def test_a_refresh_in_band_keeps_the_link(server: Server) -> None:
    """With a fresh token of the same subject the link outlives the old one."""
    async with link(server, ttl_s=3) as raw:
        await raw.open()
        await raw.send(Refresh(mint("user:ann")))
        assert (await raw.expect(Refreshed)).expires_at > 0
        await asyncio.sleep(3.8)  # The old token's end, and the time it would take to be noticed.
        await raw.push(Pen().message())
        await raw.expect(Ack)


async def test_a_refresh_may_not_change_the_subject(server: Server) -> None:
    """A fresh token of somebody else, or a bad one, closes the link."""
    for token in (mint("user:eve"), "garbage"):
        async with link(server) as raw:
            await raw.send(Refresh(token))
            assert await raw.closed() == (CloseCode.BAD_TOKEN, CloseCode.BAD_TOKEN)


async def test_a_refresh_changes_rights_at_once(server: Server) -> None:
    """Sessions the fresh token does not name are closed; on the others the new rights count."""
    async with link(server) as raw:
        await raw.open("one")
        await raw.open("two")
        await raw.send(Refresh(mint("user:ann", ("presence",), sessions="one")))
        closed = await raw.expect(Closed)
        assert (closed.session, closed.code) == ("two", CloseCode.FORBIDDEN)
        await raw.push(Pen().message(), session="one")
        assert (await raw.expect(Reject)).code == "forbidden"


async def test_a_revocation_cuts_at_once(server: Server) -> None:
    """Nothing received after the cut is applied; the other people's links go on."""
    async with neighbours(server), link(server, "bob") as watcher, link(server) as raw:
        await watcher.open()
        await raw.open()
        loop = asyncio.get_running_loop()
        await server.services.auth.revoke(subject="user:ann")
        cut = loop.time()
        with contextlib.suppress(ConnectionError, aiohttp.ClientError):
            await raw.push(Pen().message("too late"))
        assert await raw.closed() == (CloseCode.REVOKED, CloseCode.REVOKED)
        assert loop.time() - cut < 5
        await watcher.push(Pen().message("after"))
        await watcher.expect(Ack)
        reader = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
        async with link(server, "new") as late:
            answer = await late.open()
            reader.apply([answer.updates[Layer.TRANSCRIPT]])
        assert len(reader.keys(Root.MESSAGES)) == 1
        gone = {e.subject for m in watcher.got if isinstance(m, PresenceChanged) for e in m.entries if e.state is None}
        assert "user:ann" in gone or all(e.subject != "user:ann" for e in answer.presence)
