"""Agents without a link: everything a run needs, by requests alone, against a real server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from syncd_client import Client

from syncd.core.errors import CloseCode
from syncd.core.ids import run_id
from syncd.core.messages import Ack
from syncd.core.replica import Replica
from syncd.core.run_view import RunView, RunViews
from syncd.core.schema import NewCommand
from syncd.core.transcript import put_command
from syncd.server.app import Server
from syncd.server.hooks.channel import Notice
from tests.core.machines import Pen
from tests.harness import MEMBER, PATIENCE_S, RawLink, make_server, mint, server_process, serving, until
from tests.server.test_sockets_work import sessions_of

AGENT = "agent:planner"
_numbers = count(1)
LIMITS = {"lease_grace_s": 0.5, "requests_per_s": 1e6, "requests_burst": 1_000_000}


class Caller:
    """Somebody who only knows HTTP."""

    def __init__(self, http: aiohttp.ClientSession, url: str, subject: str = AGENT, **token: Any) -> None:
        self.http = http
        self.url = url
        self.token = mint(subject, **token)
        self.status = 0

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the answer's JSON, or an error's code."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.http.request(
            method, self.url + path, json=body, headers=headers, params={k: str(v) for k, v in query.items()}
        ) as response:
            self.status = response.status
            raw = await response.read()
        answer: Any = json.loads(raw)
        return answer["error"]["code"] if response.status >= 400 else answer

    async def ask(self, text: str = "go", *, to: str = AGENT, session: str = "s", id: str | None = None) -> str:
        """Post a message for an agent; return its id."""
        await self.call("POST", "/v1/sessions", {"session": session})
        body = {"text": text, "to": [to]} | ({"id": id} if id else {})
        posted = await self.call("POST", f"/v1/sessions/{session}/messages", body)
        return str(posted["message"])

    async def start(self, worker: str = "w1", **body: Any) -> Any:
        return await self.call("POST", "/v1/sessions/s/runs", {"worker": worker, **body})

    async def parts(self, run: str, n: int, *parts: Any, attempt: int = 1) -> Any:
        texts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
        return await self.call("POST", f"/v1/sessions/s/runs/{run}/parts", {"attempt": attempt, "n": n, "parts": texts})

    async def end(self, run: str, attempt: int = 1, **body: Any) -> Any:
        return await self.call("POST", f"/v1/sessions/s/runs/{run}/end", {"attempt": attempt, **body})

    async def events(self, run: str, **query: Any) -> Any:
        return await self.call("GET", f"/v1/sessions/s/runs/{run}/events", **{"attempt": 1, "wait_s": 0, **query})

    async def run(self, run: str) -> Any:
        return await self.call("GET", f"/v1/sessions/s/runs/{run}")

    async def output(self, run: str) -> list[Any]:
        """Return the messages of a run."""
        messages = (await self.call("GET", "/v1/sessions/s/messages"))["messages"]
        return [message for message in messages if message.get("run") == run]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    limits = LIMITS | getattr(request, "param", {})
    async with serving(tmp_path / "s.db", limits=limits) as running:
        yield running


#: Between two requests the machine may stop for longer than runs are kept here: for tests that are about no loss.
patient = pytest.mark.parametrize("server", [{"lease_grace_s": 60.0}], indirect=True, ids=["patient"])


@pytest.fixture
def agent(http: aiohttp.ClientSession, server: Server) -> Caller:
    return Caller(http, server.url)


@pytest.fixture
def mona(http: aiohttp.ClientSession, server: Server) -> Caller:
    return Caller(http, server.url, "user:mona")


async def command(server: Server, kind: str, payload: Any = None, *, by: str = "user:mona", **target: str) -> str:
    """Have somebody give a command; return its id once it is on disk."""
    id = f"{kind}-{next(_numbers)}"
    async with RawLink(server.url, mint(by)) as link:
        await link.hello()
        await link.open()
        await link.push(put_command(Pen().transcript, NewCommand(id, kind, 1, target, payload)))
        await link.expect(Ack)
    return id


@patient
async def test_a_run_from_the_work_to_the_end(agent: Caller, mona: Caller, server: Server, tmp_path: Path) -> None:
    """Work comes while it is waited for, is claimed, written and ended; whoever opens a fresh copy sees the same."""
    waiting = asyncio.create_task(agent.call("GET", "/v1/work", worker="w1", wait_s=20))
    await asyncio.sleep(0)
    message = await mona.ask()
    run = run_id(message, AGENT)
    assert (await waiting) == {"work": [{"session": "s", "run": run, "message": message, "attempt": 0}]}

    started = await agent.start(message=message)
    assert agent.status == 201
    assert started == {"run": run, "attempt": 1, "status": "running", "message": message, "written": 0}
    assert await agent.start(run=run) == started
    assert (await agent.parts(run, 1, {"type": "reasoning", "text": "hm"}, "Hel"))["written"] == 1
    await agent.parts(run, 2, "lo")
    await agent.parts(run, 3, " 😀", {"type": "source-url", "url": "https://a.example"}, "bye")
    ended = await agent.end(run, finish_reason="stop", usage={"output_tokens": 3})
    assert ended == {"run": run, "attempt": 1, "status": "completed"}
    assert await agent.end(run) == ended

    [view] = await mona.output(run)
    assert [part.get("text", part["type"]) for part in view["parts"]] == ["hm", "Hello 😀", "source-url", "bye"]
    assert (view["role"], view["by"], view["parent"], view["attempt"]) == ("assistant", AGENT, message, 1)
    assert not any(part.get("state") == "streaming" for part in view["parts"])
    found = await mona.run(run)
    assert (found["status"], found["finish_reason"], found["usage"]) == ("completed", "stop", {"output_tokens": 3})
    assert (await mona.call("GET", "/v1/sessions/s/runs"))["runs"] == [found]
    async with Client(server.url, token=mint("user:theo"), store=tmp_path / "theo.db") as client:
        session = await client.open("s")
        await until(lambda: any(m.run == run for m in session.messages()), "the answer")
        [copy] = [m for m in session.messages() if m.run == run]
        assert copy.text == "Hello 😀\n\nbye"


@patient
async def test_a_call_that_comes_twice_writes_once(agent: Caller, mona: Caller) -> None:
    """The same number again, at the same time too, and after the end; a number too far ahead is refused."""
    run = (await agent.start(message=await mona.ask()))["run"]
    answers = await asyncio.gather(*(agent.parts(run, 1, "once") for _ in range(5)))
    assert {answer["written"] for answer in answers} == {1}
    assert await agent.parts(run, 3, "late") == "out_of_order"
    assert agent.status == 409
    await agent.parts(run, 2, " more")
    await agent.end(run)
    assert (await agent.parts(run, 2, " more"))["written"] == 2
    assert await agent.parts(run, 3, "late") == "run_ended"
    [view] = await mona.output(run)
    assert [part["text"] for part in view["parts"]] == ["once more"]


async def test_one_of_two_workers_gets_it(agent: Caller, mona: Caller) -> None:
    """The other is told so, every time."""
    message = await mona.ask()
    answers = await asyncio.gather(*(agent.start(f"w{n}", message=message) for n in range(4)))
    assert sorted(type(answer).__name__ for answer in answers) == ["dict", "str", "str", "str"]
    assert [answer for answer in answers if isinstance(answer, str)] == ["run_taken"] * 3


async def test_work_is_offered_to_who_asks(agent: Caller, mona: Caller) -> None:
    """Not to a worker that asked before, and had more room, nor twice; as much as there is room for."""
    assert (await agent.call("GET", "/v1/work", worker="w1", slots=9, wait_s=0))["work"] == []
    message = await mona.ask()
    [work] = (await agent.call("GET", "/v1/work", worker="w2", wait_s=0))["work"]
    assert work["message"] == message
    assert (await agent.call("GET", "/v1/work", worker="w1", slots=9, wait_s=0))["work"] == []
    await agent.start("w2", message=message)
    second, third = await mona.ask(session="t"), await mona.ask(session="u")
    assert (await agent.call("GET", "/v1/work", worker="w2", wait_s=0))["work"] == []
    both = (await agent.call("GET", "/v1/work", worker="w2", slots=3, wait_s=0))["work"]
    assert {work["message"] for work in both} == {second, third}


async def test_a_run_of_its_own_begins_once(agent: Caller, mona: Caller) -> None:
    """By its key, or by an id of its making, whoever asks how often; a run's parts and its place are told."""
    await mona.ask(to="agent:other")
    answers = await asyncio.gather(*(agent.start(key="k1", task="look around") for _ in range(3)))
    assert len({answer["run"] for answer in answers}) == 1
    assert (await agent.start(key="k2"))["run"] != answers[0]["run"]
    sub = await agent.start(run="sub-1", parent_run=answers[0]["run"])
    assert sub == {"run": "sub-1", "attempt": 1, "status": "running", "message": None, "written": 0}
    assert await agent.start("w2", run="sub-1") == "run_taken"
    found = await agent.run("sub-1")
    assert (found["parent_run"], found["worker"]) == (answers[0]["run"], "w1")
    assert (await agent.run(answers[0]["run"]))["task"] == "look around"
    assert await agent.start(message="absent") == "not_found"


