"""RunOutput: what one run writes, gathered for a moment and then stored, in the order it was written in.

Knows nothing of leases, commands or the network; saving is the session's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from syncd.core.errors import LocalProtocolError, SyncdError
from syncd.core.messages import Json
from syncd.core.replica import Replica, check_text, check_value
from syncd.core.run_writer import NewAttempt, PartPlace, RunWriter
from syncd.core.schema import NewMessage, Root
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix
from syncd_client.stream import FLUSH_S, StreamHost

_FLUSH_CHARS = 16 << 10
_PIECE_CHARS = 4 << 10
#: What a part needs beside the values that it is given.
_OVERHEAD_BYTES = 1 << 10


class OutputHost(StreamHost, Protocol):
    """What a run's output needs of its session."""

    def update_bytes_max(self) -> int:
        """Return how large one edit may be."""
        ...


class RunOutput:
    """All that one run writes.

    1. It writes in one small document of its own, under one client id: what was written first arrives first.
    2. Texts gather for 40 ms; whatever else is written goes behind them.
    3. What cannot be stored fails before it is in the small document; after a failure it writes no more.
    """

    def __init__(self, host: OutputHost, run: str, draft: Callable[[], NewMessage]) -> None:
        """`draft` returns the message that the next part begins."""
        self._host = host
        self._draft = draft
        self._client_id, clock = host.take_stream_id()
        replica = Replica({Root.MESSAGES: Kind.MAP, Root.RUNS: Kind.MAP}, client_id=self._client_id)  # Invariant 1.
        replica.apply([encode_prefix(self._client_id, clock)])
        self._writer = RunWriter(replica, run)
        self._gathered: list[tuple[str | PartPlace, list[str]]] = []
        self._chars = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failed: SyncdError | None = None
        self._closed = False

    @property
    def message(self) -> str | None:
        """The message that is being written; None before its first part."""
        return self._writer.message

    def begin(self, new: NewAttempt) -> None:
        """Begin an attempt; what comes next goes to a message of its own."""
        self.finish()
        self._take(self._writer.begin(new))

    async def append(self, text: str, kind: str) -> None:
        """Append to the open part if it is of this `kind`, `text` or `reasoning`, else to a new one."""
        self._check()
        check_text(text)
        self._gather(kind, text)
        if self._chars >= _FLUSH_CHARS:
            await self.flush()  # A writer faster than the disk waits for it here.

    def append_input(self, place: PartPlace, text: str) -> None:
        """Append to the raw input of a tool call."""
        self._check()
        check_text(text)
        self._gather(place, text)
        if self._chars >= _FLUSH_CHARS:
            self.store()

    def add_part(self, part: Mapping[str, Json]) -> PartPlace:
        """Add a part behind everything so far; return where it stands."""
        self.check_value(part)
        self.finish()
        self._begin_message()
        place, update = self._writer.add_part(part)
        self._take(update)
        return place

    def set_part(self, place: PartPlace, fields: Mapping[str, Json]) -> None:
        """Set fields of a part that was added before."""
        self.check_value(fields)
        self.store()
        self._take(self._writer.set_part(place, fields))

    def set_open_part(self, fields: Mapping[str, Json]) -> bool:
        """Set fields of the text or reasoning that is open; whether there is one."""
        self.check_value(fields)
        self.store()
        place = self._writer.open_place
        if place is not None:
            self._take(self._writer.set_part(place, fields))
        return place is not None

    def set(self, fields: Mapping[str, Json]) -> None:
        """Set fields of the attempt's entry."""
        self.check_value(fields)
        self.store()
        self._take(self._writer.set(fields))

    def consume(self, commands: Iterable[str], at: int) -> None:
        """Mark steers as consumed."""
        self.store()
        self._take(self._writer.consume(commands, at))

    def finish(self) -> None:
        """Mark the open text as done."""
        self.store()
        self._take(self._writer.finish())

    def store(self) -> None:
        """Hand what gathered to the session."""
        self._check()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered, self._chars = self._gathered, [], 0
        for target, texts in gathered:
            text = "".join(texts)
            # A long chunk is cut, so that no text run grows dear to append to.
            for at in range(0, max(len(text), 1), _PIECE_CHARS):
                piece = text[at : at + _PIECE_CHARS]
                if isinstance(target, PartPlace):
                    self._take(self._writer.append_input(target, piece))
                else:
                    self._begin_message()
                    self._take(self._writer.append(piece, kind=target))

    async def flush(self) -> None:
        """Return when all that was written so far is on this disk."""
        self.store()
        await self._host.saved()

    def close(self) -> None:
        """Write no more. What gathered and was not stored is dropped: call `finish` first. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._closed:
            self._closed = True
            if self._failed is None:
                self._host.return_stream_id(self._client_id)

    def _gather(self, target: str | PartPlace, text: str) -> None:
        if self._gathered and self._gathered[-1][0] == target:
            self._gathered[-1][1].append(text)
        else:
            self._gathered.append((target, [text]))
        self._chars += len(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._store_timed)

    def _store_timed(self) -> None:
        self._timer = None
        try:
            self.store()
        except SyncdError as error:
            self._failed = error  # Raised by the next call.

    def _begin_message(self) -> None:
        if self._writer.message is None:
            self._take(self._writer.begin_message(self._draft()))

    def _take(self, update: bytes) -> None:
        if update == EMPTY_UPDATE:
            return
        try:
            self._host.take_stream_update(update)
        except SyncdError as error:
            # The small document has it and the session has not: nothing that comes behind would fit.
            self._failed = error
            raise

    def _check(self) -> None:
        if self._failed is not None:
            raise self._failed
        if self._closed:
            raise LocalProtocolError("this run is over: nothing more can be written to it")

    def check_value(self, value: Mapping[str, Json]) -> None:
        """Refuse what cannot be written, before it is written anywhere.

        Raises:
            LocalProtocolError: it is not JSON, or too large for one edit; or the run is over.
        """
        self._check()
        check_value(dict(value))
        size, most = len(json.dumps(value, ensure_ascii=False).encode()), self._host.update_bytes_max()
        if size + _OVERHEAD_BYTES > most:  # Invariant 3.
            raise LocalProtocolError(f"one value holds at most {most - _OVERHEAD_BYTES} bytes as JSON, this one {size}")
