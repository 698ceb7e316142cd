"""`syncd sessions` and `syncd delete`: which sessions there are, on a server or on this device.

Knows nothing of what is in them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.options import DEFAULT_URL, Access, SessionId, Token, TokenFile, Url, access, data_directory
from syncd.cli.trouble import USAGE, Trouble
from syncd.cli.words import ago, clean, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncd.store.local_records import LocalSession

_PAGE = 100


def sessions(
    local: Annotated[
        Path | None, typer.Option("--local", metavar="STORE", help="List the copies in this local store instead.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """List the sessions of a server, or the copies on this device.

    On a server these are the sessions that the token names. For a local store it says how many edits are not synced.
    """
    if local is not None:
        if not local.is_file():
            raise Trouble(f"{local}: there is no such file; local copies are in {data_directory()} unless named")
        _print_local(local, asyncio.run(_local(local)))
    else:
        _print_remote(asyncio.run(_remote(access(url, token, token_file))))


async def _remote(to: Access) -> list[dict[str, Any]]:
    from syncd_client.transport import request

    found: list[dict[str, Any]] = []
    after = ""
    while True:
        query = {"after": after, "limit": str(_PAGE)}
        page = await request(to.url, "GET", "/v1/sessions", token=to.read(), query=query)
        found += page["sessions"]
        after = page["next"]
        if not after:
            return found


async def _local(path: Path) -> Sequence[LocalSession]:
    from syncd.store.local import LocalStore

    store = LocalStore(path)
    await store.open()
    try:
        return await store.sessions()
    finally:
        await store.close()


def _print_remote(rows: list[dict[str, Any]]) -> None:
    now_ms = time.time_ns() // 1_000_000
    _print_table(
        ("session", "updates", "size", "changed", ""),
        [
            (
                clean(row["session"], lines=False),
                str(row["version"]),
                size(row["bytes"]),
                ago(row["updated_at"], now_ms),
                "damaged: run `syncd doctor` on its store" if row["damaged"] else "",
            )
            for row in rows
        ],
        "no sessions yet: `syncd chat SESSION` makes one",
    )


def _print_local(path: Path, rows: Sequence[LocalSession]) -> None:
    now_ms = time.time_ns() // 1_000_000
    _print_table(
        ("session", "seq", "not synced", "opened", ""),
        [(row.session, str(row.seq), str(row.unsynced or "–"), ago(row.opened_at_ms, now_ms), "") for row in rows],
        f"{path} holds no sessions yet",
    )


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]], empty: str) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        typer.echo(empty, err=True)
        return
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row).rstrip("\t"))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in (1, 2) else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def delete(
    session: SessionId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Erase a session on the server for good.

    Every copy is told at its next sync. There is no way back but an export made before. Needs the right admin on it.
    """
    from syncd_client.transport import request

    to = access(url, token, token_file)
    if not yes:
        if not sys.stdin.isatty():
            raise Trouble(f"nobody is here to confirm: add --yes to erase {session}", USAGE)
        typer.confirm(f"Erase session {session} on {to.url} for good?", abort=True)
    asyncio.run(request(to.url, "DELETE", f"/v1/sessions/{checked(session)}", token=to.read()))
    typer.echo(f"{session} is erased", err=True)


def checked(session: str) -> str:
    """Return a session's id.

    Raises:
        Trouble: it is none.
    """
    from syncd.core.ids import is_id

    if not is_id(session):
        raise Trouble(f"{session!r} is not a session's id: 1 to 64 of A-Z a-z 0-9 _ -", USAGE)
    return session


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd sessions\n\n  syncd sessions --url https://sync.example.com\n\n"
        "  syncd sessions --local ~/.local/share/syncd/127.0.0.1-8484/user-mona.db"
    )(sessions)
    app.command(epilog="[bold]Example[/]\n\n  syncd export trip-2026 -o trip.json && syncd delete trip-2026")(delete)
