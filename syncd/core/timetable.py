"""Timetable: names, each with the time at which something has to be done about it.

Knows nothing of what that is, nor of clocks.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

#: Times that no longer hold are kept up to as many as hold, and this many beside.
_STALE_MAX: Final = 64


class Timetable:
    """Names by when they are due; a name has one time or none.

    1. What is asked costs by what is due, not by how many names there are.
    """

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        # Holds times that were replaced, too: those that `_times` does not have.
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._times)

    def set(self, name: str, at: float | None) -> None:
        """Have a name be due at `at`, and at no other time; None for never."""
        if at is None:
            self._times.pop(name, None)
        elif self._times.get(name) != at:
            self._times[name] = at
            heappush(self._heap, (at, name))
        if len(self._heap) > 2 * len(self._times) + _STALE_MAX:
            self._heap = [(due, one) for one, due in self._times.items()]
            heapify(self._heap)
        self._clear()

    def next(self) -> float | None:
        """Return when the first name is due, None for never."""
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> list[str]:
        """Return the names that are due at `now`, first due first. They have no time any more."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            _, name = heappop(self._heap)
            taken.append(name)
            del self._times[name]
            self._clear()
        return taken

    def _clear(self) -> None:
        """Have a time at the head that holds."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
