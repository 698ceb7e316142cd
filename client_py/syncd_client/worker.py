"""Worker: takes the runs that a server offers to one agent, and has them worked on.

One for each life of a process. Knows the client and its sessions; what is done with a run is its handler's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from syncd.core.client import LinkState
from syncd.core.errors import LocalProtocolError, SyncdError
from syncd.core.messages import Serve, Work
from syncd.core.run_view import RunView
from syncd.core.run_writer import NewAttempt
from syncd.core.schema import Root
from syncd_client.client import Client
from syncd_client.copy import now_ms
from syncd_client.run import Hold, Run
from syncd_client.run_failures import LeaseLost, failure_of
from syncd_client.session import Session
from syncd_client.status import Link
from syncd_client.steering import Steer
from syncd_client.worker_sessions import SYNC_GRACE_S, Held, WorkerSessions

_log = structlog.get_logger("syncd.agent")

Handler = Callable[[Run], Awaitable[None]]
Busy = Literal["queue", "steer", "parallel"]

#: A claim that is not answered by then is let go: the server offers the run again.
CLAIM_TIMEOUT_S = 15.0
#: How long handlers that were told to stop may take for a last word.
STOP_GRACE_S = 10.0
_TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works. `slots`: how many runs it holds at a time, those that wait for a decision aside."""

    agent: str
    slots: int
    busy: Busy
    policy: str
    attempts_max: int
    cancel_stops: bool = True


