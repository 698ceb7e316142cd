"""Listing: pages, unread counts, standings and what a crash, a deletion or a bit flip leaves of them."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from syncd.core.events import Event
from syncd.core.listing import Summary
from syncd.core.messages import Json
from syncd.store.listing import Listed, Standing, open_listing
from syncd.store.log import Append, Entry, EntryKind, SessionLog
from syncd.store.rows import session_crc
from syncd.store.session_log import SCHEMA, SqliteSessionLog
from syncd.store.sqlite import Database, Schema

ANN, BOB, PLANNER = "user:ann", "user:bob", "agent:planner"


def event(type: str, by: str, at_ms: int, **body: Json) -> Event:
    """An event as the machine makes it."""
    return Event(f"{type}.{at_ms}.{body}", type, at_ms, by, body)


def message(seq: int, by: str = ANN, *, at_ms: int = 0, to: Sequence[str] = (), role: str = "user") -> Event:
    """A message that was written."""
    body = {"message": f"m{seq}", "role": role, "to": [*to], "seq": seq, "text": f"text {seq}"}
    return event("message.created", by, at_ms or seq, **body)


def read(seq: int, by: str) -> Event:
    """Somebody read on."""
    return event("read.moved", by, 99_999_999, subject=by, seq=seq)


async def tell(log: SessionLog, session: str, *events: Event) -> None:
    """Append events with an entry that they are of, as a turn does."""
    info = await log.info(session) or await log.create(session, f"inc-{session}", 1)
    assert await log.append([Append(session, info.version, [Entry(EntryKind.TRANSCRIPT, b"x")], (), events)]) == []


async def names(log: SessionLog, *patterns: str, subject: str = ANN, archived: bool = False) -> list[str]:
    """The sessions of all pages of two."""
    found: list[str] = []
    after = ""
    while True:
        page = await log.listing.page(subject, patterns, after=after, limit=2, archived=archived)
        found += [row.session for row in page.rows]
        if not page.next:
            return found
        after = page.next


async def standing(log: SessionLog, subject: str, session: str = "s") -> Standing:
    """How somebody stands to a session, found both ways."""
    page = await log.listing.page(subject, [session])
    [live] = await log.listing.rows([session], [subject, "user:else"])
    assert [*page.rows] == [live]
    return live.standings[subject]


async def test_ten_thousand_sessions_of_one_person_come_page_by_page(sqlite_log: SqliteSessionLog) -> None:
    """Each once, the newest first, and none of those among them that are another's; however the token names them."""
    mine = [f"mine-{number:05}" for number in range(10_000)]
    sessions = [name for number, session in enumerate(mine) for name in (session, f"other-{number:05}")]

    def make(connection: sqlite3.Connection) -> None:
        for number, session in enumerate(sessions, 1):
            row = (number, session, "inc", 1, session_crc(session, "inc", 1))
            connection.execute(
                "INSERT INTO session (number, session, incarnation, created_at_ms, crc) VALUES (?, ?, ?, ?, ?)", row
            )
            open_listing(connection, number, 1, known=True)

    await sqlite_log._database.transaction(make)
    entry = [Entry(EntryKind.TRANSCRIPT, b"x")]
    for first in range(0, len(sessions), 1_000):
        batch = [
            Append(session, 0, entry, (), [message(1, BOB, at_ms=1_000 + first + at, to=[ANN])])
            for at, session in enumerate(sessions[first : first + 1_000])
        ]
        assert await sqlite_log.append(batch) == []

    for patterns in (["mine-*"], mine):
        found: list[Listed] = []
        after = ""
        while not found or after:
            page = await sqlite_log.listing.page(ANN, patterns, after=after, limit=500)
            found += page.rows
            after = page.next
        assert [row.session for row in found] == mine[::-1]
        assert all(row.standings[ANN].unread == 1 for row in found)


async def test_the_newest_come_first_by_page(log: SessionLog) -> None:
    """What was said moves a session up, that it was read does not; a new session is listed before anything is said."""
    for number in range(5):
        await tell(log, f"s{number}", message(1, at_ms=1_000 + number))
    await tell(log, "s1", message(2, at_ms=2_000))
    await tell(log, "s0", read(1, BOB))
    await log.create("fresh", "i", 3_000)
    assert await names(log, "*") == ["fresh", "s1", "s4", "s3", "s2", "s0"]


async def test_only_what_a_grant_names_is_listed(log: SessionLog) -> None:
    """By id, by prefix, the prefix itself as an id; nothing that only begins alike, and nothing twice."""
    for session in ("a", "ab", "ab-1", "ab_2", "aB", "b", "abz"):
        await tell(log, session, message(1))
    assert sorted(await names(log, "ab*", "ab-1", "b")) == ["ab", "ab-1", "ab_2", "abz", "b"]
    assert await names(log, "nowhere", "x*") == []
    assert await names(log) == []
    assert len(await names(log, "*", "a")) == 7
    many = [f"p{number}*" for number in range(2_000)]
    assert sorted(await names(log, *many, "a*")) == ["a", "aB", "ab", "ab-1", "ab_2", "abz"]


