"""Spans and Ranges against the plain dictionaries and sets that they stand for."""

from itertools import pairwise
from random import Random

import pytest

from syncd.core.spans import DEAD, Place, Ranges, Spans


@pytest.mark.parametrize("seed", range(20))
def test_runs_are_a_place_for_every_clock(seed: int) -> None:
    """Looking up, cutting and joining give what was appended, clock by clock."""
    rng = Random(seed)
    places: list[Place] = [("a", None), ("a", "k"), ((1, 2), None), DEAD]
    plain: list[Place] = []
    runs, more = Spans(), Spans()
    half = rng.randint(1, 20)
    while len(plain) < 40:
        place = rng.choice(places)
        (runs if len(plain) < half else more).append(len(plain), place)
        plain += [place] * rng.randint(1, 4)
    runs.extend(more)

    assert [runs.at(clock) for clock in range(len(plain))] == plain
    start, end = sorted(rng.sample(range(len(plain)), 2))
    pieces = list(runs.pieces(start, end))
    assert [place for place, first, last in pieces for _ in range(first, last)] == plain[start:end]
    assert all(left[0] != right[0] for left, right in pairwise(pieces))


@pytest.mark.parametrize("seed", range(20))
def test_ranges_are_a_set_of_clocks(seed: int) -> None:
    """Adding in any order, what is missing, and what is in it agree with a set; ranges never touch."""
    rng = Random(seed)
    plain: set[int] = set()
    ranges = Ranges()
    for _ in range(30):
        start = rng.randrange(60)
        end = start + rng.randint(1, 6)
        missing = [clock for first, last in ranges.missing(start, end) for clock in range(first, last)]
        assert missing == sorted(set(range(start, end)) - plain)
        ranges.add(start, end)
        plain |= set(range(start, end))
        assert {clock for clock in range(70) if clock in ranges} == plain
        kept = list(ranges)
        assert all(left[1] < right[0] for left, right in pairwise(kept))
