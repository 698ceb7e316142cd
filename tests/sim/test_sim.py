"""A fixed set of seeds, and that a seed is the same world in every process. Fresh seeds: `make sim`."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.__main__ import STEPS
from tests.sim.actions import draw
from tests.sim.bugs import BUGS
from tests.sim.ledger import Broken, Ledger
from tests.sim.shrink import failure, shrink

ROOT = Path(__file__).parents[2]
_BLOCKS = 4
_SEEDS_EACH = 20


@pytest.mark.parametrize("block", range(_BLOCKS))
def test_fixed_seeds_are_clean(block: int) -> None:
    """Whatever fails and in whatever order: nothing is lost, shown twice, forged or shown before it is on disk."""
    totals = Counter[str]()
    for seed in range(block * _SEEDS_EACH, (block + 1) * _SEEDS_EACH):
        failed = failure(seed, draw(seed, STEPS), totals)
        assert failed is None, f"{failed}: replay with make sim SEED={seed}"
    for fault in ("cuts", "server crashes", "client crashes", "commits", "folds", "reloads", "behind", "lost pushes"):
        assert totals[fault], f"{fault}: none in {_SEEDS_EACH} seeds, so they prove little"


_TOLD = """
from collections import Counter
from tests.sim.actions import draw
from tests.sim.shrink import failure
totals = Counter()
for seed in (3, 4, 5):
    print(failure(seed, draw(seed, 150), totals))
print(sorted(totals.items()))
"""


def test_a_seed_is_the_same_world_in_every_process() -> None:
    """The order of sets and hashes differs between processes; what happens in a seed does not."""
    told = set()
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", _TOLD]
        told.add(subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout)

    assert len(told) == 1, told


def test_a_failure_is_shortened() -> None:
    """What fails is told with the few actions it takes."""
    seed = 1
    actions = draw(seed, STEPS)
    with BUGS["publish_before_commit"]():
        while failure(seed, actions) is None:
            seed += 1
            actions = draw(seed, STEPS)
        short = shrink(seed, actions, seconds=20.0)

        assert failure(seed, short) is not None
    assert len(short) <= STEPS // 4
    assert failure(seed, short) is None, "it is the bug that fails, not the world"


def test_an_item_is_there_as_often_as_it_was_written() -> None:
    """Whoever may write the state may write what a device wrote already; what nobody else wrote is there once."""
    one, two, three = (f"item:mona:{number}" for number in (1, 2, 3))
    ledger = Ledger()
    ledger.check_items([one, two, three], who="somebody")
    ledger.copied(one, [(7, 1)])
    ledger.check_items([one, two, one, three], who="somebody")

    for wrong in ([one, one, one], [one, two, two], [one, three, two]):
        with pytest.raises(Broken):
            ledger.check_items(wrong, who="somebody")
