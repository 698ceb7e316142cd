"""Runs that are not over: kept with the entries that change them, by every engine."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.errors import LocalProtocolError, StorageFull, StoreDamaged
from syncd.store.log import Append, Entry, EntryKind, SessionLog, WorkRow
from syncd.store.memory import MemorySessionLog
from syncd.store.session_log import SCHEMA, SqliteSessionLog
from syncd.store.sqlite import Database, Schema

X = [Entry(EntryKind.TRANSCRIPT, b"x")]


def row(run: str, lease: str = "queued", *, session: str = "s", at_ms: int = 1, worker: str = "") -> WorkRow:
    return WorkRow("agent:a", session, run, f"m-{run}", lease, 2, at_ms, worker, at_ms + 5)


async def put(log: SessionLog, expected: int, *rows: WorkRow, session: str = "s") -> Sequence[str]:
    """Append one entry with these rows."""
    return await log.append([Append(session, expected, X, rows)])


async def test_the_last_row_of_each_run_is_kept(log: SessionLog) -> None:
    """Oldest first, whatever the session, exactly as given; a run that ended has none."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    later = row("r1", "live", at_ms=5, worker="w")
    other = row("r1", session="t", at_ms=3)

    await put(log, 0, row("r1"), row("r2", at_ms=4))
    await put(log, 1, row("r1", "interrupted"), later)
    await put(log, 0, other, row("r9", session="t"), row("r9", "ended", session="t"), session="t")

    assert await log.open_work() == [other, row("r2", at_ms=4), later]
    await put(log, 2, row("r2", "ended"), row("never seen", "ended"))
    assert await log.open_work() == [other, later]


async def test_work_is_committed_with_its_entries_or_not_at_all(log: SessionLog) -> None:
    """A session that conflicts leaves its work as it was; the others' is committed."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    await put(log, 0, row("r1"))
    batch = [
        Append("s", 0, X, [row("r1", "ended"), row("r2")]),
        Append("t", 0, X, [row("r3", session="t")]),
        Append("never", 0, X, [row("r4", session="never")]),
    ]

    assert await log.append(batch) == ["s", "never"]
    assert await log.open_work() == [row("r1"), row("r3", session="t")]
    assert await log.append([Append("s", 1, X, [row("r1", "ended")]), Append("s", 9, X, [row("r5")])]) == ["s"]
    assert await log.open_work() == [row("r1"), row("r3", session="t")]


async def test_two_parts_of_a_batch_count_in_their_order(log: SessionLog) -> None:
    """A session that comes twice leaves what its second part says."""
    await log.create("s", "i", 1)
    second = row("r1", "live", worker="w")

    assert await log.append([Append("s", 0, X, [row("r1"), row("r2")]), Append("s", 1, X, [second])]) == []
    assert await log.open_work() == [second, row("r2")]


async def test_deletion_removes_a_sessions_work(log: SessionLog) -> None:
    """The other sessions' stays, and the session that is made anew under that id begins with none."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)
    await put(log, 0, row("r1"))
    await put(log, 0, row("r2", session="t"), session="t")
    await log.delete("s", 2)
    assert await log.open_work() == [row("r2", session="t")]
    await log.create("s", "i2", 3)
    assert await log.open_work() == [row("r2", session="t")]


async def test_compaction_leaves_work_alone(log: SessionLog) -> None:
    """Rows do not depend on which entries are still there."""
    await log.create("s", "i", 1)
    await put(log, 0, row("r1"))
    await log.compact("s", through=1, snapshot=b"all")
    assert await log.open_work() == [row("r1")]


@pytest.mark.parametrize("item", [Append("s", 0, [], [row("r")]), Append("s", 0, X, [row("r", session="t")])])
async def test_work_comes_with_entries_of_its_session(log: SessionLog, item: Append) -> None:
    """Anything else is the caller's mistake, and nothing of the batch is committed."""
    await log.create("s", "i", 1)
    await log.create("t", "i", 1)

    with pytest.raises(LocalProtocolError, match="append work"):
        await log.append([Append("t", 0, X), item])
    assert await log.open_work() == []
    assert await log.read("t") == []


