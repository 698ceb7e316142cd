"""`syncd doctor`: what is wrong with a store, and what to do about it.

Knows the command line and how findings look; what is looked at is in `diagnosis`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syncd.cli.trouble import FAILED
from syncd.cli.words import clean, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.cli.diagnosis import Finding

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✖", "bold red")}


def doctor(
    store: Annotated[
        Path, typer.Argument(metavar="[STORE]", envvar="SYNCD_STORE", help="A server's store, or a local one.")
    ] = Path("syncd.db"),
) -> None:
    """Check a store: its structure, every row, whether every session loads, disk space, permissions, who holds it.

    Tells a server's store from a device's local one by itself. Only reads, so it can run beside a server. Exits with
    1 if anything is wrong.
    """
    healthy, findings = asyncio.run(_examine(store))
    _print(store, findings)
    problems = sum(finding.level == "problem" for finding in findings)
    typer.echo("all is well" if healthy else f"{plural(problems, 'problem')} found", err=True)
    if not healthy:
        raise typer.Exit(FAILED)


async def _examine(store: Path) -> tuple[bool, Sequence[Finding]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from syncd.cli.diagnosis import Doctor

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task("looking", total=None)
        doctor = Doctor(
            store, lambda what, done, total: bars.update(bar, description=what, completed=done, total=total)
        )
        findings = await doctor.examine()
    return doctor.healthy, findings


def _print(store: Path, findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not sys.stdout.isatty():
        for finding in findings:
            row = (str(finding.level), finding.about, finding.what, finding.do)
            typer.echo("\t".join(clean(cell, lines=False) for cell in row).rstrip("\t"))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(4):
        table.add_column(overflow="fold")
    for finding in findings:
        mark, style = _MARKS[finding.level]
        about, what, do = (Text(clean(cell, lines=False)) for cell in (finding.about, finding.what, finding.do))
        table.add_row(Text(mark, style=style), about, what, Text("→ ", style="cyan").append_text(do) if do else "")
    console = Console(highlight=False, markup=False)
    console.print(Text(str(store.absolute()), style="bold"))
    console.print(table)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd doctor /var/lib/syncd/syncd.db\n\n"
        "  syncd doctor ~/.local/share/syncd/127.0.0.1-8484/user-mona.db"
    )(doctor)
