"""What hooks keep in the log's database: turns, deliveries, and what is erased, damaged or given up."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.codec import pack, unpack
from syncd.core.events import Event
from syncd.store.hook_rows import (
    About,
    Delivery,
    HookTurn,
    Mark,
    Settled,
    Wait,
)
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteSessionLog]:
    """A log with a session `s` of the incarnation `i`."""
    log = SqliteSessionLog(tmp_path / "syncd.db")
    await log.open()
    await log.create("s", "i", 1)
    yield log
    await log.close()


def delivery(
    id: str, *, session: str = "s", target: str = "t", subject: str = "", seq: int = 0, tag: str = ""
) -> Delivery:
    where = "push" if subject else "webhook"
    return Delivery(
        id,
        session,
        target,
        f"{where}:{subject or target}",
        id.encode(),
        subject,
        seq,
        tag,
        5,
        5,
        "i" if session else "",
    )


async def put(log: SqliteSessionLog, *deliveries: Delivery) -> None:
    await log.outbox.commit(HookTurn(1, deliveries))


async def ids(log: SqliteSessionLog, *states: str) -> list[str]:
    return [d.id for d in await log.outbox.list(states=states or ("pending",))]


async def test_a_turn_is_stored_whole(log: SqliteSessionLog, tmp_path: Path) -> None:
    """The place, deliveries, waits and facts; read back as they were, also by another process after a restart."""
    turn = HookTurn(
        7, [delivery("a"), delivery("b", session="")], [Wait("s", "i", 9, b"w")], about=[About("s", "i", "k", b"v")]
    )
    committed = await log.outbox.commit(turn)
    await log.close()
    again = SqliteSessionLog(tmp_path / "syncd.db")
    await again.open()
    try:
        assert await again.outbox.cursor() == 7
        assert [d.id for d in await again.outbox.list()] == ["b", "a"]
        assert list(await again.outbox.waits()) == list(committed.waits)
        assert await again.outbox.about([("s", "i")]) == {("s", "i"): {"k": b"v"}}
        assert [(lane, target) for lane, target, _ in await again.outbox.lanes()] == [("webhook:t", "t")]
        assert await again.outbox.counts() == {"t": 2}
        assert list(await again.verify()) == []
    finally:
        await again.close()


async def test_who_put_a_session_away_is_not_known_as_a_participant(log: SqliteSessionLog) -> None:
    """Nobody is told of what they wanted out of their sight; whoever is addressed there is to be told."""
    for subject in ("user:ann", "user:bob"):
        assert await log.listing.stand("s", subject, archived=True, now_ms=1)
    body = {"message": "m1", "role": "user", "to": ["user:bob"], "seq": 1, "text": "hi"}
    event = Event("k", "message.created", 1, "agent:planner", body)
    assert await log.append([Append("s", 0, [Entry(EntryKind.TRANSCRIPT, b"x")], (), [event])]) == []
    assert [*(await log.outbox.about([("s", "i")]))["s", "i"]] == ["s:user:bob"]


async def test_what_is_given_again_is_left_as_it_is(log: SqliteSessionLog) -> None:
    """A delivery has its id once, whatever became of it."""
    await put(log, delivery("a"))
    await log.outbox.mark([Mark(1, "sent", 1, ended_ms=6)])
    committed = await log.outbox.commit(HookTurn(2, [delivery("a"), delivery("b")]))

    assert [d.id for d in committed.deliveries] == ["b"]
    assert await ids(log, "sent") == ["a"]


async def test_nothing_is_stored_of_a_session_that_is_gone(log: SqliteSessionLog) -> None:
    """Deleted, made anew, or never there: what was judged before and comes after is dropped."""
    await log.delete("s", 2)
    gone = HookTurn(3, [delivery("a")], [Wait("s", "i", 9, b"w")], about=[About("s", "i", "k", b"v")])
    committed = await log.outbox.commit(gone)
    await log.create("s", "new", 3)
    later = await log.outbox.commit(HookTurn(4, [delivery("b"), delivery("c", session="never")]))

    assert (committed.deliveries, committed.waits, later.deliveries) == ([], [None], [])
    assert await log.outbox.cursor() == 4
    assert list(await log.verify()) == []


async def test_a_turn_that_fails_leaves_nothing(log: SqliteSessionLog) -> None:
    """Not even its place."""
    with pytest.raises(AttributeError):
        await log.outbox.commit(HookTurn(9, [delivery("a"), None]))  # type: ignore[list-item]

    assert await log.outbox.cursor() == 0
    assert await ids(log) == []


async def test_what_is_settled_is_taken_back_or_withdrawn(log: SqliteSessionLog) -> None:
    """By tag for everybody, or for one person up to a place; what was sent is withdrawn where that can be."""
    people = [
        delivery(f"{who}{seq}", target=who, subject=who, seq=seq, tag=f"x:{seq}") for who in "mt" for seq in (1, 2, 3)
    ]
    await put(log, *people, delivery("hook"))
    await log.outbox.mark([Mark(1, "sent", 1)])
    settled = [
        Settled("s", "i", subject="m", seq=2, withdraw=("push:",)),
        Settled("s", "i", tag="x:3", withdraw=("push:",)),
    ]
    committed = await log.outbox.commit(HookTurn(2, settled=settled, now_ms=8))

    assert sorted(await ids(log, "withdrawn")) == ["m2", "m3", "t3"]
    assert await ids(log, "read") == ["m1"]
    assert [(d.id, d.act, d.lane) for d in committed.deliveries] == [("m1.w", "withdraw", "push:m")]
    assert sorted(lane for _, _, lane in committed.taken_back) == ["push:m", "push:m", "push:t"]
    assert sorted(await ids(log)) == ["hook", "m1.w", "t1", "t2"]


async def test_what_was_sent_while_it_was_taken_back_is_withdrawn(log: SqliteSessionLog) -> None:
    """Its attempt was under way: the device shows it, so it has to be taken away there."""
    await put(log, delivery("m1", subject="m", seq=1))
    await log.outbox.commit(HookTurn(2, settled=[Settled("s", "i", subject="m", seq=1)], now_ms=8))
    marked = await log.outbox.mark([Mark(1, "sent", 1, ended_ms=9)], withdraw=("push:",))

    assert (marked.rows, [(d.id, d.act) for d in marked.deliveries]) == ([], [("m1.w", "withdraw")])
    assert await ids(log, "read") == ["m1"]


async def test_what_failed_may_have_been_shown_all_the_same(log: SqliteSessionLog) -> None:
    """On one device of several: it is withdrawn when it is read, between attempts, during one, or after the last."""
    await put(log, *(delivery(f"m{seq}", subject="m", seq=seq) for seq in (1, 2, 3, 4)))
    await log.outbox.mark([Mark(1, "pending", 1, due_ms=9), Mark(2, "dead", 3)])
    settled = Settled("s", "i", subject="m", seq=3, withdraw=("push:",))
    committed = await log.outbox.commit(HookTurn(2, settled=[settled], now_ms=8))
    marked = await log.outbox.mark([Mark(3, "pending", 1, due_ms=9)], withdraw=("push:",))

    assert [d.id for d in committed.deliveries] == ["m1.w", "m2.w"]
    assert [d.id for d in marked.deliveries] == ["m3.w"]
    assert await ids(log, "withdrawn") == ["m3", "m2", "m1"]
    assert [row for row, _, _ in committed.taken_back] == [1, 3]


async def test_what_was_read_is_not_replayed(log: SqliteSessionLog) -> None:
    """A dead letter to a person is settled like what waits; one to a program stays."""
    await put(log, delivery("m1", subject="m", seq=1, tag="x"), delivery("hook", tag="x"))
    await log.outbox.mark([Mark(1, "dead", 3), Mark(2, "dead", 3)])
    await log.outbox.commit(HookTurn(2, settled=[Settled("s", "i", subject="m", seq=1)], now_ms=8))
    await log.outbox.commit(HookTurn(3, settled=[Settled("s", "i", tag="x")], now_ms=9))

    assert await log.outbox.replay(ids=["m1", "hook"], now_ms=20) != []
    assert await ids(log) == ["hook"]
    assert await ids(log, "withdrawn") == ["m1"]


async def test_reading_costs_nothing_of_what_others_were_told(log: SqliteSessionLog, tmp_path: Path) -> None:
    """What a person has read is found by the person, however much was told of the session."""
    asked: list[str] = []
    await log._database.run(lambda connection: connection.set_trace_callback(asked.append))
    await log.outbox.commit(HookTurn(1, settled=[Settled("s", "i", subject="m", seq=3)], now_ms=8))
    (query,) = [sql for sql in asked if "seq <=" in sql]
    with closing(sqlite3.connect(tmp_path / "syncd.db")) as raw:
        plan = " ".join(str(row) for row in raw.execute(f"EXPLAIN QUERY PLAN {query}"))

    assert "USING INDEX delivery_subject (number=? AND subject=? AND seq>? AND seq<?)" in plan


async def test_a_lane_is_read_in_order_and_what_is_damaged_is_dead(log: SqliteSessionLog, tmp_path: Path) -> None:
    """A bit that flipped does not stop what comes behind it, and is found by a check."""
    await put(log, *(delivery(name) for name in "abc"))
    with closing(sqlite3.connect(tmp_path / "syncd.db")) as raw:
        raw.execute("UPDATE delivery SET data = x'00' WHERE id = 'a'")
        raw.commit()

    assert [problem.what for problem in await log.verify()] == ["the delivery a does not check"]
    assert [d.id for d in await log.outbox.lane("webhook:t", 10)] == ["b", "c"]
    assert await log.outbox.counts("dead") == {"t": 1}


async def test_dead_ones_wait_again_as_if_new(log: SqliteSessionLog) -> None:
    """By id or by target, oldest first; others stay."""
    await put(log, delivery("a"), delivery("b"), delivery("c", target="u"), delivery("d"))
    await log.outbox.mark([Mark(row, "dead", 5, reason="answered 500") for row in (1, 2, 3)])

    assert [d.id for d in await log.outbox.replay(ids=["c", "d", "none"], now_ms=20)] == ["c"]
    (revived, second) = await log.outbox.replay(target="t", now_ms=30)
    assert (revived.id, revived.attempt, revived.due_ms, revived.reason, second.id) == ("a", 0, 30, "", "b")
    assert sorted(await ids(log)) == ["a", "b", "c", "d"]


async def test_the_oldest_are_given_up(log: SqliteSessionLog) -> None:
    """Of one target, and no others'; of what ended, the newest are kept."""
    await put(log, *(delivery(f"t{n}") for n in range(5)), delivery("u", target="u"))
    assert await log.outbox.drop_oldest("t", 3, 9) == 3
    assert await ids(log) == ["u", "t4", "t3"]
    assert await ids(log, "dropped") == ["t2", "t1", "t0"]

    await log.outbox.bury("u", "gone", 9)
    await log.outbox.prune(ended_max=4, dead_max=0)
    assert await ids(log, "dropped") == ["t2"]
    assert await ids(log, "dead") == []


