"""Dialects: what the frames of each server that is measured look like. The least that a client must know.

Knows nothing of processes or scenarios.
"""

from __future__ import annotations

import secrets

from benchmarks.wire import Wire, frame
from syncd.core.codec import encode
from syncd.core.messages import Hello, Layer, Open, Push
from syncd.core.update import EMPTY_UPDATE
from syncd.core.varint import read_uint, write_uint

_OPENED, _ACK, _REJECT, _UPDATE, _CLOSED, _BYE = 66, 67, 68, 69, 71, 72
_SYNC, _AWARENESS, _AUTH, _SYNC_REPLY, _SYNC_STATUS = 0, 1, 2, 4, 8
_STEP_1, _STEP_2, _NEW = 0, 1, 2


class SyncdWire(Wire):
    """`syncd.v1`: the transcript of one session."""

    acks = True
    subprotocol = "syncd.v1"

    @classmethod
    def push(cls, room: str, number: int, update: bytes) -> bytes:
        return frame(encode(Push(room, Layer.TRANSCRIPT, number, update)))

    def path(self) -> str:
        return "/v1/sync"

    def ask(self, vector: bytes) -> None:
        opening = Open(self.room, {Layer.TRANSCRIPT: vector, Layer.STATE: b"\0"})
        self.write(frame(encode(Hello((1,), self.token, "bench"))) + frame(encode(opening)))

    def message(self, data: bytes, start: int, end: int) -> None:
        kind = data[start + 1]  # The types of all frames of a server fit one byte.
        if kind == _UPDATE:
            self._update(data, start, end)
        elif kind == _ACK:
            number = data[start + 3 + (data[start + 2] & 0x1F) : end]
            self.on_ack(number[0] if len(number) == 1 else int.from_bytes(number[1:], "big"))
        elif kind == _OPENED:
            self._is_open(end - start)
        elif kind in (_REJECT, _CLOSED, _BYE):
            self._fail(f"the server refused: {data[start:end]!r}")


class YjsWire(Wire):
    """y-websocket: `0·step·bytes`."""

    @classmethod
    def push(cls, room: str, number: int, update: bytes) -> bytes:
        return frame(bytes((_SYNC, _NEW)) + _bytes(update))

    def ask(self, vector: bytes) -> None:
        self.write(frame(bytes((_SYNC, _STEP_1)) + _bytes(vector)))

    def appear(self) -> None:
        self.write(frame(bytes((_AWARENESS,)) + _bytes(_here())))

    def message(self, data: bytes, start: int, end: int) -> None:
        if data[start] != _SYNC:
            return
        step = data[start + 1]
        if step == _NEW:
            self._update(data, start, end)
        elif step == _STEP_2:
            self._is_open(end - start)
        elif step == _STEP_1:
            # Nothing is pushed before its room is open, so there is nothing that the server lacks.
            self.write(frame(bytes((_SYNC, _STEP_2)) + _bytes(EMPTY_UPDATE)))


class HocuspocusWire(Wire):
    """Hocuspocus: y-websocket's messages behind the name of the document, and a token first."""

    @classmethod
    def push(cls, room: str, number: int, update: bytes) -> bytes:
        return frame(_bytes(room.encode()) + bytes((_SYNC, _NEW)) + _bytes(update))

    def path(self) -> str:
        return "/"

    def ask(self, vector: bytes) -> None:
        name = _bytes(self.room.encode())
        token = _bytes(b"token") + _bytes(b"4.7.0")
        self.write(frame(name + bytes((_AUTH, 0)) + token))
        self.write(frame(name + bytes((_SYNC, _STEP_1)) + _bytes(vector)))

    def appear(self) -> None:
        self.write(frame(_bytes(self.room.encode()) + bytes((_AWARENESS,)) + _bytes(_here())))

    def message(self, data: bytes, start: int, end: int) -> None:
        size, start = read_uint(data, start)
        start += size
        kind = data[start]
        if kind in (_SYNC, _SYNC_REPLY):
            step = data[start + 1]
            if step == _NEW:
                self._update(data, start, end)
            elif step == _STEP_2:
                self._is_open(end - start)
            elif step == _STEP_1:
                name = _bytes(self.room.encode())
                self.write(frame(name + bytes((_SYNC_REPLY, _STEP_2)) + _bytes(EMPTY_UPDATE)))
        elif (kind == _AUTH and data[start + 1] == 1) or (kind == _SYNC_STATUS and not data[start + 1]):
            self._fail(f"the server refused: {data[start:end]!r}")


class RelayWire(Wire):
    """The relay: whatever one sends, the others of the room get."""

    push = YjsWire.push

    def ask(self, vector: bytes) -> None:
        self._is_open()

    def message(self, data: bytes, start: int, end: int) -> None:
        self._update(data, start, end)


def _here() -> bytes:
    """The awareness update with which a stock client that has a user's name says that it is there."""
    out = bytearray((1,))
    write_uint(out, secrets.randbits(32))
    return bytes(out) + b"\1" + _bytes(b'{"user":{"name":"load"}}')


def _bytes(value: bytes) -> bytes:
    out = bytearray()
    write_uint(out, len(value))
    return bytes(out) + value
