"""Overlooked: what was not told because somebody was there, who turns out to have been gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncd.server.hooks.happened import Happened
from syncd.server.hooks.judge import Stage
from syncd.server.hooks.overlooked import Lookout, Overlooked
from syncd.store.hook_rows import Committed, HookTurn
from tests.harness import until
from tests.server.hooks.bench import Bench, bench, config_of
from tests.server.hooks.test_conditions import EVE, MONA, THEO, push, told


async def missed(here: Bench) -> None:
    """Have Mona's machine found dead, and the time pass in which it could be back."""
    here.people.lose("s", MONA, 0)
    await here.caught_up()
    here.later(12)
    await here.caught_up()


async def test_what_came_while_a_dead_machine_seemed_to_look_is_told_after_all(tmp_path: Path) -> None:
    """As soon as they could be back, and what came before it died is not; nor what another saw who watches too."""
    rules = [push(), push("alone", whom=[EVE], when={"nobody_watching": True})]
    async with bench(tmp_path, config_of(rules)) as here:
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=0)
        here.people.watches |= {("s", MONA), ("s", THEO)}
        here.people.audiences["s"] = {MONA: "active", THEO: "active"}
        await here.message(EVE, 1)
        here.later(1)
        died_ms = here.clock()
        await here.message("agent:planner", 2)
        await here.settled()
        assert told(here) == [(EVE, "m2")]

        here.people.lose("s", MONA, died_ms)
        await here.caught_up()
        assert told(here) == [(EVE, "m2")]
        here.later(12)
        await until(lambda: len(here.push.sent) == 2, "the notice")
        assert told(here) == [(EVE, "m2"), (MONA, "m2")]
        here.people.lose("s", THEO, died_ms)
        await here.caught_up()
        here.later(12)
        await until(lambda: len(here.push.sent) == 4, "the notices")
        assert sorted(told(here)[2:]) == [(EVE, "m2"), (THEO, "m2")]


@pytest.mark.parametrize("back", ["looks", "read"])
async def test_who_comes_back_after_a_lost_link_is_not_told(tmp_path: Path, back: str) -> None:
    """The network changed, and they look again; or they have read it elsewhere."""
    async with bench(tmp_path, config_of([push()])) as here:
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=0)
        here.people.watches.add(("s", MONA))
        await here.message(THEO, 1)
        await here.settled()
        here.people.lose("s", MONA, here.clock() - 60_000)
        if back == "looks":
            here.people.watches.add(("s", MONA))
        else:
            await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await here.caught_up()
        here.later(12)
        await here.caught_up()

        assert told(here) == []


async def test_who_seemed_to_be_at_it_elsewhere_is_told_as_well(tmp_path: Path) -> None:
    """Away on all devices: the one that was not is dead."""
    rules = [push(when={"away_on_all_devices": True})]
    async with bench(tmp_path, config_of(rules)) as here:
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=0)
        here.people.statuses[MONA] = "active"
        await here.message(THEO, 1)
        await here.settled()
        assert told(here) == []
        here.people.statuses[MONA] = "offline"
        here.people.lose("other", MONA, here.clock() - 60_000)
        await here.caught_up()
        here.later(12)
        await until(lambda: here.push.sent, "the notice")

        assert told(here) == [(MONA, "m1")]


async def test_what_somebody_answered_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    """The approval that she seemed to see is decided by another before her machine is missed."""
    async with bench(tmp_path, config_of([push(on=["approval.requested"], whom=[MONA])])) as here:
        here.people.watches.add(("s", MONA))
        call = {"run": "r1", "tool_call": "r1.c1", "tool": "book"}
        await here.happen("approval.requested", "agent:planner", "s", **call)
        await here.happen("tool.decided", THEO, "s", decision="approved", **call)
        await here.settled()
        await missed(here)

        assert told(here) == []


