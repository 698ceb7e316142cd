"""Mutate: changes to bytes that a reader of lengths, tags and variable integers may stumble over.

Knows nothing of what the bytes are.
"""

from collections.abc import Sequence
from random import Random
from typing import Final

#: Bounds of variable integers, tags of msgpack and of lib0, and whatever makes a length a lie.
_PIECES: Final = (
    b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x80\x00", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x10",
    b"\xff\xff\xff\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", b"\xff" * 24,
    b"\x75\x01" * 40, b"\x76\x01\x01a" * 40, b"\x75\xff\xff\xff\xff\x0f", b"\x74\xff\x7f", b"\x77\xff\xff\x03",
    b"\x91" * 600, b"\x81\xa1a" * 300, b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01", b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x0c\xff" + b"\xff" * 12,
    b"\xcb\x7f\xf8" + bytes(6), b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xc1", b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80", b"\xa9__proto__", b'"', b"{", b"[" * 200, b"\\ud800", b"NaN", b"1e999", b"null", b"-0",
    b"9" * 30, b"\xc3", b"==", b".",
)  # fmt: skip


def mutate(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Return `data` with one to four changes, some of them taken from `others`."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        at = rng.randint(0, len(out))
        roll = rng.random()
        if roll < 0.25 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif roll < 0.45 and at < len(out):
            out[at] = rng.randrange(256)
        elif roll < 0.55 and at < len(out):
            out[at] = (out[at] + rng.choice((-1, 1))) & 255
        elif roll < 0.70:
            piece = rng.choice(_PIECES)
            out[at : at + rng.choice((0, 0, 1, len(piece)))] = piece
        elif roll < 0.78:
            del out[at : at + rng.randint(1, 8)]
        elif roll < 0.84:
            out[at:at] = out[at : at + rng.randint(1, 24)] * rng.choice((1, 1, 2, 50))
        elif roll < 0.92:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            out[at : at + rng.randint(0, 16)] = other[start : start + rng.randint(1, 32)]
        elif roll < 0.96:
            del out[at:]
        else:
            out += rng.randbytes(rng.randint(1, 16))
    return bytes(out)
