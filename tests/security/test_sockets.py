"""Promise 5 on the wire: whatever arrives at a real server's socket, its sender is told why and nobody else notices.

What a library can send is in tests/server/test_sockets.py; malformed HTTP and dripped headers are in
tests/server/test_listen.py. What `make fuzz` draws is in tests/fuzz/sockets.py, as are the neighbours.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from examples.server_process import ServerProcess
from syncd.core.codec import encode, pack
from syncd.core.errors import CloseCode
from syncd.core.messages import Hello, Open
from tests.fuzz.sockets import Neighbours, cpu_ms, resident_bytes
from tests.harness import mint, server_process, until
from tests.raw_socket import RawSocket, upgrade_request, ws_frame

PROTOCOL_ERROR = 1002
#: What the WebSocket layer says to text that is no UTF-8.
NOT_UTF8 = 1007
GROWTH_BYTES_MAX = 24 << 20
CPU_MS_MAX = 100.0
#: With one slow test machine in mind: nobody waits for a deadline of seconds.
ACK_S_MAX = 2.0

Attack = Callable[[RawSocket], Awaitable[None]]


@asynccontextmanager
async def attacked(place: Path, **limits: float) -> AsyncIterator[ServerProcess]:
    """A server of its own process whose two other clients must not notice anything; its memory must not grow."""
    async with server_process(place / "s.db", limits=limits) as server:
        neighbours = Neighbours(server.url)
        talking = asyncio.create_task(neighbours.talk())
        try:
            await until(lambda: neighbours.acks > 3 or talking.done())
            size, acks = resident_bytes(server.pid), neighbours.acks
            yield server
            await until(lambda: neighbours.acks > acks + 3 or talking.done())
            assert not talking.done(), talking.exception()
            assert neighbours.slowest_s < ACK_S_MAX
            assert resident_bytes(server.pid) - size < GROWTH_BYTES_MAX
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)


def hello() -> bytes:
    return ws_frame(2, encode(Hello((1,), mint("user:eve"), "d")))


def frames(*payloads: bytes) -> Attack:
    """Return the attack that sends frames, after a hello."""

    async def attack(raw: RawSocket) -> None:
        await (await raw.upgraded()).send(hello() + b"".join(ws_frame(2, payload) for payload in payloads))

    return attack


def bytes_after_hello(data: bytes) -> Attack:
    """Return the attack that sends bytes which are no good frames, after a hello."""

    async def attack(raw: RawSocket) -> None:
        await (await raw.upgraded()).send(hello() + data)

    return attack


def bytes_alone(data: bytes) -> Attack:
    """Return the attack that sends bytes instead of a request."""

    async def attack(raw: RawSocket) -> None:
        await raw.send(data)

    return attack


async def pipelined(raw: RawSocket) -> None:
    """Everything in one packet: a request, the upgrade, and frames before any answer."""
    first = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    await raw.send(first + upgrade_request(raw.port) + hello() + ws_frame(2, b"\xc1"))
    head = await raw.reader.readuntil(b"\r\n\r\n")
    await raw.reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    assert head.startswith(b"HTTP/1.1 200")


async def odd_key(raw: RawSocket) -> None:
    await raw.send(upgrade_request(raw.port).replace(b"AAAA", b"\x88\xff\xc3\xa9"))


async def after_the_close(raw: RawSocket) -> None:
    """Close, and go on sending good frames: nothing of that is acted on."""
    opened = ws_frame(2, encode(Open("late", {})))
    await (await raw.upgraded()).send(hello() + ws_frame(8, struct.pack(">H", 1000)) + opened * 50)


BOMBS = {
    "arrays in arrays": b"\x91" * 400_000 + b"\xc0",
    "maps in maps": b"\x81\xa1a" * 300_000 + b"\xc0",
    "four billion items": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1_000,
    "four billion keys": b"\xdf\xff\xff\xff\xff\xa1a\xc0",
    "four billion bytes": b"\xc6\xff\xff\xff\xff" + b"x" * 1_000,
    "four billion of ext": b"\xc9\xff\xff\xff\xff\x01x",
    "a million nils": b"\xdc\xff\xff" + b"\xc0" * 65_535,
    "an ext type": pack([7, 1])[:-1] + b"\xd4\x05\x00",
    "equal keys": pack([2, "s", {}, [], "", 0, 0])[:3]
    + b"\x82\xa5state\xc4\x01\0\xa5state\xc4\x01\0"
    + b"\x90\xa0\0\0",
}
ATTACKS: dict[str, tuple[Attack, tuple[int, ...]]] = {
    "not masked": (bytes_after_hello(ws_frame(2, b"\xc1", mask=False)), (PROTOCOL_ERROR, CloseCode.BAD_MESSAGE)),
    "reserved bit 1": (bytes_after_hello(ws_frame(2, b"x", reserved=4)), (PROTOCOL_ERROR,)),
    "reserved bits": (bytes_after_hello(ws_frame(2, b"x", reserved=3)), (PROTOCOL_ERROR,)),
    "reserved opcode": (bytes_after_hello(ws_frame(3, b"x")), (PROTOCOL_ERROR,)),
    "reserved control": (bytes_after_hello(ws_frame(11, b"x")), (PROTOCOL_ERROR,)),
    "ping over 125 bytes": (bytes_after_hello(ws_frame(9, b"x" * 126)), (PROTOCOL_ERROR,)),
    "ping in fragments": (bytes_after_hello(ws_frame(9, b"x", fin=False)), (PROTOCOL_ERROR,)),
    "close of one byte": (bytes_after_hello(ws_frame(8, b"\x03")), (PROTOCOL_ERROR,)),
    "close with a code that is none": (bytes_after_hello(ws_frame(8, struct.pack(">H", 5))), (PROTOCOL_ERROR,)),
    "close reason not UTF-8": (bytes_after_hello(ws_frame(8, b"\x03\xe8\xff")), (PROTOCOL_ERROR, NOT_UTF8)),
    "text": (bytes_after_hello(ws_frame(1, b"hello")), (CloseCode.BAD_MESSAGE,)),
    "text not UTF-8": (bytes_after_hello(ws_frame(1, b"\xff\xfe")), (NOT_UTF8,)),
    "continuation of nothing": (bytes_after_hello(ws_frame(0, b"x")), (PROTOCOL_ERROR,)),
    "frame in a frame": (
        bytes_after_hello(ws_frame(2, b"x", fin=False) + ws_frame(2, b"y")),
        (PROTOCOL_ERROR, CloseCode.BAD_MESSAGE),
    ),
    "2^63 bytes": (bytes_after_hello(ws_frame(2, b"x", declared=1 << 63)), (PROTOCOL_ERROR, CloseCode.TOO_BIG)),
    "2^64 - 1 bytes": (
        bytes_after_hello(ws_frame(2, b"x", declared=(1 << 64) - 1)),
        (PROTOCOL_ERROR, CloseCode.TOO_BIG),
    ),
    "1 GiB in fragments": (
        bytes_after_hello(ws_frame(2, b"x", fin=False) + ws_frame(0, b"x", declared=1 << 30)),
        (CloseCode.TOO_BIG,),
    ),
    "a key that is no base64": (odd_key, (400,)),
    "a TLS greeting": (bytes_alone(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), (400,)),
    "HTTP/2": (bytes_alone(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (400, 403)),
    "a header of a megabyte": (bytes_alone(b"GET / HTTP/1.1\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n"), (400,)),
    "ten thousand headers": (bytes_alone(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n"), (400, 403)),
    "a request in the upgrade's packet": (pipelined, (CloseCode.BAD_MESSAGE,)),
    "a date in presence": (
        frames(encode(Open("s", {})), pack([4, "s", {"x": 1}])[:-1] + b"\xd6\xff\x00\x00\x00\x00"),
        (CloseCode.BAD_MESSAGE,),
    ),
    "frames behind the close": (after_the_close, (CloseCode.NORMAL,)),
    **{name: (frames(bomb), (CloseCode.BAD_MESSAGE,)) for name, bomb in BOMBS.items()},
}


async def test_every_attack_ends_with_its_code(tmp_path: Path) -> None:
    """Each with a close code or a status that is documented, within 100 ms of the server's CPU, its memory flat."""
    found: dict[str, object] = {}
    async with attacked(tmp_path) as server:
        for name, (attack, codes) in ATTACKS.items():
            before = cpu_ms(server.pid)
            async with RawSocket(server.port) as raw:
                await attack(raw)
                end = await raw.end(within_s=5)
            took_ms = cpu_ms(server.pid) - before
            if end not in codes or took_ms > CPU_MS_MAX:
                found[name] = end, codes, took_ms
    assert found == {}


async def test_a_dripped_hello_is_cut_by_its_deadline(tmp_path: Path) -> None:
    """However steadily its bytes come, a hello has its time and no more."""
    async with attacked(tmp_path, hello_timeout_s=0.5) as server, RawSocket(server.port) as raw:
        await raw.upgraded()
        started = asyncio.get_running_loop().time()

        async def drip() -> None:
            for byte in hello():
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await raw.end() == CloseCode.HANDSHAKE_TIMEOUT
        assert asyncio.get_running_loop().time() - started < 5.0
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_many_opens_hold_nobody_up(tmp_path: Path) -> None:
    """More sessions than a link may have, again and again: the neighbours' acks come in time."""
    opens = [encode(Open(f"many-{number}", {})) for number in range(100)]
    async with attacked(tmp_path) as server:
        for _ in range(3):
            async with RawSocket(server.port) as raw:
                await frames(*opens, b"\xc1")(raw)
                assert await raw.end() == CloseCode.BAD_MESSAGE
