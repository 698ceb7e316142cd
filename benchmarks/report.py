"""Report: figures with their targets, as a Markdown page that says where and with what they were measured.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. With a `limit`, the target is to stay below it."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def met(self) -> bool:
        """Whether the target is met, if there is one."""
        return self.limit is None or self.value < self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario's figures, and under which conditions they hold."""

    title: str
    conditions: str
    figures: Sequence[Figure]

    @property
    def met(self) -> bool:
        """Whether all targets are met."""
        return all(figure.met for figure in self.figures)


def machine() -> str:
    """Return the machine and the versions, in one line."""
    parts = [f"{name} {version(name)}" for name in ("aiohttp", "pycrdt", "uvloop", "msgpack")]
    return (
        f"{_cpu()} ({os.cpu_count()} cores), {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {', '.join(parts)}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def markdown(result: Result) -> str:
    """Return a result as a Markdown page."""
    lines = [f"# {result.title}", "", result.conditions, "", f"On {machine()}.", ""]
    lines += ["| what | measured | target |", "| --- | ---: | --- |"]
    for figure in result.figures:
        unit = f" {figure.unit}" if figure.unit else ""
        target = "" if figure.limit is None else f"< {figure.limit:,g}{unit} {'✓' if figure.met else '✗ **missed**'}"
        lines.append(f"| {figure.what} | {_number(figure.value)}{unit} | {target} |")
    return "\n".join([*lines, ""])


def _number(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(values: Sequence[float], q: float) -> float:
    """Return the value below which a share `q` of `values` lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
