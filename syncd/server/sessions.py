"""Sessions: all live sessions of this process, and the one commit loop.

Loads a session once, gathers what its peers sent, commits one transaction for all sessions that have something, and
only then lets anybody see it. Knows nothing of sockets: peers are outlets. What REST offers is in `records`, how grown
logs are folded in `folding`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence

import structlog

from syncd.core.codec import encode
from syncd.core.errors import CloseCode, StorageFull, StoreDamaged, StoreError, SyncdError
from syncd.core.grant import Grant, Right
from syncd.core.ids import new_client_id, uuid7
from syncd.core.limits import Limits
from syncd.core.messages import ClientMessage, Open, Reject, Storage
from syncd.core.replica import ReplicaBroken
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Drop, Ready, Send
from syncd.server.folding import Folding
from syncd.server.live_session import Follower, LiveSession, Outlet
from syncd.server.metrics import Metrics
from syncd.store.log import Append, SessionInfo, SessionLog

_log = structlog.get_logger("syncd.sessions")

#: A session whose document fails twice within this time does not load as it is: not tried again before a restart.
_BROKEN_WITHIN_S = 60.0
_PROBE_S = 1.0
_SWEEP_S = 5.0
#: A session that time alone will change is kept for it this long; what is due later is judged when it is loaded again.
_SOON_S = 600.0
_WRITE_RIGHTS = frozenset({Right.TRANSCRIPT, Right.STATE})


class SessionGone(SyncdError):
    """The session cannot be opened: absent or not for this grant (alike), deleted, or damaged."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Sessions:
    """All live sessions, and the commit loop.

    1. A session is loaded once, however many ask for it at the same time; a failed load is an error, never an empty
       session.
    2. One transaction commits a batch of all sessions; only then is any of it sent or acked.
    3. A machine whose commit or document failed is thrown away with its peers; it is loaded again from the log.
    4. While the storage is full nobody is told that anything is saved, and reading goes on.
    """

    def __init__(
        self, log: SessionLog, limits: Limits, metrics: Metrics, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.log = log
        self.limits = limits
        self.storage_full = False
        #: Called when the storage became full or has space again, and when a flush failed for good.
        self.on_storage: Callable[[Storage], None] = lambda _: None
        self.on_fatal: Callable[[], None] = lambda: None
        #: Told of all sessions, in this order.
        self.followers: list[Follower] = []
        self._metrics = metrics
        self._clock = clock
        self._lives: dict[str, LiveSession] = {}
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._dirty: dict[str, LiveSession] = {}
        self._folding = Folding(log, is_here=lambda live: self._lives.get(live.session) is live, failed=self._broke)
        self._failed_at: dict[str, float] = {}
        self._broken: set[str] = set()
        self._scrub_due = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []
        self._probe: asyncio.Task[None] | None = None

    @property
    def loaded(self) -> int:
        """How many sessions are in memory."""
        return len(self._lives)

    def lives(self) -> list[LiveSession]:
        """Return the sessions that are in memory."""
        return list(self._lives.values())

    def now_ms(self) -> int:
        """The wall clock, in Unix milliseconds: for receipts, never for order."""
        return int(self._clock() * 1000)

    async def start(self) -> None:
        """Start the loop. The log is open already."""
        self._tasks = [asyncio.create_task(self._run(), name="commit loop")]
        self._tasks.append(asyncio.create_task(self._folding.run(), name="session fold"))
        self._tasks.append(asyncio.create_task(self._sweep(), name="session sweep"))

    async def stop(self) -> None:
        """Commit what is there, send its acks, and stop. The log stays open."""
        await self.settle()
        tasks = [*self._tasks, *self._loading.values()] + ([self._probe] if self._probe else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        await self._scrub()

    async def settle(self) -> None:
        """Wait until nothing waits to be committed, and what was committed is sent."""
        if self._tasks:
            await self._idle.wait()

    # Getting at a session

    async def create(self, session: str) -> SessionInfo:
        """Create a session; return an existing one's row as it is."""
        incarnation = uuid7(self.now_ms(), secrets.token_bytes(10))
        return await self.log.create(session, incarnation, self.now_ms())

    async def live(self, session: str, *, create: bool = False) -> LiveSession:
        """Return a session, loaded; touch it so that it stays for a while.

        Raises:
            SessionGone: there is none (and `create` is not set), it was deleted, or it is damaged.
        """
        while (found := self._lives.get(session)) is None:
            task = self._loading.get(session)
            if task is None:  # Invariant 1.
                task = asyncio.create_task(self._load(session, create), name=f"load {session}")
                self._loading[session] = task
                task.add_done_callback(lambda done: self._loaded(session, done))
            await asyncio.shield(task)
        found.used_at = time.monotonic()
        return found

    def _loaded(self, session: str, task: asyncio.Task[None]) -> None:
        self._loading.pop(session, None)
        if not task.cancelled():
            task.exception()  # Said to whoever waits; they may all have gone.

    async def _load(self, session: str, create: bool) -> None:
        try:
            info = await self.log.info(session)
            if info is None and create:
                if self.storage_full:
                    raise SessionGone(CloseCode.STORAGE_FULL, "the server's storage is full: come back to make it")
                info = await self.create(session)
            machine = await self._load_machine(session, info)
            live = LiveSession(session, machine, used_at=time.monotonic())
            for follower in self.followers:
                await follower.loaded(live)
        except StorageFull as error:
            raise SessionGone(CloseCode.STORAGE_FULL, "the server's storage is full: come back") from error
        except StoreDamaged as error:
            _log.error("session_damaged", session=session, reason=str(error))
            raise SessionGone(CloseCode.DAMAGED, "this session is damaged on the server: ask its operator") from error
        except StoreError as error:
            _log.error("session_not_loaded", session=session, error=type(error).__name__, reason=str(error))
            raise SessionGone(CloseCode.SERVER_ERROR, "the session cannot be loaded now") from error
        machine.storage_full = self.storage_full
        self._lives[session] = live
        if machine.due_at() is not None:
            self.mark(live)
        self._metrics.sessions_loaded.set(len(self._lives))

    async def _load_machine(self, session: str, info: SessionInfo | None) -> ServerMachine:
        if info is None:
            raise SessionGone(CloseCode.FORBIDDEN, "there is no such session, or it is not for you")
        if info.deleted_at_ms is not None:
            raise SessionGone(CloseCode.DELETED, "this session was deleted")
        if info.damaged or session in self._broken:
            raise SessionGone(CloseCode.DAMAGED, "this session is damaged on the server: ask its operator")
        client_id = new_client_id(secrets.token_bytes(7))
        machine = ServerMachine(session, info.incarnation, self.limits, client_id=client_id)
        machine.load(await self.log.read(session))
        if machine.version != info.version:  # Invariant 1.
            raise SessionGone(CloseCode.RESYNC, "the session changed while it was loaded")
        return machine

    # Peers

    async def attach(
        self, peer: str, outlet: Outlet, grant: Grant, opened: Open, *, device: str, worker: str = ""
    ) -> None:
        """Let `peer` open a session, made if its grant may write there and it was never before.

        `worker` is whose leases of runs it keeps while it is there.

        Raises:
            SessionGone: see `live`; a grant that does not name the session is told the same as for an absent one.
        """
        rights = grant.rights(opened.session)
        if rights is None:
            raise SessionGone(CloseCode.FORBIDDEN, "there is no such session, or it is not for you")
        live = await self.live(opened.session, create=bool(rights & _WRITE_RIGHTS))
        live.outlets[peer] = outlet
        live.machine.attach(peer, grant, rights, device=device, opened=opened, worker=worker)
        self.mark(live)

    def receive(self, session: str, peer: str, message: ClientMessage) -> None:
        """Take a peer's frame."""
        live = self._lives.get(session)
        if live is not None and peer in live.outlets:
            live.machine.receive(peer, message)
            self.mark(live)

    def detach(self, session: str, peer: str) -> None:
        """Forget a peer of a session. Idempotent."""
        live = self._lives.get(session)
        if live is not None and live.outlets.pop(peer, None) is not None:
            live.used_at = time.monotonic()
            live.machine.detach(peer)
            self.mark(live)

    def regrant(self, session: str, peer: str, grant: Grant) -> bool:
        """Give a peer the rights of a fresh token; return whether it still has any here."""
        rights = grant.rights(session)
        live = self._lives.get(session)
        if rights is not None and live is not None:
            live.machine.regrant(peer, grant, rights)
            self.mark(live)
        return rights is not None

    def catch_up(self, session: str, peer: str) -> None:
        """Send a peer that was behind what it lacks."""
        live = self._lives.get(session)
        if live is None:
            return
        try:
            self._deliver(live, live.machine.catch_up(peer), owed=True)
        except ReplicaBroken as error:
            self._broke(live, error)

    async def delete(self, session: str) -> bool:
        """Erase a session for good; its peers are told. Return whether there was one."""
        live = self._lives.get(session)
        if live is not None:
            self._unload(live, CloseCode.DELETED, "this session was deleted")
        deleted = await self.log.delete(session, self.now_ms())
        self._scrub_due |= deleted
        if deleted:
            for follower in self.followers:
                follower.deleted(session)
        return deleted

    async def _scrub(self) -> None:
        """Clear what deletions left, once nobody is kept waiting by it."""
        if self._scrub_due:
            try:
                await self.log.scrub()
            except StorageFull as error:
                _log.warning("scrub_waits", reason=str(error))
            else:
                self._scrub_due = False

    # The loop

    def mark(self, live: LiveSession) -> None:
        """Have the loop look at a session whose machine was given something."""
        self._dirty[live.session] = live
        self._idle.clear()
        if not self._wake.is_set():
            self._wake.set()

    async def _run(self) -> None:
        next_at = 0.0
        while True:
            await self._wake.wait()
            # The batch gathers meanwhile. Not slept right after a commit: that would wake an idle process for nothing.
            if (early_s := next_at - time.monotonic()) > 0.0:
                await asyncio.sleep(early_s)
            self._wake.clear()
            if await self._commit_dirty():
                next_at = time.monotonic() + self.limits.commit_pause_s
            if not self._dirty:
                self._idle.set()

    async def _commit_dirty(self) -> bool:
        # Not part of the loop above: its variables would keep a batch's sessions in memory until the next.
        lives, self._dirty = self._dirty, {}
        now, now_ms = time.monotonic(), self.now_ms()
        turns = [(live, ready) for live in lives.values() if (ready := self._ready(live, now, now_ms)) is not None]
        try:
            return await self._commit(turns)
        except Exception as error:  # noqa: BLE001 - a loop that had ended would leave everybody waiting for ever
            _log.exception("commit_loop_failed")
            self._give_up(turns, StoreError(f"{type(error).__name__}: {error}"))
            return False

    def _ready(self, live: LiveSession, now: float, now_ms: int) -> Ready | None:
        if self._lives.get(live.session) is not live:
            return None
        try:
            live.machine.tick(now)
            ready = live.machine.ready(now_ms)
            if ready is None:
                self._time(live)  # A timer may fire a little before what it is for is due.
            return ready
        except Exception as error:  # noqa: BLE001 - one session's failure is not the others'
            self._broke(live, error)
            return None

    async def _commit(self, turns: Sequence[tuple[LiveSession, Ready]]) -> bool:
        """Commit a batch, then let its peers see it. Return whether there was something to commit."""
        batch = [
            Append(live.session, ready.expected, ready.entries, ready.work, ready.events)
            for live, ready in turns
            if ready.entries
        ]
        conflicts: Sequence[str] = ()
        if batch:
            started = time.perf_counter()
            try:
                conflicts = await self.log.append(batch)  # Invariant 2.
            except StorageFull as error:
                await self._became_full(turns, error)
                return False
            except StoreError as error:
                self._give_up(turns, error)
                return False
            self._metrics.commit_seconds.observe(time.perf_counter() - started)
            self._metrics.batch_entries.observe(sum(len(append.entries) for append in batch))
            self._metrics.updates.inc(sum(ready.pushes for _, ready in turns))
        for live, ready in turns:
            if live.session in conflicts:
                self._fail(live, CloseCode.RESYNC, "the session changed under this server", None)
            elif self._lives.get(live.session) is live:
                self._advance(live, ready)
        return bool(batch)

    def _advance(self, live: LiveSession, ready: Ready) -> None:
        machine = live.machine
        try:
            self._deliver(live, machine.advance(ready))
            for follower in self.followers:
                follower.advanced(live, ready)
        except Exception as error:  # noqa: BLE001 - one session's failure is not the others'
            self._broke(live, error)
            return
        self._time(live)
        self._folding.look(live)

    def _time(self, live: LiveSession) -> None:
        """Have the loop look again when time alone makes something due."""
        due_at = live.machine.due_at()
        if due_at is None or (live.timer is not None and live.timer_at <= due_at):
            return
        if live.timer is not None:
            live.timer.cancel()
        # Not at once, even for what is due: a turn that did not settle it must not spin.
        delay_s = max(self.limits.presence_gather_s, due_at - time.monotonic())
        live.timer = asyncio.get_running_loop().call_later(delay_s, self._time_passed, live)
        live.timer_at = due_at

    def _time_passed(self, live: LiveSession) -> None:
        live.timer = None
        self.mark(live)

    def _deliver(self, live: LiveSession, sends: Sequence[Send | Drop], *, owed: bool = False) -> None:
        for send in sends:
            if isinstance(send, Drop):
                live.machine.detach(send.peer)
                outlet = live.outlets.pop(send.peer, None)
                if outlet is not None:
                    outlet.drop(live.session, send.code, send.reason, whole_link=send.whole_link)
                continue
            if isinstance(send.message, Reject):
                self._metrics.reject(send.message.code)
            frame = encode(send.message)
            for peer in send.peers:
                outlet = live.outlets.get(peer)
                if outlet is not None and not outlet.deliver(live.session, send.message, frame, owed=owed):
                    self._metrics.behind.inc()
                    live.machine.fall_behind(peer)

    # When something fails

    def _broke(self, live: LiveSession, error: BaseException) -> None:
        self._fail(live, CloseCode.SERVER_ERROR, "the session is being loaded again", error)

    def _fail(self, live: LiveSession, code: CloseCode, reason: str, error: BaseException | None) -> None:
        """Throw a machine away; its peers come back to one that is loaded from the log."""  # Invariant 3.
        if error is not None:
            _log.error("session_failed", session=live.session, error=type(error).__name__, reason=str(error)[:200])
        if isinstance(error, ReplicaBroken):
            now = time.monotonic()
            if now - self._failed_at.get(live.session, -_BROKEN_WITHIN_S) < _BROKEN_WITHIN_S:
                self._broken.add(live.session)
            self._failed_at[live.session] = now
        self._unload(live, code, reason)

    def _unload(self, live: LiveSession, code: CloseCode, reason: str) -> None:
        if self._lives.get(live.session) is live:
            del self._lives[live.session]
            for follower in self.followers:
                follower.unloaded(live.session)
            self._metrics.sessions_loaded.set(len(self._lives))
        self._dirty.pop(live.session, None)
        if live.timer is not None:
            live.timer.cancel()
        outlets, live.outlets = live.outlets, {}
        for outlet in outlets.values():
            outlet.drop(live.session, code, reason, whole_link=False)

    async def _became_full(self, turns: Sequence[tuple[LiveSession, Ready]], error: StorageFull) -> None:
        if not self.storage_full:
            _log.error("storage_full", reason=str(error))
            self._set_full(True)
            self._probe = asyncio.create_task(self._probe_storage(), name="storage probe")
        for live, ready in turns:
            if ready.entries:
                self._fail(live, CloseCode.STORAGE_FULL, "the server's storage is full: edits stay with you", None)
            elif self._lives.get(live.session) is live:
                self._advance(live, ready)  # Reading goes on.

    def _set_full(self, full: bool) -> None:
        self.storage_full = full  # Invariant 4.
        self._metrics.storage_full.set(int(full))
        for live in self._lives.values():
            live.machine.storage_full = full
        self.on_storage(Storage(full))

    async def _probe_storage(self) -> None:
        while True:
            await asyncio.sleep(_PROBE_S)
            try:
                await self.log.probe()
            except StorageFull:
                continue
            except StoreError as error:
                self._give_up((), error)
                return
            _log.info("storage_has_space_again")
            self._set_full(False)
            return

    def _give_up(self, turns: Sequence[tuple[LiveSession, Ready]], error: StoreError) -> None:
        """The store itself failed: what is on disk is unknown, so nothing more may be acked by this process."""
        _log.critical("store_failed", error=type(error).__name__, reason=str(error))
        for live, _ in turns:
            self._fail(live, CloseCode.SERVER_ERROR, "the server's store failed", None)
        self.on_fatal()

    # Unloading

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_S, self.limits.idle_evict_s))
            await self._evict_idle(time.monotonic())
            if not self._lives:
                await self._scrub()

    async def _evict_idle(self, now: float) -> None:
        # Not part of the loop above: its variables would keep the last session in memory until the next.
        for live in list(self._lives.values()):
            due_at = live.machine.due_at()
            waits = due_at is not None and due_at <= now + _SOON_S
            idle = not live.outlets and not live.machine.peers and not live.machine.pending() and not waits
            if idle and now - live.used_at >= self.limits.idle_evict_s:
                await self._evict(live)

    async def _evict(self, live: LiveSession) -> None:
        for follower in self.followers:
            try:
                await follower.quiet(live)
            except (StoreError, ReplicaBroken) as error:
                _log.warning("index_skipped", session=live.session, reason=str(error))
        if not live.outlets and not live.machine.pending() and self._lives.get(live.session) is live:
            self._unload(live, CloseCode.NORMAL, "")
