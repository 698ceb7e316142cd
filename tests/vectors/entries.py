"""Vectors of the log's entries: kinds, bytes and what they hold. Knows nothing of how a log is kept."""

from syncd.core.codec import pack, unpack
from syncd.core.entries import Entry, EntryKind, Snapshot, encode_binding
from syncd.core.messages import Layer
from syncd.core.update import EMPTY_UPDATE
from tests.vectors.frames import UINT_MAX, WORDS
from tests.vectors.vector import Vectors, to_hex, to_json

SNAPSHOTS = {
    "an empty session": Snapshot({}, {}, 0, {}),
    "with everything": Snapshot(
        {Layer.TRANSCRIPT: EMPTY_UPDATE, Layer.STATE: b"\x00\xff"},
        {"server:": [1 << 52], "user:ann": [0, UINT_MAX], f"user:{WORDS[:12]}": []},
        UINT_MAX,
        {"ui": 1, WORDS: 6},
    ),
}
BINDINGS = {"one client id": ("user:ann", [1 << 52]), "none": ("server:", []), "many": ("agent:p", [*range(300)])}


def entry_vectors() -> Vectors:
    """Return entries of every kind."""
    cases: list[Vectors] = []
    for name, snapshot in SNAPSHOTS.items():
        cases.append(_packed(name, Entry(EntryKind.SNAPSHOT, snapshot.encode())))
    later = pack([*unpack(SNAPSHOTS["with everything"].encode()), {"later": 1}])
    cases.append(_packed("a snapshot with a later field", Entry(EntryKind.SNAPSHOT, later)))
    for name, (subject, client_ids) in BINDINGS.items():
        cases.append(_packed(name, encode_binding(subject, client_ids)))
    for kind in (EntryKind.TRANSCRIPT, EntryKind.STATE):
        cases.append({"name": "an update, as it is", "kind": int(kind), "hex": to_hex(EMPTY_UPDATE)})
    refused = {
        "a snapshot of another layout": pack([2, {}, {}, 0, {}]),
        "a field too few": pack([1, {}, {}, 0]),
        "no array": pack({}),
        "not msgpack": b"\xc1",
    }
    return {
        "about": "bytes of a log's entries; `body` is the msgpack array of those that are one",
        "cases": cases,
        "refused": [{"name": name, "kind": 0, "hex": to_hex(data)} for name, data in refused.items()],
    }


def _packed(name: str, entry: Entry) -> Vectors:
    return {
        "name": name,
        "kind": int(entry.kind),
        "hex": to_hex(entry.data),
        "body": to_json(unpack(entry.data)),
    }