async def test_a_deleted_sessions_part_is_cut_out(log: SqliteSessionLog, tmp_path: Path) -> None:
    """Of what is of several sessions, the others' stays; nothing of it can be read from the file any more."""
    several = pack(["head", [{"session": "s", "text": "ERASED"}, {"session": "t", "text": "kept"}]])
    alone = pack(["head", [{"session": "s", "text": "ERASED"}]])
    both = [Delivery(id, "", "t", "webhook:t", data) for id, data in (("x", several), ("y", alone))]
    await put(log, delivery("own"), *both)
    await log.delete("s", 2)

    (left,) = await log.outbox.list()
    assert unpack(left.data) == ["head", [{"session": "t", "text": "kept"}]]
    assert list(await log.verify()) == []
    for name in ("syncd.db", "syncd.db-wal"):
        assert b"ERASED" not in (tmp_path / name).read_bytes()


async def test_of_what_is_of_several_only_what_is_there_is_stored(log: SqliteSessionLog) -> None:
    """A session that is gone, or made anew, before a digest is stored has no part in it; without any it is none."""
    await log.create("t", "i", 1)
    await log.delete("s", 2)
    await log.create("s", "new", 3)
    events = [{"session": "s", "text": "old"}, {"session": "t", "text": "kept"}, {"session": "s", "text": "new"}]
    of = (("s", "i"), ("t", "i"), ("s", "new"))
    both = Delivery("x", "", "t", "webhook:t", pack(["head", events]), of=of)
    alone = Delivery("y", "", "t", "webhook:t", pack(["head", events[:1]]), of=of[:1])
    committed = await log.outbox.commit(HookTurn(4, [both, alone]))

    (left,) = await log.outbox.list()
    assert [event["text"] for event in unpack(left.data)[1]] == ["kept", "new"]
    assert [d.data for d in committed.deliveries] == [left.data]


async def test_rules_and_disabled_targets_are_kept(log: SqliteSessionLog, tmp_path: Path) -> None:
    """A rule that does not check is not read back."""
    outbox = log.outbox
    await outbox.put_rule("a", b"1")
    await outbox.put_rule("a", b"2")
    await outbox.put_rule("b", b"3")
    await outbox.disable("t", "answered 410", 1)
    with closing(sqlite3.connect(tmp_path / "syncd.db")) as raw:
        raw.execute("UPDATE hook_rule SET data = x'00' WHERE name = 'b'")
        raw.commit()

    assert await outbox.rules() == {"a": b"2"}
    assert await outbox.disabled() == {"t": "answered 410"}
    assert (await outbox.drop_rule("a"), await outbox.drop_rule("a")) == (True, False)
    assert (await outbox.enable("t"), await outbox.enable("t")) == (True, False)
