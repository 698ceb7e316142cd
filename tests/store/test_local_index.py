"""LocalIndex: what a device keeps of its subject's list."""

import sqlite3
from dataclasses import replace
from pathlib import Path

from syncd.core.messages import IndexRow
from syncd.store.local import LocalStore

ANN, BOB = "user:ann", "user:bob"
ROW = IndexRow(
    "s", "Trip", ("a", "b"), False, 100, 7, "hi", 3, ("approval",), {"agent:p": "live"}, {ANN: "active"}, BOB
)  # fmt: skip


def row(session: str, at_ms: int, *, archived: bool = False) -> IndexRow:
    """A row that differs by these."""
    return replace(ROW, session=session, at_ms=at_ms, archived=archived)


async def held(local: LocalStore, subject: str = ANN, *, archived: bool = False) -> list[str]:
    """The sessions that are held, newest first."""
    return [found.session for found in await local.index.rows(subject, archived=archived, limit=100)]


async def test_rows_read_back_as_they_were_told(local: LocalStore) -> None:
    """All of each, by subject, newest first, those put away apart."""
    rows = [ROW, row("t", 200), row("u", 300, archived=True)]
    await local.index.put(ANN, rows)
    await local.index.put(BOB, [row("t", 50)])
    assert [*await local.index.rows(ANN, archived=False, limit=9)] == [rows[1], rows[0]]
    assert [*await local.index.rows(ANN, archived=False, limit=1)] == [rows[1]]
    assert (await held(local, archived=True), await held(local, BOB)) == (["u"], ["t"])
    await local.index.put(ANN, [row("t", 400, archived=True)], gone=["s", "nowhere"])
    assert (await held(local), await held(local, archived=True)) == ([], ["t", "u"])
    assert await held(local, BOB) == ["t"]


async def test_what_a_page_should_hold_and_does_not_is_gone(local: LocalStore) -> None:
    """Between its ends; above the first page's and behind the last one's, too. What is put away is another list."""
    await local.index.put(ANN, [row(f"s{at}", at) for at in range(1, 10)] + [row("away", 8, archived=True)])
    await local.index.put_page(ANN, [row("s8", 8), row("s6", 6)], archived=False, below_ms=None, whole=False)
    assert await held(local) == ["s8", "s6", "s5", "s4", "s3", "s2", "s1"]
    await local.index.put_page(ANN, [row("s3", 3)], archived=False, below_ms=6, whole=False)
    assert await held(local) == ["s8", "s6", "s3", "s2", "s1"]
    await local.index.put_page(ANN, [], archived=False, below_ms=3, whole=True)
    assert await held(local) == ["s8", "s6", "s3"]
    await local.index.put_page(ANN, [], archived=False, below_ms=None, whole=True)
    assert (await held(local), await held(local, archived=True)) == ([], ["away"])


async def test_a_forgotten_session_is_in_no_list(local: LocalStore) -> None:
    """Nor in the file."""
    await local.index.put(ANN, [replace(ROW, excerpt="a secret beginning")])
    await local.forget("s")
    assert await held(local) == []


async def test_a_damaged_row_is_left_out(tmp_path: Path) -> None:
    """The server tells it again."""
    store = LocalStore(tmp_path / "local.db")
    await store.open()
    await store.index.put(ANN, [ROW, row("t", 5)])
    await store.close()
    with sqlite3.connect(tmp_path / "local.db") as connection:
        connection.execute("UPDATE listed SET data = zeroblob(length(data)) WHERE session = 's'")
    connection.close()
    await store.open()
    assert await held(store) == ["t"]
    await store.close()
