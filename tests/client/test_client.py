"""The Python client against a real server: offline, restarts, two devices, refusals, full disks."""

import asyncio
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from syncd_client import (
    CaughtUp,
    Client,
    CommandChanged,
    EditRefused,
    Link,
    LocalProtocolError,
    MessageChanged,
    NotSynced,
    Session,
    StatusChanged,
    StoreError,
)
from syncd_client.changes import Change
from syncd_client.stream import ClientIds

from examples.fault_proxy import FaultProxy
from syncd.core.errors import CloseCode
from syncd.core.messages import Layer
from syncd.core.replica import Replica, SharedMap
from syncd.core.schema import NewMessage, Root, text_part
from syncd.core.transcript import put_message
from syncd.core.update import Kind
from syncd.server.app import Server
from tests.core.machines import fresh_id
from tests.harness import PATIENCE_S, meanwhile, mint, server_process, serving, until

NOWHERE = "http://127.0.0.1:9"


@asynccontextmanager
async def person(
    url: str, name: str, place: Path, *, store: str = "", token: Callable[[], str] | str = ""
) -> AsyncIterator[tuple[Client, Session]]:
    async with Client(url, token=token or mint(f"user:{name}"), store=place / (store or f"{name}.db")) as client:
        yield client, await client.open("s")


async def live(*clients: Client) -> None:
    for client in clients:
        await asyncio.wait_for(client.live(), PATIENCE_S)


async def synced(*sessions: Session) -> None:
    for session in sessions:
        await asyncio.wait_for(session.synced(), PATIENCE_S)


def texts(session: Session) -> list[str]:
    return [view.text for view in session.messages()]


# Offline


async def test_without_a_network_everything_works_and_arrives_later(server: Server, tmp_path: Path) -> None:
    """Started offline, a post returns, is shown as not sent yet, survives the process, and arrives once."""
    async with person(NOWHERE, "ann", tmp_path) as (client, session):
        message = await session.post("typed in the train")
        assert message.view.seq is None
        assert session.unsynced == 1
        session.state.map("ui")["k"] = "v"
        await session.saved()
        await until(lambda: client.status.link is Link.OFFLINE and client.status.reason)
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        assert texts(session) == ["typed in the train"]
        assert session.state.json() == {"ui": {"k": "v"}}
        assert session.unsynced == 2
    async with person(server.url, "ann", tmp_path) as (_, session), person(server.url, "bob", tmp_path) as (_, other):
        await synced(session)
        await until(lambda: texts(other) == ["typed in the train"] and other.state.json() == {"ui": {"k": "v"}})
        assert other.messages()[0].by == "user:ann"
        assert session.messages()[0].seq == 1


async def test_two_devices_edit_offline_and_both_edits_survive(server: Server, tmp_path: Path) -> None:
    """Text, list and map edited apart end equal on both, with everything in them."""
    async with (
        FaultProxy(server.port) as proxy,
        person(proxy.url, "ann", tmp_path) as (a, ann),
        person(proxy.url, "bob", tmp_path) as (b, bob),
    ):
        await live(a, b)
        ann.state.text("doc").append("middle")
        ann.state.list("list").append(0)
        await synced(ann)
        await until(lambda: str(bob.state.text("doc")) == "middle")
        proxy.refusing = True
        proxy.cut()
        await until(lambda: not ann.status.live and not bob.status.live)
        ann.state.text("doc").insert(0, "😀 ")
        bob.state.text("doc").append(" 漢字")
        ann.state.list("list").append("a")
        bob.state.list("list").append("b")
        ann.state.map("map")["a"] = 1
        bob.state.map("map")["b"] = 2
        await ann.post("from ann")
        await bob.post("from bob")
        proxy.refusing = False
        a.retry()
        b.retry()
        await synced(ann, bob)
        await until(lambda: ann.state.json() == bob.state.json() and texts(ann) == texts(bob))
        assert str(ann.state.text("doc")) == "😀 middle 漢字"
        assert sorted(map(str, ann.state.list("list"))) == ["0", "a", "b"]
        assert ann.state.json()["map"] == {"a": 1, "b": 2}
        assert sorted(texts(ann)) == ["from ann", "from bob"]


