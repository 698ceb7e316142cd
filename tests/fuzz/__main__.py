"""Fuzz everything that takes bytes from outside: `python -m tests.fuzz [--inputs N] [--seed N] [--only TARGET]`.

Splits the inputs over the targets, runs each in processes of its own, and prints a table. Exit code 1 if anything was
found; what did it is kept in a directory that is named, with the command that does it again.
"""

import argparse
import asyncio
import importlib.util
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any, Final

from tests.fuzz.run import Outcome, run
from tests.fuzz.target import Tally
from tests.node import installed

#: A process gets no more than this, so that a find is soon at hand and every one starts from something else.
_CHUNK: Final = 25_000
_TELL_S: Final = 15.0


@dataclass(frozen=True)
class Part:
    """A share of the inputs: for which target, fed by which module."""

    name: str
    module: str
    share: float

    @property
    def label(self) -> str:
        """What the table calls it."""
        return self.name + (" (guided)" if self.module.endswith("guided") else "")


#: Some inputs cost a thousand times what others do.
PARTS: Final = (
    Part("updates", "tests.fuzz.child", 0.12),
    Part("transcript", "tests.fuzz.child", 0.007),
    Part("state", "tests.fuzz.child", 0.007),
    Part("server", "tests.fuzz.child", 0.04),
    Part("frames", "tests.fuzz.child", 0.30),
    Part("entries", "tests.fuzz.child", 0.15),
    Part("tokens", "tests.fuzz.child", 0.07),
    Part("exports", "tests.fuzz.child", 0.005),
    Part("sockets", "tests.fuzz.sockets", 0.005),
    Part("updates", "tests.fuzz.guided", 0.10),
    Part("frames", "tests.fuzz.guided", 0.106),
    Part("entries", "tests.fuzz.guided", 0.09),
)


class Progress:
    """Says now and then how far things are."""

    def __init__(self, inputs: int) -> None:
        self.done = 0
        self._inputs = inputs
        self._started = self._told = time.monotonic()
        self._under_way: dict[str, int] = {}

    def at(self, label: str, said: dict[str, Any]) -> None:
        """Note what a process said."""
        self._under_way[label] = said["inputs"]
        now = time.monotonic()
        if now - self._told > _TELL_S:
            self._told = now
            total = self.done + sum(self._under_way.values())
            print(f"{now - self._started:6.0f} s  {total:>9,} of {self._inputs:,}  {label}", flush=True)

    def ended(self, label: str, inputs: int) -> None:
        """Note that a process ended."""
        self._under_way.pop(label, None)
        self.done += inputs


async def feed(
    part: Part, inputs: int, seed: int, place: Path, yjs_documents: int, progress: Progress
) -> list[Outcome]:
    """Run one target's processes, one after the other."""
    outcomes = []
    while inputs > 0:
        chunk = min(inputs, _CHUNK)
        outcome = await run(
            part.name,
            seed,
            chunk,
            place,
            module=part.module,
            yjs_documents=yjs_documents,
            tell=lambda said: progress.at(part.label, said),
        )
        progress.ended(part.label, outcome.tally.inputs)
        if outcome.death:
            print(f"{part.label}, seed {seed}: {outcome.death}", flush=True)
        outcomes.append(outcome)
        inputs -= chunk
        seed += 1
    return outcomes


async def everything(parts: Sequence[Part], inputs: int, seed: int, place: Path, yjs_documents: int, jobs: int) -> bool:
    """Run all targets, print the table, return whether nothing was found."""
    progress, turn = Progress(inputs), asyncio.Semaphore(jobs)
    whole = sum(part.share for part in parts)

    async def one(part: Part) -> list[Outcome]:
        async with turn:
            share = max(1, round(inputs * part.share / whole))
            return await feed(part, share, seed, place, yjs_documents, progress)

    started = time.monotonic()
    found = dict(zip(parts, await asyncio.gather(*(one(part) for part in parts)), strict=True))
    print(table(found))
    print(f"\nseed {seed}, {time.monotonic() - started:.0f} s")
    if not yjs_documents:
        print("Nothing was held against Yjs: install node and npm.")
    failed = [outcome for outcomes in found.values() for outcome in outcomes if not outcome.clean]
    for outcome in failed:
        what = outcome.death or f"{outcome.tally.stalls} stalls, in {place}/stall-*"
        print(f"\n{outcome.name}, seed {outcome.seed}: {what}\ninput: {outcome.culprit}\nagain: {outcome.command}")
    return not failed


def table(found: dict[Part, list[Outcome]]) -> str:
    """Return what came of each target, as a table."""
    lines = ["| target | inputs | accepted | Yjs too | refused | stalls | crashes | slowest ms |"]
    lines.append("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |")
    whole, crashes = Tally(), 0
    for part, outcomes in found.items():
        tally, died = Tally(), sum(bool(outcome.death) for outcome in outcomes)
        for outcome in outcomes:
            tally.add(outcome.tally.json())
        whole.add(tally.json())
        crashes += died
        lines.append(_row(part.label, tally, died, _codes(tally.refused)))
    lines.append(_row("all", whole, crashes, f"{sum(whole.refused.values()):,}"))
    return "\n".join(lines)


def _row(label: str, tally: Tally, crashes: int, refused: str) -> str:
    return (
        f"| {label} | {tally.inputs:,} | {tally.accepted:,} | {tally.compared:,} | {refused} | {tally.stalls} "
        f"| {crashes} | {tally.slowest_ms:.1f} |"
    )


def _codes(refused: Counter[str]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in refused.most_common())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 30))
    parser.add_argument("--only", default="", help="one target")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args()
    parts = [part for part in PARTS if given.only in ("", part.name)]
    if importlib.util.find_spec("atheris") is None:
        print("There is no atheris for this machine: nothing is guided by coverage.")
        parts = [part for part in parts if not part.module.endswith("guided")]
    place = Path(tempfile.mkdtemp(prefix="syncd-fuzz-"))
    yjs_documents = given.inputs if installed() else 0
    print(f"seed {given.seed}, files in {place}", flush=True)
    clean = asyncio.run(everything(parts, given.inputs, given.seed, place, yjs_documents, given.jobs))
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
