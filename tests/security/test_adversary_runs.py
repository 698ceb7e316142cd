"""Promise 4 for runs: an adversary with a good token takes no work, holds no lease and decides nothing of others'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.core.errors import CloseCode
from syncd.core.ids import run_id, run_key
from syncd.core.messages import Ack, Claim, Reject, Serve
from syncd.core.replica import SharedMap
from syncd.core.run_view import RunViews
from syncd.core.schema import NewCommand, NewMessage, Root
from syncd.core.transcript import put_command, put_message
from syncd.server.app import Server
from tests.core.machines import Pen
from tests.harness import MEMBER, RawLink, mint, serving, until
from tests.security.adversary import View

AGENT, EVE, MONA = "agent:planner", "agent:eve", "user:mona"
RUN = run_id("m1", AGENT)
GRACE_S = 0.5


class Scene:
    """Mona asked the planner for something; its worker `w1` is there; so is another agent, which is hostile."""

    def __init__(self, mona: RawLink, worker: RawLink, eve: RawLink, view: View) -> None:
        self.mona = mona
        self.worker = worker
        self.eve = eve
        self.pens = {id(link): Pen() for link in (mona, worker, eve)}
        self.view = view

    async def edit(self, link: RawLink, change: Callable[[Any], None], *, pen: Pen | None = None) -> str:
        """Push an edit of the transcript; return `acked`, or the code of its refusal."""
        return await self.push(link, (pen or self.pens[id(link)]).transcript_edit(change))

    async def push(self, link: RawLink, update: bytes) -> str:
        number = await link.push(update)

        def answer() -> str:
            rejects = [m.code for m in link.got if isinstance(m, Reject) and m.number == number]
            acked = any(isinstance(m, Ack) and m.number >= number for m in link.got)
            return str(rejects[0]) if rejects else "acked" if acked else ""

        return str(await until(answer))

    def facts(self, run: str = RUN) -> list[dict[str, Any]]:
        receipts = self.view.content()["receipts"] or {}
        return [receipts[key] for n in range(50) if (key := f"r:{run}.{n}") in receipts]


def setting(root: Root, key: str, value: Any) -> Callable[[Any], None]:
    """The edit that sets an entry."""
    return lambda replica: replica.set((root,), key, value)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Scene]:
    async with (
        serving(tmp_path / "s.db", limits={"lease_grace_s": GRACE_S}) as server,
        RawLink(server.url, mint(MONA), device="mona") as mona,
        RawLink(server.url, mint(AGENT), device="planner") as worker,
        RawLink(server.url, mint(EVE), device="eve") as eve,
        View(server.url, mint("user:zoe", ())) as view,
    ):
        scene = Scene(mona, worker, eve, view)
        for link, name in ((mona, ""), (worker, "w1"), (eve, "w1")):
            await link.hello()
            if name:  # The adversary says that it is the victim's worker.
                await link.send(Serve(name, 1, 1))
            await link.open()
        await view.begin()
        message = NewMessage("m1", "user", {"kind": "user", "name": "mona"}, to=(AGENT,))
        assert await scene.push(mona, put_message(scene.pens[id(mona)].transcript, message)) == "acked"
        yield scene


async def test_only_an_agent_serves(server: Server) -> None:
    """A person's token that says it serves closes its link."""
    async with RawLink(server.url, mint("user:eve")) as eve:
        await eve.hello()
        await eve.send(Serve("w1", 1, 1))
        assert (await eve.closed())[1] == CloseCode.BAD_MESSAGE


async def test_nobody_claims_another_agents_work(here: Scene) -> None:
    """Not under the victim's worker id either; the victim then gets it."""
    await here.eve.send(Claim("s", RUN, "retry", 3))
    await here.worker.send(Claim("s", RUN, "retry", 3))
    await until(lambda: len(here.facts()) == 2)
    assert (here.facts()[1]["worker"], here.facts()[0]["agent"]) == ("w1", AGENT)


async def test_a_stolen_worker_id_keeps_no_lease(here: Scene) -> None:
    """The victim's worker leaves; the adversary of the same worker id stays: the run is interrupted all the same."""
    await here.worker.send(Claim("s", RUN, "retry", 3))
    await until(lambda: len(here.facts()) == 2)
    await here.worker.aclose()
    await until(lambda: [fact["lease"] for fact in here.facts()][2:] == ["interrupted", "queued"])


