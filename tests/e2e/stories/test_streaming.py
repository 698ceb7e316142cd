"""Stories of streaming and joining."""

from __future__ import annotations

import asyncio
from pathlib import Path

from examples.fault_proxy import FaultProxy
from tests.e2e.stories.stage import SESSION, answers, ended, numbers, reached, says, stage
from tests.harness import meanwhile, until


async def test_an_answer_comes_word_by_word_and_settles_into_one_message(tmp_path: Path) -> None:
    """Text arrives bit by bit, as one message with one final state; a late joiner gets that one message."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        seen: list[list[str]] = []
        (heard := tmp_path / "heard").touch()

        async def watch() -> None:
            async with mona.changes() as changes:
                async for _ in changes:
                    seen.append(answers(mona))

        async with meanwhile(watch()):
            asked = await mona.post(f"paced 12 {heard}", to=["agent:planner"])
            for number in range(1, 13):
                await says(mona, numbers(number))  # The next one is said behind that.
                assert answers(mona) == [numbers(number)]
                heard.write_bytes(b"." * number)
            run = await ended(mona, asked.id)
        assert run.status == "completed"
        assert answers(mona, run) == [numbers(12)]
        assert all(numbers(12).startswith(text) for texts in seen for text in texts)
        assert max(map(len, seen)) == 1
        fresh = await here.curtain()
        [answer] = [view for view in fresh.messages() if view.run == run.id]
        assert not answer.streaming


async def test_a_device_opened_in_mid_answer_sees_it_and_each_word_once(tmp_path: Path) -> None:
    """The partial text at once, then the rest."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("count 60 0.03", to=["agent:planner"])
        await says(mona, "20 ")
        phone = await here.person()
        await says(phone, "20 ")
        run = await ended(phone, asked.id)
        assert answers(phone, run) == [numbers(60)]
        await here.curtain()


async def test_a_reader_that_drops_in_mid_answer_misses_nothing(tmp_path: Path) -> None:
    """Cut three times, it comes back by itself: no gap, no duplicate, and the agent does nothing for it."""
    async with stage(tmp_path) as here, FaultProxy(here.server.port) as proxy:
        await here.agent()
        mona = await here.person()
        phone = await here.person(url=proxy.url)
        asked = await mona.post("count 80 0.03", to=["agent:planner"])
        for word in ("10 ", "30 ", "50 "):
            await says(phone, word)
            proxy.cut()
        run = await ended(phone, asked.id)
        assert answers(phone, run) == [numbers(80)]
        await here.curtain()


async def test_runs_at_the_same_time_never_mix_their_words(tmp_path: Path) -> None:
    """Two agents answer two messages side by side; each text is its own."""
    async with stage(tmp_path) as here:
        await here.agent("planner")
        await here.agent("critic")
        mona = await here.person()
        first = await mona.post("count 50 0.02", to=["agent:planner"])
        second = await mona.post("count 50 0.02", to=["agent:critic"])
        one, two = await ended(mona, first.id), await ended(mona, second.id)
        assert answers(mona, one) == answers(mona, two) == [numbers(50)]
        await here.curtain()


async def test_the_server_is_killed_in_mid_answer_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Agent and readers go on by themselves when it is back; the same attempt, each word once."""
    async with stage(tmp_path) as here:
        await here.agent()
        mona = await here.person()
        asked = await mona.post("count 120 0.03", to=["agent:planner"])
        for word in ("20 ", "60 "):
            await says(mona, word)
            await here.server.kill()
            await asyncio.sleep(0.3)
            await here.server.start()
        run = await ended(mona, asked.id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert answers(mona, run) == [numbers(120)]
        await here.curtain()


async def test_work_waits_for_a_worker_through_restarts_of_the_server(tmp_path: Path) -> None:
    """Nobody is there; everybody sees that it is queued; a worker that comes later answers."""
    async with stage(tmp_path, idle_evict_s=0.2) as here:
        mona = await here.person()
        asked = await mona.post("says hello", to=["agent:planner"])
        await reached(mona, asked.id, "queued")
        await here.server.stop()
        await here.server.start()
        await until(lambda: mona.status.live)
        assert (await reached(mona, asked.id, "queued")).attempt == 0
        await here.agent()
        run = await ended(mona, asked.id)
        assert answers(mona, run) == ["hello"]
        fresh = await here.curtain()
        assert fresh.id == SESSION
