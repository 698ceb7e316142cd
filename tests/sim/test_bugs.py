"""Every seeded bug is caught: by the simulator within 200 seeds, or by the test that is named here."""

import pytest

from tests.sim.__main__ import STEPS
from tests.sim.actions import draw
from tests.sim.bugs import BUGS
from tests.sim.shrink import failure

_SEEDS_MAX = 200


@pytest.mark.parametrize("bug", BUGS)
def test_seeded_bug_is_caught(bug: str) -> None:
    """With the fault in place some seed fails."""
    with BUGS[bug]():
        for seed in range(_SEEDS_MAX):
            failed = failure(seed, draw(seed, STEPS))
            if failed is not None:
                print(f"{bug}: caught at seed {seed}: {failed}")
                return
    pytest.fail(f"{bug} survives {_SEEDS_MAX} seeds")
