"""Replica: bytes in and out, plain values in and out; after a failure it is never used again."""

import time

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.core.replica import (
    Replica,
    ReplicaBroken,
    SharedList,
    SharedMap,
    SharedText,
    check_value,
    fold,
    merge,
    merge_batch,
)
from syncd.core.update import EMPTY_UPDATE, Kind
from tests.core.machines import Pen
from tests.core.yjs_bytes import ABC, section, text, update

ROOTS = {"m": Kind.MAP, "l": Kind.ARRAY, "t": Kind.TEXT}


def pen(client_id: int = 1 << 52, *, undo: bool = False) -> Replica:
    return Replica(ROOTS, client_id=client_id, undo=undo)


def test_values_come_back_plain() -> None:
    """Shared types nested in each other, and JSON, read as Python's own."""
    replica = pen()
    body = SharedMap(text=SharedText("é😀"), list=SharedList([1, SharedMap(x=None)]), json={"deep": [1.5, True]})
    replica.edit(lambda r: r.set(("m",), "k", body))
    expected = {"text": "é😀", "list": [1, {"x": None}], "json": {"deep": [1.5, True]}}
    assert replica.read("m", "k") == expected
    assert replica.read("m", "k", "list", 1, "x") is None
    assert replica.read("m", "k", "json", "deep", -1) is True
    assert replica.read("m", "nothing", "there") is None
    reader = Replica(ROOTS)
    reader.apply([replica.diff()])
    assert reader.read("m") == {"k": expected}


def test_a_null_is_there_and_an_absence_is_not() -> None:
    """`contains` tells a key set to null from one that is not set."""
    replica = pen()
    replica.edit(lambda r: r.set(("m",), "k", None))
    assert replica.contains("m", "k")
    assert not replica.contains("m", "other")
    assert replica.contains("m")
    assert not replica.contains("nothing")


def test_an_edit_is_one_update_that_brings_another_replica_up_to_date() -> None:
    """Whatever it does, and an edit that does nothing is empty."""
    one, other = pen(1 << 52), Replica(ROOTS)

    def change(r: Replica) -> None:
        r.set(("m",), "a", 1)
        r.insert(("l",), 0, [1, 2, 3])
        r.delete(("l",), 1, 2)
        r.text_append(("t",), "héllo")
        r.text_replace(("t",), 1, 2, "e")

    other.apply([one.edit(change)])
    assert [other.read(name) for name in ROOTS] == [{"a": 1}, [1, 3], "hello"]
    assert other.vector() == one.vector()
    assert one.edit(lambda r: None) == EMPTY_UPDATE
    assert [other.length(name) for name in ROOTS] == [1, 2, 5]


@pytest.mark.parametrize("act", [
    lambda r: r.text_replace(("t",), 0, 9, ""), lambda r: r.delete(("l",), 0, 1), lambda r: r.insert(("l",), 1, [1]),
    lambda r: r.set(("nothing",), "k", 1), lambda r: r.set(("t",), "k", 1), lambda r: r.set(("m",), "k", {1}),
    lambda r: r.delete(("l",), -1, 0),
])  # fmt: skip
def test_a_wrong_call_raises_and_changes_nothing(act) -> None:  # type: ignore[no-untyped-def]
    """Checked before pycrdt sees it, the replica goes on."""
    replica = pen()
    with pytest.raises(LocalProtocolError):
        replica.edit(act)
    assert replica.vector() == {}
    replica.edit(lambda r: r.set(("m",), "k", 1))
    assert replica.read("m") == {"k": 1}


def test_a_failure_half_way_breaks_the_replica_for_good() -> None:
    """What was written cannot be taken back, so nothing is read from it any more."""
    replica = pen()

    def change(r: Replica) -> None:
        r.set(("m",), "half", "done")
        raise ValueError("a bug of the caller")

    with pytest.raises(ReplicaBroken):
        replica.edit(change)
    for use in (lambda: replica.read("m"), replica.vector, replica.diff, lambda: replica.apply([EMPTY_UPDATE])):
        with pytest.raises(ReplicaBroken):
            use()


