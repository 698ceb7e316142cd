"""Events: kept with the entries they are of, by every engine, until their reader is done with them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.errors import LocalProtocolError, StorageFull
from syncd.core.events import Event
from syncd.store.log import Append, Entry, EntryKind, SessionLog
from syncd.store.session_log import SCHEMA, SqliteSessionLog
from syncd.store.sqlite import Database, Schema

X = [Entry(EntryKind.TRANSCRIPT, b"x")]


def event(key: str) -> Event:
    return Event(key, "message.created", 7, "user:ann", {"message": key, "to": ["agent:a"], "seq": 1})


async def put(log: SessionLog, expected: int, *keys: str, session: str = "s") -> Sequence[str]:
    return await log.append([Append(session, expected, X, events=[event(key) for key in keys])])


async def keys(log: SessionLog, after: int = 0, limit: int = 100) -> list[str]:
    found, _ = await log.events(after, limit)
    return [stored.event.key for stored in found]


async def test_events_are_read_in_the_order_of_commits(log: SessionLog) -> None:
    """Over all sessions, in pages, exactly as given and with the incarnation they are of."""
    await log.create("s", "i", 1)
    await log.create("t", "j", 1)
    await put(log, 0, "a", "b")
    await put(log, 0, "c", session="t")
    await put(log, 1, "d")

    first, last = await log.events(0, 3)
    assert [(stored.session, stored.incarnation, stored.event) for stored in first] == [
        ("s", "i", event("a")),
        ("s", "i", event("b")),
        ("t", "j", event("c")),
    ]
    assert last == first[-1].row
    assert await keys(log, last) == ["d"]
    assert await log.events(await log.last_event(), 9) == ([], await log.last_event())


async def test_events_are_committed_with_their_entries_or_not_at_all(log: SessionLog) -> None:
    """A session that conflicts leaves none; the others' are there."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    assert await log.append([Append("s", 5, X, events=[event("no")]), Append("t", 0, X, events=[event("yes")])]) == [
        "s"
    ]
    assert await keys(log) == ["yes"]


async def test_events_come_with_entries(log: SessionLog) -> None:
    """Without any it is the caller's mistake, and nothing of the batch is committed."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    with pytest.raises(LocalProtocolError, match="append work and events"):
        await log.append([Append("t", 0, X), Append("s", 0, [], events=[event("a")])])
    assert await keys(log) == []
    assert await log.read("t") == []


async def test_what_was_read_is_dropped_and_no_row_comes_again(log: SessionLog) -> None:
    """A reader that is done up to a row is not given a later event under an earlier one, whatever was dropped."""
    await log.create("s", "i", 1)
    await put(log, 0, "a", "b", "c")
    _, last = await log.events(0, 2)
    await log.drop_events(last)
    assert await keys(log) == ["c"]
    await log.drop_events(await log.last_event())
    top = await log.last_event()
    await put(log, 1, "d")
    assert await keys(log, top) == ["d"]


async def test_a_deleted_sessions_events_go_with_it(log: SessionLog) -> None:
    """They hold its texts; a session made under the same id later has its own."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    await put(log, 0, "a")
    await put(log, 0, "b", session="t")
    await log.delete("s", 2)
    assert await keys(log) == ["b"]


async def test_events_outlive_compaction(log: SessionLog) -> None:
    """Folding the log's entries is nothing to who is told of them."""
    await log.create("s", "i", 1)
    await put(log, 0, "a")
    await log.compact("s", through=1, snapshot=b"all")
    assert await keys(log) == ["a"]


async def test_a_commit_that_fails_leaves_no_event(sqlite_log: SqliteSessionLog) -> None:
    """No space for the rows: no entries either."""
    await sqlite_log.create("s", "i", 1)
    await sqlite_log._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 60"))
    with pytest.raises(StorageFull):
        await put(sqlite_log, 0, *(f"{number:05}" * 20 for number in range(5_000)))
    assert await keys(sqlite_log) == []
    assert await sqlite_log.read("s") == []


async def test_what_was_changed_on_disk_is_not_told(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """A flipped bit in an event leaves it out, the check of the file says so, and the reader goes on behind it."""
    await sqlite_log.create("s", "i", 1)
    await put(sqlite_log, 0, "a", "b")
    await sqlite_log.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        connection.execute("UPDATE event SET data = replace(data, 'ann', 'tom') WHERE row = 2")
        connection.execute("UPDATE event SET data = cast(data AS BLOB)")
        connection.commit()
    await sqlite_log.open()
    found, last = await sqlite_log.events(0, 9)
    assert ([stored.event.key for stored in found], last) == (["a"], 2)
    assert [problem.what for problem in await sqlite_log.verify()] == ["event 2 does not check"]


async def test_a_store_from_before_there_were_events_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its sessions are there, and what happens in them from now on is told."""
    older = Schema(SCHEMA.name, SCHEMA.application_id, SCHEMA.migrations[:2])
    database = Database(tmp_path / "old.db", older)
    await database.open()
    await database.close()
    log = SqliteSessionLog(tmp_path / "old.db")
    await log.open()
    assert await log.last_event() == 0
    await log.create("s", "i", 1)
    await put(log, 0, "a")
    assert await keys(log) == ["a"]
    await log.close()