@patient
async def test_what_people_say_is_seen_by_a_poll(agent: Caller, mona: Caller, server: Server) -> None:
    """A steer, consumed or not, a decision and a cancel, each once by its position."""
    message = await mona.ask()
    run = (await agent.start(message=message))["run"]
    waiting = asyncio.create_task(agent.events(run, wait_s=20))
    steer = await command(server, "steer", {"text": "shorter"}, run=run)
    answer = await waiting
    [event] = answer["events"]
    assert (event["type"], event["text"], event["by"], event["interrupt"]) == ("steer", "shorter", "user:mona", False)
    assert (event["command"], answer["next"], answer["over"]) == (steer, event["seq"], False)
    assert (await agent.events(run, after=answer["next"]))["events"] == []
    await agent.call("POST", f"/v1/sessions/s/runs/{run}/consumed", {"attempt": 1, "commands": [steer]})
    assert (await agent.events(run))["events"] == []
    assert list((await mona.run(run))["consumed"]) == [steer]

    await agent.parts(run, 1, {"type": "tool", "tool_call": f"{run}-1", "name": "add", "state": "approval-requested"})
    await command(server, "approve", {"ok": True}, tool_call=f"{run}-1")
    await command(server, "steer", {"text": "stop it", "interrupt": True}, message=message)
    await command(server, "cancel", message=message)
    answer = await agent.events(run, after=answer["next"], wait_s=20)
    assert [event["type"] for event in answer["events"]] == ["decision", "steer", "cancel"]
    assert {"tool_call": f"{run}-1", "kind": "approve", "payload": {"ok": True}}.items() <= answer["events"][0].items()
    assert answer["next"] == answer["events"][-1]["seq"]
    assert (await agent.events(run, after=answer["next"]))["events"] == []
    assert (await agent.end(run, status="cancelled"))["status"] == "cancelled"
    answer = await agent.events(run, after=answer["next"])
    assert (answer["events"], answer["over"]) == (
        [{"type": "ended", "status": "cancelled", "cancelled_by": "user:mona"}],
        True,
    )


