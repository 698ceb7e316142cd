"""Values inside an update: lib0's Any and the JSON of embeds and formats, checked without being built, and written.

Knows nothing of the structs around them. What a reader here accepts, yrs and every Yjs client read alike.
"""

import re
import struct
import sys
from json import JSONDecoder, dumps
from typing import Final, NoReturn

from syncd.core.errors import LocalProtocolError, RejectCode, Rejected
from syncd.core.messages import Json
from syncd.core.varint import UINT_MAX, read_uint, write_uint

# lib0's Any: tags of values with a fixed number of bytes behind them, then the others.
_FIXED_BYTES: Final = {127: 0, 126: 0, 121: 0, 120: 0, 124: 4, 123: 8, 122: 8}
_ANY_STRING, _ANY_OBJECT, _ANY_ARRAY, _ANY_BYTES, _ANY_INT = 119, 118, 117, 116, 125
_CONSTANTS: Final[dict[int, Json]] = {127: None, 126: None, 121: False, 120: True}
_FORMATS: Final = {124: ">f", 123: ">d", 122: ">q"}
_FLOAT_MAX: Final = sys.float_info.max


def cut_short() -> NoReturn:
    """Refuse an update that ends too early."""
    raise Rejected(RejectCode.MALFORMED, "update cut short") from None


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Read bytes with their length before them; return them and the offset behind them.

    Raises:
        Rejected: `malformed`.
    """
    length, at = read_uint(data, at)
    end = at + length
    if end > len(data):
        cut_short()
    return data[at:end], end


def check_any(data: bytes, at: int, count: int, depth_max: int) -> int:
    """Check `count` Any values; return the offset behind them. Iterative: the nesting is the sender's choice.

    Raises:
        Rejected: `malformed` or `too_deep`.
        IndexError, UnicodeDecodeError: for the caller to turn into `malformed`, once for all.
    """
    outer: list[tuple[int, bool]] = []
    left, keyed = count, False
    while True:
        while not left:
            if not outer:
                return at
            left, keyed = outer.pop()
        left -= 1
        if keyed:
            raw, at = read_bytes(data, at)
            raw.decode()
        tag = data[at]
        at += 1
        if tag == _ANY_STRING:
            raw, at = read_bytes(data, at)
            raw.decode()
        elif tag in _FIXED_BYTES:
            at += _FIXED_BYTES[tag]
            if at > len(data):
                cut_short()
        elif tag == _ANY_INT:
            at = _skip_int(data, at)
        elif tag == _ANY_BYTES:
            at = read_bytes(data, at)[1]
        elif tag in (_ANY_ARRAY, _ANY_OBJECT):
            members, at = read_uint(data, at)
            if members > len(data) - at:
                cut_short()
            outer.append((left, keyed))
            if len(outer) > depth_max:
                raise Rejected(RejectCode.TOO_DEEP, f"values nested more than {depth_max} deep")
            left, keyed = members, tag == _ANY_OBJECT
        else:
            raise Rejected(RejectCode.MALFORMED, "a value of unknown type")


def _skip_int(data: bytes, at: int) -> int:
    """Check one signed integer: 6 bits and the sign in the first byte, then 7 bits each."""
    byte = data[at]
    at += 1
    value, shift = byte & 63, 6
    while byte > 127:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if value > UINT_MAX or not byte:
            raise Rejected(RejectCode.MALFORMED, "an integer above 2^53 - 1, or written longer than needed")
    return at


# A string as a whole, closed or not, or a bracket. Possessive, so that no input makes it go back.
_JSON_MARK: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def check_json(text: str, depth_max: int) -> None:
    """Check that `text` is JSON which JavaScript and yrs both read.

    Raises:
        Rejected: `malformed` or `too_deep`.
    """
    if text.count("[") + text.count("{") > depth_max:
        _check_json_depth(text, depth_max)
    try:
        value = _JSON.decode(text)
        if "\\u" in text:
            dumps(value, ensure_ascii=False).encode()  # yrs refuses half a surrogate pair
    except ValueError:
        raise Rejected(RejectCode.MALFORMED, "an embed or format that is not JSON") from None


def _check_json_depth(text: str, depth_max: int) -> None:
    """Bound the nesting before the JSON parser, which recurses, sees it."""
    depth = 0
    for match in _JSON_MARK.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > depth_max:
                raise Rejected(RejectCode.TOO_DEEP, f"JSON nested more than {depth_max} deep")
        elif mark in "]}":
            depth -= 1
            if depth < 0:
                return  # the parser stops here


def _json_number(text: str) -> float:
    value = float(text)
    # yrs refuses what is no float64, and integers that fit an u64 but no i64.
    if value - value != 0 or (text.isdigit() and len(text) < 21 and 1 << 63 <= int(text) < 1 << 64):
        raise ValueError(text)
    return value


def _json_constant(text: str) -> NoReturn:
    raise ValueError(text)  # NaN and Infinity are Python's own


_JSON: Final = JSONDecoder(parse_int=_json_number, parse_float=_json_number, parse_constant=_json_constant)


def write_string(out: bytearray, text: str) -> None:
    """Append `text` with its length before it.

    Raises:
        LocalProtocolError: it holds half a surrogate pair.
    """
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError("half a surrogate pair cannot be written; replace it first") from None
    write_uint(out, len(raw))
    out += raw


def read_any(data: bytes, at: int) -> tuple[Json, int]:
    """Return one Any value, which `check_any` accepted, and the offset behind it. Undefined is read as None."""
    tag = data[at]
    at += 1
    if tag == _ANY_STRING:
        raw, at = read_bytes(data, at)
        return raw.decode(), at
    if tag == _ANY_INT:
        return _read_int(data, at)
    if tag == _ANY_BYTES:
        return read_bytes(data, at)
    if tag == _ANY_ARRAY:
        count, at = read_uint(data, at)
        items = []
        for _ in range(count):
            item, at = read_any(data, at)
            items.append(item)
        return items, at
    if tag == _ANY_OBJECT:
        count, at = read_uint(data, at)
        members: dict[str, Json] = {}
        for _ in range(count):
            raw, at = read_bytes(data, at)
            members[raw.decode()], at = read_any(data, at)
        return members, at
    end = at + _FIXED_BYTES[tag]
    if tag in _FORMATS:
        return struct.unpack(_FORMATS[tag], data[at:end])[0], end
    return _CONSTANTS[tag], end


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    at += 1
    value, shift, negative = byte & 63, 6, byte & 64
    while byte > 127:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
    return -value if negative else value, at


def write_any(out: bytearray, value: Json) -> None:
    """Append one JSON value as Yjs would write it.

    Raises:
        LocalProtocolError: it is not JSON, or holds a number or string that Yjs cannot carry.
    """
    if value is None:
        out.append(126)
    elif isinstance(value, bool):
        out.append(120 if value else 121)
    elif isinstance(value, int) and abs(value) < 1 << 31:
        _write_int(out, value)
    elif isinstance(value, int | float):
        if not abs(value) <= _FLOAT_MAX or float(value) != value:
            raise LocalProtocolError("a number that no float64 holds exactly cannot be written; write a string")
        out += b"\x7b" + struct.pack(">d", value)
    elif isinstance(value, str):
        out.append(_ANY_STRING)
        write_string(out, value)
    elif isinstance(value, dict):
        out.append(_ANY_OBJECT)
        write_uint(out, len(value))
        for key, part in value.items():
            write_string(out, key)
            write_any(out, part)
    elif isinstance(value, list | tuple):
        out.append(_ANY_ARRAY)
        write_uint(out, len(value))
        for part in value:
            write_any(out, part)
    else:
        raise LocalProtocolError(f"a {type(value).__name__} cannot be written; use JSON values")


def _write_int(out: bytearray, value: int) -> None:
    rest = abs(value)
    out += bytes((_ANY_INT, (128 if rest > 63 else 0) | (64 if value < 0 else 0) | rest & 63))
    if rest > 63:
        write_uint(out, rest >> 6)
