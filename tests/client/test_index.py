"""Lists of sessions in the Python client: live, offline, on two devices; against a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from syncd_client import Agent, Client, IndexRow, Person, Run, SessionIndex, Unreachable

from examples.fault_proxy import FaultProxy
from syncd.core.errors import StoreError
from syncd.core.ids import run_id
from syncd.core.limits import Limits
from syncd.core.messages import IndexChanged
from syncd.server.app import Server
from syncd.store.listing import Listing, Page
from tests.harness import PATIENCE_S, meanwhile, mint, serving, until

NOWHERE = "http://127.0.0.1:9"
PLANNER = "agent:planner"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "s.db", limits={"index_gather_s": 0.02, "index_here_s": 0.05}) as running:
        yield running


@asynccontextmanager
async def device(
    url: str, name: str, place: Path, *, store: str = "", token: Callable[[], str] | str = ""
) -> AsyncIterator[Client]:
    async with Client(url, token=token or mint(f"user:{name}"), store=place / (store or f"{name}.db")) as client:
        yield client


async def shows(index: SessionIndex, session: str, **fields: Any) -> IndexRow:
    """Wait until a list has a row with these fields."""

    def found() -> IndexRow | None:
        return next(
            (
                row
                for row in index.rows
                if row.session == session and all(getattr(row, name) == value for name, value in fields.items())
            ),
            None,
        )

    row: IndexRow = await until(found, f"{session} {fields}")
    return row


def names(index: SessionIndex) -> list[str]:
    return [row.session for row in index.rows]


async def newest(client: Client, count: int) -> list[IndexRow]:
    """Rows as another list of this client has them."""
    async with await client.index(count=count) as index:
        await until(lambda: index.live)
        return index.rows


async def test_a_list_is_live_and_offline(server: Server, tmp_path: Path) -> None:
    """What is said and what a session is called arrives; without a network the next start shows it as it was."""
    async with device(server.url, "mona", tmp_path) as mona, device(server.url, "theo", tmp_path) as theo:
        index = await mona.index()
        await until(lambda: index.live)
        session = await theo.open("trip")
        await session.post("Lisbon?", to=["user:mona"])
        session.rename("Two days")
        session.set_tags(["family"])
        row = await shows(index, "trip", title="Two days", tags=("family",), unread=1, excerpt="Lisbon?")
        assert (session.title, session.tags, index.unread) == ("Two days", ("family",), 1)
    async with device(NOWHERE, "mona", tmp_path) as mona:
        index = await mona.index()
        [again] = index.rows
        assert not index.live
        assert (again.title, again.unread, again.at_ms) == (row.title, 1, row.at_ms)
        with pytest.raises(Unreachable):
            await mona.archive("trip")


async def test_unread_is_the_same_on_two_devices(server: Server, tmp_path: Path) -> None:
    """Read on one, read on the other: the laptop learns of it without the session being open there."""
    async with (
        device(server.url, "mona", tmp_path, store="laptop.db") as laptop,
        device(server.url, "mona", tmp_path, store="phone.db") as phone,
        device(server.url, "theo", tmp_path) as theo,
    ):
        lists = [await laptop.index(), await phone.index()]
        session = await theo.open("trip")
        for text in ("one", "two"):
            await session.post(text, to=["user:mona"])
        for index in lists:
            await shows(index, "trip", unread=2)
        on_phone = await phone.open("trip")
        await until(lambda: len(on_phone.messages()) == 2)
        await on_phone.mark_read()
        for index in lists:
            await shows(index, "trip", unread=0)


async def test_needs_you_on_an_approval_and_a_hand_over(server: Server, tmp_path: Path) -> None:
    """And while the agent runs its name is there; nothing is left when it is over."""
    agent = Agent("planner", server=server.url, token=mint(PLANNER), store=tmp_path / "planner.db")

    @agent.on_work
    async def work(run: Run) -> None:
        decision = await run.tool("book", {"what": "the tram"}).approval()
        await run.text("Booked." if decision.approved else "Not booked.")

    async with (
        device(server.url, "mona", tmp_path) as mona,
        device(server.url, "theo", tmp_path) as theo,
        meanwhile(agent.serve()),
    ):
        index = await mona.index()
        session = await theo.open("trip")
        message = await session.post("book it", to=[PLANNER, "user:mona"])
        await shows(index, "trip", needs=("approval",), running={PLANNER: "suspended"})
        await until(lambda: index.rows[0].here.get(PLANNER) == "idle")  # Told later than what is said.
        run = run_id(message.id, PLANNER)
        parts = [part for view in session.messages() if view.run == run for part in view.parts]
        await session.approve(str(parts[0]["tool_call"]))
        await shows(index, "trip", needs=(), running={}, excerpt="Booked.")
        await session.assign("user:mona", note="the taxi")
        await shows(index, "trip", needs=("handover",), responsible="user:mona")
        mine = await mona.open("trip")
        await until(lambda: mine.responsible == "user:mona")
        await mine.mark_read()
        assert await shows(index, "trip", needs=(), unread=0)


async def test_archiving_moves_a_session_between_lists(server: Server, tmp_path: Path) -> None:
    """On all of one's devices, and on nobody else's."""
    async with (
        device(server.url, "mona", tmp_path) as mona,
        device(server.url, "mona", tmp_path, store="phone.db") as phone,
        device(server.url, "theo", tmp_path) as theo,
    ):
        for session in ("a", "b"):
            await (await (await theo.open(session)).post("hi", to=["user:mona"])).synced()
        index, put_away, other = await mona.index(), await phone.index(archived=True), await theo.index()
        await until(lambda: index.live and put_away.live and other.live)
        await mona.archive("a")
        await until(lambda: (names(index), names(put_away)) == (["b"], ["a"]))
        assert names(other) == ["b", "a"]
        assert [row.session for row in await mona.store.index.rows("user:mona", archived=True, limit=9)] == ["a"]
        await mona.archive("a", archived=False)
        await until(lambda: (names(index), names(put_away)) == (["b", "a"], []))


async def test_older_sessions_come_by_page(server: Server, tmp_path: Path) -> None:
    """From the server as long as there are any, from this disk without it."""
    async with device(server.url, "mona", tmp_path) as mona:
        for number in range(7):
            await mona.call("POST", "/v1/sessions", body={"session": f"s{number}"})
            await mona.call("POST", f"/v1/sessions/s{number}/messages", body={"text": "hi"})
        index = await mona.index(count=3)
        await until(lambda: index.live)
        assert (names(index), index.whole) == (["s6", "s5", "s4"], False)
        assert [row.session for row in await index.older(2)] == ["s3", "s2"]
        assert [row.session for row in await index.older(50)] == ["s1", "s0"]
        assert index.whole
        assert await index.older() == []
    async with device(NOWHERE, "mona", tmp_path) as mona:
        index = await mona.index(count=3)
        assert names(index) == ["s6", "s5", "s4"]
        assert len(await index.older(50)) == 4


async def test_what_is_below_the_last_page_is_neither_shown_nor_counted(server: Server, tmp_path: Path) -> None:
    """An older session that changes is no news; `older` brings as many as it is asked for, however many are new."""
    async with device(server.url, "mona", tmp_path) as mona, device(server.url, "theo", tmp_path) as theo:

        async def say(session: str) -> None:
            await theo.call("POST", "/v1/sessions", body={"session": session})
            await theo.call("POST", f"/v1/sessions/{session}/messages", body={"text": "hi", "to": ["user:mona"]})

        for number in range(9):
            await say(f"s{number}")
        index = await mona.index(count=2)
        await until(lambda: index.live)
        index.change(IndexChanged((await newest(mona, 5))[2:], ()))
        assert (names(index), index.unread) == (["s8", "s7"], 2)
        assert [row.session for row in await index.older(2)] == ["s6", "s5"]
        for session in ("t0", "t1", "t2"):
            await say(session)
        await shows(index, "t2", unread=1)
        assert [row.session for row in await index.older(2)] == ["s4", "s3"]
        shown = ["t2", "t1", "t0", "s8", "s7", "s6", "s5", "s4", "s3"]
        assert (names(index), index.unread) == (shown, 9)
        await say("t3")
        await shows(index, "t3", unread=1)
        mona.use_token(mint("user:mona"))
        await until(lambda: not index.live)
        await until(lambda: index.live)
        assert names(index) == ["t3", *shown]


async def test_what_the_server_cannot_read_leaves_a_list_as_it_is(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page is empty, and not the last one: a new list is live only when it was told, one that is live stays so."""

    async def fails(*_: object, **__: object) -> Page:
        raise StoreError("the disk is gone for a moment")

    async with device(server.url, "mona", tmp_path) as mona:
        for number in range(3):
            await mona.call("POST", "/v1/sessions", body={"session": f"s{number}"})
            await mona.call("POST", f"/v1/sessions/s{number}/messages", body={"text": "hi"})
        whole, index = await mona.index(), await mona.index(count=2)
        await until(lambda: whole.live and index.live)
        with monkeypatch.context() as patch:
            patch.setattr(Listing, "page", fails)
            await mona.call("POST", "/v1/sessions", body={"session": "s3"})
            await mona.call("POST", "/v1/sessions/s3/messages", body={"text": "hi"})
            await shows(whole, "s3")
            other = await mona.index(count=1)
            assert await index.older() == []
            for one in (whole, index):
                one.link_up()  # As with a fresh token.
            await asyncio.sleep(0.1)
            assert (whole.live, whole.whole, len(whole.rows)) == (True, True, 4)
            assert (index.live, index.whole, names(index)) == (True, False, ["s3", "s2", "s1"])
            assert (other.live, names(other)) == (False, ["s3"])
        await until(lambda: other.live)
        await until(lambda: (index.whole, names(index)) == (True, ["s3", "s2", "s1", "s0"]))