@patient
async def test_a_cancel_above_is_one_of_what_is_below(agent: Caller, mona: Caller, server: Server) -> None:
    """A sub-run's worker sees that the run it is part of was cancelled, once."""
    run = (await agent.start(message=await mona.ask()))["run"]
    await agent.start(run="sub-1", parent_run=run)
    cancel = await command(server, "cancel", run=run)
    answer = await agent.events("sub-1", wait_s=20)
    assert [(event["type"], event["command"]) for event in answer["events"]] == [("cancel", cancel)]
    assert (await agent.events("sub-1", after=answer["next"]))["events"] == []


@patient
async def test_a_cancel_is_told_to_who_was_given_the_message(
    http: aiohttp.ClientSession, agent: Caller, mona: Caller, server: Server
) -> None:
    """By the person that had given it: what is told is the cancel, not the hand-over, which stands before it."""
    message = await mona.ask()
    critic = Caller(http, server.url, "agent:critic")
    await command(server, "handoff", {"to": "agent:critic"}, message=message)
    run = (await critic.start(message=message))["run"]
    steer = await command(server, "steer", {"text": "shorter"}, run=run)
    answer = await critic.events(run, wait_s=20)
    assert [event["command"] for event in answer["events"]] == [steer]
    cancel = await command(server, "cancel", run=run)
    answer = await critic.events(run, after=answer["next"], wait_s=20)
    assert [(event["type"], event["command"]) for event in answer["events"][-1:]] == [("cancel", cancel)]
    await command(server, "handoff", {"to": AGENT}, message=message)
    assert (await agent.start(message=message))["run"] == run_id(message, AGENT, 2), "what was handed back is there"


