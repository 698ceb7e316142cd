"""Command: a request that was written into a session, and what became of it.

Knows nothing of how commands are decided: the server's receipt says it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from syncd.core.messages import Json
from syncd.core.schema import Root

if TYPE_CHECKING:
    from syncd_client.session import Session


@dataclass(frozen=True, slots=True)
class Command:
    """An own command: on this disk already, on its way when there is a link."""

    session: Session = field(repr=False)
    id: str
    kind: str
    target: dict[str, str]
    _ticket: int = field(repr=False)

    @property
    def receipt(self) -> dict[str, Json] | None:
        """The server's receipt `{seq, by, at, outcome}`; None before there is one."""
        command = self.session.command_json(self.id)
        return command["receipt"] if command is not None else None

    async def outcome(self, *, timeout: float | None = None) -> str:  # noqa: ASYNC109 - the API says so
        """Return `accepted`, `duplicate`, `late`, `denied` or `expired`. Without a link that takes until there is one.

        Raises:
            TimeoutError: not within `timeout` seconds. The command stands: ask again.
            NotSynced: the server refused it for good, such as for a right that the token lacks.
        """
        async with asyncio.timeout(timeout):
            await self.session.wait_synced(self._ticket)
            receipt = await self.session.watchers.until(lambda: self.receipt, roots=(Root.RECEIPTS, Root.COMMANDS))
        return str(receipt.get("outcome") or "accepted")

    async def consumed(self, *, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the API says so
        """For a steer: whether the run took it. False once that is certain: it was not accepted, or the run is over.

        Raises:
            TimeoutError: not known within `timeout` seconds.
            NotSynced: the server refused it for good.
        """
        async with asyncio.timeout(timeout):
            if await self.outcome() != "accepted":
                return False
            return await self.session.watchers.until(self._consumed, roots=(Root.RECEIPTS, Root.RUNS))

    def _consumed(self) -> bool | None:
        run, message = self.target.get("run"), self.target.get("message")
        views = [v for v in self.session.runs() if v.id == run or (message is not None and v.message == message)]
        if any(self.id in view.consumed for view in views):
            return True
        return False if views and all(view.ended for view in views) else None


class Commanding:
    """The verbs of a `Session`: requests to whoever runs something.

    Each returns when its command is on this disk; see `Command.outcome` for what became of it. `expires_in_s`: the
    server takes it no more after that.
    """

    id: str

    async def _write_command(
        self, kind: str, *, target: Mapping[str, str], payload: Json, expires_in_s: float | None
    ) -> tuple[str, int]:
        """Write a command; return its id and its ticket when it is on this disk."""
        raise NotImplementedError

    async def _request(self, kind: str, target: dict[str, str], payload: Json, expires_in_s: float | None) -> Command:
        id, ticket = await self._write_command(kind, target=target, payload=payload, expires_in_s=expires_in_s)
        return Command(cast("Session", self), id, kind, target, ticket)

    async def cancel(
        self, *, run: str | None = None, message: str | None = None, expires_in_s: float | None = None
    ) -> Command:
        """Have a run end, or all runs of a message, also before it has any.

        Raises:
            LocalProtocolError: not exactly one target, or the token does not allow it.
        """
        return await self._request("cancel", _target(run=run, message=message), None, expires_in_s)

    async def steer(
        self,
        text: str,
        *,
        run: str | None = None,
        message: str | None = None,
        interrupt: bool = False,
        expires_in_s: float | None = None,
    ) -> Command:
        """Say something to a run while it runs; `interrupt` has it leave its present model call for it."""
        payload: dict[str, Json] = {"text": text}
        if interrupt:
            payload["interrupt"] = True
        return await self._request("steer", _target(run=run, message=message), payload, expires_in_s)

    async def approve(self, tool_call: str, payload: Json = None, *, expires_in_s: float | None = None) -> Command:
        """Allow a tool call. The first decision counts."""
        return await self._request("approve", {"tool_call": tool_call}, payload, expires_in_s)

    async def deny(self, tool_call: str, reason: str = "", *, expires_in_s: float | None = None) -> Command:
        """Refuse a tool call. The first decision counts."""
        payload: Json = {"reason": reason} if reason else None
        return await self._request("deny", {"tool_call": tool_call}, payload, expires_in_s)

    async def tool_result(self, tool_call: str, output: Json, *, expires_in_s: float | None = None) -> Command:
        """Give the result of a tool call that runs on this side. The first one counts."""
        return await self._request("tool_result", {"tool_call": tool_call}, output, expires_in_s)

    async def handoff(self, to: str, *, note: str = "", run: str | None = None, message: str | None = None) -> Command:
        """Hand over to `to`, a subject: a run, or what runs for a message, to another agent; else the session."""
        if run is None and message is None:
            return await self.assign(to, note=note)
        return await self._request("handoff", _target(run=run, message=message), _handoff(to, note), None)

    async def assign(self, to: str, *, note: str = "") -> Command:
        """Say who is responsible for the session from now on: a person or an agent."""
        return await self._request("handoff", {"session": self.id}, _handoff(to, note), None)


def _target(*, run: str | None, message: str | None) -> dict[str, str]:
    found = {"run": run, "message": message}
    # `NewCommand.check` says what is wrong with none or two.
    return {name: id for name, id in found.items() if id is not None}


def _handoff(to: str, note: str) -> dict[str, Json]:
    return {"to": to, "note": note} if note else {"to": to}
