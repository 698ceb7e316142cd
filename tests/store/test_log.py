"""The contract of `SessionLog`, kept by every engine."""

import pytest

from syncd.core.errors import LocalProtocolError
from syncd.store.log import Append, Entry, EntryKind, SessionLog, StoredEntry


def entries(*data: bytes) -> list[Entry]:
    return [Entry(EntryKind.TRANSCRIPT, part) for part in data]


async def test_entries_come_back_in_order(log: SessionLog) -> None:
    """What was appended is read with consecutive versions, kinds and bytes as given."""
    await log.create("s", "i", 1)
    batch = [Append("s", 0, [Entry(EntryKind.TRANSCRIPT, b"a"), Entry(EntryKind.STATE, b"")])]

    assert await log.append(batch) == []
    assert await log.append([Append("s", 2, [Entry(EntryKind.BINDING, b"\x00c")])]) == []
    assert await log.read("s") == [
        StoredEntry(1, EntryKind.TRANSCRIPT, b"a"),
        StoredEntry(2, EntryKind.STATE, b""),
        StoredEntry(3, EntryKind.BINDING, b"\x00c"),
    ]
    assert [entry.version for entry in await log.read("s", after=1)] == [2, 3]


async def test_a_conflict_stops_its_own_session_only(log: SessionLog) -> None:
    """An outdated expected version commits nothing of that session and all of the others."""
    await log.create("a", "i", 1)
    await log.create("b", "i", 1)
    await log.append([Append("a", 0, entries(b"1"))])

    conflicts = await log.append([Append("a", 0, entries(b"x")), Append("b", 0, entries(b"y"))])

    assert conflicts == ["a"]
    assert [entry.data for entry in await log.read("a")] == [b"1"]
    assert [entry.data for entry in await log.read("b")] == [b"y"]


async def test_one_session_may_come_twice_in_a_batch(log: SessionLog) -> None:
    """Its second part expects the version behind the first; if either is wrong, neither is committed."""
    await log.create("s", "i", 1)

    assert await log.append([Append("s", 0, entries(b"1")), Append("s", 1, entries(b"2"))]) == []
    assert await log.append([Append("s", 2, entries(b"3")), Append("s", 9, entries(b"4"))]) == ["s"]
    assert [entry.data for entry in await log.read("s")] == [b"1", b"2"]


async def test_an_unknown_or_deleted_session_conflicts(log: SessionLog) -> None:
    """Nothing can be appended to a session that is not there."""
    await log.create("gone", "i", 1)
    await log.delete("gone", 2)

    assert await log.append([Append("gone", 0, entries(b"x")), Append("never", 0, entries(b"x"))]) == ["gone", "never"]
    assert await log.read("gone") == []
    assert await log.read("never") == []


async def test_creating_again_returns_what_is_there(log: SessionLog) -> None:
    """The first incarnation stays until the session is deleted; then the id starts anew."""
    first = await log.create("s", "one", 1)
    await log.append([Append("s", 0, entries(b"old"))])

    assert (await log.create("s", "two", 2)).incarnation == "one"
    assert first.created_at_ms == 1

    assert await log.delete("s", 3)
    again = await log.create("s", "three", 4)
    assert (again.incarnation, again.version, again.created_at_ms, again.deleted_at_ms) == ("three", 0, 4, None)
    assert await log.read("s") == []
    assert await log.append([Append("s", 0, entries(b"new"))]) == []


async def test_info_counts_what_is_there(log: SessionLog) -> None:
    """Version, entries and bytes follow appends, compaction and deletion."""
    assert await log.info("s") is None
    await log.create("s", "i", 5)
    await log.append([Append("s", 0, entries(b"aa", b"bb", b"cc"))])
    grown = await log.info("s")
    await log.compact("s", through=2, snapshot=b"AAAAA")
    folded = await log.info("s")
    await log.delete("s", 9)
    gone = await log.info("s")

    assert grown is not None
    assert (grown.version, grown.entries, grown.log_bytes) == (3, 3, 6)
    assert folded is not None
    assert (folded.version, folded.entries, folded.log_bytes) == (3, 2, 7)
    assert folded.updated_at_ms == grown.updated_at_ms
    assert gone is not None
    assert (gone.version, gone.entries, gone.deleted_at_ms) == (0, 0, 9)


async def test_list_pages_through_living_sessions(log: SessionLog) -> None:
    """Rows come in order of id, behind `after`, without deleted ones."""
    for session in ("c", "a", "d", "b"):
        await log.create(session, "i", 1)
    await log.delete("b", 2)

    assert [info.session for info in await log.list(limit=2)] == ["a", "c"]
    assert [info.session for info in await log.list(after="c")] == ["d"]


