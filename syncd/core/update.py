"""The Yjs v1 update format: decode one strictly, encode the few that the server writes itself.

Knows nothing of documents: what an update means in one is `index.py`'s matter, who may write it is `author.py`'s.

Layout of an update, all integers as `varint.py` reads them::

    clients (structs client clock struct*)*  clients (client ranges (clock length)*)*

A struct is an info byte, then for all but a GC struct the ids of its left (0x80) and right origin (0x40), or with
neither its parent, `1 root` or `0 id`, and with 0x20 a map key; then its content, named by the info byte's low bits.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NoReturn, TypeAlias

from syncd.core.errors import RejectCode, Rejected
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.core.value import check_any, check_json, cut_short, read_any, read_bytes, write_any, write_string
from syncd.core.varint import CLOCK_MAX, read_uint, write_uint

#: Changes nothing: no structs, no deletions.
EMPTY_UPDATE: Final = b"\x00\x00"


class Content(IntEnum):
    """What a struct holds: the low bits of its info byte. Sub-documents (9), skips (10) and moves (11) are refused.

    JSON is refused as well: no client has written it for years, and yrs reads one string too many.
    """

    GC = 0
    DELETED = 1
    JSON = 2
    BINARY = 3
    STRING = 4
    EMBED = 5
    FORMAT = 6
    TYPE = 7
    ANY = 8


class Kind(IntEnum):
    """What a shared type is: Yjs' type references. XML hooks (5) are refused: pycrdt cannot read them."""

    ARRAY = 0
    MAP = 1
    TEXT = 2
    XML_ELEMENT = 3
    XML_FRAGMENT = 4
    XML_TEXT = 6


#: A client id and a clock.
Id: TypeAlias = tuple[int, int]
#: `(clock, length, content, origin, right origin, parent, key, kind)`, a plain tuple for speed. The content is a
#: `Content`'s number; the parent is a root's name or a type's id and is None if there is an origin; the kind is that
#: of a `TYPE`'s content.
Struct: TypeAlias = tuple[int, int, int, Id | None, Id | None, str | Id | None, str | None, Kind | None]


@dataclass(slots=True)
class DecodedUpdate:
    """What an update carries.

    `sections` maps a client id to its structs, whose clocks are contiguous. `deletes` holds `(client, start, end)`,
    ascending and disjoint for each client. `low_surrogates` maps a client id to the clocks, ascending, that are the
    second half of a character beyond U+FFFF. `values` maps the id of each struct of JSON values, or of text, to the
    offset of its content, for `read_value` and `read_text`. `structs` counts them all.
    """

    sections: dict[int, list[Struct]] = field(default_factory=dict)
    deletes: list[tuple[int, int, int]] = field(default_factory=list)
    low_surrogates: dict[int, "array[int]"] = field(default_factory=dict)
    values: dict[Id, int] = field(default_factory=dict)
    structs: int = 0


def decode_update(data: bytes, limits: Limits) -> DecodedUpdate:
    """Decode an update; plan it in the document's `ContainerIndex` before it goes anywhere near a document.

    Takes no more memory than a small multiple of the bytes it read, and never recurses. Widen `update_structs_max` and
    `update_clients_max` for whole documents from the own store.

    Raises:
        Rejected: `malformed`, `too_deep`, `too_many_structs`, `too_many_clients`, `clock_range`,
            `unsupported_content`, or `too_large` for a root's name or a map key.
    """
    update = DecodedUpdate({}, [], {}, {})
    try:
        clients, at = read_uint(data, 0)
        if clients > limits.update_clients_max:
            raise Rejected(RejectCode.TOO_MANY_CLIENTS, f"structs of {clients} clients")
        for _ in range(clients):
            at = _read_section(data, at, update, limits)
        at = _read_deletes(data, at, update, limits)
    except IndexError:
        cut_short()
    except UnicodeDecodeError:
        raise Rejected(RejectCode.MALFORMED, "a string is not UTF-8") from None
    if at != len(data):
        raise Rejected(RejectCode.MALFORMED, "bytes behind the update")
    return update


def read_value(data: bytes, update: DecodedUpdate, id: Id) -> Json:
    """Return the first JSON value of the struct `id` of `update`, which `data` was decoded to.

    Raises:
        KeyError: that struct holds no JSON values.
    """
    _, at = read_uint(data, update.values[id])
    return read_any(data, at)[0]


def read_text(data: bytes, update: DecodedUpdate, id: Id) -> str:
    """Return the text of the struct `id` of `update`, which `data` was decoded to.

    Raises:
        KeyError: that struct holds neither text nor JSON values.
    """
    return read_bytes(data, update.values[id])[0].decode()


