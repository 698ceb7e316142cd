"""The index: what plans tell, what honest traffic needs, and that it can be rebuilt from a document."""

from collections.abc import Mapping
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text

from syncd.core.errors import LocalProtocolError, Rejected
from syncd.core.index import ContainerIndex, Deletion, Insert
from syncd.core.update import Content, Kind, decode_update
from syncd.core.varint import decode_state_vector
from tests.core.indexes import LIMITS, SHAPES, abc, accept, plan, state_index, transcript_index
from tests.core.traffic import STATE_ROOTS, TRANSCRIPT_ROOTS, Sent, make_roots, state_traffic, transcript_traffic
from tests.core.yjs_bytes import ABC, TRUE, XYZ, deleted, gc, section, shared, text, update, values

# Planning what is honest.


def play(index: ContainerIndex, log: list[Sent], roots: Mapping[str, Kind]) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    make_roots(doc, dict(roots))
    for sent in log:
        accept(index, sent.update)
        doc.apply_update(sent.update)
        assert plan(index, sent.update).empty
    return doc


def assert_rebuilt(index: ContainerIndex, doc: Doc[Any]) -> None:
    """An index made from the document's full state says the same of all that is not deleted."""
    fresh = ContainerIndex(index.shape, index.roots)
    accept(fresh, doc.get_update())

    assert fresh.state == index.state == decode_state_vector(doc.get_state(), clients_max=99)
    assert fresh.roots == index.roots
    assert fresh.entries == index.entries
    assert fresh.types.items() <= index.types.items()
    for client, end in index.state.items():
        for place, start, stop in fresh.runs[client].pieces(0, end):
            if place[0] is not None:
                assert list(index.runs[client].pieces(start, stop)) == [(place, start, stop)]
        gone = fresh.deleted.get(client)
        for start, stop in index.deleted.get(client, ()):
            assert gone is not None
            assert not list(gone.missing(start, stop))


@pytest.mark.parametrize("seed", range(6))
def test_honest_transcript_is_accepted_and_rebuilt(seed: int) -> None:
    """Posting, streaming, running, commanding, reading and redacting fit; the full state gives the same index."""
    log, _ = transcript_traffic(seed)
    index = transcript_index()
    doc = play(index, log, dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP))

    assert_rebuilt(index, doc)


