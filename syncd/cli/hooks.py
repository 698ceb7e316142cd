"""`syncd hooks`: try rules on an event, see what was told, and send again what could not be.

Knows nothing of rules: the server says what they would make of an event.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Annotated, Any

import typer

from syncd.cli.options import DEFAULT_URL, Token, TokenFile, Url, access
from syncd.cli.trouble import USAGE, Trouble
from syncd.cli.words import ago, clean

hooks = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Who is told of what: try rules, see what was told, send again what could not be.",
)
_LIMIT = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many, newest first.")]
_TARGET = Annotated[str, typer.Option("--target", help="Only of this target, or this person.", show_default=False)]


def _ask(method: str, path: str, url: str, token: str, token_file: Any, **given: Any) -> Any:
    """Send one request and return the answer."""
    from syncd_client.transport import request

    to = access(url, token, token_file)
    return asyncio.run(request(to.url, method, path, token=to.read(), **given))


@hooks.command("test")
def try_rules(
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="One of the last events, evt_…", show_default=False)
    ] = "",
    type_: Annotated[str, typer.Option("--type", help="Make one up, of this type.", show_default=False)] = "",
    session: Annotated[str, typer.Option("--session", help="The session it is in.", show_default=False)] = "test",
    by: Annotated[str, typer.Option("--by", help="Who caused it.")] = "agent:planner",
    data: Annotated[str, typer.Option("--data", metavar="JSON", help="What it says.")] = "{}",
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Say who would be told of an event now, and why. Nobody is told."""
    if bool(event) == bool(type_):
        raise Trouble("name an event by its id, or make one up by --type", USAGE)
    body: dict[str, Any] = {"id": event} if event else {}
    if type_:
        try:
            said = json.loads(data)
        except json.JSONDecodeError as error:
            raise Trouble(f"--data is not JSON ({error})", USAGE) from None
        body["event"] = {"type": type_, "session": session, "by": by, "data": said}
    answer = _ask("POST", "/v1/hooks/test", url, token, token_file, body=body)
    typer.echo(f"{answer['type']} in {answer['session']}")
    if not answer["rules"]:
        typer.echo("  there are no rules")
    for rule in answer["rules"]:
        act = {"tell": "TELL", "wait": "wait", "no": "  no"}[rule["act"]]
        who = rule["subject"] or rule["target"]
        way = f"{rule['channel']}:{who}" if who else rule["channel"]
        due = f", looked at again {_at(rule['due_at'])}" if rule["due_at"] else ""
        typer.echo(f"  {act}  {rule['rule']:<20} {clean(way, lines=False):<28} {rule['reason']}{due}")


@hooks.command("log")
def log(
    target: _TARGET = "",
    state: Annotated[
        str, typer.Option("--state", help="pending, sent, read, withdrawn, dead or dropped.", show_default=False)
    ] = "",
    limit: _LIMIT = 50,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """List what was told, what waits, and what was given up, newest first."""
    query = {"target": target, "state": state, "limit": str(limit)}
    _print(_ask("GET", "/v1/hooks/log", url, token, token_file, query=query)["deliveries"])


@hooks.command("dead")
def dead(
    target: _TARGET = "",
    limit: _LIMIT = 50,
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """List dead letters: what was given up after the last attempt."""
    query = {"target": target, "limit": str(limit)}
    _print(_ask("GET", "/v1/hooks/dead", url, token, token_file, query=query)["deliveries"])


@hooks.command("replay")
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID…", help="Dead letters, msg_…", show_default=False)
    ] = None,
    target: Annotated[
        str, typer.Option("--target", help="All of a target, which is enabled if it was not.", show_default=False)
    ] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    token_file: TokenFile = None,
) -> None:
    """Send dead letters again, as if they were new."""
    if bool(ids) == bool(target):
        raise Trouble("name dead letters by their ids, or all of a target by --target", USAGE)
    answer = _ask("POST", "/v1/hooks/replay", url, token, token_file, body={"ids": ids or [], "target": target})
    enabled = f"; {target} is sent to again" if answer["enabled"] else ""
    none = "" if answer["replayed"] else ": no dead letter is named so, syncd hooks dead lists them"
    typer.echo(f"{len(answer['replayed'])} to be sent again{none}{enabled}")


@hooks.command("key")
def key() -> None:
    """Print a new key for a webhook's target, to be given to its receiver too."""
    from syncd.server.hooks.config import new_secret

    typer.echo(new_secret(os.urandom(32)))


def _print(deliveries: list[dict[str, Any]]) -> None:
    now_ms = time.time_ns() // 1_000_000
    if not deliveries:
        typer.echo("nothing")
    for d in deliveries:
        what = f"{d['channel']}:{d['target']}"
        why = f"  {d['reason']}" if d["reason"] else ""
        line = f"{ago(d['made_at'], now_ms):>14}  {d['state']:<9} {d['type']:<20} {what:<28} {d['id']}  {d['session']}"
        typer.echo(clean(f"{line}  attempts {d['attempt']}{why}", lines=False))


def _at(ms: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms / 1000))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(hooks, name="hooks")
