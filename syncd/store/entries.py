"""The table of entries: the log of each session, row by row.

Says how rows are written, read and counted in SQLite. Knows nothing of what an entry holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import TypeAlias

from syncd.core.errors import StoreDamaged
from syncd.store.log import EntryKind, StoredEntry
from syncd.store.rows import stored_entry
from syncd.store.sqlite import rows_per_statement

#: `(number, version, kind, at_ms, crc, data)`.
EntryRow: TypeAlias = tuple[int, int, int, int, int, bytes]

ENTRY_TABLES = (
    # In order of arrival, found by an index of integers: entries of many sessions share the pages of a commit.
    # Kept in order of session instead, a commit writes a page for each session (2.5 times the bytes).
    """CREATE TABLE entry (
        row INTEGER PRIMARY KEY, number INTEGER NOT NULL, version INTEGER NOT NULL, kind INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
    )""",
    "CREATE UNIQUE INDEX entry_version ON entry (number, version)",
)

_COLUMNS = "(number, version, kind, at_ms, crc, data)"
_ROW = "(?, ?, ?, ?, ?, ?)"
_COLUMN_COUNT = 6


def fits_one_statement(connection: sqlite3.Connection, rows: Sequence[EntryRow]) -> bool:
    """Whether `insert_entries` writes these rows by one statement."""
    return len(rows) <= rows_per_statement(connection, _COLUMN_COUNT)


def insert_entries(connection: sqlite3.Connection, rows: Sequence[EntryRow]) -> None:
    """Write rows, in as few statements as the database takes."""
    most = rows_per_statement(connection, _COLUMN_COUNT)
    for at in range(0, len(rows), most):
        part = rows[at : at + most]
        places = ", ".join([_ROW] * len(part))
        sql = f"INSERT INTO entry {_COLUMNS} VALUES {places}"  # noqa: S608
        connection.execute(sql, tuple(chain.from_iterable(part)))


def read_entries(connection: sqlite3.Connection, session: str, number: int, after: int) -> Sequence[StoredEntry]:
    """Return a session's entries above version `after`, in order.

    Raises:
        StoreDamaged: one is missing, or is not what was written.
    """
    rows = connection.execute(
        "SELECT version, kind, crc, data FROM entry WHERE number = ? AND version > ? ORDER BY version", (number, after)
    ).fetchall()
    entries: list[StoredEntry] = []
    due = after + 1
    for row in rows:
        entry = stored_entry(session, *row)
        if entry.version != due and (entries or entry.kind is not EntryKind.SNAPSHOT):
            raise StoreDamaged(f"version {due} is missing")
        entries.append(entry)
        due = entry.version + 1
    return entries


def measure_entries(connection: sqlite3.Connection, number: int) -> tuple[int, int, int, int]:
    """Return a session's last version, how many entries and bytes its log has, and when it grew last (Unix ms)."""
    version, entries, log_bytes, at_ms = connection.execute(
        "SELECT coalesce(max(version), 0), count(*), coalesce(sum(length(data)), 0), coalesce(max(at_ms), 0) "
        "FROM entry WHERE number = ?",
        (number,),
    ).fetchone()
    return version, entries, log_bytes, at_ms
