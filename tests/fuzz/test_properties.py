"""Properties under hypothesis: what is written reads back, and any bytes at all end in the documented exception.

How long the slowest input took is what hypothesis steers towards (`target`); that it stays within bounds is measured,
in CPU time, by tests/fuzz/test_fuzz.py.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st
from pycrdt import Doc, Map

from syncd.core.codec import decode_client, decode_server, encode, pack, unpack
from syncd.core.entries import Snapshot, decode_binding, encode_binding
from syncd.core.errors import LocalProtocolError, Rejected, RemoteProtocolError
from syncd.core.limits import Limits
from syncd.core.messages import (
    LAYERS,
    Ack,
    Claim,
    Declare,
    Hello,
    Index,
    IndexChanged,
    IndexRow,
    Open,
    PresenceChanged,
    PresenceEntry,
    Push,
    Reject,
    Serve,
    SetPresence,
    Update,
    Watch,
    Work,
)
from syncd.core.replica import check_value
from syncd.core.update import decode_update, encode_map_entries
from syncd.core.varint import CLOCK_MAX, UINT_MAX, decode_state_vector, encode_state_vector, read_uint, write_uint
from syncd.core.work import ATTEMPTS_MAX, POLICIES
from tests.fuzz.frames import CLIENT_MESSAGES, SERVER_MESSAGES
from tests.fuzz.updates import honest

LIMITS = Limits()
EXAMPLES = settings(max_examples=80, deadline=None, derandomize=True, database=None)

uints = st.integers(0, UINT_MAX)
ids = st.text("abcXYZ019_-", min_size=1, max_size=64)
#: What UTF-8 can say.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53) + 1, (1 << 53) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
#: All but the one that is refused, which Hypothesis finds in what it tests.
keys = words.filter(lambda word: word != "__proto__")
jsons = st.recursive(
    plain, lambda part: st.lists(part, max_size=4) | st.dictionaries(keys, part, max_size=4), max_leaves=8
)
vectors = st.dictionaries(uints, st.integers(0, CLOCK_MAX), max_size=8)
by_layer = st.dictionaries(st.sampled_from(LAYERS), st.binary(max_size=40))
entries = st.builds(PresenceEntry, words, words, words, words, words, jsons)
texts = st.lists(words, max_size=3).map(tuple)
maps = st.dictionaries(words, words, max_size=3)
rows = st.builds(IndexRow, ids, words, texts, st.booleans(), uints, uints, words, uints, texts, maps, maps, words)
client_messages = st.one_of(
    st.builds(Hello, st.lists(uints, max_size=3).map(tuple), words, ids, words),
    st.builds(Open, ids, by_layer, st.lists(uints, max_size=4).map(tuple), words, uints, uints),
    st.builds(Declare, ids, st.lists(uints, max_size=4).map(tuple)),
    st.builds(Push, ids, st.sampled_from(LAYERS), uints, st.binary(max_size=60)),
    st.builds(SetPresence, ids, jsons),
    st.builds(Serve, ids, uints, st.integers(1, UINT_MAX)),
    st.builds(Claim, ids, ids, st.sampled_from(POLICIES), st.integers(1, ATTEMPTS_MAX)),
    st.builds(Watch, words, uints, st.booleans()),
)
server_messages = st.one_of(
    st.builds(Ack, ids, uints),
    st.builds(Reject, ids, uints, words, words),
    st.builds(Update, ids, st.sampled_from(LAYERS), st.binary(max_size=60)),
    st.builds(PresenceChanged, ids, st.lists(entries, max_size=3).map(tuple)),
    st.builds(Work, ids, ids, ids | st.just(""), uints),
    st.builds(Index, st.lists(rows, max_size=3).map(tuple), words, st.booleans()),
    st.builds(IndexChanged, st.lists(rows, max_size=3).map(tuple), st.lists(ids, max_size=3).map(tuple)),
)
#: Values as msgpack has them, JSON or not.
packable = st.recursive(
    plain | st.binary(max_size=9) | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    lambda part: st.lists(part, max_size=5) | st.dictionaries(words | st.binary(max_size=3), part, max_size=3),
    max_leaves=12,
)


def _nearly(frames: list[bytes]) -> st.SearchStrategy[bytes]:
    """Draw bytes of which the head or the tail is real."""
    real = st.sampled_from(frames)
    cut = st.builds(lambda data, at, more: data[: at % (len(data) + 1)] + more, real, st.integers(0, 999), st.binary())
    return st.one_of(st.binary(max_size=200), cut, real)


@EXAMPLES
@given(uints)
def test_integers_read_back(value: int) -> None:
    """Every integer is written in its shortest form, and read as itself."""
    out = bytearray()
    write_uint(out, value)

    assert read_uint(bytes(out), 0) == (value, len(out))


@EXAMPLES
@given(vectors)
def test_state_vectors_read_back(state: dict[int, int]) -> None:
    """Whatever clients and clocks."""
    assert decode_state_vector(encode_state_vector(state), clients_max=8) == state


@EXAMPLES
@given(client_messages)
def test_client_frames_read_back(message: Any) -> None:
    """A frame that a client can write is read as what it was."""
    assert decode_client(encode(message), LIMITS) == message


@EXAMPLES
@given(server_messages)
def test_server_frames_read_back(message: Any) -> None:
    """A frame that a server can write is read as what it was."""
    assert decode_server(encode(message)) == message


@EXAMPLES
@given(st.dictionaries(words, st.lists(uints, max_size=4), max_size=3), by_layer, uints)
def test_entries_read_back(bindings: dict[str, list[int]], updates: Any, seq: int) -> None:
    """A log holds what was put into it."""
    snapshot = Snapshot(updates, bindings, seq, {"ui": 1})

    assert Snapshot.decode(snapshot.encode()) == snapshot
    for subject, client_ids in bindings.items():
        assert decode_binding(encode_binding(subject, client_ids).data) == (subject, client_ids)


@EXAMPLES
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=8), jsons, min_size=1, max_size=4))
def test_receipts_read_back(values: dict[str, Any]) -> None:
    """What the server writes by hand is what pycrdt reads, and what its own scanner takes."""
    update = encode_map_entries(7, 0, "receipts", [*values.items()])
    decode_update(update, LIMITS)
    doc: Doc[Any] = Doc()
    receipts = doc.get("receipts", type=Map)
    doc.apply_update(update)

    assert dict(receipts.to_py() or {}) == values


@EXAMPLES
@given(packable)
def test_whatever_msgpack_holds_is_json_or_refused(value: Any) -> None:
    """Presence is JSON: what passes the check is written and read back as itself."""
    try:
        check_value(value)
    except LocalProtocolError:
        return
    assert unpack(pack(value)) == value


_FRAMES = [encode(message) for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES)]
_UPDATES = [update for layer in LAYERS for update in honest(layer, 7, 12)[0]]
READERS: dict[str, tuple[Callable[[bytes], object], type[Exception], list[bytes]]] = {
    "decode_client": (lambda data: decode_client(data, LIMITS), RemoteProtocolError, _FRAMES),
    "decode_server": (decode_server, RemoteProtocolError, _FRAMES),
    "decode_update": (lambda data: decode_update(data, LIMITS), Rejected, _UPDATES),
    "decode_state_vector": (
        lambda data: decode_state_vector(data, clients_max=100),
        Rejected,
        [encode_state_vector({1: 2, 3: 4})],
    ),
    "Snapshot.decode": (Snapshot.decode, ValueError, [Snapshot({}, {"user:a": [1]}, 1, {"x": 1}).encode()]),
    "decode_binding": (decode_binding, ValueError, [encode_binding("user:a", [1, 2]).data]),
    "unpack": (unpack, ValueError, _FRAMES),
}


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    """Nothing but the one documented exception comes out of a reader of foreign bytes."""
    read, refusal, real = READERS[name]

    @EXAMPLES
    @given(_nearly(real))
    def check(data: bytes) -> None:
        started = time.process_time()
        with suppress(refusal):
            read(data)
        target(1_000 * (time.process_time() - started), label="CPU ms")

    check()
