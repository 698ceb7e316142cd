"""Webhooks: signed as Standard Webhooks says, at least once, in order, and as fast as their target bears."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from syncd.core.limits import Limits
from syncd.server.hooks.channel import Gone, Notice, Retry, Sent
from syncd.server.hooks.channels.webhook import body_of, result_of
from tests.harness import until
from tests.server.hooks.bench import OTHER_SECRET, SECRET, bench, config_of, webhook
from tests.server.hooks.receiver import Receiver, receiving

TOLD = {"name": "told", "on": ["run.ended"], "channel": "webhook", "target": "crm"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as here:
        yield here


async def test_a_webhook_is_what_the_specification_says(tmp_path: Path, receiver: Receiver) -> None:
    """The package that receivers use verifies it, with either key while one replaces the other."""
    targets = [webhook("crm", receiver.url(), secrets=[SECRET, OTHER_SECRET])]
    async with bench(tmp_path, config_of([TOLD], targets)) as here:
        event = await here.happen("run.ended", run="r1", agent="agent:planner", attempt=1, status="completed")
        await here.settled()
        (delivery,) = await here.deliveries("sent")

    (got,) = receiver.got
    for secret in (SECRET, OTHER_SECRET):
        verified = Webhook(secret).verify(got.body, got.headers)
        assert verified == got.json
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body + b" ", got.headers)
    assert got.id == delivery.id
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 10
    assert got.headers["content-type"] == "application/json"
    timestamp = got.json.pop("timestamp")
    assert timestamp.endswith("Z")
    assert got.json | {"timestamp": ""} == {
        "id": event,
        "type": "run.ended",
        "timestamp": "",
        "session": "s",
        "by": "agent:planner",
        "data": {"run": "r1", "agent": "agent:planner", "attempt": 1, "status": "completed"},
        "rule": "told",
        "subject": "",
    }


async def test_what_fails_is_tried_again_under_the_same_id(tmp_path: Path, receiver: Receiver) -> None:
    """With the same body and a timestamp of its own, until it is taken."""
    answers = iter([500, 302, 429, 200])
    receiver.answer = lambda _: next(answers)
    async with bench(tmp_path, config_of([TOLD], [webhook("crm", receiver.url())])) as here:
        await here.happen("run.ended", run="r1")
        await here.settled()
        (delivery,) = await here.deliveries()

    assert delivery.state == "sent"
    assert delivery.attempt == 4
    assert len(receiver.got) == 4
    assert len({got.id for got in receiver.got}) == len({got.body for got in receiver.got}) == 1


async def test_order_is_kept_across_failures(tmp_path: Path, receiver: Receiver) -> None:
    """What comes later waits until the one before was taken or given up."""
    failed: set[str] = set()

    def answer(got: object) -> int:
        assert hasattr(got, "id")
        if got.id in failed:
            return 200
        failed.add(got.id)
        return 503

    receiver.answer = answer
    async with bench(tmp_path, config_of([TOLD], [webhook("crm", receiver.url())])) as here:
        events = await here.happened([("run.ended", "agent:a", f"s{n % 3}", {"run": f"r{n}"}) for n in range(9)])
        await here.settled()

    told = [got.json["id"] for got in receiver.got]
    assert told == [event for event in events for _ in range(2)]


async def test_a_dead_letter_can_be_replayed(tmp_path: Path, receiver: Receiver) -> None:
    """After the last delay it is given up, with the reason; sent again it has the same id."""
    receiver.answer = lambda _: 500
    async with bench(tmp_path, config_of([TOLD], [webhook("crm", receiver.url())])) as here:
        await here.happen("run.ended", run="r1")
        await here.happen("run.ended", run="r2")
        await here.settled()
        dead = await here.deliveries("dead")
        assert [(d.attempt, d.reason) for d in dead] == [(4, "answered 500")] * 2

        receiver.answer = lambda _: 200
        receiver.got.clear()
        assert [d.id for d in await here.hooks.replay(ids=[dead[0].id])] == [dead[0].id]
        await here.settled()
        assert [d.id for d in await here.hooks.replay(target="crm")] == [dead[1].id]
        await here.settled()
        assert await here.hooks.replay(target="crm") == []
        assert {d.state for d in await here.deliveries()} == {"sent"}

    assert receiver.ids() == [dead[0].id, dead[1].id]


async def test_410_disables_the_target(tmp_path: Path, receiver: Receiver) -> None:
    """Nothing more is sent, across restarts; what would have been is a dead letter until the target is enabled."""
    receiver.answer = lambda _: 410
    config = config_of([TOLD], [webhook("crm", receiver.url())])
    async with bench(tmp_path, config) as here:
        await here.happened([("run.ended", "agent:a", "s", {"run": f"r{n}"}) for n in range(5)])
        await here.settled()
        await until(lambda: here.hooks.pending == {})
        assert len(receiver.got) == 1
        assert sorted(d.attempt for d in await here.deliveries("dead")) == [0, 0, 0, 0, 1]
    async with bench(tmp_path, config) as here:
        await here.happen("run.ended", run="later")
        await here.settled()
        (state,) = await here.hooks.target_states()
        assert state.disabled == "answered 410"
        dead = await here.deliveries("dead")
        assert len(dead) == 6
        assert len(receiver.got) == 1

        receiver.answer = lambda _: 200
        assert await here.hooks.enable("crm")
        assert len(await here.hooks.replay(target="crm")) == 6
        await here.settled()
        assert len(await here.deliveries("sent")) == 6


async def test_a_slow_or_dead_target_delays_no_other(tmp_path: Path, receiver: Receiver) -> None:
    """One hangs, one is not there, one fails: the fourth gets all in the meantime."""
    async with receiving() as slow:
        slow.gate.clear()
        names = {
            "hangs": slow.url(),
            "gone": "http://127.0.0.1:9/",
            "bad": receiver.url("/bad"),
            "good": receiver.url(),
        }
        receiver.answer = lambda got: 500 if got.path == "/bad" else 200
        targets = [webhook(name, url, timeout_s=30) for name, url in names.items()]
        rules = [TOLD | {"name": name, "target": name} for name in names]
        async with bench(tmp_path, config_of(rules, targets, retry_s=[600])) as here:
            events = await here.happened([("run.ended", "agent:a", "s", {"run": f"r{n}"}) for n in range(50)])
            await until(lambda: len(receiver.ids("/hook")) == 50, "the good target's webhooks")
            await until(lambda: here.hooks.pending == {"hangs": 50, "gone": 50, "bad": 50}, "the others' waiting")
            assert [got.json["id"] for got in receiver.got if got.path == "/hook"] == events
            assert len(slow.got) == 1
            slow.gate.set()


async def test_more_at_a_time_keeps_order_in_each_session(tmp_path: Path, receiver: Receiver) -> None:
    """A target that bears more gets sessions side by side, each in its order."""
    receiver.gate.clear()
    targets = [webhook("crm", receiver.url(), concurrency=4)]
    async with bench(tmp_path, config_of([TOLD], targets)) as here:
        await here.happened([("run.ended", "agent:a", f"s{n % 6}", {"run": n}) for n in range(60)])
        await until(lambda: len(receiver.got) == 4, "four at a time")
        await asyncio.sleep(0.05)
        assert len(receiver.got) == 4
        receiver.gate.set()
        await here.settled()

    assert len(receiver.got) == 60
    for session in {got.json["session"] for got in receiver.got}:
        runs = [got.json["data"]["run"] for got in receiver.got if got.json["session"] == session]
        assert runs == sorted(runs)


async def test_a_target_is_not_sent_to_faster_than_it_bears(tmp_path: Path, receiver: Receiver) -> None:
    """`per_s` requests a second are begun, after a first burst of as many."""
    async with bench(tmp_path, config_of([TOLD], [webhook("crm", receiver.url(), per_s=20)])) as here:
        began = time.monotonic()
        await here.happened([("run.ended", "agent:a", "s", {"run": n}) for n in range(30)])
        await here.settled()
        assert time.monotonic() - began > 0.4

    assert len(receiver.got) == 30


async def test_what_a_dead_target_is_owed_is_bounded(tmp_path: Path, receiver: Receiver) -> None:
    """Beyond hooks_deliveries_max its oldest are given up, which the log of hooks says; others lose nothing."""
    receiver.answer = lambda got: 500 if got.path == "/bad" else 200
    targets = [webhook("bad", receiver.url("/bad")), webhook("good", receiver.url(), per_s=1_000)]
    rules = [TOLD | {"name": name, "target": name} for name in ("bad", "good")]
    limits = Limits(hooks_deliveries_max=100)
    async with bench(tmp_path, config_of(rules, targets, retry_s=[600]), limits=limits) as here:
        for count in range(50, 401, 50):
            await here.happened([("run.ended", "agent:a", "s", {"run": n}) for n in range(50)])
            await until(partial(receiver.has, count, "/hook"), "the good target's webhooks")
        await here.judged()
        await until(lambda: here.hooks.pending.get("bad", 0) <= 100, "the bound")
        waiting = [d for d in await here.deliveries("pending") if d.target == "bad"]
        dropped = await here.deliveries("dropped")
        page = here.hooks.metrics.render()[0].decode()

    assert {d.target for d in dropped} == {"bad"}
    assert len(dropped) + len(waiting) == 400
    assert max(d.row for d in dropped) < min(d.row for d in waiting)
    assert f'result="dropped"}} {len(dropped)}.0' in page
    assert {d.reason for d in dropped} == {"too many waited"}


async def test_the_log_of_hooks_is_bounded(tmp_path: Path, receiver: Receiver) -> None:
    """Of what was delivered the newest hooks_log_max are kept."""
    config = config_of([TOLD], [webhook("crm", receiver.url(), per_s=1_000)])
    async with bench(tmp_path, config) as here:
        await here.happened([("run.ended", "agent:a", "s", {"run": n}) for n in range(30)])
        await here.settled()
        newest = (await here.deliveries())[0]
    async with bench(tmp_path, config, limits=Limits(hooks_log_max=10)) as here:
        kept = await here.deliveries()

    assert len(kept) == 10
    assert kept[0].id == newest.id


def notice(*texts: str) -> Notice:
    events = [
        {"id": f"evt_{n}", "type": "message.created", "at": "", "session": "s", "by": "", "data": {"text": text}}
        for n, text in enumerate(texts)
    ]
    type = "message.created" if len(events) == 1 else "digest"
    return Notice("msg_1", "r", "webhook", "crm", "", "s", type, events, "", "", "", "", 1)


def test_a_body_is_bounded() -> None:
    """By hook_body_bytes_max: long texts are cut, a digest's oldest events left out and counted."""
    bytes_max = Limits().hook_body_bytes_max

    assert b"short" in body_of(notice("short"), bytes_max)
    assert b"x" * 15_000 in body_of(notice("x" * 15_000), bytes_max)
    assert len(body_of(notice("ß" * 15_000), bytes_max)) < 2_000
    many = body_of(notice(*(f"{n} " + "y" * 1_000 for n in range(500))), bytes_max)
    assert 10_000 < len(many) <= bytes_max
    assert b'"left_out":' in many
    assert b'"evt_499"' in many
    assert b'"evt_0"' not in many


