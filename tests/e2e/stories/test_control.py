"""Stories of control: cancel, the ends of a run, steering, approvals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from syncd_client import NotSynced

from syncd.core.ids import run_id
from tests.e2e.stories.stage import AgentProcess, ProcessStage, answers, ended, numbers, reached, says, stage
from tests.harness import MEMBER, PATIENCE_S, mint, until

AGENT = "agent:planner"


# Cancel and the ends of a run


async def test_cancelling_one_run_leaves_the_other(tmp_path: Path) -> None:
    """Two at once; the one that another device cancels keeps its partial text, and everybody sees who did it."""
    async with stage(tmp_path) as here:
        agent = await here.agent(busy="parallel")
        mona, tom = await here.person(), await here.person("tom")
        stopped = await mona.post("sleeps", to=[AGENT])
        other = await mona.post("count 60 0.02", to=[AGENT])
        await says(tom, "working")
        run = await reached(tom, stopped.id, "running")
        command = await tom.cancel(run=run.id)
        assert await command.outcome(timeout=PATIENCE_S) == "accepted"
        run = await ended(mona, stopped.id)
        assert (run.status, run.cancelled_by) == ("cancelled", "user:tom")
        assert answers(mona, run) == ["working bye"], "a last word of the agent stands before the end"
        assert answers(mona, await ended(mona, other.id)) == [numbers(60)]
        assert len(agent.notes("begin")) == 2
        await here.curtain()


async def test_a_cancel_that_names_the_message_comes_before_there_is_a_run(tmp_path: Path) -> None:
    """Nobody ever works on it; and a repeated or late cancel changes nothing and says so."""
    async with stage(tmp_path) as here:
        mona = await here.person()
        asked = await mona.post("says never", to=[AGENT])
        assert await (await mona.cancel(message=asked.id)).outcome(timeout=PATIENCE_S) == "accepted"
        assert await (await mona.cancel(message=asked.id)).outcome(timeout=PATIENCE_S) == "late"
        agent = await here.agent()
        after = await mona.post("says something", to=[AGENT])
        await ended(mona, after.id)
        assert (await ended(mona, asked.id)).status == "cancelled"
        assert len(agent.notes("begin")) == 1

        running = await mona.post("sleeps", to=[AGENT])
        run = await reached(mona, running.id, "running")
        agent.freeze()  # Told of the first it would end the run, and the second were too late.
        first, second = await mona.cancel(run=run.id), await mona.cancel(run=run.id)
        assert [await c.outcome(timeout=PATIENCE_S) for c in (first, second)] == ["accepted", "duplicate"]
        agent.thaw()
        await ended(mona, running.id)
        assert await (await mona.cancel(run=run.id)).outcome(timeout=PATIENCE_S) == "late"
        await here.curtain()


async def test_a_cancel_that_the_token_does_not_allow_changes_nothing(tmp_path: Path) -> None:
    """The run goes on, and who asked is told."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("count 100 0.02", to=[AGENT])
        run = await reached(mona, asked.id, "running")
        rights = tuple(right for right in MEMBER if right != "command")
        guest = await here.person("guest", token=mint("user:guest", rights))
        await until(lambda: guest.status.live)
        with pytest.raises(NotSynced, match="forbidden"):
            await (await guest.cancel(run=run.id)).outcome(timeout=PATIENCE_S)
        assert (await ended(mona, asked.id)).status == "completed"
        assert answers(mona) == [numbers(100)]
        here.people.remove(guest)  # Its refused command stays with it.
        await here.curtain()


