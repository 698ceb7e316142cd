"""The five promises of PROTOCOL.md, on real servers, real sockets and real disks."""

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import aiohttp
import pytest
from pycrdt import Doc, Map
from syncd_client import Client, MessageView, Session

from examples.fault_proxy import FaultProxy
from examples.server_process import ServerProcess
from syncd.core.errors import CloseCode
from syncd.core.messages import Ack, Closed, Layer, Reject, SetPresence, Update
from syncd.core.replica import Replica, SharedList, SharedMap, SharedText
from syncd.core.schema import Root
from syncd.core.transcript import TranscriptView
from syncd.core.update import Kind
from syncd.server.app import Server
from tests import harness
from tests.core.machines import Pen
from tests.harness import PATIENCE_S, ROOT, RawLink, environment, mint, until
from tests.yjs import in_yjs


def transcript(updates: list[bytes]) -> list[MessageView]:
    replica = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
    replica.apply(updates)
    return TranscriptView().messages(replica)


async def everything(url: str, session: str = "s") -> list[MessageView]:
    """Return what a replica that loads the session from nothing sees."""
    async with RawLink(url, mint("user:fresh")) as raw:
        await raw.hello()
        answer = await raw.open(session)
        return transcript([answer.updates[Layer.TRANSCRIPT]] if answer.updates else [])


