"""Main: the command `syncd` with all its subcommands, and the edge where errors become sentences.

Knows which commands there are, not what they do.
"""

import inspect
import sys
from typing import Annotated

import typer

from syncd import __version__
from syncd.cli.chat import register as register_chat
from syncd.cli.doctor import register as register_doctor
from syncd.cli.hooks import register as register_hooks
from syncd.cli.serve import register as register_serve
from syncd.cli.sessions import register as register_sessions
from syncd.cli.tail import register as register_tail
from syncd.cli.tokens import register as register_tokens
from syncd.cli.transfer import register as register_transfer
from syncd.cli.trouble import explain, say
from syncd.core.errors import SyncdError

app = typer.Typer(
    name="syncd",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Try it: [bold]syncd serve --dev --demo[/], then in another terminal [bold]syncd chat demo --as mona[/].",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"syncd {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Durable, local-first sessions shared by people, their devices and AI agents."""


for _register in (
    register_serve,
    register_chat,
    register_tail,
    register_sessions,
    register_transfer,
    register_tokens,
    register_hooks,
    register_doctor,
):
    _register(app)
for _command in app.registered_commands:
    # Typer keeps the line breaks in a docstring's later paragraphs, wherever they fall on the screen.
    _paragraphs = (inspect.getdoc(_command.callback) or "").split("\n\n")
    _command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in _paragraphs)


def main() -> None:
    """Run the command line; exit with 0, 1 if it failed, 2 if it was called wrongly, 130 after Ctrl-C."""
    try:
        app()
    except (SyncdError, OSError) as error:
        message, exit_code = explain(error)
        say(message)
        sys.exit(exit_code)
