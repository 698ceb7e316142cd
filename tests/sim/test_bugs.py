"""Every seeded bug is caught: by the simulator within 200 seeds, or by the test that is named for it."""

from collections.abc import Callable

import pytest

from tests.core import test_decisions, test_server
from tests.sim.__main__ import STEPS
from tests.sim.actions import draw
from tests.sim.bugs import BUGS
from tests.sim.shrink import failure

_SEEDS_MAX = 200
#: Where a bug was caught that most seeds do not see: looked at first, since it takes a while to come there.
_CAUGHT_AT = {
    "ack_before_commit": 7,
    "ack_covers_a_refused_hole": 7,
    "author_check_of_entries_skipped": 100,
    "catch_up_forgets_deletions": 81,
    "continuation_of_anybody": 31,
    "decisions_are_forgotten": 156,
    "no_sequence_check": 35,
    "rejected_push_not_remembered": 7,
    "two_workers_hold_one_run": 2706,
}
#: Bugs that show only in what no seed comes to soon enough, and the test that catches each.
_CAUGHT_BY: dict[str, Callable[[], None]] = {
    "a_retired_attempt_has_a_say": lambda: (
        test_decisions.test_a_lost_worker_is_told_after_the_grace_and_another_takes_over(test_decisions.posted())
    ),
    "snapshot_forgets_roots": test_server.test_a_root_without_content_keeps_its_kind_in_a_snapshot,
}


@pytest.mark.parametrize("bug", BUGS)
def test_seeded_bug_is_caught(bug: str) -> None:
    """With the fault in place some seed fails, or the test that is named for it."""
    with BUGS[bug]():
        if bug in _CAUGHT_BY:
            with pytest.raises(AssertionError):
                _CAUGHT_BY[bug]()
            return
        for seed in (_CAUGHT_AT.get(bug, 0), *range(_SEEDS_MAX)):
            failed = failure(seed, draw(seed, STEPS))
            if failed is not None:
                print(f"{bug}: caught at seed {seed}: {failed}")
                return
    pytest.fail(f"{bug} survives {_SEEDS_MAX} seeds")
