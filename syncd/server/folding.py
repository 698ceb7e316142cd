"""Folding: has grown logs folded into snapshots, one session at a time, while commits go on.

Knows nothing of peers, of the commit loop or of what a snapshot holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from syncd.core.errors import StorageFull
from syncd.store.log import SessionLog

if TYPE_CHECKING:
    from syncd.server.live_session import LiveSession

_log = structlog.get_logger("syncd.sessions")


class Folding:
    """The sessions whose logs have grown."""

    def __init__(
        self,
        log: SessionLog,
        *,
        is_here: Callable[[LiveSession], bool],
        failed: Callable[[LiveSession, BaseException], None],
    ) -> None:
        """`is_here` says whether a session is still loaded; `failed` is told of one that cannot be folded."""
        self._log = log
        self._is_here = is_here
        self._failed = failed
        self._due: dict[str, LiveSession] = {}
        self._wake = asyncio.Event()

    def look(self, live: LiveSession) -> None:
        """Have a session folded, if its log has grown by enough."""
        if live.machine.content.wants_snapshot() and live.session not in self._due:
            self._due[live.session] = live
            self._wake.set()

    async def run(self) -> None:
        """Fold what is due, until cancelled."""
        while True:
            await self._wake.wait()
            while self._due:
                session, live = next(iter(self._due.items()))
                try:
                    # It may have grown by as much again meanwhile.
                    while self._is_here(live) and live.machine.content.wants_snapshot():
                        if not await self._fold(live):
                            break
                finally:
                    self._due.pop(session, None)
                del live  # or it would stay in memory until the next
            self._wake.clear()

    async def _fold(self, live: LiveSession) -> bool:
        try:
            folded = live.machine.content.snapshot()
            await self._log.compact(live.session, through=folded.version, snapshot=folded.data)
            live.machine.content.compacted(folded)
            return True
        except StorageFull:
            _log.warning("compaction_waits", session=live.session, reason="storage full")
        except Exception as error:  # noqa: BLE001 - one session's failure is not the others'
            if self._is_here(live):  # Else it was deleted or thrown away meanwhile.
                self._failed(live, error)
        return False
