"""Frames: what is encoded decodes to the same, and nothing that comes from outside does harm."""

import dataclasses
import time
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core import messages
from syncd.core.codec import decode_client, decode_server, encode, pack, unpack
from syncd.core.errors import CloseCode, RemoteProtocolError
from syncd.core.limits import Limits
from syncd.core.messages import (
    Ack,
    Bye,
    Claim,
    Closed,
    Declare,
    Hello,
    Index,
    IndexChanged,
    IndexRow,
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
    SetPresence,
    Storage,
    Unknown,
    Update,
    Watch,
    Welcome,
    Work,
)

LIMITS = Limits()
ENTRY = PresenceEntry("p", "user:a", "A", "user", "d", {"x": [1, None]})
ROW = IndexRow(
    "s", "Trip", ("family",), False, 1, 2, "hi", 3, ("approval",), {"agent:a": "live"}, {"user:a": "idle"}, ""
)
FRAMES: list[Any] = [
    Hello((1,), "token", "device", "agent"),
    Open("s", {Layer.STATE: b"\x00"}, (1, 2), "inc", 3, 4),
    Declare("s", (1, (1 << 53) - 1)),
    Push("s", Layer.TRANSCRIPT, 1, b"\x00\x00"),
    SetPresence("s", {"a": 1}),
    SetPresence("s", None),
    Refresh("token"),
    Leave("s"),
    Ping(7),
    Serve("w", 8, 1),
    Claim("s", "r", "retry", 3),
    Watch("", 100, True),
    Welcome(1, "p", "user:a", "syncd", 20.0, 1, 2, 0.0, 1.5),
    Opened("s", "inc", 1, 2, 3, ("state",), {Layer.STATE: b"x"}, {}, {"ui": "1"}, (ENTRY,), True),
    Ack("s", 1),
    Reject("s", 1, "forbidden", "why"),
    Update("s", Layer.STATE, b"x"),
    PresenceChanged("s", (ENTRY,)),
    Closed("s", 4002, "why"),
    Bye(4000, "why", 1.5),
    Pong(7),
    Refreshed(5.0),
    Storage(True),
    Work("s", "r", "", 0),
    Index((ROW,), "next", False),
    IndexChanged((ROW,), ("gone",)),
]
FROM_CLIENTS = FRAMES[:12]


def decode(data: bytes, *, client: bool) -> Any:
    return decode_client(data, LIMITS) if client else decode_server(data)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda f: type(f).__name__)
def test_a_frame_decodes_to_what_was_encoded(frame: Any) -> None:
    """Every kind of frame survives the trip unchanged, types included."""
    assert decode(encode(frame), client=frame in FROM_CLIENTS) == frame


def test_every_frame_there_is_has_an_example_here() -> None:
    """A frame that is added gets a round trip."""
    kinds = {k for k in vars(messages).values() if dataclasses.is_dataclass(k)} - {PresenceEntry, IndexRow, Unknown}
    assert {type(frame) for frame in FRAMES} == kinds


@pytest.mark.parametrize("frame", FRAMES, ids=lambda f: type(f).__name__)
def test_later_fields_are_ignored_and_missing_ones_refused(frame: Any) -> None:
    """A later version may add fields at the end; none may be left out; no field may be of another type."""
    client = frame in FROM_CLIENTS
    body = msgpack.unpackb(encode(frame))
    assert decode(msgpack.packb([*body, {"new": 1}]), client=client) == frame
    for at in range(1, len(body)):
        with pytest.raises(RemoteProtocolError) as error:
            decode(msgpack.packb(body[:at]), client=client)
        assert error.value.code is CloseCode.BAD_MESSAGE
        if isinstance(frame, SetPresence) and at == 2:
            continue  # Any value may be a state: what it may hold is the machine's to say.
        broken = [*body[:at], msgpack.Timestamp(1), *body[at + 1 :]]
        with pytest.raises(RemoteProtocolError):
            decode(msgpack.packb(broken), client=client)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", CloseCode.BAD_MESSAGE),
        (b"\xc0", CloseCode.BAD_MESSAGE),
        (b"\x90", CloseCode.BAD_MESSAGE),
        (b"\x91\xc3", CloseCode.BAD_MESSAGE),
        (b"\x91\xa1x", CloseCode.BAD_MESSAGE),
        (b"\xdd\xff\xff\xff\xff", CloseCode.BAD_MESSAGE),
        (b"\xdf\xff\xff\xff\xff", CloseCode.BAD_MESSAGE),
        (b"\x91" * 5_000, CloseCode.BAD_MESSAGE),
        (b"\x92\x06\xa2\xff\xfe", CloseCode.BAD_MESSAGE),
        (b"\x92\x06\xa1s\x00", CloseCode.BAD_MESSAGE),
        (b"\x91\x2a", CloseCode.UNSUPPORTED),
        (b"\x91\xff", CloseCode.UNSUPPORTED),
        (b"\x91\xce\x00\x01\x00\x00", CloseCode.UNSUPPORTED),
    ],
)
def test_what_is_no_frame_says_so_by_its_code(data: bytes, code: CloseCode) -> None:
    """Garbage, huge counts, deep nesting, bad UTF-8, trailing bytes, unknown types."""
    for client in (True, False):
        with pytest.raises(RemoteProtocolError) as error:
            decode(data, client=client)
        assert error.value.code is code