@patient
async def test_what_people_say_is_seen_in_a_stream(agent: Caller, mona: Caller, server: Server) -> None:
    """With positions to come back to, until the run is over."""
    run = (await agent.start(message=await mona.ask()))["run"]
    first = await command(server, "steer", {"text": "one"}, run=run)
    headers = {"Authorization": f"Bearer {agent.token}", "Accept": "text/event-stream"}
    url = f"{server.url}/v1/sessions/s/runs/{run}/events?attempt=1"
    async with agent.http.get(url, headers=headers) as response:
        assert response.content_type == "text/event-stream"
        frames = response.content
        assert (await frames.readline()).startswith(b"id: ")
        assert await frames.readline() == b"event: steer\n"
        event = json.loads((await frames.readline()).removeprefix(b"data: "))
        assert (event["command"], event["text"]) == (first, "one")
        await frames.readline()
        await command(server, "cancel", run=run)
        position = (await frames.readline()).removeprefix(b"id: ").strip().decode()
        assert await frames.readline() == b"event: cancel\n"
        await frames.readuntil(b"\n\n")
        await agent.end(run, status="cancelled")
        assert b"event: ended" in await frames.read()  # To its end: nothing comes behind it.
    async with agent.http.get(url, headers={**headers, "Last-Event-ID": position}) as response:
        assert (await response.read()).count(b"event:") == 1


@patient
async def test_a_stream_ends_with_its_token(agent: Caller, mona: Caller, server: Server) -> None:
    """Though the run goes on."""
    run = (await agent.start(message=await mona.ask()))["run"]
    short = Caller(agent.http, server.url, ttl_s=2.0)
    headers = {"Authorization": f"Bearer {short.token}", "Accept": "text/event-stream"}
    url = f"{server.url}/v1/sessions/s/runs/{run}/events?attempt=1"
    async with asyncio.timeout(PATIENCE_S), agent.http.get(url, headers=headers) as response:
        assert set((await response.read()).splitlines()) == {b": here", b""}
    assert (await agent.parts(run, 1, "on"))["written"] == 1


async def test_a_worker_that_stops_calling_loses_its_run(agent: Caller, mona: Caller, server: Server) -> None:
    """After the grace it is interrupted; back before anybody took over it goes on, later it is told to stop."""
    message = await mona.ask()
    run = (await agent.start(message=message, policy="wait"))["run"]
    await agent.parts(run, 1, "a")
    await status(mona, run, "interrupted")
    assert (await agent.parts(run, 2, "b"))["written"] == 2
    assert (await mona.run(run))["status"] == "running"

    other = (await agent.start(message=await mona.ask(), policy="retry"))["run"]
    await agent.parts(
        other, 1, "wrong", {"type": "tool", "tool_call": f"{other}-1", "name": "book", "state": "approval-requested"}
    )
    steer = await command(server, "steer", {"text": "shorter"}, run=other)
    await agent.call("POST", f"/v1/sessions/s/runs/{other}/consumed", {"attempt": 1, "commands": [steer]})
    await status(mona, other, "interrupted")
    assert (await agent.start("w2", run=other))["attempt"] == 2
    again = (await agent.events(other, attempt=2))["events"]
    assert [event["command"] for event in again] == [steer], "what it was told begins anew with it"
    assert await agent.parts(other, 2, "late") == "lease_lost"
    assert [event["type"] for event in (await agent.events(other))["events"]] == ["lease_lost"]
    again = {"type": "tool", "tool_call": f"{other}-1", "name": "book", "state": "approval-requested"}
    assert await agent.parts(other, 1, again, attempt=2) == "id_taken", "what was decided on it was for attempt 1"
    await agent.parts(other, 1, "right", {**again, "tool_call": f"{other}-2_1"}, attempt=2)
    await agent.parts(other, 2, {**again, "tool_call": f"{other}-2_1", "state": "output-denied"}, attempt=2)
    await agent.end(other, attempt=2)
    assert {view["attempt"]: view["parts"][0]["text"] for view in await mona.output(other)} == {1: "wrong", 2: "right"}
    assert (await mona.run(other))["since"] == 2


