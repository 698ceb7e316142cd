"""What a session's log is made of: typed entries of bytes, and the snapshot that replaces a run of them.

Kinds and layouts are on disk. Knows nothing of how a log is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from syncd.core.codec import pack, unpack
from syncd.core.messages import Layer
from syncd.core.record import record


class EntryKind(IntEnum):
    """What an entry holds. Numbers are on disk: never reuse one."""

    SNAPSHOT = 0
    TRANSCRIPT = 1
    STATE = 2
    BINDING = 3


ENTRY_KIND = {Layer.TRANSCRIPT: EntryKind.TRANSCRIPT, Layer.STATE: EntryKind.STATE}
ENTRY_LAYER = {kind: layer for layer, kind in ENTRY_KIND.items()}


@record
class Entry:
    """One thing to append: an update of a layer, a snapshot, or a binding of client ids."""

    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry as read back. Versions of a session are consecutive; the first may be a snapshot's."""

    version: int
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A session at one version: both documents, whose the client ids are, the last `seq`, the kinds of state roots."""

    updates: Mapping[Layer, bytes]
    bindings: Mapping[str, list[int]]
    seq: int
    roots: Mapping[str, int]

    def encode(self) -> bytes:
        """Return the entry's bytes."""
        updates = {str(layer): update for layer, update in self.updates.items()}
        return pack([1, updates, dict(self.bindings), self.seq, dict(self.roots)])

    @classmethod
    def decode(cls, data: bytes) -> "Snapshot":
        """Return the snapshot in an entry's bytes.

        Raises:
            ValueError: they are none.
        """
        body = unpack(data)
        if not isinstance(body, list) or len(body) < 5 or body[0] != 1 or not isinstance(body[1], dict):
            raise ValueError("not a snapshot of a known layout")
        return cls({Layer(name): update for name, update in body[1].items()}, body[2], body[3], body[4])


def encode_binding(subject: str, client_ids: list[int]) -> Entry:
    """Return the entry that says: these client ids are `subject`'s."""
    return Entry(EntryKind.BINDING, pack([subject, client_ids]))


def decode_binding(data: bytes) -> tuple[str, list[int]]:
    """Return subject and client ids of a binding's entry.

    Raises:
        ValueError: it is none.
    """
    body = unpack(data)
    if not isinstance(body, list) or len(body) < 2 or not isinstance(body[0], str):
        raise ValueError("not a binding")
    return body[0], body[1]
