"""Stories of several: people and agents, hand-over, branches, sub-agents."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.e2e.stories.stage import answers, ended, numbers, reached, says, stage
from tests.harness import PATIENCE_S, until

AGENT = "agent:planner"


async def test_a_person_takes_over_and_the_agent_is_silent_until_it_is_named(tmp_path: Path) -> None:
    """The hand-over stands in the session with its note; the newcomer has the whole history at once."""
    async with stage(tmp_path) as here:
        agent = await here.agent()
        mona = await here.person()
        assert await (await mona.assign(AGENT)).outcome(timeout=PATIENCE_S) == "accepted"
        first = await mona.post("says hello")
        assert answers(mona, await ended(mona, first.id)) == ["hello"]
        assert await (await mona.assign("user:tom", note="she needs a human")).outcome(timeout=PATIENCE_S) == "accepted"
        tom = await here.person("tom")
        await until(lambda: tom.responsible == "user:tom")
        assert [view.text for view in tom.messages()] == ["says hello", "hello"]
        await mona.post("says is anybody there")
        reply = await tom.post("yes, I am")
        await reply.synced()
        await asyncio.sleep(1)
        assert len(agent.notes("begin")) == 1
        named = await tom.post("reads", to=[AGENT])
        told = json.loads("".join(answers(tom, await ended(tom, named.id))))
        assert any("tom" in json.dumps(item) and "yes, I am" in json.dumps(item) for item in told), "who wrote what"
        await here.curtain()


async def test_posting_without_naming_an_agent_wakes_none(tmp_path: Path) -> None:
    """And nobody is responsible who was not named."""
    async with stage(tmp_path) as here:
        agent = await here.agent()
        mona = await here.person()
        await (await mona.post("says nothing")).synced()
        named = await mona.post("says something", to=[AGENT])
        await ended(mona, named.id)
        assert len(agent.notes("begin")) == len(mona.runs()) == 1
        await here.curtain()


async def test_a_run_is_given_to_another_agent(tmp_path: Path) -> None:
    """The one stops, the other answers the same message."""
    async with stage(tmp_path) as here:
        await here.agent("planner")
        await here.agent("critic")
        mona = await here.person()
        asked = await mona.post("sleeps", to=[AGENT])
        run = await reached(mona, asked.id, "running")
        await says(mona, "working")
        assert await (await mona.handoff("agent:critic", run=run.id)).outcome(timeout=PATIENCE_S) == "accepted"
        await until(lambda: any(r.agent == "agent:critic" and r.status == "running" for r in mona.runs()))
        await until(lambda: mona.run(run.id).status == "cancelled")  # type: ignore[union-attr]
        await (await mona.cancel(message=asked.id)).outcome(timeout=PATIENCE_S)
        await until(lambda: all(r.ended for r in mona.runs()))
        await here.curtain()


async def test_sub_agents_write_for_themselves_and_a_cancel_reaches_them(tmp_path: Path) -> None:
    """Five at once, each its own message; the run tree shows the parent; cancelling that ends all."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("family 5 30", to=[AGENT])
        parent = await ended(mona, asked.id)
        children = [run for run in mona.runs() if run.parent_run == parent.id]
        assert [answers(mona, run) for run in children] == [[numbers(30)]] * 5
        assert {run.task for run in children} == {f"part {n}" for n in range(5)}
        assert answers(mona, parent) == ["all done"]

        again = await mona.post("family 5 2000 0.05", to=[AGENT])
        parent = await reached(mona, again.id, "running")
        await until(lambda: len([r for r in mona.runs() if r.parent_run == parent.id and r.status == "running"]) == 5)
        await (await mona.cancel(run=parent.id)).outcome(timeout=PATIENCE_S)
        await ended(mona, again.id)
        await until(lambda: all(run.status == "cancelled" for run in mona.runs() if run.parent_run == parent.id))
        await here.curtain()


async def test_editing_and_regenerating_fork_and_every_device_has_the_same_tree(tmp_path: Path) -> None:
    """2/2 on the edited message; another answer counts on the answer; a fresh device sees the same counters."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona, phone = await here.person(), await here.person()
        asked = await mona.post("says one", to=[AGENT])
        await ended(mona, asked.id)
        edited = await mona.edit(asked.id, "says two")
        await ended(mona, edited.id)
        view = mona.view()
        assert [(item.message.text, item.index, item.count) for item in view.items] == [
            ("says two", 2, 2),
            ("two", 1, 1),
        ]
        await ended(phone, edited.id)
        answer = next(v for v in phone.messages() if v.text == "two")
        request = await phone.regenerate(answer.id)
        await until(lambda: any(run.message == request.id and run.ended for run in phone.runs()))
        assert [(item.message.role, item.index, item.count) for item in phone.view().items] == [
            ("user", 2, 2),
            ("assistant", 2, 2),
        ]
        fresh = await here.curtain()
        shown = [(item.message.id, item.index, item.count) for item in fresh.view().items]
        assert shown == [(item.message.id, item.index, item.count) for item in phone.view().items]


async def test_ten_agents_stream_into_one_session(tmp_path: Path) -> None:
    """Three readers; no gap, and every agent's words in its order."""
    async with stage(tmp_path) as here:
        for number in range(10):
            await here.agent(f"a{number}")
        readers = [await here.person(name) for name in ("mona", "tom", "eve")]
        asked = [await readers[0].post("count 100 0.01", to=[f"agent:a{n}"]) for n in range(10)]
        for reader in readers:
            for message in asked:
                assert answers(reader, await ended(reader, message.id, within_s=60)) == [numbers(100)]
        await here.curtain()
