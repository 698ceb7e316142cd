"""Promise 5: whatever the server accepts loads everywhere. Hostile updates against real documents, in child processes.

`SYNCD_FUZZ_ROUNDS` sets how many documents each layer is tried with (10 take some seconds), `SYNCD_FUZZ_SEED` where to
start.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.core.messages import Layer

ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("SYNCD_FUZZ_ROUNDS", "6"))
SEED = int(os.environ.get("SYNCD_FUZZ_SEED", "1"))


@pytest.mark.timeout(60 + 5 * ROUNDS)
@pytest.mark.parametrize("layer", Layer)
def test_accepted_updates_never_hurt_a_document(layer: Layer, tmp_path: Path) -> None:
    """What the index accepts applies, encodes, reloads, reads and is written on, one at a time and piled up.

    The document comes to the state that was planned, in replicas with and without garbage collection; the index rebuilt
    from it is the live one; a live transcript equals its reloaded self.
    """
    last = tmp_path / "last"
    child = subprocess.run(
        [sys.executable, "-m", "tests.security.update_fuzz", layer, str(SEED), str(ROUNDS), str(last)],
        cwd=ROOT,
        env=os.environ | {"RUST_BACKTRACE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    culprit = last.read_bytes().hex() if last.exists() else "none"
    assert child.returncode == 0, f"exit {child.returncode} at {culprit}\n{child.stderr[-2000:]}"
    accepted, tried = map(int, child.stdout.split())
    assert tried == 600 * ROUNDS
    assert accepted > tried / 10, "the grammar is too odd to test anything"
