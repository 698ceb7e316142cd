"""Run: starts a process that feeds one target, follows it, and says what came of it, its death included.

Knows nothing of targets but their names.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.fuzz.target import Tally, last_input
from tests.harness import ROOT, environment

#: Without a word for so long a process hangs, however little CPU time it takes.
SILENT_S: Final = 300.0
_DETAIL_CHARS: Final = 3_000


@dataclass
class Outcome:
    """What one process said, and what it died of."""

    name: str
    seed: int
    tally: Tally = field(default_factory=Tally)
    death: str = ""
    command: str = ""
    culprit: Path | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.death and not self.tally.stalls


async def run(
    name: str,
    seed: int,
    inputs: int,
    place: Path,
    *,
    module: str = "tests.fuzz.child",
    yjs_documents: int = 0,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Outcome:
    """Feed `inputs` to a target in a process of its own, with its files in `place`."""
    last = place / f"last-{module.rpartition('.')[2]}-{name}-{seed}"
    arguments = ["-m", module, name, str(seed), str(inputs), str(last), str(yjs_documents)]
    outcome = Outcome(name, seed, command=f"python {' '.join(arguments)}")
    errors = last.with_suffix(".err")
    with errors.open("wb") as stderr:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=ROOT,
            env=environment() | {"RUST_BACKTRACE": "0", "PYTHONHASHSEED": "0"},
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
        assert child.stdout is not None
        said: dict[str, Any] = {}
        try:
            while line := await asyncio.wait_for(child.stdout.readline(), SILENT_S):
                if line.startswith(b"{"):
                    said = json.loads(line)
                    tell(said)
        except TimeoutError:
            outcome.death = f"silent for {SILENT_S:g} s"
            child.kill()
        code = await child.wait()
    if said:
        outcome.tally.add(said)
    if not said.get("done") and not outcome.death:
        outcome.death = f"exit {code}" if code >= 0 else f"signal {-code}"
    if outcome.death:
        outcome.death += ": " + errors.read_text(errors="replace")[-_DETAIL_CHARS:]
        outcome.culprit = last.with_suffix(".input")
        outcome.culprit.write_bytes(last_input(last) if last.exists() else b"")
    last.unlink(missing_ok=True)
    errors.unlink()
    return outcome
