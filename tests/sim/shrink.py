"""Shrinking: fewer actions that still fail. Knows nothing of what they do."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Sequence

from tests.sim.actions import Action
from tests.sim.world import World


def failure(seed: int, actions: Sequence[Action], totals: Counter[str] | None = None) -> str | None:
    """Run a world; return what went wrong, None if nothing did."""
    world = World(seed)
    try:
        world.run(actions)
    except Exception as error:  # noqa: BLE001 - whatever a world raises is a finding
        frames = traceback.extract_tb(error.__traceback__)[-2:]
        where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
        return f"{type(error).__name__}: {error} [{where}]"
    if totals is not None:
        totals.update(world.ledger.counts)
    return None


def shrink(seed: int, actions: Sequence[Action], *, seconds: float = 60.0) -> list[Action]:
    """Leave out actions, in ever smaller runs, as long as the rest still fails (delta debugging)."""
    actions, size = list(actions), max(1, len(actions) // 2)
    until = time.monotonic() + seconds
    while True:
        at, shorter = 0, False
        while at < len(actions) and time.monotonic() < until:
            fewer = actions[:at] + actions[at + size :]
            if failure(seed, fewer) is None:
                at += size
            else:
                actions, shorter = fewer, True
        if (size == 1 and not shorter) or time.monotonic() >= until:
            return actions
        size = max(1, size // 2)