async def test_acked_means_on_disk(server_process: ServerProcess) -> None:
    """Killed under load again and again, the server has everything that it ever acked, or showed to anybody."""
    rng = Random(5)
    promised: set[str] = set()
    for life in range(4):
        if life:
            await server_process.start()
        writers = [RawLink(server_process.url, mint(f"user:w{n}"), device=f"w{n}") for n in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            reader = await stack.enter_async_context(RawLink(server_process.url, mint("user:reader")))
            await reader.hello()
            shown = list((await reader.open()).updates.values())
            loads = []
            for writer in writers:
                await stack.enter_async_context(writer)
                await writer.hello()
                await writer.open()
                loads.append(asyncio.create_task(_load(writer)))
            await until(lambda: sum(isinstance(m, Ack) for m in writers[0].got) > 20 + 10 * life)  # noqa: B023
            await asyncio.sleep(rng.random() * 0.05)
            await server_process.kill()
            for writer, sent in zip(writers, await asyncio.gather(*loads), strict=True):
                acked = max((m.number for m in writer.got if isinstance(m, Ack)), default=0)
                promised |= set(sent[:acked])
            shown += [m.update for m in reader.got if isinstance(m, Update) and m.layer is Layer.TRANSCRIPT]
            promised |= {view.text for view in transcript(shown)}
    await server_process.start()
    views = await everything(server_process.url)
    texts = [view.text for view in views]
    assert len(promised) > 200
    assert promised <= set(texts)
    assert len(texts) == len(set(texts))
    assert [view.seq for view in views] == list(range(1, len(views) + 1))


async def _load(writer: RawLink) -> list[str]:
    """Push until the link is gone; return what was pushed, in order."""
    pen, sent = Pen(), list[str]()
    with contextlib.suppress(ConnectionError, aiohttp.ClientError):
        while writer.close_code is None:
            sent.append(f"{pen.id}-{len(sent)}")
            await writer.push(pen.message(sent[-1]))
            await asyncio.sleep(0.002)
    return sent


async def test_nothing_typed_is_lost(server_process: ServerProcess, tmp_path: Path) -> None:
    """A client killed in the middle of its posts, while the server is killed too, loses and doubles none of them."""
    rng = Random(3)
    returned: list[str] = []
    for life in range(5):
        person = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.e2e.person",
            server_process.url,
            mint("user:mona"),
            str(tmp_path / "mona.db"),
            str(life),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert person.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(rng.randint(1, 40)):
                returned.append((await person.stdout.readline()).decode().strip())
        if life == 2:
            await server_process.kill()
        if life == 3:
            await server_process.start()
        person.send_signal(signal.SIGKILL)
        rest, _ = await person.communicate()
        returned += rest.decode().split("\n")[:-1] if rest else []
    async with Client(server_process.url, token=mint("user:mona"), store=tmp_path / "mona.db") as mona:
        session = await mona.open("s")
        here = [view.text for view in session.messages()]
        assert set(returned) <= set(here)
        await asyncio.wait_for(session.synced(), PATIENCE_S)
    texts = [view.text for view in await everything(server_process.url)]
    assert set(returned) <= set(texts)
    assert len(texts) == len(set(texts))


async def test_disconnecting_never_cancels(server: Server, tmp_path: Path) -> None:
    """A writer that is cut off in mid-stream goes on, all of it arrives, and only a command ever cancels."""
    async with (
        FaultProxy(server.port) as proxy,
        Client(proxy.url, token=mint("agent:planner"), store=tmp_path / "agent.db") as agent,
        Client(server.url, token=mint("user:mona"), store=tmp_path / "mona.db") as mona,
    ):
        writing, watching = await agent.open("s"), await mona.open("s")
        await asyncio.wait_for(agent.live(), PATIENCE_S)
        async with writing.stream() as stream:
            for number in range(60):
                await stream.text(f"{number} ")
                if number == 20:
                    await until(lambda: watching.messages() and "5 " in watching.messages()[-1].text)
                    proxy.refusing = True
                    proxy.cut()
                    await until(lambda: not writing.status.live)
                    seen = watching.messages()[-1]
                    assert seen.streaming
                if number == 50:
                    proxy.refusing = False
                    agent.retry()
                await asyncio.sleep(0.005)
        await asyncio.wait_for(writing.synced(), PATIENCE_S)
        whole = "".join(f"{number} " for number in range(60))
        await until(lambda: watching.messages()[-1].text == whole)
        assert not watching.messages()[-1].streaming
        assert watching.commands() == []

        command = await watching.command("cancel", target={"message": watching.messages()[-1].id})
        await until(lambda: writing.commands())
        [seen_by_agent] = writing.commands()
        assert (seen_by_agent["id"], seen_by_agent["receipt"]["by"]) == (command, "user:mona")


async def test_identity_cannot_be_forged(server: Server) -> None:
    """Whatever an adversary sends, the victim's words stay the victim's, and nobody speaks in their name."""
    victim_pen = Pen()
    async with RawLink(server.url, mint("user:victim")) as victim, RawLink(server.url, mint("user:eve")) as eve:
        await victim.hello()
        await victim.open(client_ids=(victim_pen.id,))
        await victim.push(victim_pen.message("mine", id="m1"))
        await victim.push(victim_pen.command("c1"))
        await victim.expect(Ack, lambda ack: ack.number == 2)
        await eve.hello()
        snapshot = (await eve.open()).updates[Layer.TRANSCRIPT]

        def forger(client_id: int = 0) -> Pen:
            pen = Pen(client_id)
            pen.transcript.apply([snapshot])
            return pen

        body = SharedMap(
            role="user",
            author={"kind": "user", "name": "victim"},
            created_at=1,
            parts=SharedList([SharedMap(id="0", type="text", text=SharedText("forged"))]),
        )
        text_path = (Root.MESSAGES, "m1", "parts", 0, "text")
        attacks = [
            ("foreign_reference", forger().transcript_edit(lambda r: r.set((Root.MESSAGES,), "m1", body))),
            ("foreign_entry", Pen().transcript_edit(lambda r: r.set((Root.MESSAGES,), "m1", body))),
            ("foreign_reference", forger().transcript_edit(lambda r: r.remove((Root.MESSAGES,), "m1"))),
            ("foreign_reference", forger().transcript_edit(lambda r: r.text_append(text_path, " not"))),
            (
                "foreign_reference",
                forger().transcript_edit(lambda r: r.text_replace(text_path, 0, 4, "")),
            ),
            ("foreign_reference", forger().transcript_edit(lambda r: r.set((Root.MESSAGES, "m1"), "role", "system"))),
            (
                "server_only",
                forger().transcript_edit(lambda r: r.set((Root.RECEIPTS,), "m:x", {"seq": 9, "by": "user:victim"})),
            ),
            (
                "server_only",
                Pen().transcript_edit(lambda r: r.set((Root.RECEIPTS,), "m:m1", {"seq": 1, "by": "user:eve"})),
            ),
            ("foreign_entry", forger().transcript_edit(lambda r: r.set((Root.READS,), "user:victim", {"seq": 1}))),
            ("foreign_entry", forger().transcript_edit(lambda r: r.set((Root.COMMANDS,), "c1", {"kind": "steer"}))),
            ("foreign_client_id", Pen(victim_pen.id).message("forged", id="m2")),
        ]
        codes = []
        for _, update in attacks:
            await eve.push(update)
            codes.append((await eve.expect(Reject)).code)
        assert all(
            code in (expected, "foreign_reference") for (expected, _), code in zip(attacks, codes, strict=True)
        ), codes

        # Own words under a false name: the receipt has the truth.
        honest = forger()
        await eve.push(honest.transcript_edit(lambda r: r.set((Root.MESSAGES,), "m3", body)))
        await eve.send(SetPresence("s", {"subject": "user:victim", "name": "victim"}))
        await eve.expect(Ack)
        async with RawLink(server.url, mint("user:fresh")) as fresh:
            await fresh.hello()
            answer = await fresh.open()
    views = {view.id: view for view in transcript([answer.updates[Layer.TRANSCRIPT]])}
    assert {id: (view.text, view.by) for id, view in views.items()} == {
        "m1": ("mine", "user:victim"),
        "m3": ("forged", "user:eve"),
    }
    for entry in answer.presence:
        assert entry.subject == f"user:{entry.name}"
        if entry.state:
            assert entry.subject == "user:eve"


async def test_what_is_accepted_loads_everywhere(server: Server) -> None:
    """Of mutated updates some are accepted; what the server then serves loads in pycrdt, and in Yjs alike."""
    rng = Random(11)
    accepted = 0
    served: list[tuple[bytes, bytes]] = []
    for round_number in range(6):
        session = f"s{round_number}"
        async with RawLink(server.url, mint("user:honest")) as honest:
            await honest.hello()
            await honest.open(session)
            pen = Pen()
            await honest.push(pen.message("honest 😀 words"), session=session)
            await honest.push(pen.text("shared 漢字 😀"), layer=Layer.STATE, session=session)
            await honest.expect(Ack, lambda ack: ack.number == 2)
        for _ in range(15):
            async with RawLink(server.url, mint("user:eve")) as eve:
                await eve.hello()
                await eve.open(session)
                with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                    for _ in range(5):
                        source = Pen()
                        layer = rng.choice([Layer.TRANSCRIPT, Layer.STATE])
                        update = source.message("x😀y") if layer is Layer.TRANSCRIPT else source.text("a😀b漢")
                        number = await eve.push(_mutated(update, rng), layer=layer, session=session)
                        await until(lambda: eve.close_code is not None or _answered(eve, number))  # noqa: B023
                        if any(isinstance(m, Closed) for m in eve.got):
                            break
                rejected = {m.number for m in eve.got if isinstance(m, Reject)}
                acked = max((m.number for m in eve.got if isinstance(m, Ack)), default=0)
                accepted += acked - len(rejected)
        async with RawLink(server.url, mint("user:fresh")) as fresh:
            await fresh.hello()
            answer = await fresh.open(session)
            served.append((answer.updates[Layer.TRANSCRIPT], answer.updates[Layer.STATE]))
    assert accepted > 5
    contents = []
    for words, state in served:
        doc: Doc[Map[object]] = Doc()
        for root in Root:
            doc.get(str(root), type=Map)
        doc.apply_update(words)
        again: Doc[Map[object]] = Doc()
        again.apply_update(doc.get_update())
        assert again.get_state() == doc.get_state() or len(again.get_state()) == len(doc.get_state())
        assert any(view.text == "honest 😀 words" for view in transcript([words]))
        reader = Replica({"note": Kind.TEXT})
        reader.apply([state])
        contents.append(reader.read("note"))
    yjs = await asyncio.to_thread(in_yjs, [state for _, state in served], {"note": "text"})
    assert [content["note"] for content in yjs] == contents
    everything = dict.fromkeys(map(str, Root), "map")
    for content in await asyncio.to_thread(in_yjs, [words for words, _ in served], everything):
        assert "honest 😀 words" in json.dumps(content, ensure_ascii=False)


def _answered(raw: RawLink, number: int) -> bool:
    return any(isinstance(m, Closed) or (isinstance(m, Ack) and m.number >= number) for m in raw.got)


def _mutated(update: bytes, rng: Random) -> bytes:
    """Change a byte or two, or nothing."""
    data = bytearray(update)
    for _ in range(rng.choice([0, 1, 1, 2])):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 2, 4, 7, 8, 127, 128, 255, rng.randrange(256)])
    return bytes(data)


