"""`syncd serve`: run a server until it is told to stop.

Knows the settings that can be given here; all others come from the environment (see `syncd.server.config`).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.trouble import USAGE, Trouble

if TYPE_CHECKING:
    from syncd.server.app import Server
    from syncd.server.config import Settings

DEMO = "demo"


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on: SYNCD_HOST, else 127.0.0.1.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 finds a free one: SYNCD_PORT, else 8484.", show_default=False)
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="File that holds all sessions: SYNCD_STORE, else syncd.db.", show_default=False)
    ] = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="No tokens: whoever reaches the port may do everything. This machine only.")
    ] = False,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo", help="With --dev: a session 'demo' with something to look at, and two agents to talk to."
        ),
    ] = False,
    open_: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            help="Open the console in a browser. Left out: with --demo, on a terminal of a desktop.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(metavar="console|json", help="How the log on standard error looks.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="debug|info|warning|error", help="The least that is logged.")
    ] = None,
) -> None:
    """Run a server.

    Every setting can be given as an environment variable SYNCD_... too. Tokens are signed with the secret in
    SYNCD_KEYS (or the file SYNCD_KEYS_FILE): `syncd key` makes one. Ctrl-C or SIGTERM stops it cleanly.
    """
    from syncd.server.config import load

    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "store": store,
        "dev": True if dev else None,
        "log_format": log_format,
        "log_level": log_level,
    }
    settings = load(**given)
    if demo and not settings.dev:
        raise Trouble("--demo goes with --dev: syncd serve --dev --demo", USAGE)
    opening = open_ if open_ is not None else demo and _on_a_desktop()
    raise typer.Exit(_run(settings, demo=demo, opening=opening))


def _run(settings: Settings, *, demo: bool, opening: bool) -> int:
    import asyncio
    import webbrowser
    from contextlib import AsyncExitStack

    import uvloop

    from syncd.server.app import create_server
    from syncd.server.logs import configure

    configure(settings.log_format, settings.log_level)
    server = create_server(settings, demo=DEMO if demo else None)

    async def run() -> int:
        async with AsyncExitStack() as stack:

            async def started() -> None:
                if demo:
                    from syncd.cli.demo import fill
                    from syncd.cli.demo_process import DemoProcess

                    await fill(server, DEMO)
                    await stack.enter_async_context(DemoProcess(server.url))
                _greet(server, settings, demo=demo)
                if opening and server.services.console.built:
                    # In a thread: some browsers are started through a program that takes its time.
                    await asyncio.to_thread(webbrowser.open, _console_url(server, demo=demo))

            return await server.run(started)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def _greet(server: Server, settings: Settings, *, demo: bool) -> None:
    """Print where it is and what to do next. The first line is for programs too."""
    from rich.console import Console
    from rich.panel import Panel

    from syncd.server.app import DEV_BANNER

    out = Console(highlight=False, soft_wrap=True)
    out.print(f"[bold green]syncd[/] is serving at [bold]{server.url}[/]")
    if server.services.console.built:
        out.print(f"  open     [bold]{_console_url(server, demo=demo)}[/]     [dim](in a browser)[/]")
    else:
        out.print(f"  open     {server.url} says how to build the console: it is not built", markup=False)
    out.print(f"  store    {settings.store.absolute()}", markup=False)
    session = DEMO if demo else "SESSION"
    url = "" if settings.port == 8484 else f" --url {server.url}"
    if settings.dev:
        out.print(f"  talk     syncd chat {session} --as mona{url}     [dim](in another terminal)[/]")
        if demo:
            out.print(f"  with     syncd chat {session} --as theo{url}     [dim](and in a third)[/]")
            out.print("  ask      @planner plan Lisbon     [dim](typed there; @critic is here too, and /help)[/]")
    else:
        out.print("  token    syncd token --sub user:mona --session 'trip-*'")
        out.print(f"  talk     SYNCD_TOKEN=… syncd chat {session}{url}")
    out.print(f"  watch    syncd tail {session}{url}")
    out.print("  stop     Ctrl-C")
    if settings.dev:
        out.print(Panel(DEV_BANNER, border_style="bold red", style="red", width=min(out.width, 100)), soft_wrap=False)
    out.file.flush()


def _console_url(server: Server, *, demo: bool) -> str:
    return f"{server.url}/s/{DEMO}" if demo else f"{server.url}/"


def _on_a_desktop() -> bool:
    """Whether somebody sits before this terminal who would see a browser open. Over SSH it would open elsewhere."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="[bold]Examples[/]\n\n  syncd serve --dev --demo\n\n"
        "  SYNCD_KEYS=$(syncd key) syncd serve --host 0.0.0.0 --store /var/lib/syncd/syncd.db --log-format json"
    )(serve)
