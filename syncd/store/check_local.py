"""check_local: read a whole local store and say what is wrong with it, and what waits in it.

Only reads, so it may run beside clients. Knows nothing of how to mend anything.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from syncd.core.messages import Layer
from syncd.store.check import Problem, Progress
from syncd.store.rows import update_crc
from syncd.store.sqlite import Database

#: Rows read at a time, so that a client that writes meanwhile is not held up.
_ROWS_AT_ONCE = 500
#: Both tables of updates have these columns.
_TABLES = ("local_update", "refused")


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """What waits in one session's copy: updates that no server acked, and updates that the server refused."""

    session: str
    unsynced: int
    refused: int


@dataclass(frozen=True, slots=True)
class LocalReport:
    """What was found in a local store."""

    problems: Sequence[Problem]
    places: Sequence[LocalPlace]


async def check_local(database: Database, progress: Progress | None = None) -> LocalReport:
    """Return what is wrong with an open local store and what waits in it.

    `progress(done, total)` is called on the database's thread, in rows.

    Raises:
        StoreDamaged: its structure does not read.
    """
    problems = await database.run(_check_structure)
    places = await database.run(_places)
    total = await database.run(lambda c: sum(_count(c, table) for table in _TABLES))
    done = 0
    for table in _TABLES:
        after: int | None = 0
        while after is not None:
            found, after, count = await database.run(_check_rows(table, after))
            problems += found
            done += count
            if progress is not None:
                progress(done, total)
    return LocalReport(problems, places)


def _check_structure(connection: sqlite3.Connection) -> list[Problem]:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
    problems = [Problem("", what) for what in found if what != "ok"]
    orphans = len(connection.execute("PRAGMA foreign_key_check").fetchall())
    if orphans:
        problems.append(Problem("", f"{orphans} rows belong to no session"))
    for session, roots in connection.execute("SELECT session, roots FROM session"):
        try:
            json.loads(roots)
        except (ValueError, TypeError):
            problems.append(Problem(session, "its own row does not decode"))
    return problems


def _places(connection: sqlite3.Connection) -> list[LocalPlace]:
    rows = connection.execute(
        "SELECT session, (SELECT count(*) FROM local_update u WHERE u.number = s.number AND own), "
        "(SELECT count(*) FROM refused r WHERE r.number = s.number) FROM session s ORDER BY session"
    )
    return [LocalPlace(*row) for row in rows]


def _count(connection: sqlite3.Connection, table: str) -> int:
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    return count


def _check_rows(table: str, after: int) -> Callable[[sqlite3.Connection], tuple[list[Problem], int | None, int]]:
    """Return a function that checks some rows behind `after`: what is wrong, where to go on if anywhere, how many."""
    sql = (
        f"SELECT row, session, layer, life, subject, crc, data FROM {table} JOIN session USING (number) "  # noqa: S608
        "WHERE row > ? ORDER BY row LIMIT ?"
    )

    def check(connection: sqlite3.Connection) -> tuple[list[Problem], int | None, int]:
        rows = connection.execute(sql, (after, _ROWS_AT_ONCE)).fetchall()
        found = []
        for row, session, layer, life, subject, crc, data in rows:
            try:
                checks = crc == update_crc(session, Layer(layer), life, subject, data)
            except (TypeError, ValueError):
                checks = False
            if not checks:
                found.append(Problem(session, f"row {row} does not check" + " (a refused edit)" * (table == "refused")))
        return found, rows[-1][0] if len(rows) == _ROWS_AT_ONCE else None, len(rows)

    return check
