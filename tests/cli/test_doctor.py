"""`syncd doctor`: what it finds in stores that are well, damaged, held, newer, or none."""

import asyncio
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from syncd_client import Client

from syncd.cli.diagnosis import Doctor, Finding
from syncd.core.entries import Entry, EntryKind
from syncd.store.log import Append
from syncd.store.session_log import SqliteSessionLog
from tests.cli.terminal import ServerProcess, Terminal


def findings(terminal: Terminal, store: Path) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code, and what is said by level: what it is about, what is found, what to do."""
    ran = terminal.run("doctor", str(store))
    found: dict[str, list[str]] = {"ok": [], "note": [], "problem": []}
    for line in ran.out.splitlines():
        level, _, rest = line.partition("\t")
        found[level].append(rest)
    return ran.exit_code, found


def change(store: Path, sql: str, *values: object) -> None:
    """Change a store behind its back."""
    connection = sqlite3.connect(store, isolation_level=None)
    connection.execute(sql, values)
    connection.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `s.db`, a server's store with two sessions, and `mona.db`, the local store that wrote it."""
    home = tmp_path_factory.mktemp("written")

    async def write(url: str) -> None:
        async with Client(url, token="dev:mona", store=home / "mona.db") as client:
            for name in ("home", "trip"):
                session = await client.open(name)
                for text in ("one", "two"):
                    await (await session.post(text)).synced()

    with ServerProcess(home / "s.db") as server:
        asyncio.run(write(server.url))
        server.terminate()
    return home


@pytest.fixture
def store(written: Path, terminal: Terminal) -> Path:
    """A copy of the server's store, nobody using it; beside it the local one."""
    shutil.copy(written / "mona.db", terminal.home / "mona.db")
    return Path(shutil.copy(written / "s.db", terminal.home / "s.db"))


def test_store_that_is_well(store: Path, terminal: Terminal) -> None:
    """Nothing wrong: exit code 0, and what was looked at."""
    exit_code, found = findings(terminal, store)

    assert (exit_code, found["problem"]) == (0, [])
    assert "sessions\t2 sessions, all load" in found["ok"]


def test_store_in_use(server: ServerProcess, terminal: Terminal) -> None:
    """Beside a running server it looks too, and says which process that is."""
    exit_code, found = findings(terminal, server.store)

    assert exit_code == 0
    assert f"lock\theld by process {server.id} on" in "\n".join(found["ok"])


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("UPDATE entry SET data = zeroblob(length(data)) WHERE row = 2", "does not check"),
        ("DELETE FROM entry WHERE number = 1 AND version = 2", "is missing"),
        ("UPDATE session SET damaged = 'found so' WHERE number = 1", "quarantined: found so"),
        ("UPDATE session SET incarnation = 'x' WHERE number = 1", "its own row"),
    ],
)
def test_damaged_session(sql: str, word: str, store: Path, terminal: Terminal) -> None:
    """A damaged session is named with what is wrong; the other one is said to be well; exit code 1."""
    change(store, sql)
    exit_code, found = findings(terminal, store)

    assert exit_code == 1
    assert [problem.split("\t")[0] for problem in found["problem"]] == ["session home"]
    assert word in found["problem"][0]
    assert "sessions\t1 of 2 load" in found["note"]


async def test_session_whose_rows_check_but_do_not_load(tmp_path: Path) -> None:
    """Rows can be intact and still hold what no server writes: each session is loaded, as a server would."""
    log = SqliteSessionLog(tmp_path / "s.db")
    await log.open()
    await log.create("trip", "i", 1)
    await log.append([Append("trip", 0, [Entry(EntryKind.SNAPSHOT, b"no snapshot")])])
    await log.close()
    found = await Doctor(tmp_path / "s.db", lambda *_: None).examine()

    assert [about_and_what(finding) for finding in found if finding.level == "problem"] == [
        ("session trip", "does not load")
    ]


def about_and_what(finding: Finding) -> tuple[str, str]:
    """Return what a finding is about, and the beginning of what it says."""
    return finding.about, finding.what.partition(":")[0]


def test_damaged_structure(store: Path, terminal: Terminal) -> None:
    """Pages overwritten in the middle of the file are found."""
    with store.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 3)
    exit_code, found = findings(terminal, store)

    assert exit_code == 1
    assert found["problem"]


def test_newer_store(store: Path, terminal: Terminal) -> None:
    """A store that a newer syncd wrote is told to need that one."""
    change(store, "PRAGMA user_version = 99")
    exit_code, found = findings(terminal, store)

    assert exit_code == 1
    assert "upgrade syncd" in found["problem"][0]


def test_what_is_no_store(terminal: Terminal) -> None:
    """No file, an empty one, another program's, another program's database."""
    (terminal.home / "empty").touch()
    (terminal.home / "diary").write_text("dear diary, " * 100)
    change(terminal.home / "other", "CREATE TABLE mine (x)")
    said = [findings(terminal, terminal.home / name) for name in ("no-such", "empty", "diary", "other")]

    assert [exit_code for exit_code, _ in said] == [1, 1, 1, 1]
    words = ["there is no file", "is empty", "no SQLite database", "none of syncd's"]
    for word, (_, found) in zip(words, said, strict=True):
        assert word in found["problem"][0]


def test_permissions(store: Path, terminal: Terminal) -> None:
    """A store that others can read is a problem, with the command that mends it."""
    store.chmod(0o644)
    exit_code, found = findings(terminal, store)

    assert exit_code == 1
    assert f"chmod 600 {store}" in found["problem"][0]


def test_nothing_is_written(store: Path, terminal: Terminal) -> None:
    """The doctor looks: the file is the same afterwards, in content, time and size."""
    os.utime(store, (1, 1))
    before = (store.read_bytes(), store.stat().st_mtime)
    findings(terminal, store)

    assert (store.read_bytes(), store.stat().st_mtime) == before


def test_local_store(store: Path, terminal: Terminal) -> None:
    """A device's store is recognised; what waits in it is a note, a row that does not check a problem."""
    local = terminal.home / "mona.db"
    terminal.run(
        "chat",
        "trip",
        "--as",
        "mona",
        "--store",
        "mona.db",
        "--url",
        "http://127.0.0.1:1",
        "--wait",
        "0",
        lines="later\n",
    )
    well = findings(terminal, local)
    change(local, "UPDATE local_update SET data = zeroblob(length(data)) WHERE row = 1")
    damaged = findings(terminal, local)

    assert well[0] == 0
    assert "session trip\t1 edit not synced" in "\n".join(well[1]["note"])
    assert damaged[0] == 1
    assert "session home\trow 1 does not check" in damaged[1]["problem"][0]


def test_local_store_beside_a_client(terminal: Terminal) -> None:
    """A client that is using the store is not in the way."""

    async def examine() -> list[str]:
        async with Client("http://127.0.0.1:1", store=terminal.home / "mona.db") as client:
            await (await client.open("trip")).post("kept")
            found = await Doctor(terminal.home / "mona.db", lambda *_: None).examine()
            return [str(finding.level) for finding in found]

    assert "problem" not in asyncio.run(examine())
