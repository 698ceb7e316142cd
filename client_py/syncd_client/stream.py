"""Streams: messages that grow while they are written, and the client ids they are written under.

Knows nothing of the network; saving is the session's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, Self

from syncd.core.errors import LocalProtocolError, SyncdError
from syncd.core.messages import Json
from syncd.core.replica import Replica, check_text
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import PartWriter, put_message
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix

#: Tokens gather this long: eight in one transaction cost a third of the bytes and an eighth of the work of eight.
FLUSH_S = 0.04
_FLUSH_CHARS = 16 << 10


class StreamHost(Protocol):
    """What a stream needs of its session."""

    def take_stream_id(self) -> tuple[int, int]:
        """Return a client id that nobody writes under now, and the clock it has reached."""
        ...

    def return_stream_id(self, client_id: int) -> None:
        """Give the id back for the next stream."""
        ...

    def take_stream_update(self, update: bytes) -> None:
        """Take what a stream wrote."""
        ...

    async def saved(self) -> None:
        """Return when everything written so far is on this disk."""
        ...


class ClientIds:
    """A small pool of client ids for streams that run at the same time.

    Under one id, streams written turn by turn cost 2.2 times the size and 35 times the memory; but each id costs
    about 26 bytes for ever, so they are used again, by one stream at a time.
    """

    def __init__(self, make: Callable[[], int]) -> None:
        self._make = make
        self._idle: list[int] = []
        self._lent: set[int] = set()

    def take(self) -> tuple[int, bool]:
        """Return an idle id and whether it is new."""
        client_id, new = (self._idle.pop(), False) if self._idle else (self._make(), True)
        self._lent.add(client_id)
        return client_id, new

    def give_back(self, client_id: int) -> None:
        """Let the next stream have it, if it is of this pool."""
        if client_id in self._lent:
            self._lent.remove(client_id)
            self._idle.append(client_id)


class MessageStream:
    """One message being written. Use as `async with session.stream(...) as stream`.

    What `text` was given is applied and saved within 40 ms, all at once; leaving the block returns when all is saved.

    1. It writes in a small document of its own, which holds nothing but this message.
    """

    def __init__(self, host: StreamHost, message: NewMessage) -> None:
        self.id = message.id
        self._host = host
        self._message = message
        self._client_id = 0
        self._replica: Replica | None = None
        self._writer: PartWriter | None = None
        self._buffer: list[str] = []
        self._chars = 0
        self._kind = "text"
        self._timer: asyncio.TimerHandle | None = None
        self._failed: SyncdError | None = None

    async def __aenter__(self) -> Self:
        self._client_id, clock = self._host.take_stream_id()
        self._replica = Replica({Root.MESSAGES: Kind.MAP}, client_id=self._client_id)  # Invariant 1.
        self._replica.apply([encode_prefix(self._client_id, clock)])
        self._host.take_stream_update(put_message(self._replica, self._message))
        self._writer = PartWriter(self._replica, self.id)
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            writer = self._open()
            self._flush()
            self._take(writer.finish())
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._replica = self._writer = None
            if self._failed is None:
                self._host.return_stream_id(self._client_id)
        await self._host.saved()

    async def text(self, text: str) -> None:
        """Append to the answer."""
        await self._append(text, "text")

    async def reasoning(self, text: str) -> None:
        """Append to the reasoning that is shown apart from the answer."""
        await self._append(text, "reasoning")

    async def part(self, part: Mapping[str, Json]) -> None:
        """Add a part that is complete as it is, such as a source or a file."""
        writer = self._open()
        self._flush()
        self._take(writer.finish())
        self._take(writer.add_part(part))

    async def flush(self) -> None:
        """Return when all that was written so far is on this disk."""
        self._open()
        self._flush()
        await self._host.saved()

    async def _append(self, text: str, kind: str) -> None:
        self._open()
        check_text(text)
        if kind != self._kind:
            self._flush()
            self._kind = kind
        self._buffer.append(text)
        self._chars += len(text)
        if self._chars >= _FLUSH_CHARS:
            self._flush()
            await self._host.saved()  # A writer faster than the disk waits for it here.
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush_timed)

    def _flush_timed(self) -> None:
        try:
            self._flush()
        except SyncdError as error:
            self._failed = error  # Raised by the next call.

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = "".join(self._buffer)
        self._buffer.clear()
        self._chars = 0
        # A flush holds at most a few segments: a long chunk is cut, so that no text run grows dear to append to.
        for at in range(0, len(text), _FLUSH_CHARS // 4):
            self._take(self._open().append(text[at : at + _FLUSH_CHARS // 4], kind=self._kind))

    def _take(self, update: bytes) -> None:
        if update != EMPTY_UPDATE:
            self._host.take_stream_update(update)

    def _open(self) -> PartWriter:
        if self._failed is not None:
            raise self._failed
        if self._writer is None:
            raise LocalProtocolError("this stream is not open: use it within `async with session.stream(...)`")
        return self._writer
