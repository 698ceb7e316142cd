"""Agent and its worker: work is claimed, worked on by whoever has the receipt, and never left open."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Agent, LeaseLost, LocalProtocolError, Run, RunFailed, ToolDenied

from syncd.core.ids import run_id
from syncd.core.messages import Claim, Open, Serve
from syncd.core.schema import Root
from tests.client.agents import NOWHERE, PLANNER, ask, failure, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until


async def test_a_message_to_an_agent_becomes_a_run_and_its_answer(fake: FakeServer, tmp_path: Path) -> None:
    """The handler writes, everybody reads, and the run is completed when the handler returns."""
    seen: list[str] = []

    async def handler(run: Run) -> None:
        seen.append(run.message.text if run.message else "")
        for token in ("Take ", "the tram."):
            await run.text(token)
        run.usage(input_tokens=3, output_tokens=2)

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "completed")
        view = session.run(run)
        assert view is not None
        assert (view.attempt, view.finish_reason, view.by) == (1, "stop", "user:mona")
        assert view.usage == {"input_tokens": 3, "output_tokens": 2}
        answer = session.messages()[-1]
        assert (answer.text, answer.by, answer.run, answer.attempt) == ("Take the tram.", PLANNER, run, 1)
        assert answer.parent == session.messages()[0].id
        assert not answer.streaming
        assert seen == ["plan it"]


async def test_serve_comes_before_the_opens_of_every_link(fake: FakeServer, tmp_path: Path) -> None:
    """A server that knows who serves finds the leases again when the session opens."""
    release = asyncio.Event()

    async def handler(run: Run) -> None:
        await release.wait()
        await run.text("done")

    async with serving_agent(tmp_path, handler, concurrency=3, busy="parallel"), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "running")
        first = fake.link_of(PLANNER)
        first.cut()
        await until(lambda: any(link.subject == PLANNER and link.frames(Open) for link in fake.links))
        second = fake.link_of(PLANNER)
        [serve] = second.frames(Serve)
        assert second.sent.index(serve) < second.sent.index(second.frames(Open)[0])
        assert (serve.slots, serve.per_session) == (3, 3)
        assert serve.worker == first.frames(Serve)[0].worker
        release.set()
        await until(lambda: status(session, run) == "completed")


async def test_losing_the_network_aborts_nothing(fake: FakeServer, tmp_path: Path) -> None:
    """What a handler writes while there is no link arrives when there is one again, once."""
    offline, release = asyncio.Event(), asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text("before, ")
        await offline.wait()
        await run.text("meanwhile, ")
        await release.wait()
        await run.text("after")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "before, ")
        fake.down()
        offline.set()
        fake.tell("s", run, "interrupted")
        await asyncio.sleep(0.1)
        fake.up = True
        release.set()
        await until(lambda: session.status.live, within_s=PATIENCE_S)
        await until(lambda: session.messages()[-1].text == "before, meanwhile, after")
        await until(lambda: status(session, run) == "completed")
        assert len([view for view in session.messages() if view.run == run]) == 1


async def test_a_run_that_another_worker_got_is_not_begun(fake: FakeServer, tmp_path: Path) -> None:
    """Only the receipt says whose it is; who was not first lets go."""
    fake.grants = False
    begun: list[str] = []

    async def handler(run: Run) -> None:
        begun.append(run.id)

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        lost = await ask(fake, session)
        await until(lambda: fake.claims)
        fake.grant("s", lost, "another-worker")
        fake.claims.clear()
        fake.tell("s", lost, "ended", status="completed")
        won = await ask(fake, session, "again")
        await until(lambda: fake.claims)
        fake.grant("s", won, fake.link_of(PLANNER).worker)
        await until(lambda: status(session, won) == "completed")
        assert begun == [won]
        entries = fake.session("s").replica.read(Root.RUNS)
        assert f"{lost}_1" not in entries, entries


async def test_taken_over_the_handler_stops_and_writes_no_more(fake: FakeServer, tmp_path: Path) -> None:
    """Its task is cancelled, and its next call raises LeaseLost; what it wrote is superseded."""
    errors: list[BaseException] = []
    done = asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text("old")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            try:
                await run.text("late word")
            except LeaseLost as lost:
                errors.append(lost)
            done.set()
            raise

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "old")
        fake.tell("s", run, "interrupted")
        fake.tell("s", run, "queued")
        fake.tell("s", run, "live", attempt=2, since=2, worker="another-worker")
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        assert "another worker" in str(errors[0])
        [old] = [view for view in session.messages() if view.run == run]
        assert old.text == "old"
        assert session.superseded(old)
        assert status(session, run) == "running"
        assert fake.session("s").replica.read(Root.RUNS, f"{run}_1", "status") == "running"


async def test_a_cancel_stops_the_handler_which_may_say_a_last_word(fake: FakeServer, tmp_path: Path) -> None:
    """The partial text stays, the note stands before the end, and everybody sees who cancelled."""

    async def handler(run: Run) -> None:
        await run.text("half ")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await run.text(f"- stopped by {run.cancelled_by}")
            raise

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "half ")
        command = await session.cancel(run=run)
        assert await command.outcome(timeout=PATIENCE_S) == "accepted"
        await until(lambda: status(session, run) == "cancelled")
        assert session.messages()[-1].text == "half - stopped by user:mona"
        view = session.run(run)
        assert view is not None
        assert view.cancelled_by == "user:mona"
        assert await (await session.cancel(run=run)).outcome(timeout=PATIENCE_S) == "late"


async def test_an_agent_may_be_told_only(fake: FakeServer, tmp_path: Path) -> None:
    """With `on_cancel="tell"` nothing is cancelled but the run."""

    async def handler(run: Run) -> None:
        await run.text("half ")
        assert await run.wait_cancelled() == "user:mona"
        await run.text("- as you wish")

    async with serving_agent(tmp_path, handler, on_cancel="tell"), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "half ")
        await session.cancel(run=run)
        await until(lambda: status(session, run) == "cancelled")
        assert session.messages()[-1].text == "half - as you wish"


async def test_a_cancel_that_is_only_told_ends_the_wait_for_a_decision(fake: FakeServer, tmp_path: Path) -> None:
    """A denial by whoever cancelled: nobody will decide what no run waits for."""
    heard: list[str] = []

    async def handler(run: Run) -> None:
        decision = await run.tool("book", {"n": 1}).approval(timeout="2d")
        heard.append(f"{decision.kind} {decision.approved} {decision.by}")
        try:
            await run.tool("where", {}).result()
        except ToolDenied as denied:
            heard.append(denied.decision.reason)

    async with serving_agent(tmp_path, handler, on_cancel="tell"), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) == "suspended")
        await session.cancel(run=run)
        await until(lambda: status(session, run) == "cancelled")
        assert heard == ["cancel False user:mona", "the run was cancelled"]
        assert session.messages()[-1].parts[0]["state"] == "output-denied"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RunFailed("model_down", "try later"), {"code": "model_down", "message": "try later"}),
        (ValueError("half a \ud83d pair"), {"code": "ValueError", "message": "half a ? pair"}),
    ],
)
async def test_what_a_handler_raises_is_how_its_run_failed(
    fake: FakeServer, tmp_path: Path, error: Exception, expected: dict[str, str]
) -> None:
    """Code and message are on every client, and what was streamed stays."""

    async def handler(run: Run) -> None:
        await run.text("so far")
        raise error

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        assert await failure(fake, session) == expected
        assert session.messages()[-1].text == "so far"


async def test_a_worker_that_stops_ends_what_it_leaves_open(fake: FakeServer, tmp_path: Path) -> None:
    """Cancelled serving tells the handlers, ends their runs as abandoned, and brings that to the server."""

    async def handler(run: Run) -> None:
        try:
            await run.text("so far")
            await asyncio.sleep(60)
        finally:
            await run.text(", and good-bye")

    async with person(tmp_path) as session:
        async with serving_agent(tmp_path, handler):
            run = await ask(fake, session)
            await until(lambda: session.messages()[-1].text == "so far")
        assert fake.session("s").last[run]["lease"] == "ended"
        await until(lambda: status(session, run) == "failed")
        view = session.run(run)
        assert view is not None
        assert view.error is not None
        assert view.error["code"] == "abandoned"
        assert session.messages()[-1].text == "so far, and good-bye"


async def test_what_is_detached_or_waits_for_a_decision_stays_open(fake: FakeServer, tmp_path: Path) -> None:
    """The next worker goes on with it: it is suspended, not failed."""

    async def handler(run: Run) -> None:
        assert run.message is not None
        if run.message.text == "leave":
            await run.text("to be continued")
            run.detach()
            with pytest.raises(LocalProtocolError):
                await run.text("more")
        else:
            await run.tool("book", {"n": 1}).approval()

    async with person(tmp_path) as session:
        async with serving_agent(tmp_path, handler, busy="parallel"):
            left = await ask(fake, session, "leave")
            await until(lambda: status(session, left) == "suspended")
            waiting = await ask(fake, session, "decide")
            await until(lambda: status(session, waiting) == "suspended")
        assert [fake.session("s").last[run]["lease"] for run in (left, waiting)] == ["suspended", "suspended"]


async def test_only_so_many_runs_at_a_time(fake: FakeServer, tmp_path: Path) -> None:
    """Work beyond the slots is left to others; a run that waits for a decision takes none."""

    async def handler(run: Run) -> None:
        await run.tool("book", {"n": 1}).approval()
        await asyncio.sleep(60)

    async with serving_agent(tmp_path, handler, concurrency=1, busy="parallel"), person(tmp_path) as session:
        first = await ask(fake, session)
        await until(lambda: status(session, first) == "suspended")
        second = await ask(fake, session)
        await until(lambda: status(session, second) == "suspended")
        await session.approve(f"{second}-1_0")
        await until(lambda: status(session, second) == "running")
        await ask(fake, session)
        await asyncio.sleep(0.1)
        assert len(fake.link_of(PLANNER).frames(Claim)) == 2


async def test_a_message_to_a_busy_agent_steers_it(fake: FakeServer, tmp_path: Path) -> None:
    """With `busy="steer"` the run at work takes it, and the message's own run is completed by that."""
    taken: list[list[str]] = []

    async def handler(run: Run) -> None:
        await run.text("working")
        steers = await run.wait_steering()
        taken.append([steer.text for steer in steers])
        await run.text("as you said")

    async with serving_agent(tmp_path, handler, busy="steer"), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: session.messages()[-1].text == "working")
        folded = await ask(fake, session, "without mother")
        await until(lambda: status(session, run) == "completed")
        await until(lambda: status(session, folded) == "completed")
        view = session.run(folded)
        assert view is not None
        assert view.finish_reason == "steered"
        assert taken == [["without mother"]]


