"""Run: one agent working on one thing, as the agent's code sees it.

Follows what the server says of the run; what is written into it is in `run_writing`. Knows nothing of links or of how
work is offered; see `worker`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, overload

import structlog

from syncd.core.errors import LocalProtocolError
from syncd.core.ids import run_id, uuid7
from syncd.core.messages import Json
from syncd.core.run_view import RunView, run_of_fact
from syncd.core.run_writer import NewAttempt, PartPlace
from syncd.core.schema import NewMessage, Root, text_part
from syncd.core.transcript import MessageView
from syncd_client.audience import Audience
from syncd_client.calls import RunCalls
from syncd_client.copy import now_ms
from syncd_client.history import Format, Turn, render, turns
from syncd_client.run_failures import LeaseLost, failure_of, said
from syncd_client.run_output import RunOutput
from syncd_client.run_writing import RunWriting
from syncd_client.steering import Steer, Steering
from syncd_client.sub_run import OwnSubRun, SubRun

if TYPE_CHECKING:
    from syncd_client.session import Session

_log = structlog.get_logger("syncd.agent")

T = TypeVar("T")


class _State(Enum):
    OPEN = "open"
    ENDED = "ended"
    DETACHED = "detached"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Hold:
    """How a run is held: by which worker (empty if nobody says), and what becomes of it if that is lost."""

    worker: str = ""
    policy: str = "retry"
    attempts_max: int = 3
    #: Whether an accepted cancel cancels the task that works on the run.
    cancel_stops: bool = True


class Run(RunWriting):
    """One attempt of a run, for its handler to write.

    1. Nothing is written after its end, nor once another worker has it.
    2. Losing the network changes nothing: what is written is on this disk, and goes out when there is a link.
    3. A cancel is the server's word that somebody with the right to it asked for it; nothing else cancels.
    """

    def __init__(
        self,
        session: Session,
        new: NewAttempt,
        *,
        since: int,
        hold: Hold,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(RunCalls(session, new.run, agent=new.agent, since=since, attempt=new.attempt))
        self.session = session
        self.id = new.run
        self.agent = new.agent
        self.attempt = new.attempt
        #: Whether output of earlier attempts counts: this one goes on where they left off.
        self.resumed = since < new.attempt
        self.parent = new.parent_run
        self.task = new.task
        self._new = new
        self._since = since
        self._hold = hold
        self._moved = moved
        self._state = _State.OPEN
        self._lost_because = ""
        self._suspensions = 0
        # The calls that wait, and when something is to be done about each, Unix ms.
        self._wakes: dict[str, int | None] = {}
        self._cancelled = asyncio.Event()
        self.cancelled_by: str | None = None
        self._worker_task: asyncio.Task[Any] | None = None
        self._steering = Steering(session, new.run, new.message, ())
        self._unwatch: Callable[[], None] = lambda: None

    # Life, as the worker leads it

    def open(self, task: asyncio.Task[Any] | None) -> None:
        """Begin the attempt. `task` is cancelled when somebody cancels the run, or when it is lost."""
        self._worker_task = task
        view = self.session.run(self.id)
        if view is not None:
            self._usage, self._provider = dict(self._earlier("usage")), dict(self._earlier("provider"))
            self._steering = Steering(self.session, self.id, self._new.message, view.consumed)
        self.output = RunOutput(self.session, self.id, self._draft)
        self.output.begin(self._new)
        self._carry()
        self._unwatch = self.session.watchers.add(self._note)
        if view is not None:
            self._hear_again(view)
        self._steering.load()
        self._look()

    def _hear_again(self, view: RunView) -> None:
        """Take in the messages that an attempt took as steers which was given up then: their own runs are over."""
        for attempt in range(1, self._since):
            taken = self.session.attempt_json(self.id, attempt).get("consumed")
            for id in taken if isinstance(taken, dict) else ():
                message, own = self.session.message(id), self.session.run(run_id(id, self.agent))
                steered = own is not None and own.finish_reason == "steered" and id not in view.consumed
                if message is not None and steered:
                    self.take_in(Steer.of(message))

    def attach(self, task: asyncio.Task[Any]) -> None:
        """Name the task that works on it from now on."""
        self._worker_task = task

    def complete(self) -> None:
        """End it as completed; as cancelled if it was."""
        if self._state is _State.OPEN:
            reason = self._finish_reason or "stop"
            self._end("cancelled" if self.cancelled else "completed", None if self.cancelled else reason)

    def fail(self, code: str, message: str) -> None:
        """End it as failed; as cancelled if it was."""
        if self._state is not _State.OPEN:
            return
        if self.cancelled:
            self._end("cancelled", None)
            return
        self._end("failed", "error", {"code": code, "message": said(message)})

    def end_with(self, error: BaseException | None) -> None:
        """End it as its handler ended: returned, raised, or was cancelled."""
        if error is None:
            self.complete()
        else:
            self.fail(*failure_of(error))

    def take_in(self, steer: Steer) -> None:
        """Take something said that is no command: a message, with `busy="steer"`."""
        self._steering.add(steer)

    def withdraw(self, steer: str) -> None:
        """Forget one of those again."""
        self._steering.withdraw(steer)

    @property
    def open_here(self) -> bool:
        """Whether it is this process' to write."""
        return self._state is _State.OPEN

    @property
    def is_detached(self) -> bool:
        """Whether it was left open for another process."""
        return self._state is _State.DETACHED

    @property
    def is_suspended(self) -> bool:
        """Whether it waits for a decision."""
        return self._suspensions > 0

    # What it works on

    @property
    def message(self) -> MessageView | None:
        """The message it answers; None for a run that an agent began by itself."""
        return self.session.message(self._new.message) if self._new.message is not None else None

    @property
    def view(self) -> RunView | None:
        """The run as everybody sees it."""
        return self.session.run(self.id)

    def turns(self) -> list[Turn]:
        """Return the conversation up to the message that it answers, and what it wrote itself; see `history`."""
        if self._state is _State.OPEN:
            self.output.store()
        return turns(self.session, self.id, self._new.message, agent=self.agent)

    def history(self, format: Format = "openai") -> list[dict[str, Any]]:
        """Return the conversation for a model: the branch that ends in the message, and what this run wrote so far.

        Superseded output and tool calls that nobody finished are left out. Where several people write, each message
        says whose it is; what other agents say comes as from users. `format`: `openai` (chat messages), `anthropic`,
        or `parts`: `{role, name, parts}` as they stand in the transcript.
        """
        return render(self.turns(), format, me=self.agent)

    @property
    def audience(self) -> Audience:
        """Who is here while it works: `who()`, `watched`, `await changed()`."""
        return self.session.audience

    # What people say meanwhile

    @property
    def steering(self) -> list[Steer]:
        """What people said to this run since it was last asked, oldest first. Reading it marks it as consumed."""
        self.check()
        if not self._steering.waiting:
            return []
        steers = self._steering.take()
        for steer in steers:
            part: dict[str, Json] = {"type": "steering-message", "by": steer.by, "text": steer.text}
            self.output.add_part(part | ({"message": steer.id} if steer.message else {"command": steer.id}))
        self.output.consume([steer.id for steer in steers], now_ms())
        for steer in steers:
            if steer.taken is not None:
                steer.taken()
        return steers

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked to leave the present model call, by a steer that was not read yet."""
        return self._steering.interrupted

    async def wait_steering(self) -> list[Steer]:
        """Return what people say to this run, as soon as they do. Marks it as consumed."""
        await self._steering.wait()
        return self.steering

    async def wait_interrupted(self) -> None:
        """Return when somebody asks to leave the present model call."""
        await self._steering.wait_interrupted()

    @property
    def cancelled(self) -> bool:
        """Whether somebody cancelled it."""
        return self._cancelled.is_set()

    async def wait_cancelled(self) -> str:
        """Return who cancelled it, when somebody does."""
        await self._cancelled.wait()
        return self.cancelled_by or ""

    # Others

    @overload
    async def sub(self, task: str) -> OwnSubRun: ...

    @overload
    async def sub(self, task: str, agent: str | None) -> SubRun: ...

    async def sub(self, task: str, agent: str | None = None) -> SubRun:
        """Begin a run below this one: of this agent, or with `agent` of another one, which is asked by a message.

        One of this agent is written by `async with await run.sub("look for hotels") as sub: await sub.text(...)`.
        """
        self.check()
        if agent is not None and agent != self.agent:
            self.output.store()
            asked = replace(
                self.session.draft(role="user", to=(agent,), parent=self._new.message),
                run=self.id, attempt=self.attempt, parts=(text_part(task),),
            )  # fmt: skip
            await self.session.write_message(asked)
            return SubRun(self.session, run_id(asked.id, agent))
        id = uuid7(now_ms(), secrets.token_bytes(10))
        new = NewAttempt(id, 1, self.agent, now_ms(), parent_run=self.id, task=task)
        return OwnSubRun(Run(self.session, new, since=1, hold=self._hold))

    def detach(self) -> None:
        """Leave the run open, held by nobody. A decision on it, or a steer, has any worker take it up again.

        Nothing more is written here.
        """
        self.check()
        self.output.finish()
        self.output.set({"status": "detached"})
        self._close(_State.DETACHED)

    def leave(self) -> None:
        """Let go without a word: a suspended run whose worker stops is taken up by another when it is decided."""
        if self._state is _State.OPEN:
            self.output.finish()
            self._close(_State.DETACHED)

    # What tool calls and streams need

    def check(self) -> None:
        """Refuse to write what is not this process' to write any more.

        Raises:
            LeaseLost: another worker has the run now, or it was ended.
            LocalProtocolError: its handler ended or detached it.
        """
        if self._state is _State.LOST:  # Invariant 1.
            raise LeaseLost(f"run {self.id}: {self._lost_because}")
        if self._state is not _State.OPEN:
            raise LocalProtocolError(f"run {self.id} was {self._state.value} here: nothing more can be written to it")

    @asynccontextmanager
    async def suspended(self, call: str = "", wake_at: int | None = None) -> AsyncIterator[None]:
        """Say that the run waits for somebody, with `call`, and afterwards that it goes on. `wake_at`: see `wake`."""
        self._suspensions += 1
        self._wakes[call] = wake_at
        if self._suspensions == 1:
            self._say_suspended()
        elif wake_at is not None:
            self.wake(call, wake_at)
        self._moved()
        try:
            yield
        finally:
            self._suspensions -= 1
            self._wakes.pop(call, None)
            self._moved()
        # While its worker was away the run may have been offered again: it is ours when the server says so.
        await self.until(self._held)
        if self._suspensions == 0 and not self.cancelled:
            self.output.set({"status": "running"})

    def wake(self, call: str, at: int | None) -> None:
        """Say when something is to be done about a call that waits (Unix ms): the server has some worker do it."""
        self._wakes[call] = at
        self.output.set({"wake_at": self._wake_at()})

    def _wake_at(self) -> int:
        return min((at for at in self._wakes.values() if at is not None), default=0)

    def _say_suspended(self) -> None:
        wake_at: dict[str, Json] = {"wake_at": at} if (at := self._wake_at()) else {}
        self.output.set(wake_at | {"status": "suspended"})

    async def until(self, look: Callable[[], T | None]) -> T:
        """Return the first that `look` finds among the server's receipts.

        Raises:
            LeaseLost: another worker has the run now, or it was ended.
        """

        def checked() -> T | None:
            self.check()
            return look()

        return await self.session.watchers.until(checked, roots=(Root.RECEIPTS,))

    def _held(self) -> bool | None:
        view = self.session.run(self.id)
        return True if view is None or view.lease != "queued" else None

    # Inside

    def _note(self, entries: Any) -> None:
        if not entries:
            self._steering.load()
            self._look()
        moved = False
        for root, key in entries:
            if root == Root.RECEIPTS and run_of_fact(key) == self.id:
                moved = True
            elif root == Root.RECEIPTS and key.startswith("c:"):
                self._steering.note(key[2:])
        if moved:
            self._look()

    def _look(self) -> None:
        """Follow what the server says of the run."""
        view = self.session.run(self.id)
        if view is None or self._state is not _State.OPEN:
            return
        worker = self._hold.worker
        if view.lease == "ended":
            self._lose(f"it was ended as {view.status}")
        elif view.lease == "live" and worker and view.worker not in (None, worker):
            self._lose("another worker has it")
        elif view.attempt > self.attempt:
            if view.since <= self.attempt and view.worker == worker:
                self._go_on_as(view)
            else:
                self._lose(f"attempt {view.attempt} took it over")
        elif view.lease == "queued" and view.resume:
            self.session.claim(self.id, self._hold.policy, self._hold.attempts_max)
        if view.cancelled_by is not None and self._state is _State.OPEN and not self.cancelled:
            self.cancelled_by = view.cancelled_by  # Invariant 3.
            self._cancelled.set()
            if self._hold.cancel_stops:
                self._stop_task()
            self._moved()

    def _go_on_as(self, view: RunView) -> None:
        """The run was suspended, offered again and came back here: the same handler goes on under the next attempt."""
        self.attempt, self._since = view.attempt, view.since
        self._new = replace(self._new, attempt=view.attempt, started_at=now_ms())
        self.output.begin(self._new)
        self._carry()
        if self.is_suspended:
            self._say_suspended()

    def _lose(self, why: str) -> None:
        _log.info("run_lost", run=self.id, session=self.session.id, reason=why)
        self._lost_because = why
        self._close(_State.LOST)
        self._stop_task()

    def _stop_task(self) -> None:
        if self._worker_task is not None and not self._worker_task.done():
            self._worker_task.cancel()

    def _end(self, status: str, reason: str | None, error: dict[str, Json] | None = None) -> None:
        fields: dict[str, Json] = {"status": status, "ended_at": now_ms()}
        if reason is not None:
            fields["finish_reason"] = reason
        if error is not None:
            fields["error"] = error
        try:
            self.output.finish()
            self.output.set(fields)
        except Exception as broken:  # noqa: BLE001 - a run that stays open blocks its session
            # What was written before may not be stored; that the run is over can still be said.
            _, reason = failure_of(broken)
            _log.warning("run_output_failed", run=self.id, session=self.session.id, reason=reason)
            fields |= {"status": "failed" if status == "completed" else status}
            fields.setdefault("error", {"code": "output_lost", "message": reason})
            self.session.set_attempt(self.id, self.attempt, fields)
        finally:
            self._close(_State.ENDED)

    def _close(self, state: _State) -> None:
        self._state = state
        self._unwatch()
        self.output.close()
        self._moved()

    def _draft(self) -> NewMessage:
        """Return the message that the next part begins. It follows what this run wrote before, else what it answers."""
        own = self.session.outputs(self.id)
        draft = self.session.draft(role="assistant", parent=own[-1].id if own else self._new.message)
        return replace(draft, run=self.id, attempt=self.attempt)

    def _earlier(self, name: str) -> Mapping[str, Json]:
        """Return what the last of the attempts that this one goes on from says under `name`."""
        for attempt in range(self.attempt - 1, self._since - 1, -1):
            found = self.session.attempt_json(self.id, attempt).get(name)
            if isinstance(found, dict):
                return found
        return {}

    def _carry(self) -> None:
        """Say in the attempt that begins what those that it goes on from add up to: readers look at the last one."""
        said = {"usage": self._usage, "provider": self._provider}
        if carried := {name: dict(values) for name, values in said.items() if values}:
            self.output.set(carried)

    def _earlier_data(self, type: str, id: str) -> PartPlace | None:
        """See `run_writing.RunWriting`."""
        found = None
        for view in self.session.outputs(self.id) if self.resumed else ():
            for index, part in enumerate(view.parts):
                if part.get("type") == type and part.get("id") == id:
                    found = PartPlace(view.id, index)
        return found

    def _set_earlier(self, place: PartPlace, fields: Mapping[str, Json]) -> None:
        """See `run_writing.RunWriting`."""
        self.output.check_value(fields)
        self.output.store()
        self.session.set_part(place, fields)
