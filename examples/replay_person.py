"""Person: one of the two who type, with a client and a store, and a gate in the network between them and the server.

Knows what this person typed and how much of it the other may have; knows nothing of faults or of a trace's file.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Self

from syncd_client import Client, Session

from examples.fault_proxy import FaultProxy
from examples.trace import Txn
from syncd.core.codec import decode_client
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Layer, Push
from syncd.core.update import decode_update

_PATIENCE_S = 30.0
#: An ack is no change that a session tells of, so what waits looks again by itself.
_POLL_S = 0.02
_ALL = 1 << 60


class ReplayFailed(Exception):
    """The replay did not come out as recorded, or came to a halt."""


class Person:
    """One person.

    1. The gate lets nothing through that the other did not have at their next transaction.
    2. Edits before and after a point where the gate may have to stop are never in one frame.
    3. `progress` in the shared state says how much of a person's typing a copy has; it is written behind the edits.
    """

    session: Session
    client: Client

    def __init__(self, name: str, server_port: int, folder: Path) -> None:
        self.name = name
        self.store = folder / f"{name}.db"
        self.proxy = FaultProxy(server_port, gate=self)
        self.client_id = 0
        self.typed = 0
        #: How often the session went live.
        self.links = 0
        self._number = 0
        self._sees: Sequence[int] = ()
        self._parting: frozenset[int] = frozenset()
        # How much of this person's typing is marked, and where the clock was at each mark.
        self._marked = 0
        self._clocks = {0: 0}
        # How much of the other's typing this copy is known to have; how much of this one's the other needs next.
        self._has = 0
        self._needed = _ALL
        # Clocks: up to where edits came to the gate on this link, and up to where they may pass.
        self._arrived = 0
        self._limit = _ALL
        self._moved = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def joining(cls, name: str, session: str, server_port: int, folder: Path) -> AsyncIterator[Self]:
        """A person with the session open and live, as an async context."""
        person = cls(name, server_port, folder)
        await person.proxy.start()
        try:
            async with Client(person.proxy.url, token=f"dev:{name}", store=person.store) as person.client:
                person.session = await person.client.open(session)
                person.client_id = person.session.state_replica().client_id or 0
                watch = asyncio.create_task(person._watch())
                try:
                    await person.until_live()
                    yield person
                finally:
                    watch.cancel()
        finally:
            await person.proxy.stop()

    def plan(self, number: int, txns: Sequence[Txn]) -> None:
        """Be person `number` of a trace, before anything is typed."""
        self._number = number
        self._sees = [txn.sees for txn in txns if txn.person == number]
        others = [txn.sees for txn in txns if txn.person != number]
        self._parting = frozenset(others)
        self.other_needs(others[0] if others else _ALL)

    # Typing

    def type(self, txn: Txn) -> None:
        """Type a transaction, its positions as they are."""
        text = self.session.state.text("document")
        for position, deleted, inserted in txn.patches:
            text.replace(position, position + deleted, inserted)
        self.typed += 1
        self._set_gate()

    def mark(self, *, again: bool = False) -> None:
        """Say in the shared state how much was typed: before every turn of the loop, so that frames end with it."""
        if again or self.typed != self._marked:
            self.session.state.map("progress")[str(self._number)] = self.typed  # Invariant 3.
            self._marked = self.typed
            self._clocks[self.typed] = self.session.machine.document(Layer.STATE).applied[self.client_id]

    @property
    def next_sees(self) -> int:
        """How many of the other's transactions this person has at their next one."""
        return self._sees[self.typed] if self.typed < len(self._sees) else _ALL

    def has(self, count: int) -> bool:
        """Whether this copy has `count` of the other's transactions."""
        if self._has < count:
            self._has = int(self.session.state.map("progress").get(str(1 - self._number), 0))
        return self._has >= count

    def must_part(self) -> bool:
        """Whether the gate may have to stop exactly here, so that nothing may be typed before `parted` returned."""
        return self.typed in self._parting and self.typed >= self._needed

    async def parted(self) -> None:
        """Return when what was typed (and marked) so far is in frames of its own, if it must be."""
        if self.must_part():
            clock = self._clocks[self.typed]
            # Invariant 2. What the server has needs no frame any more.
            await self._until(
                lambda: self._arrived >= clock or not self.session.unsynced, "a frame to come to the gate"
            )

    # The gate

    def other_needs(self, count: int) -> None:
        """Note how much of this person's typing the other has at their next transaction."""
        self._needed = count
        self._set_gate()

    def is_free(self) -> bool:
        """Whether all that was typed may pass."""
        return self.typed <= self._needed

    def _set_gate(self) -> None:
        limit = _ALL if self.typed <= self._needed else self._clocks[self._needed]
        if limit != self._limit:
            self._limit = limit
            self._moved.set()

    def arrived(self, message: bytes) -> int:
        """See `fault_proxy.Gate`. The ticket is the clock that a frame of edits reaches."""
        frame = decode_client(message, DEFAULT_LIMITS)
        if not isinstance(frame, Push) or frame.layer is not Layer.STATE:
            return 0
        structs = decode_update(frame.update, DEFAULT_LIMITS).sections.get(self.client_id)
        if not structs:
            return _ALL  # Deletions alone move no clock: they wait until everything may pass.
        self._arrived = max(self._arrived, structs[-1][0] + structs[-1][1])
        self._moved.set()
        return self._arrived

    async def admit(self, ticket: int) -> None:
        """See `fault_proxy.Gate`."""
        while ticket > self._limit:  # Invariant 1. However long that takes.
            await self._stirred()

    def lost(self) -> None:
        """See `fault_proxy.Gate`."""
        self._arrived = 0
        self._moved.set()

    # Waiting

    async def until_has(self, count: int) -> None:
        """Return when this copy has `count` of the other's transactions."""
        await self._until(lambda: self.has(count), f"transaction {count} of the other")

    async def until_live(self) -> None:
        """Return when the session is live."""
        await self._until(lambda: self.session.status.live, "the link to be live")

    async def until_lost(self) -> None:
        """Return when the client noticed that its link is gone."""
        await self._until(lambda: not self.client.connected, "the link's end")
        self.lost()

    async def until_synced(self) -> None:
        """Return when everything is on the server's disk."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self.session.synced()
        except TimeoutError:
            raise self._halted("the last acks") from None

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not holds():
                    await self._stirred()
        except TimeoutError:
            raise self._halted(what) from None

    async def _stirred(self) -> None:
        self._moved.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._moved.wait(), _POLL_S)

    def _halted(self, what: str) -> ReplayFailed:
        return ReplayFailed(
            f"{self.name} waited {_PATIENCE_S:g} s for {what}: link {self.session.status}, "
            f"{self.session.unsynced} edits unsynced"
        )

    async def _watch(self) -> None:
        live = False
        async for _ in self.session.changes():
            self.links += self.session.status.live and not live
            live = self.session.status.live
            self._moved.set()

    # The outcome

    def text(self) -> str:
        """The text as this copy has it."""
        return str(self.session.state.text("document"))

    async def check(self) -> None:
        """Check that nothing is left over.

        Raises:
            ReplayFailed: something is.
        """
        if self.session.unsynced or await self.session.refused():
            raise ReplayFailed(f"{self.name} has unsynced or refused edits")
        if self.session.state_replica().client_id != self.client_id:
            raise ReplayFailed(f"{self.name}'s copy was loaded anew on the way")
