"""The table of runs that are not over: kept beside the log's entries, in their transactions.

Says what a row is in SQLite and how it is checked. Knows nothing of what a run is.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.work import WorkRow

#: The lease of a run that is over: its row is removed.
ENDED = "ended"

# Bytes, not texts: what does not check must still be readable to be found out.
WORK_TABLES = (
    """CREATE TABLE work (
        number INTEGER NOT NULL, run BLOB NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (number, run)
    ) WITHOUT ROWID""",
)


def put_work(connection: sqlite3.Connection, number: int, rows: Iterable[WorkRow]) -> None:
    """Write the rows of the session of this number, the last of each run; those of ended runs are removed."""
    last = {row.run: row for row in rows}
    ended = [(number, run.encode()) for run, row in last.items() if row.lease == ENDED]
    if ended:
        connection.executemany("DELETE FROM work WHERE number = ? AND run = ?", ended)
    kept = [_encode(number, row) for row in last.values() if row.lease != ENDED]
    if kept:
        connection.executemany("INSERT OR REPLACE INTO work VALUES (?, ?, ?, ?)", kept)


def drop_work(connection: sqlite3.Connection, number: int) -> None:
    """Remove all rows of the session of this number."""
    connection.execute("DELETE FROM work WHERE number = ?", (number,))


def read_work(connection: sqlite3.Connection) -> tuple[Sequence[WorkRow], Sequence[tuple[str, str]]]:
    """Return the rows of all sessions that are not quarantined, oldest first.

    And session and run of those that are not what was written.
    """
    rows: list[WorkRow] = []
    broken: list[tuple[str, str]] = []
    for session, run, crc, data in connection.execute(
        "SELECT session.session, work.run, work.crc, work.data FROM work JOIN session USING (number) WHERE damaged = ''"
    ):
        row = _decode(session, run, crc, data)
        if row is not None:
            rows.append(row)
        else:
            broken.append((session, run.decode(errors="replace") if isinstance(run, bytes) else str(run)))
    return sorted(rows, key=lambda row: (row.at_ms, row.session, row.run)), broken


def _encode(number: int, row: WorkRow) -> tuple[int, bytes, int, bytes]:
    run = row.run.encode()
    # More fields may be added at the end.
    data = pack([row.agent, row.message, row.lease, row.attempt, row.at_ms, row.worker, row.due_at])
    return number, run, _crc(row.session, run, data), data


def _decode(session: str, run: object, crc: object, data: object) -> WorkRow | None:
    if type(run) is not bytes or type(data) is not bytes or crc != _crc(session, run, data):
        return None
    try:
        agent, message, lease, attempt, at_ms, worker, due_at, *_ = unpack(data)
        return WorkRow(agent, session, run.decode(), message, lease, attempt, at_ms, worker, due_at)
    except (ValueError, TypeError):
        return None


def _crc(session: str, run: bytes, data: bytes) -> int:
    return crc32(data, crc32(b"%b\n%b\n" % (session.encode(), run)))
