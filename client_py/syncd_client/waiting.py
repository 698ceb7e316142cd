"""Waiting: who waits for which own edits to be saved, and to be synced.

Edits are named by their machine's tickets. Knows nothing of documents, stores or links.
"""

import asyncio
from collections.abc import Iterable

from syncd.core.errors import SyncdError


class NotSynced(SyncdError):
    """An edit will not reach the server as it is: it was refused. It is kept, see `Session.refused`."""


class Waiting:
    """Two waits for each own edit: until it is on this disk, and until it is on the server's.

    1. An edit that fails fails for everybody who waits for it, also for who asks later.
    """

    def __init__(self) -> None:
        self._saved: dict[int, asyncio.Future[None]] = {}
        self._synced: dict[int, asyncio.Future[None]] = {}
        self._all: list[asyncio.Future[None]] = []
        self._refusals: dict[int, NotSynced] = {}
        self._closed: SyncdError | None = None

    # What happened

    def took(self, ticket: int) -> None:
        """An edit was made."""
        self._saved[ticket] = _future()
        self._synced[ticket] = _future()

    def saved(self, tickets: Iterable[int]) -> None:
        """Edits are on this disk."""
        for ticket in tickets:
            _settle(self._saved.pop(ticket, None))

    def synced(self, tickets: Iterable[int]) -> None:
        """Edits are on the server's disk."""
        for ticket in tickets:
            _settle(self._synced.pop(ticket, None))

    def refused(self, tickets: Iterable[int], code: str, reason: str) -> None:
        """The server refused edits for good."""
        for ticket in tickets:
            self._refusals[ticket] = NotSynced(f"{code}: {reason}")  # Invariant 1.
            _settle(self._synced.pop(ticket, None), self._refusals[ticket])

    def not_stored(self, error: SyncdError) -> None:
        """This disk did not take what was not saved yet: it is gone."""
        lost, self._saved = self._saved, {}
        for ticket, future in lost.items():
            _settle(future, error)
            _settle(self._synced.pop(ticket, None), error)

    def none_unsynced(self) -> None:
        """No own edit is left that is not on the server's disk."""
        waiting, self._all = self._all, []
        for future in waiting:
            _settle(future)

    def close(self, error: SyncdError) -> None:
        """Nothing more will be heard: whoever waits, or will, is told `error`."""
        self._closed = error
        for future in (*self._saved.values(), *self._synced.values(), *self._all):
            _settle(future, error)

    # Who waits

    async def until_saved(self, ticket: int) -> None:
        """Return when the edit is on this disk, or raise why it is not."""
        if (future := self._saved.get(ticket)) is not None:
            await asyncio.shield(future)

    async def until_all_saved(self) -> None:
        """Return when every edit made so far is on this disk, or raise why one is not."""
        if self._saved:
            await asyncio.gather(*map(asyncio.shield, self._saved.values()))

    async def until_synced(self, ticket: int) -> None:
        """Return when the edit is on the server's disk.

        Raises:
            NotSynced: the server refused it for good.
        """
        if (refusal := self._refusals.get(ticket)) is not None:
            raise refusal
        if (future := self._synced.get(ticket)) is not None:
            await asyncio.shield(future)

    async def until_none_unsynced(self) -> None:
        """Return at the next `none_unsynced`."""
        if self._closed is not None:
            raise self._closed
        self._all.append(future := _future())
        await future


def _future() -> asyncio.Future[None]:
    """Nobody has to wait for an edit: its failure is said elsewhere too."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception())
    return future


def _settle(future: asyncio.Future[None] | None, error: SyncdError | None = None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