def encode_prefix(client_id: int, clock: int) -> bytes:
    """Encode an update that brings an empty document to `clock` of `client_id`, without any content.

    So a small document can go on under a client id that has written elsewhere. Never send it to anybody.
    """
    if not clock:
        return EMPTY_UPDATE
    out = bytearray(b"\x01\x01")
    write_uint(out, client_id)
    out += b"\x00\x00"  # from clock 0, a GC struct
    write_uint(out, clock)
    out.append(0)
    return bytes(out)


def encode_map_entries(client_id: int, clock: int, root: str, entries: Sequence[tuple[str, Json]]) -> bytes:
    """Encode an update that sets new keys of the root map `root`, one struct each from `clock` on.

    The keys must not have been set before: an overwrite would have to name what it overwrites.

    Raises:
        LocalProtocolError: a value is not JSON, or holds a number or string that Yjs cannot carry.
    """
    if not entries:
        return EMPTY_UPDATE
    out = bytearray(b"\x01")
    for number in (len(entries), client_id, clock):
        write_uint(out, number)
    for key, value in entries:
        out += b"\x28\x01"  # an Any with a map key, below a root
        write_string(out, root)
        write_string(out, key)
        out.append(1)
        write_any(out, value)
    out.append(0)
    return bytes(out)


# Plain numbers for the loops below: looking up an enumeration's member costs more than reading a byte.
_GC: Final = int(Content.GC)
_STRING: Final = int(Content.STRING)
_TYPE: Final = int(Content.TYPE)
_ANY: Final = int(Content.ANY)
_KINDS: Final = {int(kind): kind for kind in Kind}
# A character beyond U+FFFF, and the first byte of its UTF-8, which is quicker to find.
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")
_ASTRAL_BYTE: Final = re.compile(rb"[\xf0-\xf4]")


def _read_section(data: bytes, at: int, update: DecodedUpdate, limits: Limits) -> int:
    """Read one client's structs into `update`; return the offset behind them."""
    count, at = read_uint(data, at)
    update.structs += count
    if update.structs > limits.update_structs_max:
        raise Rejected(RejectCode.TOO_MANY_STRUCTS, f"more than {limits.update_structs_max} structs")
    if not 0 < count <= len(data) - at:
        raise Rejected(RejectCode.MALFORMED, "a client without structs, or fewer than announced")
    begin = at
    client, at = read_uint(data, at)
    # An origin is nearly always the same client's: comparing the bytes is cheaper than reading eight of them.
    own, own_length = data[begin:at], at - begin
    clock, at = read_uint(data, at)
    structs: list[Struct] = []
    if update.sections.setdefault(client, structs) is not structs:
        raise Rejected(RejectCode.MALFORMED, "a client's structs come twice")
    for _ in range(count):
        info = data[at]
        at += 1
        content = info & 31
        origin = right_origin = parent = key = kind = None
        if info & 0x80:
            if data.startswith(own, at):
                origin_client = client
                at += own_length
            else:
                origin_client, at = read_uint(data, at)
            origin_clock, at = read_uint(data, at)
            origin = (origin_client, origin_clock)
        if info & 0x40:
            right_origin, at = _read_id(data, at)
        elif not info & 0x80 and content:
            parent, key, at = _read_parent(data, at, info, limits)
        if content == _STRING:
            update.values[client, clock] = at
            length, at = _read_string_content(data, at, client, clock, update)
        elif content == _TYPE:
            kind, at = _read_type(data, at)
            length = 1
        elif content or not info:
            if content == _ANY:
                update.values[client, clock] = at
            length, at = _LENGTH_READERS.get(content, _refuse_content)(data, at, limits)
        else:
            raise Rejected(RejectCode.MALFORMED, "a GC struct with flags")
        if not length:
            raise Rejected(RejectCode.MALFORMED, "content of length zero")
        structs.append((clock, length, content, origin, right_origin, parent, key, kind))
        clock += length
        if clock > CLOCK_MAX:
            raise Rejected(RejectCode.CLOCK_RANGE, "a struct ends above 2^31 - 1")
    return at


def _read_id(data: bytes, at: int) -> tuple[Id, int]:
    client, at = read_uint(data, at)
    clock, at = read_uint(data, at)
    return (client, clock), at


def _read_parent(data: bytes, at: int, info: int, limits: Limits) -> tuple[str | Id, str | None, int]:
    named = data[at]
    parent: str | Id
    if named == 1:
        parent, at = _read_name(data, at + 1, limits)
    elif named == 0:
        parent, at = _read_id(data, at + 1)
    else:
        raise Rejected(RejectCode.MALFORMED, "a parent is neither a root nor an id")
    key = None
    if info & 0x20:
        key, at = _read_name(data, at, limits)
    return parent, key, at


