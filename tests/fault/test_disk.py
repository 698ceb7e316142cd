"""Disks and files that fail under a server process or a client, as far as `tests/store` does not show it already."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from syncd_client import Client, StoreError

from examples.server_process import ServerProcess
from syncd.core.errors import CloseCode
from tests.harness import PATIENCE_S, mint, server_process, until


async def write(url: str, folder: Path, **sessions: list[str]) -> None:
    """Write messages and have them synced."""
    async with Client(url, token=mint("user:ann"), store=folder / "ann.db") as ann:
        for name, texts in sessions.items():
            session = await ann.open(name)
            for text in texts:
                await (await session.post(text)).synced()


async def read(url: str, folder: Path, session: str) -> list[str]:
    """Return what a client that starts with nothing sees of a session."""
    async with Client(url, token=mint("user:fresh"), store=folder / f"fresh-{session}.db") as fresh:
        opened = await fresh.open(session)
        await until(lambda: opened.status.live)
        return [view.text for view in opened.messages()]


async def syncd(*arguments: str) -> tuple[int, str]:
    """Run a command; return its exit code and all that it said."""
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "syncd", *arguments], capture_output=True, text=True, timeout=60
    )
    return ran.returncode, ran.stdout + ran.stderr


async def test_a_full_disk_at_the_client_heals_by_itself(
    small_disk: Path, tmp_path: Path, server_process: ServerProcess
) -> None:
    """A post that finds no space raises and is nowhere; what was saved stays; with space again it goes on."""
    async with Client(server_process.url, token=mint("user:ann"), store=small_disk / "ann.db") as ann:
        session = await ann.open("s")
        await (await session.post("first")).synced()
        posted: list[int] = []

        async def fill() -> None:
            while True:
                await session.post(f"{len(posted)} " + "x" * 20_000)
                posted.append(len(posted))

        with pytest.raises(StoreError, match="no space left"):
            await fill()
        assert posted
        await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=64m", str(small_disk)], check=True)

        async def post() -> None:
            while True:
                try:
                    await session.post("last")
                    return
                except StoreError:
                    await asyncio.sleep(0.1)

        await asyncio.wait_for(post(), PATIENCE_S)
        await asyncio.wait_for(session.synced(), PATIENCE_S)
        expected = ["first", *map(str, posted), "last"]
        assert [view.text.split()[0] for view in session.messages()] == expected
    assert [text.split()[0] for text in await read(server_process.url, tmp_path, "s")] == expected


async def test_flipped_bytes_cost_one_session(tmp_path: Path) -> None:
    """A stored row that changed by itself quarantines its session, for good; others go on; the doctor names it."""
    async with server_process(tmp_path / "server.db") as process:
        await write(process.url, tmp_path, hurt=["one", "two"], well=["three"])
        await process.kill()
        with closing(sqlite3.connect(process.store)) as database, database:
            row, data = database.execute(
                "SELECT row, data FROM entry JOIN session USING (number) WHERE session = 'hurt' ORDER BY version DESC"
            ).fetchone()
            flipped = bytes([*data[:-1], data[-1] ^ 1])
            database.execute("UPDATE entry SET data = ? WHERE row = ?", (flipped, row))
        await process.start()

        async with Client(process.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann:
            hurt = await ann.open("hurt")
            await until(lambda: hurt.status.code == CloseCode.DAMAGED)
            assert [view.text for view in hurt.messages()] == ["one", "two"]  # The own copy is still there.
        assert await read(process.url, tmp_path, "well") == ["three"]
        await write(process.url, tmp_path, well=["four"])
        code, said = await syncd("doctor", str(process.store))

    assert code == 1
    assert "session hurt" in said
    assert "session well" not in said


async def test_a_torn_end_of_the_log_needs_no_repair(tmp_path: Path) -> None:
    """A server whose log lost its end, as by power loss, starts with what is before it."""
    async with server_process(tmp_path / "server.db") as process:
        await write(process.url, tmp_path, s=["one", "two", "three"])
        await process.kill()
        log = tmp_path / "server.db-wal"
        log.write_bytes(log.read_bytes()[:-5_000])
        await process.start()
        texts = await read(process.url, tmp_path, "s")
        await process.stop()
        code, _ = await syncd("doctor", str(process.store))

    assert texts == ["one", "two", "three"][: len(texts)]
    assert len(texts) < 3
    assert code == 0


async def test_a_cut_off_store_is_not_served(tmp_path: Path) -> None:
    """A file that lost its second half is not started on as if it were whole, and the doctor says so."""
    async with server_process(tmp_path / "server.db") as process:
        await write(process.url, tmp_path, s=["x" * 30_000, "y" * 30_000, "z" * 30_000])
        await process.stop()
        size = process.store.stat().st_size
        with process.store.open("r+b") as file:
            file.truncate(size // 2 // 4096 * 4096)
        code, said = await syncd("doctor", str(process.store))
        assert code == 1, said
        with pytest.raises(RuntimeError, match="malformed; run `syncd doctor`"):
            await process.start()


async def test_a_store_that_another_process_locked_is_not_started_on(tmp_path: Path) -> None:
    """Somebody else's open write keeps a server from starting: it says why, and exits with 1."""
    async with server_process(tmp_path / "server.db") as process:
        await write(process.url, tmp_path, s=["one"])
        await process.stop()
        with closing(sqlite3.connect(process.store, isolation_level=None)) as database:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("BEGIN EXCLUSIVE")
            code, said = await syncd("serve", "--dev", "--port", "0", "--store", str(process.store))

    assert (code, "another process kept it locked" in said, "Traceback" in said) == (1, True, False), said


@pytest.fixture
def read_only_disk(small_disk: Path) -> Path:
    """A file system that nobody may write to."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


async def test_a_read_only_directory_is_said(read_only_disk: Path) -> None:
    """A server and a client that may not write where their store is say so at once."""
    code, said = await syncd("serve", "--dev", "--port", "0", "--store", str(read_only_disk / "server.db"))

    assert (code, "check its owner and permissions" in said, "Traceback" in said) == (1, True, False), said
    with pytest.raises(StoreError, match="check its owner and permissions"):
        await Client("http://127.0.0.1:9", store=read_only_disk / "ann.db").__aenter__()