async def test_what_a_narrower_token_does_not_name_vanishes(server: Server, tmp_path: Path) -> None:
    """From the list and from this disk, when the client is back; what a deleted session was, at once."""
    async with device(server.url, "theo", tmp_path) as theo:
        for session in ("a-1", "a-2", "b-1"):
            await (await (await theo.open(session)).post("hi")).synced()
    async with device(server.url, "mona", tmp_path) as mona:
        index = await mona.index()
        await until(lambda: index.live and len(index.rows) == 3)
        mona.use_token(mint("user:mona", sessions="a-*"))
        await until(lambda: set(names(index)) == {"a-1", "a-2"})
        kept = await mona.store.index.rows("user:mona", archived=False, limit=9)
        assert {row.session for row in kept} == {"a-1", "a-2"}
        await until(lambda: index.live)
        async with device(server.url, "op", tmp_path, token=mint("user:op", ("admin",))) as op:
            await op.call("DELETE", "/v1/sessions/a-1")
        await until(lambda: names(index) == ["a-2"])


async def test_a_list_is_true_again_after_the_link_was_gone(server: Server, tmp_path: Path) -> None:
    """Whatever changed meanwhile; without the link nobody is shown as being there."""
    async with FaultProxy(server.port) as proxy, device(server.url, "theo", tmp_path) as theo:
        session = await theo.open("trip")
        session.set_activity("active")
        await session.post("one", to=["user:mona"])
        async with device(proxy.url, "mona", tmp_path) as mona:
            index = await mona.index()
            await shows(index, "trip", here={"user:theo": "active"})
            changes = aiter(index)
            assert await anext(changes) == index.rows
            proxy.refusing = True
            proxy.cut()
            await shows(index, "trip", here={}, unread=1)
            assert not index.live
            await session.post("two")
            proxy.refusing = False
            mona.retry()
            await shows(index, "trip", excerpt="two", unread=2, here={"user:theo": "active"})
            assert await anext(changes) == index.rows
            index.close()
            assert [rows async for rows in index] == []