async def test_a_commit_that_fails_leaves_work_as_it_was(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """No space for the rows: no entries either; with space again, both, and they are there when it is opened again."""
    await sqlite_log.create("s", "i", 1)
    await put(sqlite_log, 0, row("r1"))
    rows = [row("r1", "ended"), *(row(f"r{number:05}") for number in range(5_000))]
    batch = [Append("s", 1, X, rows)]
    await sqlite_log._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 60"))
    with pytest.raises(StorageFull):
        await sqlite_log.append(batch)
    assert await sqlite_log.open_work() == [row("r1")]
    assert len(await sqlite_log.read("s")) == 1
    await sqlite_log._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))
    assert await sqlite_log.append(batch) == []

    await sqlite_log.close()
    await sqlite_log.open()
    assert await sqlite_log.open_work() == rows[1:]
    assert await sqlite_log.verify() == []


async def test_no_space_in_memory_leaves_work_as_it_was() -> None:
    """As on a disk."""
    log = MemorySessionLog()
    await log.create("s", "i", 1)
    log.full = True
    with pytest.raises(StorageFull):
        await put(log, 0, row("r1"))
    log.full = False
    assert await log.open_work() == []


async def test_a_store_from_before_there_was_work_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its sessions stay as they are, and may have work from then on."""
    old = Database(tmp_path / "log.db", Schema(SCHEMA.name, SCHEMA.application_id, SCHEMA.migrations[:1]))
    await old.open()
    await old.close()
    log = SqliteSessionLog(tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'work'").fetchall()
        connection.execute("INSERT INTO session (session, incarnation, created_at_ms, crc) VALUES ('t', 'i', 1, 0)")
        connection.commit()
    await log.open()

    assert [info.session for info in await log.list()] == ["t"]
    assert await log.open_work() == []
    await log.create("s", "i", 1)
    await put(log, 0, row("r1"))
    assert await log.open_work() == [row("r1")]
    await log.close()


@pytest.mark.parametrize(
    ("sql", "run"),
    [
        ("UPDATE work SET data = zeroblob(9) WHERE run = CAST('bad' AS BLOB)", "bad"),
        ("UPDATE work SET crc = crc + 1 WHERE run = CAST('bad' AS BLOB)", "bad"),
        ("UPDATE work SET run = CAST('bat' AS BLOB) WHERE run = CAST('bad' AS BLOB)", "bat"),
        ("UPDATE work SET run = x'ff' WHERE run = CAST('bad' AS BLOB)", "\N{REPLACEMENT CHARACTER}"),
        ("UPDATE work SET data = 7 WHERE run = CAST('bad' AS BLOB)", "bad"),
    ],
)
async def test_a_row_that_does_not_check_quarantines_its_session(
    tmp_path: Path, sqlite_log: SqliteSessionLog, sql: str, run: str
) -> None:
    """It is found by `verify` and when the rows are read; the other sessions' rows are all there."""
    await sqlite_log.create("good", "i", 1)
    await sqlite_log.create("hit", "i", 1)
    await put(sqlite_log, 0, row("r1", session="good"), session="good")
    await put(sqlite_log, 0, row("bad", session="hit"), row("r2", session="hit"), session="hit")
    await sqlite_log.close()
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute(sql).rowcount == 1
        connection.commit()
    await sqlite_log.open()

    what = f"the row of run {run} does not check"
    assert [(problem.session, problem.what) for problem in await sqlite_log.verify()] == [("hit", what)]
    assert await sqlite_log.open_work() == [row("r1", session="good")]
    info = await sqlite_log.info("hit")
    assert info is not None
    assert info.damaged == what
    assert await sqlite_log.open_work() == [row("r1", session="good")]


async def test_a_quarantined_sessions_work_is_left_out(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Nobody could do it."""
    for session in ("good", "hit"):
        await sqlite_log.create(session, "i", 1)
        await put(sqlite_log, 0, row("r1", session=session), session=session)
    await sqlite_log._database.run(lambda connection: connection.execute("UPDATE entry SET crc = 0 WHERE number = 2"))
    with pytest.raises(StoreDamaged):
        await sqlite_log.read("hit")

    assert await sqlite_log.open_work() == [row("r1", session="good")]


async def test_rows_of_no_session_are_found(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """`verify` counts them."""
    await sqlite_log.create("s", "i", 1)
    await put(sqlite_log, 0, row("r1"))
    await sqlite_log._database.run(lambda connection: connection.execute("UPDATE work SET number = 99"))
    assert [problem.what for problem in await sqlite_log.verify()] == ["1 runs belong to no session"]
