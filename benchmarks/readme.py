"""Readme: the table of figures in README.md, made of the results of the scenarios.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import fanout, history, latency, many, memory, storm, streaming
from benchmarks.report import Result, number
from benchmarks.targets import HOCUSPOCUS, PYCRDT, RELAY, Y_WEBSOCKET

_START = "<!-- figures: from benchmarks/results/, put here by `python -m benchmarks --readme` -->"
_END = "<!-- end of figures -->"
_PEERS = (Y_WEBSOCKET, HOCUSPOCUS, PYCRDT, RELAY)
#: What, where: scenario, group and rows.
_BESIDE: Sequence[tuple[str, str, str, Sequence[str]]] = (
    (
        "server CPU per delivered token, 100 readers, 1 / 32 tokens in flight",
        "fanout",
        fanout.CPU,
        [fanout.window_row(100, 1), fanout.window_row(100, 32)],
    ),
    ("the same at 50 tokens a second", "fanout", fanout.CPU, [fanout.paced_row(100)]),
    (
        "server CPU per update, 300 sessions of 1 writer and 2 readers at 30 tokens a second",
        "many",
        many.CPU,
        [many.row(300)],
    ),
    ("such sessions that one core bears, p99 below 100 ms", "many", many.MOST, [many.MOST_ROW]),
    ("server CPU per client that comes back to 207 kB, of which it has half", "storm", storm.CPU, [storm.HALF]),
    ("memory per idle connection, one document / one each", "memory", memory.IDLE, [memory.SHARED, memory.APART]),
    ("memory per document of 200 kB", "memory", memory.DOCUMENT, [memory.JOINED]),
)
_ALONE: Sequence[tuple[str, str, str, Sequence[str]]] = (
    (
        "acked, that is on the server's disk, idle, p50 / p99",
        "ack",
        latency.LATENCY,
        [latency.ACK_P50, latency.ACK_P99],
    ),
    ("the same with 100 answers running", "many", many.ACK_P50, [many.row(100)]),
    (
        "append to an answer of 200 kB, one by one / streamed",
        "streaming",
        "",
        [streaming.ONE_BY_ONE, streaming.STREAMED],
    ),
    (
        "a session of 10,000 messages, opened from the local copy / joined",
        "history",
        "",
        [history.OPENED, history.JOINED],
    ),
)


def block(results: Mapping[str, Result]) -> str:
    """Return the table; what was not measured is a dash."""
    lines = [f"| what | syncd | {' | '.join(_PEERS)} |", f"| --- |{' ---: |' * (1 + len(_PEERS))}"]
    for what, scenario, group, rows in _BESIDE:
        cells = [_cell(results, scenario, group, rows, name) for name in ("", *_PEERS)]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    lines += ["", "| syncd alone | |", "| --- | ---: |"]
    lines += [f"| {what} | {_cell(results, scenario, group, rows)} |" for what, scenario, group, rows in _ALONE]
    machines = " and ".join(dict.fromkeys(result.machine for result in results.values())) or "no machine yet"
    lines += [
        "",
        f"On {machines}; the server alone on one core, over loopback. syncd has everything on: it acks and shows what "
        "is on disk (`synchronous=FULL`). Of the others only Hocuspocus stores anything, some seconds later; the C "
        "relay is the floor: one `send` for each delivery and nothing else. The pages in "
        "`benchmarks/results/` say more, [targets.md](benchmarks/results/targets.md) what was "
        "wanted. `make bench` measures yours.",
    ]
    return "\n".join(lines)


def _cell(results: Mapping[str, Result], scenario: str, group: str, rows: Sequence[str], name: str = "") -> str:
    result = results.get(scenario)
    shown, unit = [], ""
    for row in rows:
        figure = result.find(group, row) if result else None
        value = None if figure is None else figure.peers.get(name) if name else figure.value
        shown.append("–" if value is None else number(value))
        unit = figure.unit if figure and value is not None else unit
    return "–" if set(shown) == {"–"} else f"{' / '.join(shown)}{' ' + unit if unit else ''}"


def refresh(path: Path, results: Mapping[str, Result]) -> None:
    """Put the table into a README, between the two comments that mark its place.

    Raises:
        ValueError: it has no such place.
    """
    text = path.read_text(encoding="utf-8")
    start, end = text.find("<!-- figures:"), text.find(_END)
    if not 0 <= start < end:
        raise ValueError(f"{path.name} has no place for figures: put '{_START}' and '{_END}' into it")
    path.write_text(f"{text[:start]}{_START}\n\n{block(results)}\n\n{text[end:]}", encoding="utf-8")