def test_a_body_is_filled_from_the_newest() -> None:
    """To the last byte; of all the others none is looked at, so that many cost no more than fit."""
    three = notice(*"abc")
    whole = body_of(three, 10_000)
    assert body_of(three, len(whole)) == whole
    told = json.loads(body_of(three, len(whole) - 1))
    assert ([event["id"] for event in told["data"]["events"]], told["data"]["left_out"]) == (["evt_1", "evt_2"], 1)

    many = notice(*(f"{n}" for n in range(1_000)))
    events: list[Any] = [None] * 20_000 + [*many.events]
    body = body_of(replace(many, events=events), 20_000)
    data = json.loads(body)["data"]
    assert 20_000 - 200 < len(body) <= 20_000
    assert len(data["events"]) + data["left_out"] == 21_000
    assert data["events"][-1]["id"] == "evt_999"


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Sent()), (204, Sent()), (299, Sent()), (410, Gone("answered 410")), (400, Retry(7, "answered 400")),
        (404, Retry(7, "answered 404")), (429, Retry(7, "answered 429")), (503, Retry(7, "answered 503")),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, result: object) -> None:
    """2xx took it, 410 wants nothing more, anything else is tried again, not before `Retry-After`."""
    assert result_of(status, 7) == result


async def test_retry_after_is_heeded(tmp_path: Path, receiver: Receiver) -> None:
    """A target that says when to come back is left alone until then."""
    answers = iter([web.Response(status=503, headers={"Retry-After": "1"}), web.Response()])
    receiver.answer = lambda _: next(answers)
    async with bench(tmp_path, config_of([TOLD], [webhook("crm", receiver.url())])) as here:
        began = time.monotonic()
        await here.happen("run.ended", run="r1")
        await here.settled()
        assert time.monotonic() - began >= 0.9


async def test_a_restart_loses_and_doubles_nothing(tmp_path: Path, receiver: Receiver) -> None:
    """What waited is delivered afterwards, once, in order; what was delivered is not again."""
    config = config_of([TOLD], [webhook("crm", receiver.url())], retry_s=[0.2] * 20)
    receiver.answer = lambda got: 200 if len(receiver.got) < 6 else 500
    async with bench(tmp_path, config) as here:
        events = await here.happened([("run.ended", "agent:a", "s", {"run": n}) for n in range(12)])
        await until(lambda: len(receiver.got) >= 6)
    receiver.answer = lambda _: 200
    async with bench(tmp_path, config) as here:
        await here.settled()

    taken = list(dict.fromkeys(got.json["id"] for got in receiver.got))
    assert taken == events
    assert len({got.id for got in receiver.got}) == 12
