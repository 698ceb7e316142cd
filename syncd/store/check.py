"""check_log: read a whole session log and say what is wrong with it.

Only reads, so it may run beside a server. Knows nothing of how to mend anything.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from syncd.core.errors import StoreDamaged
from syncd.store.events import broken_events
from syncd.store.hook_rows import check_hooks
from syncd.store.log import EntryKind
from syncd.store.rows import session_crc, stored_entry
from syncd.store.sqlite import Database
from syncd.store.work import read_work

#: Called with how many rows were checked, of how many.
Progress: TypeAlias = Callable[[int, int], None]

#: Rows read at a time, so that a running server's checkpoints are not held up.
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `session` is empty if it is not about one session."""

    session: str
    what: str


async def check_log(database: Database, progress: Progress | None) -> Sequence[Problem]:
    """Return the problems of an open session log; see `SqliteSessionLog.verify`."""
    problems = await database.run(_check_structure)
    try:
        problems += await database.run(_check_work)
        problems += await database.run(_check_events)
        problems += [Problem("", what) for what in await database.run(check_hooks)]
        sessions, total = await database.run(_list_sessions)
    except StoreDamaged as error:
        return [*problems, Problem("", str(error))]
    done = 0
    for number, session, broken in sessions:
        problems += broken
        after: int | None = 0
        first = True
        while after is not None:
            try:
                rows = await database.run(_slice_of(number, after))
            except StoreDamaged as error:
                problems.append(Problem(session, str(error)))
                break
            found, after = _check_entries(session, rows, after, first)
            first = False
            problems += [Problem(session, what) for what in found]
            done += len(rows)
            if progress is not None:
                progress(done, total)
    return problems


def _check_structure(connection: sqlite3.Connection) -> list[Problem]:
    try:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(100)")]
        orphans = connection.execute(
            "SELECT count(*) FROM entry WHERE number NOT IN (SELECT number FROM session)"
        ).fetchone()[0]
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        return [Problem("", str(error))]
    problems = [Problem("", what) for what in found if what != "ok"]
    return problems + ([Problem("", f"{orphans} entries belong to no session")] if orphans else [])


def _check_work(connection: sqlite3.Connection) -> list[Problem]:
    _, broken = read_work(connection)
    problems = [Problem(session, f"the row of run {run} does not check") for session, run in broken]
    orphans = connection.execute(
        "SELECT count(*) FROM work WHERE number NOT IN (SELECT number FROM session WHERE deleted_at_ms IS NULL)"
    ).fetchone()[0]
    return problems + ([Problem("", f"{orphans} runs belong to no session")] if orphans else [])


def _check_events(connection: sqlite3.Connection) -> list[Problem]:
    problems = [Problem(session, f"event {row} does not check") for session, row in broken_events(connection)]
    orphans = connection.execute(
        "SELECT count(*) FROM event WHERE number NOT IN (SELECT number FROM session WHERE deleted_at_ms IS NULL)"
    ).fetchone()[0]
    return problems + ([Problem("", f"{orphans} events belong to no session")] if orphans else [])


def _list_sessions(connection: sqlite3.Connection) -> tuple[list[tuple[int, str, list[Problem]]], int]:
    listed = []
    for number, session, incarnation, created_at_ms, damaged, crc in connection.execute(
        "SELECT number, session, incarnation, created_at_ms, damaged, crc FROM session ORDER BY number"
    ):
        broken = [Problem(session, f"quarantined: {damaged}")] if damaged else []
        if session_crc(session, incarnation, created_at_ms) != crc:
            broken.append(Problem(session, "its own row does not check"))
        listed.append((number, session, broken))
    return listed, connection.execute("SELECT count(*) FROM entry").fetchone()[0]


def _slice_of(number: int, after: int) -> Callable[[sqlite3.Connection], list[tuple[object, ...]]]:
    sql = "SELECT version, kind, crc, data FROM entry WHERE number = ? AND version > ? ORDER BY version LIMIT ?"
    return lambda connection: connection.execute(sql, (number, after, _ROWS_AT_ONCE)).fetchall()


def _check_entries(
    session: str, rows: Sequence[tuple[object, ...]], after: int, first: bool
) -> tuple[list[str], int | None]:
    """Return what is wrong with some rows, and where the next ones start, None if there are none."""
    found: list[str] = []
    for version, kind, crc, data in rows:
        if type(version) is not int:
            return [*found, f"version {version!r} is no number"], None
        if version != after + 1 and not (first and kind == EntryKind.SNAPSHOT):
            found.append(f"version {after + 1} is missing")
        elif kind == EntryKind.SNAPSHOT and not first:
            found.append(f"version {version} is a snapshot behind other entries")
        try:
            stored_entry(session, version, kind, crc, data)
        except StoreDamaged as error:
            found.append(str(error))
        first = False
        after = version
    return found, after if len(rows) == _ROWS_AT_ONCE else None
