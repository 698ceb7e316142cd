"""Run: what a handler can write, wait for and read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Decision, LeaseLost, LocalProtocolError, Run, ToolDenied
from syncd_client.copy import now_ms
from syncd_client.duration import seconds

from tests.client.agents import PLANNER, ask, ended, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until


async def test_parts_stand_in_the_order_they_were_written_in(fake: FakeServer, tmp_path: Path) -> None:
    """Texts that gather and parts that come whole do not overtake each other; a value of the same id is replaced."""

    async def handler(run: Run) -> None:
        await run.reasoning("hm")
        await run.text("Take ")
        await run.source(url="https://example.com/tram", title="Tram 28")
        await run.data("weather", {"c": 20}, id="w")
        await run.text("the tram.")
        await run.data("weather", {"c": 21}, id="w")
        await run.file(url="https://example.com/map.png", media_type="image/png")
        run.provider(openai={"id": "resp_1"})

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        parts = session.messages()[-1].parts
        assert [(part["id"], part["type"]) for part in parts] == [
            ("0", "reasoning"), ("1", "text"), ("2", "source-url"), ("w", "data-weather"), ("4", "text"), ("5", "file"),
        ]  # fmt: skip
        assert parts[3]["data"] == {"c": 21}
        assert [part.get("state") for part in parts] == ["done", "done", None, None, "done", None]
        assert run.provider == {"openai": {"id": "resp_1"}}


async def test_a_tools_input_streams_and_its_state_moves(fake: FakeServer, tmp_path: Path) -> None:
    """Beside text that goes on; errors are states too."""

    async def handler(run: Run) -> None:
        call = run.tool("book", call_id="call_1")
        call.input_delta('{"n"')
        await run.text("Booking.")
        call.input_delta(": 1}")
        call.input({"n": 1})
        await call.output({"ok": True})
        await run.tool("pay", {"eur": 5}).error("no money")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await ended(session, run)
        book, _, pay = session.messages()[-1].parts
        assert book == {
            "id": "0", "type": "tool", "name": "book", "tool_call": f"{run}-1_0", "call_id": "call_1",
            "state": "output-available", "raw_input": '{"n": 1}', "input": {"n": 1}, "output": {"ok": True},
        }  # fmt: skip
        assert (pay["state"], pay["error"], pay["tool_call"]) == ("output-error", "no money", f"{run}-1_1")


async def test_an_approval_suspends_until_the_first_decision(fake: FakeServer, tmp_path: Path) -> None:
    """Everybody sees that it waits; the second device is told `late`, and the run goes on once."""
    decisions: list[Decision] = []

    async def handler(run: Run) -> None:
        decisions.append(await run.tool("book", {"n": 1}).approval())

    async with serving_agent(tmp_path, handler), person(tmp_path) as session, person(tmp_path, "theo") as other:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        call = session.messages()[-1].parts[0]
        assert (call["state"], call["tool_call"]) == ("approval-requested", f"{run}-1_0")
        first = await session.approve(call["tool_call"], {"seat": "12A"})
        assert await first.outcome(timeout=PATIENCE_S) == "accepted"
        assert await (await other.deny(call["tool_call"])).outcome(timeout=PATIENCE_S) == "late"
        assert (await ended(session, run)).status == "completed"
        assert decisions == [Decision(True, "user:mona", {"seat": "12A"})]
        assert session.messages()[-1].parts[0]["state"] == "approval-responded"


async def test_a_denial_has_its_reason(fake: FakeServer, tmp_path: Path) -> None:
    """And the part says that it was denied."""
    decisions: list[Decision] = []

    async def handler(run: Run) -> None:
        decisions.append(await run.tool("book", {"n": 1}).approval(timeout="2d"))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        await session.deny(f"{run}-1_0", "too dear")
        await ended(session, run)
        assert (decisions[0].approved, decisions[0].reason, decisions[0].timed_out) == (False, "too dear", False)
        part = session.messages()[-1].parts[0]
        assert (part["state"], part["error"]) == ("output-denied", "too dear")
        assert part["deadline_at"] > 1_000


async def test_behind_the_deadline_the_agent_denies_itself(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a reminder in the part, be the clock set back meanwhile; whoever answers then is late."""
    at = now_ms()
    monkeypatch.setattr("syncd_client.tool.now_ms", lambda: at)
    decisions: list[Decision] = []

    async def handler(run: Run) -> None:
        decisions.append(await run.tool("book", {"n": 1}).approval(timeout=0.2, reminder=0.05))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await ended(session, run)
        assert (decisions[0].approved, decisions[0].by, decisions[0].timed_out) == (False, PLANNER, True)
        part = session.messages()[-1].parts[0]
        assert part["reminded_at"] == part["remind_at"] - 50 == part["deadline_at"] - 200 == at
        fake.outcomes.clear()
        assert await (await session.approve(f"{run}-1_0")).outcome(timeout=PATIENCE_S) == "late"


