"""Sessions: one load, one commit loop; what happens when the store or a document fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.core.errors import CloseCode, StorageFull, StoreDamaged, StoreError
from syncd.core.grant import MEMBER_RIGHTS, Grant, Right
from syncd.core.limits import DEFAULT_LIMITS, Limits
from syncd.core.messages import Ack, Layer, Open, Opened, Push, ServerMessage, Update
from syncd.core.replica import SharedMap
from syncd.core.schema import Root
from syncd.core.server import ServerMachine
from syncd.server.live_session import Follower, LiveSession
from syncd.server.metrics import Metrics
from syncd.server.sessions import SessionGone, Sessions
from syncd.store.log import Append, Entry, EntryKind, StoredEntry
from syncd.store.memory import MemorySessionLog
from syncd.store.session_log import SqliteSessionLog
from tests.core.machines import Pen, member
from tests.harness import PATIENCE_S, until


class Box:
    """An outlet that keeps what it is given."""

    def __init__(self) -> None:
        self.got: list[ServerMessage] = []
        self.dropped: list[tuple[CloseCode, bool]] = []
        self.full = False

    def deliver(self, session: str, message: ServerMessage, frame: bytes, *, owed: bool = False) -> bool:
        if self.full and not owed and isinstance(message, Update):
            return False
        self.got.append(message)
        return True

    def drop(self, session: str, code: CloseCode, reason: str, *, whole_link: bool) -> None:
        self.dropped.append((code, whole_link))

    def has(self, kind: type) -> bool:
        return any(isinstance(message, kind) for message in self.got)


@asynccontextmanager
async def running(log: MemorySessionLog | SqliteSessionLog, limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Sessions]:
    await log.open()
    sessions = Sessions(log, limits, Metrics())
    await sessions.start()
    yield sessions
    await sessions.stop()
    await log.close()


async def join(sessions: Sessions, peer: str = "ann", session: str = "s") -> Box:
    box = Box()
    await sessions.attach(peer, box, member(peer), Open(session, {}), device="d")
    await until(lambda: box.has(Opened))
    return box


class Faulty(MemorySessionLog):
    """A log whose next append, read or creation fails as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.append_error: Exception | None = None
        self.read_error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.fold_gate = asyncio.Event()
        self.fold_gate.set()
        self.compactions = 0
        self.appends = 0
        self.reads = 0

    async def append(self, batch: Sequence[Append]) -> Sequence[str]:
        self.appends += 1
        await self.gate.wait()
        if self.append_error is not None:
            raise self.append_error
        return await super().append(batch)

    async def compact(self, session: str, *, through: int, snapshot: bytes) -> None:
        self.compactions += 1
        await self.fold_gate.wait()
        await super().compact(session, through=through, snapshot=snapshot)

    async def read(self, session: str, *, after: int = 0) -> Sequence[StoredEntry]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.read_error is not None:
            raise self.read_error
        return await super().read(session, after=after)

    async def probe(self) -> None:
        if self.append_error is not None:
            raise self.append_error


def push(sessions: Sessions, peer: str, number: int, update: bytes, layer: Layer = Layer.TRANSCRIPT) -> None:
    sessions.receive("s", peer, Push("s", layer, number, update))


async def test_a_session_is_loaded_once_for_all_who_ask() -> None:
    """However many open it at the same time, the log is read once and they share one machine."""
    log = Faulty()
    async with running(log) as sessions:
        await join(sessions)
        sessions.detach("s", "ann")
        for live in sessions.lives():
            sessions._unload(live, CloseCode.NORMAL, "")
        log.reads = 0
        found = await asyncio.gather(*(sessions.live("s") for _ in range(20)))
        assert log.reads == 1
        assert all(live is found[0] for live in found)


async def test_a_failed_load_is_an_error_and_never_an_empty_session() -> None:
    """Damage is said with its code to everybody who asks; nothing is made over it; repaired, it loads."""
    log = Faulty()
    async with running(log) as sessions:
        ann = await join(sessions)
        push(sessions, "ann", 1, Pen().message())
        await until(lambda: ann.has(Ack))
        for live in sessions.lives():
            sessions._unload(live, CloseCode.RESYNC, "")
        log.read_error = StoreDamaged("a flipped bit")
        for answer in await asyncio.gather(
            *(sessions.live("s", create=True) for _ in range(3)), return_exceptions=True
        ):
            assert isinstance(answer, SessionGone)
            assert answer.code is CloseCode.DAMAGED
        log.read_error = StoreError("busy")
        with pytest.raises(SessionGone) as gone:
            await sessions.live("s")
        assert gone.value.code.retryable
        log.read_error = None
        assert (await sessions.live("s")).machine.content.seq == 1