async def test_compaction_puts_the_snapshot_in_place(log: SessionLog) -> None:
    """The snapshot takes version `through`; what came behind stays; appends go on from there."""
    await log.create("s", "i", 1)
    await log.append([Append("s", 0, entries(b"1", b"2", b"3"))])

    await log.compact("s", through=2, snapshot=b"12")

    assert await log.append([Append("s", 3, entries(b"4"))]) == []
    assert await log.read("s") == [
        StoredEntry(2, EntryKind.SNAPSHOT, b"12"),
        StoredEntry(3, EntryKind.TRANSCRIPT, b"3"),
        StoredEntry(4, EntryKind.TRANSCRIPT, b"4"),
    ]
    assert [entry.version for entry in await log.read("s", after=1)] == [2, 3, 4]
    assert [entry.version for entry in await log.read("s", after=2)] == [3, 4]


async def test_everything_may_be_compacted_and_compacted_again(log: SessionLog) -> None:
    """A log that is its snapshot alone can be read, folded again and appended to."""
    await log.create("s", "i", 1)
    await log.append([Append("s", 0, entries(b"1", b"2"))])
    await log.compact("s", through=2, snapshot=b"12")
    await log.compact("s", through=2, snapshot=b"twelve")

    assert await log.read("s") == [StoredEntry(2, EntryKind.SNAPSHOT, b"twelve")]
    assert await log.append([Append("s", 2, entries(b"3"))]) == []


@pytest.mark.parametrize("through", [0, 1, 4])
async def test_compaction_of_a_version_not_there_is_refused(log: SessionLog, through: int) -> None:
    """A snapshot of more, or of less, than the log holds changes nothing."""
    await log.create("s", "i", 1)
    await log.append([Append("s", 0, entries(b"1", b"2", b"3"))])
    await log.compact("s", through=2, snapshot=b"12")
    before = await log.read("s")

    with pytest.raises(LocalProtocolError, match="no version"):
        await log.compact("s", through=through, snapshot=b"?")
    assert await log.read("s") == before


async def test_deletion_leaves_a_tombstone(log: SessionLog) -> None:
    """It says whether there was one, and the id is known as deleted."""
    await log.create("s", "i", 1)

    assert await log.delete("s", 2) is True
    assert await log.delete("s", 3) is False
    assert await log.delete("never", 3) is False
    gone = await log.info("s")
    assert gone is not None
    assert gone.deleted_at_ms == 2


async def test_search_knows_its_version_and_its_sessions(log: SessionLog) -> None:
    """The index is up to what was said; hits stay within the sessions asked for; deletion takes them out."""
    for session in ("a", "b"):
        await log.create(session, "i", 1)
    assert await log.indexed_version("a") == 0
    await log.index_messages("a", 7, {"m1": "The quick brown fox"})
    await log.index_messages("b", 3, {"m2": "a quick note"})

    assert await log.indexed_version("a") == 7
    assert {hit.message for hit in await log.search("quick", sessions=None, limit=9)} == {"m1", "m2"}
    assert [hit.message for hit in await log.search("quick", sessions=["b", "zzz"], limit=9)] == ["m2"]
    assert await log.search("quick", sessions=[], limit=9) == []
    assert len(await log.search("quick", sessions=None, limit=1)) == 1
    await log.delete("a", 9)
    assert [hit.message for hit in await log.search("quick", sessions=None, limit=9)] == ["m2"]
    assert await log.indexed_version("a") == 0


async def test_an_indexed_text_is_replaced_and_taken_out(log: SessionLog) -> None:
    """A message is found by its last text only, and by none once that is empty."""
    await log.create("s", "i", 1)
    await log.index_messages("s", 1, {"m": "before"})
    await log.index_messages("s", 2, {"m": "after"})

    assert await log.search("before", sessions=None, limit=9) == []
    assert [hit.excerpt for hit in await log.search("after", sessions=None, limit=9)] == ["\u2068after\u2069"]
    await log.index_messages("s", 3, {"m": ""})
    assert await log.search("after", sessions=None, limit=9) == []


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fox quick", True),
        ("QUICK", True),
        ("qui", True),
        ("qui fox", False),
        ("cafe", True),
        ("CAFÉ", True),
        ("议记", True),
        ("会", True),
        ("录议", False),
        ("👍", True),
        ("👎", False),
        ("🎉👍", False),
        ("도움", True),
        ("สวัส", True),
        ('"quick', True),
        ("quick OR nothing", False),
        ("quick NOT fox", False),
        ("NEAR(quick fox)", False),
        ("words:quick", False),
        ("quick*", True),
        ("fox -quick", True),
        ("(", False),
        ('""', False),
        ("*", False),
        ("", False),
    ],
)
async def test_query_is_plain_words(log: SessionLog, query: str, found: bool) -> None:
    """All words must be there, the last as a beginning; scripts without spaces and emoji are found by any run."""
    await log.create("s", "i", 1)
    await log.index_messages("s", 1, {"m": "The quick, brown fox: café! 会议记录 도움말 สวัสดี nice👍🎉"})

    assert bool(await log.search(query, sessions=None, limit=9)) is found


async def test_probe_passes_when_there_is_space(log: SessionLog) -> None:
    """A probe of a healthy store says nothing."""
    await log.probe()
    await log.probe()
