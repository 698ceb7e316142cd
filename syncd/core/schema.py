"""The transcript's schema: names of its roots, and the values it is made of. PROTOCOL 5.

Plain data with its checks; how it is written into a document is in `transcript`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from syncd.core.errors import LocalProtocolError
from syncd.core.ids import is_id, is_subject
from syncd.core.messages import Json
from syncd.core.replica import check_text, check_value

SCHEMA_VERSION: Final = 1
#: The subject under which the server itself writes.
SERVER_SUBJECT: Final = "server:"


class Root(StrEnum):
    """The transcript's roots. All are maps, so that an entry has no neighbour and refers to nobody else's."""

    MESSAGES = "messages"
    RUNS = "runs"
    COMMANDS = "commands"
    READS = "reads"
    RECEIPTS = "receipts"


ROLES: Final = ("user", "assistant", "system")
COMMAND_KINDS: Final = ("cancel", "steer", "approve", "deny", "tool_result", "handoff")
#: Part types whose text grows while it is written.
STREAMED_PARTS: Final = ("text", "reasoning")


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be written. `parts` of a streamed type hold their first text under `text`.

    The work that it makes for the agents in `to` must be over by `expires_at`, Unix ms.
    """

    id: str
    role: str
    author: Mapping[str, str]
    parts: Sequence[Mapping[str, Any]] = ()
    to: Sequence[str] = ()
    created_at: int = 0
    run: str | None = None
    attempt: int | None = None
    parent: str | None = None
    fork_of: str | None = None
    expires_at: int | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what the schema does not allow.

        Raises:
            LocalProtocolError: says which field and why.
        """
        for name, value in (("id", self.id), ("run", self.run), ("parent", self.parent), ("fork_of", self.fork_of)):
            if not (is_id(value) or (value is None and name != "id")):
                raise LocalProtocolError(f"message {name} {value!r} is not an id: 1 to 64 of A-Z a-z 0-9 _ -")
        if self.role not in ROLES:
            raise LocalProtocolError(f"role {self.role!r} is none of {', '.join(ROLES)}")
        for subject in self.to:
            if not is_subject(subject):
                raise LocalProtocolError(f"{subject!r} is not a subject such as 'agent:planner'")
        for part in self.parts:
            if not isinstance(part.get("type"), str):
                raise LocalProtocolError("every part has a type, such as 'text'")
            check_value(dict(part))
        check_value(dict(self.metadata))
        check_value(dict(self.author))


@dataclass(frozen=True, slots=True)
class NewCommand:
    """An immutable request to whoever runs something: cancel, steer, approve, deny, tool_result, handoff."""

    id: str
    kind: str
    at: int
    target: Mapping[str, str]
    payload: Json = None
    expires_at: int | None = None

    def check(self) -> None:
        """Refuse what the schema does not allow.

        Raises:
            LocalProtocolError: says which field and why.
        """
        if not is_id(self.id):
            raise LocalProtocolError(f"command id {self.id!r} is not an id")
        if self.kind not in COMMAND_KINDS:
            raise LocalProtocolError(f"command {self.kind!r} is none of {', '.join(COMMAND_KINDS)}")
        if len(self.target) != 1 or not set(self.target) <= {"run", "message", "tool_call", "session"}:
            raise LocalProtocolError("a command names one target: a run, message, tool_call or session")
        check_value(self.payload)

    def value(self) -> dict[str, Json]:
        """Return the command as it stands in the document."""
        body: dict[str, Json] = {"kind": self.kind, **self.target, "at": self.at}
        if self.payload is not None:
            body["payload"] = self.payload
        if self.expires_at is not None:
            body["expires_at"] = self.expires_at
        return body


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server decided about a message or command: its place, its verified author, its time of arrival (ms)."""

    seq: int
    by: str
    at: int
    outcome: str | None = None

    @classmethod
    def parse(cls, value: Json) -> Receipt | None:
        """Return the receipt that `value` is, None if it is none."""
        if not isinstance(value, dict) or not isinstance(value.get("seq"), int) or not isinstance(value.get("by"), str):
            return None
        at = value.get("at")
        outcome = value.get("outcome")
        return cls(value["seq"], value["by"], at if isinstance(at, int) else 0, outcome if outcome else None)


def text_part(text: str, *, part: str = "0") -> dict[str, Any]:
    """Return a finished text part.

    Raises:
        LocalProtocolError: `text` holds half a surrogate pair.
    """
    check_text(text)
    return {"id": part, "type": "text", "text": text}
