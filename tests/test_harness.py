"""The harness itself: what tests are run in is the same everywhere."""

import subprocess
import sys

from tests.harness import environment

_STARTS_ONE = """
import os, signal, subprocess, sys
from tests.harness import heed_interrupts

heed_interrupts()
os.kill(os.getpid(), signal.SIGINT)  # Ignored, as this was told.
subprocess.run([sys.executable, "-c", "import signal; print(signal.getsignal(signal.SIGINT))"], check=True)
"""


def test_processes_heed_interrupts() -> None:
    """Run in the background of a script, where SIGINT is ignored, tests still start processes that heed it."""
    begin = [sys.executable, "-c", _STARTS_ONE]
    ran = subprocess.run(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", *begin],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert "default_int_handler" in ran.stdout
