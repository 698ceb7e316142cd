"""The table of events: what happened in sessions, kept beside the log's entries, in their transactions.

In order over all sessions, for whoever tells the absent; dropped once that is done. Says what a row is in SQLite and
how it is checked. Knows nothing of what an event means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.events import Event, StoredEvent

# AUTOINCREMENT: a reader remembers how far it is, and a row that it has not seen must never get a number below that.
EVENT_TABLES = (
    """CREATE TABLE event (
        row INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
    )""",
)


def put_events(connection: sqlite3.Connection, session: str, number: int, events: Sequence[Event]) -> None:
    """Write events of the session of this number."""
    rows = []
    for event in events:
        data = pack([event.key, event.type, event.at_ms, event.by, dict(event.body)])
        rows.append((number, _crc(session, data), data))
    connection.executemany("INSERT INTO event (number, crc, data) VALUES (?, ?, ?)", rows)


def read_events(connection: sqlite3.Connection, after: int, limit: int) -> tuple[Sequence[StoredEvent], int]:
    """Return up to `limit` events behind row `after`, and the last row looked at.

    Those that are not what was written are left out, and those of sessions that are quarantined.
    """
    found = connection.execute(
        "SELECT row, session, incarnation, damaged, event.crc, data FROM event JOIN session USING (number) "
        "WHERE row > ? ORDER BY row LIMIT ?",
        (after, limit),
    ).fetchall()
    events = []
    for row, session, incarnation, damaged, crc, data in found:
        event = None if damaged else _decode(session, crc, data)
        if event is not None:
            events.append(StoredEvent(row, session, incarnation, event))
    return events, found[-1][0] if found else after


def last_event(connection: sqlite3.Connection) -> int:
    """Return the row of the newest event there ever was, 0 for none."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return found[0] if found else 0


def drop_events(connection: sqlite3.Connection, through: int) -> None:
    """Remove events up to row `through`."""
    connection.execute("DELETE FROM event WHERE row <= ?", (through,))


def drop_session_events(connection: sqlite3.Connection, number: int) -> None:
    """Remove all events of the session of this number."""
    connection.execute("DELETE FROM event WHERE number = ?", (number,))


def broken_events(connection: sqlite3.Connection) -> Sequence[tuple[str, int]]:
    """Return session and row of the events that are not what was written."""
    rows = connection.execute("SELECT row, session, event.crc, data FROM event JOIN session USING (number)")
    return [(session, row) for row, session, crc, data in rows if _decode(session, crc, data) is None]


def _decode(session: str, crc: object, data: object) -> Event | None:
    if type(data) is not bytes or crc != _crc(session, data):
        return None
    try:
        key, type_, at_ms, by, body, *_ = unpack(data)  # More fields may be added at the end.
        return Event(key, type_, at_ms, by, body)
    except (ValueError, TypeError):
        return None


def _crc(session: str, data: bytes) -> int:
    return crc32(data, crc32(b"%b\n" % session.encode()))
