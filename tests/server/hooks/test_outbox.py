"""What happens to deliveries while they wait for their turn, and while they are under way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from syncd.core.limits import Limits
from syncd.server.hooks.channel import Gone, Notice, Result, Retry, Sent
from tests.harness import until
from tests.server.hooks.bench import Bench, FakeChannel, bench, config_of, webhook

MONA, THEO = "user:mona", "user:theo"


class HeldChannel(FakeChannel):
    """Takes notices, and ends what `holds` says when `go` is set."""

    def __init__(self, holds: Callable[[Notice], bool] = lambda _: True) -> None:
        super().__init__()
        self.holds = holds
        self.go = asyncio.Event()

    async def send(self, notice: Notice) -> Result:
        self.sent.append(notice)
        if self.holds(notice):
            await self.go.wait()
        return self.answer(notice)


def push(**fields: Any) -> dict[str, Any]:
    """A rule that tells Mona of messages."""
    return {"name": "r", "on": ["message.created"], "channel": "push", "whom": [MONA]} | fields


async def read(here: Bench, seq: int, session: str = "s") -> None:
    """Have Mona read up to somewhere, and that be stored."""
    await here.happen("read.moved", MONA, session, subject=MONA, seq=seq)
    await here.judged()


async def held_up(here: Bench, channel: HeldChannel) -> None:
    """Have five messages be told, of which the first is under way."""
    for seq in range(1, 6):
        await here.message(THEO, seq)
    await until(lambda: channel.sent, "the first")
    await here.judged()


async def test_what_was_read_before_its_turn_is_not_sent(tmp_path: Path) -> None:
    """Of five messages of which the first is under way, no other is told of once all were read."""
    channel = HeldChannel()
    async with bench(tmp_path, config_of([push()]), push=channel) as here:
        await held_up(here, channel)
        await read(here, 5)
        channel.go.set()
        await here.settled()
        await until(lambda: channel.withdrawn, "the first's withdrawal")

    assert len(channel.sent) == 1


async def test_what_was_erased_before_its_turn_is_not_sent(tmp_path: Path) -> None:
    """A session that is deleted is not told of any more, and nothing is counted that waits no longer."""
    channel = HeldChannel()
    async with bench(tmp_path, config_of([push()]), push=channel) as here:
        await held_up(here, channel)
        await here.log.delete("s", 1)
        here.hooks.deleted("s")
        channel.go.set()
        await here.settled()
        await here.message(THEO, 1, "other")
        await here.settled()

    assert [notice.session for notice in channel.sent] == ["s", "other"]


async def test_what_is_taken_back_under_way_is_counted_once(tmp_path: Path) -> None:
    """What waits is as many as are on disk, however the attempt ends."""
    channel = HeldChannel(lambda notice: notice.events[0]["data"]["seq"] == 1)
    channel.answer = lambda notice: Sent() if notice.events[0]["data"]["seq"] == 1 else Retry(None, "down")
    async with bench(tmp_path, config_of([push()], person_retry_s=(60.0, 60.0)), push=channel) as here:
        for seq in (1, 2, 3):
            await here.message(THEO, seq)
        await until(lambda: channel.sent, "the first")
        await read(here, 1)
        channel.go.set()
        await here.tried(1, "pending")  # The second, which failed.
        # The second and the third, and the first one's withdrawal behind them.
        assert len(await here.deliveries("pending")) == 3
        await until(lambda: here.hooks.pending == {MONA: 3}, "the count")


async def test_persons_who_cannot_be_reached_hold_up_nobody_else(tmp_path: Path) -> None:
    """However many of them there are."""
    channel = HeldChannel(lambda notice: notice.subject != MONA)
    rule = {"name": "r", "on": ["message.created"], "channel": "push", "whom": ["addressed"]}
    async with bench(tmp_path, config_of([rule]), push=channel) as here:
        for seq in (1, 2, 3):
            await here.message(THEO, seq, to=[f"user:p{seq}-{number}" for number in range(60)])
        await until(lambda: len(channel.sent) == 180, "the others' attempts")
        await here.message(THEO, 1, "other", to=[MONA])
        await until(lambda: channel.sent[-1].subject == MONA, "Mona's notice")


async def test_a_person_without_a_device_pushes_out_no_dead_letter(tmp_path: Path) -> None:
    """That is no failure: it is said in the log of hooks, warned of to nobody, and nothing to replay."""
    channel = FakeChannel()
    channel.answer = lambda _: Gone("no device")
    hook = FakeChannel()
    hook.answer = lambda _: Retry(None, "answered 500")
    rules = [push(), {"name": "crm", "on": ["run.ended"], "channel": "webhook", "target": "crm"}]
    config = config_of(rules, [webhook("crm", "http://127.0.0.1:9/")])
    async with bench(
        tmp_path, config, push=channel, channels={"webhook": hook}, limits=Limits(hooks_log_max=3)
    ) as here:
        await here.happen("run.ended", "agent:planner", "s", run="r1", agent="agent:planner", status="completed")
        await here.settled()
        with capture_logs() as logged:
            for seq in range(1, 6):
                await here.message(THEO, seq)
            await here.settled()
        await here.log.outbox.prune(ended_max=3, dead_max=3)
        assert [delivery.target for delivery in await here.deliveries("dead")] == ["crm"]
        assert {(d.target, d.reason) for d in await here.deliveries("dropped")} == {(MONA, "no device")}
        assert logged == []
