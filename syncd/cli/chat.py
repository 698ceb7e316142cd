"""`syncd chat`: talk in a session, with a screen, or with lines from a pipe.

Knows the command line; the screen is in `screen`, the pipe in `pipe`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
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
from syncd.cli.trouble import USAGE, Trouble


def chat(
    session: SessionId,
    name: As = "",
    to: Annotated[
        list[str] | None,
        typer.Option("--to", metavar="SUBJECT", help="Whom every message addresses, such as agent:planner."),
    ] = None,
    wait_s: Annotated[
        float,
        typer.Option("--wait", min=0.0, metavar="SECONDS", help="From a pipe: how long to wait until all is synced."),
    ] = 10.0,
    store: LocalStorePath = None,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Talk in a session. Works without a network: what you write is kept here and goes out when it is back.

    Opens a screen with the session as it is on this device. A message that begins with @NAME asks that agent; /help
    lists what else can be typed, such as /steer and /approve. If standard input is a pipe, every line is posted as a
    message, then it waits until they are on the server.
    """
    from syncd.core.ids import is_subject

    for subject in to or ():
        if not is_subject(subject):
            raise Trouble(f"--to {subject!r} is no subject: write a kind and a name, such as agent:planner", USAGE)
    asyncio.run(_chat(checked(session), access(url, token, token_file, name), store, to or (), wait_s))


async def _chat(session: str, access: Access, store: Path | None, to: Sequence[str], wait_s: float) -> None:
    from syncd.cli.device import make_client

    if sys.stdin.isatty() and not sys.stdout.isatty():
        raise Trouble("a chat needs a screen: use `syncd tail` to read, or pipe lines in to write", USAGE)
    client, path = make_client(access, store)
    async with client:
        opened = await client.open(session)
        if sys.stdin.isatty():
            from syncd.cli.screen import Screen

            await Screen(client, opened, to=to, dev=bool(access.dev)).run()
        else:
            from syncd.cli.pipe import post_lines

            await post_lines(opened, path, sys.stdin, to=to, wait_s=wait_s, dev=bool(access.dev))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd chat demo --as mona\n\n  syncd chat trip-2026 --to agent:planner\n\n"
        "  make 2>&1 | tail -1 | syncd chat ops --as ci"
    )(chat)
