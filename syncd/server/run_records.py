"""RunRecords: runs for agents without a link: work, claims, output, what is said to them, and the end.

Writes go through the same machine and the same commit as everybody's, leases are those of any worker. Knows nothing of
HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from syncd.core.errors import RejectCode, Rejected, SyncdError
from syncd.core.grant import Grant
from syncd.core.ids import may_begin, new_client_id, own_run_id, run_id, run_key, uuid7
from syncd.core.limits import Limits
from syncd.core.messages import Claim, Json, Layer, Work
from syncd.core.replica import Replica
from syncd.core.run_view import RunView, read_run
from syncd.core.run_writer import NewAttempt
from syncd.core.schema import NewMessage, Root
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix
from syncd.server.live_session import LiveSession
from syncd.server.run_events import Commands, Standing, read_events, read_standing
from syncd.server.run_pen import WRITTEN, RunPen
from syncd.server.sessions import Sessions
from syncd.server.work import Dispatcher
from syncd.server.workers import Seat, Worker, Workers

#: What the id of a run under a key was derived from before such ids had a form of their own.
_OWN: Final = "own:"
OVER: Final = frozenset({"ended", "lease_lost"})


class RunRefused(SyncdError):
    """What is asked of a run cannot be. `code`: `not_found`, `run_taken`, `run_ended`, `lease_lost`, `out_of_order`,
    `id_taken`.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(slots=True)