async def test_a_restored_server_is_noticed(tmp_path: Path) -> None:
    """Set back to an older backup, a client keeps its newer copy apart and says so; nothing is merged."""
    async with harness.server_process(tmp_path / "server.db") as process:
        async with Client(process.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann:
            session = await ann.open("s")
            await (await session.post("before")).synced()
            assert (await process.stop()) == 0
            shutil.copy(tmp_path / "server.db", tmp_path / "backup.db")
            await process.start()
            ann.retry()
            await (await session.post("after")).synced()
            await until(lambda: session.machine.version >= 2)
            await process.stop()
            for name in ("server.db", "server.db-wal", "server.db-shm"):
                (tmp_path / name).unlink(missing_ok=True)
            shutil.copy(tmp_path / "backup.db", tmp_path / "server.db")
            await process.start()
            ann.retry()
            await until(lambda: session.status.code == CloseCode.REPLACED)
            assert [view.text for view in session.messages()] == ["before", "after"]
        assert [view.text for view in await everything(process.url)] == ["before"]


async def test_sigterm_under_load_loses_nothing(server_process: ServerProcess) -> None:
    """A drain under load exits cleanly, and what was acked is there at the next start without repair."""
    async with RawLink(server_process.url, mint("user:w")) as writer:
        await writer.hello()
        await writer.open()
        load = asyncio.create_task(_load(writer))
        await until(lambda: sum(isinstance(m, Ack) for m in writer.got) > 20)
        assert await server_process.stop() == 0
        sent = await load
        acked = max(m.number for m in writer.got if isinstance(m, Ack))
        assert await writer.closed() == (CloseCode.SHUTDOWN, CloseCode.SHUTDOWN)
    await server_process.start()
    texts = [view.text for view in await everything(server_process.url)]
    assert set(sent[:acked]) <= set(texts)
    assert acked <= len(texts) <= len(sent)


@pytest.mark.parametrize("seed", range(2))
async def test_two_people_over_a_bad_network_end_equal(server: Server, tmp_path: Path, seed: int) -> None:
    """Connections cut after random numbers of bytes cost time and nothing else: no gap, no duplicate."""
    rng = Random(seed)
    async with FaultProxy(server.port) as proxy:
        proxy.budget_bytes = lambda: rng.randint(200, 6_000)
        async with (
            Client(proxy.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann,
            Client(proxy.url, token=mint("user:bob"), store=tmp_path / "bob.db") as bob,
        ):
            people: list[Session] = [await ann.open("s"), await bob.open("s")]
            for number in range(40):
                await rng.choice(people).post(f"m{number}")
                ann.retry()
                bob.retry()
                await asyncio.sleep(0.005)
            proxy.budget_bytes = None
            proxy.cut()
            ann.retry()
            bob.retry()
            for person in people:
                await asyncio.wait_for(person.synced(), PATIENCE_S)
            await until(lambda: all(len(p.messages()) == 40 and p.seq == 40 for p in people))
            first, second = ([view.json() for view in person.messages()] for person in people)
            assert first == second
            assert sorted(view["parts"][0]["text"] for view in first) == sorted(f"m{n}" for n in range(40))


async def test_a_full_disk_at_the_server_heals_by_itself(small_disk: Path, tmp_path: Path) -> None:
    """Nobody is told saved, reading goes on, everybody sees why; with space again all arrives once."""
    async with harness.server_process(small_disk / "server.db") as process:
        async with Client(process.url, token=mint("user:ann"), store=tmp_path / "ann.db") as ann:
            session = await ann.open("s")
            await (await session.post("first")).synced()
            for number in range(40):
                await session.post(f"{number} " + "x" * 20_000)
            await until(lambda: session.status.storage_full, "storage full")
            assert session.unsynced > 0
            async with RawLink(process.url, mint("user:reader")) as reader:
                await reader.hello()
                answer = await reader.open()
                assert transcript([answer.updates[Layer.TRANSCRIPT]])[0].text == "first"
            await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
            await asyncio.wait_for(session.synced(), PATIENCE_S)
            await until(lambda: not session.status.storage_full)
        views = await everything(process.url)
        assert sorted(view.text.split()[0] for view in views) == sorted(["first", *map(str, range(40))])
        assert [view.seq for view in views] == list(range(1, 42))
