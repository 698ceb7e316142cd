"""Lists of sessions on real sockets: who is told of what, and what is never told."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syncd_client.transport import RequestFailed, request

from syncd.core.errors import CloseCode, StorageFull
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import (
    Ack,
    Claim,
    Index,
    IndexChanged,
    IndexRow,
    Layer,
    Refresh,
    Refreshed,
    Serve,
    SetPresence,
    Watch,
    Work,
)
from syncd.core.replica import SharedMap
from syncd.core.schema import NewCommand, Root
from syncd.core.transcript import PartWriter, put_command, put_message, put_read
from syncd.server.app import Server
from syncd.store.listing import Listed
from syncd.store.session_log import SqliteSessionLog
from tests.core.machines import Pen, new_message
from tests.harness import MEMBER, RawLink, mint, serving, until
from tests.server.links import link

ANN, BOB, PLANNER = "user:ann", "user:bob", "agent:planner"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "s.db", limits={"index_gather_s": 0.02, "index_here_s": 0.05}) as running:
        yield running


class Watcher:
    """A link that watches, and what its list is by now."""

    def __init__(self, raw: RawLink) -> None:
        self.raw = raw
        self.rows: dict[str, IndexRow] = {}
        self.frames = 0

    async def page(self, after: str = "", limit: int = 100, *, archived: bool = False) -> Index:
        """Ask for a page."""
        await self.raw.send(Watch(after, limit, archived))
        page = await self.raw.expect(Index)
        self.rows |= {row.session: row for row in page.rows}
        return page

    def look(self) -> Mapping[str, IndexRow]:
        """Take what came."""
        for message in [m for m in self.raw.got if isinstance(m, IndexChanged)]:
            self.raw.got.remove(message)
            self.frames += 1
            self.rows |= {row.session: row for row in message.rows}
            for session in message.gone:
                self.rows.pop(session, None)
        return self.rows

    async def until(self, session: str = "s", **fields: Any) -> IndexRow:
        """Wait for a row that has these fields."""

        def found() -> IndexRow | None:
            row = self.look().get(session)
            return row if row is not None and all(getattr(row, k) == v for k, v in fields.items()) else None

        row: IndexRow = await until(found, f"{session} {fields}, now {self.rows.get(session)}")
        return row


async def acked(raw: RawLink, number: int) -> None:
    """Wait until a push is on the disk."""
    await raw.expect(Ack, lambda ack: ack.number == number)


async def post(raw: RawLink, pen: Pen, text: str = "hi", *, to: tuple[str, ...] = (), session: str = "s") -> str:
    """Write a message; return its id once it is on the disk."""
    message = replace(new_message(text), to=to)
    number = await raw.push(put_message(pen.transcript, message), session=session)
    await raw.expect(Ack, lambda ack: ack.number == number and ack.session == session)
    return message.id


async def archive(server: Server, subject: str, *, archived: bool = True, sessions: str = "*") -> None:
    """Put the session away for one subject, or back."""
    token = mint(subject, sessions=sessions)
    await request(server.url, "PUT", "/v1/sessions/s/standing", token=token, body={"archived": archived})


async def test_a_list_is_a_page_and_what_changes(server: Server) -> None:
    """Without the sessions being open on the link: one that is new, what is said, what it is called."""
    async with link(server) as ann, link(server, "bob") as bob:
        list_ = Watcher(ann)
        assert await list_.page() == Index((), "", True)
        await bob.open()
        pen = Pen()
        await post(bob, pen, "Two days in\n Lisbon?", to=(ANN,))
        row = await list_.until(excerpt="Two days in Lisbon?")
        assert (row.title, row.archived, row.seq, row.unread) == ("Two days in", False, 1, 1)
        assert (row.needs, row.running) == ((), {})
        await bob.push(pen.set("title", "Trip", root="session"), layer=Layer.STATE)
        await bob.push(pen.set("tags", ["family", "2026"], root="session"), layer=Layer.STATE)
        assert (await list_.until(title="Trip", tags=("family", "2026"))).at_ms == row.at_ms
        await bob.push(pen.remove("title", root="session"), layer=Layer.STATE)
        await list_.until(title="Two days in")


async def test_only_what_the_grant_names_is_ever_told(server: Server) -> None:
    """Not in a page, not as a change, not as gone; a narrower token takes rows away, a wider one brings them."""
    async with link(server, "bob") as bob, link(server, "ann", sessions="mine-*") as ann:
        list_, pens = Watcher(ann), {session: Pen() for session in ("mine-1", "mine-2", "other")}
        for session in pens:
            await bob.open(session)
            await post(bob, pens[session], "before", session=session, to=(ANN,))
        assert {row.session for row in (await list_.page()).rows} == {"mine-1", "mine-2"}
        for session in reversed(pens):
            await post(bob, pens[session], "after", session=session)
        await list_.until("mine-1", excerpt="after")
        assert "other" not in list_.rows
        await ann.send(Refresh(mint(ANN, sessions="mine-1")))
        await ann.expect(Refreshed)
        for session in reversed(pens):
            await post(bob, pens[session], "later", session=session)
        await list_.until("mine-1", excerpt="later")
        assert list_.rows["mine-2"].excerpt == "after"
        assert [row.session for row in (await list_.page()).rows] == ["mine-1"]
        await request(server.url, "DELETE", "/v1/sessions/other", token=mint("user:op", (*MEMBER, "admin")))
        await request(server.url, "DELETE", "/v1/sessions/mine-1", token=mint("user:op", (*MEMBER, "admin")))
        await until(lambda: "mine-1" not in list_.look())
        assert not any("other" in m.gone for m in ann.got if isinstance(m, IndexChanged))


async def test_a_revoked_token_is_told_nothing_more(server: Server) -> None:
    """Its link is closed, and nobody is left that watches."""
    async with link(server, "bob") as bob, link(server) as ann:
        await Watcher(ann).page()
        await bob.open()
        await server.services.auth.revoke(subject=ANN)
        await post(bob, Pen(), "secret", to=(ANN,))
        assert (await ann.closed())[0] == CloseCode.REVOKED
        assert not [m for m in ann.got if isinstance(m, IndexChanged) and any(row.excerpt for row in m.rows)]
        lists = server.services.lists
        assert lists is not None
        await until(lambda: not lists._watchers)


async def test_unread_is_the_same_on_two_devices(server: Server) -> None:
    """What is read on one is read on the other, and nobody else is told."""
    async with link(server) as laptop, link(server) as phone, link(server, "bob") as bob:
        lists = [Watcher(laptop), Watcher(phone), Watcher(bob)]
        for list_ in lists:
            await list_.page()
        await bob.open()
        await laptop.open()
        pen = Pen()
        for text in ("one", "two"):
            await post(bob, pen, text, to=(ANN,))
        for list_ in lists[:2]:
            await list_.until(unread=2)
        await lists[2].until(unread=0, seq=2)
        told = server.services.lists
        assert told is not None
        await until(lambda: len(told.people.people("s")) == 2 and not told._moved and not told._changed)
        await archive(server, BOB, archived=True)
        await lists[2].until(archived=True)
        await laptop.push(put_read(Pen().transcript, ANN, seq=1, at=1))
        for list_ in lists[:2]:
            await list_.until(unread=1)
        await laptop.push(put_read(Pen().transcript, ANN, seq=2, at=1))
        for list_ in lists[:2]:
            await list_.until(unread=0)
        before = lists[2].frames
        await archive(server, BOB, archived=False)
        await lists[2].until(archived=False)
        assert lists[2].frames == before + 1


async def test_agents_that_run_and_what_waits_for_a_yes(server: Server) -> None:
    """Queued, at work, asking, and over; the approval needs whoever takes part, and may give it, until one decides."""
    async with (
        link(server) as ann,
        link(server, "zoe", rights=("transcript",)) as zoe,
        RawLink(server.url, mint(PLANNER)) as agent,
    ):
        list_, hers, pen, hand = Watcher(ann), Watcher(zoe), Pen(), Pen()
        await list_.page()
        await hers.page()
        await ann.open()
        await post(ann, pen, "book it", to=(PLANNER, "user:zoe"))
        await list_.until(running={PLANNER: "queued"})
        await agent.hello()
        await agent.send(Serve("w1", 4, 1))
        work = await agent.expect(Work)
        await agent.open()
        await agent.send(Claim("s", work.run, "retry", 3))
        await list_.until(running={PLANNER: "live"})
        call = f"{work.run}-0"
        asking = replace(
            new_message(""),
            role="assistant",
            run=work.run,
            attempt=1,
            parts=(
                {"id": "p", "type": "text", "text": "I would book the tram.", "state": "done"},
                {"id": "q", "type": "tool", "name": "book", "tool_call": call, "state": "approval-requested"},
            ),
        )
        await agent.push(put_message(hand.transcript, asking))
        await list_.until(needs=("approval",), unread=1)
        await hers.until(needs=(), unread=2)
        await ann.push(put_command(pen.transcript, NewCommand("c1", "approve", 1, {"tool_call": call})))
        await list_.until(needs=())
        await ann.push(put_command(pen.transcript, NewCommand("c2", "cancel", 1, {"run": work.run})))
        entry = {"run": work.run, "attempt": 1, "agent": PLANNER, "status": "cancelled", "started_at": 1}
        ended = hand.transcript.edit(lambda r: r.set((Root.RUNS,), f"{work.run}_1", SharedMap(entry)))
        await agent.push(ended)
        await list_.until(running={})


async def test_what_its_author_takes_back_is_not_shown(server: Server) -> None:
    """Neither a message that is deleted nor words that are: what was said last is shown as it is."""
    async with link(server) as ann, link(server, "bob") as bob:
        list_, pen = Watcher(ann), Pen()
        await list_.page()
        await bob.open()
        first, last = await post(bob, pen, "Hello"), await post(bob, pen, "My number is 1234")
        await list_.until(excerpt="My number is 1234")
        text = (Root.MESSAGES, last, "parts", 0, "text")
        await bob.push(pen.transcript_edit(lambda r: r.text_replace(text, 12, 17, "")))
        await list_.until(excerpt="My number is")
        await bob.push(pen.transcript_edit(lambda r: r.remove((Root.MESSAGES,), first)))
        await bob.push(pen.transcript_edit(lambda r: r.remove((Root.MESSAGES,), last)))
        await list_.until(excerpt="")


async def test_an_answer_that_grew_is_shown_when_its_run_is_over(server: Server) -> None:
    """Nothing is told for its tokens."""
    async with link(server) as ann, RawLink(server.url, mint(PLANNER)) as agent:
        list_, pen, hand = Watcher(ann), Pen(), Pen()
        await list_.page()
        await ann.open()
        await post(ann, pen, "where?", to=(PLANNER,))
        await agent.hello()
        await agent.send(Serve("w1", 4, 1))
        work = await agent.expect(Work)
        await agent.open()
        await agent.send(Claim("s", work.run, "retry", 3))
        answer = replace(new_message(""), role="assistant", run=work.run, attempt=1)
        await agent.push(put_message(hand.transcript, answer))
        await list_.until(excerpt="", unread=1, running={PLANNER: "live"})
        row = await list_.until(here={ANN: "away", PLANNER: "active"})
        told = list_.frames
        writer = PartWriter(hand.transcript, answer.id).append
        for token in ("Take ", "the ", "tram", " up", "."):
            number = await agent.push(writer(token))
            await acked(agent, number)
            await asyncio.sleep(1.5 * DEFAULT_LIMITS.index_gather_s)
        # Read before its last change was told of, a row is told once more.
        assert list_.look()["s"] == row
        assert list_.frames <= told + 1
        entry = {"run": work.run, "attempt": 1, "agent": PLANNER, "status": "completed", "started_at": 1}
        await agent.push(hand.transcript.edit(lambda r: r.set((Root.RUNS,), f"{work.run}_1", SharedMap(entry))))
        await list_.until(excerpt="Take the tram up.", running={})


async def test_a_hand_over_needs_its_heir(server: Server) -> None:
    """Until it is read, on whichever device."""
    async with link(server) as ann, link(server, "bob") as bob:
        list_, pen = Watcher(bob), Pen()
        await list_.page()
        await ann.open()
        await post(ann, pen, "all yours")
        payload = {"to": BOB, "note": "the taxi"}
        await ann.push(put_command(pen.transcript, NewCommand("c1", "handoff", 1, {"session": "s"}, payload)))
        row = await list_.until(needs=("handover",), responsible=BOB)
        assert row.seq == 2
        await bob.open()
        await bob.push(put_read(Pen().transcript, BOB, seq=2, at=1))
        await list_.until(needs=(), responsible=BOB)


async def test_who_is_here_is_told(server: Server) -> None:
    """By status, agents too; and that they left after the grace."""
    async with serving_again(server, presence_grace_s=0.2) as quick, link(quick) as ann, link(quick, "bob") as bob:
        list_ = Watcher(ann)
        await list_.page()
        await bob.open()
        await bob.send(SetPresence("s", {"activity": "active"}))
        await list_.until(here={BOB: "active"})
        await bob.aclose()
        await list_.until(here={})


async def test_a_row_names_the_most_present(server: Server) -> None:
    """`index_here_max` of them, however many are in the session."""
    async with serving_again(server, index_here_max=2) as small, link(small) as ann, link(small, "bob") as bob:
        list_, links = Watcher(ann), []
        await list_.page()
        for name, activity in (("cem", "hidden"), ("dov", "idle"), ("eve", "active")):
            raw = RawLink(small.url, mint(f"user:{name}"))
            await raw.hello()
            await raw.open()
            await raw.send(SetPresence("s", {"activity": activity}))
            links.append(raw)
        await bob.open()
        await list_.until(here={"user:eve": "active", "user:dov": "idle"})
        for raw in links:
            await raw.aclose()


async def test_who_comes_is_told_slower_than_what_happens(server: Server) -> None:
    """`index_here_s` for a crowd, `index_gather_s` for a message."""
    async with serving_again(server, index_here_s=30.0, index_gather_s=0.01) as slow, link(slow) as ann:
        list_ = Watcher(ann)
        await list_.page()
        async with link(slow, "bob") as bob, link(slow, "eve") as eve:
            await bob.open()
            await list_.until(here={BOB: "away"})
            await eve.open()
            lists = slow.services.lists
            assert lists is not None
            await until(lambda: len(lists.people.people("s")) == 2)
            await asyncio.sleep(0.1)
            list_.look()
            assert list_.rows["s"].here == {BOB: "away"}
            await post(bob, Pen(), "hello")
            await list_.until(excerpt="hello", here={BOB: "away", "user:eve": "away"})


async def test_archiving_is_told_to_ones_own_devices(server: Server) -> None:
    """By REST, for the token's subject alone; a session that the token does not name is not found."""
    async with link(server) as ann, link(server, "bob") as bob:
        mine, other = Watcher(ann), Watcher(bob)
        await bob.open()
        await post(bob, Pen(), to=(ANN,))
        for list_ in (mine, other):
            await list_.page()
        await archive(server, ANN)
        await mine.until(archived=True, unread=1)
        assert [row.session for row in (await mine.page()).rows] == []
        assert [row.session for row in (await mine.page(archived=True)).rows] == ["s"]
        assert [row.archived for row in (await other.page()).rows] == [False]
        with pytest.raises(RequestFailed) as refused:
            await archive(server, ANN, sessions="t")
        assert refused.value.status == 404


