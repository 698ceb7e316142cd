"""Rows of hooks: the tables, the records that stand for their rows, and how a row is read, checked and erased.

Contents are opaque bytes, each with a checksum, but for one thing: what is of several sessions is a msgpack array whose
last item is the array of its events, each a map with the `session` it is of. Knows nothing of rules or channels.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.record import record

HOOK_TABLES = (
    "CREATE TABLE hook_cursor (one INTEGER PRIMARY KEY CHECK (one = 1), row INTEGER NOT NULL)",
    """CREATE TABLE hook_rule (
        name TEXT PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE hook_target (
        name TEXT PRIMARY KEY, disabled_ms INTEGER NOT NULL, reason TEXT NOT NULL
    ) WITHOUT ROWID""",
    # What rules must know of a session beyond the event at hand: who asked for a run, how far somebody read.
    """CREATE TABLE hook_about (
        number INTEGER NOT NULL, key BLOB NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (number, key)
    ) WITHOUT ROWID""",
    """CREATE TABLE hook_wait (
        row INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        crc INTEGER NOT NULL, data BLOB NOT NULL
    )""",
    "CREATE INDEX hook_wait_number ON hook_wait (number)",
    """CREATE TABLE delivery (
        row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, number INTEGER NOT NULL,
        target TEXT NOT NULL, lane TEXT NOT NULL, subject TEXT NOT NULL, seq INTEGER NOT NULL, tag TEXT NOT NULL,
        act TEXT NOT NULL, state TEXT NOT NULL, due_ms INTEGER NOT NULL, attempt INTEGER NOT NULL,
        made_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, reason TEXT NOT NULL,
        crc INTEGER NOT NULL, data BLOB NOT NULL
    )""",
    "CREATE INDEX delivery_lane ON delivery (state, lane, row)",
    "CREATE INDEX delivery_target ON delivery (target, state, row)",
    "CREATE INDEX delivery_number ON delivery (number, tag)",
)

#: For what a person has read, which is asked at each reading; programs' deliveries, whose `seq` is 0, are not in it.
HOOK_INDEXES = (
    "CREATE INDEX delivery_subject ON delivery (number, subject, seq) "
    "WHERE seq > 0 AND state IN ('pending', 'sent', 'dead')",
)

#: States of a delivery. `read` was sent, and taken back since.
PENDING: Final = "pending"
SENT: Final = "sent"
READ: Final = "read"
WITHDRAWN: Final = "withdrawn"
DEAD: Final = "dead"
DROPPED: Final = "dropped"
STATES: Final = (PENDING, SENT, READ, WITHDRAWN, DEAD, DROPPED)
#: What a delivery does.
SEND: Final = "send"
WITHDRAW: Final = "withdraw"

#: The number of what belongs to no one session.
NO_SESSION: Final = 0


@record
class Delivery:
    """One thing to be delivered, or that was. `data` says what; all else is where, when, and how it went.

    `session` is empty for what is about none, or about several. Of one `lane` one is under way at a time, oldest first.
    `subject` is whom it is for, `seq` what of the session it is about, both empty or 0 if there is none such. What is
    answered is found again by its `tag`. Not read back are `incarnation`, and `of`: of what is about several sessions,
    the session and the incarnation of each of its events.
    """

    id: str
    session: str
    target: str
    lane: str
    data: bytes
    subject: str = ""
    seq: int = 0
    tag: str = ""
    due_ms: int = 0
    made_ms: int = 0
    incarnation: str = ""
    act: str = SEND
    row: int = 0
    state: str = PENDING
    attempt: int = 0
    ended_ms: int = 0
    reason: str = ""
    of: Sequence[tuple[str, str]] = ()


@record
class Wait:
    """Something that is looked at again when it is due. `row` is 0 until it is stored."""

    session: str
    incarnation: str
    due_ms: int
    data: bytes
    row: int = 0


@record
class About:
    """One thing to know of a session; without data, to forget."""

    session: str
    incarnation: str
    key: str
    data: bytes


@record
class Settled:
    """What need not be told any more, in one session: whatever has this `tag`, or, for a subject, is about `seq` or
    something before it. What waits is taken back, and so are people's dead letters; what was sent is withdrawn, in
    lanes that begin with `withdraw`."""

    session: str
    incarnation: str
    tag: str = ""
    subject: str = ""
    seq: int = 0
    withdraw: tuple[str, ...] = ()


def settles(settled: Settled, delivery: Delivery) -> bool:
    """Whether a delivery need not be made any more."""
    if settled.session != delivery.session:
        return False
    if settled.tag:
        return settled.tag == delivery.tag
    return settled.subject == delivery.subject and 0 < delivery.seq <= settled.seq


@record
class HookTurn:
    """All that follows from some events and from time: committed together. `cursor` None leaves it where it is."""

    cursor: int | None = None
    deliveries: Sequence[Delivery] = ()
    waits: Sequence[Wait] = ()
    done_waits: Sequence[int] = ()
    about: Sequence[About] = ()
    settled: Sequence[Settled] = ()
    now_ms: int = 0


@record
class Committed:
    """What a turn made, as it was stored: without what was there already, and what is of sessions that are gone.

    `waits` has a None for each of those. `taken_back` are the rows, with their targets and lanes, that wait no longer.
    """

    deliveries: Sequence[Delivery] = ()
    waits: Sequence[Wait | None] = ()
    taken_back: Sequence[tuple[int, str, str]] = ()


@record
class Mark:
    """How an attempt at a delivery ended."""

    row: int
    state: str
    attempt: int
    due_ms: int = 0
    ended_ms: int = 0
    reason: str = ""


@record
class Marked:
    """What marks changed: the rows that waited until then, and the deliveries that were made."""

    rows: Sequence[int]
    deliveries: Sequence[Delivery]


def drop_hooks(connection: sqlite3.Connection, number: int, session: str) -> None:
    """Remove all that is of a session, and what is of it in what is of several."""
    for table in ("hook_about", "hook_wait", "delivery"):
        connection.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608
    several = connection.execute("SELECT row, id, crc, data FROM delivery WHERE number = ?", (NO_SESSION,)).fetchall()
    for row, id, crc, data in several:
        left = _without(data, session) if crc == checksum(id.encode(), data) else b""
        if not left:
            connection.execute("DELETE FROM delivery WHERE row = ?", (row,))
        elif left != data:
            crc = checksum(id.encode(), left)
            connection.execute("UPDATE delivery SET crc = ?, data = ? WHERE row = ?", (crc, left, row))


def _without(data: bytes, session: str) -> bytes:
    """Return what is left of `data` without a session's events, empty if none is left."""
    *_, events = unpack(data)
    return part_of(data, [event["session"] != session for event in events])


def part_of(data: bytes, kept: Sequence[bool]) -> bytes:
    """Return what is left of `data` with those of its events that are kept, empty if none is."""
    if all(kept):
        return data
    *rest, events = unpack(data)
    left = [event for event, keep in zip(events, kept, strict=True) if keep]
    return pack([*rest, left]) if left else b""


def check_hooks(connection: sqlite3.Connection) -> Sequence[str]:
    """Return what is wrong with the rows of hooks."""
    broken = [
        f"the delivery {id} does not check"
        for id, crc, data in connection.execute("SELECT id, crc, data FROM delivery")
        if crc != checksum(id.encode(), data)
    ]
    for table in ("hook_about", "hook_wait", "delivery"):
        sql = (
            f"SELECT count(*) FROM {table} WHERE number != 0 AND number NOT IN "  # noqa: S608
            "(SELECT number FROM session WHERE deleted_at_ms IS NULL)"
        )
        if orphans := connection.execute(sql).fetchone()[0]:
            broken.append(f"{orphans} rows of {table} belong to no session")
    return broken


def read_deliveries(
    connection: sqlite3.Connection, where: str, given: tuple[object, ...], limit: int
) -> tuple[list[Delivery], list[int]]:
    """Return deliveries, and the rows of those that do not check."""
    found: list[Delivery] = []
    broken: list[int] = []
    sql = (
        "SELECT delivery.row, id, coalesce(session, ''), target, lane, subject, seq, tag, act, state, due_ms, attempt, "  # noqa: S608
        "made_ms, ended_ms, reason, delivery.crc, delivery.data "
        f"FROM delivery LEFT JOIN session USING (number) WHERE {where} LIMIT ?"
    )
    for row, id, session, target, lane, subject, seq, tag, act, state, due, *rest in connection.execute(
        sql, (*given, limit)
    ).fetchall():
        attempt, made, ended, reason, crc, data = rest
        if type(data) is not bytes or crc != checksum(id.encode(), data):
            broken.append(row)
            continue
        where_to = (id, session, target, lane, data, subject, seq, tag)
        found.append(Delivery(*where_to, due, made, "", act, row, state, attempt, ended, reason))
    return found, broken


def insert_delivery(connection: sqlite3.Connection, delivery: Delivery, number: int) -> Delivery | None:
    """Store a delivery of the session of this number; return it with its row, None if its id is there already."""
    d = delivery
    cursor = connection.execute(
        "INSERT OR IGNORE INTO delivery (id, number, target, lane, subject, seq, tag, act, state, due_ms, attempt, "
        "made_ms, ended_ms, reason, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            d.id, number, d.target, d.lane, d.subject, d.seq, d.tag, d.act, d.state, d.due_ms, d.attempt,
            d.made_ms, d.ended_ms, d.reason, checksum(d.id.encode(), d.data), d.data,
        ),
    )  # fmt: skip
    return replace(d, row=cursor.lastrowid or 0) if cursor.rowcount else None


def taken_back(delivery: Delivery, now_ms: int) -> Delivery:
    """Return the delivery that withdraws one that was sent."""
    return Delivery(
        f"{delivery.id}.w", delivery.session, delivery.target, delivery.lane, delivery.data,
        subject=delivery.subject, due_ms=now_ms, made_ms=now_ms, act=WITHDRAW,
    )  # fmt: skip


def number_of(connection: sqlite3.Connection, session: str, incarnation: str) -> int | None:
    row = connection.execute(
        "SELECT number FROM session WHERE session = ? AND deleted_at_ms IS NULL AND (? = '' OR incarnation = ?)",
        (session, incarnation, incarnation),
    ).fetchone()
    return row[0] if row else None


def checksum(key: bytes, data: bytes) -> int:
    return crc32(data, crc32(b"%b\n" % key))
