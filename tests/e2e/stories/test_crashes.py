"""Stories of agents across processes: crashes, take-overs, a network that is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from examples.fault_proxy import FaultProxy
from tests.e2e.stories.stage import AgentProcess, ProcessStage, answers, ended, numbers, reached, says, stage
from tests.harness import PATIENCE_S, until

AGENT = "agent:planner"


async def begun(*agents: AgentProcess) -> int:
    """Return which of the agents began a run, when one did."""
    found: int = await until(lambda: next((n + 1 for n, agent in enumerate(agents) if agent.notes("begin")), 0))
    return found - 1


async def test_a_killed_worker_is_told_to_all_and_another_takes_over(tmp_path: Path) -> None:
    """Within 20 s of `kill -9` every client saw `interrupted`; then another worker gives one clean answer."""
    async with stage(tmp_path) as here:
        worker = await here.agent()
        mona, tom = await here.person(), await here.person("tom")
        asked = await mona.post("lingers 30", to=[AGENT])
        await says(mona, "10 ")
        await worker.kill()
        for session in (mona, tom):
            told = await until(
                lambda session=session: [
                    fact
                    for fact in here.facts(session, asked.id, AGENT)  # type: ignore[misc]
                    if fact["lease"] == "interrupted"
                ],
                "an interruption",
                within_s=20,
            )
            assert len(told) == 1
        await here.agent()
        run = await ended(mona, asked.id)
        assert (run.status, run.attempt) == ("completed", 2)
        assert answers(mona, run) == [numbers(30)], "only what the second attempt said counts"
        await here.curtain()


async def test_a_worker_without_a_network_works_on_and_everything_arrives(tmp_path: Path) -> None:
    """People see that it is interrupted meanwhile; the model call goes on; it comes back, same attempt, every word."""
    async with stage(tmp_path, lease_grace_s=1.0) as here, FaultProxy(here.server.port) as proxy:
        await here.agent(url=proxy.url, on_interrupted="wait")
        mona = await here.person()
        asked = await mona.post("count 120 0.05", to=[AGENT])
        await says(mona, "10 ")
        proxy.refusing = True
        proxy.cut()
        await reached(mona, asked.id, "interrupted")
        before = answers(mona)[0]
        await asyncio.sleep(3)
        assert answers(mona)[0] == before
        proxy.refusing = False
        run = await ended(mona, asked.id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert answers(mona, run) == [numbers(120)]
        await here.curtain()


async def test_a_late_word_of_a_retired_attempt_changes_nothing(tmp_path: Path) -> None:
    """The first worker comes back after another took over and was done: it stops, and its words are superseded."""
    async with stage(tmp_path, lease_grace_s=1.0, heartbeat_s=1.0) as here:
        first = await here.agent()
        mona = await here.person()
        asked = await mona.post("lingers 60", to=[AGENT])
        await says(mona, "10 ")
        first.freeze()
        second = await here.agent()
        await begun(second)
        run = await ended(mona, asked.id)
        assert (run.status, run.attempt) == ("completed", 2)
        first.thaw()
        await asyncio.sleep(2)
        assert (await ended(mona, asked.id)).attempt == 2
        assert answers(mona, run) == [numbers(60)]
        dead = [view for view in mona.messages() if view.run == run.id and view.attempt == 1]
        assert dead, "what the dead attempt said is kept"
        assert all(mona.superseded(view) for view in dead)
        await here.curtain()


async def test_a_retry_that_says_nothing_replaces_what_was_said_by_nothing(tmp_path: Path) -> None:
    """A fresh reader sees the retry alone; what the dead attempt said is kept, as superseded."""
    async with stage(tmp_path, lease_grace_s=0.5) as here:
        first = await here.agent()
        mona = await here.person()
        asked = await mona.post("fades", to=[AGENT])
        await says(mona, "half")
        await first.kill()
        await here.agent()
        run = await ended(mona, asked.id)
        assert (run.status, run.attempt, answers(mona, run)) == ("completed", 2, [])
        assert [view.text for view in mona.messages() if mona.superseded(view)] == ["half "]
        fresh = await here.curtain()
        assert [item.message.text for item in fresh.view().items] == ["fades"]


async def test_a_cancel_while_the_worker_dies_has_one_end(tmp_path: Path) -> None:
    """It is cancelled, once, and nobody begins it again."""
    async with stage(tmp_path, lease_grace_s=0.5) as here:
        first = await here.agent()
        mona = await here.person()
        asked = await mona.post("sleeps", to=[AGENT])
        await says(mona, "working")
        first.freeze()
        assert await (await mona.cancel(message=asked.id)).outcome(timeout=PATIENCE_S) == "accepted"
        await first.kill()
        second = await here.agent()
        run = await ended(mona, asked.id)
        await asyncio.sleep(1)
        facts = here.facts(mona, asked.id, AGENT)
        assert [fact["lease"] for fact in facts].count("ended") == 1
        assert (run.status, run.cancelled_by) == ("cancelled", "user:mona")
        assert not second.notes("begin")
        await here.curtain()


async def test_policy_fail_and_attempts_max_end_what_keeps_dying(tmp_path: Path) -> None:
    """A run that kills its worker is not offered for ever."""
    async with stage(tmp_path, lease_grace_s=0.5) as here:
        mona = await here.person()
        for settings, code, lives in (
            ({"on_interrupted": "fail"}, "interrupted", 1),
            ({"attempts_max": 2}, "attempts_exhausted", 2),
        ):
            asked = await mona.post("sleeps", to=[AGENT])
            for _ in range(lives):
                agent = await here.agent(**settings)
                await begun(agent)
                await agent.kill()
            run = await ended(mona, asked.id)
            assert (run.status, (run.error or {}).get("code")) == ("failed", code)
        await here.curtain()


async def test_one_run_over_two_processes_leaves_what_one_would(tmp_path: Path) -> None:
    """Detached by the first, gone on with by another when somebody says so: one run, its words in order, one end."""
    async with stage(tmp_path) as here:
        first = await here.agent()
        mona = await here.person()
        asked = await mona.post("leaves", to=[AGENT])
        run = await reached(mona, asked.id, "suspended")
        await says(mona, "first")
        await first.stop()
        second = await here.agent()
        await asyncio.sleep(0.5)
        assert not second.notes("begin"), "what was detached is not begun by itself"
        assert await (await mona.steer("go on", run=run.id)).outcome(timeout=PATIENCE_S) == "accepted"
        run = await ended(mona, asked.id)
        assert "".join(answers(mona, run)) == "first second"
        assert run.status == "completed"
        await here.curtain()


async def test_several_workers_of_one_agent_share_the_load(tmp_path: Path) -> None:
    """Each run is begun once, and both are used; more than they hold at a time waits."""
    async with stage(tmp_path) as here:
        workers = [await here.agent(concurrency=2, busy="parallel") for _ in range(2)]
        # In one session are no more at work than one worker holds.
        trip, home = await here.person(), await here.person(session="home")
        here.people.remove(home)
        asked = [(session, await session.post("waits", to=[AGENT])) for session in (trip, home) for _ in range(4)]
        await until(lambda: [len(worker.notes("begin")) for worker in workers] == [2, 2], "both at work")
        half = ["queued"] * 2 + ["running"] * 2
        await until(lambda: [sorted(run.status for run in one.runs()) for one in (trip, home)] == [half, half])
        for session, message in asked:
            run = await reached(session, message.id, "running")
            await session.steer("go on", run=run.id)
            assert answers(session, await ended(session, message.id)) == ["waiting \n\ntold: go on"]
        assert sum(len(worker.notes("begin")) for worker in workers) == 8
        await here.curtain()


async def test_killed_again_and_again_the_answer_is_whole(tmp_path: Path) -> None:
    """Server and worker are killed in turn while an agent answers five questions: each has one clean answer."""
    async with stage(tmp_path, lease_grace_s=0.5) as here:
        mona = await here.person()
        agent = await here.agent(attempts_max=50)
        asked = [await mona.post(f"count {20 + n} 0.03", to=[AGENT]) for n in range(5)]

        async def chaos() -> None:
            nonlocal agent
            for turn in range(6):
                await asyncio.sleep(0.7)
                if turn % 2:
                    await here.server.kill()
                    await here.server.start()
                else:
                    await agent.kill()
                    agent = await _again(here)

        await chaos()
        runs = [await ended(mona, message.id, within_s=60) for message in asked]
        assert [answers(mona, run) for run in runs] == [[numbers(20 + n)] for n in range(5)]
        await here.curtain()


async def _again(here: ProcessStage) -> AgentProcess:
    return await here.agent(attempts_max=50)