async def test_pages_follow_one_another(server: Server) -> None:
    """`index` pages hold what was asked for, at most `page_max`; the last says that it is."""
    async with link(server) as ann:
        list_ = Watcher(ann)
        for number in range(5):
            await request(server.url, "POST", "/v1/sessions", token=mint(ANN), body={"session": f"s{number}"})
        first = await list_.page(limit=3)
        assert (len(first.rows), first.whole) == (3, False)
        second = await list_.page(first.next, 3)
        assert (len(second.rows), second.whole, second.next) == (2, True, "")
        assert len(list_.rows) == 5
        assert len((await list_.page(limit=1 << 50)).rows) == 5


async def test_one_question_at_a_time(server: Server) -> None:
    """Who asks again before the answer came is closed: a page costs the server more than the frame that asks for it."""
    async with link(server) as ann:
        for _ in range(20):
            await ann.send(Watch("", 100))
        assert (await ann.closed())[0] == CloseCode.BAD_MESSAGE


async def test_who_watches_no_more_is_told_nothing(server: Server) -> None:
    """`limit` 0 ends it, and is answered."""
    async with link(server) as ann, link(server, "bob") as bob:
        list_ = Watcher(ann)
        await list_.page()
        assert await list_.page(limit=0) == Index((), "", True)
        lists = server.services.lists
        assert lists is not None
        assert not lists._watchers
        await bob.open()
        await post(bob, Pen(), to=(ANN,))
        assert not lists._changed
        assert [row.session for row in (await list_.page()).rows] == ["s"]


