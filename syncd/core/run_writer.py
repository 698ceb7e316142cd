"""RunWriter: what one run writes: the entry of its attempt, and its messages with their parts.

Works on a small `Replica` that holds nothing else, so that what a run writes arrives in the order it was written in.
Knows nothing of who may write what, of leases or of the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from syncd.core.errors import LocalProtocolError
from syncd.core.ids import is_id, is_subject, run_key
from syncd.core.messages import Json
from syncd.core.replica import Replica, SharedMap, SharedText, check_text, check_value
from syncd.core.run_view import RUN_ENDS
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import PartWriter, put_message
from syncd.core.update import EMPTY_UPDATE

RUN_STATUSES: Final = frozenset({"running", "suspended", "detached"}) | RUN_ENDS
#: A run's id leaves room for the number of an attempt, or of a tool call, behind it.
RUN_CHARS_MAX: Final = 48
#: The parts of a tool call's way. `error` and `input` come with the states that have them.
TOOL_STATES: Final = (
    "input-streaming",
    "input-available",
    "approval-requested",
    "approval-responded",
    "output-available",
    "output-error",
    "output-denied",
)


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """One attempt of a run, about to begin. `message` is what it answers; `task` what a run without one is about."""

    run: str
    attempt: int
    agent: str
    started_at: int
    message: str | None = None
    parent_run: str | None = None
    task: str | None = None

    def check(self) -> None:
        """Refuse what the schema does not allow.

        Raises:
            LocalProtocolError: says which field and why.
        """
        if not is_id(self.run) or len(self.run) > RUN_CHARS_MAX:
            raise LocalProtocolError(f"a run's id has 1 to {RUN_CHARS_MAX} of A-Z a-z 0-9 _ -, {self.run!r} is none")
        if self.attempt < 1:
            raise LocalProtocolError("attempts count from 1")
        if not is_subject(self.agent) or not self.agent.startswith("agent:"):
            raise LocalProtocolError(f"{self.agent!r} is not an agent such as 'agent:planner'")
        for name, value in (("message", self.message), ("parent_run", self.parent_run)):
            if value is not None and not is_id(value):
                raise LocalProtocolError(f"a run's {name} {value!r} is not an id")
        if self.task is not None:
            check_text(self.task)


@dataclass(frozen=True, slots=True)
class PartPlace:
    """Where a part stands: parts are only ever appended, so it stays there."""

    message: str
    index: int


def put_attempt(replica: Replica, new: NewAttempt) -> bytes:
    """Write the entry of an attempt that begins; return the update to store and push.

    Raises:
        LocalProtocolError: it is not as the schema says, or was begun already.
    """
    new.check()
    key = run_key(new.run, new.attempt)
    if replica.contains(Root.RUNS, key):
        raise LocalProtocolError(f"attempt {new.attempt} of run {new.run} was begun already")
    body = SharedMap(run=new.run, attempt=new.attempt, agent=new.agent, status="running", started_at=new.started_at)
    for name in ("message", "parent_run", "task"):
        value = getattr(new, name)
        if value is not None:
            body[name] = value
    body["consumed"] = SharedMap()
    return replica.edit(lambda r: r.set((Root.RUNS,), key, body))


def set_attempt(replica: Replica, run: str, attempt: int, fields: Mapping[str, Json]) -> bytes:
    """Set fields of an attempt's entry, such as `status`; return the update.

    Raises:
        LocalProtocolError: it was not begun in this replica, or a value is not JSON.
    """
    check_value(dict(fields))
    if (status := fields.get("status", "running")) not in RUN_STATUSES:
        raise LocalProtocolError(f"{status!r} is none of {', '.join(sorted(RUN_STATUSES))}")
    path = (Root.RUNS, run_key(run, attempt))
    if not replica.contains(*path):
        raise LocalProtocolError(f"attempt {attempt} of run {run} was not begun here")

    def change(r: Replica) -> None:
        for name, value in fields.items():
            r.set(path, name, value)

    return replica.edit(change)


def put_consumed(replica: Replica, run: str, attempt: int, commands: Iterable[str], at: int) -> bytes:
    """Mark steers as consumed by an attempt, at `at` (Unix ms); return the update."""
    path, ids = (Root.RUNS, run_key(run, attempt), "consumed"), list(commands)

    def change(r: Replica) -> None:
        for id in ids:
            r.set(path, id, at)

    return replica.edit(change)


def set_part(replica: Replica, place: PartPlace, fields: Mapping[str, Json]) -> bytes:
    """Set fields of a part; return the update."""
    check_value(dict(fields))
    path = (Root.MESSAGES, place.message, "parts", place.index)

    def change(r: Replica) -> None:
        for name, value in fields.items():
            r.set(path, name, value)

    return replica.edit(change)


class RunWriter:
    """Writes one run, attempt after attempt, message after message.

    Every method returns the update to store and push.

    1. It only ever appends, or overwrites what it wrote itself: the author rule allows nothing else.
    2. Parts go to the message that was begun last. A part that grows or changes later is found by its place.
    """

    def __init__(self, replica: Replica, run: str) -> None:
        self._replica = replica
        self._run = run
        self._attempt = 0
        self._message = ""
        self._parts: PartWriter | None = None

    @property
    def message(self) -> str | None:
        """The message that parts go to; None while none was begun in this attempt."""
        return self._message if self._parts is not None else None

    @property
    def open_place(self) -> PartPlace | None:
        """Where the text or reasoning stands that is open; None if none is."""
        if self._parts is None or not self._parts.open:
            return None
        return PartPlace(self._message, self._parts.count - 1)

    def begin(self, new: NewAttempt) -> bytes:
        """Begin an attempt. What comes next goes to a message of its own."""
        update = put_attempt(self._replica, new)
        self._attempt, self._parts = new.attempt, None
        return update

    def set(self, fields: Mapping[str, Json]) -> bytes:
        """Set fields of the attempt's entry."""
        return set_attempt(self._replica, self._run, self._attempt, fields)

    def consume(self, commands: Iterable[str], at: int) -> bytes:
        """Mark steers as consumed, at `at` (Unix ms)."""
        return put_consumed(self._replica, self._run, self._attempt, commands, at)

    def begin_message(self, new: NewMessage) -> bytes:
        """Begin a message: parts go to it from now on."""
        update = put_message(self._replica, new)
        self._message, self._parts = new.id, PartWriter(self._replica, new.id)
        return update

    def append(self, text: str, *, kind: str) -> bytes:
        """Append to the current part, or to a new one if that is of another `kind`."""
        return self._open().append(text, kind=kind)

    def finish(self) -> bytes:
        """Mark the current text as done."""
        return EMPTY_UPDATE if self._parts is None else self._parts.finish()

    def add_part(self, part: Mapping[str, Json]) -> tuple[PartPlace, bytes]:
        """Add a part, whole as it is or to be changed later; return its place too."""
        check_value(dict(part))
        parts = self._open()
        place = PartPlace(self._message, parts.count)
        body: dict[str, Json] = {"id": str(place.index), **part}
        if body.get("state") == "input-streaming":
            body["raw_input"] = SharedText("")
        return place, parts.add_part(body)

    def append_input(self, place: PartPlace, text: str) -> bytes:
        """Append to the raw input of a tool call that was added in the state `input-streaming`."""
        check_text(text)
        path = (Root.MESSAGES, place.message, "parts", place.index, "raw_input")
        return self._replica.edit(lambda r: r.text_append(path, text))

    def set_part(self, place: PartPlace, fields: Mapping[str, Json]) -> bytes:
        """Set fields of a part that was added before."""
        return set_part(self._replica, place, fields)

    def _open(self) -> PartWriter:
        if self._parts is None:
            raise LocalProtocolError("no message was begun: call begin_message first")
        return self._parts