@pytest.mark.parametrize("skip_gc", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_honest_state_is_accepted_and_rebuilt(seed: int, skip_gc: bool) -> None:
    """Concurrent edits of maps, arrays, texts and XML, undo included, fit; roots show their kinds by themselves."""
    log, _ = state_traffic(seed, skip_gc=skip_gc)
    index = state_index(roots={})
    doc = play(index, log, STATE_ROOTS)

    assert index.roots == STATE_ROOTS
    assert_rebuilt(index, doc)


@pytest.mark.parametrize("layer", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_reloads_in_mid_traffic_change_nothing(seed: int, layer: str) -> None:
    """An index rebuilt now and then accepts what comes late, and takes all that came before for duplicates."""
    log, _ = transcript_traffic(seed) if layer == "transcript" else state_traffic(seed)
    roots = dict.fromkeys(TRANSCRIPT_ROOTS, Kind.MAP) if layer == "transcript" else STATE_ROOTS
    index = ContainerIndex(SHAPES[layer], roots)
    doc: Doc[Any] = Doc()
    make_roots(doc, roots)
    for number, sent in enumerate(log):
        accept(index, sent.update)
        doc.apply_update(sent.update)
        if number % 20 == 0:
            index = ContainerIndex(SHAPES[layer], roots)
            accept(index, doc.get_update())
            assert all(plan(index, earlier.update).empty for earlier in log[: number + 1])


@pytest.mark.parametrize("seed", range(4))
def test_sections_resolve_in_any_order(seed: int) -> None:
    """A full state plans whatever the order of its clients."""
    log, _ = state_traffic(seed)
    doc = play(state_index(roots={}), log, STATE_ROOTS)
    decoded = decode_update(doc.get_update(), LIMITS)
    decoded.sections = dict(reversed(decoded.sections.items()))
    index = ContainerIndex(SHAPES["state"], STATE_ROOTS)
    index.commit(index.plan(decoded))

    assert index.state == decode_state_vector(doc.get_state(), clients_max=99)


def test_plan_tells_inserts_ends_and_entries() -> None:
    """A plan says what is new, where, and which top-level entries it touches; an overwrite names what it overwrites."""
    index = transcript_index()
    made = accept(
        index,
        abc(
            shared(Kind.MAP, parent="messages", key="m1"),
            shared(Kind.ARRAY, parent=(ABC, 0), key="parts"),
            shared(Kind.TEXT, parent=(ABC, 1)),
            text("one", parent=(ABC, 2)),
        ),
    )

    assert made.ends == {ABC: 6}
    assert made.inserts == [
        Insert("messages", "m1", ABC, 0, 1, Content.TYPE),
        Insert((ABC, 0), "parts", ABC, 1, 2, Content.TYPE),
        Insert((ABC, 1), None, ABC, 2, 3, Content.TYPE),
        Insert((ABC, 2), None, ABC, 3, 6, Content.STRING),
    ]
    assert made.touched(index) == [("messages", "m1")]
    assert index.entry_of((ABC, 2), None) == ("messages", "m1")
    assert index.entry_of("messages", "m1") == ("messages", "m1")
    assert index.entry_of((ABC, 5), None) is None
    overwrite = plan(index, abc(values(TRUE, origin=(ABC, 1)), clock=6, deletes={ABC: [(1, 5)]}))
    assert overwrite.inserts == [Insert((ABC, 0), "parts", ABC, 6, 7, Content.ANY)]
    assert overwrite.deletions == [
        Deletion((ABC, 0), "parts", ABC, 1, 2),
        Deletion((ABC, 1), None, ABC, 2, 3),
        Deletion((ABC, 2), None, ABC, 3, 6),
    ]
    assert overwrite.touched(index) == [("messages", "m1")]


def test_touched_before_commit_and_below_unkeyed_roots() -> None:
    """Entries are told before the commit too, new types included; what lies in no entry has an empty key."""
    index = state_index()
    made = plan(index, abc(shared(Kind.MAP, parent="a"), values(TRUE, parent=(ABC, 0), key="k"), text("x")))

    assert made.touched(index) == [("a", ""), ("t", "")]


def test_only_new_deletions_are_told() -> None:
    """A whole delete set comes often; what was deleted before, or arrived deleted, is not told again."""
    index = state_index(abc(text("0123456789"), deleted(2, origin=(ABC, 9)), deletes={ABC: [(2, 3)]}))

    made = plan(index, update(deletes={ABC: [(1, 9), (10, 2)]}))
    assert made.deletions == [Deletion("t", None, ABC, 1, 2), Deletion("t", None, ABC, 5, 10)]
    again = plan(index, update(deletes={ABC: [(3, 1), (10, 2)]}))
    assert again.empty
    both = plan(
        index, abc(text("new", origin=(ABC, 9)), deleted(1, origin=(ABC, 14)), clock=12, deletes={ABC: [(13, 3)]})
    )
    assert both.deletions == [Deletion("t", None, ABC, 13, 15)]


def test_entries_keep_who_wrote_first() -> None:
    """The first writer of a transcript's entry stays known after an overwrite and a deletion, and after a reload."""
    index = transcript_index(
        abc(values(TRUE, parent="reads", key="user:a")),
        update(section(XYZ, 0, values(TRUE, origin=(ABC, 0))), deletes={ABC: [(0, 1)]}),
        update(deletes={XYZ: [(0, 1)]}),
    )
    reloaded = transcript_index(
        update(section(XYZ, 0, deleted(1, origin=(ABC, 0))), section(ABC, 0, deleted(1, parent="reads", key="user:a")))
    )

    assert index.entries["reads"] == reloaded.entries["reads"] == {"user:a": ABC}


def test_overlap_that_agrees_is_cut() -> None:
    """Of a longer text only what is new counts; a GC struct covers whatever its writer has forgotten."""
    index = state_index(abc(text("0123")))

    made = plan(index, abc(text("012345")))
    assert made.inserts == [Insert("t", None, ABC, 4, 6, Content.STRING)]
    assert plan(index, abc(gc(6))).ends == {ABC: 6}
    assert plan(index, abc(gc(4))).empty


def test_plan_is_for_one_state() -> None:
    """A plan cannot be committed after another one was."""
    index = state_index()
    first, second = plan(index, abc(text("a"))), plan(index, abc(text("b")))
    index.commit(first)

    with pytest.raises(LocalProtocolError):
        index.commit(second)


# The own store.


def test_trusted_documents_pass_limits_and_surrogates() -> None:
    """What was accepted under other limits still loads; what keeps the index true is checked all the same."""
    index = state_index(roots={})
    names = [f"r{number}" for number in range(LIMITS.state_roots_max + 1)]
    chain = [shared(Kind.MAP, parent="m", key="k")]
    chain += [shared(Kind.MAP, parent=(XYZ, clock), key="k") for clock in range(LIMITS.state_depth_max)]
    decoded = decode_update(
        update(
            section(ABC, 0, *(text("😀", parent=name) for name in names), text("x", origin=(ABC, 0))),
            section(XYZ, 0, *chain),
        ),
        LIMITS,
    )
    index.commit(index.plan(decoded, trusted=True))
    right = update(section(ABC, 0, shared(Kind.MAP, parent="messages", key="k"), deleted(1, right=(ABC, 0))))
    transcript_index().plan(decode_update(right, LIMITS), trusted=True)

    with pytest.raises(Rejected, match="wrong_content"):
        index.plan(decode_update(update(section(3, 0, values(TRUE, parent="r0"))), LIMITS), trusted=True)


def test_index_stays_small_while_text_streams() -> None:
    """A stream of tokens into one text is one run, however long."""
    doc: Doc[Any] = Doc()
    index = state_index(roots={})
    doc["m"] = Map({"parts": Array([Text()])})
    streamed = doc["m"]["parts"][0]
    accept(index, doc.get_update())
    for _ in range(500):
        before = doc.get_state()
        streamed += "token "
        accept(index, doc.get_update(before))

    (runs,) = index.runs.values()
    assert len(list(runs.pieces(0, index.state[doc.client_id]))) == 3
