"""What a server keeps in memory, and what it does not."""

import asyncio
import gc
from pathlib import Path

import pytest
from aiohttp import web
from syncd_client.transport import Transport, request

from syncd.core.messages import Hello
from syncd.core.transcript import MessageView
from syncd.server import sockets
from syncd.server.app import create_server
from syncd.server.config import load
from tests.harness import PATIENCE_S, until


async def test_an_unloaded_session_leaves_nothing_behind(tmp_path: Path) -> None:
    """What was indexed for the search goes with the session."""
    settings = load(dev=True, port=0, store=tmp_path / "server.db", limits={"idle_evict_s": 0.1})
    server = create_server(settings)
    await server.start()
    try:
        await request(server.url, "POST", "/v1/sessions", body={"session": "s"})
        await request(server.url, "POST", "/v1/sessions/s/messages", body={"text": "kept on disk only"})
        metrics = server.services.metrics
        await until(lambda: b"syncd_sessions_loaded 0.0" in metrics.render()[0], "the session to be unloaded")

        gc.collect()
        assert not any("kept on disk only" in str(view) for view in _of(MessageView))
    finally:
        await server.stop()


async def test_closed_links_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does not look for cycles by itself here, and every closed link leaves one."""
    monkeypatch.setattr(sockets, "_COLLECT_AFTER_LINKS", 3)
    server = create_server(load(dev=True, port=0, store=tmp_path / "server.db"))
    await server.start()
    gc.collect()
    before = len(_of(web.WebSocketResponse))
    gc.disable()
    try:
        for number in range(3):
            link = Transport(server.url)
            await link.connect(f"dev:{number}", Hello((1,), f"dev:{number}", "device"))
            await link.close()

        await until(lambda: len(_of(web.WebSocketResponse)) <= before, "what is left of the links to be collected")
    finally:
        gc.enable()
        await server.stop()


def _of(kind: type) -> list[object]:
    return [thing for thing in gc.get_objects() if isinstance(thing, kind)]


async def test_full_collections_are_rare_while_a_server_runs(tmp_path: Path) -> None:
    """They stop the loop for as long as it takes to walk all sessions. Afterwards the process is as it was."""
    before = gc.get_threshold()
    server = create_server(load(dev=True, port=0, store=tmp_path / "server.db"))
    during: list[tuple[int, int, int]] = []

    async def started() -> None:
        during.append(gc.get_threshold())
        server.end()

    async with asyncio.timeout(PATIENCE_S):
        await server.run(started)

    assert during[0][0] >= 50 * before[0]
    assert gc.get_threshold() == before
