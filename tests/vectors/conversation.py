"""A recorded conversation: what two clients and a server say to each other, frame by frame, on a fresh session.

Made by the machines themselves. Knows nothing of sockets: the hello and its answer stand for them.
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from syncd.core.codec import decode_client, decode_server, encode
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import (
    ClientMessage,
    Closed,
    Hello,
    Layer,
    Leave,
    Open,
    Opened,
    Push,
    ServerMessage,
    Welcome,
)
from syncd.core.schema import Root
from syncd.core.update import decode_update
from tests.core.machines import RNG, SESSION, Device, Server
from tests.vectors.vector import Vectors, from_hex, to_hex


class Recorder:
    """A server and its clients; every frame between them is noted in the order it was sent."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self._server = Server()
        self._devices: dict[str, Device] = {}

    def join(self, name: str) -> Device:
        """Connect a new client."""
        device = self._devices[name] = Device(name)
        self._note(name, "client", Hello((1,), "", f"device-{name}", "vectors"))
        self._note(name, "server", Welcome(1, name, f"user:{name}", "syncd", 20.0, 1 << 20, 4_096, 0.0, 1.0))
        device.machine.connect()
        return device

    def settle(self) -> None:
        """Let everybody say what they have to, until nobody has anything."""
        moved = True
        while moved:
            moved = False
            for name, device in self._devices.items():
                device.settle()
                for message in device.outgoing():
                    self._note(name, "client", message)
                    self._up(name, message)
                    moved = True
            while self._server.machine.pending() and self._server.turn():
                self._server.now += 1.0
            for name, device in self._devices.items():
                for answer in self._server.got(name):
                    self._note(name, "server", answer)
                    device.receive(answer)
                    moved = True

    def _up(self, name: str, message: ClientMessage) -> None:
        if isinstance(message, Open):
            self._server.attach(name, opened=message)
        else:
            self._server.machine.receive(name, message)

    def say(self, name: str, message: ClientMessage) -> None:
        """Have a client say what its machine would not."""
        self._note(name, "client", message)
        self._server.machine.receive(name, message)
        self._server.turn()
        for answer in self._server.got(name):
            self._note(name, "server", answer)

    def leave(self, name: str) -> None:
        """Have a client leave."""
        self._note(name, "client", Leave(SESSION))
        self._server.machine.detach(name)
        self._note(name, "server", Closed(SESSION, 1_000, ""))
        del self._devices[name]
        self._server.turn()
        for other in self._devices:
            for answer in self._server.got(other):
                self._note(other, "server", answer)

    def _note(self, name: str, sender: str, message: ClientMessage | ServerMessage) -> None:
        kind = type(message).__name__
        self.frames.append({"peer": name, "from": sender, "frame": kind, "hex": to_hex(encode(message))})


@contextlib.contextmanager
def _fixed_chance() -> Iterator[None]:
    """Have the machines' ids the same at every recording, and other tests' as they were."""
    before = RNG.getstate()
    RNG.seed(2026)
    try:
        yield
    finally:
        RNG.setstate(before)


def conversation_vectors() -> Vectors:
    """Return the conversation, and what each client's documents hold in the end."""
    with _fixed_chance():
        recorder = Recorder()
        ann = recorder.join("ann")
        recorder.settle()
        ann.post("Where do we go? \U0001f600", id="m-1")
        ann.set("city", "Lisbon")
        recorder.settle()
        bob = recorder.join("bob")
        recorder.settle()
        bob.machine.set_presence({"typing": True})
        bob.post("To the river.", id="m-2")
        recorder.settle()
        bob.set("city", "Porto")
        ann.set("days", 3)
        recorder.settle()
        number = 1 + sum(f["frame"] == "Push" and f["peer"] == "bob" for f in recorder.frames)
        update = bytes.fromhex("0101") + b"\x80" * 6 + b"\x10\x00\x28\x01\x08receipts\x03m:x\x01\x7e\x00"
        recorder.say("bob", Push(SESSION, Layer.TRANSCRIPT, number, update))
        recorder.leave("bob")
        transcript = ann.machine.document(Layer.TRANSCRIPT).replica
        return {
            "about": "one session, two clients; `ends` is what ann's documents hold behind the last frame",
            "session": SESSION,
            "frames": recorder.frames,
            "roots": {"transcript": {str(root): "map" for root in Root}, "state": {"ui": "map"}},
            "ends": {
                "transcript": _ordered({str(root): transcript.read(root) for root in Root}),
                "state": _ordered({"ui": ann.state()}),
            },
        }


def meaning(vectors: Vectors) -> Any:
    """Return what a recording says: pycrdt writes the keys of a value in another order each time it runs."""
    frames = []
    for frame in vectors["frames"]:
        data = from_hex(frame["hex"])
        message = decode_client(data, DEFAULT_LIMITS) if frame["from"] == "client" else decode_server(data)
        fields: dict[str, Any] = dataclasses.asdict(message)
        if "update" in fields:
            fields["update"] = decode_update(fields["update"], DEFAULT_LIMITS)
        if isinstance(message, Opened):
            fields["updates"] = {k: decode_update(part, DEFAULT_LIMITS) for k, part in message.updates.items()}
        frames.append((frame["peer"], frame["from"], frame["frame"], fields))
    return frames, {key: value for key, value in vectors.items() if key != "frames"}


def _ordered(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True))
