"""The server as a whole: starting, draining, stopping."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession, WSMsgType

from syncd.core.codec import encode
from syncd.core.errors import CloseCode, LocalProtocolError, StoreLocked
from syncd.core.messages import Hello
from syncd.server.app import DEV_BANNER, Server, create_server
from syncd.server.metrics import Metrics
from syncd.server.parts import make_auth, make_services
from tests.harness import PATIENCE_S
from tests.server.fakes import ALL, SECRET, FakeLinks, FakeSessions, FakeStore, running, settings_for

SERVE = """
import asyncio, sys
from pathlib import Path
from syncd.server.app import create_server
from syncd.server.config import load
from syncd.server.logs import configure
configure("json")
settings = load(port=int(sys.argv[1]), store=Path(sys.argv[2]), dev=True)
sys.exit(asyncio.run(create_server(settings).run()))
"""


async def test_order_of_start_and_stop(tmp_path: Path) -> None:
    """Nothing is accepted before the store is open; it is closed last, after the last commit."""
    async with running(tmp_path) as http:
        events = http.events
        assert events == ["store opened", "sessions started"]

    assert events == ["store opened", "sessions started", "links told", "sessions stopped", "store closed"]


async def test_drain_lets_requests_finish(tmp_path: Path) -> None:
    """A request under way is answered, a new connection is refused, links are closed with a reason to come back."""
    async with running(tmp_path) as http:
        await http.sessions.create("room")
        link = await http.client.ws_connect(http.url + "/v1/sync", protocols=["syncd.v1"])
        http.sessions.gate.clear()
        slow = asyncio.ensure_future(http.call("GET", "/v1/sessions/room"))
        await http.sessions.entered.wait()
        draining = asyncio.ensure_future(http.server.drain())
        closed = await asyncio.wait_for(link.receive(), PATIENCE_S)
        with pytest.raises(ClientConnectionError):
            async with ClientSession() as other, other.get(http.url + "/healthz"):
                pass
        assert not slow.done()
        http.sessions.gate.set()
        reply = await slow
        await draining

    assert closed.data == 4000
    assert reply.status == 200


async def test_drain_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A request that does not end is cut after drain_timeout_s, and the store is closed all the same."""
    async with running(tmp_path, drain_timeout_s=0.2) as http:
        await http.sessions.create("room")
        http.sessions.gate.clear()
        slow = asyncio.ensure_future(http.call("GET", "/v1/sessions/room"))
        await http.sessions.entered.wait()
        started = time.monotonic()
        draining = asyncio.ensure_future(http.server.drain())
        await asyncio.sleep(0)
        await http.server.stop()
        assert draining.done()
        elapsed = time.monotonic() - started
        with pytest.raises(ClientConnectionError):
            await slow

    assert elapsed < 2.0
    assert http.events[-1] == "store closed"


