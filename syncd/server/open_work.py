"""OpenWork: the runs that are not over, found again when the server starts and looked after while it runs.

Reads the log's rows, feeds the dispatcher and lets its time pass. Knows nothing of links or of what a run is.
"""

import asyncio
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import structlog

from syncd.core.errors import CloseCode
from syncd.core.server_turn import Ready
from syncd.core.work import WorkRow
from syncd.server.live_session import Follower, LiveSession
from syncd.server.sessions import SessionGone, Sessions
from syncd.server.work import Dispatcher

_log = structlog.get_logger("syncd.work")

_TICK_S = 1.0
#: Nobody may be on their sessions.
_WAITING = frozenset({"queued", "suspended"})
#: Sessions that are loaded at a time after a start: those that people open meanwhile come first.
_LOADS = 4


class OpenWork(Follower):
    """Work across restarts.

    1. What waits for a worker is offered again without its session being loaded.
    2. A session with a run that somebody held is loaded, so that the time a lost worker has passes in it. It is
       unloaded like any other.
    3. A session with a run that expires, or is to be taken up again, is loaded when that is due.
    """

    def __init__(self, sessions: Sessions, dispatcher: Dispatcher) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._tasks: list[asyncio.Task[None]] = []
        # When runs that wait expire or go on, Unix ms, and in which session; some of them are over by then.
        self._due: list[tuple[int, str]] = []
        sessions.followers.append(self)

    async def start(self) -> None:
        """Take up what is open. The sessions have started, and nobody is let in yet.

        Raises:
            StoreError: the rows do not read.
        """
        rows = await self._sessions.log.open_work()
        self.changed(rows)  # Invariant 1.
        held = iter(dict.fromkeys(row.session for row in rows if row.lease != "queued"))  # Invariant 2.
        self._tasks = [asyncio.create_task(self._load(held), name="load work") for _ in range(_LOADS)]
        self._tasks.append(asyncio.create_task(self._tick(), name="work tick"))
        if rows:
            _log.info("work_found", runs=len(rows))

    async def stop(self) -> None:
        """Stop. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _load(self, sessions: Iterator[str]) -> None:
        for session in sessions:
            try:
                self._sessions.mark(await self._sessions.live(session))
            except SessionGone as gone:
                if gone.code == CloseCode.DELETED:
                    continue
                _log.warning("work_not_loaded", session=session, code=int(gone.code), reason=gone.reason)
            except Exception:  # noqa: BLE001 - one session's failure is not the others'
                _log.exception("work_not_loaded", session=session)

    def advanced(self, live: LiveSession, ready: Ready) -> None:
        """Take the runs whose lease a turn changed."""
        if ready.work:
            self.changed(ready.work)

    def deleted(self, session: str) -> None:
        """A deleted session's work is offered to nobody."""
        self._dispatcher.forget(session)

    def changed(self, rows: Sequence[WorkRow]) -> None:
        """Take rows of runs as they are stored."""
        self._dispatcher.changed(rows)
        for row in rows:
            if row.due_at and row.lease in _WAITING:
                heappush(self._due, (row.due_at, row.session))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            self._dispatcher.tick()
            due: dict[str, None] = {}
            while self._due and self._due[0][0] <= self._sessions.now_ms():
                due[heappop(self._due)[1]] = None
            await self._load(iter(due))  # Invariant 3.
