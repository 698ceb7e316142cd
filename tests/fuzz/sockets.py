"""A real server's socket under attack: `python -m tests.fuzz.sockets NAME SEED INPUTS LAST_FILE`. Prints as child.py.

Whatever is sent, the server answers with a status or a close code that is documented, needs less than 100 ms of its CPU
for it, stays as large as it was, and two other clients of it go on hearing each other.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from random import Random
from typing import Final

from syncd.core.codec import encode
from syncd.core.errors import CloseCode
from syncd.core.messages import Ack, Hello, Update
from syncd.server.http import ERROR_CODES
from tests.core.machines import Pen
from tests.fuzz.frames import CLIENT_MESSAGES, SERVER_MESSAGES
from tests.fuzz.mutate import mutate
from tests.fuzz.target import STALL_MS, Last, Tally
from tests.harness import RawLink, mint, server_process
from tests.raw_socket import RawSocket, upgrade_request, ws_frame

GROWTH_BYTES_MAX: Final = 48 << 20
#: What the WebSocket layer says of what is no WebSocket (PROTOCOL 6).
_LAYER_CODES: Final = {1002, 1007}
_DOCUMENTED: Final = {0, 101, 200, 201, 204, *map(int, CloseCode), *_LAYER_CODES} | {
    code.status for code in ERROR_CODES.values() if code.status < 500
}
#: A link may stay open, and a request be waited for: longer now and then, to see the deadlines.
_SILENT_S: Final = 1.0
_BRIEFLY_S: Final = 0.04
_LIMITS: Final = {
    "hello_timeout_s": 0.4,
    "header_timeout_s": 0.4,
    "body_timeout_s": 0.4,
    "auth_failures_per_minute": 1_000_000,
    "requests_per_s": 1_000_000,
    "requests_burst": 1_000_000,
}
_REQUESTS: Final = (
    b"GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /v1/sessions/..%2f..%2fetc/export HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /v1/sessions/import HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
)


class Attack:
    """Draws what is sent on one connection."""

    def __init__(self, port: int, rng: Random) -> None:
        self._rng = rng
        self._upgrade = upgrade_request(port)
        self._hello = ws_frame(2, encode(Hello((1,), mint("user:eve"), "d")))
        self._frames = [encode(message) for message in (*CLIENT_MESSAGES, *SERVER_MESSAGES)]

    def draw(self) -> bytes:
        """Return all bytes of one connection."""
        rng, roll = self._rng, self._rng.random()
        if roll < 0.1:
            return rng.randbytes(rng.choice((1, 20, 500, 9_000)))
        if roll < 0.3:
            return mutate(rng.choice((*_REQUESTS, self._upgrade)), rng, _REQUESTS) * rng.choice((1, 1, 2))
        data = self._upgrade
        if roll < 0.9:
            data += self._hello if rng.random() < 0.9 else mutate(self._hello, rng, self._frames)
        for _ in range(rng.choice((1, 2, 4))):
            data += self._frame()
        return data

    def _frame(self) -> bytes:
        rng = self._rng
        payload = rng.choice(self._frames)
        if rng.random() < 0.7:
            payload = mutate(payload, rng, self._frames)
        if rng.random() < 0.7:
            return ws_frame(2, payload)
        frame = ws_frame(
            rng.randrange(16),
            payload[: rng.choice((0, 5, 125, 1_000))],
            fin=rng.random() < 0.7,
            mask=rng.random() < 0.7,
            reserved=rng.choice((0, 0, 0, 1, 4, 7)),
            declared=rng.choice((None, None, 0, 126, 1 << 20, 1 << 30, (1 << 64) - 1)),
        )
        return mutate(frame, rng, self._frames) if rng.random() < 0.3 else frame


class Neighbours:
    """Two honest peers of one session, who hear each other all the time."""

    def __init__(self, url: str) -> None:
        self.slowest_s = 0.0
        self.acks = 0
        self._writer = RawLink(url, mint("user:bob"), device="bob")
        self._reader = RawLink(url, mint("user:zoe"), device="zoe")

    async def talk(self) -> None:
        """Open the session and write until cancelled.

        Raises:
            AssertionError: an ack or an update did not come, or a link was closed.
        """
        async with self._writer as writer, self._reader as reader:
            for each in (writer, reader):
                await each.hello()
                await each.open("honest")
            while True:
                started = time.monotonic()
                number = await writer.push(Pen().message("still here"), session="honest")
                await writer.expect(Ack, lambda ack: ack.number >= number)  # noqa: B023
                self.slowest_s = max(self.slowest_s, time.monotonic() - started)
                await reader.expect(Update)
                self.acks += 1
                await asyncio.sleep(0.05)


def cpu_ms(pid: int) -> float:
    """Return the CPU time that a process' main thread has taken, from the scheduler's clock, which is fine."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e6


def resident_bytes(pid: int) -> int:
    """Return what a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def main() -> None:
    seed, inputs, last = int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    rng, tally = Random(seed), Tally()
    note = Last(last).note
    place = last.with_suffix(".server")
    place.mkdir()
    async with server_process(place / "s.db", limits=_LIMITS) as server:
        neighbours = Neighbours(server.url)
        talking = asyncio.create_task(neighbours.talk())
        attack, size = Attack(server.port, rng), 0
        for number in range(inputs):
            if number == min(500, inputs // 4):
                size = resident_bytes(server.pid)
            data = attack.draw()
            note(data)
            before = cpu_ms(server.pid)
            end = await _one(server.port, data, _SILENT_S if rng.random() < 0.02 else _BRIEFLY_S)
            took_ms = cpu_ms(server.pid) - before
            assert end in _DOCUMENTED, f"{end} is not documented"
            assert not talking.done(), (
                f"{talking.exception()!r}, {neighbours._writer.close_code}, {neighbours._writer.got}"
            )
            tally.inputs += 1
            tally.slowest_ms = max(tally.slowest_ms, took_ms)
            tally.stalls += took_ms > STALL_MS
            tally.refused["open or cut" if end == 0 else str(end)] += 1
            if number % 200 == 0:
                print(json.dumps(tally.json()), flush=True)
        grown = resident_bytes(server.pid) - size
        assert grown < GROWTH_BYTES_MAX, f"the server grew by {grown} bytes"
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
    assert neighbours.acks > 0
    said = {"done": True, "grown_bytes": grown, "acks": neighbours.acks, "slowest_ack_ms": 1e3 * neighbours.slowest_s}
    print(json.dumps(tally.json() | said), flush=True)


async def _one(port: int, data: bytes, patience_s: float) -> int:
    """Send one connection's bytes, and no more; return how it ended, 0 if it was still open."""
    async with RawSocket(port) as raw:
        await raw.send(data)
        return await raw.end(within_s=patience_s)


if __name__ == "__main__":
    asyncio.run(main())
