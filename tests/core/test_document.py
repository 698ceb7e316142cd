"""Document: what was accepted is applied later, what was not applied is not shown."""

import pytest

from syncd.core.document import Document
from syncd.core.errors import Rejected
from syncd.core.limits import Limits
from syncd.core.replica import ReplicaBroken
from syncd.core.shape import state_shape
from syncd.core.update import EMPTY_UPDATE
from tests.core.machines import Pen


def document() -> Document:
    return Document(state_shape(Limits()), Limits())


def take(doc: Document, update: bytes) -> None:
    plan = doc.plan(doc.decode(update))
    doc.accept(plan)
    doc.apply(update, plan.ends)


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
    doc.apply(second, plan.ends)
    assert doc.vector != before
    assert doc.replica.read("ui") == {"a": 1, "b": 2}


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
