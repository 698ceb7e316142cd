"""ToolCall: one call of a tool within a run: its input, who allows it, what came of it.

Knows nothing of models or of what tools do; waiting and writing are the run's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncd.core.errors import LocalProtocolError, SyncdError
from syncd.core.messages import Json
from syncd_client.copy import now_ms
from syncd_client.duration import Duration, seconds
from syncd_client.waiting import NotSynced

if TYPE_CHECKING:
    from syncd.core.run_writer import PartPlace
    from syncd_client.run import Run

_NO_ANSWER = "no answer in time"
_CANCELLED = "the run was cancelled"
#: What a call keeps of its times when the run is taken up again.
_TIMES = ("deadline_at", "remind_at", "reminded_at")
_ANSWERED = ("output-available", "output-error")


@dataclass(frozen=True, slots=True)
class Decision:
    """The one decision on a tool call. `by` is who made it; `timed_out`: the agent did, behind the deadline."""

    approved: bool
    by: str
    payload: Json = None
    kind: str = "approve"
    timed_out: bool = False

    @property
    def reason(self) -> str:
        """Why it was denied, as far as that was said."""
        reason = self.payload.get("reason") if isinstance(self.payload, dict) else self.payload
        return reason if isinstance(reason, str) else ""


class ToolDenied(SyncdError):
    """Somebody, or the deadline, refused the tool call whose result was waited for."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"the tool call was denied by {decision.by}: {decision.reason or 'no reason given'}")
        self.decision = decision


