"""What the SQLite engine of the server's log promises beyond the contract."""

import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from syncd.core.errors import StorageFull, StoreDamaged, StoreError, StoreLocked
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.rows import entry_crc
from syncd.store.session_log import SqliteSessionLog


def entry(data: bytes) -> Entry:
    return Entry(EntryKind.TRANSCRIPT, data)


async def fill(log: SqliteSessionLog, sessions: Iterable[str], data: Iterable[bytes]) -> None:
    """Create sessions and append the same entries to each, interleaved."""
    names = list(sessions)
    for session in names:
        await log.create(session, "i", 1)
    for version, part in enumerate(data):
        assert await log.append([Append(session, version, [entry(part)]) for session in names]) == []


def flip(path: Path, what: bytes) -> None:
    """Change one bit inside the one place where the file holds `what`."""
    content = bytearray(path.read_bytes())
    at = content.index(what)
    assert content.count(what) == 1
    content[at + len(what) // 2] ^= 1
    path.write_bytes(content)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of each file of the store."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def on_disk(folder: Path, what: bytes) -> int:
    """Count how often the store's files hold `what`."""
    return sum(path.read_bytes().count(what) for path in folder.iterdir())


def corrupt_page(path: Path, table: str) -> None:
    """Overwrite the last page of a table or index."""
    connection = sqlite3.connect(path)
    sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
    root = connection.execute(sql, (table,)).fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    page = content[(root - 1) * 4096 : root * 4096]
    if page[0] in (2, 5):  # an interior page: its rightmost child
        root = int.from_bytes(page[8:12], "big")
    content[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    path.write_bytes(content)


async def test_entries_survive_closing(tmp_path: Path) -> None:
    """A store opened again holds what was appended, and goes on behind it."""
    log = SqliteSessionLog(tmp_path / "log.db")
    await log.open()
    await fill(log, ["s"], [b"1", b"2"])
    await log.close()
    await log.open()

    assert [stored.data for stored in await log.read("s")] == [b"1", b"2"]
    assert await log.append([Append("s", 2, [entry(b"3")])]) == []
    await log.close()


async def test_files_are_for_their_owner_only(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Database, write-ahead log and lock file have mode 0600."""
    await fill(sqlite_log, ["s"], [b"1"])

    found = modes(tmp_path)
    assert {"log.db", "log.db-wal", "log.db.lock"} <= found.keys()
    assert set(found.values()) == {0o600}


async def test_a_batch_beyond_one_statement_is_one_transaction(sqlite_log: SqliteSessionLog) -> None:
    """More rows than SQLite has parameters for are committed, in order, all the same, or none of them."""
    await sqlite_log.create("s", "i", 1)
    data = [*(b"%d" % at for at in range(45_000)), bytes(4 << 20)]  # the last does not fit, all before it do
    await sqlite_log._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 700"))
    with pytest.raises(StorageFull):
        await sqlite_log.append([Append("s", 0, [entry(part) for part in data])])
    assert await sqlite_log.read("s") == []
    await sqlite_log._database.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000"))

    assert await sqlite_log.append([Append("s", 0, [entry(part) for part in data])]) == []
    assert [stored.data for stored in await sqlite_log.read("s")] == data


async def test_a_second_server_is_told_who_holds_the_store(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """It is refused with the holder's process and what to do; the holder goes on; afterwards it may open."""
    second = SqliteSessionLog(tmp_path / "log.db")

    with pytest.raises(StoreLocked, match=f"held by process {os.getpid()}; stop it or use another --store"):
        await second.open()
    await sqlite_log.probe()
    await sqlite_log.close()
    await second.open()
    await second.close()


async def test_reading_beside_a_running_server(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Read only needs no lock, sees what is committed while it is open, and cannot write."""
    await fill(sqlite_log, ["s"], [b"1"])
    reader = SqliteSessionLog(tmp_path / "log.db", read_only=True)
    await reader.open()
    assert len(await reader.read("s")) == 1

    await sqlite_log.append([Append("s", 1, [entry(b"2")])])

    assert len(await reader.read("s")) == 2
    info = await reader.info("s")
    assert info is not None
    assert info.version == 2
    with pytest.raises(StoreError, match="cannot be written"):
        await reader.create("t", "i", 1)
    await reader.close()
    await sqlite_log.probe()


async def test_reading_a_store_nobody_holds(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Read only works on a store that was closed cleanly."""
    await fill(sqlite_log, ["s"], [b"1"])
    await sqlite_log.close()
    reader = SqliteSessionLog(tmp_path / "log.db", read_only=True)
    await reader.open()

    assert len(await reader.read("s")) == 1
    assert await reader.verify() == []
    await reader.close()


async def test_a_flipped_bit_quarantines_its_session(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """SQLite does not notice it; the read does, the session stays marked, all others go on, deleting it works."""
    await fill(sqlite_log, ["good"], [b"fine"])
    await fill(sqlite_log, ["bad"], [b"first", b"CANARY", b"last"])
    await sqlite_log.close()
    flip(tmp_path / "log.db", b"CANARY")
    await sqlite_log.open()

    with pytest.raises(StoreDamaged, match="bad is damaged: version 2 does not check; restore"):
        await sqlite_log.read("bad")
    await sqlite_log.close()
    await sqlite_log.open()
    info = await sqlite_log.info("bad")
    assert info is not None
    assert info.damaged == "version 2 does not check"
    with pytest.raises(StoreDamaged):
        await sqlite_log.read("bad")
    with pytest.raises(StoreDamaged):
        await sqlite_log.compact("bad", through=3, snapshot=b"")
    assert await sqlite_log.append([Append("bad", 3, [entry(b"x")]), Append("good", 1, [entry(b"y")])]) == ["bad"]
    assert [stored.data for stored in await sqlite_log.read("good")] == [b"fine", b"y"]
    assert await sqlite_log.delete("bad", 2)
    assert (await sqlite_log.create("bad", "two", 3)).damaged == ""
    assert await sqlite_log.append([Append("bad", 0, [entry(b"z")])]) == []


async def test_a_missing_row_is_damage(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """A gap between versions is reported, never skipped, by reads and by verify."""
    await fill(sqlite_log, ["s"], [b"1", b"2", b"3"])
    await sqlite_log.close()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("DELETE FROM entry WHERE version = 2")
    connection.close()
    await sqlite_log.open()

    assert [problem.what for problem in await sqlite_log.verify()] == ["version 2 is missing"]
    with pytest.raises(StoreDamaged, match="version 2 is missing"):
        await sqlite_log.read("s")


async def test_an_unknown_kind_is_damage(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """An entry that this version cannot name is not handed out, even if its checksum is right."""
    await fill(sqlite_log, ["s"], [b"1"])
    await sqlite_log.close()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("UPDATE entry SET kind = 77, crc = ?", (entry_crc("s", 1, 77, b"1"),))
    connection.close()
    await sqlite_log.open()

    assert "unknown kind 77" in (await sqlite_log.verify())[0].what
    with pytest.raises(StoreDamaged, match="unknown kind 77"):
        await sqlite_log.read("s")


async def test_a_changed_session_row_is_damage(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """An incarnation that is not the one written would confuse every client: the session is quarantined."""
    await sqlite_log.create("s", "INCARNATION", 1)
    await sqlite_log.close()
    flip(tmp_path / "log.db", b"INCARNATION")
    await sqlite_log.open()

    info = await sqlite_log.info("s")
    assert info is not None
    assert "does not check" in info.damaged
    with pytest.raises(StoreDamaged):
        await sqlite_log.read("s")
    assert [problem.session for problem in await sqlite_log.verify()] == ["s"]


@pytest.mark.parametrize("known", [False, True])
async def test_a_damaged_index_page_stops_only_sessions_on_it(
    tmp_path: Path, sqlite_log: SqliteSessionLog, known: bool
) -> None:
    """Of a batch, the sessions whose place cannot be found are quarantined and returned; the others are committed."""
    await fill(sqlite_log, [f"s{at}" for at in range(40)], [b"x"] * 50)
    await sqlite_log.close()
    sound = (tmp_path / "log.db").read_bytes()
    corrupt_page(tmp_path / "log.db", "entry_version")
    await sqlite_log.open()
    if known:
        damaged = (tmp_path / "log.db").read_bytes()
        (tmp_path / "log.db").write_bytes(sound)
        assert len(await sqlite_log.list()) == 40
        (tmp_path / "log.db").write_bytes(damaged)
        with closing(sqlite3.connect(tmp_path / "log.db")) as other:  # whose commit makes the log read pages again
            other.execute("INSERT INTO probe VALUES (2, 2)")
            other.commit()

    batch = [Append(f"s{at}", 50, [entry(b"y")]) for at in range(40)]
    conflicts = await sqlite_log.append(batch)

    assert 0 < len(conflicts) < 20
    assert "s0" not in conflicts
    assert (await sqlite_log.read("s0"))[-1].data == b"y"
    with pytest.raises(StoreDamaged):
        await sqlite_log.read(conflicts[0])
    assert any("s" not in problem.session for problem in await sqlite_log.verify())


async def test_verify_names_every_problem(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Nothing on a sound store; each damaged row once otherwise; progress runs to the number of rows."""
    await fill(sqlite_log, ["a", "b"], [b"%d" % at for at in range(1200)])
    await fill(sqlite_log, ["c"], [b"CANARY-1", b"CANARY-2"])
    steps: list[tuple[int, int]] = []
    assert await sqlite_log.verify(lambda done, total: steps.append((done, total))) == []
    assert steps[-1] == (2402, 2402)
    await sqlite_log.close()
    flip(tmp_path / "log.db", b"CANARY-1")
    flip(tmp_path / "log.db", b"CANARY-2")
    await sqlite_log.open()

    problems = [(problem.session, problem.what) for problem in await sqlite_log.verify()]
    assert problems == [("c", "version 1 does not check"), ("c", "version 2 does not check")]


async def test_deletion_erases_content_and_index(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """After deletion no file of the store holds a word of the session, other sessions untouched."""
    await fill(sqlite_log, ["s", "t"], [b"CANARY" * size for size in (1, 10, 2000)])
    await sqlite_log.index_messages("s", 1, {"m": "canaryword " * 50})
    await sqlite_log.index_messages("t", 1, {"m": "otherword"})
    assert on_disk(tmp_path, b"CANARY")
    assert on_disk(tmp_path, b"canaryword")

    await sqlite_log.delete("s", 2)
    await sqlite_log.delete("t", 2)

    assert on_disk(tmp_path, b"CANARY") == 0
    assert on_disk(tmp_path, b"canaryword") == 0
    assert on_disk(tmp_path, b"otherword") == 0


async def test_compaction_erases_what_it_replaced(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Content that the snapshot does not hold is in no file any more."""
    await fill(sqlite_log, ["s"], [b"CANARY" * size for size in (1, 10, 2000)] + [b"kept"])

    await sqlite_log.compact("s", through=3, snapshot=b"clean")

    assert on_disk(tmp_path, b"CANARY") == 0
    assert [stored.data for stored in await sqlite_log.read("s")] == [b"clean", b"kept"]


async def test_taking_a_text_out_erases_it(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """A redacted message leaves the index's pages, too."""
    await sqlite_log.create("s", "i", 1)
    await sqlite_log.index_messages("s", 1, {"m": "canaryword", "n": "other"})

    await sqlite_log.index_messages("s", 2, {"m": ""})

    assert on_disk(tmp_path, b"canaryword") == 0
    assert len(await sqlite_log.search("other", sessions=None, limit=9)) == 1


async def test_scrub_cleans_the_slack_of_pages(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """Rows that SQLite moved before they were deleted leave copies between cells; after a scrub there are none.

    The first part of the test shows that there are some, so that the second proves something.
    """
    names = [f"s{at}" for at in range(12)]
    for name in names:
        await sqlite_log.create(name, "i", 1)
    state = 1
    versions = dict.fromkeys(names, 0)
    for at in range(3000):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        name = names[(state >> 8) % 12]
        data = f"<{name}>".encode() * (1, 3, 10, 40, 200)[(state >> 16) % 5]
        assert await sqlite_log.append([Append(name, versions[name], [entry(data)])]) == []
        versions[name] += 1
        if at % 300 == 299:
            await sqlite_log.compact(name, through=versions[name], snapshot=b"")

    gone = names[::2]
    for name in gone:
        await sqlite_log.delete(name, 2)
    assert any(on_disk(tmp_path, f"<{name}>".encode()) for name in gone)

    await sqlite_log.scrub()

    assert not any(on_disk(tmp_path, f"<{name}>".encode()) for name in gone)
    assert await sqlite_log.verify() == []


async def test_a_reader_in_the_way_delays_erasure_of_the_wal_only(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """While another process reads, deletion goes through; what is left in the write-ahead log goes with the next."""
    await fill(sqlite_log, ["s", "t"], [b"CANARY"])
    reader = sqlite3.connect(tmp_path / "log.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchone()

    await sqlite_log.delete("s", 2)
    await sqlite_log.delete("t", 2)
    assert await sqlite_log.read("s") == []
    assert on_disk(tmp_path, b"CANARY")
    reader.close()
    await sqlite_log.close()

    assert on_disk(tmp_path, b"CANARY") == 0


async def test_another_writer_counts_as_full(tmp_path: Path, sqlite_log: SqliteSessionLog) -> None:
    """A lock held by another process makes `StorageFull` after the time-out, nothing is committed, later it works."""
    await fill(sqlite_log, ["s"], [b"1"])
    other = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageFull, match="another process kept it locked"):
        await sqlite_log.append([Append("s", 1, [entry(b"2")])])
    other.execute("ROLLBACK")
    other.close()

    assert await sqlite_log.append([Append("s", 1, [entry(b"2")])]) == []
    assert len(await sqlite_log.read("s")) == 2
