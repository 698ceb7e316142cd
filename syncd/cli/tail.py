"""`syncd tail`: follow a session, as lines for people or as JSON for programs.

Knows the command line; what a line looks like is in `follow`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import (
    DEFAULT_URL,
    Access,
    As,
    LocalStorePath,
    SessionId,
    Token,
    TokenFile,
    Url,
    access,
)
from syncd.cli.sessions import checked


def tail(
    session: SessionId,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="How many messages of before to show first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    name: As = "",
    store: LocalStorePath = None,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Follow a session: messages as they are written, who comes and goes, changes of the state.

    Begins with what this device has, network or not, and goes on until Ctrl-C. What fell due while it was away comes
    first when the link is back.
    """
    to = access(url, token, token_file, name)
    asyncio.run(_tail(checked(session), to, store, last, as_json=as_json))


async def _tail(session: str, to: Access, store: Path | None, last: int, *, as_json: bool) -> None:
    from syncd_client import Link, StatusChanged

    from syncd.cli.device import make_client
    from syncd.cli.follow import Follower, JsonFollower, TextFollower
    from syncd.cli.paint import refused
    from syncd.server.logs import configure

    configure("console", "warning")
    client, _ = make_client(to, store)
    async with client:
        opened = await client.open(session)
        follower: Follower = JsonFollower(opened) if as_json else TextFollower(opened)
        changes = opened.changes()
        follower.begin(last)
        async for change in changes:
            follower.take(change)
            if isinstance(change, StatusChanged) and change.status.link is Link.REFUSED:
                raise refused(change.status, dev=bool(to.dev))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd tail demo --as mona\n\n"
        "  syncd tail ops -n 0 --json | jq -r 'select(.type == \"message\") | .text'"
    )(tail)