async def test_a_tool_may_run_on_a_persons_device(fake: FakeServer, tmp_path: Path) -> None:
    """Its result is a command; a refusal raises."""
    results: list[Any] = []

    async def handler(run: Run) -> None:
        results.append(await run.tool("where", {}).result())
        try:
            await run.tool("camera", {}).result(timeout="1h")
        except ToolDenied as denied:
            results.append(denied.decision.reason)

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        await session.tool_result(f"{run}-1_0", {"city": "Lisbon"})
        await until(lambda: len(session.messages()[-1].parts) == 2 and status(session, run) == "suspended")
        await session.deny(f"{run}-1_1", "private")
        await ended(session, run)
        assert results == [{"city": "Lisbon"}, "private"]
        first, second = session.messages()[-1].parts
        assert (first["state"], first["output"]) == ("output-available", {"city": "Lisbon"})
        assert second["state"] == "output-denied"


async def test_a_steer_is_read_once_and_marked(fake: FakeServer, tmp_path: Path) -> None:
    """It stands in the transcript at its place, and its sender knows that it was taken."""
    read: list[list[str]] = []

    async def handler(run: Run) -> None:
        await run.text("one ")
        steers = await run.wait_steering()
        read.append([f"{steer.by}: {steer.text}" for steer in steers])
        assert run.steering == []
        await run.text("two")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "running")
        command = await session.steer("not by bus", run=run)
        assert await command.consumed(timeout=PATIENCE_S)
        await ended(session, run)
        assert read == [["user:mona: not by bus"]]
        assert [part["type"] for part in session.messages()[-1].parts] == ["text", "steering-message", "text"]
        late = await session.steer("too late", run=run)
        assert not await late.consumed(timeout=PATIENCE_S)


async def test_a_steer_may_interrupt_the_model_call(fake: FakeServer, tmp_path: Path) -> None:
    """The stream ends early and is closed, the run goes on."""
    closed: list[bool] = []

    async def model() -> AsyncIterator[str]:
        try:
            yield "endless "
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def handler(run: Run) -> None:
        streamed = await run.stream(model())
        assert (streamed.interrupted, streamed.text) == (True, "endless ")
        [steer] = run.steering
        assert not run.interrupted
        await run.text(f"ok, {steer.text}")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "endless ")
        await session.steer("stop that", run=run, interrupt=True)
        assert (await ended(session, run)).status == "completed"
        assert session.messages()[-1].text == "endless \n\nok, stop that"
        assert closed == [True]


async def test_a_stream_of_strings_is_written(fake: FakeServer, tmp_path: Path) -> None:
    """As text, and what it raises is raised."""

    async def model(fails: bool) -> AsyncIterator[str]:
        yield "a"
        yield "b"
        if fails:
            raise ConnectionError("the model hung up")

    async def handler(run: Run) -> None:
        assert (await run.stream(model(False))).text == "ab"
        await run.stream(model(True))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert run.error == {"code": "ConnectionError", "message": "the model hung up"}
        assert session.messages()[-1].text == "ab\n\nab"


