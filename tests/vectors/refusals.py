"""Vectors of frames that must be refused: bytes, who sent them, and the close code.

Knows nothing of what a session allows: all of this shows in the frame alone.
"""

from typing import Any

import msgpack

from syncd.core.codec import _CLIENT_TYPES, _SERVER_TYPES, encode, pack, unpack
from syncd.core.errors import CloseCode
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Layer, Push
from tests.vectors.frames import BLANK, ID_MAX, SHORT_MAX, UINT_MAX, _plain
from tests.vectors.vector import Vectors, to_hex, to_json

#: Not a frame at all, whoever sent it.
_GARBAGE: dict[str, tuple[bytes, CloseCode]] = {
    "no bytes": (b"", CloseCode.BAD_MESSAGE),
    "nil": (b"\xc0", CloseCode.BAD_MESSAGE),
    "an integer": (b"\x07", CloseCode.BAD_MESSAGE),
    "a map": (b"\x81\x00\x01", CloseCode.BAD_MESSAGE),
    "a byte msgpack does not use": (b"\xc1", CloseCode.BAD_MESSAGE),
    "an empty array": (b"\x90", CloseCode.BAD_MESSAGE),
    "a type that is a boolean": (b"\x91\xc3", CloseCode.BAD_MESSAGE),
    "a type that is a string": (b"\x91\xa17", CloseCode.BAD_MESSAGE),
    "a type that is nil": (b"\x92\xc0\x07", CloseCode.BAD_MESSAGE),
    "an array that is cut short": (b"\x92\x07", CloseCode.BAD_MESSAGE),
    "more items announced than there are bytes": (b"\xdd\xff\xff\xff\xff\x07", CloseCode.BAD_MESSAGE),
    "bytes behind the frame": (b"\x92\x07\x01\x00", CloseCode.BAD_MESSAGE),
    "two frames in one message": (b"\x92\x07\x01\x92\x07\x01", CloseCode.BAD_MESSAGE),
    "JSON": (b'[7, "x"]', CloseCode.BAD_MESSAGE),
    "type 0": (b"\x91\x00", CloseCode.UNSUPPORTED),
    "an unknown type that is not optional": (b"\x91\x7f", CloseCode.UNSUPPORTED),
    "a negative type": (b"\x91\xff", CloseCode.UNSUPPORTED),
    "a type above the optional ones": (b"\x91\xce\x00\x01\x00\x00", CloseCode.UNSUPPORTED),
}
_WRONG: dict[str, Any] = {
    "nil": None,
    "a boolean": True,
    "an array": [],
    "a map": {},
    "bytes": b"s",
    "a string": "",
    "a number": -1,
}
_CLIENT_ID = 1 << 52
#: What is wrong with a field, by frame and field: values beside those of a wrong type.
_FIELDS: dict[tuple[str, str], dict[str, Any]] = {
    ("Hello", "versions"): {"an item that is no uint": ["1"], "a negative one": [-1], "above 2^53 - 1": [UINT_MAX + 1]},
    ("Hello", "device"): {"a character too many": ID_MAX + "x", "a space": "a b", "a line's end": "a\n", "é": "é"},
    ("Hello", "agent"): {"a character too many": SHORT_MAX + "x"},
    ("Open", "session"): {"empty": "", "a slash": "../x", "a NUL": "a\x00", "a character too many": ID_MAX + "x"},
    ("Open", "vectors"): {"another layer": {"presence": b"\x00"}, "a string": {"state": "\x00"}},
    ("Open", "client_ids"): {"an item that is no uint": [_CLIENT_ID, "5"], "above 2^53 - 1": [UINT_MAX + 1]},
    ("Open", "version"): {"above 2^53 - 1": UINT_MAX + 1},
    ("Push", "layer"): {"presence": "presence", "a capital": "State", "empty": ""},
    ("Push", "number"): {"negative": -1, "above 2^53 - 1": UINT_MAX + 1},
    ("Declare", "client_ids"): {"a boolean among them": [True], "nil among them": [None]},
    ("Ping", "nonce"): {"above 2^53 - 1": UINT_MAX + 1},
    ("Serve", "worker"): {"empty": "", "a slash": "a/b", "a character too many": ID_MAX + "x"},
    ("Serve", "per_session"): {"none": 0, "above 2^53 - 1": UINT_MAX + 1},
    ("Claim", "run"): {"empty": "", "a character too many": ID_MAX + "x"},
    ("Claim", "policy"): {"empty": "", "another word": "later", "a capital": "Wait"},
    ("Claim", "attempts_max"): {"none": 0, "one too many": 101},
    ("Watch", "after"): {"a character too many": SHORT_MAX + "x"},
    ("Watch", "limit"): {"negative": -1, "above 2^53 - 1": UINT_MAX + 1},
    ("Index", "rows"): {
        "eleven items": [to_json(BLANK)[:11]],
        "a row that is a map": [{}],
        "a session that is no id": [["a b", *to_json(BLANK)[1:]]],
        "tags that are no strings": [["s", "", [1], *to_json(BLANK)[3:]]],
        "a time below zero": [[*to_json(BLANK)[:4], -1, *to_json(BLANK)[5:]]],
        "running that is an array": [[*to_json(BLANK)[:9], [], {}, ""]],
    },
    ("IndexChanged", "gone"): {"not an array": {"a": "b"}, "an item that is no id": ["a/b"]},
    ("Welcome", "heartbeat_s"): {"infinite": float("inf"), "NaN": float("nan")},
    ("Opened", "rights"): {"an item that is no string": ["state", 1]},
    ("Opened", "roots"): {"a kind that is a number": {"ui": 1}},
    ("Opened", "presence"): {"five items": [["p", "s", "n", "k", "d"]], "a number": [[1, "s", "n", "k", "d", {}]]},
    ("PresenceChanged", "entries"): {"not an array": {"p": []}, "an entry that is a map": [{}]},
    ("Reject", "code"): {"a number, as in Closed": 4_403, "a character too many": SHORT_MAX + "x"},
    ("Closed", "code"): {"a string, as in Reject": "gap"},
    ("Storage", "full"): {"a number": 1},
    ("Work", "message"): {"a space": "a b", "a character too many": ID_MAX + "x"},
}


