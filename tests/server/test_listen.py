"""The deadline for headers, on real sockets."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import PATIENCE_S
from tests.server.fakes import Running, running

TIMEOUT_S = 0.3
#: The most that may come byte by byte, where ten come in time.
BYTES_MAX = 25
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Running]:
    """A server that is impatient about headers."""
    async with running(tmp_path, limits={"header_timeout_s": TIMEOUT_S}) as here:
        yield here


async def drip(
    http: Running, *, before: bytes = b"", data: bytes = b"GET / HTTP/1.1\r\nX: " + b"x" * 500
) -> tuple[float, int]:
    """Send `before`, read its answer, then `data` byte by byte, ten in the time that headers have.

    Return how long the server put up with it, and with how many of them: where the machine stops, these stop too.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    if before:
        writer.write(before)
        await _answer(reader)
    started = time.monotonic()
    ended = asyncio.ensure_future(reader.read())
    count = 0
    while count < len(data) and not ended.done():
        writer.write(data[count : count + 1])
        count += 1
        await asyncio.wait([ended], timeout=TIMEOUT_S / 10)
    elapsed = time.monotonic() - started
    if not ended.done():
        ended.cancel()
    await asyncio.gather(ended, return_exceptions=True)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return elapsed, count


async def test_dripped_header_is_cut(http: Running) -> None:
    """limits.header_timeout_s holds although a byte comes ten times as often."""
    assert http.server.services.limits.header_timeout_s == TIMEOUT_S
    elapsed_s, count = await drip(http)
    assert elapsed_s >= TIMEOUT_S * 0.9
    assert count <= BYTES_MAX


async def test_silent_connection_is_cut(http: Running) -> None:
    """A connection that never says anything does not stay."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    started = time.monotonic()
    try:
        rest = await asyncio.wait_for(reader.read(), PATIENCE_S)
    except ConnectionResetError:
        rest = b""
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert rest == b""
    assert time.monotonic() - started >= TIMEOUT_S * 0.9


async def test_dripped_header_of_a_later_request_is_cut(http: Running) -> None:
    """Being good once does not buy patience."""
    elapsed_s, count = await drip(http, before=REQUEST)
    assert elapsed_s >= TIMEOUT_S * 0.9
    assert count <= BYTES_MAX


async def test_dripped_header_behind_a_body_is_cut(http: Running) -> None:
    """The end of a body starts nothing, the first byte behind it does."""
    token = http.token().encode()
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    before = head + b"Authorization: Bearer " + token + b"\r\nContent-Length: 2\r\n\r\n{}"

    elapsed_s, count = await drip(http, before=before)
    assert elapsed_s >= TIMEOUT_S * 0.9
    assert count <= BYTES_MAX


async def test_kept_connection_may_be_idle(http: Running) -> None:
    """The deadline is for headers, not for the time between requests."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    for _ in range(2):
        writer.write(REQUEST)
        head = await _answer(reader)
        assert head.startswith(b"HTTP/1.1 200")
        # Longer than the deadline: were it running, the next request would fail.
        await asyncio.sleep(TIMEOUT_S * 1.5)
    writer.write(REQUEST)
    assert (await _answer(reader)).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()


async def test_slow_answer_and_slow_body_are_not_cut(http: Running) -> None:
    """Headers that were complete in time are; what takes its time after them has deadlines of its own."""
    await http.sessions.create("room")
    http.sessions.gate.clear()
    slow = asyncio.ensure_future(http.call("GET", "/v1/sessions/room"))
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    writer.write(head + b"Authorization: Bearer " + http.token().encode() + b"\r\nContent-Length: 20\r\n\r\n")
    for n in range(20):
        writer.write(b'{"session": "slow1"}'[n : n + 1])
        await asyncio.sleep(TIMEOUT_S / 10)
    http.sessions.gate.set()

    assert (await _answer(reader)).startswith(b"HTTP/1.1 201")
    assert (await slow).status == 200
    writer.close()
    await writer.wait_closed()


async def test_link_is_not_cut(http: Running) -> None:
    """After the upgrade there are no headers any more."""
    async with http.client.ws_connect(http.url + "/v1/sync", protocols=["syncd.v1"]) as link:
        for _ in range(2):
            await link.send_bytes(b"x")
            assert await link.receive_bytes(timeout=PATIENCE_S) == b"x"
            # Longer than the deadline: were it running, the next round would fail.
            await asyncio.sleep(TIMEOUT_S * 1.5)
        await link.send_bytes(b"x")
        assert await link.receive_bytes(timeout=PATIENCE_S) == b"x"


async def test_pipelined_requests_are_all_answered(http: Running) -> None:
    """More of them at once than aiohttp takes in, behind a slow one, are not held against the sender."""
    await http.sessions.create("room")
    http.sessions.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    token = http.token().encode()
    writer.write(b"GET /v1/sessions/room HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + b"\r\n\r\n")
    await http.sessions.entered.wait()
    for _ in range(60):
        writer.write(REQUEST)
        await writer.drain()
    await asyncio.sleep(TIMEOUT_S * 1.5)
    http.sessions.gate.set()
    answers = [await _answer(reader) for _ in range(61)]
    writer.close()
    await writer.wait_closed()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /secret-path\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: secret-header\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"secret-" * 2_000 + b"\r\n\r\n",
    ],
)
async def test_malformed_http_is_a_plain_error(http: Running, data: bytes) -> None:
    """In our own words, which repeat nothing, and without aiohttp's name and version."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b'"bad_request"' in answer
    assert b"secret" not in answer
    assert b"aiohttp" not in answer.lower()


async def test_small_frames_are_sent_at_once(http: Running) -> None:
    """Nagle's algorithm is off: a token of 20 bytes does not wait for an acknowledgement."""
    async with http.client.ws_connect(http.url + "/v1/sync", protocols=["syncd.v1"]):
        (transport,) = http.links.transports

        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    await asyncio.wait_for(reader.readexactly(int(lengths[0])), PATIENCE_S)
    return head