async def test_a_log_that_ends_before_its_version_is_not_served() -> None:
    """A session that changed under its load, as by a deletion, is not shown as a shorter one."""

    class Short(Faulty):
        async def read(self, session: str, *, after: int = 0) -> Sequence[StoredEntry]:
            return (await super().read(session, after=after))[:-1]

    log = Short()
    async with running(log) as sessions:
        await log.create("s", "i", 1)
        await log.append([Append("s", 0, [Entry(EntryKind.TRANSCRIPT, Pen().message())])])
        with pytest.raises(SessionGone):
            await sessions.live("s")


async def test_nobody_is_told_before_the_commit() -> None:
    """While the append is under way there is neither ack nor update; and one append commits all sessions."""
    log = Faulty()
    async with running(log) as sessions:
        ann, bob = await join(sessions), await join(sessions, "bob")
        other = Box()
        await sessions.attach("zoe", other, member("zoe"), Open("other", {}), device="d")
        await until(lambda: other.has(Opened))
        log.gate.clear()
        push(sessions, "ann", 1, Pen().message("first"))
        await until(lambda: log.appends)
        appends = log.appends
        push(sessions, "ann", 2, Pen().message("second"))
        sessions.receive("other", "zoe", Push("other", Layer.TRANSCRIPT, 1, Pen().message()))
        await asyncio.sleep(0.05)
        assert not ann.has(Ack)
        assert not bob.has(Update)
        log.gate.set()
        await sessions.settle()
        assert ann.has(Ack)
        assert bob.has(Update)
        assert other.has(Ack)
        assert log.appends <= appends + 1


async def test_settle_waits_for_the_commit_under_way() -> None:
    """It returns when all that was received is on disk and answered."""
    log = Faulty()
    async with running(log) as sessions:
        ann = await join(sessions)
        log.gate.clear()
        push(sessions, "ann", 1, Pen().message())
        before = log.appends
        await until(lambda: log.appends > before)
        settling = asyncio.create_task(sessions.settle())
        await asyncio.sleep(0.02)
        assert not settling.done()
        log.gate.set()
        await settling
        assert ann.has(Ack)


async def test_a_full_storage_stops_writing_and_nothing_else() -> None:
    """Nobody is told saved, writers come back later, opens and reads go on, and it heals by itself."""
    log = Faulty()
    async with running(log) as sessions:
        told: list[bool] = []
        sessions.on_storage = lambda storage: told.append(storage.full)
        ann = await join(sessions)
        push(sessions, "ann", 1, Pen().message("saved"))
        await until(lambda: ann.has(Ack))
        reader = Box()
        log.append_error = StorageFull("no space")
        push(sessions, "ann", 2, Pen().message("not saved"))
        await sessions.attach("other", reader, member("other"), Open("s", {}), device="d")
        await until(lambda: ann.dropped)
        assert ann.dropped == [(CloseCode.STORAGE_FULL, False)]
        assert [m for m in ann.got if isinstance(m, Ack)] == [Ack("s", 1)]
        assert told == [True]

        again = await join(sessions, "again")
        [answer] = [m for m in again.got if isinstance(m, Opened)]
        assert (answer.storage_full, answer.seq) == (True, 1)
        with pytest.raises(SessionGone) as gone:
            await join(sessions, session="new")
        assert gone.value.code is CloseCode.STORAGE_FULL

        log.append_error = None
        await until(lambda: told == [True, False])
        push(sessions, "again", 1, Pen().message("now"))
        await until(lambda: again.has(Ack))
        assert [view.text for view in (await sessions.live("s")).machine.messages()] == ["saved", "now"]


async def test_an_open_in_the_batch_that_found_the_storage_full_is_answered() -> None:
    """A reader of another session does not wait for ever because somebody's write failed."""
    log = Faulty()
    async with running(log) as sessions:
        await join(sessions)
        await join(sessions, "zoe", "quiet")
        log.append_error = StorageFull("no space")
        log.gate.clear()
        push(sessions, "ann", 1, Pen().message())
        reader = Box()
        await sessions.attach(
            "reader",
            reader,
            replace(member("reader"), sessions=(("*", frozenset[Right]()),)),
            Open("quiet", {}),
            device="d",
        )
        log.gate.set()
        await until(lambda: reader.has(Opened))


async def test_a_store_that_failed_for_good_acks_nothing_and_ends_the_server() -> None:
    """Whatever the error was, the loop neither dies silently nor goes on."""
    for error in (StoreError("flush failed"), ValueError("a bug")):
        log = Faulty()
        async with running(log) as sessions:
            fatal = asyncio.Event()
            sessions.on_fatal = fatal.set
            ann = await join(sessions)
            log.append_error = error
            push(sessions, "ann", 1, Pen().message())
            await asyncio.wait_for(fatal.wait(), PATIENCE_S)
            assert not ann.has(Ack)
            assert ann.dropped == [(CloseCode.SERVER_ERROR, False)]


