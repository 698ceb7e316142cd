"""Worker's sessions: open while a run needs them, and no longer; what waits makes room for what works."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from syncd_client import Run

from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.schema import Root
from tests.client.agents import PLANNER, ask, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import until


async def test_what_an_earlier_life_left_unsynced_is_brought_to_the_server(fake: FakeServer, tmp_path: Path) -> None:
    """A worker that was stopped offline ends its run on its disk; the next one on that store brings it, unasked."""

    async def handler(run: Run) -> None:
        await run.text("so far")
        await asyncio.sleep(60)

    async with person(tmp_path) as session:
        async with serving_agent(tmp_path, handler):
            run = await ask(fake, session)
            await until(lambda: session.messages()[-1].text == "so far")
            fake.down()
        assert fake.session("s").last[run]["lease"] == "live"
        fake.up = True
        async with serving_agent(tmp_path, handler):
            await until(lambda: status(session, run) == "failed")


async def test_a_session_that_no_run_needs_is_closed_after_a_while(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one with a live run, and none that holds what the server has not; with a detached run, at once."""
    monkeypatch.setattr("syncd_client.worker_sessions.IDLE_S", 0.05)
    monkeypatch.setattr("syncd_client.worker._TICK_S", 0.02)
    release = asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text("one moment")
        await release.wait()
        run.detach()

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "running")
        link = fake.link_of(PLANNER)
        await asyncio.sleep(0.2)
        assert "s" in link.open
        release.set()
        await until(lambda: "s" not in link.open)
        assert fake.session("s").last[run]["lease"] == "suspended"


async def test_a_link_holds_only_so_many_sessions(fake: FakeServer, tmp_path: Path) -> None:
    """Beyond sessions_per_link_max an idle one makes room; where all are at work, the run is left to others."""

    async def handler(run: Run) -> None:
        if run.message is not None and run.message.text == "stay":
            await asyncio.sleep(60)

    limits = replace(DEFAULT_LIMITS, sessions_per_link_max=1)
    async with serving_agent(tmp_path, handler, limits=limits), person(tmp_path) as session:
        done = await ask(fake, session)
        await until(lambda: status(session, done) == "completed")
        other = fake.session("other")
        fake.tell("other", "r1", "queued", agent=PLANNER, by="user:mona")
        fake.offer("other", "r1")
        await until(lambda: other.last["r1"]["lease"] == "ended")
        assert fake.link_of(PLANNER).open == {"other"}
        staying = await ask(fake, session, "stay")
        await until(lambda: status(session, staying) == "running")
        fake.tell("other", "r2", "queued", agent=PLANNER, by="user:mona")
        fake.offer("other", "r2")
        await asyncio.sleep(0.1)
        assert other.last["r2"]["lease"] == "queued"


async def test_sessions_that_only_wait_for_decisions_make_room(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their runs are given up, and go on when the server offers them again: decided, or at a deadline."""
    monkeypatch.setattr("syncd_client.worker._TICK_S", 0.02)
    resumed: list[tuple[str, bool]] = []

    async def handler(run: Run) -> None:
        if run.message is not None:
            decision = await run.tool("book", {"n": 1}).approval(timeout=3 if run.message.text == "soon" else "2d")
            assert run.resumed
            resumed.append((run.message.text, decision.timed_out))

    limits = replace(DEFAULT_LIMITS, sessions_per_link_max=1)
    async with serving_agent(tmp_path, handler, limits=limits), person(tmp_path) as session:
        other = fake.session("other")

        async def work_elsewhere(run: str) -> None:
            fake.tell("other", run, "queued", agent=PLANNER, by="user:mona")
            fake.offer("other", run)
            await until(lambda: other.last[run]["lease"] == "ended")
            assert fake.link_of(PLANNER).open == {"other"}

        later = await ask(fake, session, "later")
        await until(lambda: status(session, later) == "suspended")
        await work_elsewhere("r1")
        assert fake.session("s").replica.read(Root.RUNS, f"{later}_1", "status") == "detached"
        await session.approve(f"{later}-1_0")
        fake.tell("s", later, "queued", resume=True)
        fake.offer("s", later)
        await until(lambda: status(session, later) == "completed")

        soon = await ask(fake, session, "soon")
        await until(lambda: status(session, soon) == "suspended")
        await work_elsewhere("r2")
        replica = fake.session("s").replica
        assert replica.read(Root.RUNS, f"{soon}_1", "status") == "detached"
        deadline_at = next(p["deadline_at"] for p in session.messages()[-1].parts if p.get("type") == "tool")
        assert replica.read(Root.RUNS, f"{soon}_1", "wake_at") == deadline_at
        fake.tell("s", soon, "queued", resume=True)
        fake.offer("s", soon)
        await until(lambda: status(session, soon) == "completed")
        assert resumed == [("later", False), ("soon", True)]