async def status(caller: Caller, run: str, wanted: str) -> None:
    """Wait until a run has a status."""
    async with asyncio.timeout(PATIENCE_S):
        while (await caller.run(run))["status"] != wanted:  # noqa: ASYNC110 - the answer is the server's
            await asyncio.sleep(0.02)


async def test_a_waiting_request_keeps_the_lease(agent: Caller, mona: Caller) -> None:
    """Longer than the grace lasts; whoever hangs up loses it though the wait is not over."""
    run = (await agent.start(message=await mona.ask(), policy="wait"))["run"]
    assert (await agent.events(run, wait_s=0.1))["events"] == []
    waiting = asyncio.create_task(agent.events(run, wait_s=60))
    await asyncio.sleep(LIMITS["lease_grace_s"] * 4)
    assert (await mona.run(run))["status"] == "running"
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await status(mona, run, "interrupted")


async def test_a_suspended_run_waits(agent: Caller, mona: Caller, server: Server) -> None:
    """It is not lost with its worker; a decision brings it back to one, which goes on from what is there."""
    run = (await agent.start(message=await mona.ask()))["run"]
    tool = {"type": "tool", "tool_call": f"{run}-1", "name": "book", "state": "approval-requested", "input": {"n": 1}}
    await agent.parts(run, 1, "asking", tool)
    path = f"/v1/sessions/s/runs/{run}/status"
    assert (await agent.call("POST", path, {"attempt": 1, "status": "suspended"}))["status"] == "suspended"
    await until(lambda: not len(server.services.runs.workers), "the worker to be gone")  # type: ignore[union-attr]
    await asyncio.sleep(LIMITS["lease_grace_s"] * 1.5)
    assert (await mona.run(run))["status"] == "suspended"
    await command(server, "approve", tool_call=f"{run}-1")
    [work] = (await agent.call("GET", "/v1/work", worker="w2", wait_s=20))["work"]
    assert work["run"] == run
    resumed = await agent.start("w2", run=run)
    assert resumed["attempt"] == 2
    [event] = (await agent.events(run, attempt=2))["events"]
    assert (event["type"], event["kind"]) == ("decision", "approve")
    await agent.parts(run, 1, "booked", attempt=2)
    await agent.end(run, attempt=2)
    first, second = await mona.output(run)
    assert (second["parent"], (await mona.run(run))["since"]) == (first["id"], 1)


async def test_a_suspended_run_is_offered_when_its_time_comes(agent: Caller, mona: Caller) -> None:
    """Its worker is gone by then: another one is given it, to write what is due, and goes on from what is there."""
    run = (await agent.start(message=await mona.ask()))["run"]
    wake_at = int(time.time() * 1000) + 1_500
    path, body = f"/v1/sessions/s/runs/{run}/status", {"attempt": 1, "status": "suspended", "wake_at": wake_at}
    assert (await agent.call("POST", path, body))["status"] == "suspended"
    [work] = (await agent.call("GET", "/v1/work", worker="w2", wait_s=30))["work"]
    assert (work["run"], time.time() * 1000 >= wake_at) == (run, True)
    assert (await agent.start("w2", run=run))["attempt"] == 2
    assert (await mona.run(run))["since"] == 1