async def test_a_conflict_throws_the_machine_away() -> None:
    """A log that changed under the server is read again; its peers come back."""
    log = Faulty()
    async with running(log) as sessions:
        ann = await join(sessions)
        info = await log.info("s")
        assert info is not None
        await log.append([Append("s", info.version, [Entry(EntryKind.STATE, Pen().set("by", "another"))])])
        push(sessions, "ann", 1, Pen().message())
        await until(lambda: ann.dropped)
        assert ann.dropped == [(CloseCode.RESYNC, False)]
        live = await sessions.live("s")
        assert live.machine.document(Layer.STATE).replica.read("ui") == {"by": "another"}


async def test_a_document_that_fails_is_loaded_again_and_a_second_failure_quarantines() -> None:
    """One session's failure is not the others'; one that fails again at once is not tried for ever."""
    log = Faulty()
    async with running(log) as sessions:
        other = await join(sessions, "zoe", "other")
        for _ in range(2):
            ann = await join(sessions)
            live = await sessions.live("s")
            live.machine.document(Layer.STATE).applied[1] = 5
            push(sessions, "ann", 1, Pen().set("k", 1), Layer.STATE)
            late = Box()
            await sessions.attach("late", late, member("late"), Open("s", {}), device="d")
            await until(lambda: ann.dropped)  # noqa: B023
            assert ann.dropped == [(CloseCode.SERVER_ERROR, False)]
        with pytest.raises(SessionGone) as gone:
            await sessions.live("s")
        assert gone.value.code is CloseCode.DAMAGED
        sessions.receive("other", "zoe", Push("other", Layer.TRANSCRIPT, 1, Pen().message()))
        await until(lambda: other.has(Ack))


async def test_a_hostile_peer_leaves_no_ghost_behind() -> None:
    """Dropped by the machine, a peer is in no list and in nobody's presence, and the session can be unloaded."""
    async with running(Faulty(), replace(DEFAULT_LIMITS, idle_evict_s=0.05)) as sessions:
        eve = await join(sessions, "eve")
        push(sessions, "eve", 1, b"\xff" * 10)
        await until(lambda: eve.dropped)
        assert eve.dropped == [(CloseCode.BAD_UPDATE, True)]
        await until(lambda: sessions.loaded == 0)


async def test_an_idle_session_is_unloaded_and_loads_again() -> None:
    """Nobody there for `idle_evict_s`, nothing pending: memory returns, and the content with the next open."""
    async with running(Faulty(), replace(DEFAULT_LIMITS, idle_evict_s=0.05)) as sessions:
        quiet: list[str] = []

        class Note(Follower):
            async def quiet(self, live: LiveSession) -> None:
                quiet.append(live.session)

        sessions.followers.append(Note())
        ann = await join(sessions)
        push(sessions, "ann", 1, Pen().message("kept"))
        await until(lambda: ann.has(Ack))
        await asyncio.sleep(0.15)  # Longer than it may be idle: somebody is here.
        assert sessions.loaded == 1
        sessions.detach("s", "ann")
        await until(lambda: sessions.loaded == 0)
        assert quiet == ["s"]
        assert (await sessions.live("s")).machine.messages()[0].text == "kept"


async def test_deleted_while_people_are_on_it() -> None:
    """They are told for good, and nobody can open it any more; absent and deleted are told apart only by that."""
    async with running(Faulty()) as sessions:
        ann = await join(sessions)
        assert await sessions.delete("s")
        assert ann.dropped == [(CloseCode.DELETED, False)]
        for create in (False, True):
            with pytest.raises(SessionGone) as gone:
                await sessions.live("s", create=create)
            assert gone.value.code is CloseCode.DELETED
        assert not await sessions.delete("s")


async def test_a_grown_log_is_compacted_and_goes_on(tmp_path: Path) -> None:
    """Folded every `compact_entries` while people write, a session stays the same, here and for who loads it."""
    limits = replace(DEFAULT_LIMITS, compact_entries=10)
    log = SqliteSessionLog(tmp_path / "s.db")
    async with running(log, limits) as sessions:
        ann = await join(sessions)
        pen = Pen()
        for number in range(1, 41):
            push(sessions, "ann", number, pen.message(f"m{number}"))
            await until(lambda: Ack("s", number) in ann.got)  # noqa: B023
        info = await log.info("s")
        assert info is not None
        assert info.entries < 12
        assert info.version >= 40
    again = SqliteSessionLog(tmp_path / "s.db")
    async with running(again, limits) as sessions:
        machine = (await sessions.live("s")).machine
        assert [view.text for view in machine.messages()] == [f"m{number}" for number in range(1, 41)]
        assert machine.content.seq == 40


