"""The agent in bash, and what its page says, as programs against a real server."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from syncd_client import Client, Session

from syncd.core.ids import run_id
from syncd.core.messages import Ack
from syncd.core.schema import NewCommand
from syncd.core.transcript import MessageView, put_command
from syncd.server.app import Server
from tests.core.machines import Pen
from tests.harness import ROOT, RawLink, mint, serving, until

AGENT = "agent:echo"

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="bash, curl or python3 is not installed"
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "s.db") as running:
        yield running


async def agent(server: Server, listen_s: float) -> asyncio.subprocess.Process:
    """Start the agent."""
    env = {**os.environ, "SYNCD_URL": server.url, "SYNCD_TOKEN": mint(AGENT), "LISTEN_S": str(listen_s)}
    return await asyncio.create_subprocess_exec(
        "bash", str(ROOT / "examples/agent.sh"), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def command(server: Server, kind: str, run: str, payload: object = None) -> None:
    """Have somebody give a command."""
    async with RawLink(server.url, mint("user:mona")) as link:
        await link.hello()
        await link.open()
        await link.push(put_command(Pen().transcript, NewCommand(f"{kind}-1", kind, 1, {"run": run}, payload)))
        await link.expect(Ack)


async def answer(session: Session, run: str, text: str) -> MessageView:
    """Wait until a run's message begins with a text; return it."""

    def find() -> MessageView | None:
        return next((m for m in session.messages() if m.run == run and m.text.startswith(text)), None)

    found: MessageView = await until(find, repr(text))
    return found


async def test_it_answers(server: Server, tmp_path: Path) -> None:
    """In parts, and takes what somebody says meanwhile."""
    async with Client(server.url, token=mint("user:mona"), store=tmp_path / "mona.db") as client:
        session = await client.open("s")
        message = await session.post('Is it "so"?', to=[AGENT])
        run = run_id(message.id, AGENT)
        process = await agent(server, 1.0)
        await answer(session, run, "You wrote: ")
        await command(server, "steer", run, {"text": "be brief"})
        printed, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")
        assert printed.decode() == f"{run}: completed\n"
        whole = await until(lambda: next((m for m in session.messages() if m.run == run and not m.streaming), None))
        said = "(you said: be brief) "
        assert said in whole.text
        assert whole.text.replace(said, "") == 'You wrote: Is it "so"?. That is all.'
        assert (whole.by, whole.parent) == (AGENT, message.id)


async def test_it_stops_when_it_is_cancelled(server: Server, tmp_path: Path) -> None:
    """While it listens, with what it wrote so far."""
    async with Client(server.url, token=mint("user:mona"), store=tmp_path / "mona.db") as client:
        session = await client.open("s")
        run = run_id((await session.post("go", to=[AGENT])).id, AGENT)
        process = await agent(server, 20.0)
        await answer(session, run, "You wrote: ")
        await command(server, "cancel", run)
        printed, _ = await process.communicate()
        assert (process.returncode, printed.decode()) == (0, f"{run}: cancelled\n")


async def test_the_page_runs(tmp_path: Path) -> None:
    """All that docs/http-agents.md has for a shell, one after the other."""
    page = (ROOT / "docs/http-agents.md").read_text(encoding="utf-8")
    async with serving(tmp_path / "s.db", dev=True) as server:
        script = "set -eu\n" + "\n".join(re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))
        script = script.replace("http://127.0.0.1:8484", server.url).replace("curl -s", "curl -fsS")
        script = script.replace("after=0&wait_s=30", "after=0&wait_s=0")
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        printed, complaints = await process.communicate()
        assert (process.returncode, complaints) == (0, b"")
        async with Client(server.url, token="dev:mona", store=tmp_path / "mona.db") as client:
            session = await client.open("trip")
            await until(lambda: len(session.messages()) == 2, "both messages")
            assert [message.text for message in session.messages()] == ["Where do we go?", "By tram to the sea."]
    assert b"event: ended" in printed
    assert b'"status":"completed"' in printed
