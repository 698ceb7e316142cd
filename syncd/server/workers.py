"""Workers: processes that serve an agent by requests, with no link that would show that they are there.

Each is taken for a peer of the sessions it works in, as long as requests of it come. Knows nothing of HTTP, of runs or
of what is written.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from syncd.core.errors import CloseCode, RejectCode, Rejected, StorageFull, SyncdError
from syncd.core.grant import Grant
from syncd.core.limits import Limits
from syncd.core.messages import LAYERS, Ack, Claim, Layer, Open, Opened, Push, Reject, ServerMessage, Update, Work
from syncd.server.auth import BadToken
from syncd.server.live_session import LiveSession
from syncd.server.sessions import SessionGone, Sessions
from syncd.server.work import Dispatcher

#: Shown to others as the device of such a worker.
DEVICE = "http"
#: How soon a wait notices that whoever waited has hung up.
_LOOK_S = 1.0
#: Whatever the server decides is an entry under this root, and the name stands in each update that brings one.
_RECEIPTS = b"receipts"


class TooManyWaits(SyncdError):
    """A subject has as many requests waiting, or as many workers, as it may."""


class Seat:
    """One session as a worker has it open: the outlet of a peer inside the server.

    1. What is pushed through it is answered once it is on disk, or failed.
    2. Once it is gone nothing more can be pushed: what was not answered is to be looked up again.
    """

    def __init__(self, worker: Worker, session: str) -> None:
        self.session = session
        self.peer = f"http-{secrets.token_hex(8)}"
        #: Client ids of the worker's subject that nothing is written under at the moment.
        self.client_ids: list[int] = []
        self.gone: SyncdError | None = None
        self.users = 0
        self._worker = worker
        self._live: LiveSession | None = None
        self._ready = asyncio.Event()
        self._pushes: dict[int, asyncio.Future[None]] = {}
        self._number = 0

    @property
    def grant(self) -> Grant:
        """Whose it is."""
        return self._worker.grant

    @property
    def live(self) -> LiveSession:
        """The session, for reading.

        Raises:
            SyncdError: the seat is gone.
        """
        if self.gone is not None:
            raise self.gone
        assert self._live is not None
        return self._live

    def found(self, live: LiveSession) -> None:
        """Take note of where the seat is."""
        self._live = live

    async def opened(self) -> None:
        """Return when all that was pushed before is settled, and who is back goes on.

        Raises:
            SyncdError: the seat is gone.
        """
        await self._ready.wait()
        _ = self.live

    def push(self, update: bytes, claim: Claim | None = None) -> asyncio.Future[None]:
        """Have an update, and before it a claim, committed. Shield what is returned: others may wait for it too.

        Raises:
            SyncdError: the seat is gone.
        """
        machine = self.live.machine
        self._number += 1
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_retrieve)
        self._pushes[self._number] = answer
        if claim is not None:
            machine.receive(self.peer, claim)
        machine.receive(self.peer, Push(self.session, Layer.TRANSCRIPT, self._number, update))
        self._worker.sessions.mark(self.live)
        return answer

    # Outlet

    def deliver(self, session: str, message: ServerMessage, frame: bytes, *, owed: bool = False) -> bool:
        """Take what the session sends."""
        if isinstance(message, Ack):
            for number in [number for number in self._pushes if number <= message.number]:
                self._pushes.pop(number).set_result(None)
        elif isinstance(message, Reject):
            if (answer := self._pushes.pop(message.number, None)) is not None:
                answer.set_exception(Rejected(RejectCode(message.code), message.reason))
        elif isinstance(message, Opened):
            self._ready.set()
        elif isinstance(message, Update) and _RECEIPTS in message.update:
            self._worker.ring()
        return True

    def drop(self, session: str, code: CloseCode, reason: str, *, whole_link: bool) -> None:
        """Take notice that the seat is gone."""
        self.fail(StorageFull(reason) if code is CloseCode.STORAGE_FULL else SessionGone(code, reason))

    def fail(self, error: SyncdError) -> None:
        """Give up the seat."""
        if self.gone is None:
            self.gone = error
            pushes, self._pushes = self._pushes, {}
            for answer in pushes.values():
                answer.set_exception(error)
            self._ready.set()
            self._worker.ring()


class Worker:
    """One process of an agent: what it was offered, and the sessions it works in. A link to the dispatcher."""

    def __init__(self, grant: Grant, id: str, sessions: Sessions) -> None:
        self.grant = grant
        self.id = id
        self.sessions = sessions
        self.seats: dict[str, Seat] = {}
        #: What those who write keep from request to request, by session and a name of theirs. It has its seat kept too.
        self.kept: dict[tuple[str, str], Any] = {}
        self.requests = 0
        #: How many of its requests wait for work.
        self.polls = 0
        self.timer: asyncio.TimerHandle | None = None
        self.revoked = False
        #: Set when something may be different; taken before what is waited for is looked at.
        self.bell = asyncio.Event()
        self._offers: deque[tuple[float, Work]] = deque()

    def ring(self) -> None:
        """Have everybody who waits look again."""
        self.bell.set()
        self.bell = asyncio.Event()

    def forget(self, session: str) -> None:
        """Keep nothing of a session."""
        for key in [key for key in self.kept if key[0] == session]:
            del self.kept[key]

    def offer(self, work: Work) -> None:
        """Keep an offer until it is asked for."""
        self._offers.append((time.monotonic(), work))
        self.ring()

    def take_offers(self, timeout_s: float) -> list[Work]:
        """Return the offers that came within the last `timeout_s`, and forget all."""
        since = time.monotonic() - timeout_s
        taken = [work for at, work in self._offers if at > since]
        self._offers.clear()
        return taken


class Workers:
    """All workers without a link.

    1. A worker is there while a request of it is, and for `lease_grace_s` after its last one; then it loses its runs
       like anybody whose link is gone, after that time once more.
    2. It is offered work only while it asks for it.
    3. Nothing goes on waiting under a token that expired or was revoked.
    """

    def __init__(self, sessions: Sessions, dispatcher: Dispatcher, limits: Limits) -> None:
        self._sessions = sessions
        self._dispatcher = dispatcher
        self._limits = limits
        self._workers: dict[tuple[str, str], Worker] = {}
        self._by_subject: dict[str, int] = {}
        self._waits: dict[str, int] = {}
        self._draining = False

    def __len__(self) -> int:
        return len(self._workers)

    @contextmanager
    def present(self, grant: Grant, id: str) -> Iterator[Worker]:
        """Return a worker, which is there meanwhile.

        Raises:
            TooManyWaits: the subject has too many.
        """
        worker = self._workers.get((grant.subject, id))
        if worker is None:
            if self._by_subject.get(grant.subject, 0) >= self._limits.links_per_subject_max:
                raise TooManyWaits("too many workers of one subject")
            worker = self._workers[grant.subject, id] = Worker(grant, id, self._sessions)
            _count(self._by_subject, grant.subject, 1)
        elif worker.grant != grant:
            self._regrant(worker, grant)
        worker.requests += 1
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        try:
            yield worker
        finally:
            worker.requests -= 1
            if not worker.requests and self._workers.get((worker.grant.subject, id)) is worker:  # Invariant 1.
                loop = asyncio.get_running_loop()
                worker.timer = loop.call_later(self._limits.lease_grace_s, self._leave, worker)

    @asynccontextmanager
    async def seated(self, worker: Worker, session: str) -> AsyncIterator[Seat]:
        """Have a worker's seat in a session, opened. It is given up behind the last user, unless something is kept.

        Raises:
            SessionGone: there is no such session, or it is not for the worker's grant.
            SyncdError: it was there and is gone: try again.
        """
        seat = worker.seats.get(session)
        fresh = seat is None or seat.gone is not None
        if seat is None or fresh:
            seat = worker.seats[session] = Seat(worker, session)
        seat.users += 1
        try:
            if fresh:
                await self._open(worker, seat)
            await seat.opened()
            yield seat
        finally:
            seat.users -= 1
            unused = not seat.users and all(kept != session for kept, _ in worker.kept)
            if unused and worker.seats.get(session) is seat:
                self._unseat(worker, seat, CloseCode.NORMAL)

    async def _open(self, worker: Worker, seat: Seat) -> None:
        try:
            live = await self._sessions.live(seat.session)
            vectors = {layer: live.machine.document(layer).vector for layer in LAYERS}
            opened = Open(seat.session, vectors)  # It reads the server's own copy, so it lacks nothing.
            await self._sessions.attach(seat.peer, seat, worker.grant, opened, device=DEVICE, worker=worker.id)
            seat.found(await self._sessions.live(seat.session))
        except SyncdError as error:
            seat.fail(error)
        except BaseException:
            seat.fail(SessionGone(CloseCode.SERVER_ERROR, "the request that opened it was broken off"))
            raise
        if worker.seats.get(seat.session) is not seat:
            self._sessions.detach(seat.session, seat.peer)  # It left meanwhile.
            seat.fail(SessionGone(CloseCode.NORMAL, "the worker left"))

    async def work(
        self, worker: Worker, *, slots: int, per_session: int, until: float, here: Callable[[], bool]
    ) -> list[Work]:
        """Return what a worker is offered, empty if that is nothing until `until` (monotonic seconds).

        Raises:
            TooManyWaits: the subject waits too often already.
        """
        for session in {session for session, _ in worker.kept}:
            try:
                async with self.seated(worker, session):
                    pass
            except SessionGone as gone:
                if not gone.code.retryable:
                    worker.forget(session)
            except SyncdError:
                continue  # What is to be said of it is said to whoever asks for it.
        worker.polls += 1
        try:
            self._dispatcher.serve(worker, worker.id, slots, per_session)  # Invariant 2.
            while True:
                bell = worker.bell
                offers = worker.take_offers(self._limits.offer_timeout_s)
                if offers or not await self.wait(worker, bell, until=until, here=here):
                    return offers or worker.take_offers(self._limits.offer_timeout_s)
        finally:
            worker.polls -= 1
            if not worker.polls and not worker.revoked:
                self._dispatcher.serve(worker, worker.id, 0, per_session)

    async def wait(self, worker: Worker, bell: asyncio.Event, *, until: float, here: Callable[[], bool]) -> bool:
        """Wait for a bell of a worker; return whether to look again. `here`: whether somebody still wants to know.

        Raises:
            TooManyWaits: the subject waits too often already.
            BadToken: it was revoked meanwhile.
        """
        grant = worker.grant
        if self._waits.get(grant.subject, 0) >= self._limits.links_per_subject_max:
            raise TooManyWaits("too many requests of one subject wait")
        _count(self._waits, grant.subject, 1)
        try:
            while not bell.is_set():
                left_s = min(until - time.monotonic(), _LOOK_S)
                if left_s <= 0.0 or not here() or self._draining or grant.expired(time.time()):
                    return False
                try:
                    async with asyncio.timeout(left_s):
                        await bell.wait()
                except TimeoutError:
                    continue
            if worker.revoked:
                raise BadToken("the token was revoked", CloseCode.REVOKED)
            return not self._draining
        finally:
            _count(self._waits, grant.subject, -1)

    def revoke(self, *, token_ids: frozenset[str], subjects: frozenset[str]) -> None:
        """Have the workers of these tokens and subjects leave at once."""
        for worker in list(self._workers.values()):
            if worker.grant.revoked_by(token_ids, subjects):
                worker.revoked = True
                self._leave(worker)

    def drain(self) -> None:
        """Let nobody wait any longer: the server goes away."""
        self._draining = True
        for worker in self._workers.values():
            if worker.timer is not None:
                worker.timer.cancel()
            worker.ring()

    def _regrant(self, worker: Worker, grant: Grant) -> None:
        worker.grant = grant
        self._dispatcher.regrant(worker)
        for session, seat in list(worker.seats.items()):
            if seat.gone is None and not self._sessions.regrant(session, seat.peer, grant):
                self._unseat(worker, seat, CloseCode.FORBIDDEN)

    def _leave(self, worker: Worker) -> None:
        if self._workers.pop((worker.grant.subject, worker.id), None) is None:
            return
        _count(self._by_subject, worker.grant.subject, -1)
        if worker.timer is not None:
            worker.timer.cancel()
        self._dispatcher.gone(worker)
        for seat in list(worker.seats.values()):
            self._unseat(worker, seat, CloseCode.NORMAL)
        worker.ring()

    def _unseat(self, worker: Worker, seat: Seat, code: CloseCode) -> None:
        del worker.seats[seat.session]
        self._sessions.detach(seat.session, seat.peer)
        seat.fail(SessionGone(code, "the worker left"))


def _count(counts: dict[str, int], key: str, by: int) -> None:
    counts[key] = counts.get(key, 0) + by
    if counts[key] <= 0:
        del counts[key]


def _retrieve(answer: asyncio.Future[None]) -> None:
    """Look at how a push ended, so that nobody has to: who asked may have gone."""
    if not answer.cancelled():
        answer.exception()
