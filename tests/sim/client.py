"""ClientNode: one device: a client machine on the product's own `LocalCopy`, driven as the client's shell drives it.

The store's awaits are where a turn stands still until the world lets it go on, or crashes it. Knows nothing of other
nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast

from syncd_client.copy import LocalCopy
from syncd_client.stream import ClientIds

from syncd.core.client import ClientMachine, LinkState
from syncd.core.client_turn import Event, Refused, Reload, Saved, Shut, Synced
from syncd.core.codec import decode_server, encode
from syncd.core.errors import CloseCode, LocalProtocolError, Rejected, StorageFull, StoreError
from syncd.core.limits import Limits
from syncd.core.messages import Bye, Layer, Leave, Refreshed, Storage
from syncd.store.local import LocalStore
from tests.sim.disk import StoreDisk, ends_of
from tests.sim.ledger import Broken, Ledger
from tests.sim.link import Link
from tests.sim.writer import Writer

_T = TypeVar("_T")
#: No honest client is sent away with these.
_UNANSWERED = frozenset({CloseCode.BAD_MESSAGE, CloseCode.BAD_UPDATE, CloseCode.REPLACED, CloseCode.DAMAGED})


class ClientNode:
    """A device. What it is told is saved must be on its disk, what is synced on the server's."""

    def __init__(
        self,
        name: str,
        subject: str,
        session: str,
        limits: Limits,
        ledger: Ledger,
        rng: Random,
        clock: Callable[[], float],
        fresh: Callable[[], int],
    ) -> None:
        self.name = name
        self.subject = subject
        self.session = session
        self.limits = limits
        self.ledger = ledger
        self.rng = rng
        self.disk = StoreDisk(session)
        self.link: Link | None = None
        self.token = ""
        #: The server said not to come back before something changed.
        self.refused = False
        self.machine: ClientMachine
        self._clock = clock
        self._fresh = fresh
        self._turn: Coroutine[Any, Any, None] | None = None
        self._loose: list[bytes] = []
        self._reload_wanted = False
        self._reopen_due = False
        self._store_failed = False
        self._lives = 0
        self._tickets: dict[int, bytes] = {}
        self._start()

    # Life

    def _start(self) -> None:
        self._lives += 1
        self._tickets.clear()
        self._turn = None
        self._reload_wanted = self._reopen_due = self._store_failed = self.refused = False
        self.life = f"{self.name}-{self._lives}"
        self.copy = LocalCopy(cast(LocalStore, self.disk), self.session, self.limits, life=self.life)
        self.machine = run(self.copy.load(self.subject))
        self.stream_ids = ClientIds(self._fresh)
        self.writer = Writer(self)

    def crash(self, roll: int) -> None:
        """Lose the memory and what was not flushed."""
        self.close()
        self.disk.crash(roll)
        self.link = None
        self._loose.clear()
        self._start()

    def close(self) -> None:
        """Let go of a turn that never ends."""
        if self._turn is not None:
            self._turn.close()

    # Edits

    def edit(self, change: Callable[[ClientMachine], int | None]) -> bool:
        """Let `change` write; return whether anything was."""
        if self._store_failed:
            return False
        machine = self.machine
        try:
            ticket = change(machine)
        except Rejected:
            self.ledger.count("misfits")
            self._reload_wanted = True
            return False
        except LocalProtocolError:
            self.ledger.count("not allowed")
            return False
        if ticket is not None:
            self._tickets[ticket] = machine._unsaved[ticket].update
            self.ledger.count("edits")
        return ticket is not None

    # Turns

    @property
    def busy(self) -> bool:
        """Whether it has something to store or to load anew."""
        return self._turn is not None or self.machine.pending() or self._reload_wanted

    def step(self) -> None:
        """Go on with the turn up to where it waits for the disk, or begin one; send what is due when it is done."""
        if self._turn is None and self.busy:
            self._turn = self._take_turn()
        if self._turn is not None:
            try:
                self._turn.send(None)
                return
            except StopIteration:
                self._turn = None
        self.flush()

    async def _take_turn(self) -> None:
        try:
            for event in await self.copy.commit(self.machine, self.subject):
                self._happened(event)
            try:
                await self.copy.fold(self._roots())
            except StorageFull:
                self.ledger.count("client folds wait")
            if self._reload_wanted:
                await self._reload()
        except StoreError:
            await self._failed()

    def fold(self) -> None:
        """Begin a turn that folds the synced rows whatever their number."""
        if self._turn is None:
            self._turn = self._fold_now()

    async def _fold_now(self) -> None:
        try:
            await self.copy.fold(self._roots(), now=True)
            self.ledger.count("client folds")
        except StoreError:
            self.ledger.count("client folds wait")

    def _roots(self) -> Any:
        return self.machine.document(Layer.STATE).index.roots

    async def _reload(self) -> None:
        old = self.machine
        old.disconnect()
        while True:
            while old.pending():
                for event in await self.copy.commit(old, self.subject):
                    self._happened(event)
            await self.copy.fold(self._roots(), now=True)
            machine = await self.copy.load(self.subject, old)
            if not old.pending():
                break
        self._adopt(old, machine)
        self.ledger.count("reloads")
        if self.link is not None and not self._reopen_due:
            self._loose.append(encode(Leave(self.session)))
            self.link_up()

    async def _failed(self) -> None:
        """This disk did not take it: go back to what is on it. What was not saved is gone."""
        self.ledger.count("client disk full")
        old = self.machine
        old.disconnect()
        machine = await self.copy.load(self.subject, old)
        self._adopt(old, machine)
        self._reopen_due = True

    def _adopt(self, old: ClientMachine, machine: ClientMachine) -> None:
        machine.rights, machine.storage_full = old.rights, old.storage_full
        self.machine = machine
        self._reload_wanted = False
        self.stream_ids = ClientIds(self._fresh)  # Streams that are being written go on under the ids they have.

    def _happened(self, event: Event) -> None:
        match event:
            case Saved(tickets):
                for ticket in tickets:
                    if self._tickets[ticket] not in self.disk.saved:
                        raise Broken(f"{self.name} is told that an edit is saved that is not on its disk")
            case Synced(tickets):
                for ticket in tickets:
                    self._synced(ticket)
            case Refused():
                self.ledger.count(f"refused {event.code}")
            case Reload():
                self._reload_wanted = True
            case Shut(code, reason):
                self._shut(CloseCode(code), reason)
            case _:
                pass

    def _synced(self, ticket: int) -> None:
        self.ledger.count("synced")
        update = self._tickets.get(ticket)
        if update is not None:
            self.ledger.promise(self.disk.saved[update], ends_of(update), f"{self.name} is acked")

    def _shut(self, code: CloseCode, reason: str) -> None:
        self.ledger.count(f"shut {code.name.lower()}")
        if not code.retryable:
            self._unwelcome(code, reason)
            return
        if code == CloseCode.RESYNC:
            self._reload_wanted = True
        self._reopen_due = True

    def _unwelcome(self, code: CloseCode, reason: str) -> None:
        if code in _UNANSWERED and not (self.link and self.link.duplicated):
            raise Broken(f"{self.name}, who is honest, is sent away with {code.name}: {reason}")
        self.refused = True

    # The link

    def connect(self, link: Link) -> None:
        """A link is there."""
        self.link = link
        self._reopen_due = False
        self.link_up()

    def link_up(self) -> None:
        """Open the session on the link."""
        if not self.refused and self.machine.state is LinkState.CLOSED and not self._reload_wanted:
            self.machine.connect()
            self.flush()

    def reopen(self) -> bool:
        """Open the session again after it was shut; return whether it did."""
        if self.link is None or self.machine.state is not LinkState.CLOSED or self.refused or self.busy:
            return False
        self._reopen_due = False
        self._loose.append(encode(Leave(self.session)))
        self.link_up()
        return True

    def disconnect(self) -> None:
        """The link is gone."""
        if self.link is not None:
            self.link.client_left = True
            self.link = None
        self._loose.clear()
        if self.machine.state is not LinkState.CLOSED:
            self.machine.disconnect()

    def flush(self) -> None:
        """Send what is due."""
        if self.link is None:
            return
        loose, self._loose = self._loose, []
        self.link.up.extend(loose)
        self.link.up.extend(encode(message) for message in self.machine.outgoing())

    def send(self, frame: bytes) -> None:
        """Send one frame of the link itself."""
        if self.link is not None:
            self.link.up.append(frame)

    def receive(self) -> None:
        """Take the next frame of the link."""
        assert self.link is not None
        message = decode_server(self.link.take_down())
        if isinstance(message, Bye):
            code = CloseCode(message.code)
            self.ledger.count(f"bye {code.name.lower()}")
            if not code.retryable:
                self._unwelcome(code, message.reason)
            self.disconnect()
        elif isinstance(message, Storage) or hasattr(message, "session"):
            self.machine.receive(cast(Any, message))
            self._check_queues()
        else:
            assert isinstance(message, Refreshed), message

    def tick(self) -> None:
        """Time passed."""
        self.machine.tick(self._clock())

    def _check_queues(self) -> None:
        machine = self.machine
        assert len(machine._pushes.flights) <= 16, "more pushes under way than allowed"
        assert sum(flight.size for flight in machine._pushes.flights) <= (1 << 20) + (256 << 10), "too much under way"


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast(_T, done.value)
    raise AssertionError("it waits for something")
