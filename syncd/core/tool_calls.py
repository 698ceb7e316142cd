"""ToolCalls: which tool call each part of a transcript is, so that a later word about a part says of which.

Knows nothing of updates or of what is decided.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from syncd.core.ids import is_id
from syncd.core.messages import Json
from syncd.core.plan import TypeRecord
from syncd.core.schema import Root
from syncd.core.update import Id

#: What says which call a part is.
CALL_KEYS: Final = frozenset({"tool_call", "name"})
ASKED: Final = "approval-requested"
_PART_DEPTH: Final = 3


def is_part(record: TypeRecord) -> bool:
    """Whether a container is a part of a message: it lies in the message's array of parts."""
    return record.depth == _PART_DEPTH and record.root == Root.MESSAGES


class ToolCalls:
    """The tool calls of one session, by the container that each part is."""

    def __init__(self) -> None:
        self._calls: dict[Id, str] = {}
        self._parts: dict[str, set[Id]] = {}
        self._names: dict[Id, str] = {}

    def note(self, part: Id, key: str, value: Json) -> None:
        """Take what a part was given."""
        if key == "tool_call" and isinstance(value, str) and is_id(value):
            if part in self._calls:
                self._parts[self._calls[part]].discard(part)
            self._calls[part] = value
            self._parts.setdefault(value, set()).add(part)
        elif key == "name" and isinstance(value, str):
            self._names[part] = value

    def parts(self, tool_call: str) -> Collection[Id]:
        """Return the parts that are a tool call: any number, by whomever."""
        return self._parts.get(tool_call, ())

    def find(self, part: Id) -> tuple[str, str]:
        """Return a part's tool call and the tool's name; both empty where it is none."""
        return self._calls.get(part, ""), self._names.get(part, "")
