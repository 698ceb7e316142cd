"""Agents against a real server: what the fake one of the other tests only claims."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from syncd_client import Agent, Client, Run, Session

from examples.fault_proxy import FaultProxy
from syncd.core.ids import run_id
from syncd.server.app import Server
from tests.client.agents import PLANNER, Handler, ended, status
from tests.harness import PATIENCE_S, meanwhile, mint, serving, until


@asynccontextmanager
async def planner(
    url: str, place: Path, handler: Handler, *, store: str = "planner.db", concurrency: int = 8, **settings: Any
) -> AsyncIterator[asyncio.Task[None]]:
    agent = Agent("planner", server=url, token=mint(PLANNER), store=place / store, **settings)
    agent.on_work(handler)
    task = asyncio.create_task(agent.serve(concurrency=concurrency))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def person(url: str, place: Path, name: str = "mona") -> AsyncIterator[Session]:
    async with Client(url, token=mint(f"user:{name}"), store=place / f"{name}.db") as client:
        yield await client.open("s")


async def ask(session: Session, text: str = "plan it") -> str:
    message = await session.post(text, to=[PLANNER])
    return run_id(message.id, PLANNER)


async def test_the_ten_lines(server: Server, tmp_path: Path) -> None:
    """A message becomes work, is streamed, steered, approved from another device, and completed."""

    async def handler(run: Run) -> None:
        for token in ("Take ", "the ", "tram."):
            await run.text(token)
        steers = await run.wait_steering()
        await run.text(f" And {steers[0].text}.")
        decision = await run.tool("book_flight", {"to": "LIS"}).approval(timeout="2d")
        await run.text("Booked." if decision.approved else "Not booked.")

    async with planner(server.url, tmp_path, handler), person(server.url, tmp_path) as session:
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "Take the tram.")
        steer = await session.steer("no bus", run=run)
        assert await steer.consumed(timeout=PATIENCE_S)
        await until(lambda: status(session, run) == "suspended")
        async with person(server.url, tmp_path, "theo") as theo:
            await until(lambda: status(theo, run) == "suspended")
            approve = await theo.approve(f"{run}-1_0")
            assert await approve.outcome(timeout=PATIENCE_S) == "accepted"
            deny = await session.deny(f"{run}-1_0")
            assert await deny.outcome(timeout=PATIENCE_S) == "late"
        view = await ended(session, run)
        assert (view.status, view.by, view.agent) == ("completed", "user:mona", PLANNER)
        await until(lambda: session.messages()[-1].text == "Take the tram.\n\n And no bus.\n\nBooked.")


async def test_work_waits_for_a_worker(server: Server, tmp_path: Path) -> None:
    """Posted when nobody serves, and cancelled or answered as soon as somebody does."""

    async def handler(run: Run) -> None:
        await run.text("here I am")

    async with person(server.url, tmp_path) as session:
        cancelled = await ask(session, "never mind")
        answered = await ask(session)
        assert await (await session.cancel(run=cancelled)).outcome(timeout=PATIENCE_S) == "accepted"
        async with planner(server.url, tmp_path, handler):
            assert (await ended(session, answered)).status == "completed"
        assert (await ended(session, cancelled)).status == "cancelled"
        assert [view.text for view in session.messages() if view.run] == ["here I am"]


async def test_a_cancel_reaches_the_handler(server: Server, tmp_path: Path) -> None:
    """And the last word stands before the end."""

    async def handler(run: Run) -> None:
        await run.text("half ")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await run.text("- stopped")
            raise

    async with planner(server.url, tmp_path, handler), person(server.url, tmp_path) as session:
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "half ")
        await session.cancel(message=session.messages()[0].id)
        view = await ended(session, run)
        assert (view.status, view.cancelled_by) == ("cancelled", "user:mona")
        await until(lambda: session.messages()[-1].text == "half - stopped")


async def test_a_lost_worker_is_taken_over_and_writes_no_more(tmp_path: Path) -> None:
    """Behind a cut it works on; another takes over after the grace; back, it stops, and one clean answer is left."""
    stopped: list[str] = []

    async def lost(run: Run) -> None:
        await run.text("old words")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(run.id)
            raise

    async def healthy(run: Run) -> None:
        await run.text(f"attempt {run.attempt}")

    async with (
        serving(tmp_path / "server.db", limits={"lease_grace_s": 0.3, "offer_timeout_s": 0.5}) as server,
        FaultProxy(server.port) as proxy,
        person(server.url, tmp_path) as session,
        planner(proxy.url, tmp_path, lost),
    ):
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "old words")
        look = session.view()
        assert [item.message.text for item in look.items] == ["plan it", "old words"]
        proxy.refusing = True
        proxy.cut()
        await until(lambda: status(session, run) == "interrupted")
        async with planner(server.url, tmp_path, healthy, store="other.db"):
            view = await ended(session, run)
            assert (view.status, view.attempt, view.since) == ("completed", 2, 2)
            proxy.refusing = False
            await until(lambda: stopped == [run])
        counts = [view.text for view in session.messages() if view.run == run and not session.superseded(view)]
        assert counts == ["attempt 2"]
        assert [item.message.text for item in look.items] == ["plan it", "attempt 2"]


async def test_what_was_said_to_a_lost_attempt_is_said_to_the_next(tmp_path: Path) -> None:
    """Steers and messages that it took: the one that begins anew hears them, and takes them once."""
    heard: list[list[str]] = []

    async def handler(run: Run) -> None:
        said: list[str] = []
        heard.append(said)
        await run.text("words")
        while len(said) < 2:
            said += [steer.text for steer in await run.wait_steering()]
        await run.text(f"attempt {run.attempt}")
        if run.attempt == 1:
            await asyncio.sleep(60)

    async with (
        serving(tmp_path / "server.db", limits={"lease_grace_s": 0.3, "offer_timeout_s": 0.5}) as server,
        FaultProxy(server.port) as proxy,
        person(server.url, tmp_path) as session,
        planner(proxy.url, tmp_path, handler, busy="steer"),
    ):
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "words")
        steer = await session.steer("no bus", run=run)
        assert await steer.consumed(timeout=PATIENCE_S)
        second = await ask(session, "and a hotel")
        assert (await ended(session, second)).finish_reason == "steered"
        await until(lambda: heard == [["no bus", "and a hotel"]])
        proxy.refusing = True
        proxy.cut()
        await until(lambda: status(session, run) == "interrupted")
        async with planner(server.url, tmp_path, handler, store="other.db", busy="steer"):
            view = await ended(session, run)
        assert (view.attempt, sorted(heard[1])) == (2, ["and a hotel", "no bus"])
        assert steer.id in view.consumed


async def test_a_worker_that_is_back_in_time_goes_on(tmp_path: Path) -> None:
    """Offline beyond the grace with nobody to take over: interrupted meanwhile, and what it wrote arrives."""
    release = asyncio.Event()

    async def handler(run: Run) -> None:
        await run.text("before, ")
        await release.wait()
        await run.text("after")

    async with (
        serving(tmp_path / "server.db", limits={"lease_grace_s": 0.2, "offer_timeout_s": 0.5}) as server,
        FaultProxy(server.port) as proxy,
        person(server.url, tmp_path) as session,
        planner(proxy.url, tmp_path, handler, on_interrupted="wait"),
    ):
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "before, ")
        proxy.refusing = True
        proxy.cut()
        await until(lambda: status(session, run) == "interrupted")
        release.set()
        proxy.refusing = False
        view = await ended(session, run)
        assert (view.status, view.attempt) == ("completed", 1)
        await until(lambda: session.messages()[-1].text == "before, after")


async def test_a_suspended_run_is_taken_up_by_another_process(tmp_path: Path) -> None:
    """Its worker stopped, hours later somebody approves: the same run goes on, and the first words stay.

    What it cost adds up, and a value of the same name and id is replaced.
    """

    async def handler(run: Run) -> None:
        if not run.resumed:
            await run.text("May I?")
        run.usage(input_tokens=4)
        await run.data("attempt", run.attempt, id="a")
        call = run.tool("book", {"n": 1})
        decision = await call.approval(timeout="2d")
        await call.output("booked" if decision.approved else "no")
        await run.text("Done.")

    async with (
        serving(tmp_path / "server.db", limits={"lease_grace_s": 0.2, "offer_timeout_s": 0.5}) as server,
        person(server.url, tmp_path) as session,
    ):
        async with planner(server.url, tmp_path, handler):
            run = await ask(session)
            await until(lambda: status(session, run) == "suspended")
        await asyncio.sleep(0.4)
        assert status(session, run) == "suspended"
        assert await (await session.approve(f"{run}-1_0")).outcome(timeout=PATIENCE_S) == "accepted"
        async with planner(server.url, tmp_path, handler, store="other.db"):
            view = await ended(session, run)
        assert (view.status, view.attempt, view.since) == ("completed", 2, 1)
        assert view.usage == {"input_tokens": 8}
        await until(lambda: not session.unsynced)
        messages = [view for view in session.messages() if view.run == run and not session.superseded(view)]
        assert [view.text for view in messages] == ["May I?", "Done."]
        parts = [part for view in messages for part in view.parts]
        assert [part["data"] for part in parts if part["type"] == "data-attempt"] == [2]


async def test_a_reminder_and_a_deadline_outlive_the_worker_and_the_server(tmp_path: Path) -> None:
    """The run is offered when they are due, be its session loaded or not; the next worker writes them, each once."""
    decided: list[Any] = []

    async def handler(run: Run) -> None:
        decided.append(await run.tool("book", {"to": "LIS"}).approval(timeout=4.0, reminder=2.0))

    limits = {"lease_grace_s": 0.2, "offer_timeout_s": 0.5, "idle_evict_s": 0.3}
    async with (
        serving(tmp_path / "server.db", limits=limits) as server,
        person(server.url, tmp_path) as session,
        planner(server.url, tmp_path, handler),
    ):
        run = await ask(session)
        await until(lambda: status(session, run) == "suspended")
    async with serving(tmp_path / "server.db", limits=limits) as server:
        async with planner(server.url, tmp_path, handler, store="other.db"):
            await until(lambda: decided, "the denial")
            async with person(server.url, tmp_path) as session:
                view = await ended(session, run)
                parts = [part for message in session.messages() for part in message.parts if part["type"] == "tool"]
        assert (view.status, view.since, decided[0].timed_out) == ("completed", 1, True)
        assert (parts[-1]["state"], sum("reminded_at" in part for part in parts)) == ("output-denied", 1)


async def test_the_client_pings_at_the_servers_pace(tmp_path: Path) -> None:
    """A network that swallows everything is noticed within a heartbeat and a half of what the server said."""
    async with (
        serving(tmp_path / "server.db", limits={"heartbeat_s": 0.4}) as server,
        FaultProxy(server.port) as proxy,
        Client(proxy.url, token=mint("user:mona"), store=tmp_path / "m.db") as client,
    ):
        await asyncio.wait_for(client.live(), PATIENCE_S)
        proxy.stall()
        await until(lambda: not client.connected, within_s=5.0)
        proxy.cut()


async def test_what_an_agent_asked_another_stands_before_the_answer(server: Server, tmp_path: Path) -> None:
    """A model is not asked its own question: while nobody answered it is not in the history, and then the answer is."""
    go_on = asyncio.Event()
    histories: list[list[Any]] = []

    async def weather(run: Run) -> None:
        await go_on.wait()
        await run.text("Sunny.")

    async def handler(run: Run) -> None:
        if run.message is not None and run.message.text == "next":
            histories.append(run.history())
            return
        await run.text("Let me ask.")
        below = await run.sub("How is the weather?", agent="agent:weather")
        histories.append(run.history())
        go_on.set()
        await below.ended(timeout=PATIENCE_S)
        histories.append(run.history())
        await run.text("Go by tram.")

    other = Agent("weather", server=server.url, token=mint("agent:weather"), store=tmp_path / "weather.db")
    other.on_work(weather)
    async with (
        planner(server.url, tmp_path, handler),
        meanwhile(other.serve()),
        person(server.url, tmp_path) as session,
    ):
        for text in ("plan a trip", "next"):
            await ended(session, await ask(session, text))
    asked = ["[planner] How is the weather?", "[weather] Sunny."]
    assert [[turn["content"] for turn in history] for history in histories] == [
        ["plan a trip", "Let me ask."],
        ["[mona] plan a trip", "Let me ask.", *asked],
        ["[mona] plan a trip", "Let me ask.Go by tram.", *asked, "[mona] next"],
    ]


async def test_a_message_that_steered_is_in_the_history_as_whose_it_is(server: Server, tmp_path: Path) -> None:
    """By `busy="steer"` a run is told by a message, which stands there as that person's words."""
    histories: list[list[Any]] = []

    async def handler(run: Run) -> None:
        await run.text("begun")
        await run.wait_steering()
        histories.append(run.history())

    async with planner(server.url, tmp_path, handler, busy="steer"), person(server.url, tmp_path) as session:
        run = await ask(session)
        await until(lambda: session.messages()[-1].text == "begun")
        async with person(server.url, tmp_path, "theo") as theo:
            await theo.post("by tram", to=[PLANNER])
            await ended(session, run)
    assert [turn["content"] for turn in histories[0]] == ["[mona] plan it", "begun", "[theo] by tram"]