async def test_a_client_that_closes_ends_its_lists(server: Server, tmp_path: Path) -> None:
    """Whoever follows one goes on behind it, and whoever waits for older sessions is not kept waiting."""
    async with FaultProxy(server.port) as proxy:
        async with device(proxy.url, "mona", tmp_path) as mona:
            for number in range(3):
                await mona.call("POST", "/v1/sessions", body={"session": f"s{number}"})
                await mona.call("POST", f"/v1/sessions/s{number}/messages", body={"text": "hi"})
            index = await mona.index(count=1)
            await until(lambda: index.live)
            told: list[list[IndexRow]] = []

            async def follow() -> None:
                async for rows in index:
                    told.append(rows)

            followed = asyncio.create_task(follow())
            await until(lambda: told)
            proxy.stall(up=False)
            waiting = asyncio.create_task(index.older())
            await asyncio.sleep(0)
        await asyncio.wait_for(followed, PATIENCE_S)
        with pytest.raises(Unreachable):
            await asyncio.wait_for(waiting, PATIENCE_S)


async def test_nobody_is_shown_as_being_there_without_a_link(server: Server, tmp_path: Path) -> None:
    """Not after a start without a network either, nor where the link ends before the list was told as a whole."""
    async with device(server.url, "theo", tmp_path) as theo:
        session = await theo.open("trip")
        session.set_activity("active")
        await session.post("one", to=["user:mona"])
        async with device(server.url, "mona", tmp_path) as mona:
            index = await mona.index()
            row = await shows(index, "trip", here={"user:theo": "active"})
    async with device(NOWHERE, "mona", tmp_path) as mona:
        index = await mona.index()
        assert [row.here for row in index.rows] == [{}]
        await index.older()
        assert [row.here for row in index.rows] == [{}]
        index.change(IndexChanged((row,), ()))  # As between two pages of its first answer.
        assert [row.here for row in index.rows] == [{"user:theo": "active"}]
        index.link_down()
        assert [row.here for row in index.rows] == [{}]


async def test_a_device_of_two_people_keeps_their_lists_apart(server: Server, tmp_path: Path) -> None:
    """One store, two subjects: neither sees the other's list, not even offline."""
    async with device(server.url, "mona", tmp_path, store="shared.db", token=mint("user:mona", sessions="m*")) as mona:
        await (await (await mona.open("m1")).post("hi")).synced()
        index = await mona.index()
        await shows(index, "m1")
    async with device(NOWHERE, "theo", tmp_path, store="shared.db", token=mint("user:theo", sessions="t*")) as theo:
        assert (await theo.index()).rows == []


