"""Vectors of Yjs updates and state vectors: which the scan takes and what they hold, which it refuses and how.

Refused ones are those that the bytes alone show. Knows nothing of authors or documents.
"""

from collections.abc import Mapping
from typing import Any

from syncd.core.errors import RejectCode, Rejected
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.update import EMPTY_UPDATE, Content, Kind, decode_update, encode_map_entries
from syncd.core.varint import CLOCK_MAX, UINT_MAX, decode_state_vector, encode_state_vector
from tests.core import yjs_bytes as yb
from tests.core.yjs_bytes import deleted, gc, section, shared, text, update, values
from tests.vectors.vector import Vectors, to_hex

A, B = 1 << 52, UINT_MAX
#: Values as lib0 writes them, and what they are.
_ANY = {
    "7e": None, "79": False, "78": True, "7d00": 0, "7d41": -1, "7d3f": 63, "7d8001": 64, "7dbfffffff0f": (1 << 31) - 1,
    "7b3fb999999999999a": 0.1, "7c3f000000": 0.5, "7b41e0000000000000": 1 << 31, "7700": "",
    "7704f09f9880": "\U0001f600", "7500": [], "7600": {}, "75017d01": [1], "7601016b7e": {"k": None},
}  # fmt: skip


def _accepted() -> dict[str, tuple[bytes, Mapping[str, str], Any]]:
    """Return updates that a fresh document takes, with the kinds of its roots and what they then hold."""
    words = "a\u00e9\u6f22\U0001f600\u0645"
    any_values = [bytes.fromhex(encoded) for encoded in _ANY]
    return {
        "empty": (EMPTY_UPDATE, {}, {}),
        "text, UTF-16 clocks": (
            update(section(A, 0, text(words), text("!", origin=(A, 5)))), {"t": "text"}, {"t": words + "!"}
        ),
        "text with a deleted piece": (
            update(section(A, 0, text("abc")), deletes={A: [(1, 1)]}), {"t": "text"}, {"t": "ac"}
        ),
        "two writers, an insertion between": (
            update(section(B, 0, text("-", origin=(A, 0), right=(A, 1))), section(A, 0, text("ab"))),
            {"t": "text"},
            {"t": "a-b"},
        ),
        "all values": (update(section(A, 0, values(*any_values))), {"a": "array"}, {"a": list(_ANY.values())}),
        "bytes": (update(section(A, 0, values(b"\x74\x02\x00\xff"))), {"a": "array"}, {"a": [{"$bytes": "00ff"}]}),
        "a map, overwritten once": (
            update(section(A, 0, values(yb.TRUE, parent="m", key="k"), values(yb.NULL, origin=(A, 0)))),
            {"m": "map"},
            {"m": {"k": None}},
        ),
        "nested types": (
            update(
                section(
                    A,
                    0,
                    shared(Kind.MAP, parent="m", key="k"),
                    shared(Kind.ARRAY, parent=(A, 0), key="list"),
                    shared(Kind.TEXT, parent=(A, 1)),
                    text("deep", parent=(A, 2)),
                )
            ),
            {"m": "map"},
            {"m": {"k": {"list": ["deep"]}}},
        ),
        "marks, an embed": (
            update(
                section(
                    A,
                    0,
                    yb.item(Content.FORMAT, yb.string("bold") + yb.string("true")),
                    text("b", origin=(A, 0)),
                    yb.item(Content.FORMAT, yb.string("bold") + yb.string("null"), origin=(A, 1)),
                    yb.item(Content.EMBED, yb.string('{"image":"x"}'), origin=(A, 2)),
                )
            ),
            {"t": "text"},
            {"t": "b"},
        ),
        "what was collected": (
            update(section(A, 0, gc(3), deleted(2), text("left", origin=(A, 4))), deletes={A: [(0, 5)]}),
            {"t": "text"},
            {"t": "left"},
        ),
        "receipts, as the server writes them": (
            encode_map_entries(A, 0, "receipts", [("schema", {"version": 1, "at": 1_000}), ("m:x", {"seq": 1})]),
            {"receipts": "map"},
            {"receipts": {"schema": {"version": 1, "at": 1_000}, "m:x": {"seq": 1}}},
        ),
        "nested as deep as allowed": (
            update(section(A, 0, values(b"\x75\x01" * 32 + yb.NULL))), {"a": "array"}, {"a": [_nested(32)]}
        ),
    }  # fmt: skip


