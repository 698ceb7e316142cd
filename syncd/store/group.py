"""GroupCommit: callers that wait at the same time share one transaction.

While one commit is under way the next group gathers, so groups grow under load by themselves. Knows nothing of what
is written.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from syncd.core.errors import LocalProtocolError
from syncd.store.sqlite import Database

W = TypeVar("W")
R = TypeVar("R")


class GroupCommit(Generic[W, R]):
    """The queue in front of a database's transactions.

    1. A caller goes on only when the transaction that holds its writes is committed, or has failed.
    2. A failed transaction fails every caller in it.
    3. Groups are committed one at a time, in the order their callers came.
    4. No task commits them, so cancelling all tasks, as the end of a program does, loses nothing and holds up nothing.

    `write` gets the connection and the writes of each caller, runs its own transaction, returns a result for each.
    """

    def __init__(
        self, database: Database, write: Callable[[sqlite3.Connection, Sequence[Sequence[W]]], Sequence[R]]
    ) -> None:
        self._database = database
        self._write = write
        self._waiting: list[tuple[Sequence[W], asyncio.Future[R]]] = []
        # Done when nothing waits or is under way; None while that is so.
        self._idle: asyncio.Future[None] | None = None
        self._open = False

    def start(self) -> None:
        """Accept writes."""
        self._open = True

    async def stop(self) -> None:
        """Accept no more, and finish those that wait. Idempotent."""
        self._open = False
        if self._idle is not None:
            await asyncio.shield(self._idle)

    def submit(self, writes: Sequence[W]) -> asyncio.Future[R]:
        """Have `writes` committed; return what will hold their result, or the StoreError that they failed with."""
        if not self._open:
            raise LocalProtocolError("the store is not open; call open() first")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[R] = loop.create_future()
        self._waiting.append((writes, done))
        if self._idle is None:
            self._idle = loop.create_future()
            loop.call_soon(self._next)
        return done

    def _next(self) -> None:
        if not self._waiting:
            idle, self._idle = self._idle, None
            assert idle is not None
            idle.set_result(None)
            return
        group, self._waiting = self._waiting, []
        writes = [part for part, _ in group]
        running = self._database.begin(lambda connection: self._write(connection, writes))
        running.add_done_callback(lambda running: self._finished(group, running))

    def _finished(
        self, group: Sequence[tuple[Sequence[W], asyncio.Future[R]]], running: asyncio.Future[Sequence[R]]
    ) -> None:
        error = running.exception()
        results: Sequence[R | None] = [None] * len(group) if error is not None else running.result()
        for (_, done), result in zip(group, results, strict=True):
            if done.done():
                continue
            if error is not None:
                done.set_exception(error)  # Invariant 2.
            else:
                done.set_result(cast("R", result))
        self._next()