def test_each_side_takes_only_the_other_sides_frames() -> None:
    """What a server sends is unknown from a client, and the other way round."""
    for frame in FRAMES:
        with pytest.raises(RemoteProtocolError) as error:
            decode(encode(frame), client=frame not in FROM_CLIENTS)
        assert error.value.code is CloseCode.UNSUPPORTED


def test_optional_types_are_passed_on_as_unknown() -> None:
    """Types from 128 up may be ignored; they cannot be sent."""
    assert decode_server(msgpack.packb([128, 1])) == Unknown(128, (1,))
    with pytest.raises(TypeError):
        encode(Unknown(128))


@pytest.mark.parametrize(
    ("frame", "at", "values"),
    [
        (Serve("w", 0, 1), 1, ["", "a b", "x" * 65]),
        (Serve("w", 0, 1), 2, [-1, 1.0, True]),
        (Serve("w", 0, 1), 3, [0, -1, "1"]),
        (Claim("s", "r", "wait", 1), 3, ["", "Wait", "later", ["wait"], {"fail": 1}]),
        (Claim("s", "r", "fail", 100), 4, [0, 101, -1, True]),
        (Work("s", "r", "m", 0), 3, ["a b", None, 0]),
    ],
)
def test_what_a_worker_says_is_bounded(frame: Any, at: int, values: list[Any]) -> None:
    """Ids, numbers from 1, known policies and a hundred attempts pass; whatever lies beside them is a bad message."""
    client = not isinstance(frame, Work)
    assert decode(encode(frame), client=client) == frame
    body = msgpack.unpackb(encode(frame))
    for value in values:
        with pytest.raises(RemoteProtocolError) as error:
            decode(msgpack.packb([*body[:at], value, *body[at + 1 :]]), client=client)
        assert error.value.code is CloseCode.BAD_MESSAGE


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    """By its length alone."""
    with pytest.raises(RemoteProtocolError) as error:
        decode_client(bytes(LIMITS.frame_bytes_max + 1), LIMITS)
    assert error.value.code is CloseCode.TOO_BIG


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    """Whatever comes, it is a frame or a `RemoteProtocolError`."""
    for client in (True, False):
        try:
            decode(data, client=client)
        except RemoteProtocolError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=12,
    ),
    st.integers(0, 80),
)
@settings(max_examples=300, deadline=None)
def test_no_well_formed_value_raises_anything_else(value: Any, type_number: int) -> None:
    """Frames of known types with any fields are decoded, or refused with a code."""
    try:
        data = msgpack.packb([type_number, *(value if isinstance(value, list) else [value] * 12)])
    except OverflowError:
        return
    for client in (True, False):
        try:
            decode(data, client=client)
        except RemoteProtocolError:
            continue


def test_a_hostile_megabyte_is_refused_quickly() -> None:
    """The densest nesting and the longest arrays that fit a frame cost milliseconds."""
    for data in (b"\x91" * (1 << 20), b"\xdc\xff\xff" + b"\xc0" * 65_535, b"\xde\xff\xff" + b"\xa0\xc0" * 65_535):
        started = time.thread_time()
        with pytest.raises(RemoteProtocolError):
            decode_client(data, LIMITS)
        assert time.thread_time() - started < 1.0


def test_entries_of_the_log_unpack_or_are_no_msgpack() -> None:
    """Own data that does not read is a ValueError, never something else."""
    assert unpack(pack([1, {"a": b"x", "b": [None, 2]}])) == [1, {"a": b"x", "b": [None, 2]}]
    for data in (b"", b"\xc1", b"\x92\x01", b"\x01\x01", b"\x91" * 5_000):
        with pytest.raises(ValueError):  # noqa: PT011 - any of its kinds
            unpack(data)
