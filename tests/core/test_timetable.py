"""Timetable: what is due, of many names that are given another time all the while."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncd.core.timetable import Timetable

_STEPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 9)), max_size=40
)


@given(_STEPS)
def test_each_name_is_due_at_the_last_time_it_was_given(steps: list[tuple[str, int | None, int]]) -> None:
    """Once, in the order of their times, and at none that was replaced."""
    table, times, now = Timetable(), dict[str, float](), 0.0
    for name, at, then in steps:
        table.set(name, at)
        times.pop(name, None)
        if at is not None:
            times[name] = at
        assert table.next() == min(times.values(), default=None)
        now = max(now, then) if then % 3 == 0 else now
        due = sorted((at, name) for name, at in times.items() if at <= now)
        assert table.take(now) == [name for _, name in due]
        times = {name: at for name, at in times.items() if at > now}
    assert len(table) == len(times)


def test_times_that_were_replaced_do_not_pile_up() -> None:
    """A name that is given a new time for ever costs what one name costs."""
    table = Timetable()
    table.set("first", 0.0)
    for at in range(10_000):
        table.set("again", float(at + 1))
    assert len(table._heap) < 200
    assert table.take(10_000.0) == ["first", "again"]