def _read_name(data: bytes, at: int, limits: Limits) -> tuple[str, int]:
    """Read a root's name or a map key."""
    raw, at = read_bytes(data, at)
    if len(raw) > limits.key_bytes_max:
        raise Rejected(RejectCode.TOO_LARGE, f"a root or key of more than {limits.key_bytes_max} bytes")
    return raw.decode(), at


def _read_string_content(data: bytes, at: int, client: int, clock: int, update: DecodedUpdate) -> tuple[int, int]:
    """Return a string's length in UTF-16 units, which is what its clocks count, and the offset behind it."""
    raw, at = read_bytes(data, at)
    if raw.isascii():
        return len(raw), at
    text = raw.decode()
    length = len(text)
    if _ASTRAL_BYTE.search(raw):
        lows = update.low_surrogates.setdefault(client, array("I"))
        for count, match in enumerate(_ASTRAL.finditer(text), start=1):
            low = clock + match.start() + count
            if low > CLOCK_MAX:
                raise Rejected(RejectCode.CLOCK_RANGE, "a struct ends above 2^31 - 1")
            lows.append(low)
            length += 1
    return length, at


def _read_type(data: bytes, at: int) -> tuple[Kind, int]:
    kind = _KINDS.get(data[at])
    if kind is None:
        raise Rejected(RejectCode.UNSUPPORTED_CONTENT, "a shared type of unknown kind")
    at += 1
    if kind is Kind.XML_ELEMENT:
        name, at = read_bytes(data, at)
        name.decode()
    return kind, at


# Readers of the other contents: each returns the length in clocks and the offset behind the content.


def _read_length(data: bytes, at: int, limits: Limits) -> tuple[int, int]:
    return read_uint(data, at)


def _read_binary(data: bytes, at: int, limits: Limits) -> tuple[int, int]:
    return 1, read_bytes(data, at)[1]


def _read_embed(data: bytes, at: int, limits: Limits) -> tuple[int, int]:
    raw, at = read_bytes(data, at)
    check_json(raw.decode(), limits.value_depth_max)
    return 1, at


def _read_format(data: bytes, at: int, limits: Limits) -> tuple[int, int]:
    name, at = read_bytes(data, at)
    name.decode()
    return _read_embed(data, at, limits)


def _read_any(data: bytes, at: int, limits: Limits) -> tuple[int, int]:
    count, at = read_uint(data, at)
    if count > len(data) - at:
        cut_short()
    return count, check_any(data, at, count, limits.value_depth_max)


def _refuse_content(data: bytes, at: int, limits: Limits) -> NoReturn:
    raise Rejected(RejectCode.UNSUPPORTED_CONTENT, "sub-document, move, skip, JSON or unknown content")


_LENGTH_READERS: Final = {
    int(Content.GC): _read_length,
    int(Content.DELETED): _read_length,
    int(Content.BINARY): _read_binary,
    int(Content.EMBED): _read_embed,
    int(Content.FORMAT): _read_format,
    int(Content.ANY): _read_any,
}


def _read_deletes(data: bytes, at: int, update: DecodedUpdate, limits: Limits) -> int:
    """Read the delete set into `update`; return the offset behind it."""
    clients, at = read_uint(data, at)
    if clients > limits.update_clients_max:
        raise Rejected(RejectCode.TOO_MANY_CLIENTS, f"deletions of {clients} clients")
    if not clients:
        return at
    seen = set()
    ranges = 0
    for _ in range(clients):
        client, at = read_uint(data, at)
        count, at = read_uint(data, at)
        ranges += count
        if ranges > limits.update_structs_max:
            raise Rejected(RejectCode.TOO_MANY_STRUCTS, f"more than {limits.update_structs_max} deletions")
        if client in seen or not 0 < count <= len(data) - at:
            raise Rejected(RejectCode.MALFORMED, "a client's deletions come twice, or fewer than announced")
        seen.add(client)
        known = 0
        for _ in range(count):
            clock, at = read_uint(data, at)
            length, at = read_uint(data, at)
            if clock < known or not length:
                raise Rejected(RejectCode.MALFORMED, "deletions are empty, overlap or do not ascend")
            known = clock + length
            if known > CLOCK_MAX:
                raise Rejected(RejectCode.CLOCK_RANGE, "a deletion ends above 2^31 - 1")
            update.deletes.append((client, clock, known))
    return at
