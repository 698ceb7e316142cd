"""Runs scenarios, and writes for each a Markdown page, its figures as JSON and a plot."""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import readme, targets
from benchmarks.agents import agents
from benchmarks.bench import Bench
from benchmarks.fanout import fanout
from benchmarks.history import history
from benchmarks.latency import ack
from benchmarks.many import many
from benchmarks.memory import memory
from benchmarks.plot import svg
from benchmarks.report import Result, load, markdown, save
from benchmarks.servers import KINDS, Server, Unavailable, install
from benchmarks.stalled import stalled
from benchmarks.storm import storm
from benchmarks.streaming import streaming

Scenario = Callable[[Bench], Awaitable[Result]]
SCENARIOS: dict[str, Scenario] = {
    "ack": ack,
    "fanout": fanout,
    "many": many,
    "storm": storm,
    "memory": memory,
    "history": history,
    "streaming": streaming,
    "stalled": stalled,
    "agents": agents,
}
_ROOT = Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results"
_QUICK_RESULTS = _ROOT / "build" / "benchmarks" / "results"
_README = _ROOT / "README.md"
_SECONDS, _ROUNDS = 3.0, 3
#: No scenario takes longer than this, whatever happens.
_SCENARIO_TIMEOUT_S = 3_600.0
_EXAMPLES = f"""
scenarios:
{chr(10).join(f"  {name:10} {scenario.__doc__}" for name, scenario in SCENARIOS.items())}

examples:
  python -m benchmarks                          all, beside all peers that are installed (make bench-peers)
  python -m benchmarks --quick                  all, small and once, into build/: does it run?
  python -m benchmarks --only fanout --peers y-websocket,relay
  python -m benchmarks --only many --peers none --seconds 10 --rounds 1
  python -m benchmarks --targets                what the last results reach of what is meant to be reached
  python -m benchmarks --readme                 put the last results into README.md

The server that is measured has the last core for itself, this program the others. On a machine that does something
else meanwhile trust the processor times more than the latencies, and ratios more than either.
"""


async def run(scenario: Scenario, bench: Bench) -> Result:
    """Run one scenario, in bounded time."""
    gc.collect()
    async with asyncio.timeout(_SCENARIO_TIMEOUT_S):
        return await scenario(bench)


def main(arguments: list[str] | None = None) -> int:
    """Run from a shell; return 0 if every target was met, else 1."""
    options = _parser().parse_args(arguments)
    console = Console()
    if options.install_peers:
        return _install(console)
    results: Path = options.results or (_QUICK_RESULTS if options.quick else _RESULTS)
    if options.readme:
        readme.refresh(_README, _load(results))
        return 0
    if options.targets:
        return _say_targets(console, results)
    results.mkdir(parents=True, exist_ok=True)
    # Two thousand connections are more than many systems allow at first.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    kinds = _kinds(options.peers, console)
    missed = [name for name in options.only or SCENARIOS if not _measure(name, options, kinds, results, console)]
    if options.quick:  # What is small says nothing of the targets.
        return 0
    if missed:
        console.print(f"missed on their own pages: {', '.join(missed)}", style="bold red")
    return max(_say_targets(console, results), 1 if missed else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure syncd beside its peers, against its targets.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", choices=SCENARIOS, help="one scenario; may be given again")
    parser.add_argument(
        "--peers",
        default="all",
        help=f"whom to measure beside syncd: all, none, or some of {', '.join(list(KINDS)[1:])} (default: %(default)s)",
    )
    parser.add_argument("--seconds", type=float, help=f"each timed part lasts so long (default: {_SECONDS:g})")
    parser.add_argument("--rounds", type=int, help=f"medians of so many rounds (default: {_ROUNDS})")
    parser.add_argument("--scale", type=float, help="size of what is large (default: 1, as published)")
    parser.add_argument("--quick", action="store_true", help="half a second, one round, a tenth of the size")
    parser.add_argument("--results", type=Path, help="folder for the pages (default: benchmarks/results)")
    parser.add_argument("--readme", action="store_true", help="measure nothing: put the last results into README.md")
    parser.add_argument("--targets", action="store_true", help="measure nothing: hold the last results to the targets")
    parser.add_argument("--install-peers", action="store_true", help="install the peers; needs npm, takes minutes")
    return parser


def _measure(
    name: str, options: argparse.Namespace, kinds: Sequence[type[Server]], results: Path, console: Console
) -> bool:
    """Run one scenario and write its page; return whether it met what it is meant to."""
    seconds = options.seconds or (0.5 if options.quick else _SECONDS)
    rounds = options.rounds or (1 if options.quick else _ROUNDS)
    scale = options.scale or (0.1 if options.quick else 1.0)
    started = time.monotonic()
    with console.status(f"measuring: {name}") as status:

        def say(what: str, *, lasting: bool = False) -> None:
            status.update(f"measuring: {name}: {what}")
            if lasting:
                console.print(f"{name}: {what}", style="yellow")

        result = uvloop.run(run(SCENARIOS[name], Bench(seconds, scale, rounds, kinds, say)))
    picture = f"{name}.svg" if result.plots else ""
    page = markdown(result, picture=picture, versions={kind.name: kind.version() for kind in kinds})
    (results / f"{name}.md").write_text(page, encoding="utf-8")
    if picture:
        (results / picture).write_text(svg(result), encoding="utf-8")
    save(result, results / f"{name}.json")
    console.print(Markdown(page))
    console.print(f"{name}: {time.monotonic() - started:.0f} s", style="dim")
    return result.met


def _kinds(peers: str, console: Console) -> list[type[Server]]:
    """Return what to measure, syncd first; say which peers are left out, and why."""
    names = {"all": list(KINDS)[1:], "none": []}.get(peers, peers.split(","))
    kinds = [Server]
    for name in names:
        if name not in KINDS:
            raise SystemExit(f"there is no peer {name!r}: choose from {', '.join(list(KINDS)[1:])}")
        try:
            KINDS[name].check()
        except Unavailable as error:
            console.print(f"not measured: {name}: {error}", style="yellow")
        else:
            kinds.append(KINDS[name])
    return kinds


def _load(results: Path) -> dict[str, Result]:
    return {name: load(results / f"{name}.json") for name in SCENARIOS if (results / f"{name}.json").exists()}


def _say_targets(console: Console, results: Path) -> int:
    page, missed = targets.page(_load(results))
    (results / "targets.md").write_text(page, encoding="utf-8")
    console.print(Markdown(page))
    return 1 if missed else 0


def _install(console: Console) -> int:
    console.print("installing the peers into benchmarks/peers/; this takes minutes where SQLite has to be compiled")
    complaints = install()
    for complaint in complaints:
        console.print(complaint, style="red")
    if complaints:
        console.print("What could not be installed is left out of the comparison.")
    return 1 if complaints else 0


if __name__ == "__main__":
    # Like Ctrl-C: whatever ends this takes the servers along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
