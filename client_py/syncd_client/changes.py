"""Changes: what is new in a session, as a stream that a slow reader cannot make grow.

Knows nothing of documents or of the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import dataclass
from typing import Self

from syncd.core.messages import Json, PresenceEntry
from syncd.core.run_view import RunView
from syncd.core.transcript import MessageView
from syncd_client.status import Status


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """First of all changes, and again after every reconnect.

    `count`: messages and commands that came while this copy was away. `live` is False if that is not known yet: the
    copy is shown as it is on this disk.
    """

    count: int
    live: bool


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message is new, grew, or got its receipt. `own`: this process wrote what changed."""

    message: MessageView
    own: bool


@dataclass(frozen=True, slots=True)
class CommandChanged:
    """A command is new, or the server decided about it: see its `receipt`."""

    command: dict[str, Json]


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A run is new, moved or ended, took a steer, or got a decision. `own`: this process wrote what changed."""

    run: RunView
    own: bool


@dataclass(frozen=True, slots=True)
class Assigned:
    """Somebody else is responsible for the session now: `to`, a person or an agent, named by `by`."""

    to: str
    by: str
    note: str


@dataclass(frozen=True, slots=True)
class ReadMoved:
    """How far `subject` has read: up to `seq`."""

    subject: str
    seq: int


@dataclass(frozen=True, slots=True)
class StateChanged:
    """Something under the root `name` of the shared state changed; `key` where the root is a map."""

    name: str
    key: str
    own: bool


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Somebody came, changed or left (`entry.state` is None)."""

    entry: PresenceEntry


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The session went live, lost its link, or was refused."""

    status: Status


@dataclass(frozen=True, slots=True)
class EditRefused:
    """The server refused own edits for good. They are kept: see `Session.refused`."""

    code: str
    reason: str


Change = (
    CaughtUp
    | MessageChanged
    | CommandChanged
    | RunChanged
    | Assigned
    | ReadMoved
    | StateChanged
    | PresenceChanged
    | StatusChanged
    | EditRefused
)
#: Makes the change when it is read, so that a reader who comes late gets the thing as it is then.
Make = Callable[[], Change | None]


class Changes(AsyncIterator[Change]):
    """One reader's changes, in order.

    1. Changes of the same thing that were not read yet become one, in the place of the first: what waits is bounded
       by how many things there are, not by how often they change.
    """

    def __init__(self, close: Callable[[Changes], None]) -> None:
        self._waiting: dict[Hashable, Make] = {}
        self._wake = asyncio.Event()
        self._close = close
        self._closed = False

    def put(self, thing: Hashable, make: Make) -> None:
        """Note that `thing` changed."""
        self._waiting[thing] = make  # Invariant 1.
        self._wake.set()

    def close(self) -> None:
        """End the iteration. Idempotent."""
        if not self._closed:
            self._closed = True
            self._wake.set()
            self._close(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            while self._waiting:
                thing = next(iter(self._waiting))
                change = self._waiting.pop(thing)()
                if change is not None:
                    return change
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