@pytest.mark.parametrize("after", ["x", "1", ".", "1.", "-1.2", "9" * 9_000 + ".1", "1." + "9" * 9_000, "٣.٣", "1.2.3"])
async def test_a_place_that_is_none_begins_anew(log: SessionLog, after: str) -> None:
    """Whatever a client sends."""
    await tell(log, "s", message(1))
    assert [row.session for row in (await log.listing.page(ANN, ["*"], after=after)).rows] in (["s"], [])


async def test_unread_are_the_messages_of_others(log: SessionLog) -> None:
    """Behind what was read, on whichever device; what a model is told does not count; own messages do not."""
    await tell(log, "s", message(1, BOB), message(2, ANN), message(3, BOB), message(4, BOB, role="system"))
    await tell(log, "s", message(5, PLANNER), message(6, ANN))
    assert (await standing(log, ANN)).unread == 2
    assert (await standing(log, BOB)).unread == 3
    await tell(log, "s", read(3, ANN), read(1, ANN))
    assert await standing(log, ANN) == Standing(3, False, 1)
    await tell(log, "s", read(6, ANN))
    assert (await standing(log, ANN)).unread == 0


async def test_who_is_addressed_takes_part(log: SessionLog) -> None:
    """From that message on. Who never wrote, read or was addressed has nothing to read."""
    await tell(log, "s", message(1), message(2, to=[BOB, PLANNER]), message(3))
    assert (await standing(log, BOB)).unread == 2
    assert await log.listing.participants("s") == {ANN: True, BOB: False}
    [row] = (await log.listing.page("user:eve", ["*"])).rows
    assert row.standings == {}


async def test_unread_is_counted_up_to_a_bound(log: SessionLog) -> None:
    """Also for who wrote a thousand of the newest."""
    await tell(log, "s", message(1, to=[BOB]))
    await tell(log, "s", *[message(seq, PLANNER) for seq in range(2, 1_502)])
    await tell(log, "s", *[message(seq, BOB) for seq in range(1_502, 2_602)])
    assert (await standing(log, BOB)).unread == 999
    assert (await standing(log, ANN)).unread == 999


async def test_archiving_is_everybodys_own(log: SessionLog) -> None:
    """And is no message: it moves nothing, and does not make anything unread."""
    for session in ("s", "t"):
        await tell(log, session, message(1, BOB))
    assert await log.listing.stand("s", ANN, archived=True, now_ms=5)
    assert not await log.listing.stand("nowhere", ANN, archived=True, now_ms=5)
    assert (await names(log, "*"), await names(log, "*", archived=True)) == (["t"], ["s"])
    assert await names(log, "*", subject=BOB) == ["t", "s"]
    [row] = await log.listing.rows(["s"], [ANN])
    assert row.standings[ANN] == Standing(1, True, 0)
    await log.listing.stand("s", ANN, archived=False, now_ms=6)
    assert await names(log, "*") == ["t", "s"]


async def test_who_only_put_a_session_away_does_not_take_part(log: SessionLog) -> None:
    """Until they are named there or do something; what they did stays, whoever names them later."""
    await tell(log, "s", message(1, BOB))
    await log.listing.stand("s", ANN, archived=True, now_ms=5)
    assert await log.listing.participants("s") == {BOB: True}
    await tell(log, "s", message(2, BOB, to=[ANN]))
    assert await log.listing.participants("s") == {ANN: False, BOB: True}
    await tell(log, "s", read(2, ANN), message(3, BOB, to=[ANN, BOB]))
    assert await log.listing.participants("s") == {ANN: True, BOB: True}


async def test_what_an_import_says_is_nobodys_doing(log: SessionLog) -> None:
    """Its author may have any words in it; who did something since keeps that."""
    await tell(log, "s", message(1, BOB))
    await log.listing.renew("s", Summary(seq=2), [(1, BOB), (2, ANN)], {ANN: 2, BOB: 1}, 9)
    assert await log.listing.participants("s") == {ANN: False, BOB: True}


async def test_a_deleted_session_leaves_nothing(log: SessionLog) -> None:
    """And one of the same name begins anew."""
    await tell(log, "s", message(1, BOB, to=[ANN]))
    await log.listing.call("s", "Secret", ("x",))
    await log.delete("s", 9)
    assert await names(log, "*") == []
    assert await log.listing.rows(["s"], [ANN]) == []
    assert await log.listing.participants("s") == {}
    assert await log.listing.summary("s") is None
    await log.create("s", "inc-2", 10)
    [row] = (await log.listing.page(ANN, ["*"])).rows
    assert row == Listed("s", 10, Summary(), {})