def refusal_vectors() -> Vectors:
    """Return the frames that must be refused."""
    cases = [_case(name, sender, data, code) for name, (data, code) in _GARBAGE.items() for sender in _SENDERS]
    for sender, table in _SENDERS.items():
        for kind in table.values():
            cases += _broken(sender, kind)
    push = encode(Push("s", Layer.STATE, 1, bytes(DEFAULT_LIMITS.frame_bytes_max - 15)))
    cases.append(_case("one byte over frame_bytes_max", "client", push, CloseCode.TOO_BIG))
    cases.append(_case("what a server sends, from a client", "client", encode(_plain_of("Ack")), CloseCode.UNSUPPORTED))
    cases.append(
        _case("what a client sends, from a server", "server", encode(_plain_of("Ping")), CloseCode.UNSUPPORTED)
    )
    cases.append(_case("deep nesting", "client", b"\x91" * 5_000, CloseCode.BAD_MESSAGE))
    # Stock libraries of JavaScript see no difference in these.
    utf8, floats = "strict UTF-8", "floats told from integers"
    for name, data, needs in (
        ("a token that is not UTF-8", b"\x92\x05\xa2\xff\xfe", utf8),
        ("half a surrogate pair", b"\x92\x05\xa3\xed\xa0\x80", utf8),
        ("a whole float for a uint", pack([7, 1.0]), floats),
    ):
        cases.append(_case(name, "client", data, CloseCode.BAD_MESSAGE, needs=needs))
    above = pack([74, UINT_MAX + 1])
    cases.append(_case("an integer above 2^53 - 1", "server", above, CloseCode.BAD_MESSAGE, needs=floats))
    return {"about": "frames that close the link with `code`", "cases": cases}


_SENDERS: dict[str, dict[int, type[Any]]] = {"client": _CLIENT_TYPES, "server": _SERVER_TYPES}


def _plain_of(name: str) -> Any:
    return next(_plain(kind) for table in _SENDERS.values() for kind in table.values() if kind.__name__ == name)


def _broken(sender: str, kind: type[Any]) -> list[Vectors]:
    """Return a frame with each field wrong in each way, and one with a field too few."""
    body = unpack(encode(_plain(kind)))
    cases = [_case(f"{kind.__name__} without its last field", sender, pack(body[:-1]), CloseCode.BAD_MESSAGE)]
    for at, name in enumerate(kind.__dataclass_fields__, start=1):
        ways = {**_wrong_types(name, body[at]), **_FIELDS.get((kind.__name__, name), {})}
        if name != "state":
            ways["a timestamp"] = msgpack.Timestamp(1)
        for way, value in ways.items():
            wrong = pack([*body[:at], value, *body[at + 1 :]])
            cases.append(_case(f"{kind.__name__}.{name}: {way}", sender, wrong, CloseCode.BAD_MESSAGE))
    return cases


def _wrong_types(field: str, good: Any) -> dict[str, Any]:
    """Return values of types that `field` does not take, told by a good value of it."""
    if field == "state":
        return {}  # Any JSON is a frame; what a presence may hold is section 3's, under SetPresence.
    kinds = {str: "a string", bool: "a boolean", bytes: "bytes", int: "a number", float: "a number", dict: "a map"}
    takes = kinds.get(type(good), "an array")
    ways = {way: value for way, value in _WRONG.items() if way != takes}
    if takes == "a number" and type(good) is int and field not in _NUMBERS:
        ways["negative"] = -1
        ways["a fraction"] = 0.5
    return ways


_NUMBERS = {"heartbeat_s", "expires_at", "now", "retry_after_s"}


def _case(name: str, sender: str, data: bytes, code: CloseCode, *, needs: str = "") -> Vectors:
    case: dict[str, Any] = {"name": name, "from": sender, "hex": to_hex(data), "code": int(code)}
    return {**case, "needs": needs} if needs else case
