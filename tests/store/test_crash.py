"""Crashes and full disks, real ones: processes killed, file systems filled, write-ahead logs torn."""

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.core.errors import StorageFull, StoreFatal
from syncd.core.messages import Layer
from syncd.store.faults import store_error
from syncd.store.local import LocalStore
from syncd.store.local_records import AppendUpdate
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog

LOG_WRITER = """
import asyncio, sys
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog

async def main():
    log = SqliteSessionLog(sys.argv[1])
    await log.open()
    version = (await log.create("s", "i", 1)).version
    while True:
        conflicts = await log.append([Append("s", version, [Entry(EntryKind.STATE, b"%d" % (version + 1))])])
        assert not conflicts
        version += 1
        print(version, flush=True)
        if version % 40 == 0:
            await log.compact("s", through=version - 20, snapshot=b"up to %d" % (version - 20))

asyncio.run(main())
"""

LOCAL_WRITER = """
import asyncio, sys
from syncd.core.messages import Layer
from syncd.store.faults import store_error
from syncd.store.local import LocalStore
from syncd.store.local_records import AppendUpdate

async def main():
    store = LocalStore(sys.argv[1])
    await store.open()

    async def write(at):
        while True:
            [row] = await store.write([AppendUpdate("s", Layer.STATE, b"%d" % at, True)])
            print(row, flush=True)

    await asyncio.gather(*(write(at) for at in range(5)))

asyncio.run(main())
"""


def killed(script: str, path: Path, lines: int) -> list[int]:
    """Run `script` until it has printed `lines` numbers, kill it, and return all that it printed."""
    child = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = [int(child.stdout.readline()) for _ in range(lines)]
    os.kill(child.pid, signal.SIGKILL)
    rest, _ = child.communicate()
    return printed + [int(line) for line in rest.splitlines() if line.strip()]


async def test_what_append_returned_survives_kill(tmp_path: Path) -> None:
    """Killed in mid-write eight times, the log holds every version it ever reported, and needs no repair."""
    for at in range(8):
        printed = killed(LOG_WRITER, tmp_path / "log.db", 5 + 23 * at)
        log = SqliteSessionLog(tmp_path / "log.db")
        await log.open()
        info = await log.info("s")
        entries = await log.read("s")
        assert info is not None
        assert info.version >= printed[-1]
        assert entries[-1].data == b"%d" % entries[-1].version
        assert await log.verify() == []
        await log.close()


async def test_what_write_returned_survives_kill(tmp_path: Path) -> None:
    """Killed in mid-write eight times with five writers, the local store holds every row it ever reported."""
    everything: list[int] = []
    for at in range(8):
        everything += killed(LOCAL_WRITER, tmp_path / "local.db", 5 + 23 * at)
        store = LocalStore(tmp_path / "local.db")
        await store.open()
        place, updates = await store.load("s")
        await store.close()
        rows = {update.row for update in updates}
        assert [row for row in everything if row not in rows] == []
        assert place.unsynced == len(rows)


async def test_a_torn_tail_costs_the_tail_only(tmp_path: Path) -> None:
    """A write-ahead log cut or garbled at its end, as by power loss, loses the last entries and nothing before them."""
    log = SqliteSessionLog(tmp_path / "log.db")
    await log.open()
    await log.create("s", "i", 1)
    sizes = []
    for version in range(20):
        await log.append([Append("s", version, [Entry(EntryKind.STATE, bytes(3000))])])
        sizes.append((tmp_path / "log.db-wal").stat().st_size)
    chance = random.Random(4)
    for at in range(12):
        torn = tmp_path / f"torn{at}"
        torn.mkdir()
        for name in ("log.db", "log.db-wal"):
            shutil.copy(tmp_path / name, torn / name)
        cut = chance.randrange(sizes[4], sizes[-1])
        wal = bytearray((torn / "log.db-wal").read_bytes())
        wal[cut:] = b"" if at % 2 else chance.randbytes(len(wal) - cut)
        (torn / "log.db-wal").write_bytes(wal)

        again = SqliteSessionLog(torn / "log.db")
        await again.open()
        whole = sum(size <= cut for size in sizes)
        assert len(await again.read("s")) == whole
        assert await again.verify() == []
        assert await again.append([Append("s", whole, [Entry(EntryKind.STATE, b"on")])]) == []
        await again.close()
    await log.close()


async def test_a_full_disk_stops_the_log_and_nothing_else(small_disk: Path) -> None:
    """No space: `StorageFull`, nothing half done, reads go on, and when there is space the next append works."""
    log = SqliteSessionLog(small_disk / "log.db")
    await log.open()
    await log.create("s", "i", 1)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    version = 0

    async def fill() -> None:
        nonlocal version
        while True:
            assert not await log.append([Append("s", version, [Entry(EntryKind.STATE, bytes(20_000))] * 2)])
            version += 2

    with pytest.raises(StorageFull, match="no space left; free some"):
        await fill()
    assert len(await log.read("s")) == version > 0
    with pytest.raises(StorageFull):
        await log.append([Append("s", version, [Entry(EntryKind.STATE, bytes(500_000))])])
    ballast.unlink()
    await log.probe()
    assert not await log.append([Append("s", version, [Entry(EntryKind.STATE, b"on")])])
    assert len(await log.read("s")) == version + 1
    assert await log.verify() == []
    await log.close()


async def test_no_space_to_open_is_said(small_disk: Path) -> None:
    """A store that cannot even be created for want of space says so."""
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(2 << 20))

    with pytest.raises(StorageFull, match="no space left"):
        await SqliteSessionLog(small_disk / "log.db").open()


def test_an_io_error_on_a_full_disk_is_no_space(small_disk: Path) -> None:
    """SQLite names an exceeded quota, and shared memory it cannot make, a plain I/O error: the disk itself is asked."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    assert type(store_error(error, small_disk / "log.db")) is StoreFatal

    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(2 << 20))

    assert type(store_error(error, small_disk / "log.db")) is StorageFull


async def test_a_full_disk_fails_every_writer_of_the_local_store(small_disk: Path) -> None:
    """Whoever shares the failed transaction is told, nothing of it is kept, and it works again with space."""
    store = LocalStore(small_disk / "local.db")
    await store.open()
    [first] = await store.write([AppendUpdate("s", Layer.STATE, b"first", True)])
    big = [AppendUpdate("s", Layer.STATE, bytes(200_000), True)]

    results = await asyncio.gather(*(store.write(big) for _ in range(10)), return_exceptions=True)
    assert [type(result) for result in results] == [StorageFull] * 10
    _, updates = await store.load("s")
    assert [update.row for update in updates] == [first]

    await store.write([AppendUpdate("s", Layer.STATE, b"second", True)])
    assert len((await store.load("s"))[1]) == 2
    await store.close()
