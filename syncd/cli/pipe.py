"""Pipe: a chat without a screen. Every line of an input becomes a message.

Knows nothing of how a session gets its messages to the server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TextIO

import typer
from syncd_client import Link, Message, NotSynced, Session

from syncd.cli import paint
from syncd.cli.trouble import Trouble
from syncd.cli.words import clean, plural
from syncd.server.logs import configure

_POLL_S = 0.05


async def post_lines(
    session: Session, store: Path, lines: TextIO, *, to: Sequence[str], wait_s: float, dev: bool
) -> None:
    """Post every line that is not blank; print it once it is on this disk, and its number once it is on the server's.

    Waits up to `wait_s` seconds behind the last line.

    Raises:
        Trouble: the server refused, or not all is synced in time. Nothing is lost: what waits goes out the next time.
    """
    configure("console", "warning")
    posted: list[Message] = []
    async for line in _read(lines):
        if text := line.strip():
            posted.append(await session.post(text, to=to))
            typer.echo(f"saved  {clean(text, lines=False)}")
    if not wait_s:
        return
    try:
        async with asyncio.timeout(wait_s):
            await _all_synced(session, posted, dev=dev)
    except TimeoutError:
        waiting = plural(session.unsynced, "edit")
        raise Trouble(
            f"{waiting} not synced ({clean(str(session.status), lines=False)}); kept in {store}, sent the "
            "next time you open this session"
        ) from None
    except NotSynced as error:
        raise Trouble(f"the server refused a message for good ({error}); it is kept in {store}") from None


async def _all_synced(session: Session, posted: Sequence[Message], *, dev: bool) -> None:
    for message in posted:
        waiting = asyncio.ensure_future(message.synced())
        try:
            while not waiting.done():
                if session.status.link is Link.REFUSED:
                    raise paint.refused(session.status, dev=dev)
                await asyncio.wait([waiting], timeout=_POLL_S)
            await waiting
        finally:
            waiting.cancel()
        view = message.view
        typer.echo(f"#{view.seq}  {clean(view.text, lines=False)}")
    await session.synced()


async def _read(lines: TextIO) -> AsyncIterator[str]:
    """Yield lines as they come. On a thread of its own, since neither files nor a slow pipe may hold up the link."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        try:
            for line in lines:
                loop.call_soon_threadsafe(queue.put_nowait, line)
            loop.call_soon_threadsafe(queue.put_nowait, None)
        except RuntimeError:
            pass  # The loop is closed: this process is on its way out.

    threading.Thread(target=read, name="lines", daemon=True).start()
    while (line := await queue.get()) is not None:
        yield line
