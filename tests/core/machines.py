"""Machines without I/O: a server's, its log a list; clients', their stores dicts; frames over the codec."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from syncd.core.client import ClientMachine
from syncd.core.client_turn import Event, LocalRow, StoreOwn, StoreProgress, StoreRefused, StoreRemote, StoreSynced
from syncd.core.codec import decode_client, decode_server, encode
from syncd.core.entries import StoredEntry
from syncd.core.events import Event as SessionEvent
from syncd.core.grant import MEMBER_RIGHTS, Grant, Right
from syncd.core.ids import new_client_id, uuid7
from syncd.core.limits import Limits
from syncd.core.messages import ClientMessage, Layer, Open, Push, ServerMessage
from syncd.core.replica import Replica
from syncd.core.schema import NewCommand, NewMessage, Root, text_part
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Drop, Ready, Send
from syncd.core.transcript import TranscriptView, put_command, put_message
from syncd.core.update import Kind

SESSION = "s"
RNG = Random(1)


def fresh_id() -> int:
    return new_client_id(RNG.randbytes(7))


def member(name: str, rights: frozenset[Right] = MEMBER_RIGHTS) -> Grant:
    return Grant(f"user:{name}", name, "user", (("*", rights),))


def new_message(text: str, *, id: str = "") -> NewMessage:
    id = id or uuid7(1, RNG.randbytes(10))
    return NewMessage(
        id=id, role="user", author={"kind": "user", "name": "x"}, parts=(text_part(text),) if text else (), created_at=1
    )


class Pen:
    """A replica of somebody who writes by hand: every call returns the update."""

    def __init__(self, client_id: int = 0) -> None:
        self.id = client_id or fresh_id()
        self.transcript = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=self.id)
        self.state = Replica({}, client_id=self.id)

    def message(self, text: str = "hi", *, id: str = "") -> bytes:
        return put_message(self.transcript, new_message(text, id=id))

    def command(self, id: str) -> bytes:
        return put_command(self.transcript, NewCommand(id, "cancel", 1, {"run": "r"}))

    def set(self, key: str, value: object, *, root: str = "ui") -> bytes:
        self.state.ensure_root(root, Kind.MAP)
        return self.state.edit(lambda r: r.set((root,), key, value))

    def remove(self, key: str, *, root: str = "ui") -> bytes:
        return self.state.edit(lambda r: r.remove((root,), key))

    def text(self, text: str, *, root: str = "note") -> bytes:
        self.state.ensure_root(root, Kind.TEXT)
        return self.state.edit(lambda r: r.text_append((root,), text))

    def transcript_edit(self, change: Callable[[Replica], None]) -> bytes:
        return self.transcript.edit(change)


class Server:
    """A server machine, its log, and what it sent to each peer."""

    def __init__(self, limits: Limits | None = None, *, disk: list[StoredEntry] | None = None) -> None:
        self.limits = limits or Limits()
        self.disk: list[StoredEntry] = disk if disk is not None else []
        self.machine = ServerMachine(SESSION, "inc", self.limits, client_id=fresh_id())
        self.machine.load(self.disk)
        self.sent: dict[str, list[ServerMessage]] = {}
        self.drops: dict[str, Drop] = {}
        self.events: list[SessionEvent] = []
        self.now = 0.0

    def attach(
        self,
        peer: str,
        *,
        grant: Grant | None = None,
        opened: Open | None = None,
        ids: Sequence[int] = (),
        worker: str = "",
    ) -> None:
        grant = grant or member(peer)
        rights = grant.rights(SESSION)
        assert rights is not None
        opened = opened or Open(SESSION, {}, client_ids=ids)
        self.machine.attach(peer, grant, rights, device=f"device-{peer}", opened=opened, worker=worker)

    def push(self, peer: str, number: int, update: bytes, layer: Layer = Layer.TRANSCRIPT) -> None:
        self.machine.receive(peer, Push(SESSION, layer, number, update))

    def ready(self) -> Ready | None:
        self.machine.tick(self.now)
        return self.machine.ready(1_000)

    def commit(self, ready: Ready) -> None:
        assert ready.expected == self.machine.version
        for version, entry in enumerate(ready.entries, start=ready.expected + 1):
            self.disk.append(StoredEntry(version, entry.kind, entry.data))
        assert ready.entries or not ready.events
        self.events += ready.events

    def advance(self, ready: Ready, deliver: Callable[[str, ServerMessage], bool] | None = None) -> list[Send | Drop]:
        self.machine.tick(self.now)
        sends = self.machine.advance(ready)
        self.give(sends, deliver)
        return sends

    def give(self, sends: Sequence[Send | Drop], deliver: Callable[[str, ServerMessage], bool] | None = None) -> None:
        for send in sends:
            if isinstance(send, Drop):
                self.drops[send.peer] = send
                continue
            for peer in send.peers:
                if deliver is not None and not deliver(peer, send.message):
                    self.machine.fall_behind(peer)
                    continue
                self.sent.setdefault(peer, []).append(send.message)

    def turn(self) -> list[Send | Drop]:
        ready = self.ready()
        if ready is None:
            return []
        self.commit(ready)
        return self.advance(ready)

    def got(self, peer: str) -> list[ServerMessage]:
        """Return what was sent to a peer since this was last asked."""
        return self.sent.pop(peer, [])

    def reloaded(self) -> "Server":
        """Return a server that starts from what is on this one's disk."""
        return Server(self.limits, disk=list(self.disk))

    def texts(self) -> list[str]:
        return [view.text for view in self.machine.messages()]


