"""PresenceTable: who is here, one entry per peer, as stamped by the server.

Knows nothing of sockets, storage or CRDTs. Never stored. Own, since a Yjs awareness entry can be taken over by anybody
with a higher clock and is never forgotten.
"""

from collections.abc import Iterable
from dataclasses import replace

from syncd.core.messages import Json, PresenceEntry


class PresenceTable:
    """Peer to entry, and which entries changed since they were last taken.

    1. Identity fields come from the grant, once, when the peer joins; a peer can only change its `state`.
    2. A peer's state is published at most `per_s` times a second; in between the last one wins.
    3. Between two publications there are at least `gather_s`: of a crowd that comes at once each is told of many at
       a time, not of one after the other.
    """

    def __init__(self, *, per_s: float, gather_s: float) -> None:
        self._interval_s = 1.0 / per_s
        self._gather_s = gather_s
        self._next_at = 0.0
        self._entries: dict[str, PresenceEntry] = {}
        self._published_at: dict[str, float] = {}
        self._changed: set[str] = set()
        self._left: list[PresenceEntry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> tuple[PresenceEntry, ...]:
        """Return everybody who is here."""
        return tuple(self._entries.values())

    def set(self, entry: PresenceEntry) -> None:
        """Enter or replace an entry; the caller made it from a grant."""
        self._entries[entry.peer] = entry
        self._changed.add(entry.peer)

    def update(self, peer: str, state: Json) -> None:
        """Replace the state of `peer`, if it is here."""
        entry = self._entries.get(peer)
        if entry is not None and entry.state != state:
            self._entries[peer] = replace(entry, state=state)  # Invariant 1.
            self._changed.add(peer)

    def remove(self, peer: str) -> None:
        """Remove `peer`; the others are told with a state of None."""
        entry = self._entries.pop(peer, None)
        self._changed.discard(peer)
        self._published_at.pop(peer, None)
        if entry is not None:
            self._left.append(replace(entry, state=None))

    def pending(self) -> bool:
        """Whether `take` may have something, now or later."""
        return bool(self._changed or self._left)

    def due_at(self) -> float | None:
        """Return the earliest time (monotonic seconds) at which `take` may have something; None for never."""
        return self._next_at if self.pending() else None

    def take(self, now: float) -> tuple[PresenceEntry, ...]:
        """Return the entries to publish at `now` (monotonic seconds); later ones stay for the next call."""
        if now < self._next_at:  # Invariant 3.
            return ()
        taken, self._left = self._left, []
        for peer in sorted(self._changed):
            published_at = self._published_at.get(peer)
            if published_at is None or now - published_at >= self._interval_s:  # Invariant 2.
                self._published_at[peer] = now
                self._changed.discard(peer)
                taken.append(self._entries[peer])
        if taken:
            self._next_at = now + self._gather_s
        return tuple(taken)


def apply_presence(table: dict[str, PresenceEntry], entries: Iterable[PresenceEntry]) -> None:
    """Bring a reader's `table` (peer to entry) up to date with what the server published."""
    for entry in entries:
        if entry.state is None:
            table.pop(entry.peer, None)
        else:
            table[entry.peer] = entry