async def test_a_server_killed_under_a_running_client_is_no_event(tmp_path: Path) -> None:
    """Killed and started again, the server gets what it lacks, and the client says how it stands."""
    async with (
        server_process(tmp_path / "server.db") as process,
        person(process.url, "ann", tmp_path) as (client, session),
    ):
        await (await session.post("before")).synced()
        assert session.status.live
        await process.kill()
        await until(lambda: session.status.link in (Link.RECONNECTING, Link.OFFLINE))
        message = await session.post("while it is down")
        await process.start()
        client.retry()
        await asyncio.wait_for(message.synced(), PATIENCE_S)
        await until(lambda: [view.seq for view in session.messages()] == [1, 2])


async def test_a_half_open_connection_is_noticed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that swallows everything without closing is left after a heartbeat and a half."""
    monkeypatch.setattr("syncd_client.transport.Transport.__init__.__kwdefaults__", {"heartbeat_s": 0.4})
    async with FaultProxy(server.port) as proxy, person(proxy.url, "ann", tmp_path) as (client, session):
        await live(client)
        proxy.stall()
        await until(lambda: not client.connected)
        proxy.cut()
        proxy.heal()
        client.retry()
        await (await session.post("through")).synced()


# Status and tokens


async def test_the_connection_is_told_in_four_words(server: Server, tmp_path: Path) -> None:
    """Offline before it was ever there, live, reconnecting after it was cut, refused where the server says no."""
    told: list[Link] = []

    async def listen(changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            if isinstance(change, StatusChanged) and told[-1:] != [change.status.link]:
                told.append(change.status.link)

    async with FaultProxy(server.port) as proxy, person(proxy.url, "ann", tmp_path) as (client, session):
        assert str(session.status.link) in ("offline", "live")
        await until(lambda: session.status.live)
        async with meanwhile(listen(session.changes())):
            proxy.refusing = True
            proxy.cut()
            await until(lambda: told == [Link.RECONNECTING, Link.OFFLINE])
            proxy.refusing = False
            client.retry()
            await until(lambda: told[2:] == [Link.LIVE])
    async with Client(server.url, token=mint("user:ann", sessions="mine*"), store=tmp_path / "x.db") as client:
        session = await client.open("not-mine")
        await until(lambda: session.status.link is Link.REFUSED)
        assert session.status.code == CloseCode.FORBIDDEN
        assert client.status.live
        client.use_token(mint("user:ann"))
        await until(lambda: session.status.live)


async def _drain(changes: AsyncIterator[Change]) -> AsyncIterator[Change]:
    while True:
        try:
            async with asyncio.timeout(1.0):
                yield await anext(changes)
        except TimeoutError:
            return


async def test_a_token_function_is_asked_again_for_an_expired_token(server: Server, tmp_path: Path) -> None:
    """What was typed meanwhile flows with the fresh token; a token that is only refused is not tried for ever."""
    given = [mint("user:ann", ttl_s=1), "garbage"]
    asked: list[str] = []

    def token() -> str:
        asked.append("asked")
        return given[min(len(asked) - 1, 0)] if len(asked) == 1 else mint("user:ann")

    async with person(server.url, "ann", tmp_path, token=token) as (client, session):
        await live(client)
        await asyncio.sleep(2.2)  # The token's end.
        await asyncio.wait_for((await session.post("after")).synced(), PATIENCE_S)
        assert len(asked) >= 2

    refused: list[str] = []

    def bad() -> str:
        refused.append("asked")
        return "garbage"

    async with person(server.url, "ann", tmp_path, token=bad) as (client, session):
        await until(lambda: client.status.link is Link.REFUSED)
        assert len(refused) == 2
        client.use_token(mint("user:ann"))
        await (await session.post("now")).synced()


async def test_a_token_is_refreshed_once_in_its_life(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A minute before it ends; a short one at half of its life; also where this machine's clock is wrong."""
    monkeypatch.setattr(
        "syncd_client.client.time",
        SimpleNamespace(time=lambda: time.time() + 900, time_ns=time.time_ns, monotonic=time.monotonic),
    )
    lives_s = [3, 45, 600]
    asked: list[float] = []

    def token() -> str:
        asked.append(time.monotonic())
        return mint("user:ann", ttl_s=lives_s[min(len(asked), len(lives_s)) - 1])

    async with person(server.url, "ann", tmp_path, token=token) as (client, _):
        await until(lambda: len(asked) == 2)
        assert 1.0 < asked[1] - asked[0] < 2.9
        await asyncio.sleep(2.2)  # The first one's end. Of a short token, or one that seems over, more were asked for.
        assert len(asked) == 2
        assert client.status.live
    async with person(server.url, "ann", tmp_path, token=token) as (client, _):
        await live(client)
        await asyncio.sleep(1.2)
        assert len(asked) == 3