async def test_a_detached_run_is_anybodys(agent: Caller, mona: Caller, server: Server) -> None:
    """Whoever gave it up has it no longer; what is said to it has it offered at once."""
    run = (await agent.start(message=await mona.ask()))["run"]
    await agent.parts(run, 1, "later")
    detached = {"attempt": 1, "status": "detached"}
    given_up = await agent.call("POST", f"/v1/sessions/s/runs/{run}/status", detached)
    assert (agent.status, given_up["status"]) == (200, "suspended")
    assert await agent.call("POST", f"/v1/sessions/s/runs/{run}/status", detached) == given_up
    assert await agent.call("POST", f"/v1/sessions/s/runs/{run}/status", {**detached, "status": "running"}) == (
        "lease_lost"
    )
    assert (await mona.run(run))["status"] == "suspended"
    assert await agent.parts(run, 2, "more") == "lease_lost"
    assert (await agent.events(run))["over"]
    assert sessions_of(server).lives()[0].outlets == {}
    steer = await command(server, "steer", {"text": "now"}, run=run)
    [work] = (await agent.call("GET", "/v1/work", worker="w1", wait_s=20))["work"]
    assert work["run"] == run
    assert (await agent.start(run=run))["attempt"] == 2
    assert [event["command"] for event in (await agent.events(run, attempt=2))["events"]] == [steer]
    assert (await agent.call("POST", f"/v1/sessions/s/runs/{run}/status", detached))["status"] == "running"


@patient
async def test_one_run_costs_what_one_run_costs(agent: Caller, mona: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs a session has: one is read for itself, and all of them again only where something changed."""
    runs = [(await agent.start(message=await mona.ask()))["run"] for _ in range(30)]
    reads: list[str] = []
    whole = RunViews.read

    def read(views: RunViews, replica: Replica, run: str) -> RunView | None:
        reads.append(run)
        return whole(views, replica, run)

    monkeypatch.setattr(RunViews, "read", read)
    await mona.run(runs[3])
    assert reads == [runs[3]]
    listed = (await mona.call("GET", "/v1/sessions/s/runs", limit=500))["runs"]
    assert sorted(run["id"] for run in listed) == sorted(runs)
    reads.clear()
    await agent.end(runs[5])
    again = (await mona.call("GET", "/v1/sessions/s/runs", limit=500))["runs"]
    assert set(reads) == {runs[5]}
    assert [run["id"] for run in again if run["status"] == "completed"] == [runs[5]]
    assert [run for run in again if run["id"] != runs[5]] == [run for run in listed if run["id"] != runs[5]]


@patient
async def test_a_tool_call_is_one_part(agent: Caller, mona: Caller) -> None:
    """Its input streams, its state changes, text goes on behind it; a call of another run is refused."""
    run = (await agent.start(message=await mona.ask()))["run"]
    call = {"type": "tool", "tool_call": f"{run}-1"}
    await agent.parts(run, 1, "let me see", {**call, "name": "add", "state": "input-streaming", "raw_input": '{"a"'})
    await agent.parts(run, 2, {**call, "raw_input": ":1}"}, {**call, "state": "input-available", "input": {"a": 1}})
    await agent.parts(run, 3, {**call, "state": "output-available", "output": 2}, "done")
    data = {"type": "data-progress", "id": "p"}
    await agent.parts(run, 4, {**data, "data": 1}, {**data, "data": 2})
    assert (
        await agent.parts(run, 5, {**call, "tool_call": "x-1", "name": "add", "state": "input-available"}) == "invalid"
    )
    assert await agent.parts(run, 5, {"type": "text", "text": 1}) == "invalid"
    assert (await agent.parts(run, 5, "!"))["written"] == 5
    await agent.end(run)
    [view] = await mona.output(run)
    before, tool, after, progress, last = view["parts"]
    assert (before["text"], after["text"], last["text"], progress["data"]) == ("let me see", "done", "!", 2)
    assert (tool["raw_input"], tool["input"], tool["output"], tool["state"]) == (
        '{"a":1}',
        {"a": 1},
        2,
        "output-available",
    )


async def test_a_restart_in_the_middle(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """The run goes on under the same attempt, in the same part, nothing doubled; positions hold."""
    async with serving(tmp_path / "s.db", limits=LIMITS) as server:
        agent, mona = Caller(http, server.url), Caller(http, server.url, "user:mona")
        run = (await agent.start(message=await mona.ask(), policy="wait"))["run"]
        tool = {"type": "tool", "tool_call": f"{run}-1", "name": "add", "state": "input-available"}
        await agent.parts(run, 1, tool, "one")
        await command(server, "steer", {"text": "x"}, run=run)
        position = (await agent.events(run))["next"]
    async with serving(tmp_path / "s.db", limits=LIMITS) as server:
        agent, mona = Caller(http, server.url), Caller(http, server.url, "user:mona")
        assert (await agent.parts(run, 1, tool, "one"))["written"] == 1
        await agent.parts(run, 2, " two", {**tool, "state": "output-available", "output": 1})
        await agent.parts(run, 3, "three" * 10_000)
        assert (await agent.events(run, after=position))["events"] == []
        assert (await agent.start(message=(await mona.run(run))["message"]))["written"] == 3
    async with serving(tmp_path / "s.db", limits=LIMITS) as server:
        agent, mona = Caller(http, server.url), Caller(http, server.url, "user:mona")
        await agent.parts(run, 4, " four")
        assert (await agent.end(run))["status"] == "completed"
        [view] = await mona.output(run)
        assert [part.get("text") for part in view["parts"]] == [None, "one two" + "three" * 10_000 + " four"]
        assert view["parts"][0]["output"] == 1
        async with Client(server.url, token=mint("user:theo"), store=tmp_path / "theo.db") as client:
            session = await client.open("s")
            await until(lambda: any(m.run == run for m in session.messages()), "the answer")
            [copy] = [m for m in session.messages() if m.run == run]
            assert list(copy.parts) == view["parts"]


async def test_a_server_that_is_killed(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Again and again while parts are written: whoever sends each until it is answered has each word once, in order."""
    server = server_process(tmp_path / "s.db", limits={**LIMITS, "lease_grace_s": 10.0})
    await server.start()
    agent, mona = Caller(http, server.url), Caller(http, server.url, "user:mona")
    run = (await agent.start(message=await mona.ask(), policy="wait"))["run"]

    async def write() -> None:
        for n in range(1, 121):
            while True:
                try:
                    answer = await agent.parts(run, n, f"{n} ")
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)
                    continue
                assert agent.status in (200, 503), answer
                if agent.status == 200:
                    assert answer["written"] == n
                    break

    writing = asyncio.create_task(write())
    for _ in range(3):
        await asyncio.sleep(0.15)
        await server.kill()
        await server.start()
    async with asyncio.timeout(PATIENCE_S):
        await writing
    await agent.end(run)
    [view] = await mona.output(run)
    assert [part["text"] for part in view["parts"]] == ["".join(f"{n} " for n in range(1, 121))]
    await server.kill()


