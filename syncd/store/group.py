"""GroupCommit: callers that wait at the same time share one transaction.

While one commit is under way the next group gathers, so groups grow under load by themselves. Knows nothing of what
is written.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from syncd.core.errors import LocalProtocolError
from syncd.store.sqlite import Database

W = TypeVar("W")
R = TypeVar("R")


class GroupCommit(Generic[W, R]):
    """The queue in front of a database's transactions.

    1. A caller goes on only when the transaction that holds its writes is committed, or has failed.
    2. A failed transaction fails every caller in it.
    3. Groups are committed one at a time, in the order their callers came.

    `write` gets the connection and the writes of each caller, runs its own transaction, returns a result for each.
    """

    def __init__(
        self, database: Database, write: Callable[[sqlite3.Connection, Sequence[Sequence[W]]], Sequence[R]]
    ) -> None:
        self._database = database
        self._write = write
        self._waiting: list[tuple[Sequence[W], asyncio.Future[R]]] = []
        self._draining: asyncio.Task[None] | None = None
        self._open = False

    def start(self) -> None:
        """Accept writes."""
        self._open = True

    async def stop(self) -> None:
        """Accept no more, and finish those that wait. Idempotent."""
        self._open = False
        if self._draining is not None:
            await self._draining

    async def commit(self, writes: Sequence[W]) -> R:
        """Return the result of `writes` when they are committed.

        Raises:
            StoreError: what the transaction failed with.
        """
        if not self._open:
            raise LocalProtocolError("the store is not open; call open() first")
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, done))
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await done

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._commit_group(group)
        finally:
            self._draining = None

    async def _commit_group(self, group: Sequence[tuple[Sequence[W], "asyncio.Future[R]"]]) -> None:
        writes = [part for part, _ in group]
        try:
            results = await self._database.run(lambda connection: self._write(connection, writes))
        except BaseException as error:
            for _, done in group:  # Invariant 2.
                if not done.done():
                    done.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), result in zip(group, results, strict=True):
            if not done.done():
                done.set_result(result)