async def test_a_fixed_token_that_expired_stops_and_says_so(server: Server, tmp_path: Path) -> None:
    """There is nothing to try again with."""
    async with person(server.url, "ann", tmp_path, token=mint("user:ann", ttl_s=1)) as (client, _):
        await until(lambda: client.status.link is Link.REFUSED)
        assert "fresh one" in client.status.reason


async def test_what_is_here_already_is_no_news(tmp_path: Path) -> None:
    """Who listens from the moment a session is opened hears nothing of what its copy held before; a search finds it."""
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        await session.post("said before")
        await session.cancel(message=session.messages()[0].id)
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        changes = session.changes()
        await session.post("said now")
        seen = [change async for change in _drain(changes)]
        found = await session.search("before")
    assert [change.message.text for change in seen if isinstance(change, MessageChanged)] == ["said now"]
    assert not [change for change in seen if isinstance(change, CommandChanged)]
    assert [view.text for view in found] == ["said before"]


# Refused edits


async def test_a_refused_edit_is_kept_said_and_goes_round_no_loop(server: Server, tmp_path: Path) -> None:
    """Rights withdrawn while it was offline: the person is told, keeps the text, and the link stays quiet."""
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        await session.post("typed offline")
    narrow = mint("user:ann", ("state", "presence"))
    async with person(server.url, "ann", tmp_path, token=narrow) as (client, session):
        changes = session.changes()
        await until(lambda: session.unsynced == 0 and session.status.live)
        seen = [change async for change in _drain(changes)]
        assert [change.code for change in seen if isinstance(change, EditRefused)] == ["forbidden"]
        [kept] = await session.refused()
        assert kept.layer is Layer.TRANSCRIPT
        assert b"typed offline" in kept.update
        assert texts(session) == []
        with pytest.raises(LocalProtocolError, match="does not allow"):
            await session.post("again")
        session.state.map("ui")["k"] = 1
        await synced(session)
        await session.drop_refused()
        assert await session.refused() == []
        assert client.status.live


async def test_waiting_for_a_refused_post_says_so_early_and_late(server: Server, tmp_path: Path) -> None:
    """`synced` raises for who waits already, and for who asks after the refusal."""
    async with (
        serving(tmp_path / "small.db", limits={"session_bytes_max": 1_000}) as small,
        person(small.url, "ann", tmp_path) as (_, session),
    ):
        message = await session.post("x" * 2_000)
        for _ in range(2):
            with pytest.raises(NotSynced, match="session_full"):
                await asyncio.wait_for(message.synced(), PATIENCE_S)
        await until(lambda: session.unsynced == 0)
        assert len(await session.refused()) == 1
        await until(lambda: texts(session) == [])
        await (await session.post("fits")).synced()


async def test_an_edit_too_large_is_refused_before_it_is_kept(server: Server, tmp_path: Path) -> None:
    """Content that fits no frame is refused with a clear error, and the session works on."""
    async with person(server.url, "ann", tmp_path) as (client, session):
        await live(client)
        with pytest.raises(LocalProtocolError, match="at most"):
            await session.post("x" * (2 << 20))
        with pytest.raises(LocalProtocolError, match="at most"):
            session.state.text("doc").append("x" * (2 << 20))
        await until(lambda: session.state.json() == {})
        session.state.text("doc").append("small")
        await (await session.post("fits")).synced()
        await synced(session)
        assert session.state.json() == {"doc": "small"}


# Changes


