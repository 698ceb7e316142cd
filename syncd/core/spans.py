"""Spans and Ranges: what is known of one client's clocks, in a few numbers however long the text.

Knows nothing of updates or documents.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final, TypeAlias

#: A root's name or the id of a nested type.
Container: TypeAlias = str | tuple[int, int]
#: Where a struct lies: its container and, in a map or among attributes, its key. `DEAD` if in no container any more.
Place: TypeAlias = tuple[Container | None, str | None]

DEAD: Final[Place] = (None, None)


class Spans:
    """The place of every clock from the first start on.

    1. Starts ascend; neighbours have different places.
    """

    __slots__ = ("_places", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._places: list[Place] = []

    def append(self, start: int, place: Place) -> None:
        """Let all clocks from `start`, behind the last start, on have `place`."""
        if not self._places or self._places[-1] != place:  # Invariant 1.
            self._starts.append(start)
            self._places.append(place)

    def extend(self, other: "Spans") -> None:
        """Append all of `other`, whose starts lie behind these."""
        for start, place in zip(other._starts, other._places, strict=True):
            self.append(start, place)

    @property
    def last(self) -> Place:
        """The place of the last clock."""
        return self._places[-1]

    def at(self, clock: int) -> Place:
        """Return the place of `clock`, which must not lie before the first start."""
        starts = self._starts
        if starts[-1] <= clock:
            return self._places[-1]
        return self._places[bisect_right(starts, clock) - 1]

    def pieces(self, start: int, end: int) -> Iterator[tuple[Place, int, int]]:
        """Cut `start` to `end` where places change."""
        at = bisect_right(self._starts, start) - 1
        while start < end:
            stop = min(end, self._starts[at + 1]) if at + 1 < len(self._starts) else end
            yield self._places[at], start, stop
            start = stop
            at += 1


class Ranges:
    """A set of clocks as disjoint ranges.

    1. Ranges ascend, are not empty and do not touch.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, clock: int) -> bool:
        at = bisect_right(self._starts, clock) - 1
        return at >= 0 and clock < self._ends[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def add(self, start: int, end: int) -> None:
        """Put `start` to `end` into the set."""
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:  # Invariant 1: what overlaps or touches becomes one.
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def missing(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of `start` to `end` that are not in the set."""
        at = bisect_right(self._ends, start)
        while start < end:
            if at == len(self._starts) or self._starts[at] >= end:
                yield start, end
                return
            if start < self._starts[at]:
                yield start, self._starts[at]
            start = self._ends[at]
            at += 1