async def test_what_the_model_throws_is_the_runs_failure(tmp_path: Path) -> None:
    """With code and message, on every client; what was said stays."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("breaks so far", to=[AGENT])
        run = await ended(mona, asked.id)
        assert run.status == "failed"
        assert run.error is not None
        assert "out of words" in str(run.error["message"])
        assert run.error["code"]
        assert answers(mona, run) == ["so far"]
        await here.curtain()


async def test_a_run_left_open_by_a_worker_that_stops_is_ended_as_abandoned(tmp_path: Path) -> None:
    """Never left running; `detach` is the way to leave it open, and another process goes on with it."""
    async with stage(tmp_path) as here:
        agent = await here.agent(busy="parallel")
        mona = await here.person()
        left = await mona.post("leaves", to=[AGENT])
        asked = await mona.post("sleeps", to=[AGENT])
        await reached(mona, left.id, "suspended")
        await says(mona, "working")
        await agent.stop()
        run = await ended(mona, asked.id)
        assert (run.status, (run.error or {}).get("code")) == ("failed", "abandoned")
        assert (await reached(mona, left.id, "suspended")).attempt == 1
        await here.curtain()


async def test_a_worker_that_is_told_to_stop_finishes_what_it_began(tmp_path: Path) -> None:
    """SIGTERM: it takes nothing more, says its last word, and ends by itself; the next worker takes what waits."""
    async with stage(tmp_path) as here:
        first = await here.agent(drain_s=20.0)
        mona = await here.person()
        begun = await mona.post("waits", to=[AGENT])
        waits = await mona.post("says later", to=[AGENT])
        await says(mona, "waiting")
        await reached(mona, waits.id, "queued")
        first.terminate()
        await mona.steer("go on", run=(await reached(mona, begun.id, "running")).id)
        await first.ended()
        assert first.notes("stopped")
        run = await ended(mona, begun.id)
        assert (run.status, answers(mona, run)) == ("completed", ["waiting \n\ntold: go on"])
        assert (await reached(mona, waits.id, "queued")).attempt == 0
        await here.agent()
        assert answers(mona, await ended(mona, waits.id)) == ["later"]
        await here.curtain()


# Steer


async def test_a_steer_changes_what_the_run_says(tmp_path: Path) -> None:
    """Several before the next look are one; the sender learns that it was taken, and it stands in the transcript."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("listens", to=[AGENT])
        await says(mona, "…")
        run = await reached(mona, asked.id, "running")
        command = await mona.steer("shorter", run=run.id)
        assert await command.outcome(timeout=PATIENCE_S) == "accepted"
        assert await command.consumed(timeout=PATIENCE_S)
        run = await ended(mona, asked.id)
        assert "told: shorter" in "".join(answers(mona, run))
        [answer] = [view for view in mona.messages() if view.run == run.id]
        assert [part["type"] for part in answer.parts] == ["text", "steering-message", "text"]
        late = await mona.steer("too late", run=run.id)
        assert await late.outcome(timeout=PATIENCE_S) == "late"
        assert not await late.consumed(timeout=PATIENCE_S)
        await here.curtain()