async def test_titles_and_beginnings_are_noted(log: SessionLog) -> None:
    """Only what is new is said to be; a text that another message followed is not the last one's."""
    await tell(log, "s", message(1))
    assert await log.listing.call("s", "Trip", ("a",))
    assert not await log.listing.call("s", "Trip", ("a",))
    assert not await log.listing.call("nowhere", "Trip", ())
    assert await log.listing.quote("s", "m1", "It begins")
    await tell(log, "s", message(2))
    assert not await log.listing.quote("s", "m1", "Late")
    [row] = await log.listing.rows(["s", "nowhere"], [])
    assert (row.summary.title, row.summary.tags, row.summary.excerpt) == ("Trip", ("a",), "text 2")


async def test_last_seen_only_grows(log: SessionLog) -> None:
    """Two writes may overtake each other."""
    await log.listing.saw({ANN: 5, BOB: 7})
    await log.listing.saw({ANN: 9, BOB: 3})
    assert await log.listing.seen([ANN, BOB, "user:eve"]) == {ANN: 9, BOB: 7}


async def test_an_imported_session_is_unknown_until_it_is_renewed(log: SessionLog) -> None:
    """It is listed at once; what comes meanwhile is kept, and what it says of itself does not undo it."""
    await log.create("s", "inc", 1, snapshot=b"snapshot")
    assert (await log.listing.unknown(), await log.listing.summary("s")) == (["s"], None)
    await tell(log, "s", message(8, BOB, at_ms=50))
    assert await names(log, "*") == ["s"]
    await log.listing.renew("s", Summary(title="Old", seq=8, message="m8"), [(1, BOB), (8, BOB)], {ANN: 3}, 60)
    assert await log.listing.unknown() == []
    assert (await standing(log, ANN)).unread == 1
    await tell(log, "s", message(9))
    await log.listing.renew("s", Summary(title="Older", seq=8), [], {}, 70)
    [row] = await log.listing.rows(["s"], [])
    assert (row.summary.title, row.summary.seq) == ("Old", 9)


async def test_a_damaged_row_is_one_that_is_not_known(tmp_path: Path) -> None:
    """It is no content: the session itself is unharmed, and its row is made anew when it is loaded."""
    log = SqliteSessionLog(tmp_path / "log.db")
    await log.open()
    await tell(log, "s", message(1))
    await log.close()
    with sqlite3.connect(tmp_path / "log.db") as connection:
        connection.execute("UPDATE listing SET data = zeroblob(length(data))")
    connection.close()
    await log.open()
    assert await log.listing.summary("s") is None
    assert await names(log, "*") == ["s"]
    await tell(log, "s", message(2))
    assert len(await log.read("s")) == 2
    await log.close()


async def test_of_who_was_there_before_parts_were_kept_less_is_said(tmp_path: Path) -> None:
    """They take part, and what they did is known from the next time on."""
    path = tmp_path / "log.db"
    older = Database(path, Schema(SCHEMA.name, SCHEMA.application_id, SCHEMA.migrations[:3]))
    crc = session_crc("s", "i", 1)
    await older.open()
    await older.run(lambda c: c.execute("INSERT INTO session VALUES (1, 's', 'i', 1, NULL, '', 0, ?)", (crc,)))
    await older.run(lambda c: c.execute("INSERT INTO listing VALUES (1, 1, 0, x'')"))
    await older.run(lambda c: c.execute("INSERT INTO standing VALUES (1, ?, 1, 0, 1)", (ANN,)))
    await older.close()
    log = SqliteSessionLog(path)
    await log.open()
    assert await log.listing.participants("s") == {ANN: False}
    await tell(log, "s", message(1, ANN))
    assert await log.listing.participants("s") == {ANN: True}
    await log.close()


async def test_sessions_from_before_there_were_lists_are_listed(tmp_path: Path) -> None:
    """By when their last entry came, and unknown until they are loaded."""
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as connection:
        for migration in SCHEMA.migrations[:2]:
            for statement in migration:
                connection.execute(statement)
        for number, session in enumerate(("old", "older", "gone"), 1):
            deleted = 5 if session == "gone" else None
            connection.execute(
                "INSERT INTO session (number, session, incarnation, created_at_ms, deleted_at_ms, crc) "
                "VALUES (?, ?, 'i', ?, ?, 0)",
                (number, session, 100 - number, deleted),
            )
        connection.execute("INSERT INTO entry VALUES (1, 2, 1, 1, 500, 0, x'')")
        connection.execute(f"PRAGMA application_id = {SCHEMA.application_id}")
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    log = SqliteSessionLog(path)
    await log.open()
    page = await log.listing.page(ANN, ["*"])
    assert [(row.session, row.at_ms) for row in page.rows] == [("older", 500), ("old", 99)]
    await log.close()
