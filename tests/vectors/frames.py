"""Vectors of frames: what each kind looks like on the wire, with plain and with odd values.

Knows nothing of what a frame means.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from syncd.core.codec import _CLIENT_TYPES, _SERVER_TYPES, encode, pack, unpack
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import (
    Ack,
    Bye,
    Claim,
    Closed,
    Declare,
    Hello,
    Index,
    IndexChanged,
    IndexRow,
    Json,
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
    SetPresence,
    Storage,
    Update,
    Watch,
    Welcome,
    Work,
)
from syncd.core.update import EMPTY_UPDATE
from tests.vectors.vector import Vectors, to_hex, to_json

UINT_MAX = (1 << 53) - 1
#: Latin, accents as one and as two code points, Chinese, an emoji of several, Arabic, Hebrew with marks of direction.
WORDS = "Zoë Zoe\u0308 漢字 👩‍👩‍👧‍👦 مرحبا \u202bשלום\u202c \u0000\n\u2028"
ID_MAX = "aZ09_-" + "x" * 58
SHORT_MAX = "é" * 127 + "😀"
#: Numbers around each width of msgpack's integers, and floats of all sizes.
NUMBERS = [
    0, 1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, UINT_MAX, -1, -32, -33, -128, -129, -32_768,
    -32_769, -(1 << 31), -(1 << 31) - 1, -UINT_MAX, 0.5, -0.5, 1e300, 5e-324, 0.1,
]  # fmt: skip
JSON: Json = {
    "": None,
    "flags": [True, False],
    "numbers": NUMBERS,
    "words": WORDS,
    WORDS: [],
    "deep": [[[[[[{"a": [{}]}]]]]]],
    "many": {f"key{n}": n for n in range(17)},
    "long": "x" * 300,
}
ANN = PresenceEntry("peer-a", "user:ann", "Ann", "user", "device-a", {"typing": True})
GONE = PresenceEntry("peer-b", "agent:planner", WORDS, "agent", ID_MAX, None)
BARE = PresenceEntry("", "", "", "", "", {})
TRIP = IndexRow(
    "trip", "Two days in Lisbon", ("family",), False, 1_700_000_000_000, 12, "Take the tram.", 3, ("approval",),
    {"agent:planner": "suspended"}, {"user:ann": "active", "agent:planner": "idle"}, "user:ann",
)  # fmt: skip
BLANK = IndexRow("s", "", (), False, 0, 0, "", 0, (), {}, {}, "")
FULL = IndexRow(
    ID_MAX, WORDS, (WORDS, "", "x"), True, UINT_MAX, UINT_MAX, WORDS, UINT_MAX, ("approval", "handover", "later"),
    {f"agent:{n}": "live" for n in range(17)}, {WORDS: WORDS}, SHORT_MAX,
)  # fmt: skip
VECTOR = bytes.fromhex("01c0843d07")


@dataclass(frozen=True, slots=True)
class Case:
    """One frame: what it decodes to and, where that is not what `encode` writes, its bytes."""

    name: str
    message: Any
    data: bytes | None = None


def _cases(kind: type[Any]) -> Sequence[Case]:
    return [Case(name, message) for name, message in _PLAIN[kind].items()] + list(_odd(_plain(kind)))


def _plain(kind: type[Any]) -> Any:
    return next(iter(_PLAIN[kind].values()))


def _odd(message: Any) -> Iterator[Case]:
    """Yield what every receiver must read, though nobody needs to write it."""
    body = unpack(encode(message))
    yield Case("later fields are ignored", message, pack([*body, None, {"later": [1]}, b"\x00"]))
    yield Case("the longest form of an array and of its type", message, _array32(body))


def _array32(body: Sequence[Any]) -> bytes:
    """Return a frame whose array and type are written in more bytes than needed, as an encoder may."""
    head = b"\xdd" + len(body).to_bytes(4, "big") + b"\xcf" + int(body[0]).to_bytes(8, "big")
    return head + b"".join(map(pack, body[1:]))


_PLAIN: dict[type[Any], dict[str, Any]] = {
    Hello: {
        "plain": Hello((1,), "", "device-a", "syncd-python/0.1"),
        "a token, several versions": Hello((1, 2, UINT_MAX), "eyJ.abc.x-_", ID_MAX, WORDS),
        "nothing that may be left empty": Hello((), "", "d", ""),
        "long": Hello(tuple(range(16)), "t" * 2_000, ID_MAX, SHORT_MAX),
    },
    Open: {
        "a new copy": Open("trip", {}),
        "a copy with everything": Open(
            "trip", {Layer.TRANSCRIPT: VECTOR, Layer.STATE: b"\x00"}, (1 << 52, UINT_MAX), "inc-1", 7, 3
        ),
        "largest numbers": Open(ID_MAX, {Layer.STATE: VECTOR}, (0, UINT_MAX), SHORT_MAX, UINT_MAX, UINT_MAX),
        "as many client ids as one may name": Open(
            "s", {}, tuple(range(1 << 52, (1 << 52) + DEFAULT_LIMITS.client_ids_per_frame_max))
        ),
    },
    Push: {
        "plain": Push("trip", Layer.TRANSCRIPT, 1, EMPTY_UPDATE),
        "the state, a large number": Push(ID_MAX, Layer.STATE, UINT_MAX, b"\x00\xff"),
        "no bytes": Push("s", Layer.STATE, 0, b""),
        "255 bytes": Push("s", Layer.STATE, 2, bytes(255)),
        "256 bytes": Push("s", Layer.STATE, 3, bytes(256)),
        "65,536 bytes": Push("s", Layer.STATE, 4, bytes(65_536)),
        "the largest frame": Push("s", Layer.STATE, 5, bytes(DEFAULT_LIMITS.frame_bytes_max - 16)),
    },
    SetPresence: {
        "plain": SetPresence("trip", {"typing": True}),
        "nil": SetPresence("trip", None),
        "empty": SetPresence("trip", {}),
        "all of JSON": SetPresence(ID_MAX, JSON),
    },
    Refresh: {"plain": Refresh("eyJ.abc.x-_"), "empty": Refresh(""), "long": Refresh("t" * 300)},
    Leave: {"plain": Leave("trip"), "the longest id": Leave(ID_MAX)},
    Ping: {f"{nonce}": Ping(nonce) for nonce in (7, 0, 127, 128, 1 << 32, UINT_MAX)},
    Declare: {
        "plain": Declare("trip", (1 << 52,)),
        "none": Declare("trip", ()),
        "all sizes": Declare(ID_MAX, (0, 1, 127, 128, 255, 256, 65_536, 1 << 32, UINT_MAX)),
    },
    Serve: {
        "plain": Serve("worker-a", 8, 1),
        "no more for now": Serve("worker-a", 0, 1),
        "largest": Serve(ID_MAX, DEFAULT_LIMITS.slots_max, UINT_MAX),
    },
    Claim: {
        "wait": Claim("trip", "run-1", "wait", 1),
        "retry": Claim("trip", "run-1", "retry", 3),
        "fail, the longest ids, the most attempts": Claim(ID_MAX, ID_MAX, "fail", 100),
    },
    Watch: {
        "the first page": Watch("", 100),
        "a further one, of those put away": Watch("1700000000000.12", 500, True),
        "no more": Watch("", 0),
        "largest": Watch(SHORT_MAX, UINT_MAX, True),
    },
    Welcome: {
        "plain": Welcome(1, "peer-a", "user:ann", "syncd/0.1", 20.0, 1 << 20, 4_096, 1.7e9, 1_699_999_999.25),
        "a token without end, fractions": Welcome(1, ID_MAX, SHORT_MAX, "", 0.5, UINT_MAX, 0, 0.0, 0.0),
    },
    Opened: {
        "a new session": Opened("trip", "inc-1", 1, 0, 0, ("state", "transcript"), {}, {}, {}, ()),
        "with everything": Opened(
            "trip",
            "inc-1",
            12,
            5,
            2,
            ("command", "presence", "state", "transcript"),
            {Layer.TRANSCRIPT: EMPTY_UPDATE, Layer.STATE: b"\x00\xff"},
            {Layer.TRANSCRIPT: VECTOR, Layer.STATE: b"\x00"},
            {"ui": "1", WORDS: "2"},
            (ANN, GONE),
            True,
        ),
        "largest numbers, no rights": Opened(ID_MAX, SHORT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, (), {}, {}, {}, (BARE,)),
        "one layer, many roots": Opened(
            "s", "i", 1, 1, 0, ("later",), {Layer.STATE: b""}, {}, {f"r{n}": "6" for n in range(17)}, ()
        ),
    },
    Ack: {"plain": Ack("trip", 1), "largest": Ack(ID_MAX, UINT_MAX), "zero": Ack("s", 0)},
    Reject: {
        "plain": Reject("trip", 3, "foreign_entry", "the message is somebody else's"),
        "unknown code, any words": Reject(ID_MAX, UINT_MAX, SHORT_MAX, WORDS),
        "empty": Reject("s", 0, "", ""),
    },
    Update: {
        "plain": Update("trip", Layer.TRANSCRIPT, EMPTY_UPDATE),
        "the state": Update(ID_MAX, Layer.STATE, b"\x00\xff"),
        "larger than a client's frame": Update("s", Layer.STATE, bytes(DEFAULT_LIMITS.frame_bytes_max + 1)),
    },
    PresenceChanged: {
        "plain": PresenceChanged("trip", (ANN,)),
        "nobody": PresenceChanged("trip", ()),
        "here, gone, empty": PresenceChanged(ID_MAX, (ANN, GONE, BARE, dataclasses.replace(ANN, state=JSON))),
        "many": PresenceChanged("s", tuple(dataclasses.replace(ANN, peer=f"p{n}") for n in range(17))),
    },
    Closed: {
        "the answer to a leave": Closed("trip", 1_000, ""),
        "resync": Closed("trip", 4_002, "number 3 came, 2 was expected"),
        "unknown code, any words": Closed(ID_MAX, UINT_MAX, WORDS),
    },
    Bye: {
        "plain": Bye(4_000, "the server goes away", 2.5),
        "an integer": Bye(1_013, "", 30.0),
        "nothing": Bye(0, "", 0.0),
        "any words": Bye(UINT_MAX, WORDS, 1e9),
    },
    Pong: {f"{nonce}": Pong(nonce) for nonce in (7, 0, 127, 128, 1 << 32, UINT_MAX)},
    Refreshed: {"plain": Refreshed(1.7e9), "a fraction": Refreshed(1_700_000_000.125), "never": Refreshed(0.0)},
    Storage: {"full": Storage(True), "space again": Storage(False)},
    Work: {
        "plain": Work("trip", "run-1", "m-1", 0),
        "no message": Work("trip", "run-1", "", 0),
        "largest": Work(ID_MAX, ID_MAX, ID_MAX, UINT_MAX),
    },
    Index: {
        "plain": Index((TRIP,), "1700000000000.12", False),
        "nothing": Index((), "", True),
        "blank and full": Index((BLANK, FULL), SHORT_MAX, True),
        "many": Index(tuple(dataclasses.replace(TRIP, session=f"s{n}") for n in range(17)), "", True),
    },
    IndexChanged: {
        "plain": IndexChanged((TRIP,), ()),
        "gone": IndexChanged((), ("trip", ID_MAX)),
        "both": IndexChanged((BLANK, FULL), ("gone",)),
    },
}

_MORE: dict[type[Any], list[Case]] = {
    Open: [
        Case("numbers longer than needed", Open("s", {}, (5,)), bytes.fromhex("9702a1738091cd0005a0cc00d200000000"))
    ],
    SetPresence: [
        Case("floats of 32 bits", SetPresence("s", {"a": 0.5}), bytes.fromhex("9304a17381a161ca3f000000")),
        Case("a float that is whole", SetPresence("s", {"a": 1.0}), bytes.fromhex("9304a17381a161cb3ff0000000000000")),
    ],
    Welcome: [
        Case(
            "integers where numbers may be floats",
            Welcome(1, "p", "user:a", "", 20.0, 1, 2, 3.0, -4.0),
            pack([65, 1, "p", "user:a", "", 20, 1, 2, 3, -4]),
        )
    ],
    Opened: [
        Case(
            "further items of an entry are ignored",
            Opened("s", "i", 1, 0, 0, (), {}, {}, {}, (ANN, GONE)),
            pack([66, "s", "i", 1, 0, 0, [], {}, {}, {}, [[*to_json(ANN), "later", 1], [*to_json(GONE), None]], False]),
        )
    ],
    PresenceChanged: [
        Case(
            "further items of an entry are ignored",
            PresenceChanged("s", (ANN,)),
            pack([70, "s", [[*to_json(ANN), {"later": True}]]]),
        )
    ],
    Index: [
        Case(
            "further items of a row are ignored",
            Index((BLANK,), "", True),
            pack([77, [[*to_json(BLANK), "later", {"a": 1}]], "", True]),
        )
    ],
    Bye: [Case("an integer, a float of 32 bits", Bye(4_000, "", 0.5), bytes.fromhex("9448cd0fa0a0ca3f000000"))],
}


def frame_vectors() -> dict[str, Vectors]:
    """Return the vectors of every frame, by file."""
    files: dict[str, Vectors] = {}
    for sender, table in (("client", _CLIENT_TYPES), ("server", _SERVER_TYPES)):
        for number, kind in table.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            cases = [_case(case, fields) for case in [*_cases(kind), *_MORE.get(kind, [])]]
            files[f"frames/{number:02}-{kind.__name__}.json"] = {
                "frame": kind.__name__,
                "type": number,
                "from": sender,
                "fields": fields,
                "cases": cases,
            }
    files["frames/optional.json"] = {
        "frame": "Unknown",
        "from": "either",
        "cases": [_optional(128), _optional(128, 1, {"a": b"\x00"}), _optional(65_535, None, WORDS)],
    }
    return files


def _case(case: Case, fields: Sequence[str]) -> Vectors:
    sent = encode(case.message)
    data = sent if case.data is None else case.data
    return {
        "name": case.name,
        "hex": to_hex(data),
        "values": {name: to_json(getattr(case.message, name)) for name in fields},
        "sent": data == sent,
        "shortest": data == pack(_shortest(unpack(sent))),
    }


def _optional(number: int, *body: Any) -> Vectors:
    name = f"type {number}, {len(body)} fields"
    return {"name": name, "hex": to_hex(pack([number, *body])), "values": {"type": number, "body": to_json(body)}}


def _shortest(value: Any) -> Any:
    """Return `value` with integers for whole floats, as encoders do that cannot tell them apart."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= UINT_MAX:
        return int(value)
    if isinstance(value, Mapping):
        return {key: _shortest(part) for key, part in value.items()}
    return [_shortest(part) for part in value] if isinstance(value, list) else value
