"""check_local: what is wrong in a local store, and what waits in it."""

import sqlite3
from pathlib import Path

import pytest

from syncd.core.messages import Layer
from syncd.store.check_local import LocalPlace, LocalReport, check_local
from syncd.store.local import SCHEMA, LocalStore
from syncd.store.local_records import AppendUpdate, RefuseUpdates
from syncd.store.sqlite import Database

ROWS = 1_200


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A local store with more rows than are read at a time; some wait, one was refused."""
    store = LocalStore(tmp_path / "local.db")
    await store.open()
    updates = [AppendUpdate("s", Layer.TRANSCRIPT, b"%d" % n, own=n < 3, life="l", subject="u:m") for n in range(ROWS)]
    rows = await store.write(updates)
    await store.write([RefuseUpdates("s", rows[:1], "forbidden", "no", 1)])
    await store.close()
    return tmp_path / "local.db"


async def report(path: Path, seen: list[tuple[int, int]] | None = None) -> LocalReport:
    """Check a store as it is on disk, read only."""
    database = Database(path, SCHEMA, read_only=True)
    await database.open()
    try:
        return await check_local(database, None if seen is None else lambda done, total: seen.append((done, total)))
    finally:
        await database.close()


async def test_well(path: Path) -> None:
    """Nothing wrong, what waits is counted, and progress ends at the number of rows."""
    seen: list[tuple[int, int]] = []
    found = await report(path, seen)

    assert found == LocalReport([], [LocalPlace("s", unsynced=2, refused=1)])
    assert seen[-1] == (ROWS, ROWS)


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        (f"UPDATE local_update SET data = 'x' WHERE row = {ROWS}", f"row {ROWS} does not check"),
        ("UPDATE local_update SET layer = 'presence' WHERE row = 700", "row 700 does not check"),
        ("UPDATE local_update SET life = 'other' WHERE row = 7", "row 7 does not check"),
        ("UPDATE refused SET data = x'00'", "row 1 does not check (a refused edit)"),
        ("UPDATE session SET roots = '{'", "its own row does not decode"),
    ],
)
async def test_damage_is_found(path: Path, sql: str, what: str) -> None:
    """Whatever a row holds is checked, in every slice and in both tables."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(sql)
    connection.close()

    assert [(problem.session, problem.what) for problem in (await report(path)).problems] == [("s", what)]


async def test_rows_of_no_session(path: Path) -> None:
    """Rows whose session is gone are counted."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE local_update SET number = 99 WHERE row > 1190")
    connection.close()

    assert [problem.what for problem in (await report(path)).problems] == ["10 rows belong to no session"]
