"""LocalIndex: a device's copy of its subject's list of sessions, as the server told it last.

Kept apart for each subject: a device may be used by several. Knows nothing of links or of how a row comes about.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.messages import IndexRow
from syncd.store.sqlite import Database

LOCAL_INDEX_TABLES = (
    """CREATE TABLE listed (
        subject TEXT NOT NULL, session TEXT NOT NULL, archived INTEGER NOT NULL, at_ms INTEGER NOT NULL,
        crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (subject, session)
    ) WITHOUT ROWID""",
    "CREATE INDEX listed_at ON listed (subject, archived, at_ms)",
)


class LocalIndex:
    """The rows of lists, over the local store's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, subject: str, *, archived: bool, limit: int) -> Sequence[IndexRow]:
        """Return the newest rows; those that are not what was written are left out: the server tells them again."""
        sql = (
            "SELECT session, archived, at_ms, crc, data FROM listed WHERE subject = ? AND archived = ? "
            "ORDER BY at_ms DESC, session DESC LIMIT ?"
        )
        found = await self._database.run(lambda c: c.execute(sql, (subject, archived, limit)).fetchall())
        rows = (_decode(subject, *row) for row in found)
        return [row for row in rows if row is not None]

    async def put(self, subject: str, rows: Sequence[IndexRow], gone: Iterable[str] = ()) -> None:
        """Take rows in place of those before, and forget sessions that are gone."""
        lost = [(subject, session) for session in gone]

        def write(connection: sqlite3.Connection) -> None:
            _put(connection, subject, rows)
            connection.executemany("DELETE FROM listed WHERE subject = ? AND session = ?", lost)

        await self._database.transaction(write)

    async def put_page(
        self, subject: str, rows: Sequence[IndexRow], *, archived: bool, below_ms: int | None, whole: bool
    ) -> None:
        """Take a page: what is held between its ends and not in it is not in the list any more.

        `below_ms` is where the page before ended, None for the first. `whole`: there is nothing behind the page.
        """
        low = -1 if whole or not rows else rows[-1].at_ms
        high = 1 << 62 if below_ms is None else below_ms
        named = json.dumps([row.session for row in rows])

        def write(connection: sqlite3.Connection) -> None:
            if rows or whole:
                connection.execute(
                    "DELETE FROM listed WHERE subject = ? AND archived = ? AND at_ms > ? AND at_ms < ? "
                    "AND session NOT IN (SELECT value FROM json_each(?))",
                    (subject, archived, low, high, named),
                )
            _put(connection, subject, rows)

        await self._database.transaction(write)


def forget_listed(connection: sqlite3.Connection, session: str) -> None:
    """Remove a session's rows, whoever's."""
    connection.execute("DELETE FROM listed WHERE session = ?", (session,))


def _put(connection: sqlite3.Connection, subject: str, rows: Iterable[IndexRow]) -> None:
    given = []
    for row in rows:
        data = pack(
            [
                row.title, [*row.tags], row.seq, row.excerpt, row.unread, [*row.needs], dict(row.running),
                dict(row.here), row.responsible,
            ]
        )  # fmt: skip
        given.append((subject, row.session, row.archived, row.at_ms, _crc(subject, row.session, data), data))
    connection.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?)", given)


def _decode(subject: str, session: str, archived: int, at_ms: int, crc: object, data: object) -> IndexRow | None:
    if type(data) is not bytes or crc != _crc(subject, session, data):
        return None
    try:
        title, tags, seq, excerpt, unread, needs, running, here, responsible, *_ = unpack(data)
    except ValueError:
        return None
    return IndexRow(
        session, title, tuple(tags), bool(archived), at_ms, seq, excerpt, unread, tuple(needs), running, here,
        responsible,
    )  # fmt: skip


def _crc(subject: str, session: str, data: bytes) -> int:
    return crc32(data, crc32(f"{subject}\n{session}\n".encode()))
