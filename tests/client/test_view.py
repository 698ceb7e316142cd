"""Looking at branches: edits, regenerated answers, paging and reloads, against a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from syncd_client import Client, LocalProtocolError, Session, View

from examples.fault_proxy import FaultProxy
from syncd.server.app import Server
from tests.harness import PATIENCE_S, mint, serving, until

NOWHERE = "http://127.0.0.1:9"
PLANNER = "agent:planner"


@asynccontextmanager
async def opened(url: str, subject: str, place: Path, *, store: str = "") -> AsyncIterator[tuple[Client, Session]]:
    store = store or subject.partition(":")[2] + ".db"
    async with Client(url, token=mint(subject), store=place / store) as client:
        yield client, await client.open("s")


async def answer(session: Session, text: str, *, to: str) -> str:
    """Answer as an agent does: bit by bit, following the message that it answers. Return the answer's id."""
    async with session.stream(parent=to) as stream:
        await stream.text(text)
    await asyncio.wait_for(session.synced(), PATIENCE_S)
    return stream.id


async def say(session: Session, *texts: str) -> list[str]:
    return [(await session.post(text)).id for text in texts]


def rows(view: View) -> list[str]:
    """Return what a person reads: each text with its counter, if it has alternatives."""
    return [
        (item.message.text or "...") + (f" {item.index}/{item.count}" if item.count > 1 else "") for item in view.items
    ]


async def reads(view: View, *expected: str) -> None:
    await until(lambda: rows(view) == list(expected), f"{expected}, not {rows(view)}")


def numbers(items: Sequence[object]) -> list[int]:
    return [int(item.message.text) for item in items]  # type: ignore[attr-defined]


async def test_an_edit_and_a_regeneration_fork_for_everybody(server: Server, tmp_path: Path) -> None:
    """Ann edits and has an answer made again; Bob sees the same branch with the same counters, and can go back."""
    async with (
        opened(server.url, "user:ann", tmp_path) as (_, ann),
        opened(server.url, "user:bob", tmp_path) as (_, bob),
        opened(server.url, PLANNER, tmp_path) as (_, planner),
    ):
        mine, his = ann.view(), bob.view()
        asked = await mine.post("Two days in Lisbon?", to=[PLANNER])
        await until(lambda: planner.message(asked.id))
        first = await answer(planner, "Take the tram.", to=asked.id)
        await reads(mine, "Two days in Lisbon?", "Take the tram.")
        again = await mine.regenerate(first)
        assert (again.view.role, again.view.to, again.view.parent, again.view.parts) == (
            "system", (PLANNER,), asked.id, (),
        )  # fmt: skip
        assert rows(mine) == ["Two days in Lisbon?", "... 2/2"]
        await until(lambda: planner.message(again.id))
        second = await answer(planner, "Walk.", to=again.id)
        for view in (mine, his):
            await reads(view, "Two days in Lisbon?", "Walk. 2/2")
        assert his.previous(second) == first
        assert rows(his) == ["Two days in Lisbon?", "Take the tram. 1/2"]
        edited = await mine.edit(asked.id, "Three days in Lisbon?")
        assert edited.view.to == (PLANNER,)
        await reads(mine, "Three days in Lisbon? 2/2")
        await reads(his, "Three days in Lisbon? 2/2")
        his.select(first)
        assert rows(his) == ["Two days in Lisbon? 1/2", "Take the tram. 1/2"]
        assert rows(mine) == ["Three days in Lisbon? 2/2"]


async def test_two_devices_that_edit_apart_see_the_same_tree_when_they_meet(server: Server, tmp_path: Path) -> None:
    """Two siblings, ordered by who came first to the server; a fresh replica sees just that (story 35)."""
    async with (
        FaultProxy(server.port) as proxy,
        opened(proxy.url, "user:ann", tmp_path) as (a, ann),
        opened(proxy.url, "user:bob", tmp_path) as (b, bob),
    ):
        (first,) = await say(ann, "a word")
        await until(lambda: bob.message(first))
        proxy.refusing = True
        proxy.cut()
        await until(lambda: not ann.status.live and not bob.status.live)
        mine, his = ann.view(), bob.view()
        await mine.edit(first, "ann's word")
        await his.edit(first, "bob's word")
        assert (rows(mine), rows(his)) == (["ann's word 2/2"], ["bob's word 2/2"])
        proxy.refusing = False
        a.retry()
        b.retry()
        await until(lambda: all(len(s.view().items[0].siblings) == 3 and not s.unsynced for s in (ann, bob)))
        assert rows(ann.view()) == rows(bob.view())
        # What each selected by editing stays selected; who selected nothing sees the newest.
        assert {rows(mine)[0][:3], rows(his)[0][:3]} == {"ann", "bob"}
        async with opened(server.url, "user:bob", tmp_path, store="fresh.db") as (_, fresh):
            await until(lambda: rows(fresh.view()) == rows(ann.view()))
            assert fresh.view().items[0].siblings == ann.view().items[0].siblings


