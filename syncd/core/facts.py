"""Facts: what an accepted update of the transcript says that the server has to decide on, in its author's words.

Read from the update's own bytes, before anything is applied. Knows nothing of what is decided (see `decisions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from syncd.core.ids import is_id, is_subject, run_key, split_run_key
from syncd.core.index import ContainerIndex, Insert, Plan
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.core.schema import Root
from syncd.core.update import Content, DecodedUpdate, Kind, read_value


@record
class NewMessageFact:
    """A message was written. `to` holds well-formed subjects only; `run` is empty for one that belongs to none."""

    id: str
    by: str
    to: tuple[str, ...]
    run: str
    expires_at: int


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


@record
class StatusFact:
    """The attempt of a run says another `status` of itself."""

    run: str
    attempt: int
    by: str
    status: str


@record
class ClaimFact:
    """A worker asks for a run that waits. No update says so but a frame; it takes its turn among the others."""

    run: str
    by: str
    worker: str
    policy: str
    attempts_max: int


Fact: TypeAlias = NewMessageFact | NewCommandFact | NewAttemptFact | StatusFact | ClaimFact

_ANY = int(Content.ANY)


def read_facts(
    data: bytes, update: DecodedUpdate, plan: Plan, index: ContainerIndex, *, by: str, worker: str
) -> list[Fact]:
    """Return the facts of an update, in the order its author made them. Call it before the plan is committed."""
    known = index.entries
    fields: dict[tuple[int, int], dict[str, Json]] = {}
    newest: dict[tuple[tuple[int, int], str], int] = {}
    begun: dict[tuple[str, str], Insert] = {}
    statuses: list[tuple[Insert, str]] = []
    for insert in plan.inserts:
        container, key = insert.container, insert.key
        if key is None:
            continue
        if isinstance(container, str):
            if container in (Root.MESSAGES, Root.COMMANDS, Root.RUNS) and key not in known[container]:
                # Of an entry that was written again before it was sent, the last one counts.
                begun[container, key] = max(insert, begun.get((container, key), insert), key=_order)
        elif insert.content == _ANY:
            record = plan.types.get(container) or index.types.get(container)
            if record is None or record.depth != 1 or record.kind is not Kind.MAP:
                continue
            if record.root == Root.RUNS and key == "status" and container not in plan.types:
                statuses.append((insert, record.top_key))
            elif container in plan.types and insert.start > newest.get((container, key), -1):
                newest[container, key] = insert.start
                fields.setdefault(container, {})[key] = read_value(data, update, (insert.client, insert.start))
    statuses.sort(key=lambda pair: _order(pair[0]))
    facts: list[Fact] = []
    for insert in sorted(begun.values(), key=_order):
        id, key = (insert.client, insert.start), insert.key or ""
        if insert.container == Root.MESSAGES:
            facts.append(_message(key, by, fields.get(id, {})))
        elif insert.container == Root.COMMANDS:
            value = read_value(data, update, id) if insert.content == _ANY else None
            facts.append(NewCommandFact(key, by, value))
        elif (begun_attempt := _attempt(key, by, worker, fields.get(id, {}))) is not None:
            facts.append(begun_attempt)
    for insert, key in statuses:
        run, attempt = split_run_key(key)
        status = read_value(data, update, (insert.client, insert.start))
        if attempt and isinstance(status, str):
            facts.append(StatusFact(run, attempt, by, status))
    return facts


def _order(insert: Insert) -> tuple[int, int]:
    return insert.client, insert.start


def _message(key: str, by: str, fields: Mapping[str, Json]) -> NewMessageFact:
    named = fields.get("to")
    to = tuple(dict.fromkeys(s for s in named if is_subject(s))) if isinstance(named, list) else ()
    return NewMessageFact(key, by, to, _id(fields.get("run")), whole(fields.get("expires_at")))


def _attempt(key: str, by: str, worker: str, fields: Mapping[str, Json]) -> NewAttemptFact | None:
    run, attempt = _id(fields.get("run")), whole(fields.get("attempt"))
    if not run or attempt < 1 or run_key(run, attempt) != key:
        return None  # Not an attempt by the schema: nothing is decided on it.
    status = fields.get("status")
    return NewAttemptFact(
        run,
        attempt,
        by,
        worker,
        _id(fields.get("message")),
        _id(fields.get("parent_run")),
        status if isinstance(status, str) else "running",
    )


def _id(value: Json) -> str:
    return value if is_id(value) else ""


def whole(value: Json) -> int:
    """Return `value` as a whole number of at least 0, 0 if it is none. Yjs writes those above 2^31 as floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else 0
