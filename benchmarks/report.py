"""Report: figures beside those of the peers, as a Markdown page that says where and with what they were measured.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import platform
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

#: The column of what is measured here.
OWN = "syncd"


@functools.cache
def machine() -> str:
    """Return the machine and the versions, in one line."""
    parts = [f"{name} {version(name)}" for name in ("aiohttp", "pycrdt", "uvloop", "msgpack")]
    return (
        f"{_cpu()} ({os.cpu_count()} cores), {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, {_node()}SQLite {sqlite3.sqlite_version}, {', '.join(parts)}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _node() -> str:
    try:
        return f"Node {subprocess.run(['node', '--version'], capture_output=True, text=True).stdout.strip()[1:]}, "
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of syncd, with those of the peers.

    `group` is the table it stands in. With a `limit` the target is to stay below it; what is at or above `flag` shows,
    whosever it is. `value` is None where it was not measured.
    """

    what: str
    value: float | None
    unit: str
    limit: float | None = None
    group: str = ""
    peers: Mapping[str, float] = field(default_factory=dict)
    flag: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        return self.limit is None or (self.value is not None and self.value < self.limit)


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's figures, and under which conditions they hold. `plots` are the groups that are drawn."""

    title: str
    conditions: str
    figures: Sequence[Figure]
    plots: Sequence[str] = ()
    machine: str = field(default_factory=machine)

    @property
    def met(self) -> bool:
        """Whether all targets are met."""
        return all(figure.met for figure in self.figures)

    def columns(self) -> list[str]:
        """The servers that have a figure, syncd first."""
        return list(dict.fromkeys([OWN, *(name for figure in self.figures for name in figure.peers)]))

    def groups(self) -> dict[str, list[Figure]]:
        """The figures by group, in order."""
        groups: dict[str, list[Figure]] = {}
        for figure in self.figures:
            groups.setdefault(figure.group, []).append(figure)
        return groups

    def find(self, group: str, what: str) -> Figure | None:
        """Return one figure, if it is there."""
        return next((each for each in self.figures if (each.group, each.what) == (group, what)), None)


def table(
    compared: Mapping[str, Mapping[str, float]],
    group: str,
    whats: Iterable[str],
    unit: str,
    *,
    limits: Mapping[str, float] | None = None,
    flag: float | None = None,
) -> list[Figure]:
    """Return the figures of one group: for each of `whats`, what every server found under `GROUP: WHAT`."""
    figures = []
    for what in whats:
        values = {name: found[f"{group}: {what}"] for name, found in compared.items() if f"{group}: {what}" in found}
        if values:
            own = values.pop(OWN, None)
            figures.append(Figure(what, own, unit, (limits or {}).get(what), group, values, flag))
    return figures


# Markdown


def markdown(result: Result, *, picture: str = "", versions: Mapping[str, str] | None = None) -> str:
    """Return a result as a Markdown page, with the file of its plot and what the peers are."""
    lines = [f"# {result.title}", "", result.conditions, "", f"On {result.machine}.", ""]
    columns = result.columns()
    if peers := [f"{name}: {what}" for name, what in (versions or {}).items() if name in columns[1:]]:
        lines += [f"Beside {'; '.join(peers)}.", ""]
    if picture:
        lines += [f"![{'; '.join(result.plots)}]({picture})", ""]
    for group, figures in result.groups().items():
        lines += [f"## {group}", ""] if group else []
        lines += _rows(figures)
        lines.append("")
    if any(_flagged(figure, value) for figure in result.figures for value in (figure.value, *figure.peers.values())):
        lines += ["⚠: the load generator used as much processor time as the server or more.", ""]
    return "\n".join(lines)


def _rows(figures: Sequence[Figure]) -> list[str]:
    peers = list(dict.fromkeys(name for figure in figures for name in figure.peers))
    targets = any(figure.limit is not None for figure in figures)
    heads = ["what", OWN if peers else "measured", *peers, *(["target"] if targets else [])]
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (1 + len(peers))}{' --- |' if targets else ''}"]
    for figure in figures:
        cells = [_cell(figure, value) for value in (figure.value, *(figure.peers.get(name) for name in peers))]
        if targets:
            mark = "✓" if figure.met else "✗ **missed**"
            cells.append("" if figure.limit is None else f"< {figure.limit:,g}{_unit(figure.unit)} {mark}")
        lines.append(f"| {' | '.join([figure.what, *cells])} |")
    return lines


def _cell(figure: Figure, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{number(value)}{_unit(figure.unit)}{' ⚠' if _flagged(figure, value) else ''}"


def _flagged(figure: Figure, value: float | None) -> bool:
    return figure.flag is not None and value is not None and value >= figure.flag


def _unit(unit: str) -> str:
    return f" {unit}" if unit else ""


def number(value: float) -> str:
    """Return a number as people read it: three digits, or all before the point."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value below which a share `q` of `values` lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


# Files


def save(result: Result, path: Path) -> None:
    """Write a result as JSON, for `load`."""
    text = json.dumps(dataclasses.asdict(result), indent=1, ensure_ascii=False, default=dict)
    path.write_text(text + "\n", encoding="utf-8")


def load(path: Path) -> Result:
    """Read what `save` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**fields, "figures": tuple(Figure(**figure) for figure in fields["figures"])})
