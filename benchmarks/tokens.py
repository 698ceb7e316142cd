"""Tokens: an answer that grows token by token, as the updates a client would push, made before anything is measured.

The updates are Yjs v1 bytes, written here by hand since a hundred thousand are needed. Knows nothing of sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from syncd.core.replica import Replica
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import PartWriter, put_message
from syncd.core.update import Kind
from syncd.core.varint import encode_state_vector, write_uint

#: Every token is this, so that tokens can be counted in an update that was merged of many.
TOKEN = "tok "
#: Client ids are drawn from 32 bits, so most take five bytes.
WRITER, OTHER = 3_141_592_653, 2_718_281_828

_STRING_AFTER = 0x84  # content string, with an origin: the parent is the origin's (Yjs v1)
_CONTENT = bytes((len(TOKEN),)) + TOKEN.encode()


class Answer:
    """One message and its growing text. With two client ids they alternate, so that the text cannot be squashed."""

    #: Updates that make the message, and tokens in them.
    HEAD, HEAD_TOKENS = 2, 1

    def __init__(self, client_ids: Sequence[int] = (WRITER,), message: str = "answer") -> None:
        replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=client_ids[0])
        new = NewMessage(message, "assistant", {"kind": "agent", "name": "bench"}, (), (), 0)
        self.head = [put_message(replica, new), PartWriter(replica, message).append(TOKEN)]
        self._client_ids = client_ids
        self._clocks = dict.fromkeys(client_ids, 0) | replica.vector()
        self._end = (client_ids[0], self._clocks[client_ids[0]] - 1)
        self._turn = 0

    @property
    def vector(self) -> bytes:
        """The state vector of what was made so far."""
        return encode_state_vector({client: clock for client, clock in self._clocks.items() if clock})

    def tokens(self, count: int = 1) -> bytes:
        """Return one update that appends `count` tokens, each of them a struct of its own."""
        starts = dict(self._clocks)
        sections: dict[int, tuple[int, bytearray]] = {}
        for _ in range(count):
            client = self._client_ids[self._turn % len(self._client_ids)]
            self._turn += 1
            structs, section = sections.get(client, (0, bytearray()))
            section.append(_STRING_AFTER)
            write_uint(section, self._end[0])
            write_uint(section, self._end[1])
            section += _CONTENT
            sections[client] = (structs + 1, section)
            self._clocks[client] += len(TOKEN)
            self._end = (client, self._clocks[client] - 1)
        update = bytearray((len(sections),))
        for client in sorted(sections, reverse=True):
            structs, section = sections[client]
            write_uint(update, structs)
            write_uint(update, client)
            write_uint(update, starts[client])
            update += section
        update.append(0)  # no deletions
        return bytes(update)


class Script:
    """The frames that write one answer, in order: its head, then as many tokens as are asked for, made once."""

    _AT_ONCE = 64

    def __init__(self, framed: Callable[[int, bytes], bytes], answer: Answer | None = None) -> None:
        """`framed` makes the frame of the n-th update, counted from 1. `answer` is whose, if not the usual one."""
        self._answer = answer or Answer()
        self._framed = framed
        self._frames = [framed(number, update) for number, update in enumerate(self._answer.head, 1)]

    def frames(self, first: int, end: int) -> list[bytes]:
        """Return the frames from `first`, counted from 0, up to `end`."""
        while end > len(self._frames):
            number = len(self._frames) + 1
            self._frames += [self._framed(number + more, self._answer.tokens()) for more in range(self._AT_ONCE)]
        return self._frames[first:end]


class Document:
    """A document of some 200 kB that two client ids wrote in turn, and the state vectors to join it with."""

    #: Of one item: a token of four characters and its origin.
    _ITEM_BYTES = 13.4
    #: Well below what a server lets one update hold.
    _ITEMS_PER_UPDATE = 4_000

    def __init__(self, size_bytes: int = 207_000) -> None:
        made = Answer((WRITER, OTHER))
        self.updates = list(made.head)
        self.tokens = made.HEAD_TOKENS
        for half in range(2):
            left = max(1, int(size_bytes / self._ITEM_BYTES / 2))
            while left:
                count = min(left, self._ITEMS_PER_UPDATE)
                self.updates.append(made.tokens(count))
                self.tokens += count
                left -= count
            if not half:
                self._half = made.vector
        self._full = made.vector
        self.bytes = sum(map(len, self.updates))

    @property
    def vectors(self) -> dict[str, bytes]:
        """State vectors of a client that has nothing, half, everything."""
        return {"empty": b"\0", "half": self._half, "up to date": self._full}
