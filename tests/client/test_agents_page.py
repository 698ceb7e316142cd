"""The page for authors of agents: its examples run as they stand."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Client

from syncd.core.ids import run_id
from syncd.server.app import create_server
from syncd.server.config import load
from tests.client.agents import ended
from tests.harness import PATIENCE_S, until

PAGE = (Path(__file__).parents[2] / "docs/agents.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("handler", ["plan", "write", "book", "resume", "listen", "polite", "delegate"])
async def test_the_examples_of_the_agents_page_run(
    handler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is served as a handler, gets work, and ends its run as the page says."""
    monkeypatch.chdir(tmp_path)
    server = create_server(load(dev=True, port=0, store=tmp_path / "server.db", log_level="error"))
    await server.start()
    names: dict[str, Any] = {"__name__": "page"}
    for code in SNIPPETS:
        exec(compile(code.replace("http://127.0.0.1:8484", server.url), "docs/agents.md", "exec"), names)
    names["agent"]._handler = names[handler]
    serving = asyncio.create_task(names["agent"].serve())
    try:
        async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
            session = await client.open("trip")
            message = await session.post("Where to?", to=["agent:planner"])
            run = run_id(message.id, "agent:planner")
            watching = asyncio.create_task(names["watch"](session))
            if handler in ("book", "resume"):
                await until(lambda: (view := session.run(run)) is not None and view.status == "suspended")
                await session.approve(f"{run}-1_0")
            elif handler == "polite":
                await until(lambda: (view := session.run(run)) is not None and view.status == "running")
                await asyncio.wait_for(names["stop"](session, run), PATIENCE_S)
            elif handler == "delegate":
                await until(lambda: any(view.to == ("agent:weather",) for view in session.messages()))
                asked = next(view for view in session.messages() if view.to == ("agent:weather",))
                await (await session.cancel(run=run_id(asked.id, "agent:weather"))).outcome(timeout=PATIENCE_S)
            view = await ended(session, run)
            assert view.status == ("cancelled" if handler == "polite" else "completed"), view.error
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.stop()
