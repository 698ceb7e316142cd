"""A tiny encoder of Yjs v1 updates, for tests: it writes whatever it is told, well-formed or not."""

from collections.abc import Mapping, Sequence

from syncd.core.update import Content, Id, Kind

ABC = 11
XYZ = 22


def uint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    out.append(value)
    return bytes(out)


def string(text: str | bytes) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return uint(len(raw)) + raw


def ident(ref: Id) -> bytes:
    return uint(ref[0]) + uint(ref[1])


def item(
    content: int,
    body: bytes,
    *,
    origin: Id | None = None,
    right: Id | None = None,
    parent: str | Id = "t",
    key: str | None = None,
) -> bytes:
    """One struct; `parent` and `key` are written only where neither origin is."""
    info = content | (0x80 if origin else 0) | (0x40 if right else 0) | (0x20 if key is not None else 0)
    out = bytes([info])
    for ref in (origin, right):
        if ref is not None:
            out += ident(ref)
    if origin is None and right is None:
        out += b"\x01" + string(parent) if isinstance(parent, str) else b"\x00" + ident(parent)
        if key is not None:
            out += string(key)
    return out + body


def gc(length: int) -> bytes:
    return b"\x00" + uint(length)


def deleted(
    length: int, *, origin: Id | None = None, right: Id | None = None, parent: str | Id = "t", key: str | None = None
) -> bytes:
    return item(Content.DELETED, uint(length), origin=origin, right=right, parent=parent, key=key)


def text(
    value: str, *, origin: Id | None = None, right: Id | None = None, parent: str | Id = "t", key: str | None = None
) -> bytes:
    return item(Content.STRING, string(value), origin=origin, right=right, parent=parent, key=key)


def values(
    *encoded: bytes, origin: Id | None = None, right: Id | None = None, parent: str | Id = "a", key: str | None = None
) -> bytes:
    """Any content; each value is already encoded."""
    body = uint(len(encoded)) + b"".join(encoded)
    return item(Content.ANY, body, origin=origin, right=right, parent=parent, key=key)


def shared(
    kind: Kind | int,
    *,
    origin: Id | None = None,
    right: Id | None = None,
    parent: str | Id = "a",
    key: str | None = None,
) -> bytes:
    body = uint(kind) + (string("p") if kind == Kind.XML_ELEMENT else b"")
    return item(Content.TYPE, body, origin=origin, right=right, parent=parent, key=key)


TRUE = b"\x78"
NULL = b"\x7e"


def section(client: int, clock: int, *structs: bytes) -> bytes:
    return uint(len(structs)) + uint(client) + uint(clock) + b"".join(structs)


def update(*sections: bytes, deletes: Mapping[int, Sequence[tuple[int, int]]] | None = None) -> bytes:
    """An update of `sections`; `deletes` maps client ids to `(clock, length)`."""
    out = uint(len(sections)) + b"".join(sections)
    out += uint(len(deletes or {}))
    for client, ranges in (deletes or {}).items():
        out += uint(client) + uint(len(ranges)) + b"".join(uint(clock) + uint(length) for clock, length in ranges)
    return out
