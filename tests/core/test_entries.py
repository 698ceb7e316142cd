"""Entries: what a log is made of reads back as it was written."""

import pytest

from syncd.core.entries import EntryKind, Snapshot, decode_binding, encode_binding
from syncd.core.messages import Layer


def test_a_snapshot_reads_as_it_was_written() -> None:
    """Both documents, the bindings, the last `seq` and the kinds of roots."""
    snapshot = Snapshot({Layer.TRANSCRIPT: b"a", Layer.STATE: b""}, {"user:a": [1, (1 << 53) - 1]}, 7, {"ui": 1})
    assert Snapshot.decode(snapshot.encode()) == snapshot


def test_a_binding_reads_as_it_was_written() -> None:
    """Subject and client ids."""
    entry = encode_binding("user:é", [1, 2])
    assert entry.kind is EntryKind.BINDING
    assert decode_binding(entry.data) == ("user:é", [1, 2])


@pytest.mark.parametrize("data", [
    b"", b"\x90", b"\x95\x02\x80\x80\x00\x80", b"\xc0", b"\xff\xff", b"\x81\x80\x01", b"\x95\x01\x01\x80\x00\x80",
])  # fmt: skip
def test_other_bytes_are_none(data: bytes) -> None:
    """Another layout, another type, or no msgpack at all."""
    with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
        Snapshot.decode(data)
    with pytest.raises(ValueError):  # noqa: PT011
        decode_binding(data)


def test_kinds_are_never_renumbered() -> None:
    """Their numbers are on disk."""
    assert {kind.name: int(kind) for kind in EntryKind} == {"SNAPSHOT": 0, "TRANSCRIPT": 1, "STATE": 2, "BINDING": 3}