async def test_a_reader_that_takes_nothing_is_told_later(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it missed is kept as names, not as rows; nothing is read for it until then, and told as it is then."""
    lists = server.services.lists
    assert lists is not None
    async with link(server) as ann, link(server, "bob") as bob:
        list_, pen = Watcher(ann), Pen()
        await list_.page()
        [watcher] = lists._watchers[ANN].values()
        stuck = _Stuck(watcher.link)
        watcher.link = stuck
        lists._watchers[ANN] = {stuck: watcher}
        await bob.open()
        for text in ("one", "two", "three"):
            await post(bob, pen, text, to=(ANN,))
        await until(lambda: watcher.missed and not lists._changed and not lists._moved)
        read, reads = lists._listing.rows, list[set[str]]()

        async def count(sessions: Iterable[str], subjects: Collection[str]) -> Sequence[Listed]:
            reads.append({*sessions})
            return await read(reads[-1], subjects)

        monkeypatch.setattr(lists._listing, "rows", count)
        await asyncio.sleep(0.2)
        assert ("s" in list_.look(), reads) == (False, [])
        stuck.writable = True
        await list_.until(excerpt="three", unread=3)
        assert reads == [{"s"}]


async def test_who_takes_something_again_while_rows_are_read_is_told_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what it missed nothing was looked up: that is no sign that it is gone."""
    lists = server.services.lists
    assert lists is not None
    async with link(server) as ann, link(server, "bob") as bob:
        list_ = Watcher(ann)
        await bob.open()
        await post(bob, Pen(), to=(ANN,))
        await list_.page()
        [watcher] = lists._watchers[ANN].values()
        stuck = _Stuck(watcher.link)
        watcher.link = stuck
        lists._watchers[ANN] = {stuck: watcher}
        watcher.missed.add("s")
        read = lists._listing.rows

        async def slowly(sessions: Iterable[str], subjects: Collection[str]) -> Sequence[Listed]:
            stuck.writable = True
            return await read(sessions, subjects)

        monkeypatch.setattr(lists._listing, "rows", slowly)
        await bob.open("t")
        await post(bob, Pen(), session="t")
        await list_.until("t", seq=1)
        assert {"s", "t"} <= list_.look().keys()


async def test_a_session_that_is_made_anew_at_once_is_listed(tmp_path: Path) -> None:
    """Erased and made within one gathering, it is told as what it is now."""
    op = mint("user:op", (*MEMBER, "admin"))
    async with serving(tmp_path / "s.db", limits={"index_gather_s": 0.3}) as server, link(server) as ann:
        list_ = Watcher(ann)
        path = "/v1/sessions/s/messages"
        await request(server.url, "POST", "/v1/sessions", token=op, body={"session": "s"})
        await request(server.url, "POST", path, token=op, body={"text": "old"})
        await list_.page()
        await list_.until(excerpt="old")
        await request(server.url, "DELETE", "/v1/sessions/s", token=op)
        await request(server.url, "POST", "/v1/sessions", token=op, body={"session": "s"})
        await request(server.url, "POST", path, token=op, body={"text": "new"})
        await list_.until(excerpt="new")
        await asyncio.sleep(0.5)
        assert list_.look()["s"].excerpt == "new"


@pytest.mark.parametrize("failing", ["rows", "call"])
async def test_what_the_store_did_not_take_or_give_is_tried_again(
    server: Server, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Without anything happening since: a change, a title; and what cannot be written keeps nothing from being told."""
    lists = server.services.lists
    assert lists is not None
    async with link(server) as ann, link(server, "bob") as bob:
        list_, pen = Watcher(ann), Pen()
        await bob.open()
        await post(bob, pen)
        await list_.page()
        works, broken = getattr(lists._listing, failing), [True]

        async def fails(*given: Any) -> Any:
            if broken:
                raise StorageFull("full")
            return await works(*given)

        monkeypatch.setattr(lists._listing, failing, fails)
        number = await bob.push(pen.set("title", "Trip", root="session"), layer=Layer.STATE)
        await acked(bob, number)
        await post(bob, pen, "more")
        if failing == "call":
            await list_.until(excerpt="more")
        else:
            await asyncio.sleep(0.2)
        assert "s" not in list_.look() or list_.look()["s"].title != "Trip"
        broken.clear()
        await list_.until(title="Trip", excerpt="more")


async def test_a_store_that_takes_no_note_ends_no_stop(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a session is called is found again when it loads."""
    lists = server.services.lists
    assert lists is not None

    async def fails(*_: object) -> bool:
        raise StorageFull("full")

    monkeypatch.setattr(lists._listing, "call", fails)
    lists._called["s"] = ("Trip", ())
    await lists.stop()


async def test_a_store_that_does_not_answer_takes_no_list_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is empty and not the whole: what is held stays, and the next question is answered."""
    async with link(server) as ann, link(server, "bob") as bob:
        await bob.open()
        await post(bob, Pen())
        lists = server.services.lists
        assert lists is not None
        list_, page = Watcher(ann), lists._listing.page

        async def fails(*_: object, **__: object) -> None:
            raise StorageFull("the file stayed locked")

        monkeypatch.setattr(lists._listing, "page", fails)
        assert await list_.page("1.1") == Index((), "1.1", False)
        monkeypatch.setattr(lists._listing, "page", page)
        assert [row.session for row in (await list_.page()).rows] == ["s"]


async def test_titles_heal_when_the_session_loads(tmp_path: Path) -> None:
    """A kill between the commit and the note of what it is called loses nothing; nor does a row that is damaged."""
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        await ann.open()
        pen = Pen()
        await post(ann, pen, "hi")
        number = await ann.push(pen.set("title", "Trip", root="session"), layer=Layer.STATE)
        await ann.expect(Ack, lambda ack: ack.number == number)
    log = SqliteSessionLog(tmp_path / "s.db")
    await log.open()
    await log.listing.call("s", "", ())
    await log.close()
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        list_ = Watcher(ann)
        await list_.page()
        await ann.open()
        await list_.until(title="Trip")


async def test_an_import_is_listed_as_what_it_is(server: Server) -> None:
    """Its messages, who takes part and what it is called come from the session itself."""
    token = mint("user:op", (*MEMBER, "admin"))
    async with link(server) as ann, link(server, "bob") as bob:
        await ann.open()
        pen = Pen()
        await post(ann, pen, "hi", to=(BOB,))
        await ann.push(pen.set("title", "Trip", root="session"), layer=Layer.STATE)
        await bob.open()
        await post(bob, Pen(), "hello")
        list_ = Watcher(bob)
        await list_.page()
        before = await list_.until(title="Trip", unread=1)
        export = await request(server.url, "GET", "/v1/sessions/s/export", token=token)
        copy = await request(server.url, "POST", "/v1/sessions/import", token=token, body={**export, "session": "copy"})
        assert copy["session"] == "copy"
        await ann.open("copy")
        row = await list_.until("copy", seq=2)
        assert (row.title, row.seq, row.excerpt, row.unread) == (before.title, 2, "hello", 1)


class _Stuck:
    """A link whose reader takes nothing until it is told to."""

    def __init__(self, real: Any) -> None:
        self.writable = False
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def serving_again(server: Server, **limits: float) -> AbstractAsyncContextManager[Server]:
    """Another server, beside, with other limits."""
    path = server._settings.store.with_name("quick.db")
    return serving(path, limits={"index_gather_s": 0.02, "index_here_s": 0.05, **limits})
