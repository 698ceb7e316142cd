"""Pushes: own edits that are stored and not on the server's disk: those that wait, those under way, and what goes next.

Knows nothing of documents, of the store or of why an edit is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from syncd.core.messages import LAYERS, Layer, Push
from syncd.core.replica import MERGE_MAX, merge

#: Bytes of one push, and of pushes not yet acked.
_PUSH_BYTES: Final = 256 << 10
_FLIGHT_BYTES: Final = 1 << 20
_FLIGHT_PUSHES: Final = 16


@dataclass(slots=True)
class Own:
    """One own edit, as it was stored.

    `ends` maps the client ids it advances to their next clocks. `starts`: a message or command begins here, which will
    get a receipt. `alone`: it goes in a push of its own.
    """

    row: int
    layer: Layer
    update: bytes
    ends: Mapping[int, int]
    ticket: int
    structs: int
    starts: bool = False
    alone: bool = False


@dataclass(slots=True)
class Flight:
    """One push that was not answered yet."""

    number: int
    rows: list[int]
    size: int
    sent_at: float | None = None


class Pushes:
    """The own edits of one session, until the server has them or refused them.

    1. They go in the order they were made, as they were stored.
    2. So many pushes, of so many bytes, are under way at a time.
    """

    def __init__(self, session: str, *, structs_max: int) -> None:
        """`structs_max` is what one push may hold."""
        self.owns: dict[int, Own] = {}
        self.flights: deque[Flight] = deque()
        self._session = session
        self._structs_max = structs_max
        # Rows to push, in order; those that were synced otherwise meanwhile are skipped.
        self._queues: dict[Layer, deque[int]] = {layer: deque() for layer in LAYERS}
        self._number = 0

    def load(self, own: Own) -> None:
        """Take an edit of another time. It goes with the next `start`."""
        self.owns[own.row] = own

    def add(self, own: Own) -> None:
        """Take an edit that was just stored. It goes behind those that wait."""
        self.owns[own.row] = own
        self._queues[own.layer].append(own.row)

    def of(self, layer: Layer) -> list[Own]:
        """Return the edits of one layer, in the order they were made."""
        return [own for own in self.owns.values() if own.layer is layer]

    def start(self, layer: Layer) -> None:
        """Have all of a layer wait to be pushed: the session was opened anew."""
        self._queues[layer] = deque(own.row for own in self.of(layer))

    def stop(self) -> None:
        """The link is gone: nothing is under way, and numbers begin anew."""
        self.flights.clear()
        self._number = 0

    def done(self, rows: Iterable[int]) -> list[int]:
        """Let go of edits; return their tickets."""
        return [self.owns.pop(row).ticket for row in rows]

    def acked(self, number: int) -> list[int]:
        """Return the rows of the pushes up to `number`, which are answered."""
        rows: list[int] = []
        while self.flights and self.flights[0].number <= number:
            rows += self.flights.popleft().rows
        return rows

    def rejected(self, number: int) -> Sequence[Own]:
        """Return the edits that the refusal of a push is about: none yet, if it held several.

        Those wait again then: which of them it was shows when they go one by one.
        """
        flight = next((flight for flight in self.flights if flight.number == number), None)
        if flight is None or not flight.rows:
            return ()
        owns, flight.rows = [self.owns[row] for row in flight.rows], []
        if all(own.alone for own in owns):
            return owns
        for own in owns:
            own.alone = True
        # In the order they were made (invariant 1), also among those of pushes that were sent back before.
        layer = owns[0].layer
        self._queues[layer] = deque(sorted({*self._queues[layer], *(own.row for own in owns)}))
        return ()

    def oldest_at(self, now: float) -> float | None:
        """Return since when the oldest push waits for its answer, None if none does. Times begin when first asked."""
        for flight in self.flights:
            if flight.sent_at is None:
                flight.sent_at = now
        return self.flights[0].sent_at if self.flights else None

    def take(self, layer: Layer) -> Iterator[Push]:
        """Return the pushes that may go now. They are under way from then on."""
        flying = sum(flight.size for flight in self.flights)
        while self._queues[layer] and len(self.flights) < _FLIGHT_PUSHES and flying < _FLIGHT_BYTES:  # Invariant 2.
            owns = self._gather(self._queues[layer])
            if owns:
                size = sum(len(own.update) for own in owns)
                flying += size
                self._number += 1
                self.flights.append(Flight(self._number, [own.row for own in owns], size))
                yield Push(self._session, layer, self._number, merge([own.update for own in owns]))

    def _gather(self, queue: deque[int]) -> list[Own]:
        """Take from a queue what goes into one push."""
        owns: list[Own] = []
        size = structs = 0
        starters = None
        while queue and len(owns) < MERGE_MAX:
            own = self.owns.get(queue[0])
            if own is not None:
                full = size + len(own.update) > _PUSH_BYTES or structs + own.structs > self._structs_max
                if owns and (own.alone or owns[0].alone or full):
                    break
                if own.starts:
                    # A merge is in order of client ids, and receipts follow it: messages under different ids that
                    # were written one after the other must not share a push.
                    if starters not in (None, own.ends.keys()):
                        break
                    starters = own.ends.keys()
                owns.append(own)
                size += len(own.update)
                structs += own.structs
            queue.popleft()
        return owns