class Worker:
    """All runs that one process works on.

    1. A run is begun only when the server's receipt says that it is this worker's.
    2. The end of the link ends nothing; the end of the process ends what it worked on, and leaves what waits.
    """

    def __init__(self, client: Client, handler: Handler, settings: WorkerSettings) -> None:
        self._client = client
        self._handler = handler
        self._settings = settings
        self._held: dict[tuple[str, str], Held] = {}
        self._claims: dict[tuple[str, str], asyncio.Task[None]] = {}
        # Those of the claims that the server was asked, and may have granted.
        self._asked: set[tuple[str, str]] = set()
        self._sessions = WorkerSessions(client, self._held, self._claims)
        # No more work is taken; and nothing is begun of what was taken.
        self._draining = False
        self._stopping = False
        self._drained_at: float | None = None
        self._refused = ""

    # The link, as the client tells it

    def hello(self) -> Serve | None:
        """See `client.LinkWorker`."""
        if self._client.subject != self._settings.agent:
            self._refused = f"the token names {self._client.subject!r}, not {self._settings.agent!r}: use that agent's"
            return None
        return self._serve()

    def work(self, work: Work) -> None:
        """See `client.LinkWorker`."""
        key = work.session, work.run
        held = self._held.get(key)
        is_here = key in self._claims or (held is not None and held.run.open_here)
        if self._draining or is_here or self.running >= self._settings.slots:
            return  # Not claimed, it is offered to another worker.
        task = asyncio.create_task(self._claim(work), name=f"claim {work.run}")
        self._claims[key] = task
        task.add_done_callback(lambda _: self._unclaim(key))
        self._client.keep(task)

    def _serve(self) -> Serve:
        slots = 0 if self._draining else self._settings.slots
        per_session = 1 if self._settings.busy == "queue" else self._settings.slots
        return Serve(self._client.life, slots, per_session)

    @property
    def running(self) -> int:
        """How many runs are worked on or claimed now, those that wait for somebody aside."""
        return len(self._claims) + sum(not held.run.is_suspended for held in self._held.values())

    # Life

    def drain(self, within_s: float) -> None:
        """Take no more work; `run` returns when nothing is being worked on, or after so long. Again: at once."""
        self._drained_at = time.monotonic() + (0.0 if self._draining else within_s)
        self._draining = True
        self._client.send(self._serve())
        for key, task in self._claims.items():
            # What the server was asked for it may have granted: that is worked on. The rest it offers to others.
            if key not in self._asked:
                task.cancel()

    async def run(self) -> None:
        """Take work until cancelled, or drained.

        Raises:
            LocalProtocolError: the server refuses this worker for good, and nothing is being worked on any more.
        """
        await self._sessions.open_unsynced()
        while True:
            await asyncio.sleep(_TICK_S)
            status = self._client.status
            refused = self._refused or (status.reason if status.link is Link.REFUSED else "")
            if refused and not self._held:
                raise LocalProtocolError(f"{self._settings.agent} cannot be served: {refused}")
            if self._drained_at is not None and (not self.running or time.monotonic() >= self._drained_at):
                return
            await self._sessions.close_idle()

    async def stop(self) -> None:
        """Have all handlers stop, end what they leave open, and bring it to the server if there is a link."""
        self._draining = self._stopping = True
        self._client.send(self._serve())
        tasks = [*self._claims.values()]
        told: list[asyncio.Task[None]] = []
        for held in list(self._held.values()):
            if held.run.is_suspended:
                held.run.leave()  # Invariant 2: whoever is there when it is decided goes on.
            if held.task is None:
                self._stop_unbegun(held.run)
            elif held.task.cancelling() and not held.run.cancelled:
                told.append(held.task)  # As all tasks of a program that ends; a second time would cut its last word.
            else:
                tasks.append(held.task)
        for task in tasks:
            task.cancel()
        if tasks := tasks + told:
            _, late = await asyncio.wait(tasks, timeout=STOP_GRACE_S)
            for held in list(self._held.values()):
                if held.task in late:
                    _log.error("handler_does_not_stop", run=held.run.id)
                    held.run.fail("abandoned", "the worker stopped before the run was over")
        sessions = self._sessions.opened()
        for session in sessions:
            await _logged(session.saved(), "not_saved", session=session.id)
        if self._client.connected:
            try:
                async with asyncio.timeout(SYNC_GRACE_S):
                    await self._client.relink()
                    for session in sessions:
                        await session.synced()
            except TimeoutError:
                _log.warning("stopped_unsynced", sessions=[s.id for s in sessions if s.unsynced])

    def _stop_unbegun(self, run: Run) -> None:
        """End a run whose handler never began, if no other worker may have it for that: else let go of it."""
        if self._settings.policy == "retry" and run.attempt < self._settings.attempts_max:
            run.leave()  # Nobody says that it is over: behind the grace it is offered again.
        else:
            run.fail("abandoned", "the worker stopped before it began")

    # One run

    async def _claim(self, work: Work) -> None:
        session: Session | None = None
        try:
            session = await self._sessions.open(work.session)
            if session is None:
                return
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                await session.watchers.until(lambda: self._claimable(session, work.run), roots=(Root.RECEIPTS,))
                self._asked.add((work.session, work.run))
                session.claim(work.run, self._settings.policy, self._settings.attempts_max)
                view = await session.watchers.until(lambda: _decided(session, work.run), roots=(Root.RECEIPTS,))
        except TimeoutError:
            if session is not None:
                self._begin_late(session, work.run)
            return
        except SyncdError as error:
            _log.warning("work_not_taken", run=work.run, session=work.session, reason=str(error))
            return
        if view.lease == "live" and view.worker == self._client.life and not self._stopping:
            self._begin(session, view)  # Invariant 1.

    def _unclaim(self, key: tuple[str, str]) -> None:
        self._claims.pop(key, None)
        self._asked.discard(key)

    def _begin_late(self, session: Session, run: str) -> None:
        """Begin a run whose claim is answered after all: the server counts it as held while its session is open."""
        key = session.id, run

        def look(_: object) -> None:
            view = _decided(session, run)
            if view is None:
                return
            remove()
            is_ours = view.lease == "live" and view.worker == self._client.life
            if is_ours and not self._stopping and key not in self._claims and key not in self._held:
                self._begin(session, view)

        remove = session.watchers.add(look)

    def _claimable(self, session: Session, run: str) -> bool | None:
        view = session.run(run)
        is_open = session.machine.state is LinkState.OPEN
        return True if is_open and view is not None and view.lease == "queued" else None

    def _begin(self, session: Session, view: RunView) -> None:
        new = NewAttempt(
            view.id, view.attempt, self._settings.agent, now_ms(), view.message, view.parent_run, view.task
        )
        settings = self._settings
        hold = Hold(self._client.life, settings.policy, settings.attempts_max, settings.cancel_stops)
        run = Run(session, new, since=view.since, hold=hold, moved=lambda: self._moved(session.id, view.id))
        held = self._held[session.id, view.id] = Held(run)
        try:
            run.open(None)
        except SyncdError as error:
            del self._held[session.id, view.id]
            _log.error("run_not_begun", run=view.id, session=session.id, reason=str(error))
            return
        busy = self._working_in(session.id, but=run)
        if self._settings.busy == "steer" and busy is not None and run.message is not None:
            self._steer_with(busy.run, held)
        else:
            self._start(held)

    def _start(self, held: Held) -> None:
        held.task = asyncio.create_task(self._work(held), name=f"run {held.run.id}")
        held.run.attach(held.task)
        self._client.keep(held.task)

    async def _work(self, held: Held) -> None:
        run = held.run
        error: BaseException | None = None
        try:
            if run.cancelled:
                raise asyncio.CancelledError
            run.check()
            await self._handler(run)
        except LeaseLost:
            pass
        except BaseException as failure:  # noqa: BLE001 - it is the run's to say
            error = failure
            if not isinstance(failure, asyncio.CancelledError):
                _log.warning("run_failed", run=run.id, session=run.session.id, error=" ".join(failure_of(failure)))
        try:
            if run.open_here:
                run.end_with(error)
        except Exception as unsaid:  # noqa: BLE001 - the worker goes on
            _log.error("run_end_not_written", run=run.id, session=run.session.id, reason=failure_of(unsaid)[1])
        finally:
            if self._held.get((run.session.id, run.id)) is held:  # Lost, it may have come back as another attempt.
                del self._held[run.session.id, run.id]
            self._sessions.used(run.session.id, is_given_up=run.is_detached)
            self._start_left(run)
        await _logged(run.session.saved(), "not_saved", session=run.session.id)
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error  # The program ends, as its code asked for; its other runs end as those of a worker that stops.

    # Messages that steer

    def _working_in(self, session: str, *, but: Run) -> Held | None:
        """Return another run that is at work in a session, which one that waits for a decision is not."""
        for (id, _), held in self._held.items():
            if id == session and held.run is not but and held.task is not None and not held.run.is_suspended:
                return held
        return None

    def _steer_with(self, run: Run, held: Held) -> None:
        """Give a run's message to another run that is at work, in place of a handler of its own."""
        message = held.run.message
        assert message is not None
        run.take_in(Steer.of(message, lambda: self._steered(held)))

    def _steered(self, held: Held) -> None:
        if self._held.pop((held.run.session.id, held.run.id), None) is not None and held.run.open_here:
            held.run.finish_reason("steered")
            held.run.complete()

    def _moved(self, session: str, run: str) -> None:
        """A run was suspended, goes on, was cancelled, lost or ended."""
        held = self._held.get((session, run))
        if held is None:
            return
        if held.task is not None:
            if held.run.is_suspended:
                self._start_left(held.run)
            return
        if held.run.open_here and not held.run.cancelled:
            return
        # It waited to be taken as a steer.
        del self._held[session, run]
        self._withdraw(held)
        held.run.complete()

    def _withdraw(self, steering: Held) -> None:
        """Have nobody take a run's message as a steer any more."""
        message = steering.run.message
        for held in self._held.values():
            if message is not None:
                held.run.withdraw(message.id)

    def _start_left(self, left: Run) -> None:
        """A run is over, or waits for a decision: messages that it did not take as steers get handlers of their own,
        one after the other."""
        if self._stopping:
            return
        waiting = [h for (id, _), h in self._held.items() if id == left.session.id and h.task is None]
        if not waiting or self._working_in(left.session.id, but=left) is not None:
            return
        for held in waiting:
            self._withdraw(held)
        first, *others = waiting
        self._start(first)
        for held in others:
            self._steer_with(first.run, held)


def _decided(session: Session, run: str) -> RunView | None:
    view = session.run(run)
    return view if view is not None and view.lease != "queued" else None


async def _logged(waiting: Awaitable[None], event: str, **values: str) -> None:
    try:
        await waiting
    except SyncdError as error:
        _log.error(event, reason=str(error), **values)
