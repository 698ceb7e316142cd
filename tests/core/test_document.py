"""Document: what was accepted is applied later, what was not applied is not shown."""

import pytest

from syncd.core.document import Document
from syncd.core.errors import Rejected
from syncd.core.limits import Limits
from syncd.core.replica import Replica, ReplicaBroken
from syncd.core.shape import state_shape
from syncd.core.update import EMPTY_UPDATE
from syncd.core.varint import encode_state_vector
from tests.core.machines import Pen


def document() -> Document:
    return Document(state_shape(Limits()), Limits())


def take(doc: Document, update: bytes) -> None:
    plan = doc.plan(doc.decode(update))
    doc.accept(plan)
    doc.apply((update,), plan.ends)


def test_what_is_accepted_and_not_applied_is_not_shown() -> None:
    """The index goes ahead, replica, vector and diff do not."""
    doc, pen = document(), Pen()
    take(doc, pen.set("a", 1))
    second = pen.set("b", 2)
    plan = doc.plan(doc.decode(second))
    doc.accept(plan)
    assert doc.replica.read("ui") == {"a": 1}
    before = doc.vector
    third = doc.plan(doc.decode(pen.set("c", 3)))
    assert third.ends
    doc.apply((second,), plan.ends)
    assert doc.vector != before
    assert doc.replica.read("ui") == {"a": 1, "b": 2}


def test_readers_with_the_same_share_one_diff(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm of reconnects costs one; however the vector is written, and whatever it has beyond this document."""
    doc, pen, other = document(), Pen(1), Pen(2)
    take(doc, pen.set("a", 1))
    take(doc, other.set("b", 2))
    made: list[bytes | None] = []
    true = Replica.diff

    def counted(self: Replica, vector: bytes | None = None) -> bytes:
        made.append(vector)
        return true(self, vector)

    monkeypatch.setattr(Replica, "diff", counted)
    diffs = {doc.diff(encode_state_vector(state)) for state in ({}, {1: 0}, {7: 9})}
    full = {doc.diff(encode_state_vector(state)) for state in ({1: 1, 2: 1}, {2: 1, 1: 1}, {1: 8, 2: 8})}

    assert (len(diffs), full, len(made)) == (1, {EMPTY_UPDATE}, 2)


def test_a_diff_is_not_kept_beyond_a_change() -> None:
    """Not even one that leaves the state vector as it was: a deletion."""
    doc, pen = document(), Pen()
    take(doc, pen.set("a", 1))
    first = doc.diff(b"\0")
    take(doc, pen.remove("a"))
    deleted = doc.diff(b"\0")
    take(doc, pen.set("b", 2))

    assert len({first, deleted, doc.diff(b"\0")}) == 3


def test_only_the_last_diffs_are_kept() -> None:
    """Readers that all have something else do not fill the memory."""
    doc, pen = document(), Pen()
    for number in range(5):
        take(doc, pen.set("a", number))
    for number in range(5):
        doc.diff(encode_state_vector({pen.id: number}))

    assert len(doc._diffs) == 2


def test_a_diff_brings_a_reader_from_its_vector_up_to_date() -> None:
    """And is empty where nothing is missing."""
    doc, pen = document(), Pen()
    take(doc, pen.set("a", "x" * 1_000))
    at = doc.vector
    assert doc.diff(at) == EMPTY_UPDATE
    take(doc, pen.set("b", 2))
    assert len(doc.diff(at)) < 200
    reader = document()
    take(reader, doc.diff())
    assert reader.replica.read("ui") == doc.replica.read("ui")


def test_loading_leaves_what_lacks_its_ground_and_goes_on() -> None:
    """Updates that do not fit are returned, in order; malformed ones raise."""
    pen = Pen()
    first, second = pen.set("a", 1), pen.set("b", 2)
    other = Pen().set("c", 3)
    doc = document()
    assert doc.load([second, other]) == [second]
    assert doc.load([first, second]) == []
    assert doc.replica.read("ui") == {"a": 1, "b": 2, "c": 3}
    with pytest.raises(Rejected):
        doc.load([b"\xff"])


def test_a_document_that_came_to_another_state_is_never_read() -> None:
    """Neither the first time nor the next: not even as an empty one."""
    doc = document()
    take(doc, Pen().set("a", 1))
    doc.applied[5] = 5
    for _ in range(2):
        with pytest.raises(ReplicaBroken):
            doc.replica.read("ui")
        with pytest.raises(ReplicaBroken):
            doc.snapshot()
