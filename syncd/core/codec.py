"""Frames to bytes and back: msgpack arrays `[type, field, ...]`, every field checked on the way in.

The only module that imports msgpack. Holds no rules beyond the types of fields; PROTOCOL.md section 3 lists them.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final

import msgpack

from syncd.core.errors import CloseCode, RemoteProtocolError
from syncd.core.ids import is_id
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
    ServerMessage,
    SetPresence,
    Storage,
    Unknown,
    Update,
    Watch,
    Welcome,
    Work,
)
from syncd.core.work import ATTEMPTS_MAX, POLICIES

# One for all: making one, with its buffer, costs five times what packing a frame does.
_PACKER: Final = msgpack.Packer(use_bin_type=True)

#: Frames of these types may be ignored by who does not know them; all others end the link.
OPTIONAL_TYPES: Final = range(128, 1 << 16)

_CLIENT_TYPES: Final[dict[int, type[Any]]] = {
    1: Hello,
    2: Open,
    3: Push,
    4: SetPresence,
    5: Refresh,
    6: Leave,
    7: Ping,
    8: Declare,
    9: Serve,
    10: Claim,
    11: Watch,
}
_SERVER_TYPES: Final[dict[int, type[Any]]] = {
    65: Welcome,
    66: Opened,
    67: Ack,
    68: Reject,
    69: Update,
    70: PresenceChanged,
    71: Closed,
    72: Bye,
    73: Pong,
    74: Refreshed,
    75: Storage,
    76: Work,
    77: Index,
    78: IndexChanged,
}
_NUMBERS: Final = {kind: number for table in (_CLIENT_TYPES, _SERVER_TYPES) for number, kind in table.items()}
#: Names of the fields of each frame, in the order of the wire.
_FIELDS: Final = {kind: tuple(field.name for field in fields(kind)) for kind in _NUMBERS}


def encode(message: ClientMessage | ServerMessage) -> bytes:
    """Return the frame of `message`."""
    kind = type(message)
    if kind is Unknown:  # PROTOCOL 3: the optional range is for other versions to fill
        raise TypeError("an unknown frame cannot be sent")
    body: list[Any] = [_NUMBERS[kind]]
    for name, to_wire in _ENCODERS[kind]:
        value = getattr(message, name)
        body.append(value if to_wire is None else to_wire(value))
    return pack(body)


def pack(value: Json) -> bytes:
    """Return `value` as msgpack: for frames, and for what the log keeps."""
    packed: bytes = _PACKER.pack(value)
    return packed


def unpack(data: bytes) -> Json:
    """Return the value of trusted msgpack `data`, such as an entry of our own log.

    Raises:
        ValueError: it is not msgpack.
    """
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (msgpack.exceptions.UnpackException, msgpack.exceptions.StackError, RecursionError, TypeError) as error:
        raise ValueError(f"not msgpack: {type(error).__name__}") from error


def decode_client(data: bytes, limits: Limits) -> ClientMessage:
    """Return the frame a client sent.

    Raises:
        RemoteProtocolError: BAD_MESSAGE, TOO_BIG or UNSUPPORTED; close the link with its code.
    """
    if len(data) > limits.frame_bytes_max:
        raise RemoteProtocolError(CloseCode.TOO_BIG, f"frame of {len(data)} bytes")
    return _decode(data, _CLIENT_TYPES)  # type: ignore[no-any-return]


def decode_server(data: bytes) -> ServerMessage:
    """Return the frame a server sent.

    Raises:
        RemoteProtocolError: BAD_MESSAGE or UNSUPPORTED; close the link with its code.
    """
    return _decode(data, _SERVER_TYPES)  # type: ignore[no-any-return]


def _decode(data: bytes, table: Mapping[int, type[Any]]) -> Any:
    try:
        body = msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException, msgpack.exceptions.StackError) as error:
        raise _bad(f"not a msgpack frame ({type(error).__name__})") from error
    if type(body) is not list or not body or type(body[0]) is not int:
        raise _bad("a frame is an array that starts with its type")
    kind = table.get(body[0])
    if kind is None:
        if body[0] in OPTIONAL_TYPES:
            return Unknown(body[0], tuple(body[1:]))
        raise RemoteProtocolError(CloseCode.UNSUPPORTED, f"frame type {body[0]} is not known here")
    checks = _CHECKS[kind]
    # PROTOCOL 3: fields behind those known are ignored, so that later versions may add some.
    if len(body) <= len(checks):
        raise _bad(f"{kind.__name__.lower()} has {len(body) - 1} fields, {len(checks)} are needed")
    at = 0
    try:
        for check in checks:
            at += 1
            body[at] = check(body[at])
    except (TypeError, ValueError, KeyError) as error:
        raise _bad(f"{kind.__name__.lower()}.{_FIELDS[kind][at - 1]}: {error}") from None
    return kind(*body[1 : at + 1])


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(CloseCode.BAD_MESSAGE, reason)


# Checks of single fields. Each returns the value, or raises TypeError or ValueError with what is wrong.


def _typed(kind: type[Any], name: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"must be {name}")
        return value

    return check


def _uint(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise TypeError("must be an integer from 0 to 2^53 - 1")
    return value


def _uint_from_1(value: Any) -> int:
    if _uint(value) < 1:
        raise ValueError("must be at least 1")
    return value  # type: ignore[no-any-return]


def _attempts(value: Any) -> int:
    if not 1 <= _uint(value) <= ATTEMPTS_MAX:
        raise ValueError(f"must be from 1 to {ATTEMPTS_MAX}")
    return value  # type: ignore[no-any-return]


def _policy(value: Any) -> str:
    if type(value) is not str or value not in POLICIES:
        raise ValueError(f"must be one of {', '.join(POLICIES)}")
    return value


def _number(value: Any) -> float:
    if type(value) is int and abs(value) < 1 << 53:
        return float(value)
    if type(value) is float and value - value == 0:  # neither infinite nor NaN
        return value
    raise TypeError("must be a finite number")


@lru_cache(maxsize=1024)  # The same few names come with every frame.
def _id(value: Any) -> str:
    if not is_id(value):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 _ -")
    return value  # type: ignore[no-any-return]


def _id_or_empty(value: Any) -> str:
    return "" if value == "" else _id(value)


def _short(value: Any) -> str:
    if type(value) is not str or len(value) > 128:
        raise ValueError("must be a string of at most 128 characters")
    return value


def _layer(value: Any) -> Layer:
    return _LAYERS[value]


def _by_layer(value: Any) -> dict[Layer, bytes]:
    if type(value) is not dict or any(type(part) is not bytes for part in value.values()):
        raise TypeError("must map layers to bytes")
    return {_LAYERS[name]: part for name, part in value.items()}


def _uints(value: Any) -> tuple[int, ...]:
    if type(value) is not list:
        raise TypeError("must be an array of integers")
    return tuple(_uint(item) for item in value)


def _strings(value: Any) -> tuple[str, ...]:
    if type(value) is not list or any(type(item) is not str for item in value):
        raise TypeError("must be an array of strings")
    return tuple(value)


def _string_map(value: Any) -> dict[str, str]:
    if type(value) is not dict or any(type(part) is not str for pair in value.items() for part in pair):
        raise TypeError("must map strings to strings")
    return value


def _entries(value: Any) -> tuple[PresenceEntry, ...]:
    if type(value) is not list:
        raise TypeError("must be an array of entries")
    entries = []
    for row in value:
        if type(row) is not list or len(row) < 6 or any(type(part) is not str for part in row[:5]):
            raise TypeError("an entry is [peer, subject, name, kind, device, state]")
        entries.append(PresenceEntry(row[0], row[1], row[2], row[3], row[4], row[5]))
    return tuple(entries)


def _rows(value: Any) -> tuple[IndexRow, ...]:
    if type(value) is not list:
        raise TypeError("must be an array of rows")
    rows = []
    for row in value:
        if type(row) is not list or len(row) < len(_ROW):
            raise TypeError(f"a row is [{', '.join(name for name, _ in _ROW)}]")
        found = []
        for (name, check), part in zip(_ROW, row, strict=False):
            try:
                found.append(check(part))
            except (TypeError, ValueError) as error:
                raise TypeError(f"{name} of a row {error}") from None
        rows.append(IndexRow(*found))
    return tuple(rows)


def _ids(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        raise TypeError("must be an array of ids")
    return tuple(_id(item) for item in value)


_LAYERS: Final = {str(layer): layer for layer in Layer}
_text = _typed(str, "a string")
_bytes = _typed(bytes, "bytes")
_flag = _typed(bool, "a boolean")
_ROW: Final[tuple[tuple[str, Callable[[Any], Any]], ...]] = (
    ("session", _id),
    ("title", _text),
    ("tags", _strings),
    ("archived", _flag),
    ("at_ms", _uint),
    ("seq", _uint),
    ("excerpt", _text),
    ("unread", _uint),
    ("needs", _strings),
    ("running", _string_map),
    ("here", _string_map),
    ("responsible", _short),
)

_ENCODE: Final[dict[str, Callable[[Any], Any]]] = {
    "layer": str,
    "vectors": lambda value: {str(layer): part for layer, part in value.items()},
    "updates": lambda value: {str(layer): part for layer, part in value.items()},
    "entries": lambda value: [[e.peer, e.subject, e.name, e.kind, e.device, e.state] for e in value],
    "presence": lambda value: [[e.peer, e.subject, e.name, e.kind, e.device, e.state] for e in value],
    "rows": lambda value: [[getattr(row, name) for name, _ in _ROW] for row in value],
}
_DECODE_ANY: Final[dict[str, Callable[[Any], Any]]] = {
    "after": _short,
    "agent": _short,
    "archived": _flag,
    "attempt": _uint,
    "attempts_max": _attempts,
    "caught_up": _uint,
    "client_ids": _uints,
    "code": _uint,
    "device": _id,
    "entries": _entries,
    "expires_at": _number,
    "frame_bytes_max": _uint,
    "full": _flag,
    "gone": _ids,
    "heartbeat_s": _number,
    "incarnation": _short,
    "layer": _layer,
    "limit": _uint,
    "message": _id_or_empty,
    "next": _short,
    "nonce": _uint,
    "now": _number,
    "number": _uint,
    "peer": _id,
    "per_session": _uint_from_1,
    "policy": _policy,
    "presence": _entries,
    "presence_bytes_max": _uint,
    "reason": _text,
    "retry_after_s": _number,
    "rights": _strings,
    "roots": _string_map,
    "rows": _rows,
    "run": _id,
    "seen": _uint,
    "seq": _uint,
    "server": _short,
    "session": _id,
    "slots": _uint,
    "state": lambda value: value,
    "storage_full": _flag,
    "subject": _short,
    "token": _text,
    "update": _bytes,
    "updates": _by_layer,
    "vectors": _by_layer,
    "version": _uint,
    "versions": _uints,
    "whole": _flag,
    "worker": _id,
}
_DECODE: Final[dict[tuple[type[Any], str], Callable[[Any], Any]]] = {(Reject, "code"): _short}
#: Per kind of frame, in the order of the wire: how each field is checked, and how it is written.
_CHECKS: Final = {
    kind: tuple(_DECODE.get((kind, name)) or _DECODE_ANY[name] for name in names) for kind, names in _FIELDS.items()
}
_ENCODERS: Final = {kind: tuple((name, _ENCODE.get(name)) for name in names) for kind, names in _FIELDS.items()}
