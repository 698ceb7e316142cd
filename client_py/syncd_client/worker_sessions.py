"""Worker's sessions: those that a worker has open for its runs, and how it makes room for further ones.

Knows which runs are held or claimed, and that they may wait for a decision; nothing of what is done with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from syncd.core.errors import SyncdError
from syncd_client.client import Client
from syncd_client.run import Run
from syncd_client.session import Session

_log = structlog.get_logger("syncd.agent")

#: A session that no run needs is closed after this long: the next message of a conversation is often near.
IDLE_S = 60.0
#: How long a worker that stops, or gives up a session, waits until the server has everything.
SYNC_GRACE_S = 5.0


@dataclass(slots=True)
class Held:
    """A run that a worker holds."""

    run: Run
    #: None for one whose message was taken as a steer by another run, until that one is over.
    task: asyncio.Task[None] | None = None


class WorkerSessions:
    """The sessions that one worker has open.

    1. One is open as long as one of its runs is, which is what keeps their leases; and as long as it holds something
       that is not on the server, be it of an earlier life of this store.
    2. Where room is needed, a session that no run needs makes it, else one whose runs all wait for decisions: they
       are given up, and taken up again when they are decided.
    3. Those that the app opened itself are the app's to close.

    `held` and `claims`, by session and run, are the worker's, as they are at each moment.
    """

    def __init__(
        self, client: Client, held: Mapping[tuple[str, str], Held], claims: Collection[tuple[str, str]]
    ) -> None:
        self._client = client
        self._held = held
        self._claims = claims
        # When each was needed last.
        self._used: dict[str, float] = {}
        self._opening = asyncio.Lock()
        self._said_full = False

    async def open(self, id: str) -> Session | None:
        """Return a session, opened if it is not; None where no room can be made for it."""
        async with self._opening:
            if (found := self._client.opened(id)) is not None:
                return found  # Invariant 3.
            if self._client.open_count >= self._client.limits.sessions_per_link_max and not await self._make_room():
                if not self._said_full:
                    _log.warning("too_many_sessions", session=id)
                self._said_full = True
                return None
            self._said_full = False
            self._used[id] = time.monotonic()
            return await self._client.open(id)

    async def open_unsynced(self) -> None:
        """Open those that hold what an earlier life of this store could not bring to the server."""
        for copy in await self._client.sessions():
            if copy.unsynced:  # Invariant 1.
                await self.open(copy.session)

    def opened(self) -> Sequence[Session]:
        """Return those that are open."""
        return [found for session in self._used if (found := self._client.opened(session)) is not None]

    def used(self, id: str, *, is_given_up: bool) -> None:
        """Note that a run of a session is over, or was given up: with the session, which need not stay then."""
        if id in self._used:
            self._used[id] = 0.0 if is_given_up else time.monotonic()

    async def close_idle(self) -> None:
        """Close what no run has needed for a while."""
        now = time.monotonic()
        for session, used in list(self._used.items()):
            if self._is_needed(session):
                self._used[session] = now
            elif now - used > IDLE_S:
                await self._close(session)

    async def _make_room(self) -> bool:  # Invariant 2.
        idle = sorted((used, session) for session, used in self._used.items() if not self._is_needed(session))
        if idle:
            await self._close(idle[0][1])
            return True
        for session in self.opened():
            if self._only_waits(session):
                return await self._shelve(session)
        return False

    def _only_waits(self, session: Session) -> bool:
        """Whether all runs that are held in a session wait for decisions, and nothing else needs it."""
        held = {run: held for (id, run), held in self._held.items() if id == session.id}
        here = [view for view in session.runs() if view.worker == self._client.life and not view.ended]
        return (
            all(one.run.is_suspended and one.run.open_here for one in held.values())
            and all(view.id in held for view in here)  # A sub-run would end with its handler.
            and not any(id == session.id for id, _ in self._claims)
            and session.unsynced == 0
            and session.status.live
        )

    async def _shelve(self, session: Session) -> bool:
        """Give up the runs of a session, which wait for decisions, and close it; whether it is closed.

        When they are decided, or at a deadline, the server offers them again.
        """
        held = [held for (id, _), held in self._held.items() if id == session.id and held.task is not None]
        tasks = [one.task for one in held if one.task is not None]
        try:
            for one in held:
                one.run.detach()
            for task in tasks:
                task.cancel()
            async with asyncio.timeout(SYNC_GRACE_S):
                await asyncio.wait(tasks)
                await session.synced()  # Before that the server would look for them here.
        except (SyncdError, TimeoutError) as error:
            _log.warning("session_not_shelved", session=session.id, reason=str(error))
            return False
        if session.id in self._used:
            await self._close(session.id)
        return True

    def _is_needed(self, session: str) -> bool:  # Invariant 1.
        found = self._client.opened(session)
        unsynced = found is not None and found.unsynced > 0
        return unsynced or any(id == session for id, _ in (*self._held, *self._claims))

    async def _close(self, id: str) -> None:
        self._used.pop(id, None)
        if (found := self._client.opened(id)) is not None:
            await found.close()