async def test_a_steer_that_the_run_never_read_is_reported_so(tmp_path: Path) -> None:
    """Its text is not lost: it can be sent as a message."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("count 50 0.02", to=[AGENT])
        run = await reached(mona, asked.id, "running")
        command = await mona.steer("says this instead", run=run.id)
        assert not await command.consumed(timeout=30)
        again = await mona.post("says this instead", to=[AGENT])
        assert answers(mona, await ended(mona, again.id)) == ["this instead"]
        await here.curtain()


async def test_a_message_to_a_busy_agent_waits_its_turn_or_steers_by_policy(tmp_path: Path) -> None:
    """Queued by default; with `steer` it goes into the run at work. Nothing is lost, and everybody sees the queue."""
    async with stage(tmp_path) as here:
        await here.agent("planner")
        await here.agent("critic", busy="steer")
        mona = await here.person()
        first = await mona.post("waits", to=["agent:planner"])
        second = await mona.post("says after", to=["agent:planner"])
        await says(mona, "waiting")
        assert (await reached(mona, second.id, "queued")).attempt == 0
        await mona.steer("go on", run=(await reached(mona, first.id, "running")).id)
        one, two = await ended(mona, first.id), await ended(mona, second.id)
        assert answers(mona, two) == ["after"]
        assert one.ended_at is not None
        assert two.started_at is not None
        assert two.started_at >= one.ended_at

        listening = await mona.post("listens", to=["agent:critic"])
        await reached(mona, listening.id, "running")
        await mona.post("by the way", to=["agent:critic"])
        run = await ended(mona, listening.id)
        assert "told: by the way" in "".join(answers(mona, run))
        await here.curtain()


# Approvals


async def approval(here: ProcessStage, prompt: str = "books LX8", **settings: str) -> tuple[AgentProcess, str, str]:
    """A run that waits for an approval: the agent, the message and the tool call."""
    agent = await here.agent(**settings)
    mona = here.people[0]
    asked = await mona.post(prompt, to=[AGENT])
    await reached(mona, asked.id, "suspended")

    def call() -> str:
        parts = [part for view in mona.messages() for part in view.parts if part.get("type") == "tool"]
        return str(parts[-1]["tool_call"]) if parts and parts[-1]["state"] != "input-streaming" else ""

    return agent, asked.id, str(await until(call))


async def test_an_approval_is_answered_by_another_device_long_after_everybody_restarted(tmp_path: Path) -> None:
    """The worker is gone and the server was restarted; the decision wakes another; same run, no second prompt."""
    async with stage(tmp_path, lease_grace_s=1.0, idle_evict_s=0.3) as here:
        mona = await here.person()
        agent, asked, call = await approval(here)
        await agent.kill()
        await here.server.stop()
        await asyncio.sleep(1.5)
        await here.server.start()
        await until(lambda: mona.status.live)
        await asyncio.sleep(1.5)
        assert (await reached(mona, asked, "suspended")).attempt == 1
        phone = await here.person()
        await until(lambda: phone.status.live)
        assert await (await phone.approve(call)).outcome(timeout=PATIENCE_S) == "accepted"
        other = await here.agent()
        run = await ended(mona, asked)
        assert (run.id, run.status) == (run_id(asked, AGENT), "completed")
        assert answers(mona, run)[-1] == "booked by user:mona"
        prompts = [p for v in mona.messages() for p in v.parts if p.get("state") == "approval-requested"]
        assert len(prompts) <= 1, "nobody is asked twice"
        assert len(other.notes("inference")) == 1
        await here.curtain()


async def test_two_tabs_decide_at_the_same_moment_and_one_wins(tmp_path: Path) -> None:
    """One decision by receipt, one inference, the other tab is told `late`, ten times in ten."""
    async with stage(tmp_path) as here:
        one, two = await here.person(), await here.person()
        agent = await here.agent()
        for number in range(10):
            asked = await one.post(f"books LX{number}", to=[AGENT])
            await reached(two, asked.id, "suspended")
            run = await reached(one, asked.id, "suspended")

            def call(run: str = run.id) -> str:
                views = [view for view in two.messages() if view.run == run]
                parts = [part for view in views for part in view.parts if part.get("state") == "approval-requested"]
                return str(parts[0]["tool_call"]) if parts else ""

            wanted = str(await until(call))
            yes, no = await asyncio.gather(one.approve(wanted), two.deny(wanted, "no"))
            outcomes = [await yes.outcome(timeout=PATIENCE_S), await no.outcome(timeout=PATIENCE_S)]
            assert sorted(outcomes) == ["accepted", "late"]
            await ended(one, asked.id)
            expected = "booked by user:mona" if outcomes[0] == "accepted" else "not booked: no"
            assert answers(one, run.id)[-1] == expected
            assert len(agent.notes("inference")) == number + 1
        await here.curtain()


async def test_denied_the_run_goes_another_way_and_the_conversation_goes_on(tmp_path: Path) -> None:
    """And what is asked meanwhile is not told of a call without a result."""
    async with stage(tmp_path) as here:
        mona = await here.person()
        agent, asked, call = await approval(here, busy="parallel")
        history = await mona.post("reads", to=[AGENT])
        told = "".join(answers(mona, await ended(mona, history.id)))
        assert "LX8" in told
        assert '"tool_calls"' not in told or '"role": "tool"' in told
        assert await (await mona.deny(call, "too dear")).outcome(timeout=PATIENCE_S) == "accepted"
        run = await ended(mona, asked)
        assert (run.status, answers(mona, run)[-1]) == ("completed", "not booked: too dear")
        after = await mona.post("says fine", to=[AGENT])
        assert answers(mona, await ended(mona, after.id)) == ["fine"]
        assert len(agent.notes("begin")) == 3
        await here.curtain()


async def test_a_device_runs_the_tool_and_the_run_goes_on(tmp_path: Path) -> None:
    """The tab that only watches sees the end, too."""
    async with stage(tmp_path) as here:
        mona, watching = await here.person(), await here.person("tom")
        _, asked, call = await approval(here, "asks")
        assert await (await mona.tool_result(call, {"place": "Bern"})).outcome(timeout=PATIENCE_S) == "accepted"
        run = await ended(watching, asked)
        assert answers(watching, run)[-1] == "you are in Bern"
        await here.curtain()


async def test_a_command_that_stayed_offline_has_expired_when_it_arrives(tmp_path: Path) -> None:
    """A stop that names its run harms no newer one, and says what became of it."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("sleeps", to=[AGENT])
        run = await reached(mona, asked.id, "running")
        await here.server.kill()
        await until(lambda: not mona.status.live)
        command = await mona.cancel(run=run.id, expires_in_s=0.2)
        await asyncio.sleep(0.5)
        await here.server.start()
        assert await command.outcome(timeout=30) == "expired"
        await says(mona, "working")
        assert (await reached(mona, asked.id, "running")).cancelled_by is None
        await (await mona.cancel(run=run.id)).outcome(timeout=PATIENCE_S)
        await ended(mona, asked.id)
        await here.curtain()
