"""Agents that run only when they are called: called until they have claimed, by a signed request."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.harness import until
from tests.server.hooks.bench import SECRET, bench, config_of
from tests.server.hooks.receiver import Receiver, receiving


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as here:
        yield here


def target(receiver: Receiver) -> dict[str, object]:
    agent = {"name": "planner", "channel": "wake", "agent": "agent:planner"}
    return agent | {"url": receiver.url("/wake"), "secrets": [SECRET]}


QUEUED = {"run": "r1", "agent": "agent:planner", "message": "m1", "attempt": 0}


async def test_an_agent_is_called_until_it_claims(tmp_path: Path, receiver: Receiver) -> None:
    """An answer is no claim; failures and answers alike are followed by another call, under one id."""
    answers = iter([500, 202, 202])
    receiver.answer = lambda _: next(answers, 202)
    async with bench(tmp_path, config_of([], [target(receiver)], wake_again_s=0.02)) as here:
        here.waiting_runs.add("r1")
        await here.happen("run.queued", "user:mona", "s", **QUEUED)
        await until(lambda: len(receiver.got) >= 4, "the calls")
        here.waiting_runs.discard("r1")
        await here.happen("run.started", "agent:planner", "s", **QUEUED | {"attempt": 1})
        await here.settled()
        (delivery,) = await here.deliveries()
        count = len(receiver.got)

    assert delivery.state in ("sent", "withdrawn")
    assert count == len(receiver.got)
    assert len(set(receiver.ids())) == 1
    called = Webhook(SECRET).verify(receiver.got[0].body, receiver.got[0].headers)
    assert called["type"] == "agent.wake"
    assert called["session"] == "s"
    assert called["data"] == {"agent": "agent:planner", "run": "r1", "message": "m1", "attempt": 0}


@pytest.mark.parametrize(("after", "attempts", "state"), [("0", 2, "dead"), ("999999999", 1, "pending")])
async def test_a_failure_that_says_when_is_a_failure(
    tmp_path: Path, receiver: Receiver, after: str, attempts: int, state: str
) -> None:
    """It is heeded up to a day, and given up after the last delay: only who took the call is called on and on."""
    receiver.answer = lambda _: web.Response(status=503, headers={"Retry-After": after})
    async with bench(tmp_path, config_of([], [target(receiver)], retry_s=[0.02])) as here:
        here.waiting_runs.add("r1")
        await here.happen("run.queued", "user:mona", "s", **QUEUED)
        await here.judged()
        delivery = await here.tried(attempts)
        assert delivery.state == state
        assert delivery.due_ms <= here.clock() + 86_400_000


async def test_calls_go_on_after_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    """What waits then is called for; what was claimed meanwhile is not."""
    receiver.answer = lambda _: 202
    config = config_of([], [target(receiver)], wake_again_s=0.3)
    async with bench(tmp_path, config) as here:
        here.waiting_runs |= {"r1", "r2"}
        await here.happen("run.queued", "user:mona", "s", **QUEUED)
        await here.happen("run.queued", "user:mona", "s", **QUEUED | {"run": "r2"})
        await until(lambda: len(receiver.got) >= 2, "the first calls")
    receiver.got.clear()
    async with bench(tmp_path, config) as here:
        here.waiting_runs.add("r2")
        await until(lambda: receiver.got, "a further call")
        await until(lambda: here.hooks.pending.get("planner") == 1, "the claimed one's end")

    assert {got.json["data"]["run"] for got in receiver.got} == {"r2"}


async def test_other_agents_are_not_called(tmp_path: Path, receiver: Receiver) -> None:
    """Each has a target of its own, or none."""
    async with bench(tmp_path, config_of([], [target(receiver)])) as here:
        here.waiting_runs.add("r1")
        await here.happen("run.queued", "user:mona", "s", **QUEUED | {"agent": "agent:critic"})
        await here.settled()

    assert receiver.got == []