async def test_a_token_function_without_a_network_shows_the_list_of_last_time(server: Server, tmp_path: Path) -> None:
    """The store says who used it last; a function that has a token all the same says it better."""

    def unreachable() -> str:
        raise OSError("no network")

    async with device(server.url, "mona", tmp_path, store="phone.db", token=lambda: mint("user:mona")) as mona:
        session = await mona.open("m1")
        await session.post("hi")
        await shows(await mona.index(), "m1")
    async with device(NOWHERE, "mona", tmp_path, store="phone.db", token=unreachable) as mona:
        assert (mona.subject, names(await mona.index())) == ("user:mona", ["m1"])
    async with device(NOWHERE, "theo", tmp_path, store="phone.db", token=lambda: mint("user:theo")) as theo:
        index = await theo.index()
        await until(lambda: theo.subject == "user:theo")
        assert index.rows == []
        assert (await theo.index()).rows == []
        theo.use_token(mint("user:mona"))
        await until(lambda: (theo.subject, names(index)) == ("user:mona", ["m1"]))


async def test_a_list_that_becomes_somebody_elses_shows_nothing_of_before(server: Server, tmp_path: Path) -> None:
    """From the moment on at which it is known whose it is; what was told to one is not stored for the other."""
    tokens = {name: mint(f"user:{name}", sessions=f"{name}*") for name in ("mona", "theo")}
    for name, token in tokens.items():
        async with device(server.url, name, tmp_path, token=token) as client:
            for number in range(3):
                await (await (await client.open(f"{name}{number}")).post("hi")).synced()
    async with device(server.url, "", tmp_path, store="shared.db", token=tokens["mona"]) as client:
        index = await client.index(count=2)
        await until(lambda: index.live and names(index) == ["mona2", "mona1"])
        client.use_token(tokens["theo"])
        shown = await until(lambda: (names(index), index.live) if client.subject == "user:theo" else None)
        assert shown in (([], False), (["theo2", "theo1"], True))
        await until(lambda: index.live)
        assert names(index) == ["theo2", "theo1"]
        assert [row.session for row in await index.older()] == ["theo0"]
        for name in tokens:
            kept = await client.store.index.rows(f"user:{name}", archived=False, limit=9)
            assert {row.session.rstrip("012") for row in kept} == {name}


async def test_everybody_is_one_row_over_all_devices(server: Server, tmp_path: Path) -> None:
    """`people` has each person once with the best status; who was last seen when comes from the server."""
    async with (
        device(server.url, "mona", tmp_path) as mona,
        device(server.url, "theo", tmp_path, store="laptop.db") as laptop,
        device(server.url, "theo", tmp_path, store="phone.db") as phone,
    ):
        session = await mona.open("trip")
        on_laptop, on_phone = await laptop.open("trip"), await phone.open("trip")
        on_laptop.set_activity("hidden")
        on_phone.set_activity("idle")

        def theo() -> Person | None:
            return next((person for person in session.people() if person.subject == "user:theo"), None)

        found: Person = await until(lambda: (p := theo()) and len(p.devices) == 2 and p.status == "idle" and p)
        assert found.watching
        assert [person.subject for person in session.audience.who()] == ["user:theo"]
        assert session.audience.watched
        await (await on_phone.post("hi")).synced()
        seen = await session.last_seen()
        assert seen["user:theo"] is not None


async def test_an_agent_knows_whether_anybody_looks(tmp_path: Path) -> None:
    """`run.audience`: told when somebody comes, looks elsewhere for the grace, or leaves."""
    told: list[tuple[bool, list[str]]] = []
    started = asyncio.Event()

    async with serving(tmp_path / "s.db") as server:
        agent = Agent(
            "planner",
            server=server.url,
            token=mint(PLANNER),
            store=tmp_path / "planner.db",
            limits=Limits(presence_grace_s=0.2),
        )

        @agent.on_work
        async def work(run: Run) -> None:
            await until(lambda: run.audience.watched)
            started.set()
            while run.audience.watched:
                who = await run.audience.changed()
                told.append((run.audience.watched, [person.status for person in who]))
            await run.text("Done quietly.")

        async with device(server.url, "mona", tmp_path) as mona, meanwhile(agent.serve()):
            session = await mona.open("trip")
            session.set_activity("active")
            await session.post("go", to=[PLANNER])
            await asyncio.wait_for(started.wait(), PATIENCE_S)
            session.set_activity("idle")
            await until(lambda: told == [(True, ["idle"])])
            session.set_activity("hidden")
            await until(lambda: any(view.text == "Done quietly." for view in session.messages()))
            assert told == [(True, ["idle"]), (False, ["away"])]
