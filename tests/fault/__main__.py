"""The kill loop from a shell: `python -m tests.fault --kills 100 [--seed N]`; exit code 1 on any loss or duplicate."""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.fault.broken import BREAKS
from tests.fault.loop import KillLoop, Tally

_SHOWN_MAX = 20


def table(tally: Tally) -> Table:
    """Return the outcome as a table."""
    shown = Table(show_header=False)
    rows = {
        "kills": f"{tally.kills} (server {tally.server_kills}, clients {tally.client_kills})",
        "network faults, freezes of clients": f"{tally.faults}",
        "freezes of the server": f"{tally.freezes}",
        "saved here (post returned)": f"{tally.saved:,}",
        "acked (synced returned)": f"{tally.acked:,}",
        "shown to others": f"{tally.shown:,}",
        "lost": f"{len(tally.lost)}",
        "duplicates": f"{len(tally.doubles)}",
        "shown and lost": f"{len(tally.shown_lost)}",
        "other findings": f"{len(tally.other)}",
    }
    if times := sorted(tally.first_ack_s):
        p50, p99 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))
        rows["first ack after a restart, p50 / p99 / max"] = f"{p50:.2f} / {p99:.2f} / {times[-1]:.2f} s"
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="what happens when; timing is the machine's (default: a random one)")
    parser.add_argument("--break", dest="broken", choices=BREAKS, default="", help="build a fault in, to see it found")
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    console = Console()
    console.print(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="syncd-fault-"))
    loop = KillLoop(folder, kills=options.kills, seed=seed, broken=options.broken)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    started = time.monotonic()
    with bar:
        task = bar.add_task("kills", total=options.kills)
        tally = asyncio.run(loop.run(lambda tally: bar.update(task, completed=tally.kills)))
    console.print(table(tally))
    console.print(f"{time.monotonic() - started:.0f} s")
    if tally.clean:
        shutil.rmtree(folder)
        return 0
    for what, found in (
        ("lost", tally.lost),
        ("shown and lost", tally.shown_lost),
        ("there twice", tally.doubles),
        ("found", tally.other),
    ):
        for line in found[:_SHOWN_MAX]:
            console.print(f"{what}: {line}", style="bold red", markup=False)
    console.print(f"everything is kept in {folder}", markup=False, soft_wrap=True)
    broken = f" --break {options.broken}" if options.broken else ""
    console.print(f"again: python -m tests.fault --kills {options.kills} --seed {seed}{broken}", soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
