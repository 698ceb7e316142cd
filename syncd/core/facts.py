"""Facts: what an accepted update of the transcript says that the server has to decide on, in its author's words.

Read from the update's own bytes, before anything is applied. Knows nothing of what is decided (see `decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from syncd.core.ids import is_id, is_subject, run_key, split_run_key
from syncd.core.index import ContainerIndex, Insert, Plan
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.core.schema import Root
from syncd.core.tool_calls import ASKED, CALL_KEYS, ToolCalls, is_part
from syncd.core.update import Content, DecodedUpdate, Id, Kind, read_text, read_value


@record
class NewMessageFact:
    """A message was written. `to` holds well-formed subjects only; `run` is empty for one that belongs to none.

    `text` is the beginning of what came with it: of an answer that is still written, next to nothing.
    """

    id: str
    by: str
    to: tuple[str, ...]
    run: str
    expires_at: int
    role: str = ""
    text: str = ""
    attempt: int = 0


@record
class NewCommandFact:
    """A command was written. `value` is as its author wrote it: nothing of it is checked."""

    id: str
    by: str
    value: Json


@record
class NewAttemptFact:
    """An attempt of a run was begun by `worker`, whoever may do that. `status` is what it says of itself by now."""

    run: str
    attempt: int
    by: str
    worker: str
    message: str
    parent: str
    status: str
    wake_at: int = 0


@record
class StatusFact:
    """The attempt of a run says another `status` of itself."""

    run: str
    attempt: int
    by: str
    status: str


@record
class WakeFact:
    """The attempt of a run says when it is to be taken up again if it waits by then, Unix ms; 0 for not by time."""

    run: str
    attempt: int
    by: str
    wake_at: int


@record
class AskedFact:
    """A part of a message says that its tool call waits for somebody's yes."""

    message: str
    tool_call: str
    name: str
    by: str


@record
class ReadFact:
    """Somebody has read up to `seq`."""

    by: str
    seq: int


@record
class ClaimFact:
    """A worker asks for a run that waits. No update says so but a frame; it takes its turn among the others."""

    run: str
    by: str
    worker: str
    policy: str
    attempts_max: int


Fact: TypeAlias = (
    NewMessageFact | NewCommandFact | NewAttemptFact | StatusFact | WakeFact | AskedFact | ReadFact | ClaimFact
)

#: Characters of a message's text that a fact holds.
TEXT_CHARS_MAX: Final = 280
_ANY = int(Content.ANY)
_STRING = int(Content.STRING)
_WAKE: Final = "wake_at"
#: What an attempt says of itself while it lasts.
_SAYINGS: Final = frozenset({"status", _WAKE})


def read_facts(
    data: bytes, update: DecodedUpdate, plan: Plan, index: ContainerIndex, *, by: str, worker: str, calls: ToolCalls
) -> list[Fact]:
    """Return the facts of an update, in the order its author made them; note its tool calls in `calls`.

    Call it before the plan is committed.
    """
    found = _Found()
    for insert in plan.inserts:
        _sort(insert, plan, index, found)
    # Of what was written again before it was sent, the last one counts.
    fields: dict[Id, dict[str, Json]] = {}
    for insert in sorted(found.fields, key=_order):
        fields.setdefault(_id_of(insert), {})[insert.key or ""] = read_value(
            data, update, (insert.client, insert.start)
        )
    texts = _read_texts(data, update, plan, found.texts)
    facts: list[Fact] = []
    for insert in sorted(found.begun.values(), key=_order):
        id, key = (insert.client, insert.start), insert.key or ""
        if insert.container == Root.MESSAGES:
            facts.append(_message(key, by, fields.get(id, {}), texts.get(key, "")))
        elif insert.container == Root.COMMANDS:
            value = read_value(data, update, id) if insert.content == _ANY else None
            facts.append(NewCommandFact(key, by, value))
        elif (begun_attempt := _attempt(key, by, worker, fields.get(id, {}))) is not None:
            facts.append(begun_attempt)
    for insert, key in sorted(found.statuses, key=lambda pair: _order(pair[0])):
        run, attempt = split_run_key(key)
        said = read_value(data, update, (insert.client, insert.start))
        if attempt and insert.key == _WAKE:
            facts.append(WakeFact(run, attempt, by, whole(said)))
        elif attempt and isinstance(said, str):
            facts.append(StatusFact(run, attempt, by, said))
    facts += _read_tools(data, update, found.tools, by, calls)
    for insert in sorted(found.reads, key=_order):
        read = read_value(data, update, (insert.client, insert.start))
        if isinstance(read, dict) and (seq := whole(read.get("seq"))):
            facts.append(ReadFact(by, seq))
    return facts


