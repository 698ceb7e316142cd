"""What a device's own copy promises, on real files, with real second processes."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from syncd.core.errors import LocalProtocolError, StorageFull, StoreDamaged, StoreTooNew
from syncd.core.messages import Layer
from syncd.store.local import SCHEMA, LocalStore
from syncd.store.local_records import (
    AppendUpdate,
    IndexText,
    LocalSession,
    LocalUpdate,
    MarkSynced,
    RefusedUpdate,
    RefuseUpdates,
    SetSession,
)
from syncd.store.sqlite import Database, Schema


def theirs(*data: bytes, session: str = "s", layer: Layer = Layer.TRANSCRIPT) -> list[AppendUpdate]:
    return [AppendUpdate(session, layer, part, False) for part in data]


def mine(*data: bytes, session: str = "s", layer: Layer = Layer.TRANSCRIPT) -> list[AppendUpdate]:
    return [AppendUpdate(session, layer, part, True, "life", "user:mona") for part in data]


def joined(layer: Layer, updates: Sequence[bytes]) -> bytes:
    """A fold that keeps everything."""
    return b"+".join(updates)


def on_disk(folder: Path, what: bytes) -> int:
    return sum(path.read_bytes().count(what) for path in folder.iterdir())


async def content(store: LocalStore, session: str = "s") -> list[bytes]:
    return [update.update for update in (await store.load(session))[1]]


async def test_updates_come_back_as_written(local: LocalStore) -> None:
    """`write` returns the row of each update in order; `load` gives all of it back in order of rows."""
    rows = await local.write([*mine(b"1"), SetSession("s", "inc", 3, 2, {"body": "text"}, 77), *theirs(b"", b"3")])
    place, updates = await local.load("s")

    assert rows == sorted(set(rows))
    assert place == LocalSession("s", "inc", 3, 2, {"body": "text"}, 1, 77)
    assert updates == [
        LocalUpdate(rows[0], Layer.TRANSCRIPT, b"1", True, "life", "user:mona"),
        LocalUpdate(rows[1], Layer.TRANSCRIPT, b"", False, "", ""),
        LocalUpdate(rows[2], Layer.TRANSCRIPT, b"3", False, "", ""),
    ]


async def test_a_session_never_written_is_empty(local: LocalStore) -> None:
    """Loading it returns an empty place and makes nothing."""
    assert await local.load("s") == (LocalSession("s", "", 0, 0, {}, 0, 0), [])
    assert await local.sessions() == []


async def test_setting_the_place_keeps_when_it_was_opened(local: LocalStore) -> None:
    """Sessions are listed the last opened first; the time changes only when it is given."""
    await local.write([SetSession("a", "i", 1, 1, {}, 5), SetSession("b", "i", 1, 1, {}, 9)])
    await local.write([SetSession("a", "i", 2, 2, {})])

    found = await local.sessions()
    assert [(place.session, place.version, place.opened_at_ms) for place in found] == [("b", 1, 9), ("a", 2, 5)]


async def test_the_device_is_made_once(tmp_path: Path, local: LocalStore) -> None:
    """The same for whoever opens the file, another for another file, none before opening."""
    second, other = LocalStore(tmp_path / "local.db"), LocalStore(tmp_path / "other.db")
    with pytest.raises(LocalProtocolError, match="call open"):
        _ = other.device
    await second.open()
    await other.open()

    assert second.device == local.device != other.device
    await second.close()
    await other.close()


async def test_who_used_it_last_is_kept(tmp_path: Path) -> None:
    """Nobody in a new file, nor in one of before this was kept, which keeps its device."""
    old = Database(tmp_path / "old.db", Schema(SCHEMA.name, SCHEMA.application_id, SCHEMA.migrations[:2]))
    await old.open()
    await old.run(lambda connection: connection.execute("INSERT INTO device VALUES (1, 'laptop')"))
    await old.close()
    for subject in ("", "user:ann", "user:bob"):
        store = LocalStore(tmp_path / "old.db")
        await store.open()
        assert (store.device, store.subject) == ("laptop", subject)
        following = {"": "user:ann", "user:ann": "user:bob"}.get(subject, subject)
        await store.remember(following)
        assert store.subject == following
        await store.close()


async def test_files_are_for_their_owner_only(tmp_path: Path, local: LocalStore) -> None:
    """Database and write-ahead log have mode 0600."""
    await local.write(mine(b"1"))

    assert {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)} == {0o600}


async def test_unsynced_counts_own_updates_without_an_ack(local: LocalStore) -> None:
    """Marking a row synced makes it like any other; rows of other sessions are not touched."""
    rows = await local.write([*mine(b"1", b"2"), *theirs(b"3")])
    [other] = await local.write(mine(b"4", session="t"))

    await local.write([MarkSynced("s", [rows[0], rows[2], other, 999])])

    place, updates = await local.load("s")
    assert place.unsynced == 1
    assert [update.own for update in updates] == [False, True, False]
    assert (await local.load("t"))[0].unsynced == 1


async def test_concurrent_writers_share_a_commit_and_keep_their_rows(local: LocalStore) -> None:
    """A hundred callers get their own rows each, in fewer transactions than callers."""
    commits = 0

    def count(connection: sqlite3.Connection) -> None:
        def seen(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        connection.set_trace_callback(seen)

    await local._database.run(count)
    results = await asyncio.gather(*(local.write(mine(b"%d" % at, b"%d'" % at)) for at in range(100)))

    by_row = {update.row: update.update for update in (await local.load("s"))[1]}
    assert len(by_row) == 200
    for at, rows in enumerate(results):
        assert [by_row[row] for row in rows] == [b"%d" % at, b"%d'" % at]
    assert commits <= 3


async def test_a_cancelled_writer_does_not_stop_the_others(local: LocalStore) -> None:
    """Callers that share its transaction get their rows; what it gave is written or not, but whole."""
    tasks = [asyncio.create_task(local.write(mine(b"%d" % at, b"%d" % at))) for at in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(results[2], asyncio.CancelledError)
    found = await content(local)
    assert all(found.count(b"%d" % at) == 2 for at in (0, 1, 3, 4))
    assert found.count(b"2") in (0, 2)


async def test_a_program_that_cancels_all_its_tasks_holds_up_no_writer(local: LocalStore) -> None:
    """What was given is written, and what is given then too: its last words."""
    before = asyncio.all_tasks()
    task = asyncio.create_task(local.write(mine(b"1")))
    await asyncio.sleep(0)
    for other in asyncio.all_tasks() - before:
        other.cancel()
    await asyncio.wait_for(local.write(mine(b"2")), 30)
    await asyncio.gather(task, return_exceptions=True)

    assert await content(local) == [b"1", b"2"]


async def test_a_failed_write_keeps_nothing(local: LocalStore) -> None:
    """Whatever fails in a group, what came before it in the same transaction is not there either."""
    unwritable: dict[str, str] = {"root": object()}  # type: ignore[dict-item]

    with pytest.raises(TypeError):
        await local.write([*mine(b"1"), SetSession("s", "i", 1, 1, unwritable)])
    assert await local.load("s") == (LocalSession("s", "", 0, 0, {}, 0, 0), [])
    await local.write(mine(b"2"))
    assert await content(local) == [b"2"]


async def test_closing_finishes_what_waits(tmp_path: Path, local: LocalStore) -> None:
    """Writes given before `close` are on disk; afterwards it says that it is closed."""
    tasks = [asyncio.create_task(local.write(mine(b"%d" % at))) for at in range(5)]
    await asyncio.sleep(0)
    await local.close()
    assert len(await asyncio.gather(*tasks)) == 5

    with pytest.raises(LocalProtocolError, match="not open"):
        await local.write(mine(b"late"))
    await local.open()
    assert len(await content(local)) == 5


async def test_more_rows_than_one_statement_takes(local: LocalStore) -> None:
    """A large batch is one transaction all the same, with a row for each update."""
    rows = await local.write(mine(*(b"%d" % at for at in range(40_000))))

    assert len(set(rows)) == 40_000
    assert await content(local) == [b"%d" % at for at in range(40_000)]


async def test_poll_gives_what_is_behind(local: LocalStore) -> None:
    """Only rows behind the one given, of that session."""
    rows = await local.write([*mine(b"1", b"2"), *mine(b"x", session="t"), *theirs(b"3")])

    assert [update.update for update in await local.poll("s", rows[0])] == [b"2", b"3"]
    assert await local.poll("s", rows[-1]) == []


async def test_changed_hears_of_others_only(tmp_path: Path, local: LocalStore) -> None:
    """Own commits do not count; another's counts once."""
    second = LocalStore(tmp_path / "local.db")
    await second.open()
    await local.changed()
    await local.write(mine(b"1"))
    assert not await local.changed()

    await second.write(theirs(b"2"))

    assert await local.changed()
    assert not await local.changed()
    await second.close()


