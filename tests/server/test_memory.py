"""What a server keeps in memory, and what it does not."""

import asyncio
import gc
from pathlib import Path

from syncd_client.transport import request

from syncd.core.transcript import MessageView
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
        left = [thing.text for thing in gc.get_objects() if isinstance(thing, MessageView)]

        assert "kept on disk only" not in left
    finally:
        await server.stop()


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