async def test_failed_start_leaves_nothing_open(tmp_path: Path) -> None:
    """A port that is taken closes the store again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(tmp_path, port=taken.getsockname()[1])
        limits, metrics, events = settings.make_limits(), Metrics(), list[str]()
        auth = make_auth(settings, limits, metrics)
        services = make_services(settings, FakeSessions(events), FakeLinks(events), auth, limits, metrics)
        server = Server(settings, FakeStore(events), services)
        with pytest.raises(OSError, match="in use"):
            await server.start()
        with pytest.raises(LocalProtocolError):
            _ = server.url

    assert events[-2:] == ["sessions stopped", "store closed"]


async def test_ipv6_address_is_bracketed(tmp_path: Path) -> None:
    """The URL can be used as it is."""
    async with running(tmp_path, host="::1") as http:
        assert http.url == f"http://[::1]:{http.server.port}"
        assert (await http.call("GET", "/healthz")).status == 200


async def test_real_parts_work_together(tmp_path: Path) -> None:
    """Over a real SQLite file: create, post, restart, read; a second server on the file does not start."""
    settings = settings_for(tmp_path)
    first = create_server(settings)
    await first.start()
    token = first.services.auth.mint("user:mona", {"*": ALL}).token
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with ClientSession(first.url, headers=headers) as client:
            async with client.post("/v1/sessions", json={"session": "room"}) as reply:
                assert reply.status == 201
            async with client.post("/v1/sessions/room/messages", json={"text": "hello", "id": "m-1"}) as reply:
                assert (reply.status, await reply.json()) == (201, await reply.json())
                posted = await reply.json()
            async with client.post("/v1/sessions/room/messages", json={"text": "hello", "id": "m-1"}) as reply:
                assert await reply.json() == posted
        with pytest.raises(StoreLocked):
            await create_server(settings).start()
    finally:
        await first.stop()
    second = create_server(settings)
    await second.start()
    try:
        async with ClientSession(second.url, headers=headers) as client:
            async with client.get("/v1/sessions/room") as reply:
                content = await reply.json()
            async with client.get("/v1/sessions/nothing") as reply:
                absent = (reply.status, await reply.json())
            async with client.get("/v1/sessions/room/export") as reply:
                exported = await reply.read()
            async with client.get("/v1/sessions/room/export?format=markdown") as reply:
                readable = await reply.text()
            async with client.get("/v1/sessions/room/messages?limit=1") as reply:
                page = await reply.json()
            async with client.get("/v1/search?q=hello") as reply:
                found = await reply.json()
            async with client.delete("/v1/sessions/room") as reply:
                assert reply.status == 204
            headers = {"Content-Type": "application/json"}
            async with client.post("/v1/sessions/import", data=exported, headers=headers) as reply:
                assert (reply.status, await reply.text())[0] == 201
            async with client.get("/v1/sessions/room") as reply:
                again = await reply.json()
    finally:
        await second.stop()

    assert [message["id"] for message in content["messages"]] == ["m-1"]
    assert absent[0] == 404
    assert "hello" in readable
    assert [message["id"] for message in page["messages"]] == ["m-1"]
    assert [hit["message"] for hit in found["hits"]] == ["m-1"]
    assert again["messages"] == content["messages"]
    assert SECRET not in str(content)


async def test_revocation_cuts_a_real_link(tmp_path: Path) -> None:
    """Over REST by an admin; the link is closed within seconds, for good, and cannot come back."""
    server = create_server(settings_for(tmp_path))
    await server.start()
    auth = server.services.auth
    guest = auth.mint("user:guest", {"*": ALL}).token
    admin = {"Authorization": f"Bearer {auth.mint('user:admin', {'*': ALL}).token}"}
    try:
        async with ClientSession(server.url) as client:
            link = await client.ws_connect("/v1/sync", protocols=["syncd.v1"])
            await link.send_bytes(encode(Hello(versions=[1], token=guest, device="d1")))
            await link.receive_bytes(timeout=PATIENCE_S)
            async with client.post("/v1/tokens/revoke", json={"subject": "user:guest"}, headers=admin) as reply:
                assert reply.status == 204
            while (message := await link.receive(timeout=PATIENCE_S)).type is WSMsgType.BINARY:
                pass
            first_close = message.data
            again = await client.ws_connect("/v1/sync", protocols=["syncd.v1"])
            await again.send_bytes(encode(Hello(versions=[1], token=guest, device="d1")))
            while (message := await again.receive(timeout=PATIENCE_S)).type is WSMsgType.BINARY:
                pass
    finally:
        await server.stop()

    assert first_close == message.data == CloseCode.REVOKED


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_zero(tmp_path: Path, number: signal.Signals) -> None:
    """A process that was asked to end says so by 0, after a loud word on the development mode."""
    process, _ = _serve(tmp_path)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 0, err
    assert DEV_BANNER in err
    assert "stopped" in err


def test_second_signal_exits_at_once(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice does not wait for a client that does not finish."""
    process, port = _serve(tmp_path)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while "draining" not in process.stderr.readline():  # Two that come at once are one.
            assert process.poll() is None
        time.sleep(0.5)
        assert process.poll() is None
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert process.returncode == 128 + signal.SIGTERM
    assert time.monotonic() - started < 5


def _serve(path: Path) -> tuple["subprocess.Popen[str]", int]:
    """Start a server process and wait until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), str(path / "syncd.db")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"},
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as reply:
                assert reply.status == 200
                return process, port
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[1])