async def test_a_session_is_let_go_of(agent: Caller, mona: Caller, server: Server) -> None:
    """With the last run in it, or a claim that came to nothing: a long life does not keep them all open."""
    sessions = sessions_of(server)
    message = await mona.ask()
    other = (await agent.start("w2", message=await mona.ask()))["run"]
    run = (await agent.start(message=message))["run"]
    assert await agent.start(run=other) == "run_taken"
    await agent.events(run)
    assert len(sessions.lives()[0].outlets) == 2
    await agent.end(run)
    await agent.end(other)
    assert sessions.lives()[0].outlets == {}
    assert await agent.start(run=run) == "run_ended"
    assert sessions.lives()[0].outlets == {}
    runs = server.services.runs
    assert runs is not None
    assert len(runs.workers) == 2


async def test_what_was_thrown_away_is_opened_again(agent: Caller, mona: Caller, server: Server) -> None:
    """A session that the server loads again, as after a failed commit: a request for work alone keeps its lease."""
    run = (await agent.start(message=await mona.ask(), policy="wait"))["run"]
    await agent.parts(run, 1, "a")
    sessions = sessions_of(server)
    sessions._fail(sessions.lives()[0], CloseCode.RESYNC, "a test", None)
    await mona.run(run)  # Loaded again: the time for lost workers begins.
    for _ in range(3):
        assert (await agent.call("GET", "/v1/work", worker="w1", wait_s=LIMITS["lease_grace_s"]))["work"] == []
    assert (await mona.run(run))["status"] == "running"
    sessions._fail(sessions.lives()[0], CloseCode.RESYNC, "a test", None)
    await agent.parts(run, 2, "b")
    [view] = await mona.output(run)
    assert [part["text"] for part in view["parts"]] == ["ab"]


