"""Unsigned LEB128 integers as lib0 writes them, bounded, and the Yjs state vector made of them.

Knows nothing of updates or documents. Bounded because pycrdt's own reader is quadratic: 100 KB of 0xFF block it for
1.6 s.
"""

from syncd.core.errors import RejectCode, Rejected

#: lib0 integers are JavaScript numbers: nothing above is exact there.
UINT_MAX = (1 << 53) - 1
#: Clocks and their ends stay below: Yjs and yrs do arithmetic on them in 32 bits.
CLOCK_MAX = (1 << 31) - 1


def write_uint(out: bytearray, value: int) -> None:
    """Append `value` (0 to 2^53 - 1) to `out`."""
    while value > 127:
        out.append(128 | value & 127)
        value >>= 7
    out.append(value)


def read_uint(data: bytes, at: int) -> tuple[int, int]:
    """Read one integer at offset `at`; return it and the offset behind it.

    Raises:
        Rejected: `malformed`, if truncated, longer than needed, or above 2^53 - 1.
    """
    try:
        byte = data[at]
        if byte < 128:
            return byte, at + 1
        value, shift = byte & 127, 7
        while True:
            at += 1
            byte = data[at]
            value |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 49:
                raise Rejected(RejectCode.MALFORMED, "integer longer than eight bytes")
    except IndexError:
        raise Rejected(RejectCode.MALFORMED, "integer cut short") from None
    if not byte:
        raise Rejected(RejectCode.MALFORMED, "integer written longer than needed")
    if value > UINT_MAX:
        raise Rejected(RejectCode.MALFORMED, "integer above 2^53 - 1")
    return value, at + 1


def encode_state_vector(state: dict[int, int]) -> bytes:
    """Encode client id to clock as a Yjs v1 state vector."""
    out = bytearray()
    write_uint(out, len(state))
    for client, clock in state.items():
        write_uint(out, client)
        write_uint(out, clock)
    return bytes(out)


def decode_state_vector(data: bytes, *, clients_max: int) -> dict[int, int]:
    """Decode a Yjs v1 state vector of at most `clients_max` entries.

    Raises:
        Rejected: `malformed`, `too_many_clients` or `clock_range`.
    """
    count, at = read_uint(data, 0)
    if count > clients_max:
        raise Rejected(RejectCode.TOO_MANY_CLIENTS, f"state vector names {count} clients, the limit is {clients_max}")
    if count > len(data) - at:
        raise Rejected(RejectCode.MALFORMED, "state vector cut short")
    state: dict[int, int] = {}
    for _ in range(count):
        client, at = read_uint(data, at)
        clock, at = read_uint(data, at)
        if clock > CLOCK_MAX:
            raise Rejected(RejectCode.CLOCK_RANGE, "clock above 2^31 - 1 in a state vector")
        if client in state:
            raise Rejected(RejectCode.MALFORMED, "client repeated in a state vector")
        state[client] = clock
    if at != len(data):
        raise Rejected(RejectCode.MALFORMED, "bytes behind a state vector")
    return state