async def test_a_reload_shows_the_same_branch(server: Server, tmp_path: Path) -> None:
    """Offline too, with the same counters, and with what was selected if the app kept that (story 34)."""
    async with opened(server.url, "user:ann", tmp_path) as (_, ann):
        one, two = await say(ann, "one", "two")
        view = ann.view()
        await view.edit(two, "two, better")
        await view.post("three")
        await view.edit(one, "one, better")
        await ann.synced()
        newest = rows(view)
        view.select(two)
        chosen, selected = rows(view), view.selected
        assert (newest, chosen) == (["one, better 2/2"], ["one 1/2", "two 1/2"])
    for url in (NOWHERE, server.url):
        async with opened(url, "user:ann", tmp_path) as (_, ann):
            assert rows(ann.view()) == newest
            again = ann.view(selected=selected)
            assert rows(again) == chosen
            again.next(two)
            assert rows(again) == ["one 1/2", "two, better 2/2", "three"]
    async with opened(server.url, "user:ann", tmp_path, store="fresh.db") as (_, ann):
        await until(lambda: rows(ann.view()) == newest and rows(ann.view(selected=selected)) == chosen)


async def test_older_reveals_exactly_n(tmp_path: Path) -> None:
    """Oldest first, called twice at once it acts once, and at the beginning it ends (story 37)."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        await say(ann, *map(str, range(50)))
        view = ann.view(page=10)
        assert numbers(view.items) == [*range(40, 50)]
        assert view.older_count == 40
        assert numbers(await view.older(5)) == [35, 36, 37, 38, 39]
        assert numbers(view.items) == [*range(35, 50)]
        both = await asyncio.gather(view.older(10), view.older(10))
        assert [numbers(items) for items in both] == [[*range(25, 35)]] * 2
        assert numbers(view.items) == [*range(25, 50)]
        assert await view.older(0) == []
        assert numbers(await view.older(100)) == [*range(25)]
        assert await view.older(1) == []
        assert (numbers(view.items), view.older_count) == ([*range(50)], 0)


async def test_a_call_for_older_that_is_given_up_leaves_the_other(tmp_path: Path) -> None:
    """Of two at once one is cancelled: the other gets its messages."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        await say(ann, *map(str, range(4)))
        view = ann.view(page=1)
        calls = [asyncio.create_task(view.older(2)) for _ in range(2)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert numbers(await calls[1]) == [1, 2]
        assert numbers(view.items) == [1, 2, 3]


@pytest.mark.parametrize("n", [1, 7, 60])
async def test_an_empty_copy_pages_everything(tmp_path: Path, n: int) -> None:
    """What came as a snapshot and what came after it join without gap or duplicate, by any page size (story 38)."""
    async with (
        serving(tmp_path / "server.db", limits={"compact_entries": 20}) as server,
        opened(server.url, "user:ann", tmp_path) as (_, ann),
    ):
        await say(ann, *map(str, range(40)))
        await ann.synced()
        async with opened(NOWHERE, "user:bob", tmp_path) as (_, bob):
            assert bob.view().items == []
            assert await bob.view().older(n) == []
        async with opened(server.url, "user:bob", tmp_path) as (_, bob):
            view = bob.view(page=5)
            await until(lambda: len(bob.messages()) == 40)
            assert numbers(view.items) == [*range(35, 40)]
            got = numbers(view.items)
            late = 40
            while older := await view.older(n):
                got = numbers(older) + got
                await say(ann, str(late))  # The live end goes on meanwhile.
                late += 1
            await until(lambda: len(bob.messages()) == late)
            assert got == [*range(40)]
            assert numbers(view.items) == [*range(late)]


async def test_the_view_follows_the_live_end_and_keeps_what_was_selected(tmp_path: Path) -> None:
    """New messages come at the end; a fork elsewhere changes a counter and not the branch that a person chose."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        one, two, _ = await say(ann, "one", "two", "three")
        chosen, other = ann.view(page=2), ann.view(page=2)
        await say(ann, "four")
        assert rows(chosen) == ["three", "four"]
        assert [item.message.text for item in await chosen.older(1)] == ["two"]
        await say(ann, "five")
        assert rows(chosen) == ["two", "three", "four", "five"]
        chosen.select(two)
        await ann.edit(two, "zwei")
        assert rows(chosen) == ["two 1/2", "three", "four", "five"]
        assert rows(other) == ["one", "zwei 2/2"]
        await ann.edit(one, "eins")
        # Nothing was selected there: the view goes to the newest, and shows a page of it whatever was revealed.
        assert rows(chosen) == rows(other) == ["eins 2/2"]
        chosen.select(one)
        assert rows(chosen) == ["two 1/2", "three", "four", "five"]
        assert (await chosen.older(1))[0].message.id == one


async def test_what_is_posted_in_a_view_follows_what_is_shown(tmp_path: Path) -> None:
    """Not the newest message of the session, which another branch may hold."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        view = ann.view()
        await view.post("one")
        (two,) = await say(ann, "two")
        await view.edit(two, "zwei")
        await view.post("drei")
        view.select(two)
        await view.post("three")
        assert rows(view) == ["one", "two 1/2", "three"]
        assert view.next(two) != two
        assert rows(view) == ["one", "zwei 2/2", "drei"]


async def test_an_own_message_keeps_its_place_when_it_is_confirmed(server: Server, tmp_path: Path) -> None:
    """Its receipt changes neither its id nor where it stands, and brings no second one (story 39)."""
    async with opened(server.url, "user:ann", tmp_path) as (_, ann):
        view = ann.view()
        posted = await view.post("hello")
        edited = await view.edit(posted.id, "hello there")
        before = [(item.message.id, item.index, item.siblings) for item in view.items]
        assert before == [(edited.id, 2, (posted.id, edited.id))]
        await asyncio.wait_for(ann.synced(), PATIENCE_S)
        await until(lambda: view.items[0].message.seq == 2)
        assert [(item.message.id, item.index, item.siblings) for item in view.items] == before


async def test_a_stream_is_shown_as_it_grows(tmp_path: Path) -> None:
    """The tree is not built again for each token, and what is shown is the message as it is now."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        view = ann.view()
        async with ann.stream() as stream:
            for part, whole in (("a", "a"), ("b", "ab")):
                await stream.text(part)
                await stream.flush()
                assert rows(view) == [whole]
                tree = view._branches
        assert rows(view) == ["ab"]
        assert view._branches is tree


async def test_an_edit_keeps_the_files(tmp_path: Path) -> None:
    """Only what is text is replaced; `to` stays unless it is given; an edit to nothing is none."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        file = {"id": "1", "type": "file", "url": "https://example.com/map.png"}
        posted = await ann.post("look", to=[PLANNER], parts=[file], metadata={"lang": "en"})
        edited = (await ann.edit(posted.id, "look here", to=["agent:critic"])).view
        assert (edited.text, edited.parts[1:], edited.to) == ("look here", (file,), ("agent:critic",))
        assert edited.metadata == {"lang": "en"}
        assert (await ann.edit(posted.id, "")).view.parts == (file,)
        (plain,) = await say(ann, "plain")
        with pytest.raises(LocalProtocolError, match="a text or parts"):
            await ann.edit(plain, "")


async def test_what_cannot_be_forked_is_said(tmp_path: Path) -> None:
    """An unknown message, an answer of no agent, a prompt to regenerate, a request to edit: each with a next step."""
    async with opened(NOWHERE, "user:ann", tmp_path) as (_, ann):
        view = ann.view()
        (prompt,) = await say(ann, "hello")
        reply = await ann.post("pasted", role="assistant", parent=prompt)
        request = await ann.regenerate(reply.id, to=PLANNER)
        wrong: list[tuple[Callable[[], object], str]] = [
            (lambda: ann.edit("nobody", "x"), "no message nobody"),
            (lambda: ann.edit(request.id, "x"), "nothing to edit"),
            (lambda: ann.regenerate("nobody"), "no message nobody"),
            (lambda: ann.regenerate(prompt), "edit it instead"),
            (lambda: ann.regenerate(reply.id), "whom to ask"),
            (lambda: view.older(-1), "0 or more"),
        ]
        for call, reason in wrong:
            with pytest.raises(LocalProtocolError, match=reason):
                await call()  # type: ignore[misc]
        for select in (view.select, view.next, view.previous):
            with pytest.raises(LocalProtocolError, match=r"no message nobody|not among"):
                select("nobody")
        with pytest.raises(LocalProtocolError, match="at least one"):
            ann.view(page=0)
        # An answer that never came is asked for again, of the same agent.
        again = await view.regenerate(request.id)
        assert again.view.to == (PLANNER,)
        assert rows(view) == ["hello", "... 3/3"]
        assert view.next(again.id) == again.id
        assert rows(view) == ["hello", "... 3/3"]