async def test_a_resumed_run_goes_on_where_it_was(fake: FakeServer, tmp_path: Path) -> None:
    """Suspended by a process that is gone, decided while nobody was there: the next one finds call and decision."""
    seen: list[Any] = []

    async def handler(run: Run) -> None:
        if not run.resumed:
            await run.text("May I?")
        call = run.tool("book", {"n": 1}, call_id=f"call_{run.attempt}")
        decision = await call.approval(timeout="1d", reminder="1h")
        seen.append((run.attempt, run.resumed, call.id, decision.approved, bool(call.before)))
        await call.output("booked")

    async with person(tmp_path) as session:
        async with serving_agent(tmp_path, handler):
            run = await ask(fake, session)
            await until(lambda: status(session, run) == "suspended")
            deadline = session.messages()[-1].parts[-1]["deadline_at"]
        await (await session.approve(f"{run}-1_0")).outcome(timeout=PATIENCE_S)
        fake.tell("s", run, "queued", resume=True)
        async with serving_agent(tmp_path, handler, store="other.db"):
            await until(lambda: fake.links and any(link.worker for link in fake.links))
            fake.offer("s", run)
            await ended(session, run)
        assert seen == [(2, True, f"{run}-1_0", True, True)]
        first, second = (view for view in session.messages() if view.run == run)
        assert (first.text, second.parent) == ("May I?", first.id)
        assert not session.superseded(first)
        assert (second.parts[0]["state"], second.parts[0]["output"]) == ("output-available", "booked")
        assert first.parts[-1]["deadline_at"] == deadline


async def test_a_run_begun_anew_has_calls_of_its_own(fake: FakeServer, tmp_path: Path) -> None:
    """What was decided on a call of a superseded attempt is not for the call in its place."""
    calls: list[str] = []
    left: list[int] = []

    async def handler(run: Run) -> None:
        calls.append(run.tool("book", {"n": 1}).id)
        try:
            await asyncio.sleep(60 if run.attempt == 1 else 0)
        finally:
            left.append(run.attempt)

    async with serving_agent(tmp_path, handler, busy="parallel"), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: calls)
        worker = fake.session("s").last[run]["worker"]
        fake.tell("s", run, "interrupted")
        fake.tell("s", run, "live", attempt=2, since=2, worker="another")
        fake.tell("s", run, "queued")
        await until(lambda: left)
        fake.offer("s", run)
        await ended(session, run)
        assert fake.session("s").last[run]["worker"] == worker
        assert calls == [f"{run}-1_0", f"{run}-3_0"]


async def test_a_suspended_run_that_was_offered_again_is_asked_back(fake: FakeServer, tmp_path: Path) -> None:
    """Its worker was away when it was decided: it claims the run again, and the same handler goes on."""
    done: list[int] = []

    async def handler(run: Run) -> None:
        await run.text("May I?")
        run.usage(input_tokens=4)
        await run.data("step", 1, id="s")
        await run.tool("book", {"n": 1}).approval()
        await run.data("step", 2, id="s")
        await run.text("Thanks.")
        done.append(run.attempt)

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        await session.approve(f"{run}-1_0")
        fake.tell("s", run, "queued", resume=True, worker="")
        view = await ended(session, run)
        assert (view.status, view.usage, done) == ("completed", {"input_tokens": 4}, [2])
        first, second = (view for view in session.messages() if view.run == run)
        assert [part["data"] for part in (*first.parts, *second.parts) if part["type"] == "data-step"] == [2]
        assert (first.text, second.text, second.attempt) == ("May I?", "Thanks.", 2)
        assert not session.superseded(first)


async def test_a_suspended_run_that_another_got_is_lost(fake: FakeServer, tmp_path: Path) -> None:
    """Its handler stops in the middle of its wait."""
    lost: list[bool] = []

    async def handler(run: Run) -> None:
        try:
            await run.tool("book", {"n": 1}).approval()
        except (asyncio.CancelledError, LeaseLost):
            lost.append(True)
            raise

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        fake.tell("s", run, "live", attempt=2, since=1, worker="another")
        await until(lambda: lost)


