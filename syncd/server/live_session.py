"""LiveSession: one session in memory, where its peers' messages go, and who follows what happens in all of them.

Knows nothing of how sessions are loaded or committed: see `sessions`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from syncd.core.errors import CloseCode
from syncd.core.messages import ServerMessage
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Ready


class Outlet(Protocol):
    """Where what a machine sends to one peer goes."""

    def deliver(self, session: str, message: ServerMessage, frame: bytes, *, owed: bool = False) -> bool:
        """Take a message and its frame; return False if the reader is too far behind to be sent it. Never blocks.

        `owed` is what a reader lacks that was behind: that is never refused.
        """
        ...

    def drop(self, session: str, code: CloseCode, reason: str, *, whole_link: bool) -> None:
        """Close the session, or the whole link. Never blocks."""
        ...


@dataclass(slots=True)
class LiveSession:
    """One loaded session: its machine, and where its peers' messages go."""

    session: str
    machine: ServerMachine
    outlets: dict[str, Outlet] = field(default_factory=dict)
    used_at: float = 0.0
    # The loop looks at it again by itself: set for what was due at `timer_at`, monotonic seconds.
    timer: asyncio.TimerHandle | None = None
    timer_at: float = 0.0
    # Client ids under which this process writes for a subject, so that a post does not cost a new one.
    writers: dict[str, int] = field(default_factory=dict)


class Follower:
    """Who follows what happens in all sessions, for those who are not in them. Does nothing of itself."""

    async def loaded(self, live: LiveSession) -> None:
        """A session was loaded; nobody is let in yet."""

    def advanced(self, live: LiveSession, ready: Ready) -> None:
        """A turn of a session is on the disk and shown."""

    async def quiet(self, live: LiveSession) -> None:
        """A session is about to be unloaded, since nobody is there.

        Raises:
            StoreError, ReplicaBroken: it is unloaded all the same.
        """

    def unloaded(self, session: str) -> None:
        """A session is not in memory any more; its peers are gone."""

    def deleted(self, session: str) -> None:
        """A session was deleted."""
