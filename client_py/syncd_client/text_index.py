"""TextIndex: has this device's search follow the texts of one session.

Knows nothing of how they are searched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from syncd.core.transcript import MessageView
from syncd_client.copy import LocalCopy

#: Texts that grow are written again and again: what changed meanwhile is one write.
_GATHER_S = 0.5


class TextIndex:
    """The messages of a session whose texts the search does not have as they are."""

    def __init__(
        self,
        copy: LocalCopy,
        message: Callable[[str], MessageView | None],
        keep: Callable[[asyncio.Task[None]], None],
    ) -> None:
        """`message` finds one by its id; `keep` holds a task until it is done."""
        self._copy = copy
        self._message = message
        self._keep = keep
        self._stale: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    def changed(self, messages: Iterable[str]) -> None:
        """Have these messages written into the search before long."""
        self._stale.update(messages)
        if self._stale and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._soon)

    async def write(self) -> None:
        """Write what changed, now.

        Raises:
            StoreError: this disk did not take it.
        """
        stale, self._stale = self._stale, set()
        await self._copy.index(view for id in stale if (view := self._message(id)) is not None)

    def close(self) -> None:
        """Write nothing more by itself. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _soon(self) -> None:
        self._timer = None
        self._keep(asyncio.create_task(self.write(), name="index texts"))
