"""Shared state as Python sees it: positions are code points, whatever the characters."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syncd_client import Client, LocalProtocolError
from syncd_client.state import SharedState

from syncd.core.client import ClientMachine
from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.replica import Replica
from syncd.core.update import Kind
from tests.core.machines import fresh_id
from tests.harness import PATIENCE_S, mint


class Host:
    """A machine's state layer, with no store behind it."""

    def __init__(self) -> None:
        ids = {layer: fresh_id() for layer in Layer}
        self.machine = ClientMachine("s", Limits(), client_ids=ids)

    def edit_state(self, change):  # type: ignore[no-untyped-def]
        self.machine.edit(Layer.STATE, change)

    def update_bytes_max(self) -> int:
        return self.machine.update_bytes_max()

    def state_replica(self) -> Replica:
        return self.machine.document(Layer.STATE).replica

    def state_roots(self) -> dict[str, Kind]:
        return self.machine.document(Layer.STATE).index.roots


#: Letters, combining marks, CJK, right to left, emoji with joiners and skins, flags, control characters.
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]), st.sampled_from("a\u0301漢字שלום👩‍👩‍👧👍🏽🇫🇷😀\n\t\u200d\ufeff")
    ),
    max_size=12,
)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), TEXT), max_size=12))
@settings(max_examples=150, deadline=None)
def test_a_text_is_as_a_python_string(edits: list[tuple[int, int, str]]) -> None:
    """Replaced at any code point by anything, it reads and measures as a plain string does."""
    text, model = SharedState(Host()).text("doc"), ""
    for first, second, put in edits:
        start, end = sorted((first % (len(model) + 1), second % (len(model) + 1)))
        text.replace(start, end, put)
        model = model[:start] + put + model[end:]
        assert str(text) == model
        assert len(text) == len(model)


#: All but the one that is refused, which Hypothesis finds in what it tests.
KEY = TEXT.filter(lambda key: key != "__proto__")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.tuples(st.sampled_from("abc"), JSON), max_size=8), st.lists(JSON, max_size=6))
@settings(max_examples=100, deadline=None)
def test_maps_and_lists_hold_any_json(pairs: list[tuple[str, object]], items: list[object]) -> None:
    """What is set is what is read, by key, by position and as a whole."""
    state = SharedState(Host())
    model: dict[str, object] = {}
    for key, value in pairs:
        state.map("m")[key] = value
        model[key] = value
    for item in items:
        state.list("l").append(item)
    assert {key: state.map("m")[key] for key in state.map("m")} == model
    assert list(state.list("l")) == items
    assert [state.list("l")[at] for at in range(len(items))] == items


@pytest.mark.parametrize(("start", "end"), [(-1, 0), (0, 3), (2, 1), (5, 5)])
def test_positions_outside_are_refused_and_nothing_changes(start: int, end: int) -> None:
    """A wrong position raises, the text stays as it was, and the next edit works."""
    text = SharedState(Host()).text("doc")
    text.append("😀é")
    with pytest.raises(LocalProtocolError):
        text.replace(start, end, "x")
    assert str(text) == "😀é"
    text.append("!")
    assert str(text) == "😀é!"


def test_a_failed_first_edit_leaves_the_name_free() -> None:
    """A root that was never written may still become another kind."""
    state = SharedState(Host())
    with pytest.raises(LocalProtocolError):
        state.text("x").insert(5, "beyond")
    with pytest.raises(LocalProtocolError):
        state.text("x").append("\ud800")
    state.map("x")["k"] = None
    assert state.json() == {"x": {"k": None}}
    assert "k" in state.map("x")
    del state.map("x")["k"]
    assert len(state.map("x")) == 0


def test_a_root_has_one_kind() -> None:
    """Used as another kind it says which it is."""
    state = SharedState(Host())
    state.map("x")["k"] = 1
    with pytest.raises(LocalProtocolError, match="is a map"):
        state.text("x").append("no")
    assert state.json() == {"x": {"k": 1}}


@pytest.mark.parametrize("value", [{1: 2}, float("nan"), float("inf"), 1 << 60, b"bytes", {"x": object()}, "\ud83d"])
def test_what_is_not_json_is_refused(value: object) -> None:
    """Before it reaches the document."""
    state = SharedState(Host())
    with pytest.raises(LocalProtocolError):
        state.map("m")["k"] = value
    assert state.json() == {}


@pytest.mark.parametrize("position", [0, 1, 2, 3])
async def test_somebody_elses_characters_stay_whole(tmp_path: Path, position: int) -> None:
    """Loaded from the store, a position between two emoji is between them."""
    async with Client("http://127.0.0.1:9", token=mint("user:ann"), store=tmp_path / "a.db") as client:
        session = await client.open("s")
        session.state.text("doc").append("👍🏽x")
        await session.saved()
    async with Client("http://127.0.0.1:9", token=mint("user:ann"), store=tmp_path / "a.db") as client:
        session = await client.open("s")
        session.state.text("doc").insert(position, "漢")
        assert str(session.state.text("doc")) == "👍🏽x"[:position] + "漢" + "👍🏽x"[position:]
        await asyncio.wait_for(session.saved(), PATIENCE_S)