class ToolCall:
    """One call of a tool. `Run.tool` makes it.

    1. It has at most one decision, the server's; whoever comes later is told `late`.
    2. A deadline is a denial by the agent itself, so that it too is first or late.
    """

    def __init__(
        self,
        run: Run,
        id: str,
        name: str,
        place: PartPlace,
        *,
        args: Json = None,
        call_id: str | None = None,
        before: Mapping[str, Json] | None = None,
    ) -> None:
        self.id = id
        self.name = name
        #: The complete arguments, None while there are none.
        self.args = args
        self.call_id = call_id
        #: The part that an earlier attempt of this run wrote for the same call, when the run was taken up again.
        self.before = before
        self._run = run
        #: Whether it has an output, or failed.
        self.answered = before is not None and before.get("state") in _ANSWERED
        self._place = place
        self._carried = {k: before[k] for k in _TIMES if k in before} if before else {}

    @property
    def decision(self) -> Decision | None:
        """The decision; None while there is none."""
        found = self._run.session.decision(self.id)
        if found is None:
            return None
        kind, by, payload = str(found.get("kind", "")), str(found.get("by", "")), found.get("payload")
        timed_out = by == self._run.agent and isinstance(payload, dict) and payload.get("reason") == _NO_ANSWER
        return Decision(kind != "deny", by, payload, kind, timed_out)

    @property
    def _settled(self) -> Decision | None:
        """The decision, or that there will be none: the run was cancelled, and its handler only told."""
        if (decision := self.decision) is None and self._run.cancelled:
            return Decision(False, self._run.cancelled_by or "", {"reason": _CANCELLED}, "cancel")
        return decision

    def input_delta(self, text: str) -> None:
        """Append to the input, while it comes as text. The call was made without arguments."""
        self._run.output.append_input(self._place, text)

    def input(self, args: Json) -> None:
        """Set the complete arguments."""
        self._set(state="input-available", input=args)
        self.args = args

    def ask(self, payload: Json) -> None:
        """Say what whoever decides should know beside the arguments: the part has it as `asked`."""
        if payload is not None:
            self._set(asked=payload)

    def provider(self, values: Mapping[str, Json]) -> None:
        """Keep with the call what only the model's side understands."""
        self._set(provider=dict(values))

    async def approval(self, *, timeout: Duration | None = None, reminder: Duration | None = None) -> Decision:  # noqa: ASYNC109
        """Suspend the run until somebody approves or denies the call; return the decision.

        It may take days, survives this process, and counts once, whichever device is first. After `timeout` the agent
        denies it itself; after `reminder` the part says `reminded_at`, for whoever reminds people. A cancel of a run
        that is only told of it is a denial of the `kind` `cancel`.

        Raises:
            LeaseLost: another worker has the run now, or it is over.
        """
        if (decision := self._settled) is None:
            decision = await self._decided("approval-requested", timeout, reminder)
        self._set(state="approval-responded" if decision.approved else "output-denied")
        if not decision.approved and decision.reason:
            self._set(error=decision.reason)
        return decision

    async def result(self, *, timeout: Duration | None = None, reminder: Duration | None = None) -> Json:  # noqa: ASYNC109
        """Suspend the run until a device ran the tool and gave its result; return that.

        Raises:
            ToolDenied: somebody refused, the deadline passed, or the run was cancelled and its handler only told.
            LeaseLost: another worker has the run now, or it is over.
        """
        if (decision := self._settled) is None:
            decision = await self._decided("input-available", timeout, reminder)
        if not decision.approved:
            self._set(state="output-denied", error=decision.reason or "denied")
            raise ToolDenied(decision)
        self._set(state="output-available", output=decision.payload)
        return decision.payload

    async def output(self, value: Json) -> None:
        """Say what the tool returned; return when that is on this disk.

        Raises:
            LocalProtocolError: it is not JSON, or too large for one edit.
        """
        self._set(state="output-available", output=value)
        await self._run.output.flush()

    async def error(self, text: str) -> None:
        """Say that the tool failed; return when that is on this disk."""
        self._set(state="output-error", error=text)
        await self._run.output.flush()

    def _set(self, **fields: Json) -> None:
        self._run.check()
        self._run.output.set_part(self._place, fields)
        self.answered = self.answered or fields.get("state") in _ANSWERED

    async def _decided(self, state: str, timeout: Duration | None, reminder: Duration | None) -> Decision:  # noqa: ASYNC109
        started_ms = now_ms()
        fields = dict(self._carried)
        if timeout is not None and "deadline_at" not in fields:
            fields["deadline_at"] = started_ms + int(seconds(timeout) * 1000)
        if reminder is not None and "remind_at" not in fields:
            fields["remind_at"] = started_ms + int(seconds(reminder) * 1000)
        self._set(state=state, **fields)
        deadline_ms = _ms(fields, "deadline_at")
        remind_ms = None if reminder is None or "reminded_at" in fields else _ms(fields, "remind_at")
        wake_at = min((at for at in (remind_ms, deadline_ms) if at is not None), default=None)
        async with self._run.suspended(self.id, wake_at):
            await self._run.output.flush()
            decision = await self._wait(deadline_ms, remind_ms)
        return decision

    async def _wait(self, deadline_ms: int | None, remind_ms: int | None) -> Decision:
        if remind_ms is not None and (deadline_ms is None or remind_ms < deadline_ms):
            if (decision := await self._until(remind_ms)) is not None:
                return decision
            self._set(reminded_at=now_ms())
            self._run.wake(self.id, deadline_ms)
            await self._run.output.flush()
        if (decision := await self._until(deadline_ms)) is not None:
            return decision
        command = await self._run.session.deny(self.id, _NO_ANSWER)  # Invariant 2.
        try:
            await command.outcome()
        except NotSynced as error:
            raise LocalProtocolError(f"{self._run.agent} may not deny its own tool calls: {error}") from error
        decision = await self._until(None)
        assert decision is not None
        return decision

    async def _until(self, deadline_ms: int | None) -> Decision | None:
        """Return the decision, None if the deadline (Unix ms) passes before there is one."""
        delay_s = None if deadline_ms is None else max(0.0, (deadline_ms - now_ms()) / 1000)
        try:
            async with asyncio.timeout(delay_s):
                return await self._run.until(lambda: self._settled)
        except TimeoutError:
            return None


def _ms(fields: Mapping[str, Json], name: str) -> int | None:
    return int(value) if isinstance(value := fields.get(name), int | float) else None
