"""Continuation: an update that only goes on with a text where its client left off. Nearly all are: tokens.

Such an update needs no plan: where it lies, and that it may lie there, was found out when the client last wrote. Knows
nothing of who writes. Whatever is not plainly an append is left to `update.decode_update` and the planner.
"""

from syncd.core.errors import Rejected
from syncd.core.index import ContainerIndex
from syncd.core.record import record
from syncd.core.varint import CLOCK_MAX, read_uint

# One client's one struct; a string (4) with a left origin (0x80).
_ONE_STRUCT = b"\x01\x01"
_TEXT_BEHIND = b"\x84"
_NO_DELETES = 0
# The first byte of the UTF-8 of a character beyond U+FFFF, which counts as two clocks and can be cut in two.
_ASTRAL_FIRST = 0xF0


@record
class Continuation:
    """New text of `client` up to clock `end`, below the top-level entry `key` of `root`."""

    client: int
    end: int
    root: str
    key: str


def find_continuation(update: bytes, index: ContainerIndex) -> Continuation | None:
    """Return what `update` appends to the document of `index`; None if it is no plain append, or not valid at all.

    What it returns, decoding and planning the same update would accept as well, with the same effect; `index.extend`
    then takes the place of the plan's commit.
    """
    if not update.startswith(_ONE_STRUCT):
        return None
    try:
        client, at = read_uint(update, 2)
        own = update[2:at]
        clock, at = read_uint(update, at)
        if clock != index.state.get(client) or not update.startswith(_TEXT_BEHIND + own, at):
            return None
        behind, at = read_uint(update, at + 1 + len(own))
        size, at = read_uint(update, at)
    except Rejected:
        return None
    text = update[at:-1]
    if behind != clock - 1 or size != len(text) or update[-1] != _NO_DELETES:
        return None
    length = size if text.isascii() else _length(text)
    entry = index.text_entry(client)
    if entry is None or not length or clock + length > CLOCK_MAX:
        return None
    return Continuation(client, clock + length, *entry)


def _length(text: bytes) -> int:
    """Return how many clocks `text` takes; 0 if it is not UTF-8, or has a character that takes two."""
    try:
        return 0 if max(text) >= _ASTRAL_FIRST else len(text.decode())
    except UnicodeDecodeError:
        return 0