class _Desk:
    """Where one worker writes one run: by one request at a time. `pending` is what was written last, in `seat`."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    commands: Commands = field(default_factory=Commands)
    seat: Seat | None = None
    attempt: int = 0
    pen: RunPen | None = None
    pending: asyncio.Future[None] | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """What a worker asks for: the run `run`, or the one that answers `message`, or one of its own."""

    worker: str
    run: str | None = None
    message: str | None = None
    parent_run: str | None = None
    task: str | None = None
    policy: str = "retry"
    attempts_max: int = 3
    key: str | None = None


class RunRecords:
    """What REST does with runs.

    1. A write returns once it is on disk, and was judged as any peer's.
    2. A call of `write` under one number writes once, whatever was restarted in between: the number is in the session.
    3. Only the attempt that counts is written to, and only by its worker's agent.
    """

    def __init__(self, sessions: Sessions, dispatcher: Dispatcher, limits: Limits) -> None:
        self.workers = Workers(sessions, dispatcher, limits)
        self._sessions = sessions
        self._limits = limits

    # Work

    async def work(
        self, grant: Grant, worker: str, *, slots: int, per_session: int, wait_s: float, here: Callable[[], bool]
    ) -> list[Work]:
        """Return what a worker is offered, empty if that is nothing within `wait_s`.

        Raises:
            Rejected: the grant is not an agent's.
            TooManyWaits: the subject waits too often already.
        """
        _check_agent(grant)
        with self.workers.present(grant, worker) as known:
            until = time.monotonic() + min(wait_s, self._limits.poll_s_max)
            slots = min(slots, self._limits.slots_max)
            return await self.workers.work(known, slots=slots, per_session=per_session, until=until, here=here)

    async def start(self, session: str, grant: Grant, start: Start) -> Mapping[str, Json]:
        """Claim a run that waits, or begin one; return it with its attempt. Asking again gives the same.

        Raises:
            RunRefused: somebody else has it, it is over, or there is no such message.
            SessionGone: there is no such session.
            Rejected: the grant does not allow it.
        """
        _check_agent(grant)
        live = await self._sessions.live(session)
        run = self._run_of(live, grant, start)
        with self.workers.present(grant, start.worker) as worker:
            async with self.workers.seated(worker, session) as seat, self._desk(worker, seat, run) as desk:
                attempt = await self._claim(seat, worker, run, start)
                pen = self._pen(seat, desk, run, attempt)
                if not _replica(seat.live).contains(Root.RUNS, run_key(run, attempt)):
                    await self._commit(seat, desk, pen.begin(self._new(seat, run, attempt, start)))
                standing = read_standing(_replica(seat.live), run)
                if standing is None or not standing.holds(attempt) or standing.holders[attempt] != worker.id:
                    raise RunRefused("run_taken", f"run {run} went to another worker")
                return _answer(standing, attempt) | {"written": pen.written, "message": standing.message}

    def _run_of(self, live: LiveSession, grant: Grant, start: Start) -> str:
        if start.run is not None:
            return start.run
        if start.message is not None:
            run, number = run_id(start.message, grant.subject), 2
            while read_standing(_replica(live), again := run_id(start.message, grant.subject, number)) is not None:
                run, number = again, number + 1  # It was handed back.
            if read_standing(_replica(live), run) is None and live.machine.owner(Root.MESSAGES, start.message) is None:
                raise RunRefused("not_found", f"there is no message {start.message}")
            return run
        if start.key is not None:
            before = run_id(_OWN + start.key, grant.subject)
            known = read_standing(_replica(live), before) is not None
            return before if known else own_run_id(start.key, grant.subject)
        return uuid7(self._sessions.now_ms(), secrets.token_bytes(10))

    async def _claim(self, seat: Seat, worker: Worker, run: str, start: Start) -> int:
        """Return the attempt that a worker has, or is to begin by itself."""
        standing = read_standing(_replica(seat.live), run)
        if standing is None:
            if not may_begin(run, worker.grant.subject):
                raise RunRefused("not_found", f"there is no run {run}: give one of your own another id, or a key")
            if seat.live.machine.owner(Root.RUNS, run_key(run, 1)) is not None:
                raise RunRefused("run_taken", f"run {run} is being begun by another worker")
            return 1
        _check_own(standing, worker.grant)
        if standing.lease == "queued":
            # Decided in the turn that answers the push: it holds nothing else.
            await asyncio.shield(
                seat.push(EMPTY_UPDATE, Claim(seat.session, run, start.policy, start.attempts_max)),
            )
            standing = read_standing(_replica(seat.live), run) or standing
        if standing.ended:
            raise RunRefused("run_ended", f"run {run} is over: {standing.status}")
        if not standing.holds(standing.attempt) or standing.holders.get(standing.attempt) != worker.id:
            raise RunRefused("run_taken", f"run {run} is {standing.status}, and another worker's")
        return standing.attempt

    def _new(self, seat: Seat, run: str, attempt: int, start: Start) -> NewAttempt:
        """Return an attempt that begins. What the server knows of its run counts."""
        known = read_standing(_replica(seat.live), run) or start
        return NewAttempt(
            run, attempt, seat.grant.subject, self._sessions.now_ms(), known.message, known.parent_run, start.task
        )

    # Output

    async def write(
        self, session: str, grant: Grant, run: str, attempt: int, number: int, parts: Sequence[Mapping[str, Json]]
    ) -> Mapping[str, Json]:
        """Append `parts` to the run's message, as the call `number` from 1; return once it is on disk.

        Raises:
            RunRefused: the attempt does not count any more, calls before this one are missing, or a tool call is one of
                an attempt that does not count.
            LocalProtocolError: a part is not as it must be.
            SessionGone, Rejected, StorageFull: nothing was written.
        """
        live = await self._sessions.live(session)
        standing = _look(live, grant, run)
        if self._written(live, run, attempt) >= number:  # Invariant 2.
            return _answer(standing, attempt) | {"written": self._written(live, run, attempt)}
        async with self._holding(session, grant, standing, attempt) as (seat, desk, pen):
            written = pen.written
            if number > written + 1:
                raise RunRefused("out_of_order", f"call {number} came where {written + 1} was due")
            if number == written + 1:
                pen.check(parts)
                _check_calls(seat.live, standing, parts)
                new = None if pen.begun else self._draft(seat, grant, standing, attempt)
                await self._commit(seat, desk, pen.write(number, parts, new))
            return _answer(standing, attempt) | {"written": pen.written}

    async def consume(
        self, session: str, grant: Grant, run: str, attempt: int, commands: Sequence[str]
    ) -> Mapping[str, Json]:
        """Say that steers were taken. Raises as `write`."""
        standing = _look(await self._sessions.live(session), grant, run)
        async with self._holding(session, grant, standing, attempt) as (seat, desk, pen):
            await self._commit(seat, desk, pen.consume(commands, self._sessions.now_ms()))
            return _answer(standing, attempt)

    async def set_status(
        self, session: str, grant: Grant, run: str, attempt: int, status: str, *, wake_at: int | None = None
    ) -> Mapping[str, Json]:
        """Say that the run waits for somebody, `suspended`, or goes on, `running`; or that it waits and is given up,
        `detached`: by whoever takes it up then. Saying that again is no error, whoever has it meanwhile. At `wake_at`
        (Unix ms) it is offered if nobody has it by then.

        Raises as `write`.
        """
        live = await self._sessions.live(session)
        standing = _look(live, grant, run)
        if status == "detached" and _replica(live).read(Root.RUNS, run_key(run, attempt), "status") == status:
            return _answer(standing, attempt)
        async with self._holding(session, grant, standing, attempt) as (seat, desk, pen):
            # Before the status: with it the run's fact says so, too.
            fields: dict[str, Json] = {} if wake_at is None else {"wake_at": wake_at}
            await self._commit(seat, desk, pen.change(fields | {"status": status}))
            return _answer(read_standing(_replica(seat.live), run) or standing, attempt)

    async def end(
        self, session: str, grant: Grant, run: str, attempt: int, fields: Mapping[str, Json]
    ) -> Mapping[str, Json]:
        """End a run with `fields`: `status`, and what else is to be said of it. Saying so again is no error.

        Raises as `write`.
        """
        live = await self._sessions.live(session)
        standing = _look(live, grant, run)
        if standing.ended and (standing.attempt, standing.status) == (attempt, fields["status"]):
            return _answer(standing, attempt)
        async with self._holding(session, grant, standing, attempt) as (seat, desk, pen):
            await self._commit(seat, desk, pen.change({**fields, "ended_at": self._sessions.now_ms()}))
            return _answer(read_standing(_replica(seat.live), run) or standing, attempt)

    def _draft(self, seat: Seat, grant: Grant, standing: Standing, attempt: int) -> NewMessage:
        """Return the message that an attempt begins. It follows what this run wrote before, else what it answers."""
        before = [
            view.id
            for view in seat.live.machine.messages()
            if (view.run, view.by) == (standing.run, grant.subject) and standing.since <= (view.attempt or 0) < attempt
        ]
        return NewMessage(
            id=uuid7(self._sessions.now_ms(), secrets.token_bytes(10)),
            role="assistant",
            author={"kind": grant.kind, "name": grant.name},
            created_at=self._sessions.now_ms(),
            run=standing.run,
            attempt=attempt,
            parent=before[-1] if before else standing.message,
        )

    # What is said to it

    async def events(
        self, session: str, grant: Grant, run: str, attempt: int, *, after: int, wait_s: float, here: Callable[[], bool]
    ) -> Sequence[Mapping[str, Json]]:
        """Return what an attempt's worker has to know of what has a `seq` above `after`; wait for some.

        Raises:
            RunRefused: there is no such run or attempt.
            SessionGone, Rejected, TooManyWaits, BadToken: as elsewhere.
        """
        live = await self._sessions.live(session)
        standing = _look(live, grant, run)
        if standing.ended or standing.attempt != attempt:
            return read_events(_replica(live), Commands(), run, attempt, after)
        until = time.monotonic() + min(wait_s, self._limits.poll_s_max)
        with self.workers.present(grant, _holder(standing, attempt)) as worker:
            # Kept without being written on: the run is this worker's between two requests for events, too.
            async with self.workers.seated(worker, session) as seat:
                desk: _Desk = worker.kept.setdefault((session, run), _Desk())
                while True:
                    bell = worker.bell
                    events = read_events(_replica(seat.live), desk.commands, run, attempt, after)
                    if any(event["type"] in OVER for event in events):
                        worker.kept.pop((session, run), None)
                    if events or not await self.workers.wait(worker, bell, until=until, here=here):
                        return events

    # Reading

    async def list(self, session: str, *, limit: int) -> Sequence[Mapping[str, Json]]:
        """Return the newest `limit` runs, oldest first.

        Raises:
            SessionGone: there is no such session.
        """
        live = await self._sessions.live(session)
        return [self._json(_replica(live), view) for view in live.machine.runs()[-limit:]]

    async def read(self, session: str, run: str) -> Mapping[str, Json]:
        """Return one run.

        Raises:
            RunRefused: there is no such run.
            SessionGone: there is no such session.
        """
        replica = _replica(await self._sessions.live(session))
        view = read_run(replica, run)
        if view is None:
            raise RunRefused("not_found", f"there is no run {run}")
        return self._json(replica, view)

    # Inside

    @asynccontextmanager
    async def _holding(
        self, session: str, grant: Grant, standing: Standing, attempt: int
    ) -> AsyncIterator[tuple[Seat, _Desk, RunPen]]:
        """Have the attempt that counts, with nobody else writing it. Its worker is there meanwhile, and comes back."""
        self._check_current(standing, attempt)
        worker_id = _holder(standing, attempt)
        with self.workers.present(grant, worker_id) as worker:
            async with self.workers.seated(worker, session) as seat, self._desk(worker, seat, standing.run) as desk:
                now = _look(seat.live, grant, standing.run)
                self._check_current(now, attempt)
                if not now.holds(attempt) or now.holders[attempt] != worker_id:  # Invariant 3.
                    raise RunRefused("lease_lost", f"run {now.run} is {now.status}: its lease was lost")
                pen = self._pen(seat, desk, standing.run, attempt)
                if not _replica(seat.live).contains(Root.RUNS, run_key(standing.run, attempt)):
                    raise RunRefused("lease_lost", f"attempt {attempt} was not begun: start the run first")
                yield seat, desk, pen

    def _check_current(self, standing: Standing, attempt: int) -> None:
        if standing.attempt != attempt:
            raise RunRefused("lease_lost", f"run {standing.run} is at attempt {standing.attempt}, not {attempt}")
        if standing.ended:
            raise RunRefused("run_ended", f"run {standing.run} is over: {standing.status}")

    @asynccontextmanager
    async def _desk(self, worker: Worker, seat: Seat, run: str) -> AsyncIterator[_Desk]:
        """Have a run's desk alone, with all that was written there settled. It is kept while the run is the worker's.

        One whose last write is not settled is kept, too.
        """
        key = seat.session, run
        while True:
            desk: _Desk = worker.kept.setdefault(key, _Desk())
            async with desk.lock:
                if worker.kept.get(key) is not desk:
                    continue  # Given up by whoever had it before.
                await self._settle(seat, desk)
                try:
                    yield desk
                finally:
                    if seat.gone is None and desk.pending is None and not _is_held(seat.live, run, worker):
                        self._put_down(desk)
                        worker.kept.pop(key, None)
                return

    async def _settle(self, seat: Seat, desk: _Desk) -> None:
        if desk.pending is not None:
            try:
                await asyncio.shield(desk.pending)  # Of a request that was broken off.
            except SyncdError:
                desk.pen = None
            desk.pending = None
        if desk.seat is not seat:
            desk.seat, desk.pen = seat, None  # What was written may not be there.

    async def _commit(self, seat: Seat, desk: _Desk, update: bytes) -> None:
        """Have an update of the desk's pen on disk. What was refused, the pen must not go on from."""
        try:
            desk.pending = seat.push(update)
            await asyncio.shield(desk.pending)  # Invariant 1.
            desk.pending = None
        except SyncdError:
            desk.pen = desk.pending = None
            raise

    def _pen(self, seat: Seat, desk: _Desk, run: str, attempt: int) -> RunPen:
        if desk.pen is not None and desk.attempt == attempt:
            return desk.pen
        self._put_down(desk)
        live, subject = seat.live, seat.grant.subject
        if _replica(live).contains(Root.RUNS, run_key(run, attempt)):
            # Begun in an earlier life of the server or of this seat.
            own = (v.id for v in live.machine.messages() if (v.run, v.attempt, v.by) == (run, attempt, subject))
            message = next(own, None)
            output = self._fresh(seat, Root.MESSAGES) if message is None else self._copy(live)
            desk.pen = RunPen(self._copy(live), output, run, attempt, message)
        else:
            desk.pen = RunPen(self._fresh(seat, Root.RUNS), self._fresh(seat, Root.MESSAGES), run, attempt)
        desk.attempt = attempt
        return desk.pen

    def _put_down(self, desk: _Desk) -> None:
        """Write no more with a desk's pen. Others may go on under its client ids, where all it wrote is settled."""
        if desk.pen is not None and desk.seat is not None and desk.pending is None:
            desk.seat.client_ids += desk.pen.client_ids
        desk.pen = None

    def _fresh(self, seat: Seat, root: Root) -> Replica:
        client_id = seat.client_ids.pop() if seat.client_ids else new_client_id(secrets.token_bytes(7))
        replica = Replica({root: Kind.MAP}, client_id=client_id)
        clock = seat.live.machine.document(Layer.TRANSCRIPT).index.state.get(client_id, 0)
        replica.apply([encode_prefix(client_id, clock)])
        return replica

    def _copy(self, live: LiveSession) -> Replica:
        # All of the transcript, for an entry alone cannot be cut out of it: once for each run after a restart.
        replica = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=new_client_id(secrets.token_bytes(7)))
        replica.apply([live.machine.document(Layer.TRANSCRIPT).diff()])
        return replica

    def _written(self, live: LiveSession, run: str, attempt: int) -> int:
        written = _replica(live).read(Root.RUNS, run_key(run, attempt), WRITTEN)
        return written if isinstance(written, int) else 0

    def _json(self, replica: Replica, view: RunView) -> Mapping[str, Json]:
        written = replica.read(Root.RUNS, run_key(view.id, view.attempt), WRITTEN)
        return {**view.json(), "lease": view.lease} | ({"written": written} if isinstance(written, int) else {})