async def test_changes_start_with_what_was_missed_and_never_pile_up(server: Server, tmp_path: Path) -> None:
    """First the count, then things in order; a thing that changed often is told once, as it is when it is read."""
    async with person(server.url, "ann", tmp_path) as (_, ann), person(server.url, "bob", tmp_path) as (b, bob):
        await synced(ann)
        await live(b)
        changes = bob.changes()
        assert isinstance(await asyncio.wait_for(anext(changes), PATIENCE_S), CaughtUp)
        for number in range(3):
            await (await ann.post(f"m{number}")).synced()
        async with ann.stream() as stream:
            for number in range(50):
                await stream.text(f"{number} ")
                await stream.flush()
        await synced(ann)
        await until(lambda: len(bob.messages()) == 4 and bob.messages() == ann.messages(), "all of it")
        seen = [change async for change in _drain(changes)]
        told = [change.message for change in seen if isinstance(change, MessageChanged)]
        assert [view.text for view in told[:3]] == ["m0", "m1", "m2"]
        # Read before its last change was told of, it is told again as it was then.
        assert told[3].text.endswith("49 ")
        assert told[3:] in ([told[3]], [told[3]] * 2, [told[3]] * 3)
    async with person(server.url, "bob", tmp_path) as (_, bob):
        changes = bob.changes()
        counts: list[CaughtUp] = []
        while not counts or not counts[-1].live:
            change = await asyncio.wait_for(anext(changes), PATIENCE_S)
            if isinstance(change, CaughtUp):
                counts.append(change)
        assert counts[-1].count == 0


async def test_presence_of_others_comes_and_goes(server: Server, tmp_path: Path) -> None:
    """Joined, changed, left: seen by the others, and by who comes later."""
    async with person(server.url, "ann", tmp_path) as (_, ann):
        ann.presence.update(status="typing")
        async with person(server.url, "bob", tmp_path) as (_, bob):
            await until(
                lambda: {e.subject: e.state for e in bob.presence.everyone()}.get("user:ann") == {"status": "typing"}
            )
            ann.presence.update(status=None)
            await until(lambda: {e.subject: e.state for e in bob.presence.everyone()}.get("user:ann") == {})
        await until(lambda: [e.subject for e in ann.presence.everyone()] == ["user:ann"])


# Streams


async def test_a_long_answer_is_one_text_for_readers(server: Server, tmp_path: Path) -> None:
    """Written in segments, it reads as one part, on this device, on others, and loaded anew."""
    whole = "".join(f"token{number} 漢😀 " for number in range(4_000))
    async with person(server.url, "ann", tmp_path) as (_, ann), person(server.url, "bob", tmp_path) as (_, bob):
        async with ann.stream() as stream:
            for at in range(0, len(whole), 100):
                await stream.text(whole[at : at + 100])
        await synced(ann)
        [view] = ann.messages()
        assert (view.text, len(view.parts), view.streaming) == (whole, 1, False)
        replica = ann.machine.document(Layer.TRANSCRIPT).replica
        assert replica.length("messages", view.id, "parts", 0, "more") > 3
        await until(lambda: texts(bob) == [whole])
    async with person(server.url, "ann", tmp_path) as (_, ann):
        assert texts(ann) == [whole]


async def test_streams_at_the_same_time_have_ids_of_their_own_and_reuse_them(server: Server, tmp_path: Path) -> None:
    """Five at once use five ids, five after them the same five; each text is whole."""
    async with person(server.url, "ann", tmp_path) as (client, ann):
        await live(client)

        async def write(name: str) -> None:
            async with ann.stream() as stream:
                for number in range(20):
                    await stream.text(f"{name}{number} ")
                    await asyncio.sleep(0)

        for round_number in range(2):
            await asyncio.gather(*(write(f"{round_number}{name}") for name in "abcde"))
        await synced(ann)
        writers = set(ann.machine.document(Layer.TRANSCRIPT).index.entries["messages"].values())
        assert len(writers) == 5
        for view in ann.messages():
            name = view.text[:2]
            assert view.text == "".join(f"{name}{number} " for number in range(20))


def test_an_id_of_another_pool_is_not_taken() -> None:
    """A stream that outlived its pool does not put its id into the next one."""
    fresh = iter(range(10))
    old, new = ClientIds(lambda: next(fresh)), ClientIds(lambda: next(fresh))
    id, _ = old.take()
    new.give_back(id)
    assert new.take() != (id, False)
    old.give_back(id)
    old.give_back(id)
    assert old.take() == (id, False)
    assert old.take()[1]