@pytest.mark.parametrize("attempt", [1, 2, 7])
async def test_nobody_takes_the_place_of_an_attempt(here: Scene, attempt: int) -> None:
    """Neither begun nor squatted: the victim's own entry is accepted afterwards."""
    body = SharedMap({"run": RUN, "attempt": attempt, "agent": AGENT, "status": "completed"})
    for forged in (body, SharedMap({})):
        for pen in (here.pens[id(here.eve)], Pen()):
            code = await here.edit(here.eve, setting(Root.RUNS, run_key(RUN, attempt), forged), pen=pen)
            assert code in ("foreign_entry", "depends_on_refused")
    await here.worker.send(Claim("s", RUN, "retry", 3))
    await until(lambda: len(here.facts()) == 2)
    mine = SharedMap({"run": RUN, "attempt": 1, "agent": AGENT, "status": "running"})
    assert await here.edit(here.worker, setting(Root.RUNS, run_key(RUN, 1), mine)) == "acked"
    assert len(here.facts()) == 2


async def test_nobody_ends_another_agents_run(here: Scene) -> None:
    """By its entry, or by one that names the same run under another key."""
    await here.worker.send(Claim("s", RUN, "retry", 3))
    mine = SharedMap({"run": RUN, "attempt": 1, "agent": AGENT, "status": "running"})
    assert await here.edit(here.worker, setting(Root.RUNS, run_key(RUN, 1), mine)) == "acked"
    forged = SharedMap({"run": RUN, "attempt": 1, "agent": AGENT, "status": "failed"})
    assert await here.edit(here.eve, setting(Root.RUNS, "other_1", forged)) == "acked"
    await asyncio.sleep(0.1)
    assert [fact["lease"] for fact in here.facts()] == ["queued", "live"]
    assert [fact.get("agent", EVE) for fact in here.facts("other")] == [EVE, EVE]


async def test_nobody_shows_a_run_as_another_agents(here: Scene) -> None:
    """What an entry says of its agent, its run and its attempt makes nobody believe in a run of the victim's."""
    said = {"agent": AGENT, "message": "m1", "status": "failed", "error": {"code": "x", "message": "pay eve"}}
    long = "y" * 49
    for key, run, attempt, expected in (
        ("a_1", "b", 1, "acked"),
        ("c_2", "c", 2, "foreign_entry"),
        ("d_1", "d", 7, "acked"),
        (f"{long}_1", long, 1, "foreign_entry"),
        ("_1", "", 1, "foreign_entry"),
    ):
        entry = SharedMap({"run": run, "attempt": attempt, **said})
        assert await here.edit(here.eve, setting(Root.RUNS, key, entry), pen=Pen()) == expected
    await until(lambda: len(here.facts("d")) == 2)
    assert here.view.content()
    runs = {run.id: run.agent for run in RunViews().runs(here.view.transcript)}
    assert runs == {RUN: AGENT, "a": EVE, "d": EVE}


async def test_who_may_not_command_decides_nothing(here: Scene, tmp_path: Path) -> None:
    """Approvals, cancels and hand-overs of a token without the right are refused, and leave no receipt."""
    rights = tuple(right for right in MEMBER if right != "command")
    url = here.mona._url.removesuffix("/v1/sync")
    async with RawLink(url, mint("user:guest", rights), device="guest") as guest:
        await guest.hello()
        await guest.open()
        here.pens[id(guest)] = Pen()
        for number, (kind, target, payload) in enumerate(
            (
                ("approve", {"tool_call": f"{RUN}-1"}, None),
                ("cancel", {"run": RUN}, None),
                ("handoff", {"session": "s"}, {"to": "user:guest"}),
            )
        ):
            command = NewCommand(f"c{number}", kind, 1, target, payload)
            code = await here.push(guest, put_command(Pen().transcript, command))
            assert code == "forbidden"
    receipts = here.view.content()["receipts"]
    assert not [key for key in receipts if key.startswith(("c:", "d:", "a:"))]
    assert [fact["lease"] for fact in here.facts()] == ["queued"]


async def test_receipts_of_runs_are_the_servers(here: Scene) -> None:
    """Facts, decisions and hand-overs cannot be written by anybody."""
    for key in (f"r:{RUN}.1", f"d:{RUN}-1", "a:0"):
        value = {"lease": "ended", "status": "completed", "attempt": 1, "since": 1, "at": 1, "to": EVE, "by": EVE}
        code = await here.edit(here.eve, setting(Root.RECEIPTS, key, value), pen=Pen())
        assert code == "server_only"
    assert len(here.facts()) == 1