def _nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def _one(struct: bytes, clock: int = 0) -> bytes:
    return update(section(A, clock, struct))


def _refused() -> dict[str, tuple[bytes, RejectCode]]:
    """Return updates that the scan refuses."""
    long_key = "k" * (DEFAULT_LIMITS.key_bytes_max + 1)
    malformed = {
        "no bytes": b"",
        "the empty update cut short": b"\x00",
        "bytes behind the update": EMPTY_UPDATE + b"\x00",
        "a struct cut short": _one(text("abc"))[:-2],
        "an integer longer than needed": b"\x80\x00\x00",
        "an integer longer than eight bytes": b"\x01\x01" + b"\xff" * 9 + b"\x01",
        "an integer above 2^53 - 1": b"\x01\x01" + b"\xff" * 7 + b"\x7f",
        "a client without structs": update(section(A, 0)),
        "a client twice": update(section(A, 0, text("a")), section(A, 1, text("b", origin=(A, 0)))),
        "a client's deletions twice": b"\x00\x02" + (yb.uint(A) + b"\x01\x00\x01") * 2,
        "a client without deletions": b"\x00\x01" + yb.uint(A) + b"\x00",
        "an empty deletion": update(deletes={A: [(0, 0)]}),
        "deletions that overlap": update(deletes={A: [(0, 2), (1, 2)]}),
        "deletions that do not ascend": update(deletes={A: [(5, 1), (0, 1)]}),
        "an empty string": _one(text("")),
        "no values": _one(values()),
        "a GC of no length": _one(gc(0)),
        "a GC struct with flags": _one(b"\x20\x01"),
        "a string that is not UTF-8": _one(yb.item(Content.STRING, yb.string(b"\xff"))),
        "a key that is not UTF-8": _one(b"\x28\x01" + yb.string("m") + yb.string(b"\xff") + b"\x01\x78"),
        "a parent that is neither root nor id": _one(b"\x08\x02\x01\x78"),
        "a value of unknown type": _one(values(b"\x73")),
        "an embed that is not JSON": _one(yb.item(Content.EMBED, yb.string("{"))),
        "a mark that is NaN": _one(yb.item(Content.FORMAT, yb.string("x") + yb.string("NaN"))),
        "half a surrogate pair in an embed": _one(yb.item(Content.EMBED, yb.string('"\\ud800"'))),
    }
    others = {
        "values nested a level too deep": (_one(values(b"\x75\x01" * 33 + yb.NULL)), RejectCode.TOO_DEEP),
        "an embed nested a level too deep": (
            _one(yb.item(Content.EMBED, yb.string("[" * 33 + "]" * 33))), RejectCode.TOO_DEEP
        ),
        "a client too many announced": (
            yb.uint(DEFAULT_LIMITS.update_clients_max + 1), RejectCode.TOO_MANY_CLIENTS
        ),
        "a client too many in the deletions": (
            b"\x00" + yb.uint(DEFAULT_LIMITS.update_clients_max + 1), RejectCode.TOO_MANY_CLIENTS
        ),
        "a struct too many announced": (
            b"\x01" + yb.uint(DEFAULT_LIMITS.update_structs_max + 1) + yb.uint(A) + b"\x00",
            RejectCode.TOO_MANY_STRUCTS,
        ),
        "a deletion too many announced": (
            b"\x00\x01" + yb.uint(A) + yb.uint(DEFAULT_LIMITS.update_structs_max + 1), RejectCode.TOO_MANY_STRUCTS
        ),
        "a clock of 2^31": (_one(gc(1), CLOCK_MAX), RejectCode.CLOCK_RANGE),
        "a length of 2^31": (_one(deleted(CLOCK_MAX + 1)), RejectCode.CLOCK_RANGE),
        "a deletion up to 2^31": (update(deletes={A: [(CLOCK_MAX, 1)]}), RejectCode.CLOCK_RANGE),
        "JSON content": (_one(yb.item(Content.JSON, b"\x01" + yb.string("1"))), RejectCode.UNSUPPORTED_CONTENT),
        "a sub-document": (_one(yb.item(9, yb.string("guid") + b"\x76\x00")), RejectCode.UNSUPPORTED_CONTENT),
        "a skip": (_one(b"\x0a\x01"), RejectCode.UNSUPPORTED_CONTENT),
        "a move": (_one(yb.item(11, b"\x00\x00\x00")), RejectCode.UNSUPPORTED_CONTENT),
        "an XML hook": (_one(yb.item(Content.TYPE, b"\x05" + yb.string("h"))), RejectCode.UNSUPPORTED_CONTENT),
        "a type of unknown kind": (_one(yb.item(Content.TYPE, b"\x07")), RejectCode.UNSUPPORTED_CONTENT),
        "a root's name of 257 bytes": (_one(text("x", parent=long_key)), RejectCode.TOO_LARGE),
        "a key of 257 bytes": (_one(values(yb.NULL, parent="m", key=long_key)), RejectCode.TOO_LARGE),
    }  # fmt: skip
    return {name: (data, RejectCode.MALFORMED) for name, data in malformed.items()} | others


