"""RunPen: what one attempt of a run writes, call after call, each as one update.

Works on two small replicas. Knows nothing of who may write, of leases or of when an update is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from syncd.core.errors import LocalProtocolError
from syncd.core.ids import is_id, run_key, run_of_call
from syncd.core.messages import Json
from syncd.core.replica import Replica, SharedText, check_text, check_value, merge
from syncd.core.run_writer import TOOL_STATES, NewAttempt, put_attempt, put_consumed, set_attempt
from syncd.core.schema import STREAMED_PARTS, NewMessage, Root
from syncd.core.transcript import SEGMENT_BYTES, PartWriter, put_message

#: The number of the last call that is in, in an attempt's entry: whoever asks again knows by it what is there.
WRITTEN: Final = "written"
_PIECE_CHARS: Final = SEGMENT_BYTES // 4
_FIELDS_MAX: Final = 32


class RunPen:
    """Writes one attempt: its entry, and one message.

    1. A call's parts and its number are one update: both are on disk, or none.
    2. Texts and entry are written under a client id each, so that the numbers between them do not cut texts to pieces.
    """

    def __init__(self, entry: Replica, output: Replica, run: str, attempt: int, message: str | None = None) -> None:
        """`message` is the attempt's, if there is one already; then `output` holds it, and `entry` the entry."""
        self._entry = entry
        self._output = output
        self._run = run
        self._attempt = attempt
        self._parts: PartWriter | None = None
        self._message = ""
        # Where the parts stand that may be written again, by type and id.
        self._places: dict[tuple[str, str], int] = {}
        self._count = 0
        if message is not None:
            self._go_on(message)

    @property
    def client_ids(self) -> tuple[int, ...]:
        """The client ids that it writes under."""
        return tuple(id for id in (self._entry.client_id, self._output.client_id) if id is not None)

    @property
    def begun(self) -> bool:
        """Whether the attempt has a message."""
        return self._parts is not None

    @property
    def written(self) -> int:
        """The number of the last call of `write`, 0 for none."""
        number = self._entry.read(Root.RUNS, run_key(self._run, self._attempt), WRITTEN)
        return number if isinstance(number, int) else 0

    def begin(self, new: NewAttempt) -> bytes:
        """Write the entry of the attempt, which begins.

        Raises:
            LocalProtocolError: it is not as the schema says.
        """
        return put_attempt(self._entry, new)

    def change(self, fields: Mapping[str, Json]) -> bytes:
        """Set fields of the entry. A text that is open is done if the attempt is.

        Raises:
            LocalProtocolError: a value is not JSON, or no status.
        """
        change = set_attempt(self._entry, self._run, self._attempt, fields)
        done = [self._parts.finish()] if self._parts is not None and "ended_at" in fields else []
        return merge([*done, change])

    def consume(self, commands: Sequence[str], at: int) -> bytes:
        """Mark steers as consumed, at `at` (Unix ms)."""
        return put_consumed(self._entry, self._run, self._attempt, commands, at)

    def write(self, number: int, parts: Sequence[Mapping[str, Json]], new: NewMessage | None = None) -> bytes:
        """Append `parts`, which were checked, as the call `number`; to `new` if there is no message yet."""
        updates = []
        if self._parts is None:
            assert new is not None
            updates.append(put_message(self._output, new))
            self._parts, self._message = PartWriter(self._output, new.id), new.id
        for part in parts:
            updates += self._add(self._parts, part)
        updates.append(set_attempt(self._entry, self._run, self._attempt, {WRITTEN: number}))
        return merge(updates)  # Invariant 1.

    def _go_on(self, message: str) -> None:
        self._message, self._parts = message, PartWriter(self._output, message)
        self._parts.resume()
        parts = self._output.read(Root.MESSAGES, message, "parts")
        self._count = len(parts)
        for at, part in enumerate(parts):
            if isinstance(part, dict) and (name := _name(part)) is not None:
                self._places[name] = at

    def check(self, parts: Sequence[Mapping[str, Json]]) -> None:
        """Refuse parts that are not as they must be.

        Raises:
            LocalProtocolError: says what is wrong.
        """
        begun = {id for kind, id in self._places if kind == "tool"}
        for part in parts:
            check_value(dict(part))
            kind = part.get("type")
            if not isinstance(kind, str) or not kind or len(part) > _FIELDS_MAX:
                raise LocalProtocolError(f"a part has a type, such as text, and at most {_FIELDS_MAX} fields")
            if kind in STREAMED_PARTS:
                if not isinstance(part.get("text"), str) or len(part) > 2:
                    raise LocalProtocolError(f"a part of the type {kind} has a text and nothing else")
                check_text(part["text"])
            elif kind == "tool":
                self._check_tool(part, begun)

    def _check_tool(self, part: Mapping[str, Json], begun: set[str]) -> None:
        call, state = part.get("tool_call"), part.get("state")
        if not isinstance(call, str) or not is_id(call) or run_of_call(call) != self._run:
            raise LocalProtocolError(f"a tool part has a tool_call {self._run}-ORDINAL of at most 64 characters")
        if state not in (*TOOL_STATES, None) or (state is None and call not in begun):
            raise LocalProtocolError(f"a tool part begins with a state, one of {', '.join(TOOL_STATES)}")
        if call not in begun and not isinstance(part.get("name"), str):
            raise LocalProtocolError("the first part of a tool call has the tool's name")
        if not isinstance(part.get("raw_input", ""), str):
            raise LocalProtocolError("raw_input is a text: what comes of the input as it is written")
        begun.add(call)

    def _add(self, parts: PartWriter, part: Mapping[str, Json]) -> list[bytes]:
        kind = part["type"]
        if kind in STREAMED_PARTS:
            text = part["text"]
            pieces = [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]
            updates = [parts.append(piece, kind=kind) for piece in pieces]
            self._count = self._output.length(Root.MESSAGES, self._message, "parts")
            return updates
        name = _name(part)
        if name in self._places:
            return [self._change(self._places[name], part)]
        body: dict[str, Json] = {"id": str(self._count), **part}
        if kind == "tool" and ("raw_input" in part or part.get("state") == "input-streaming"):
            body["raw_input"] = SharedText(part.get("raw_input", ""))
        if name is not None:
            self._places[name] = self._count
        self._count += 1
        return [parts.finish(), parts.add_part(body)]

    def _change(self, place: int, part: Mapping[str, Json]) -> bytes:
        at = (Root.MESSAGES, self._message, "parts", place)

        def change(replica: Replica) -> None:
            for name, value in part.items():
                if name != "raw_input" or part["type"] != "tool":
                    if name not in ("type", "tool_call", "id"):
                        replica.set(at, name, value)
                elif replica.contains(*at, name):
                    replica.text_append((*at, name), value)
                else:
                    replica.set(at, name, SharedText(value))

        return self._output.edit(change)


def _name(part: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return what tells a part that may be written again from all others; None for one that may not."""
    kind = part.get("type")
    id = part.get("tool_call") if kind == "tool" else part.get("id")
    written_again = isinstance(kind, str) and (kind == "tool" or kind.startswith("data-"))
    return (kind, id) if written_again and isinstance(kind, str) and isinstance(id, str) else None
