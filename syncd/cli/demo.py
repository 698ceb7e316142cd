"""Demo: what `syncd serve --demo` writes into a fresh session, so that there is something to look at.

Written through the ordinary client, as a person and an agent would. For servers in development mode.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from syncd_client import Client

from syncd.cli.demo_agents import DOCUMENT
from syncd.cli.trouble import Trouble

if TYPE_CHECKING:
    from syncd_client import Session

    from syncd.server.app import Server

_TIMEOUT_S = 20.0
_MONA = "user:mona"
_PLANNER = "agent:planner"
_TALK: tuple[tuple[str, str], ...] = (
    (_MONA, "@planner, we have two days in Lisbon, and my mother does not walk far. Can you plan something?"),
    (
        _PLANNER,
        "Gladly. A first draft, with a seat never more than ten minutes away:\n\n"
        "1. **Saturday**: tram 28 up to Graça, lunch at the viewpoint, the tile museum by taxi.\n"
        "2. **Sunday**: the riverside at Belém, pastries, then the ferry to Cacilhas and back at dusk.\n\n"
        "The plan is in the shared state under `plan`. Change it there and I will see it.",
    ),
    (_MONA, "Lovely. Put the museum first, it closes early on Saturdays."),
    (_PLANNER, "Done: museum at 10, then tram 28 and lunch. I moved it in `plan` too."),
)


async def fill(server: Server, session: str) -> None:
    """Write the demo into `session`, unless there is one already.

    Raises:
        Trouble: it took too long; the server goes on without it if called again.
    """
    if await server.services.sessions.info(session) is not None:
        return
    try:
        async with asyncio.timeout(_TIMEOUT_S), AsyncExitStack() as stack:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="syncd-demo-"))
            speakers: dict[str, Session] = {}
            for subject in (_MONA, _PLANNER):
                store = Path(directory) / f"{subject.replace(':', '-')}.db"
                client = await stack.enter_async_context(Client(server.url, token=f"dev:{subject}", store=store))
                speakers[subject] = await client.open(session)
            await _talk(speakers)
            await _share(speakers[_PLANNER])
    except TimeoutError:
        raise Trouble("the demo could not be written in time: start again without --demo") from None


async def _talk(speakers: dict[str, Session]) -> None:
    for subject, text in _TALK:
        here = speakers[subject]
        if subject == _PLANNER:
            async with here.stream() as stream:
                await stream.text(text)
            await here.synced()
        else:
            await (await here.post(text)).synced()  # Addressed, it would be answered again by the demo's agent.


async def _share(here: Session) -> None:
    plan = here.state.map("plan")
    plan["saturday"] = "10:00 tile museum, 12:30 tram 28 to Graça, lunch at the viewpoint"
    plan["sunday"] = "11:00 Belém and pastries, 17:30 ferry to Cacilhas and back"
    for item in ("buy a Viva Viagem card", "book the taxi for 9:30", "bring the folding chair"):
        here.state.list("todo").append(item)
    here.state.text(DOCUMENT).append("Trip to Lisbon\n\nMother prefers the shade.\n")
    here.state.map("session")["title"] = "Trip to Lisbon"
    await here.synced()
