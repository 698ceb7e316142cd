"""Closing a client, whatever its link is doing at that moment."""

import asyncio
from pathlib import Path

import pytest
from syncd_client import Client
from syncd_client.transport import LinkClosed


async def test_close_ends_when_the_link_ends_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that is closed by the server while the client closes it does not keep the client from closing."""
    entered = asyncio.Event()

    async def closed_meanwhile() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LinkClosed(4000, "the server goes away") from None

    async def link(_: Client) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(closed_meanwhile())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    monkeypatch.setattr(Client, "_link", link)
    client = Client("http://127.0.0.1:1", store=tmp_path / "local.db")
    await client.__aenter__()
    await entered.wait()
    closing = asyncio.create_task(client.close())
    done, _ = await asyncio.wait([closing], timeout=5)
    for task in client._tasks:
        task.cancel()  # So that a failure is a failure, not a hang.
    await closing

    assert done