@dataclass
class Device:
    """A client machine and its store: rows, their marks, what was refused. A new life reads the same store."""

    name: str
    limits: Limits = field(default_factory=Limits)
    rows: dict[int, LocalRow] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    progress: StoreProgress = field(default_factory=lambda: StoreProgress("", 0, 0, {}))
    events: list[Event] = field(default_factory=list)
    grant: Grant | None = None
    row: int = 0

    def __post_init__(self) -> None:
        self.grant = self.grant or member(self.name)
        self.machine = self._machine()

    def _machine(self) -> ClientMachine:
        ids = {Layer.TRANSCRIPT: fresh_id(), Layer.STATE: fresh_id()}
        p = self.progress
        return ClientMachine(
            SESSION,
            self.limits,
            client_ids=ids,
            incarnation=p.incarnation,
            version=p.version,
            seq=p.seq,
            roots=dict(p.roots),
        )

    def reload(self, *, crash: bool = False) -> None:
        """Make a new machine from the store, as after a refusal or, with `crash`, as in a new process."""
        before, self.machine = self.machine, self._machine()
        tickets = {} if crash else before.tickets()
        self.machine.load(
            [self.rows[row] for row in sorted(self.rows)], tickets, last_ticket=0 if crash else before.last_ticket
        )

    def store(self) -> list[Event]:
        """Store one turn and advance; return what happened."""
        ready = self.machine.ready()
        rows: list[int] = []
        for write in ready.writes:
            if isinstance(write, StoreOwn | StoreRemote):
                self.row += 1
                own = isinstance(write, StoreOwn)
                self.rows[self.row] = LocalRow(self.row, write.layer, write.update, own)
                if own:
                    rows.append(self.row)
            elif isinstance(write, StoreSynced):
                for row in write.rows:
                    old = self.rows[row]
                    self.rows[row] = LocalRow(row, old.layer, old.update, own=False)
            elif isinstance(write, StoreRefused):
                for row in write.rows:
                    self.refused[row] = write.code
                    del self.rows[row]
            else:
                self.progress = write
        events = list(self.machine.advance(ready, rows))
        self.events += events
        return events

    def settle(self) -> None:
        while self.machine.pending():
            self.store()

    def outgoing(self) -> list[ClientMessage]:
        return [decode_client(encode(message), self.limits) for message in self.machine.outgoing()]

    def receive(self, message: ServerMessage) -> None:
        self.machine.receive(decode_server(encode(message)))

    def post(self, text: str, *, id: str = "") -> int:
        new = new_message(text, id=id)
        ticket = self.machine.edit(Layer.TRANSCRIPT, lambda replica: put_message(replica, new))
        assert ticket is not None
        return ticket

    def set(self, key: str, value: object, *, root: str = "ui") -> int | None:
        def write(replica: Replica) -> bytes:
            replica.ensure_root(root, Kind.MAP)
            return replica.edit(lambda r: r.set((root,), key, value))

        return self.machine.edit(Layer.STATE, write)

    def texts(self) -> list[str]:
        replica = self.machine.document(Layer.TRANSCRIPT).replica
        return [view.text for view in TranscriptView().messages(replica)]

    def state(self, root: str = "ui") -> object:
        return self.machine.document(Layer.STATE).replica.read(root)

    def happened(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


class Wire:
    """One server and devices, each frame delivered at once."""

    def __init__(self, *devices: Device, server: Server | None = None) -> None:
        self.server = server or Server()
        self.devices = {device.name: device for device in devices}

    def connect(self, *names: str) -> None:
        for name in names or self.devices:
            self.server.machine.detach(name)
            self.devices[name].machine.connect()
        self.run()

    def cut(self, name: str) -> None:
        self.server.machine.detach(name)
        self.server.got(name)
        self.devices[name].machine.disconnect()

    def run(self) -> None:
        """Go on until nothing moves."""
        for _ in range(50):
            moved = False
            for name, device in self.devices.items():
                device.settle()
                for message in device.outgoing():
                    moved = True
                    self.deliver_up(name, message)
            while self.server.machine.pending() and self.server.turn():
                self.server.now += 1.0
                moved = True
            for name, device in self.devices.items():
                for answer in self.server.got(name):
                    moved = True
                    device.receive(answer)
            if not moved:
                return
        raise AssertionError("it never comes to rest")

    def deliver_up(self, name: str, message: ClientMessage) -> None:
        if isinstance(message, Open):
            self.server.attach(name, grant=self.devices[name].grant, opened=message)
        else:
            self.server.machine.receive(name, message)
