"""Crowds: what concerns many persons, or much that waits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.store.hook_rows import Committed, HookTurn
from tests.harness import until
from tests.server.hooks.bench import FakePeople, bench, config_of
from tests.server.hooks.test_conditions import MONA, push, told

_CROWD = [f"user:u{number}" for number in range(600)]


def said(seq: int) -> tuple[str, str, str, dict[str, Json]]:
    """An event of a message of an agent."""
    body: dict[str, Json] = {"message": f"m{seq}", "role": "user", "to": [], "seq": seq, "text": "word"}
    return "message.created", "agent:planner", "s", body


async def test_what_concerns_a_crowd_is_stored_in_parts(tmp_path: Path) -> None:
    """The disk's one thread is for the sessions too; each event is judged once all the same, for each of the crowd."""
    people = FakePeople(audiences={"s": dict.fromkeys(_CROWD, "offline")})
    async with bench(tmp_path, config_of([push(when={"unread_for_s": 600})]), people=people) as here:
        store: Any = here.log.outbox
        commit: Callable[[HookTurn], Any] = store.commit
        sizes: list[int] = []

        async def noted(turn: HookTurn) -> Committed:
            sizes.append(len(turn.waits))
            committed: Committed = await commit(turn)
            return committed

        store.commit = noted
        await here.happened([said(seq) for seq in range(1, 8)])
        await here.judged()

        assert [size for size in sizes if size] == [1200, 1200, 1200, 600]
        waits = await here.log.outbox.waits()
        assert len({wait.data for wait in waits}) == len(waits) == 7 * len(_CROWD)


async def test_reading_ends_the_waits_of_the_reader_and_no_others(tmp_path: Path) -> None:
    """Up to where it was read; those of the others, and of what comes behind it, go on."""
    async with bench(tmp_path, config_of([push(whom=_CROWD[:3], when={"unread_for_s": 600})])) as here:
        await here.happened([said(seq) for seq in (1, 2, 3)])
        await here.judged()
        await here.happen("read.moved", _CROWD[0], "s", subject=_CROWD[0], seq=2)
        await here.judged()
        await until(lambda: len(here.hooks._engine._room) == 7, "the reader's two to end")
        here.later(601)
        await until(lambda: len(here.push.sent) == 7, "the others")

        assert sorted(told(here)) == sorted(
            (who, f"m{seq}")
            for who in _CROWD[:3]
            for seq in (1, 2, 3)
            if (who, seq) not in {(_CROWD[0], 1), (_CROWD[0], 2)}
        )


async def test_what_does_not_wait_for_want_of_room_is_logged_once_a_turn(tmp_path: Path) -> None:
    """A line for each of a crowd would fill the disk."""
    config = config_of([push(whom=_CROWD[:50], when={"unread_for_s": 600})])
    async with bench(tmp_path, config, limits=Limits(hooks_waits_max=10)) as here:
        with capture_logs() as logged:
            await here.happened([said(1)])
            await here.settled()

        assert len(here.push.sent) == 40
        assert [(log["told_at_once"], log["waits"]) for log in logged if log["event"] == "hooks_full"] == [(40, 10)]


async def test_what_comes_as_a_digest_is_told_begins_the_next(tmp_path: Path) -> None:
    """It is not told at once and alone for the time of the one that is over."""
    async with bench(tmp_path, config_of([push(whom=[MONA], digest_s=300)])) as here:
        await here.happened([said(1)])
        await here.judged()
        here.clock.ahead_ms += 301_000
        await here.happened([said(2)])
        await here.judged()
        await until(lambda: here.push.sent, "the digest")
        await here.settled()
        assert [len(notice.events) for notice in here.push.sent] == [1]
        assert told(here) == [(MONA, "m1")]
        here.later(301)
        await until(lambda: len(here.push.sent) == 2, "the next digest")

        assert told(here) == [(MONA, "m1"), (MONA, "m2")]
