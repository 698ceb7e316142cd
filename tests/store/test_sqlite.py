"""What opening a file promises, and what each failure of SQLite becomes."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.errors import (
    LocalProtocolError,
    StorageFull,
    StoreDamaged,
    StoreError,
    StoreFatal,
    StoreTooNew,
)
from syncd.store.faults import store_error
from syncd.store.sqlite import Database, Schema

SCHEMA = Schema("test store", 0x7465, (("CREATE TABLE one (value INTEGER)",), ("CREATE TABLE two (value INTEGER)",)))


def put(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO one VALUES (1)")


def count(connection: sqlite3.Connection) -> int:
    value: int = connection.execute("SELECT count(*) FROM one").fetchone()[0]
    return value


async def test_pragmas_are_as_promised(tmp_path: Path) -> None:
    """WAL, a flush at each commit, deleted content overwritten, no spilling to files."""
    database = Database(tmp_path / "a.db", SCHEMA)
    await database.open()
    want = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2, "foreign_keys": 1}

    def read(connection: sqlite3.Connection) -> dict[str, object]:
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in [*want, "busy_timeout"]}

    assert await database.run(read) == want | {"busy_timeout": 5000}
    await database.close()


async def test_many_may_create_one_file_at_once(tmp_path: Path) -> None:
    """Each waits for the others instead of failing; SQLite alone fails one in fifty."""
    for at in range(25):
        databases = [Database(tmp_path / f"{at}.db", SCHEMA) for _ in range(6)]
        await asyncio.gather(*(database.open() for database in databases))
        assert {await database.run(count) for database in databases} == {0}
        for database in databases:
            await database.close()


async def test_an_older_file_is_brought_up_to_date(tmp_path: Path) -> None:
    """Only the steps it lacks are done, and what it holds stays."""
    old = Database(tmp_path / "a.db", Schema(SCHEMA.name, SCHEMA.application_id, SCHEMA.migrations[:1]))
    await old.open()
    await old.run(put)
    await old.close()
    new = Database(tmp_path / "a.db", SCHEMA)
    await new.open()

    assert await new.run(count) == 1
    await new.run(lambda connection: connection.execute("INSERT INTO two VALUES (2)"))
    await new.close()


async def test_a_failed_step_leaves_the_old_file(tmp_path: Path) -> None:
    """A migration is done or not done; the version never says more than is there."""
    broken = Database(tmp_path / "a.db", Schema(SCHEMA.name, SCHEMA.application_id, (SCHEMA.migrations[0], ("NO",))))
    with pytest.raises(StoreError):
        await broken.open()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)

    mended = Database(tmp_path / "a.db", SCHEMA)
    await mended.open()
    await mended.close()


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_newer_file_is_refused(tmp_path: Path, read_only: bool) -> None:
    """The message names both versions and what to do; the file is not touched."""
    database = Database(tmp_path / "a.db", SCHEMA)
    await database.open()
    await database.run(lambda connection: connection.execute("PRAGMA user_version = 9"))
    await database.close()

    with pytest.raises(StoreTooNew, match=r"schema 9, this one knows 2\); upgrade"):
        await Database(tmp_path / "a.db", SCHEMA, read_only=read_only).open()


async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / "a.db").write_bytes(b"something else entirely" * 100)

    with pytest.raises(StoreDamaged, match="not a database; run `syncd doctor`"):
        await Database(tmp_path / "a.db", SCHEMA).open()
    assert (tmp_path / "a.db").read_bytes() == b"something else entirely" * 100


async def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    """A database of another application is not written into."""
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE theirs (value)")

    with pytest.raises(StoreDamaged, match="not a test store; name another path"):
        await Database(tmp_path / "a.db", SCHEMA).open()


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """Directories are made by people, not by a typing error."""
    with pytest.raises(StoreError, match=r"there is no directory .*nowhere; create it"):
        await Database(tmp_path / "nowhere" / "a.db", SCHEMA).open()


async def test_read_only_creates_nothing(tmp_path: Path) -> None:
    """Looking at a store that is not there is an error and leaves no file."""
    with pytest.raises(StoreError, match="there is no store"):
        await Database(tmp_path / "a.db", SCHEMA, read_only=True).open()
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="empty"):
        await Database(tmp_path / "empty.db", SCHEMA, read_only=True).open()
    assert os.listdir(tmp_path) == ["empty.db"]


async def test_failing_to_open_leaves_no_thread(tmp_path: Path) -> None:
    """A refused file costs nothing that stays."""
    before = threading.active_count()
    with pytest.raises(StoreError):
        await Database(tmp_path / "nowhere" / "a.db", SCHEMA).open()
    assert threading.active_count() == before


def test_a_process_that_fails_ends(tmp_path: Path) -> None:
    """An error that nobody caught ends the process although the store was not closed; what was committed is there."""
    script = f"""
import asyncio
from syncd.store.session_log import SqliteSessionLog

