"""`syncd token` and `syncd key`: who may do what, signed.

Knows how rights and times are written on a command line.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
import time
from typing import Annotated, Any

import typer

from syncd.cli.options import Token, TokenFile, access
from syncd.cli.trouble import USAGE, Trouble
from syncd.core.grant import ALL_RIGHTS, MEMBER_RIGHTS, Right

_TTL = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def token(
    sub: Annotated[str, typer.Option("--sub", help="Who it names, such as user:mona or agent:planner.")],
    session: Annotated[
        list[str] | None,
        typer.Option(
            "--session",
            metavar="ID[=RIGHT,...]",
            help="A session, or a prefix and '*', with rights: transcript, state, presence, command, admin. Without "
            "rights all but admin; `ID=` reads only. Can be given several times.",
        ),
    ] = None,
    ttl: Annotated[str, typer.Option(help="How long it lives: 90s, 30m, 1h, 7d.")] = "1h",
    name: Annotated[str, typer.Option(help="The name shown, if not the subject's own.", show_default=False)] = "",
    admin: Annotated[bool, typer.Option("--admin", help="Everything on every session, tokens included.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Ask this server to sign, with an admin's SYNCD_TOKEN.", show_default=False)
    ] = None,
    auth: Token = "",
    auth_file: TokenFile = None,
) -> None:
    """Make a token.

    It is signed here with SYNCD_KEYS (or SYNCD_KEYS_FILE), or with --url by a server that is shown an admin's token.
    The token alone goes to standard output, so that a script can take it.
    """
    if not session and not admin:
        raise Trouble("a token needs at least one --session 'ID=transcript,state', or --admin", USAGE)
    sessions = dict(_parse_session(item) for item in session or ())
    if admin:
        sessions["*"] = sorted(ALL_RIGHTS)
    ttl_s = parse_ttl(ttl)
    if url is None:
        minted, expires_at = _sign_here(sub, sessions, name, ttl_s)
    else:
        minted, expires_at = _sign_there(url, auth, auth_file, sub, sessions, name, ttl_s)
    if sys.stdout.isatty():
        rights = "; ".join(f"{pattern}: {', '.join(given) or 'read'}" for pattern, given in sessions.items())
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(expires_at))
        typer.echo(f"For {sub} until {until} ({rights}). Keep it secret: export SYNCD_TOKEN=…", err=True)
    typer.echo(minted)


def _sign_here(sub: str, sessions: dict[str, list[str]], name: str, ttl_s: float) -> tuple[str, int]:
    from syncd.server.auth import Auth
    from syncd.server.config import load
    from syncd.server.metrics import Metrics
    from syncd.server.revocations import Revocations

    # Only the keys matter here: the development mode keeps the other checks from asking for more than that.
    settings = load(dev=True, host="127.0.0.1")
    try:
        keys = settings.signing_keys()
    except ValueError as error:
        raise Trouble(str(error), USAGE) from None
    if not any(key.signs for key in keys):
        raise Trouble(
            "there is no key to sign with: set SYNCD_KEYS to the server's secret, or ask a server by --url and an "
            "admin's SYNCD_TOKEN",
            USAGE,
        )
    auth = Auth(
        keys,
        revocations=Revocations(None),
        metrics=Metrics(),
        issuer=settings.issuer,
        audience=settings.audience,
        ttl_max_s=settings.token_ttl_max_s,
    )
    minted = auth.mint(sub, sessions, name=name, ttl_s=ttl_s)
    return minted.token, minted.expires_at


def _sign_there(
    url: str, auth: str, auth_file: Any, sub: str, sessions: dict[str, list[str]], name: str, ttl_s: float
) -> tuple[str, int]:
    from syncd_client.transport import request

    admin = access(url, auth, auth_file)
    body = {"sub": sub, "sessions": sessions, "name": name, "ttl_s": ttl_s}
    answer = asyncio.run(request(admin.url, "POST", "/v1/tokens", token=admin.read(), body=body))
    return answer["token"], answer["expires_at"]


def _parse_session(item: str) -> tuple[str, list[str]]:
    pattern, equals, rights = item.partition("=")
    given = [right for right in re.split(r"[,\s]+", rights) if right] if equals else sorted(MEMBER_RIGHTS)
    unknown = sorted(set(given) - set(Right))
    if unknown:
        raise Trouble(f"--session {item!r}: {unknown[0]!r} is no right; there are {', '.join(Right)}", USAGE)
    return pattern, [str(right) for right in given]


def parse_ttl(text: str) -> float:
    """Return a duration such as `90s`, `30m`, `1h` or `7d` in seconds.

    Raises:
        Trouble: it is none.
    """
    match = _TTL.match(text)
    if match is None or not float(match[1]):
        raise Trouble(f"--ttl {text!r} is no duration: write 90s, 30m, 1h or 7d", USAGE)
    return float(match[1]) * _SECONDS[match[2]]


def key() -> None:
    """Make a secret for SYNCD_KEYS.

    Whoever has it can sign tokens for anybody. To rotate: SYNCD_KEYS="new:SECRET old:SECRET", the first signs.
    """
    typer.echo(secrets.token_urlsafe(32))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog="[bold]Examples[/]\n\n"
        "  syncd token --sub user:mona --session 'trip-*=transcript,state,presence,command' --ttl 1h\n\n"
        "  export SYNCD_TOKEN=$(syncd token --sub user:ops --admin)\n\n"
        "  SYNCD_TOKEN=$ADMIN syncd token --url https://sync.example.com --sub agent:planner --session 'trip-*'"
    )(token)
    app.command(epilog="[bold]Example[/]\n\n  syncd key > secret && SYNCD_KEYS_FILE=secret syncd serve")(key)