@pytest.mark.parametrize("unread", [{}, {"unread_for_s": 5}])
async def test_with_nobody_watching_whoever_else_watched_has_seen_it(tmp_path: Path, unread: dict[str, Any]) -> None:
    """The rule is for when nobody is there: another was, who has left since."""
    rule = push(on=["run.ended"], whom=[MONA], when={"nobody_watching": True} | unread)
    async with bench(tmp_path, config_of([rule])) as here:
        here.people.watches |= {("s", MONA), ("s", THEO)}
        await here.happen("run.ended", "agent:planner", "s", run="r1", agent="agent:planner", status="completed")
        await here.settled()
        here.people.watches.discard(("s", THEO))
        await missed(here)

        assert told(here) == []


async def test_a_machine_that_dies_before_it_is_asked_is_none(tmp_path: Path) -> None:
    """It was heard when the message came and not when its 30 seconds were over: nobody was at it then."""
    rule = push(whom=[MONA], when={"unread_for_s": 30, "away_on_all_devices": True})
    async with bench(tmp_path, config_of([rule])) as here:
        here.people.statuses[MONA] = "active"
        await here.message(THEO, 1)
        await here.caught_up()
        here.later(10)
        died_ms = here.clock()
        here.later(21)
        await until(lambda: len(here.hooks._engine._lookout) == 1, "its being judged")
        here.people.statuses[MONA] = "offline"
        here.people.lose("other", MONA, died_ms)
        await here.caught_up()
        here.later(12)
        await until(lambda: here.push.sent, "the notice")

        assert told(here) == [(MONA, "m1")]


async def test_who_is_missed_while_the_turn_is_stored_is_told(tmp_path: Path) -> None:
    """The link is found dead after she was found to look, and before that is on the disk."""
    async with bench(tmp_path, config_of([push(whom=[MONA])])) as here:
        here.people.watches.add(("s", MONA))
        store: Any = here.log.outbox
        commit: Callable[[HookTurn], Any] = store.commit

        async def slow(turn: HookTurn) -> Committed:
            committed: Committed = await commit(turn)
            here.people.lose("s", MONA, 0)
            return committed

        store.commit = slow
        await here.message(THEO, 1)
        await here.judged()
        store.commit = commit
        await here.caught_up()
        here.later(12)
        await until(lambda: here.push.sent, "the notice")

        assert told(here) == [(MONA, "m1")]


def noted(
    session: str, subject: str, at_ms: int, *, here: set[str] | None = None, anywhere: bool = False
) -> Overlooked:
    """A notice that was not told."""
    event = Happened("e", "message.created", at_ms, session, "i", THEO, {}, 1, "", "m1")
    where = "" if anywhere else session
    return Overlooked("tell", Stage.START, 0, subject, event, here or {subject}, where, at_ms)


def test_what_is_on_the_lookout_is_bounded_by_time_and_for_each_session() -> None:
    """A crowd in one session pushes nothing of another out; after a while every dead link was found."""
    lookout = Lookout(50_000)
    lookout.add([noted("s", MONA, 1_000)], 1_000)
    lookout.add([noted("busy", THEO, 1_000) for _ in range(6_000)], 1_000)
    assert len(lookout) == 5_001
    assert [one.subject for one in lookout.lost("s", MONA, 500)] == [MONA]
    assert lookout.lost("s", MONA, 500) == []
    lookout.add([noted("s", MONA, 2_000, anywhere=True)], 2_000)
    lookout.add([noted("t", EVE, 60_000)], 60_000)
    assert len(lookout) == 1
    assert lookout.lost("elsewhere", MONA, 0) == []
    assert len(lookout.lost("t", EVE, 0)) == 1


def test_who_was_elsewhere_is_found_by_whatever_they_looked_at() -> None:
    """And who looked at the session itself only by that."""
    lookout = Lookout(50_000)
    lookout.add([noted("s", MONA, 1_000, anywhere=True), noted("s", MONA, 1_000)], 1_000)
    assert [one.session for one in lookout.lost("other", MONA, 0)] == [""]
    assert [one.session for one in lookout.lost("s", MONA, 0)] == ["s"]
    lookout.add([noted("s", EVE, 1_000, here={MONA, THEO}), noted("t", EVE, 1_000)], 1_000)
    lookout.drop("t", lambda _: True)
    assert lookout.lost("s", MONA, 0) == []
    assert [one.subject for one in lookout.lost("s", THEO, 0)] == [EVE]
    assert len(lookout) == 0
