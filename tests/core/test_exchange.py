"""Two devices and a server at random: cuts, crashes, duplicates, compaction; nothing acked or shown is lost."""

from collections import Counter, deque
from random import Random

import pytest

from syncd.core.client import LinkState
from syncd.core.entries import EntryKind, StoredEntry
from syncd.core.messages import Ack, ClientMessage, Layer, Open, ServerMessage, Update
from syncd.core.schema import Root
from syncd.core.server_turn import Drop
from tests.core.machines import Device, Server

SEEDS = 180


class World:
    """What happens is drawn from one seed. A cut link still delivers a random prefix of what was under way."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.server = Server()
        self.devices = [Device("ann"), Device("bob")]
        self.up: dict[str, deque[ClientMessage]] = {d.name: deque() for d in self.devices}
        self.down: dict[str, deque[ServerMessage]] = {d.name: deque() for d in self.devices}
        self.made: Counter[str] = Counter()
        self.durable: set[str] = set()
        self.pending: dict[str, list[str]] = {d.name: [] for d in self.devices}

    def step(self) -> None:
        device = self.rng.choice(self.devices)
        self.rng.choices(
            [self.edit, self.store, self.send, self.receive, self.link, self.crash_device, self.turn, self.compact],
            [20, 20, 15, 20, 4, 2, 20, 1],
        )[0](device)

    def edit(self, device: Device) -> None:
        text = f"{device.name}-{sum(self.made.values())}"
        self.made[text] += 1
        device.post(text, id=text)
        if self.rng.random() < 0.5:
            device.set(f"k{self.rng.randrange(4)}", text)
        if self.rng.random() < 0.2 and device.state():
            key = self.rng.choice(sorted(device.state()))  # type: ignore[call-overload]
            device.machine.edit(Layer.STATE, lambda r: r.edit(lambda r: r.remove(("ui",), key)))

    def store(self, device: Device) -> None:
        if device.machine.pending():
            device.store()

    def send(self, device: Device) -> None:
        self.up[device.name] += device.outgoing()

    def receive(self, device: Device) -> None:
        down = self.down[device.name]
        for _ in range(self.rng.randint(1, 4)):
            if down:
                message = down.popleft()
                device.receive(message)
                if isinstance(message, Update) and self.rng.random() < 0.2:
                    device.receive(message)

    def link(self, device: Device) -> None:
        if device.machine.state is LinkState.CLOSED:
            self.up[device.name].clear()
            self.down[device.name].clear()
            self.server.machine.detach(device.name)
            device.machine.connect()
        else:
            self.cut(device)

    def cut(self, device: Device) -> None:
        up, down = self.up[device.name], self.down[device.name]
        for _ in range(self.rng.randint(0, len(up))):
            self._take(device, up.popleft())
        for _ in range(self.rng.randint(0, len(down))):
            device.receive(down.popleft())
        up.clear()
        down.clear()
        self.server.machine.detach(device.name)
        device.machine.disconnect()

    def crash_device(self, device: Device) -> None:
        """Everything in memory is lost; what was stored is not."""
        stored = set(device.rows)
        self.cut(device)
        assert stored <= set(device.rows)
        device.reload(crash=True)

    def _take(self, device: Device, message: ClientMessage) -> None:
        if isinstance(message, Open):
            self.server.attach(device.name, grant=device.grant, opened=message)
        else:
            self.server.machine.receive(device.name, message)

    def turn(self, _device: Device) -> None:
        """Take what came, then a turn with a crash at a random point of it."""
        for device in self.devices:
            up = self.up[device.name]
            for _ in range(self.rng.randint(0, len(up))):
                self._take(device, up.popleft())
        crash_at = self.rng.choice(["never"] * 20 + ["before commit", "after commit", "half sent"])
        ready = self.server.ready()
        if ready is None:
            return
        if crash_at == "before commit":
            return self.crash_server()
        self.server.commit(ready)
        if crash_at == "after commit":
            return self.crash_server()
        self.server.now += 0.5
        self.server.machine.tick(self.server.now)
        for send in self.server.machine.advance(ready):
            if isinstance(send, Drop):
                self.cut(next(d for d in self.devices if d.name == send.peer))
                continue
            if crash_at == "half sent" and self.rng.random() < 0.3:
                return self.crash_server()
            for peer in send.peers:
                self.down[peer].append(send.message)
        return None

    def crash_server(self) -> None:
        for device in self.devices:
            self.cut(device)
        self.server = self.server.reloaded()
        self.check()

    def compact(self, _: Device) -> None:
        if not self.server.disk:
            return
        snapshot = self.server.machine.content.snapshot()
        tail = [entry for entry in self.server.disk if entry.version > snapshot.version]
        self.server.disk[:] = [StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data), *tail]

    def check(self) -> None:
        """The disk holds all that was acked or shown."""
        there = set(self.server.machine.document(Layer.TRANSCRIPT).replica.keys(Root.MESSAGES))
        for device in self.devices:
            replica = device.machine.document(Layer.TRANSCRIPT).replica
            seen = {key for key in replica.keys(Root.MESSAGES) if not key.startswith(device.name)}
            shown = {key[2:] for key in replica.keys(Root.RECEIPTS) if key.startswith("m:")}
            assert seen | shown <= there

    def finish(self) -> None:
        """No more faults: everybody connects, and all comes to rest."""
        for device in self.devices:
            if device.machine.state is not LinkState.CLOSED:
                self.cut(device)
            device.settle()
            self.link(device)
        for _ in range(200):
            before = [len(self.server.disk), *(len(d.rows) for d in self.devices)]
            for device in self.devices:
                device.settle()
                self.send(device)
                for message in self.up[device.name]:
                    self._take(device, message)
                self.up[device.name].clear()
            while self.server.machine.pending() and self.server.turn():
                self.server.now += 1.0
            assert not self.server.drops
            for device in self.devices:
                for answer in self.server.got(device.name):
                    device.receive(answer)
                device.settle()
            settled = all(d.machine.unsynced == 0 and not d.machine.pending() for d in self.devices)
            if settled and before == [len(self.server.disk), *(len(d.rows) for d in self.devices)]:
                return
        raise AssertionError("it never comes to rest")


@pytest.mark.parametrize("block", range(6))
def test_whatever_is_cut_or_killed_all_end_equal_and_nothing_saved_is_missing(block: int) -> None:
    """Acked or shown is on disk at every crash; at the end everybody has every stored edit once, in one order."""
    for seed in range(block * SEEDS // 6, (block + 1) * SEEDS // 6):
        world = World(seed)
        for _ in range(120):
            world.step()
        stored = [set(_own_texts(device)) for device in world.devices]
        world.finish()
        expected = world.server.texts()
        assert len(expected) == len(set(expected)), f"seed {seed}: something twice"
        assert set().union(*stored) <= set(expected), f"seed {seed}: something missing"
        assert world.server.reloaded().texts() == expected, f"seed {seed}: memory is not the disk"
        for device in world.devices:
            assert device.refused == {}, f"seed {seed}: refused {device.refused}"
            assert device.texts() == expected, f"seed {seed}: {device.name} differs"
            assert (device.state() or {}) == (world.server.machine.document(Layer.STATE).replica.read("ui") or {})
        seqs = [view.seq for view in world.server.machine.messages()]
        assert seqs == list(range(1, len(expected) + 1)), f"seed {seed}: seq {seqs}"


def _own_texts(device: Device) -> list[str]:
    """Return what is in the store, as a new process would read it."""
    copy = Device(device.name, rows=dict(device.rows), progress=device.progress, row=device.row)
    copy.reload(crash=True)
    return copy.texts()


def test_an_ack_says_nothing_that_is_not_on_disk() -> None:
    """For every ack under way, a server killed right then still holds what it covers."""
    for seed in range(20):
        world = World(seed)
        for _ in range(100):
            world.step()
            for device in world.devices:
                top = max((m.number for m in world.down[device.name] if isinstance(m, Ack)), default=0)
                if top and device.machine.state is LinkState.OPEN:
                    applied = world.server.reloaded().machine.document(Layer.TRANSCRIPT).applied
                    rows = [
                        row for flight in device.machine._pushes.flights if flight.number <= top for row in flight.rows
                    ]
                    for own in (device.machine._pushes.owns[row] for row in rows):
                        if own.layer is Layer.TRANSCRIPT:
                            assert all(applied.get(client, 0) >= end for client, end in own.ends.items())
