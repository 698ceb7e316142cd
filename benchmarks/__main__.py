"""Runs scenarios and writes one Markdown page for each."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console
from rich.markdown import Markdown

from benchmarks.bench import Bench
from benchmarks.fanout import fanout
from benchmarks.history import history
from benchmarks.latency import ack
from benchmarks.many import many
from benchmarks.memory import memory
from benchmarks.report import Result, markdown
from benchmarks.streaming import streaming

Scenario = Callable[[Bench], Awaitable[Result]]
SCENARIOS: dict[str, Scenario] = {
    "ack": ack,
    "fanout": fanout,
    "many": many,
    "memory": memory,
    "streaming": streaming,
    "history": history,
}
_RESULTS = Path(__file__).parent / "results"
#: No scenario takes longer than this, whatever happens.
_SCENARIO_TIMEOUT_S = 300.0


async def run(scenario: Scenario, bench: Bench) -> Result:
    """Run one scenario, in bounded time."""
    gc.collect()
    async with asyncio.timeout(_SCENARIO_TIMEOUT_S + 10 * bench.seconds):
        return await scenario(bench)


def main(arguments: list[str] | None = None) -> int:
    """Run from a shell; return 0 if every target was met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure syncd against its targets.")
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="one scenario; may be given again")
    parser.add_argument("--seconds", type=float, default=10.0, help="timed parts last so long (default: %(default)s)")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of what is large; 1 is what is published (default: %(default)s)"
    )
    parser.add_argument("--results", type=Path, default=_RESULTS, help="folder for the pages (default: %(default)s)")
    options = parser.parse_args(arguments)
    console = Console()
    options.results.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in options.only or SCENARIOS:
        with console.status(f"measuring: {name}"):
            result = uvloop.run(run(SCENARIOS[name], Bench(options.seconds, options.scale)))
        page = markdown(result)
        (options.results / f"{name}.md").write_text(page, encoding="utf-8")
        console.print(Markdown(page))
        missed += [] if result.met else [name]
    if missed:
        console.print(f"targets missed: {', '.join(missed)}", style="bold red")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