def test_bytes_that_pycrdt_refuses_break_it() -> None:
    """A judged update cannot; one that was not judged must not leave half of itself."""
    replica = pen()
    with pytest.raises(ReplicaBroken):
        replica.apply([b"\x01\x01"])
    with pytest.raises(ReplicaBroken):
        replica.vector()


def test_a_root_is_never_read_under_another_kind() -> None:
    """Made as one, asked for as another: that replica is of no use."""
    replica = pen()
    with pytest.raises(ReplicaBroken):
        replica.ensure_root("m", Kind.ARRAY)


def test_a_replica_without_a_client_id_is_read_only() -> None:
    """It says so."""
    with pytest.raises(LocalProtocolError, match="read-only"):
        Replica(ROOTS).edit(lambda r: None)


def test_undo_covers_own_edits_of_tracked_roots() -> None:
    """Not others', and nothing where nothing was tracked."""
    replica, other = pen(undo=True), pen((1 << 52) + 1)
    replica.track_undo("t")
    replica.apply([other.edit(lambda r: r.text_append(("t",), "theirs "))])
    replica.edit(lambda r: r.text_append(("t",), "mine"))
    assert replica.undo() != EMPTY_UPDATE
    assert replica.read("t") == "theirs "
    assert replica.undo() == EMPTY_UPDATE
    replica.undo(redo=True)
    assert replica.read("t") == "theirs mine"
    with pytest.raises(LocalProtocolError):
        pen().track_undo("t")


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 130])
def test_merged_or_folded_updates_hold_what_they_held(count: int) -> None:
    """Any number of them; a fold drops what was deleted, content and all."""
    replica = pen()
    updates = [replica.edit(lambda r, n=n: r.set(("m",), f"k{n % 5}", f"secret{n}")) for n in range(count)]  # type: ignore[misc]
    for whole in (merge(updates), fold(ROOTS, updates)):
        reader = Replica(ROOTS)
        reader.apply([whole])
        assert reader.read("m") == replica.read("m")
        assert reader.vector() == replica.vector()
    if count > 5:
        assert b"secret0" not in fold(ROOTS, updates)


@pytest.mark.parametrize("value", [[[[]]], {"a": {"b": 1}}, "\ud800", 1 << 53, float("nan"), (1, {2}), {1: 1}])
def test_values_that_would_not_survive_are_refused(value: object) -> None:
    """Too deep, half a character, inexact, not a number, not JSON."""
    with pytest.raises(LocalProtocolError):
        check_value(value, depth_max=1)


def test_much_that_waited_is_applied_in_linear_time() -> None:
    """Updates of many small structs cost as much together as one by one: yrs' time is square in each transaction."""

    def typed(updates: int, each: int) -> list[bytes]:
        made = [update(section(ABC, 0, text("x")))]
        for number in range(updates):
            start = 1 + number * each
            structs = [text("x", origin=(ABC, clock - 1)) for clock in range(start, start + each)]
            made.append(update(section(ABC, start, *structs)))
        return made

    updates = typed(8, 2_000)
    begin = time.thread_time()
    single = Replica({"t": Kind.TEXT})
    for one in updates:
        single.apply([one])
    single_s = time.thread_time() - begin
    begin = time.thread_time()
    together = Replica({"t": Kind.TEXT})
    together.apply(updates)
    together_s = time.thread_time() - begin

    assert together.read("t") == single.read("t") == "x" * 16_001
    assert together_s < 3 * single_s


def test_a_batch_is_merged_into_few_updates_of_bounded_size() -> None:
    """In order, so that each can be applied as it comes; one that came large stays as it is."""
    pen = Pen()
    updates = [pen.text("y" * 3_000) for _ in range(12)] + [pen.text("z" * 40_000)]

    merged = merge_batch(updates)

    assert 3 <= len(merged) < len(updates)
    assert all(len(part) <= 17_000 for part in merged[:-1])
    reader = Replica({"note": Kind.TEXT})
    for part in merged:
        reader.apply([part])
    assert reader.read("note") == "y" * 36_000 + "z" * 40_000
    assert merge_batch(updates[:2]) == [merge(updates[:2])]