async def test_what_a_busy_run_does_not_take_gets_a_run_of_its_own(fake: FakeServer, tmp_path: Path) -> None:
    """A message that came too late to steer is answered for itself."""
    release = asyncio.Event()
    answered: list[str] = []

    async def handler(run: Run) -> None:
        await run.text("working")
        await release.wait()
        answered.append(run.message.text if run.message else "")

    async with serving_agent(tmp_path, handler, busy="steer"), person(tmp_path) as session:
        first = await ask(fake, session, "one")
        await until(lambda: session.messages()[-1].text == "working")
        second = await ask(fake, session, "two")
        await until(lambda: status(session, second) == "running")
        release.set()
        await until(lambda: status(session, first) == status(session, second) == "completed")
        assert answered == ["one", "two"]


async def test_a_run_that_waits_for_a_decision_is_not_steered_by_messages(fake: FakeServer, tmp_path: Path) -> None:
    """It is not at work: what was to steer it is answered for itself, be it said before or behind the question."""
    ask_first = asyncio.Event()

    async def handler(run: Run) -> None:
        if run.message is not None and run.message.text == "book":
            await run.text("working")
            await ask_first.wait()
            await run.tool("book", {}).approval()
        await run.text(f"answer to {run.message.text if run.message else ''}")

    async with serving_agent(tmp_path, handler, busy="steer"), person(tmp_path) as session:
        booking = await ask(fake, session, "book")
        await until(lambda: session.messages()[-1].text == "working")
        before = await ask(fake, session, "one")
        await until(lambda: status(session, before) == "running")
        ask_first.set()
        await until(lambda: status(session, before) == "completed")
        assert status(session, booking) == "suspended"
        behind = await ask(fake, session, "two")
        await until(lambda: status(session, behind) == "completed")
        assert [view.text for view in session.messages() if view.run in (before, behind)] == [
            "answer to one", "answer to two",
        ]  # fmt: skip
        await session.approve(f"{booking}-1_0")
        await until(lambda: status(session, booking) == "completed")


