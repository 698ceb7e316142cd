"""Frames and log entries under attack: what arrives as msgpack, from either side or from a file.

Knows nothing of what a frame does once it is decoded.
"""

from random import Random
from typing import Final

from syncd.core.codec import decode_client, decode_server, encode, pack
from syncd.core.entries import EntryKind, Snapshot, StoredEntry, decode_binding, encode_binding
from syncd.core.errors import CloseCode, Rejected, RemoteProtocolError, StoreDamaged
from syncd.core.limits import Limits
from syncd.core.messages import (
    Ack,
    Bye,
    Claim,
    ClientMessage,
    Closed,
    Declare,
    Hello,
    Index,
    IndexChanged,
    IndexRow,
    Layer,
    Leave,
    Open,
    Opened,
    Ping,
    Pong,
    PresenceChanged,
    PresenceEntry,
    Push,
    Refresh,
    Refreshed,
    Reject,
    Serve,
    ServerMessage,
    SetPresence,
    Storage,
    Unknown,
    Update,
    Watch,
    Welcome,
    Work,
)
from syncd.core.server import ServerMachine
from syncd.core.varint import decode_state_vector, encode_state_vector
from tests.fuzz.mutate import mutate
from tests.fuzz.target import ACCEPTED
from tests.fuzz.updates import honest

LIMITS: Final = Limits()
_VECTOR: Final = encode_state_vector({5: 1, 1 << 40: 70_000})
_ENTRY: Final = PresenceEntry("p", "user:a", "a", "user", "d", {"cursor": [1, {"x": None}]})
_ROW: Final = IndexRow(
    "trip", "Trip", ("a",), False, 1, 2, "hi", 3, ("approval",), {"agent:p": "live"}, {"user:a": "idle"}, "user:a"
)
CLIENT_MESSAGES: Final[tuple[ClientMessage, ...]] = (
    Hello((1, 2), "a.b.c", "device-1", "fuzz/1"),
    Open("trip", {Layer.STATE: _VECTOR, Layer.TRANSCRIPT: b"\0"}, (1, 1 << 52), "inc", 3, 2),
    Push("trip", Layer.TRANSCRIPT, 1, honest(Layer.TRANSCRIPT, 1, 1)[0][0]),
    SetPresence("trip", {"cursor": {"at": [1, 2.5, None, True, "😀"]}}),
    Refresh("a.b.c"),
    Leave("trip"),
    Ping(7),
    Declare("trip", (9, 1 << 50)),
    Serve("worker-1", 8, 1),
    Claim("trip", "run-1", "retry", 3),
    Watch("1700000000000.1", 100, True),
)
SERVER_MESSAGES: Final[tuple[ServerMessage, ...]] = (
    Welcome(1, "p", "user:a", "syncd", 20.0, 1 << 20, 4096, 1e9, 1e9),
    Opened("trip", "inc", 3, 2, 1, ("state",), {Layer.STATE: b"\0\0"}, {Layer.STATE: _VECTOR}, {"ui": "1"}, (_ENTRY,)),
    Ack("trip", 5),
    Reject("trip", 6, "gap", "why"),
    Update("trip", Layer.STATE, b"\0\0"),
    PresenceChanged("trip", (_ENTRY, _ENTRY)),
    Closed("trip", 4403, "no"),
    Bye(4000, "away", 1.5),
    Pong(7),
    Refreshed(1e9),
    Storage(full=True),
    Work("trip", "run-1", "m-1", 1),
    Index((_ROW,), "1.2", False),
    IndexChanged((_ROW, _ROW), ("gone",)),
)


class FramesTarget:
    """Frames of both sides. What decodes is written and read again, and is the same."""

    _CODES: Final = (CloseCode.BAD_MESSAGE, CloseCode.TOO_BIG, CloseCode.UNSUPPORTED)

    def __init__(self, rng: Random) -> None:
        self._frames = [encode(message) for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES)]
        self._frames.append(pack([200, {"of": "a later version"}]))
        self._decoded: list[ClientMessage | ServerMessage] = []

    def draw(self, rng: Random) -> bytes:
        return mutate(rng.choice(self._frames), rng, self._frames)

    def feed(self, data: bytes) -> str:
        self._decoded = []
        refused = ""
        for decode in (lambda: decode_client(data, LIMITS), lambda: decode_server(data)):
            try:
                self._decoded.append(decode())
            except RemoteProtocolError as error:
                refused = error.code.name.lower() if error.code in self._CODES else ""
        assert refused or self._decoded, "a code that is not documented"
        return ACCEPTED if self._decoded else refused

    def check(self) -> None:
        for message in self._decoded:
            if isinstance(message, Unknown):
                continue
            client = isinstance(message, ClientMessage)
            try:
                frame = encode(message)
            except (OverflowError, TypeError, ValueError):
                # What msgpack reads and JSON does not have: only in presence, where the machine refuses it.
                assert isinstance(message, SetPresence | PresenceChanged | Opened), message
                continue
            again = decode_client(frame, LIMITS) if client else decode_server(frame)
            assert encode(again) == frame  # not `==`: NaN is not itself

    def finish(self) -> None:
        pass

    def seeds(self) -> list[bytes]:
        """Return inputs to begin with."""
        return self._frames


class EntriesTarget:
    """A log's entries and state vectors. What is refused is refused with the documented exception, what loads loads.

    The first byte of an input says what it is taken for.
    """

    def __init__(self, rng: Random) -> None:
        updates = {layer: honest(layer, 3, 6)[0] for layer in Layer}
        snapshot = Snapshot({layer: log[0] for layer, log in updates.items()}, {"user:a": [1, 2]}, 7, {"board": 1})
        self._seeds = [bytes([EntryKind.SNAPSHOT]) + snapshot.encode()]
        self._seeds.append(bytes([EntryKind.BINDING]) + encode_binding("user:a", [1, 2]).data)
        self._seeds += [bytes([EntryKind.TRANSCRIPT]) + update for update in updates[Layer.TRANSCRIPT][:3]]
        self._seeds += [bytes([EntryKind.STATE]) + update for update in updates[Layer.STATE][:3]]
        self._seeds.append(b"\x09" + _VECTOR)
        self._vector: dict[int, int] = {}

    def draw(self, rng: Random) -> bytes:
        seed = rng.choice(self._seeds)
        return seed[:1] + mutate(seed[1:], rng, self._seeds)

    def feed(self, data: bytes) -> str:
        kind, data = data[0] if data else 0, data[1:]
        try:
            if kind == 9:
                self._vector = decode_state_vector(data, clients_max=1_000)
            elif kind == EntryKind.SNAPSHOT:
                Snapshot.decode(data)
            elif kind == EntryKind.BINDING:
                decode_binding(data)
        except (Rejected, ValueError) as error:
            return type(error).__name__
        if kind in EntryKind.__members__.values():
            try:
                machine = ServerMachine("s", "inc", LIMITS, client_id=1 << 52)
                machine.load([StoredEntry(1, EntryKind(kind), data)])
            except StoreDamaged:
                return "StoreDamaged"
        return ACCEPTED

    def check(self) -> None:
        assert decode_state_vector(encode_state_vector(self._vector), clients_max=1_000) == self._vector

    def finish(self) -> None:
        pass

    def seeds(self) -> list[bytes]:
        """Return inputs to begin with."""
        return self._seeds