# One store, several processes


async def test_two_processes_share_one_store_file(server: Server, tmp_path: Path) -> None:
    """Each sees what the other wrote without a network, and what either wrote arrives once."""
    async with (
        person(NOWHERE, "ann", tmp_path, store="one.db") as (_, first),
        person(NOWHERE, "ann", tmp_path, store="one.db") as (_, second),
    ):
        await first.post("from the first")
        await until(lambda: texts(second) == ["from the first"])
        await second.post("from the second")
        await until(lambda: len(texts(first)) == 2)
    async with (
        person(server.url, "ann", tmp_path, store="one.db") as (_, first),
        person(server.url, "ann", tmp_path, store="one.db") as (_, second),
        person(server.url, "bob", tmp_path) as (_, bob),
    ):
        await synced(first, second)
        await asyncio.gather(*(session.post(f"live {n}") for n, session in enumerate([first, second])))
        await synced(first, second)
        await until(lambda: len(texts(bob)) == 4)
        await until(lambda: texts(first) == texts(second) == texts(bob))
        assert sorted(texts(bob)) == ["from the first", "from the second", "live 0", "live 1"]


async def test_what_builds_on_a_dead_processs_edit_is_pushed_with_it(server: Server, tmp_path: Path) -> None:
    """An edit standing on another process' unsynced one, which ended before it pushed it, finds its way."""
    async with person(server.url, "ann", tmp_path, store="one.db") as (client, survivor):
        await live(client)
        async with person(NOWHERE, "ann", tmp_path, store="one.db") as (_, other):
            other.state.text("doc").append("from the other")
            await other.saved()
            await until(lambda: str(survivor.state.text("doc")) == "from the other")
        survivor.state.text("doc").append(" and on")
        await synced(survivor)
        async with person(server.url, "bob", tmp_path) as (_, bob):
            await until(lambda: str(bob.state.text("doc")) == "from the other and on")


async def test_copies_of_a_store_never_write_under_one_client_id(tmp_path: Path) -> None:
    """Copied, as by a backup, both copies go on under ids of their own."""
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        await session.post("before the copy")
    for name in ("ann.db", "ann.db-wal"):
        if (tmp_path / name).exists():
            shutil.copy(tmp_path / name, tmp_path / name.replace("ann", "copy"))
    written = []
    for store in ("ann.db", "copy.db", "ann.db"):
        async with person(NOWHERE, "ann", tmp_path, store=store) as (_, session):
            before = dict(session.machine.document(Layer.TRANSCRIPT).index.state)
            await session.post("after")
            after = session.machine.document(Layer.TRANSCRIPT).index.state
            written.append({id for id in after if id not in before})
    assert all(len(ids) == 1 for ids in written)
    assert len(set.union(*written)) == 3


async def test_another_subjects_unsynced_edits_are_never_pushed_under_this_name(server: Server, tmp_path: Path) -> None:
    """On a shared device each person's unsent words wait for that person."""
    async with person(NOWHERE, "ann", tmp_path, store="shared.db") as (_, session):
        await session.post("ann's words")
    async with person(server.url, "bob", tmp_path, store="shared.db", token=lambda: mint("user:bob")) as (client, bob):
        await live(client)
        await (await bob.post("bob's words")).synced()
        await until(lambda: texts(bob) == ["bob's words"])
    async with person(server.url, "ann", tmp_path, store="shared.db") as (_, ann):
        await synced(ann)
        await until(
            lambda: (
                {view.text: view.by for view in ann.messages()}
                == {"bob's words": "user:bob", "ann's words": "user:ann"}
            )
        )


# This disk


