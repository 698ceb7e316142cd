"""`python -m tests.sim`: run fresh seeds for a while, or replay one, and shorten what fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import SystemRandom

from tests.sim.actions import draw
from tests.sim.shrink import failure, shrink

STEPS = 150


def main() -> int:
    """Run; return 1 if a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--from", dest="first", type=int, help="run seeds from this one on")
    parser.add_argument("--seeds", type=int, default=0, help="stop after this many")
    parser.add_argument("--steps", type=int, default=STEPS, help="actions of a seed")
    options = parser.parse_args()
    first = options.seed if options.seed is not None else options.first
    if first is None:
        first = SystemRandom().randrange(1 << 40)
    count = 1 if options.seed is not None else options.seeds
    return run(first, count, options.seconds, options.steps)


def run(first: int, count: int, seconds: float, steps: int) -> int:
    """Run seeds from `first` on until `count` are done, or the time is over if that is 0."""
    started = told = time.monotonic()
    done, totals = 0, Counter[str]()
    while done < count if count else time.monotonic() - started < seconds:
        seed = first + done
        failed = failure(seed, draw(seed, steps), totals)
        if failed is not None:
            report(seed, steps, failed)
            return 1
        done += 1
        if time.monotonic() - told > 5.0:
            told = time.monotonic()
            print(f"{done} seeds, {done / (told - started):.1f}/s", flush=True)
    took = time.monotonic() - started
    cpu = time.process_time()
    print(f"{done} seeds clean from {first}: {done / took:.1f} seeds/s, {totals['steps'] / took:.0f} steps/s")
    print(f"{took:.0f} s, {cpu:.0f} of them on the processor")
    print(", ".join(f"{name} {number}" for name, number in sorted(totals.items()) if name not in ("steps", "ids")))
    return 0


def report(seed: int, steps: int, failed: str) -> None:
    """Say what failed, how to see it again, and the shortest list of actions that still does."""
    print(f"\nseed {seed} failed: {failed}")
    extra = "" if steps == STEPS else f" --steps {steps}"
    print(f"replay: python -m tests.sim --seed {seed}{extra}   (or make sim SEED={seed})\n")
    short = shrink(seed, draw(seed, steps))
    print(f"shortened to {len(short)} actions, which fail with: {failure(seed, short)}")
    for action in short:
        print(f"  {action}")


if __name__ == "__main__":
    sys.exit(main())
