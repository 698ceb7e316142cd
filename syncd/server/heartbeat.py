"""Heartbeat: which links to ping because nothing was heard of them, and which are dead.

One walk over all links instead of a timer in each, which every frame would move. Pure: the time comes in. Knows nothing
of sockets.
"""

from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

#: A link's turn comes this often in one heartbeat: so much later than due is a ping, at most.
_TURNS = 10


class Heard(Protocol):
    """A link as far as this module is concerned. Both in seconds of the monotonic clock; `pinged_at` 0 for never."""

    pinged_at: float

    @property
    def heard_at(self) -> float:
        """When its last byte came."""
        ...


L = TypeVar("L", bound=Heard)


class Heartbeat(Generic[L]):
    """All links of a process, a part of them looked at on each call.

    1. A link is pinged when nothing was heard of it for a heartbeat.
    2. It is dead when nothing was heard for half as long again after that ping.
    3. A call costs in proportion to the time since the last one, however many links there are.
    """

    def __init__(self, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s
        self._links: deque[L] = deque()
        self._gone: set[L] = set()
        self._looked_at: float | None = None
        self._due = 0.0

    def add(self, link: L) -> None:
        """Watch a link."""
        self._links.append(link)

    def remove(self, link: L) -> None:
        """Watch it no longer. It is forgotten at its next turn."""
        self._gone.add(link)

    def look(self, now: float) -> tuple[Sequence[L], Sequence[L]]:
        """Return the links to ping now, and those that are dead. Call it some times in a heartbeat, or more often."""
        past_s = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        self._due = min(len(self._links), self._due + len(self._links) * past_s * _TURNS / self._heartbeat_s)
        to_ping: list[L] = []
        dead: list[L] = []
        while self._due >= 1.0:  # Invariant 3.
            self._due -= 1.0
            link = self._links.popleft()
            if link in self._gone:
                self._gone.discard(link)
                continue
            self._links.append(link)
            if link.pinged_at > link.heard_at:
                if now - link.pinged_at >= self._heartbeat_s / 2:
                    dead.append(link)  # Invariant 2.
            elif now - link.heard_at >= self._heartbeat_s:
                link.pinged_at = now
                to_ping.append(link)  # Invariant 1.
        return to_ping, dead