class _Found:
    """An update's inserts, as far as they say something that the server decides on or tells of."""

    __slots__ = ("begun", "fields", "reads", "statuses", "texts", "tools")

    def __init__(self) -> None:
        self.begun: dict[tuple[str, str], Insert] = {}
        self.fields: list[Insert] = []
        self.statuses: list[tuple[Insert, str]] = []
        self.tools: list[tuple[Insert, str]] = []
        self.texts: list[tuple[Insert, str]] = []
        self.reads: list[Insert] = []


def _sort(insert: Insert, plan: Plan, index: ContainerIndex, found: _Found) -> None:
    container, key, content = insert.container, insert.key, insert.content
    if isinstance(container, str):
        if key is None:
            return
        if container in (Root.MESSAGES, Root.COMMANDS, Root.RUNS) and key not in index.entries[container]:
            # Of an entry that was written again before it was sent, the last one counts.
            found.begun[container, key] = max(insert, found.begun.get((container, key), insert), key=_order)
        elif container == Root.READS and content == _ANY:
            found.reads.append(insert)
        return
    new = plan.types.get(container)
    if content == _STRING:
        if new is not None and new.kind is Kind.TEXT and new.root == Root.MESSAGES:
            found.texts.append((insert, new.top_key))
        return
    record = new or index.types.get(container)
    if content != _ANY or key is None or record is None or record.kind is not Kind.MAP:
        return
    if record.depth == 1:
        if new is not None:
            found.fields.append(insert)
        elif record.root == Root.RUNS and key in _SAYINGS:
            found.statuses.append((insert, record.top_key))
    elif (key in CALL_KEYS or key == "state") and is_part(record):
        found.tools.append((insert, record.top_key))


def _read_texts(data: bytes, update: DecodedUpdate, plan: Plan, inserts: list[tuple[Insert, str]]) -> Mapping[str, str]:
    """Return the beginning of each new message's text, that of its parts in the order they were written."""
    texts: dict[str, str] = {}
    for insert, message in sorted(inserts, key=lambda pair: _order(pair[0])):
        before = texts.get(message, "")
        if len(before) < TEXT_CHARS_MAX:
            texts[message] = (before + read_text(data, update, (insert.client, insert.start)))[:TEXT_CHARS_MAX]
    return texts


def _read_tools(
    data: bytes, update: DecodedUpdate, inserts: list[tuple[Insert, str]], by: str, calls: ToolCalls
) -> Sequence[AskedFact]:
    """Note which tool calls parts are; return what of them waits for a yes."""
    asked: dict[Id, str] = {}
    for insert, message in sorted(inserts, key=lambda pair: _order(pair[0])):
        part, key = _id_of(insert), insert.key or ""
        value = read_value(data, update, (insert.client, insert.start))
        calls.note(part, key, value)
        if key == "state" and value == ASKED:
            asked[part] = message
    facts = [AskedFact(message, *calls.find(part), by) for part, message in asked.items()]
    return [fact for fact in facts if fact.tool_call]


def _id_of(insert: Insert) -> Id:
    assert not isinstance(insert.container, str)  # sorted so
    return insert.container


def _order(insert: Insert) -> tuple[int, int]:
    return insert.client, insert.start


def _message(key: str, by: str, fields: Mapping[str, Json], text: str) -> NewMessageFact:
    named = fields.get("to")
    to = tuple(dict.fromkeys(s for s in named if is_subject(s))) if isinstance(named, list) else ()
    role = fields.get("role")
    said = role if isinstance(role, str) else ""
    run, attempt = _id(fields.get("run")), whole(fields.get("attempt"))
    return NewMessageFact(key, by, to, run, whole(fields.get("expires_at")), said, text, attempt)


def _attempt(key: str, by: str, worker: str, fields: Mapping[str, Json]) -> NewAttemptFact | None:
    run, attempt = split_run_key(key)  # Readers go by the key as well, whatever the entry says.
    if attempt < 1 or run_key(run, attempt) != key:
        return None  # No attempt: nothing is decided on it.
    status = fields.get("status")
    return NewAttemptFact(
        run,
        attempt,
        by,
        worker,
        _id(fields.get("message")),
        _id(fields.get("parent_run")),
        status if isinstance(status, str) else "running",
        whole(fields.get(_WAKE)),
    )


def _id(value: Json) -> str:
    return value if is_id(value) else ""


def whole(value: Json) -> int:
    """Return `value` as a whole number of at least 0, 0 if it is none. Yjs writes those above 2^31 as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0