def _replica(live: LiveSession) -> Replica:
    return live.machine.document(Layer.TRANSCRIPT).replica


def _check_agent(grant: Grant) -> None:
    if grant.kind != "agent":
        raise Rejected(RejectCode.FORBIDDEN, f"{grant.subject} is no agent: this takes a token of a subject agent:NAME")


def _check_own(standing: Standing, grant: Grant) -> None:
    if standing.agent != grant.subject:
        raise Rejected(RejectCode.FORBIDDEN, f"run {standing.run} is {standing.agent}'s")


def _look(live: LiveSession, grant: Grant, run: str) -> Standing:
    """Return how a run of the grant's agent stands."""
    standing = read_standing(_replica(live), run)
    if standing is None:
        raise RunRefused("not_found", f"there is no run {run}")
    _check_own(standing, grant)
    return standing


def _check_calls(live: LiveSession, standing: Standing, parts: Sequence[Mapping[str, Json]]) -> None:
    """Refuse tool calls of attempts that were given up: what was decided on them is not for this attempt's."""
    named = {part["tool_call"] for part in parts if part["type"] == "tool"} if standing.since > 1 else set()
    if not any(live.machine.content.calls.parts(call) for call in named):
        return
    made: dict[Json, int] = {}
    for view in live.machine.messages():
        if (view.run, view.by) == (standing.run, standing.agent):
            made |= {part.get("tool_call"): view.attempt or 0 for part in view.parts}
    for call in named:
        if made.get(call, standing.since) < standing.since:
            raise RunRefused("id_taken", f"attempt {made[call]} made a tool call {call}, and does not count any more")


def _is_held(live: LiveSession, run: str, worker: Worker) -> bool:
    standing = read_standing(_replica(live), run)
    if standing is None or standing.ended or "worker" not in standing.last:
        return False
    return standing.holders.get(standing.attempt) == worker.id


def _holder(standing: Standing, attempt: int) -> str:
    worker = standing.holders.get(attempt)
    if worker is None:
        raise RunRefused("lease_lost", f"run {standing.run} has no attempt {attempt}")
    return worker


def _answer(standing: Standing, attempt: int) -> dict[str, Json]:
    return {"run": standing.run, "attempt": attempt, "status": standing.status}
