"""What libraries hand over becomes JSON that a transcript takes."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, Field
from syncd_client.adapters.plain import arguments, plain

from syncd.core.replica import check_value


class Model(BaseModel):
    kind: str = Field(alias="type")
    unsaid: str = "default"


@dataclass
class Place:
    name: str
    tags: frozenset[str]


class Own:
    def __str__(self) -> str:
        return "my own"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        (Model(type="x"), {"type": "x"}),
        ([Place("Lisbon", frozenset({"sea"}))], [{"name": "Lisbon", "tags": ["sea"]}]),
        ({1: Own()}, {"1": "my own"}),
        ([(1 << 53) + 1, -(1 << 60), 7], ["9007199254740993", str(-(1 << 60)), 7]),
        ([math.nan, -math.inf], ["nan", "-inf"]),
        ({"__proto__": {}}, {"_proto_": {}}),
        ({"\ud83d": "\ude00 é"}, {"?": "? é"}),
    ],
)
def test_any_value_becomes_one_that_can_be_written(value: Any, expected: Any) -> None:
    """Models say what was set, by its name on the wire; what no document can hold becomes a string."""
    assert plain(value) == expected
    check_value(plain(value))


def test_what_is_nested_too_deep_is_a_text() -> None:
    """However deep a tool's result is, a document takes it."""
    value: Any = "end"
    for _ in range(100):
        value = [value]

    check_value({"parts": [{"output": plain(value)}]})
    assert "end" in str(plain(value))


def test_arguments_are_json_or_the_text_itself() -> None:
    """Nothing is an empty object; what is no JSON stays what the model wrote."""
    assert arguments('{"id": 9007199254740993}') == {"id": "9007199254740993"}
    assert arguments("") == arguments(" ") == arguments(None) == {}
    assert arguments('{"a": ') == '{"a": '
