"""Options that several commands share: which server, which token, which local store.

Holds how they are found; opens nothing.
"""

import getpass
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

import typer

from syncd.cli.trouble import USAGE, Trouble

DEFAULT_URL = "http://127.0.0.1:8484"

Url = Annotated[str, typer.Option("--url", envvar="SYNCD_URL", help="The server's address.")]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="SYNCD_TOKEN",
        show_default=False,
        help="Who you are and what you may do. Others on this machine can read it here: rather set SYNCD_TOKEN.",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file", envvar="SYNCD_TOKEN_FILE", help="A file that holds the token; read again when it is needed."
    ),
]
As = Annotated[
    str,
    typer.Option("--as", metavar="NAME", show_default=False, help="Who to be on a server in development mode."),
]
LocalStorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="The file of the local copies. Left out, it is one per server and person in your data directory.",
    ),
]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]


@dataclass(frozen=True, slots=True)
class Access:
    """Which server, and as whom. `dev` is the name for a server in development mode, empty with a token."""

    url: str
    token: str
    token_file: Path | None
    dev: str = ""

    def read(self) -> str:
        """Return the token, empty if there is none.

        Raises:
            Trouble: the file does not read.
        """
        if self.dev:
            return f"dev:{self.dev}"
        if self.token_file is None:
            return self.token
        try:
            return self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Trouble(f"--token-file {self.token_file} does not read ({error}): write a token into it") from None

    def source(self) -> str | Callable[[], str]:
        """Return what a client takes: a file is read again whenever the link is made."""
        return self.read if self.token_file is not None else self.read()


def access(url: str, token: str, token_file: Path | None, name: str | None = None) -> Access:
    """Return who to be where. `name` None: no name can be given; empty: none was, so the login name stands in.

    Raises:
        Trouble: they contradict each other.
    """
    if not url.startswith(("http://", "https://")):
        raise Trouble(f"--url {url!r} is no address: it starts with http:// or https://", USAGE)
    if token and token_file is not None:
        raise Trouble("there are two tokens: give SYNCD_TOKEN or --token-file, not both", USAGE)
    if (token or token_file) and name:
        raise Trouble("a token says already who you are: leave out --as, or unset SYNCD_TOKEN", USAGE)
    dev = "" if token or token_file or name is None else name or _login()
    return Access(url.rstrip("/"), token.strip(), token_file, dev)


def local_store(given: Path | None, url: str, subject: str) -> Path:
    """Return the file of the local copies, its directory made.

    One per server and person: sessions of two servers may have the same id.

    Raises:
        Trouble: the directory cannot be made.
    """
    path = given or data_directory() / _file_name(urlsplit(url).netloc) / f"{_file_name(subject or 'me')}.db"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Trouble(f"{path.parent} cannot be made ({error.strerror}): name another file by --store") from None
    return path


def data_directory() -> Path:
    """Return where this person's local copies are kept."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "syncd"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "syncd"


def _login() -> str:
    try:
        name = re.sub(r"[^A-Za-z0-9_.-]", "", getpass.getuser())
    except (OSError, KeyError):
        name = ""  # An account without an entry, as in some containers.
    return name or "me"


def _file_name(text: str) -> str:
    return quote(text.replace(":", "-", 1), safe="")