@pytest.mark.parametrize(("policy", "lease"), [("retry", "live"), ("fail", "ended")])
async def test_what_no_handler_began_is_left_to_other_workers(
    fake: FakeServer, tmp_path: Path, policy: str, lease: str
) -> None:
    """A message that was to steer and was not taken when its worker stops, if the policy lets others have it."""

    async def handler(run: Run) -> None:
        await run.text("working")
        await asyncio.sleep(60)

    async with person(tmp_path) as session:
        async with serving_agent(tmp_path, handler, busy="steer", on_interrupted=policy):
            await ask(fake, session, "one")
            await until(lambda: session.messages()[-1].text == "working")
            second = await ask(fake, session, "two")
            begun = f"{second}_1"
            await until(lambda: fake.session("s").replica.read(Root.RUNS, begun, "status") == "running")
        assert fake.session("s").last[second]["lease"] == lease


async def test_a_token_of_somebody_else_is_refused_at_once(fake: FakeServer, tmp_path: Path) -> None:
    """`serve` raises and says which token is needed."""

    async def handler(run: Run) -> None: ...

    agent = Agent("planner", server=NOWHERE, token="dev:agent:other", store=tmp_path / "a.db")
    agent.on_work(handler)
    with pytest.raises(LocalProtocolError, match="not 'agent:planner'"):
        await asyncio.wait_for(agent.serve(), PATIENCE_S)