async def main():
    log = SqliteSessionLog({str(tmp_path / "log.db")!r})
    await log.open()
    await log.create("s", "i", 1)
    raise SystemExit(7)

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=20, capture_output=True)
    assert (done.returncode, done.stderr) == (7, b"")
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute("SELECT session FROM session").fetchall() == [("s",)]


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    """Closing twice is fine, using it afterwards is the caller's mistake."""
    database = Database(tmp_path / "a.db", SCHEMA)
    with pytest.raises(LocalProtocolError, match="call open"):
        await database.run(count)
    await database.open()
    await database.close()
    await database.close()
    with pytest.raises(LocalProtocolError, match="call open"):
        await database.run(count)


async def test_an_error_in_a_transaction_keeps_nothing(tmp_path: Path) -> None:
    """Whatever is raised, by SQLite or not, rolls back, and the next transaction begins clean."""
    database = Database(tmp_path / "a.db", SCHEMA)
    await database.open()

    def fail(connection: sqlite3.Connection) -> None:
        put(connection)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await database.transaction(fail)
    await database.transaction(put)

    assert await database.run(count) == 1
    await database.close()


async def test_a_full_file_rolls_back_and_recovers(tmp_path: Path) -> None:
    """No space is `StorageFull`, nothing of the transaction stays, reads go on, and writing works with space again."""
    database = Database(tmp_path / "a.db", SCHEMA)
    await database.open()
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count = 8"))

    def fill(connection: sqlite3.Connection) -> None:
        put(connection)
        connection.execute("CREATE TABLE big AS SELECT randomblob(1000000)")

    with pytest.raises(StorageFull, match="no space left; free some"):
        await database.transaction(fill)
    assert await database.run(count) == 0
    await database.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000"))
    await database.transaction(fill)
    assert await database.run(count) == 1
    await database.close()


def test_a_failed_flush_is_final(tmp_path: Path, failing_disk: Path) -> None:
    """After a flush that failed every call raises `StoreFatal`, even when the disk says it is well again.

    In a child process whose fsync fails for as long as a file is there.
    """
    script = f"""
import asyncio, pathlib
from syncd.core.errors import StoreFatal
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog

async def main():
    log = SqliteSessionLog({str(tmp_path / "log.db")!r})
    await log.open()
    await log.create("s", "i", 1)
    switch = pathlib.Path({str(tmp_path / "fail")!r})
    for step in ("fails", "stays failed"):
        switch.touch() if step == "fails" else switch.unlink()
        try:
            await log.append([Append("s", 0, [Entry(EntryKind.STATE, b"x")])])
        except StoreFatal as error:
            print(step, "stop, check the disk" in str(error))
    await log.close()

asyncio.run(main())
"""
    environment = {"LD_PRELOAD": str(failing_disk), "FAIL_SWITCH": str(tmp_path / "fail")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["fails True", "stays failed True"]


@pytest.fixture
def failing_disk(tmp_path: Path) -> Path:
    """A library whose fsync fails while the file named by FAIL_SWITCH exists."""
    source = tmp_path / "disk.c"
    source.write_text(
        "#include <errno.h>\n#include <stdlib.h>\n#include <sys/syscall.h>\n#include <unistd.h>\n"
        'static int failing(void) { char *at = getenv("FAIL_SWITCH"); return at && access(at, F_OK) == 0; }\n'
        "int fsync(int fd) { if (failing()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }\n"
        "int fdatasync(int fd) { if (failing()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }\n"
    )
    library = tmp_path / "disk.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs a C compiler")
    return library


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_FULL", StorageFull),
        ("SQLITE_BUSY", StorageFull),
        ("SQLITE_BUSY_SNAPSHOT", StorageFull),
        ("SQLITE_LOCKED", StorageFull),
        ("SQLITE_CORRUPT", StoreDamaged),
        ("SQLITE_CORRUPT_VTAB", StoreDamaged),
        ("SQLITE_NOTADB", StoreDamaged),
        ("SQLITE_IOERR_READ", StoreDamaged),
        ("SQLITE_IOERR_SHORT_READ", StoreDamaged),
        ("SQLITE_IOERR_FSYNC", StoreFatal),
        ("SQLITE_IOERR_DIR_FSYNC", StoreFatal),
        ("SQLITE_IOERR_WRITE", StoreFatal),
        ("SQLITE_READONLY", StoreError),
        ("SQLITE_CANTOPEN", StoreError),
        ("SQLITE_CONSTRAINT", StoreError),
    ],
)
def test_every_code_has_its_error(tmp_path: Path, name: str, kind: type[StoreError]) -> None:
    """The table from SQLite's codes to ours; each message says what to do."""
    error = sqlite3.OperationalError("it happened")
    error.sqlite_errorcode = getattr(sqlite3, name)

    mapped = store_error(error, tmp_path / "a.db")

    assert type(mapped) is kind
    assert "; " in str(mapped)