def update_vectors() -> Vectors:
    """Return updates with what the scan says of them."""
    return {
        "about": "Yjs v1 updates: `accepted` ones load into a fresh document, `refused` ones end with `code`",
        "accepted": [_taken(name, *case) for name, case in _accepted().items()],
        "refused": [{"name": n, "hex": to_hex(data), "code": str(code)} for n, (data, code) in _refused().items()],
    }


def _taken(name: str, data: bytes, roots: Mapping[str, str], holds: Any) -> Vectors:
    decoded = decode_update(data, DEFAULT_LIMITS)
    ends = {str(client): structs[-1][0] + structs[-1][1] for client, structs in decoded.sections.items()}
    deletes = [[str(client), start, end] for client, start, end in decoded.deletes]
    return {"name": name, "hex": to_hex(data), "ends": ends, "deletes": deletes, "roots": roots, "holds": holds}


def state_vector_vectors() -> Vectors:
    """Return state vectors with what they say, and refused ones with their code."""
    accepted: dict[str, dict[int, int]] = {
        "empty": {},
        "one client": {A: 7},
        "clocks of all sizes": {A: 0, B: CLOCK_MAX, 1: 127, 2: 128},
        "many clients": {A + n: n for n in range(300)},
    }
    refused = {
        "no bytes": b"",
        "cut short": encode_state_vector({A: 7})[:-1],
        "bytes behind it": encode_state_vector({A: 7}) + b"\x00",
        "a client twice": b"\x02" + (yb.uint(A) + b"\x01") * 2,
        "more announced than there are bytes": yb.uint(1_000) + b"\x00",
        "a client too many": yb.uint(DEFAULT_LIMITS.state_vector_clients_max + 1),
        "a clock of 2^31": b"\x01" + yb.uint(A) + yb.uint(CLOCK_MAX + 1),
        "an integer longer than needed": b"\x01\x80\x00\x00",
    }
    return {
        "about": "Yjs v1 state vectors, client id to clock; `refused` ones in an open close the link with 4400",
        "accepted": [
            {"name": name, "hex": to_hex(encode_state_vector(state)), "clocks": {str(c): n for c, n in state.items()}}
            for name, state in accepted.items()
        ],
        "refused": [{"name": name, "hex": to_hex(data), "code": _code(data)} for name, data in refused.items()],
    }


def _code(data: bytes) -> str:
    try:
        decode_state_vector(data, clients_max=DEFAULT_LIMITS.state_vector_clients_max)
    except Rejected as refusal:
        return str(refusal.code)
    raise AssertionError(f"{data.hex()} is a state vector")