async def test_sub_runs_write_for_themselves(fake: FakeServer, tmp_path: Path) -> None:
    """Each has its own message and end, one that is cancelled ends alone, and another agent's is asked by a message."""

    async def handler(run: Run) -> None:
        async with await run.sub("hotels") as hotels:
            await hotels.text("Two hotels.")
        async with await run.sub("flights") as flights:
            await flights.text("Searching")
            await asyncio.sleep(60)
        other = await run.sub("weather", agent="agent:weather")
        await run.text(f"asked {other.id}")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "Searching")
        children = {view.task: view for view in session.runs() if view.parent_run == run}
        assert children["hotels"].status == "completed"
        await session.cancel(run=children["flights"].id)
        assert (await ended(session, run)).status == "completed"
        assert (await ended(session, children["flights"].id)).cancelled_by == "user:mona"
        asked = next(view for view in session.messages() if view.to == ("agent:weather",))
        assert (asked.text, asked.by, asked.run) == ("weather", PLANNER, run)
        assert session.messages()[-1].text.startswith("asked ")


async def test_the_history_is_what_counts(fake: FakeServer, tmp_path: Path) -> None:
    """Without superseded output and open calls, with steers where they were taken, and whose words they are."""
    turns: list[Any] = []

    async def handler(run: Run) -> None:
        await run.tool("book", {"n": 1}).output("booked")
        run.tool("never", {"n": 2})
        await run.text("Booked.")
        await run.wait_steering()
        await run.text("Changed.")
        turns.extend(run.history("parts"))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session, person(tmp_path, "theo") as theo:
        await (await theo.post("hello")).synced()
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "Booked.")
        await session.steer("by bus", run=run)
        await ended(session, run)
        said = [
            (turn["role"], turn["name"], [part.get("text") or part.get("output") for part in turn["parts"]])
            for turn in turns
        ]
        assert said == [
            ("user", "user:theo", ["hello"]),
            ("user", "user:mona", ["plan it"]),
            ("assistant", PLANNER, ["booked", "Booked."]),
            ("user", "user:mona", ["by bus"]),
            ("assistant", PLANNER, ["Changed."]),
        ]


async def test_a_value_that_is_too_large_is_refused_and_the_run_goes_on(fake: FakeServer, tmp_path: Path) -> None:
    """Before it is written anywhere: big content is not a part's."""

    async def handler(run: Run) -> None:
        call = run.tool("read", {})
        with pytest.raises(LocalProtocolError, match="at most"):
            await call.output("x" * (1 << 20))
        await call.output("short")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert run.status == "completed"
        assert session.messages()[-1].parts[0]["output"] == "short"


async def test_a_run_whose_words_cannot_be_stored_is_failed_all_the_same(fake: FakeServer, tmp_path: Path) -> None:
    """Its own document is of no use any more; that it is over is said through the session's."""

    async def handler(run: Run) -> None:
        await run.text("so far")
        await run.flush()
        run.output._failed = LocalProtocolError("the disk took nothing")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ended(session, await ask(fake, session))
        assert (run.status, run.error) == ("failed", {"code": "output_lost", "message": "the disk took nothing"})


@pytest.mark.parametrize(("written", "expected"), [("2d", 172_800), ("1h30m", 5_400), ("0.5s", 0.5), (7, 7)])
def test_durations_are_written_as_people_do(written: str | float, expected: float) -> None:
    """Seconds, or numbers with units."""
    assert seconds(written) == expected


@pytest.mark.parametrize("written", ["", "2 weeks", "d", "-1s", -1, "1h x", float("nan")])
def test_what_is_no_duration_is_refused(written: str | float) -> None:
    """Rather than taken for none."""
    with pytest.raises(LocalProtocolError):
        seconds(written)