@pytest.mark.parametrize(
    "settings", [{"busy": "drop"}, {"on_interrupted": "again"}, {"on_cancel": "x"}, {"attempts_max": 0}]
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any]) -> None:
    """With the ones that there are."""
    with pytest.raises(LocalProtocolError):
        Agent("planner", server=NOWHERE, **settings)


async def test_a_claim_that_is_answered_late_is_worked_on(
    fake: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has the run as this worker's from then on: nobody else would be offered it."""
    monkeypatch.setattr("syncd_client.worker.CLAIM_TIMEOUT_S", 2.0)
    fake.grants = False

    async def handler(run: Run) -> None:
        await run.text("late")

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: fake.claims)
        await until(lambda: not any(task.get_name() == f"claim {run}" for task in asyncio.all_tasks()))
        fake.grant("s", run, fake.link_of(PLANNER).frames(Serve)[0].worker)
        await until(lambda: status(session, run) == "completed")


async def test_a_run_is_below_another_where_the_server_says_so(fake: FakeServer, tmp_path: Path) -> None:
    """An agent's own run puts work below it; a message that only claims to be of a run is below nothing."""
    parents: dict[str, str | None] = {}

    async def plan(run: Run) -> None:
        await run.sub("weather?", agent="agent:weather")

    async def tell(run: Run) -> None:
        parents[run.message.text if run.message else ""] = run.parent

    weather = serving_agent(tmp_path, tell, name="weather")
    async with serving_agent(tmp_path, plan), weather, person(tmp_path) as session:
        planned = await ask(fake, session)
        await until(lambda: status(session, planned) == "completed")
        draft = session.draft(role="user", to=("agent:weather",))
        forged = await session.write_message(
            replace(draft, run=planned, attempt=1, parts=({"type": "text", "text": "mine?"},))
        )
        await asyncio.wait_for(forged.synced(), PATIENCE_S)
        for message in session.messages():
            if "agent:weather" in message.to:
                fake.offer("s", run_id(message.id, "agent:weather"), message.id, agent="agent:weather")
        await until(lambda: len(parents) == 2)
        assert parents == {"weather?": planned, "mine?": None}
        asked = {view.message: view.parent_run for view in session.runs() if view.agent == "agent:weather"}
        assert asked[forged.id] is None


async def test_a_worker_that_drains_works_on_what_it_claimed_and_claims_no_more(
    fake: FakeServer, tmp_path: Path
) -> None:
    """What the server grants meanwhile would else wait out the grace; what was not asked for is for others to have."""
    fake.grants = False

    async def handler(run: Run) -> None:
        await run.text("in time")

    async with serving_agent(tmp_path, handler) as serving, person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: fake.claims)
        fake.offer("s", "later")
        await until(lambda: any(task.get_name() == "claim later" for task in asyncio.all_tasks()))
        os.kill(os.getpid(), signal.SIGTERM)
        link = fake.link_of(PLANNER)
        await until(lambda: link.frames(Serve)[-1].slots == 0)
        fake.tell("s", "later", "queued", agent=PLANNER, by="user:mona")
        fake.grant("s", run, link.worker)
        await asyncio.wait_for(serving, PATIENCE_S)
        assert status(session, run) == "completed"
        assert [claim.run for claim in link.frames(Claim)] == [run]


async def test_a_message_that_nobody_took_as_a_steer_is_answered_while_its_worker_drains(
    fake: FakeServer, tmp_path: Path
) -> None:
    """It was granted to this worker before: it is not left to fail when the time is up."""
    release = asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text(f"on {run.message.text if run.message else ''}")
        await release.wait()

    async with serving_agent(tmp_path, handler, busy="steer") as serving, person(tmp_path) as session:
        await ask(fake, session, "one")
        await until(lambda: session.messages()[-1].text == "on one")
        second = await ask(fake, session, "two")
        await until(lambda: status(session, second) == "running")
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: fake.link_of(PLANNER).frames(Serve)[-1].slots == 0)
        release.set()
        await asyncio.wait_for(serving, PATIENCE_S)
        assert (status(session, second), session.messages()[-1].text) == ("completed", "on two")
