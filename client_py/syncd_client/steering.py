"""Steering: what people said to a run while it runs, until it takes it.

Reads commands of a session. Knows nothing of how a run writes down that it took them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from syncd.core.messages import Json
from syncd.core.transcript import MessageView


@dataclass(frozen=True, slots=True)
class Steer:
    """Something said to a running agent: by a steer command or, with `busy="steer"`, by a message.

    `at` is when the server took it, Unix ms. `interrupt`: leave the present model call for it.
    """

    id: str
    text: str
    by: str
    at: int
    interrupt: bool = False
    message: str | None = None
    taken: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, message: MessageView, taken: Callable[[], None] | None = None) -> Steer:
        """Return a message as something said to a run. `taken` is called when the run takes it."""
        at = message.receipt.at if message.receipt else 0
        return cls(message.id, message.text, message.by or "", at, message=message.id, taken=taken)


class SteeringHost(Protocol):
    """What steering needs of a session."""

    def commands(self) -> list[dict[str, Json]]:
        """Return all commands with their receipts, in order."""
        ...

    def command_json(self, command: str) -> dict[str, Json] | None:
        """Return one command with its receipt."""
        ...


class Steering:
    """The steers that one run did not take yet.

    1. Each is given once, to one call of `take`, whoever else said it was consumed before.
    """

    def __init__(self, host: SteeringHost, run: str, message: str | None, consumed: Collection[str]) -> None:
        self._host = host
        self._run = run
        self._message = message
        self._known = set(consumed)
        self._waiting: list[Steer] = []
        self._some = asyncio.Event()
        self._interrupt = asyncio.Event()

    def load(self) -> None:
        """Look at all commands there are."""
        for command in self._host.commands():
            self._note(command)

    def note(self, command: str) -> None:
        """Look at a command that is new or got its receipt."""
        if command not in self._known and (found := self._host.command_json(command)) is not None:
            self._note(found)

    def add(self, steer: Steer) -> None:
        """Take in one that is no command."""
        if steer.id not in self._known:
            self._known.add(steer.id)  # Invariant 1.
            self._waiting.append(steer)
            self._some.set()
            if steer.interrupt:
                self._interrupt.set()

    def withdraw(self, steer: str) -> None:
        """Forget one that was not taken yet."""
        self._waiting = [one for one in self._waiting if one.id != steer]
        self._settle()

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._waiting)

    @property
    def interrupted(self) -> bool:
        """Whether one that waits asks to leave the present model call."""
        return self._interrupt.is_set()

    def take(self) -> list[Steer]:
        """Return what waits, oldest first, and forget it."""
        taken, self._waiting = self._waiting, []
        self._settle()
        return taken

    async def wait(self) -> None:
        """Return when there is something to take."""
        await self._some.wait()

    async def wait_interrupted(self) -> None:
        """Return when one asks to leave the present model call."""
        await self._interrupt.wait()

    def _settle(self) -> None:
        if not self._waiting:
            self._some.clear()
        if not any(steer.interrupt for steer in self._waiting):
            self._interrupt.clear()

    def _note(self, command: dict[str, Json]) -> None:
        receipt, payload = command.get("receipt"), command.get("payload")
        ours = command.get("run") == self._run or (
            self._message is not None and command.get("message") == self._message
        )
        if command.get("kind") != "steer" or not ours or not isinstance(receipt, dict):
            return
        if receipt.get("outcome") != "accepted":
            return
        text = payload.get("text") if isinstance(payload, dict) else payload
        self.add(
            Steer(
                id=str(command["id"]),
                text=text if isinstance(text, str) else "",
                by=str(receipt.get("by", "")),
                at=int(receipt.get("at") or 0),
                interrupt=isinstance(payload, dict) and payload.get("interrupt") is True,
            )
        )
