"""`syncd export` and `syncd import`: a session as a file.

Over REST, or straight from a server's store file. Knows nothing of what the formats hold.
"""

from __future__ import annotations

import asyncio
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from syncd.cli.options import DEFAULT_URL, SessionId, Token, TokenFile, Url, access
from syncd.cli.sessions import checked
from syncd.cli.trouble import Trouble
from syncd.cli.words import clean, size


class Format(StrEnum):
    """`json` can be imported again as it was; `markdown` is to be read."""

    JSON = "json"
    MARKDOWN = "markdown"


def export(
    session: SessionId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, which must not exist; else it is printed.")
    ] = None,
    format: Annotated[
        Format, typer.Option("--format", help="json can be imported again; markdown is to be read.")
    ] = Format.JSON,
    store: Annotated[
        Path | None, typer.Option("--store", help="Read this server's store file, without a server or beside one.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Write a session to a file, with all its authors and receipts."""
    checked(session)
    if output is not None and output.exists():
        raise Trouble(f"{output} exists: name another file, or remove it first")
    if store is not None:
        data = asyncio.run(_from_store(store, session, format))
    else:
        from syncd_client.transport import request

        to = access(url, token, token_file)
        path = f"/v1/sessions/{session}/export"
        answer = asyncio.run(request(to.url, "GET", path, token=to.read(), query={"format": str(format)}))
        data = answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False, indent=1).encode()
    if output is not None:
        with output.open("xb") as file:
            file.write(data)
        typer.echo(f"{session} is in {output} ({size(len(data))})", err=True)
    elif sys.stdout.isatty():
        typer.echo(clean(data.decode()))
    else:
        sys.stdout.buffer.write(data + b"\n")
        sys.stdout.buffer.flush()


async def _from_store(path: Path, session: str, format: str) -> bytes:
    from syncd.core.limits import DEFAULT_LIMITS
    from syncd.server.metrics import Metrics
    from syncd.server.records import Records
    from syncd.server.sessions import Sessions
    from syncd.store.session_log import SqliteSessionLog

    log = SqliteSessionLog(path, read_only=True)
    await log.open()
    try:
        # Neither is started: nothing is written, so no loop has to run.
        return await Records(Sessions(log, DEFAULT_LIMITS, Metrics())).export(session, format)
    except LookupError:
        raise Trouble(f"{path} holds no session {session}: check the id, or the path") from None
    finally:
        await log.close()


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export in JSON.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Create a session from its export.

    The session must not exist there. Needs all rights on it, since an import brings everybody's words.
    """
    from syncd_client.transport import request

    to = access(url, token, token_file)
    data = file.read_bytes()
    row = asyncio.run(request(to.url, "POST", "/v1/sessions/import", token=to.read(), body=data))
    typer.echo(f"{row['session']} is on {to.url} ({size(row['bytes'])})", err=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd export trip-2026 -o trip.json\n\n"
        "  syncd export trip-2026 --format markdown | less\n\n"
        "  syncd export trip-2026 --store /backup/syncd.db -o trip.json"
    )(export)
    app.command("import", epilog="[bold]Example[/]\n\n  syncd import trip.json")(import_)
