"""Integers and state vectors as lib0 writes them, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncd.core.errors import Rejected
from syncd.core.varint import CLOCK_MAX, UINT_MAX, decode_state_vector, encode_state_vector, read_uint, write_uint


@given(st.integers(0, UINT_MAX), st.binary(max_size=3))
def test_an_integer_reads_as_it_was_written(value: int, behind: bytes) -> None:
    """At any offset, whatever stands behind it."""
    out = bytearray(b"xy")
    write_uint(out, value)
    assert read_uint(bytes(out) + behind, 2) == (value, len(out))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xff" * 7, b"\x80\x00", b"\xff\x80\x00", b"\xff" * 7 + b"\x7f", b"\xff" * 100_000]
)
def test_what_is_no_integer_is_refused(data: bytes) -> None:
    """Cut short, longer than needed, above 2^53 - 1, or endless."""
    with pytest.raises(Rejected):
        read_uint(data, 0)


@given(st.dictionaries(st.integers(0, UINT_MAX), st.integers(0, CLOCK_MAX), max_size=20))
def test_a_state_vector_reads_as_it_was_written(state: dict[int, int]) -> None:
    """Clients to clocks, any number of them."""
    assert decode_state_vector(encode_state_vector(state), clients_max=20) == state


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed"),
        (b"\x02\x01\x01", "malformed"),
        (b"\x01\x01\x01\x00", "malformed"),
        (b"\x02\x01\x01\x01\x01", "malformed"),
        (b"\x0b", "too_many_clients"),
        (encode_state_vector({1: CLOCK_MAX + 1}), "clock_range"),
    ],
)
def test_a_hostile_state_vector_is_refused(data: bytes, code: str) -> None:
    """With the code that says what is wrong."""
    with pytest.raises(Rejected) as error:
        decode_state_vector(data, clients_max=10)
    assert error.value.code == code
