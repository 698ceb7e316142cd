"""What happens to deliveries while they wait for their turn, and while they are under way."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from syncd.server.hooks.channel import Notice, Result, Retry, Sent
from tests.harness import until
from tests.server.hooks.bench import Bench, FakeChannel, bench, config_of

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


async def test_what_was_read_before_its_turn_is_not_sent(tmp_path: Path) -> None:
    """Of five messages of which the first is under way, no other is told of once all were read."""
    channel = HeldChannel()
    async with bench(tmp_path, config_of([push()]), push=channel) as here:
        for seq in range(1, 6):
            await here.message(THEO, seq)
        await until(lambda: channel.sent, "the first")
        await here.judged()
        await read(here, 5)
        channel.go.set()
        await here.settled()
        await until(lambda: channel.withdrawn, "the first's withdrawal")

    assert len(channel.sent) == 1


async def test_what_was_erased_before_its_turn_is_not_sent(tmp_path: Path) -> None:
    """A session that is deleted is not told of any more, and nothing is counted that waits no longer."""
    channel = HeldChannel()
    async with bench(tmp_path, config_of([push()]), push=channel) as here:
        for seq in range(1, 6):
            await here.message(THEO, seq)
        await until(lambda: channel.sent, "the first")
        await here.judged()
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
        await until(lambda: b'result="retry"' in here.hooks.metrics.render()[0], "the second's failure")
        await asyncio.sleep(0.1)
        # The second and the third, and the first one's withdrawal behind them.
        assert len(await here.deliveries("pending")) == 3
        assert here.hooks.pending == {MONA: 3}