async def test_a_full_local_disk_fails_the_post_and_nothing_else(server: Server, tmp_path: Path) -> None:
    """The post raises and nothing of it is there; what was saved stays; with space again it works."""
    async with person(server.url, "ann", tmp_path) as (client, session):
        await (await session.post("saved")).synced()
        database = client.store._database

        def limit(pages: int) -> Callable[[sqlite3.Connection], int]:
            return lambda c: int(c.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0])

        pages = await database.run(lambda c: c.execute("PRAGMA page_count").fetchone()[0])
        await database.run(limit(pages))
        with pytest.raises(StoreError):
            await asyncio.gather(*(session.post("x" * 100_000) for _ in range(5)))
        kept = set(texts(session)) - {"saved"}
        assert len(kept) <= 1
        await database.run(limit(1 << 30))
        await until(lambda: "saved" in texts(session) and session.status.live)
        await asyncio.wait_for((await session.post("again")).synced(), PATIENCE_S)
        await synced(session)
        assert await session.refused() == []
        expected = texts(session)
    async with person(server.url, "fresh", tmp_path) as (_, fresh):
        await until(lambda: texts(fresh) == expected)


async def test_a_long_history_is_folded_and_reads_the_same(server: Server, tmp_path: Path) -> None:
    """After many edits the copy is folded; it opens offline with everything in it."""
    async with person(server.url, "ann", tmp_path) as (client, session):
        for number in range(600):
            session.state.map("ui")[f"k{number % 7}"] = number
            if number % 20 == 0:
                await synced(session)
        await (await session.post("last")).synced()
        await synced(session)
        expected = session.state.json()
        _, rows = await client.store.load("s")
        assert len(rows) < 600
    async with person(NOWHERE, "ann", tmp_path) as (_, session):
        assert session.state.json() == expected
        assert texts(session) == ["last"]


async def test_closing_twice_and_opening_twice_is_the_same_session(server: Server, tmp_path: Path) -> None:
    """Opened at the same time by several tasks there is one session; a link that comes up meanwhile finds it whole."""
    async with Client(server.url, token=mint("user:ann"), store=tmp_path / "a.db") as client:
        found = await asyncio.gather(*(client.open("s") for _ in range(5)))
        assert all(session is found[0] for session in found)
        await found[0].close()
        await found[0].close()
        again = await client.open("s")
        assert again is not found[0]
        await (await again.post("x")).synced()
    await client.close()


async def test_undo_takes_back_own_edits_alone(server: Server, tmp_path: Path) -> None:
    """Somebody else's words stay; redo brings the own ones back; both arrive at the others."""
    async with person(server.url, "ann", tmp_path) as (_, ann), person(server.url, "bob", tmp_path) as (_, bob):
        bob.state.text("doc").append("bob ")
        await synced(bob)
        await until(lambda: str(ann.state.text("doc")) == "bob ")
        ann.state.text("doc").append("ann")
        assert ann.state.undo()
        assert str(ann.state.text("doc")) == "bob "
        assert not ann.state.undo()
        assert ann.state.redo()
        await synced(ann)
        await until(lambda: str(bob.state.text("doc")) == "bob ann")


async def test_runs_and_messages_that_are_read_together_are_of_one_state(tmp_path: Path) -> None:
    """A run that is over has its last word, also while neither is stored on this disk yet."""
    async with Client("http://127.0.0.1:9", token="dev:user:mona", store=tmp_path / "c.db") as client:
        session = await client.open("s")
        remote = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=fresh_id())
        text = (Root.MESSAGES, "m", "parts", 0, "text")

        def arrives(change: Callable[[Replica], None]) -> None:
            session.machine._remote(Layer.TRANSCRIPT, remote.edit(change))

        async def stored() -> None:
            session._take_turns()
            await until(lambda: not session.machine.pending())
            await session.saved()

        message = NewMessage("m", "assistant", {"kind": "agent", "name": "a"}, (text_part("half"),), run="r", attempt=1)
        session.machine._remote(Layer.TRANSCRIPT, put_message(remote, message))
        entry = SharedMap({"run": "r", "attempt": 1, "agent": "agent:a", "status": "running"})
        arrives(lambda replica: replica.set((Root.RUNS,), "r_1", entry))
        await stored()
        run = session.run("r")
        assert run is not None
        assert (run.status, session.messages()[0].text) == ("running", "half")

        arrives(lambda replica: replica.set((Root.RUNS, "r_1"), "task", "to say more"))
        await stored()
        arrives(lambda replica: replica.text_append(text, " done"))
        arrives(lambda replica: replica.set((Root.RUNS, "r_1"), "status", "completed"))
        run = session.run("r")
        assert run is not None
        assert (run.status, session.messages()[0].text) == ("completed", "half done")