async def test_who_may_do_what(http: aiohttp.ClientSession, server: Server, agent: Caller, mona: Caller) -> None:
    """Only an agent works, only on what is its own, only with the right; what is not for it is as if absent."""
    run = (await agent.start(message=await mona.ask()))["run"]
    assert await mona.call("GET", "/v1/work", worker="w1") == "forbidden"
    assert await mona.start(run=run) == "forbidden"
    stranger = Caller(http, server.url, "agent:other")
    for answer in (
        await stranger.start(run=run),
        await stranger.parts(run, 1, "x"),
        await stranger.events(run),
        await stranger.end(run),
    ):
        assert answer == "forbidden"
    reader = Caller(http, server.url, rights=())
    assert await reader.parts(run, 1, "x") == "forbidden"
    assert (await reader.run(run))["id"] == run
    outsider = Caller(http, server.url, rights=MEMBER, sessions="other")
    for session in ("s", "absent"):
        assert await outsider.call("GET", f"/v1/sessions/{session}/runs") == "not_found"
        assert await outsider.call("POST", f"/v1/sessions/{session}/runs", {"worker": "w"}) == "not_found"
    assert await agent.call("POST", "/v1/sessions/absent/runs", {"worker": "w"}) == "not_found"
    assert await agent.parts("absent", 1, "x") == "not_found"
    assert await agent.run("a.b") == "invalid"


async def test_that_the_last_worker_is_gone_is_told(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """Where its run is not over; of one that is nowhere all the same, in no session."""
    server = make_server(tmp_path / "s.db", limits={**LIMITS, "presence_grace_s": 0.2})
    told: list[tuple[str, Any]] = []

    @server.on("agent.offline")
    async def offline(notice: Notice) -> None:
        told.append((notice.session, notice.events[0]["data"]["agent"]))

    await server.start()
    try:
        idle, agent = Caller(http, server.url, "agent:idle"), Caller(http, server.url)
        await agent.start(message=await Caller(http, server.url, "user:mona").ask())
        await asyncio.gather(*(one.call("GET", "/v1/work", worker="w1", wait_s=0.1) for one in (idle, agent)))
        await until(lambda: len(told) == 2, "the notices")
        assert sorted(told) == [("", "agent:idle"), ("s", AGENT)]
    finally:
        await server.stop()


async def test_a_wait_has_its_bounds(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """`poll_s_max`, and as many of one subject as it may have links; a revoked token waits no longer, nor does a drain
    have to wait.
    """
    limits = {**LIMITS, "poll_s_max": 0.3, "links_per_subject_max": 2}
    async with serving(tmp_path / "s.db", limits=limits) as server:
        agent = Caller(http, server.url)
        answers = await asyncio.gather(*(agent.call("GET", "/v1/work", worker=f"w{n}", wait_s=600) for n in range(3)))
        assert sorted(map(str, answers)) == ["rate_limited", "{'work': []}", "{'work': []}"]
    async with serving(tmp_path / "s.db", limits=LIMITS) as server:
        agent = Caller(http, server.url)
        mona = Caller(http, server.url, "user:mona")
        run = (await agent.start(message=await mona.ask()))["run"]
        headers = {"Authorization": f"Bearer {agent.token}", "Accept": "text/event-stream"}
        stream = await http.get(f"{server.url}/v1/sessions/s/runs/{run}/events?attempt=1", headers=headers)
        assert await stream.content.readline() == b": here\n"
        waiting = asyncio.create_task(agent.call("GET", "/v1/work", worker="w1", wait_s=60))
        runs = server.services.runs
        assert runs is not None
        await until(lambda: any(worker.polls for worker in runs.workers._workers.values()), "the request")
        await server.services.auth.revoke(subject=AGENT)
        assert await waiting == "token_revoked"
        assert await stream.content.read() == b"\n"
        assert len(runs.workers) == 0
        other = Caller(http, server.url, "agent:other")
        waiting = asyncio.create_task(other.call("GET", "/v1/work", worker="w1", wait_s=60))
        await until(lambda: len(runs.workers), "the worker")
        await server.drain()
        assert await waiting == {"work": []}
