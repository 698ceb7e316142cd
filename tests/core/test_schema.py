"""The transcript's values, checked before they are written."""

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.core.schema import NewCommand, NewMessage, Receipt, text_part

GOOD = {"id": "m", "role": "user", "author": {"kind": "user", "name": "x"}}


def test_a_message_as_the_schema_says_passes() -> None:
    """With everything in it."""
    NewMessage(
        **GOOD,  # type: ignore[arg-type]
        parts=(text_part("x"), {"type": "new-kind", "data": [1]}),
        to=("agent:a",),
        parent="p",
        fork_of="f",
        run="r",
        metadata={"k": [None]},
    ).check()


@pytest.mark.parametrize("change", [
    {"id": "not an id"}, {"id": None}, {"role": "robot"}, {"to": ("nobody",)}, {"parent": "a b"}, {"fork_of": ""},
    {"parts": ({"text": "no type"},)}, {"parts": ({"type": "text", "x": {1, 2}},)}, {"metadata": {"x": b""}},
    {"author": {"name": float("inf")}}, {"run": 5},
])  # fmt: skip
def test_a_message_that_breaks_it_is_refused(change: dict[str, object]) -> None:
    """Field by field."""
    with pytest.raises(LocalProtocolError):
        NewMessage(**{**GOOD, **change}).check()  # type: ignore[arg-type]


def test_commands() -> None:
    """One target, a known kind; the value holds what was given and no more."""
    command = NewCommand("c", "cancel", 5, {"run": "r"})
    command.check()
    assert command.value() == {"kind": "cancel", "run": "r", "at": 5}
    assert NewCommand("c", "steer", 5, {"run": "r"}, {"t": 1}, 9).value()["expires_at"] == 9
    for bad in (
        NewCommand("c d", "cancel", 5, {"run": "r"}),
        NewCommand("c", "explode", 5, {"run": "r"}),
        NewCommand("c", "cancel", 5, {}),
        NewCommand("c", "cancel", 5, {"run": "r", "message": "m"}),
        NewCommand("c", "cancel", 5, {"planet": "x"}),
        NewCommand("c", "cancel", 5, {"run": "r"}, object()),
    ):
        with pytest.raises(LocalProtocolError):
            bad.check()


@pytest.mark.parametrize("value", [None, 5, {}, {"seq": "1", "by": "x"}, {"seq": 1}, {"seq": 1, "by": 2}])
def test_what_is_no_receipt_is_none(value: object) -> None:
    """Whoever wrote it."""
    assert Receipt.parse(value) is None


def test_half_a_character_is_refused() -> None:
    """Before it is written."""
    with pytest.raises(LocalProtocolError):
        text_part("\ud83d")
    assert Receipt.parse({"seq": 1, "by": "user:a", "at": 2, "outcome": "accepted"}) == Receipt(
        1, "user:a", 2, "accepted"
    )
