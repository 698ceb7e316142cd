"""Tokens that go on with their text: accepted without a plan, exactly where a plan would accept them."""

from random import Random

import pytest

from syncd.core.author import may_continue
from syncd.core.bindings import Bindings
from syncd.core.continuation import Continuation, find_continuation
from syncd.core.errors import Rejected
from syncd.core.grant import MEMBER_RIGHTS, Right
from syncd.core.index import ContainerIndex
from syncd.core.messages import Layer
from syncd.core.update import Kind
from syncd.core.varint import CLOCK_MAX
from tests.core.indexes import abc, accept, plan, state_index, transcript_index
from tests.core.machines import Pen
from tests.core.traffic import STATE_ROOTS, state_traffic, transcript_traffic
from tests.core.yjs_bytes import ABC, XYZ, section, string, text, uint, update
from tests.security.update_grammar import Grammar


def test_a_token_behind_its_own_clients_text_is_found() -> None:
    """Its clocks count UTF-16 units, as everywhere."""
    index = state_index(abc(text("ab")))

    assert find_continuation(abc(text("c", origin=(ABC, 1)), clock=2), index) == Continuation(ABC, 3, "t", "")
    assert find_continuation(abc(text("漢é", origin=(ABC, 1)), clock=2), index) == Continuation(ABC, 4, "t", "")


def test_a_streamed_message_is_found_by_its_entry() -> None:
    """The entry is what hooks and views are told of."""
    pen = Pen(ABC)
    index = transcript_index(pen.message("Hi", id="m1"))
    token = pen.transcript.edit(lambda r: r.text_append(("messages", "m1", "parts", 0, "text"), " there"))

    found = find_continuation(token, index)

    assert found is not None
    assert (found.root, found.key) == ("messages", "m1")


WELL = abc(text("c", origin=(ABC, 1)), clock=2)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\x01",
        WELL[:-1],
        WELL + b"\x00",
        WELL[:-1] + b"\x01",
        abc(text("c", origin=(ABC, 0)), clock=2),
        abc(text("c", origin=(ABC, 1)), clock=3),
        abc(text("c", origin=(ABC, 0)), clock=1),
        abc(text("c", origin=(XYZ, 1)), clock=2),
        abc(text("c", origin=(ABC, 1), right=(ABC, 0)), clock=2),
        abc(text("c"), clock=2),
        abc(text("", origin=(ABC, 1)), clock=2),
        abc(text("😀", origin=(ABC, 1)), clock=2),
        abc(text("c", origin=(ABC, 1)), text("d", origin=(ABC, 2)), clock=2),
        abc(text("c", origin=(ABC, 1)), clock=2, deletes={ABC: [(0, 1)]}),
        update(section(XYZ, 0, text("c", origin=(ABC, 1)))),
        b"\x01\x01" + uint(ABC) + uint(2) + b"\x84" + uint(ABC) + uint(1) + string(b"\xff") + b"\x00",
        b"\x01\x01" + uint(ABC) + b"\x82\x00" + b"\x84" + uint(ABC) + uint(1) + string("c") + b"\x00",
    ],
    ids=lambda data: data.hex(),
)
def test_whatever_is_not_plainly_that_is_left_to_the_planner(other: bytes) -> None:
    """Cut short, over-long, elsewhere, somebody else's, of two structs, with deletions, astral, or no UTF-8."""
    assert find_continuation(other, state_index(abc(text("ab")))) is None


def test_only_text_goes_on() -> None:
    """Behind a value, a key or a type there is no text to go on with."""
    pen = Pen(ABC)
    made = pen.set("k", "v")
    index = state_index(roots={"ui": Kind.MAP})
    accept(index, made)
    end = index.state[ABC]

    assert find_continuation(abc(text("c", origin=(ABC, end - 1)), clock=end), index) is None


def test_clocks_end_where_yjs_ends() -> None:
    """A token that would pass 2^31 - 1 is the planner's to refuse."""
    index = state_index(abc(text("ab")))
    index.state[ABC] = CLOCK_MAX

    assert find_continuation(abc(text("c", origin=(ABC, CLOCK_MAX - 1)), clock=CLOCK_MAX), index) is None


@pytest.mark.parametrize("layer", Layer)
def test_whose_text_it_is(layer: Layer) -> None:
    """Only the subject its client id is bound to may go on with it, and only with the right to write there."""
    bindings = Bindings(ids_max=10)
    bindings.bind("user:ann", [ABC])
    found = Continuation(ABC, 3, "messages", "m1")
    reader = frozenset({Right.PRESENCE})

    assert may_continue(found, layer, "user:ann", bindings, MEMBER_RIGHTS)
    assert not may_continue(found, layer, "user:eve", bindings, MEMBER_RIGHTS)
    assert may_continue(found, layer, "user:ann", bindings, reader) == (layer is Layer.STATE)


def as_planned(index: ContainerIndex, data: bytes) -> bool:
    """Commit a plan of `data` if it has one; check that a continuation of it says and does the same."""
    found = find_continuation(data, index)
    try:
        made = plan(index, data)
    except Rejected:
        assert found is None, "taken without a plan what a plan refuses"
        return False
    if found is not None:
        assert made.ends == {found.client: found.end}
        assert made.touched(index) == [(found.root, found.key)]
        assert not any((made.deletions, made.new_roots, made.types, made.born_deleted, made.low_surrogates))
        assert made.placed[found.client].last == index.runs[found.client].last
    index.commit(made)
    return found is not None


@pytest.mark.parametrize("layer", Layer)
@pytest.mark.parametrize("seed", range(4))
def test_a_continuation_is_what_a_plan_would_be(layer: Layer, seed: int) -> None:
    """Over honest traffic, tokens behind every client's last clock, and hostile updates: the same answer."""
    rng = Random(f"{layer} {seed}")
    honest, _ = transcript_traffic(seed, 60) if layer is Layer.TRANSCRIPT else state_traffic(seed, 60)
    index = transcript_index() if layer is Layer.TRANSCRIPT else state_index(roots=STATE_ROOTS)
    found = sum(as_planned(index, sent.update) for sent in honest)
    clients = tuple(index.state)
    grammar = Grammar(rng, layer, index, clients)
    for _ in range(300):
        as_planned(index, grammar.update())
        client = rng.choice(clients)
        clock = index.state[client] + rng.choice((0, 0, 0, 0, -1, 1))
        origin = (client, max(0, clock - rng.choice((1, 1, 1, 2))))
        token = text(rng.choice(("a", "né", "漢", "😀", "")), origin=origin)
        found += as_planned(index, update(section(client, clock, token)))

    assert found > 10, "hardly anything went on with a text"