async def test_after_a_commit_the_next_batch_gathers() -> None:
    """What comes within `commit_pause_s` of a commit is in one batch, however many pushes it is."""
    log = Faulty()
    async with running(log, replace(DEFAULT_LIMITS, commit_pause_s=2.0)) as sessions:
        ann = await join(sessions)
        push(sessions, "ann", 1, Pen().message("first"))
        await until(lambda: Ack("s", 1) in ann.got)
        appends = log.appends
        for number in range(2, 8):
            push(sessions, "ann", number, Pen().message())
            await asyncio.sleep(0.01)
        assert log.appends == appends
        await until(lambda: Ack("s", 7) in ann.got)
        assert log.appends == appends + 1


async def test_folding_holds_nobody_up() -> None:
    """While a log is being folded its session is written to and acked; what came meanwhile counts towards the next."""
    log = Faulty()
    async with running(log, replace(DEFAULT_LIMITS, compact_entries=10)) as sessions:
        ann = await join(sessions)
        log.fold_gate.clear()
        pen = Pen()
        for number in range(1, 31):
            push(sessions, "ann", number, pen.message(f"m{number}"))
            await until(lambda: Ack("s", number) in ann.got)  # noqa: B023
        machine = (await sessions.live("s")).machine
        assert log.compactions == 1, "one fold at a time"
        assert machine.content.wants_snapshot()
        log.fold_gate.set()
        await until(lambda: not machine.content.wants_snapshot())
        before = machine.content.log_bytes

        push(sessions, "ann", 31, pen.message("m31"))
        await until(lambda: Ack("s", 31) in ann.got)

        assert machine.content.log_bytes > before > 0
        again = ServerMachine("s", machine.incarnation, sessions.limits, client_id=1)
        again.load(await log.read("s"))
        assert [view.text for view in again.messages()] == [f"m{number}" for number in range(1, 32)]
        assert again.content.log_bytes == pytest.approx(
            machine.content.log_bytes, abs=20
        )  # merging an update with its receipt saves some


async def test_a_session_deleted_while_it_is_folded_stays_deleted() -> None:
    """The fold finds nothing to fold, and nobody is told of it."""
    log = Faulty()
    async with running(log, replace(DEFAULT_LIMITS, compact_entries=10)) as sessions:
        ann = await join(sessions)
        log.fold_gate.clear()
        pen = Pen()
        for number in range(1, 12):
            push(sessions, "ann", number, pen.message(f"m{number}"))
            await until(lambda: Ack("s", number) in ann.got)  # noqa: B023
        await until(lambda: log.compactions == 1)
        assert await sessions.delete("s")
        log.fold_gate.set()
        bob = await join(sessions, "bob", session="t")
        sessions.receive("t", "bob", Push("t", Layer.TRANSCRIPT, 1, Pen().message()))
        await until(lambda: Ack("t", 1) in bob.got)

        assert ann.dropped == [(CloseCode.DELETED, False)]
        assert not bob.dropped


async def test_a_reader_that_is_behind_is_owed_all_it_lacks() -> None:
    """Caught up, both layers are delivered even if the first alone fills its socket."""
    async with running(Faulty()) as sessions:
        await join(sessions)
        slow = await join(sessions, "slow")
        slow.full = True
        push(sessions, "ann", 1, Pen().message())
        push(sessions, "ann", 2, Pen().set("k", 1), Layer.STATE)
        await sessions.settle()
        assert not slow.has(Update)
        sessions.catch_up("s", "slow")
        assert {m.layer for m in slow.got if isinstance(m, Update)} == set(Layer)


async def test_a_timer_that_fires_too_early_is_set_again() -> None:
    """What only time brings about comes about, also if the loop looked a moment before it was due."""
    log = MemorySessionLog()
    async with running(log, replace(DEFAULT_LIMITS, lease_grace_s=3.0)) as sessions:
        box = Box()
        grant = Grant("agent:planner", "planner", "agent", (("*", MEMBER_RIGHTS),))
        await sessions.attach("w", box, grant, Open("s", {}), device="w", worker="w")
        pen = Pen()
        begun = SharedMap({"run": "own", "attempt": 1, "agent": "agent:planner", "status": "running"})
        push(sessions, "w", 1, pen.transcript_edit(lambda r: r.set((Root.RUNS,), "own_1", begun)))
        await until(lambda: Ack("s", 1) in box.got)
        sessions.detach("s", "w")
        live = await sessions.live("s")
        await until(lambda: live.timer is not None and not live.machine.pending())
        assert live.timer is not None
        live.timer.cancel()
        sessions._time_passed(live)
        await sessions.settle()
        await until(lambda: live.machine.document(Layer.TRANSCRIPT).replica.contains(Root.RECEIPTS, "r:own.1"))