async def test_compaction_folds_what_is_synced(local: LocalStore) -> None:
    """Each layer's synced rows become one, loaded first; own updates without an ack stay as they are."""
    rows = await local.write([*theirs(b"1"), *mine(b"own"), *theirs(b"2"), *theirs(b"s1", layer=Layer.STATE)])
    given: list[tuple[Layer, list[bytes]]] = []

    def fold(layer: Layer, updates: list[bytes]) -> bytes | None:
        given.append((layer, updates))
        return b"+".join(updates) if layer is Layer.TRANSCRIPT else None

    assert await local.compact("s", fold)
    assert given == [(Layer.TRANSCRIPT, [b"1", b"2"]), (Layer.STATE, [b"s1"])]
    assert await content(local) == [b"1+2", b"own", b"s1"]
    await local.write([MarkSynced("s", [rows[1]]), *theirs(b"3")])
    assert await local.compact("s", joined)
    assert await content(local) == [b"s1", b"1+2+own+3"]


async def test_compaction_that_folds_nothing_changes_nothing(local: LocalStore) -> None:
    """A fold that declines, a session without synced rows, a fold that raises."""
    await local.write([*theirs(b"1"), *mine(b"x", session="t")])
    before = await local.load("s")

    assert not await local.compact("s", lambda layer, updates: None)
    assert not await local.compact("t", joined)
    assert not await local.compact("never", joined)
    with pytest.raises(ZeroDivisionError):
        await local.compact("s", lambda layer, updates: bytes(1 // 0))
    assert await local.load("s") == before


async def test_whoever_missed_a_folded_row_sees_the_fold(local: LocalStore) -> None:
    """A process that has polled up to the last folded row is not given it again; one that has not is."""
    rows = await local.write(theirs(b"1", b"2", b"3"))
    await local.compact("s", joined)

    assert await local.poll("s", rows[-1]) == []
    assert [update.update for update in await local.poll("s", rows[1])] == [b"1+2+3"]
    [after] = await local.write(theirs(b"4"))
    assert after > rows[-1]


async def test_rows_folded_by_another_meanwhile_are_left(tmp_path: Path, local: LocalStore) -> None:
    """Two processes that fold the same rows: the second changes nothing, and nothing is lost."""
    await local.write(theirs(b"1", b"2"))

    async def fold_elsewhere() -> None:
        second = LocalStore(tmp_path / "local.db")
        await second.open()
        assert await second.compact("s", joined)
        await second.close()

    def fold(layer: Layer, updates: list[bytes]) -> bytes:
        other = threading.Thread(target=lambda: asyncio.run(fold_elsewhere()))
        other.start()
        other.join()
        return b"mine"

    assert not await local.compact("s", fold)
    assert await content(local) == [b"1+2"]


async def test_compaction_erases_what_it_folded(tmp_path: Path, local: LocalStore) -> None:
    """Content that the fold does not hold is in no file any more."""
    await local.write([*theirs(b"CANARY" * 3, b"CANARY" * 2000), IndexText("s", "m", "", "canaryword", 1)])
    await local.compact("s", joined)
    await local.write([IndexText("s", "m", "", "", 1)])
    assert on_disk(tmp_path, b"CANARY")
    assert on_disk(tmp_path, b"canaryword")

    await local.compact("s", lambda layer, updates: b"clean")

    assert on_disk(tmp_path, b"CANARY") == on_disk(tmp_path, b"canaryword") == 0


async def test_refused_updates_are_kept_apart(local: LocalStore) -> None:
    """They are loaded and polled no more, listed with why, and gone when dropped."""
    rows = await local.write(mine(b"1", b"2", b"3"))
    await local.write([RefuseUpdates("s", rows[:2], "forbidden", "you may not", 9)])

    assert await content(local) == [b"3"]
    assert (await local.load("s"))[0].unsynced == 1
    assert await local.refused("s") == [
        RefusedUpdate(rows[0], Layer.TRANSCRIPT, b"1", "forbidden", "you may not", 9),
        RefusedUpdate(rows[1], Layer.TRANSCRIPT, b"2", "forbidden", "you may not", 9),
    ]
    await local.drop_refused("t", [rows[0]])
    await local.drop_refused("s", [rows[1]])
    assert [refused.row for refused in await local.refused("s")] == [rows[0]]


async def test_a_row_number_is_never_given_again(local: LocalStore) -> None:
    """Not even when the last row has gone: a poll would take the new one for seen."""
    [row] = await local.write(mine(b"1"))
    await local.write([RefuseUpdates("s", [row], "forbidden", "", 9)])
    await local.drop_refused("s", [row])

    assert (await local.write(mine(b"2")))[0] > row


async def test_search_finds_indexed_texts(local: LocalStore) -> None:
    """In all sessions or one; a text replaces the one before; an empty one takes it out."""
    await local.write([IndexText("s", "m", "user:mona", "Grüße an alle", 1), IndexText("t", "n", "", "gruss", 2)])

    assert [(hit.session, hit.message) for hit in await local.search("grüße")] == [("s", "m")]
    assert [hit.message for hit in await local.search("gr", session="t")] == ["n"]
    await local.write([IndexText("s", "m", "user:mona", "", 1)])
    assert await local.search("grüße") == []


async def test_forgetting_erases_everything_of_a_session(tmp_path: Path, local: LocalStore) -> None:
    """Updates, refused ones and index are in no file any more; other sessions stay."""
    rows = await local.write([*mine(*[b"CANARY"] * 500), IndexText("s", "m", "", "canaryword", 1)])
    await local.write([RefuseUpdates("s", rows[:3], "forbidden", "", 1), *theirs(b"kept", session="t")])
    assert on_disk(tmp_path, b"canaryword")

    await local.forget("s")

    assert on_disk(tmp_path, b"CANARY") == on_disk(tmp_path, b"canaryword") == 0
    assert await local.load("s") == (LocalSession("s", "", 0, 0, {}, 0, 0), [])
    assert await local.refused("s") == []
    assert await content(local, "t") == [b"kept"]


async def test_a_flipped_bit_is_damage_of_its_session(tmp_path: Path, local: LocalStore) -> None:
    """Loading it raises and says what to do; others load; forgetting it mends the store."""
    await local.write([*theirs(b"CANARY"), *theirs(b"fine", session="t")])
    await local.close()
    data = (tmp_path / "local.db").read_bytes()
    (tmp_path / "local.db").write_bytes(data.replace(b"CANARY", b"CANARX"))
    await local.open()

    with pytest.raises(StoreDamaged, match=r"session s is damaged: row 1 does not check; forget\(\) it"):
        await local.load("s")
    with pytest.raises(StoreDamaged):
        await local.poll("s", 0)
    assert await content(local, "t") == [b"fine"]
    await local.forget("s")
    assert await content(local) == []


async def test_a_newer_store_is_refused(tmp_path: Path, local: LocalStore) -> None:
    """A file of a later version is not touched."""
    await local.close()
    with sqlite3.connect(tmp_path / "local.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(StoreTooNew, match="upgrade"):
        await local.open()


async def test_a_lock_held_too_long_fails_the_writers(tmp_path: Path, local: LocalStore) -> None:
    """Every caller gets `StorageFull` after the time-out, nothing is kept, later it works."""
    other = sqlite3.connect(tmp_path / "local.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    results = await asyncio.gather(*(local.write(mine(b"no")) for _ in range(3)), return_exceptions=True)
    other.execute("ROLLBACK")
    other.close()

    assert {type(result) for result in results} == {StorageFull}
    await local.write(mine(b"yes"))
    assert await content(local) == [b"yes"]


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM local_update").fetchone()[0])
connection.close()
"""


async def test_opening_twice_in_one_process_keeps_the_locks(tmp_path: Path, local: LocalStore) -> None:
    """The system drops a process' locks on a file when it closes any descriptor of it: none is opened needlessly.

    Otherwise the next process to close the file would take itself for the last and remove the write-ahead log.
    """
    second = LocalStore(tmp_path / "local.db")
    await second.open()

    for count in (1, 2):
        await local.write(mine(b"x"))
        reader = [sys.executable, "-c", READER, str(tmp_path / "local.db")]
        child = await asyncio.create_subprocess_exec(*reader, stdout=subprocess.PIPE)
        assert (await child.communicate())[0] == b"%d\n" % count
    await second.close()


WRITER = """
import asyncio, sys
from syncd.core.messages import Layer
from syncd.store.local import LocalStore
from syncd.store.local_records import (AppendUpdate)

async def main():
    store = LocalStore(sys.argv[1])
    await store.open()
    for at in range(100):
        await store.write([AppendUpdate("s", Layer.STATE, f"{sys.argv[2]}:{at}".encode(), False)])
        if at % 25 == 24:
            await store.compact("s", lambda layer, updates: b" ".join(updates))
    await store.close()

asyncio.run(main())
"""


async def test_three_processes_may_share_a_file(tmp_path: Path) -> None:
    """All create, write and compact at once; every update is there once, and a fourth that polls saw all of them."""
    path = tmp_path / "local.db"
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), str(at), stderr=subprocess.PIPE)
        for at in range(3)
    ]
    store = LocalStore(path)
    await store.open()
    ended = asyncio.gather(*(child.communicate() for child in children))
    seen: set[bytes] = set()
    row = 0
    while True:
        last_look = ended.done()
        for update in await store.poll("s", row):
            row = update.row
            seen.update(update.update.split())
        if last_look:
            break
        await asyncio.sleep(0.005)  # a poll's pace, not a wait for luck: the loop ends when the processes have

    assert [child.returncode for child in children] == [0, 0, 0], await ended
    wanted = sorted(b"%d:%d" % (child, at) for child in range(3) for at in range(100))
    assert sorted(b" ".join(await content(store)).split()) == wanted
    assert sorted(seen) == wanted
    await store.close()
