"""Requests to targets: what is not public is not connected to, however its address is written or found."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from syncd.server.hooks.targets import Guard, Outbound, TargetFailed, TargetRefused, is_public
from tests.server.hooks.receiver import Receiver, receiving

NOT_PUBLIC = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.7", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::a00:1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1",
    "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1",
    "2606:4700::5efe:7f00:1", "2606:4700:0:0:200:5efe:10.0.0.1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "2a00:1450:4009:80b::200e"]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as here:
        yield here


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Has names resolve to addresses, the next one at each lookup; returns what was asked."""
    asked: list[str] = []
    names: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        if host not in names:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        address = names[host].pop(0) if len(names[host]) > 1 else names[host][0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    def have(host: str, *addresses: str) -> list[str]:
        names[host] = [*addresses]
        return asked

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return have


async def post(url: str, *, allow: tuple[str, ...] = (), timeout_s: float = 5.0) -> int:
    outbound = Outbound(Guard(allow))
    try:
        return (await outbound.post(url, body=b"{}", headers={}, timeout_s=timeout_s)).status
    finally:
        await outbound.close()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    """Private, shared, local, multicast, reserved, and IPv6 that stands for IPv4."""
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(TargetRefused):
        Guard().check_address(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_allowed(address: str) -> None:
    """With TLS."""
    Guard().check_address(ipaddress.ip_address(address))
    with pytest.raises(TargetRefused):
        Guard().check_address(ipaddress.ip_address(address), plain=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "017700000001", "127.1", "0", "[::1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "LOCALHOST",
        "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.0.0.1", "[fe80::1%25lo]", "169.254.169.254", "0.0.0.0", "[::]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_no_spelling_of_loopback_reaches_it(host: str, scheme: str, receiver: Receiver) -> None:
    """Decimal, octal, hexadecimal, short, mapped, translated or by name: nothing is ever connected to."""
    with pytest.raises((TargetRefused, TargetFailed)):
        await post(f"{scheme}://{host}:{receiver.port}/hook")

    assert receiver.got == []


async def test_the_address_is_checked_that_is_connected_to(
    receiver: Receiver, resolves: Callable[..., list[str]]
) -> None:
    """A name that is public when it is looked at, and private when it is used, is refused."""
    asked = resolves("rebind.example", "127.0.0.1")
    Guard().check_url("https://rebind.example/hook")

    with pytest.raises(TargetRefused, match=r"127\.0\.0\.1 is not public"):
        await post(f"https://rebind.example:{receiver.port}/hook")

    assert asked == ["rebind.example"]
    assert receiver.got == []


async def test_every_connection_looks_the_name_up_again(receiver: Receiver, resolves: Callable[..., list[str]]) -> None:
    """What was allowed once is no pass for the next time."""
    resolves("moves.example", "127.0.0.1", "127.0.0.2")
    outbound = Outbound(Guard(["127.0.0.1"]))
    receiver.answer = lambda _: web.Response(headers={"Connection": "close"})
    url = f"http://moves.example:{receiver.port}/hook"
    try:
        assert (await outbound.post(url, body=b"", headers={}, timeout_s=5)).status == 200
        with pytest.raises(TargetRefused):
            await outbound.post(url, body=b"", headers={}, timeout_s=5)
    finally:
        await outbound.close()

    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("allow", "reached"),
    [("127.0.0.1", True), ("127.0.0.0/8", True), ("10.0.0.0/8", False), ("::1", False)],
)
async def test_ones_own_network_can_be_allowed(allow: str, reached: bool, receiver: Receiver) -> None:
    """By address or network, then by plain HTTP too."""
    if reached:
        assert await post(receiver.url(), allow=(allow,)) == 200
        assert await post(f"http://[::ffff:127.0.0.1]:{receiver.port}/", allow=(allow,), timeout_s=2) == 200
    else:
        with pytest.raises(TargetRefused):
            await post(receiver.url(), allow=(allow,))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x", "//example.com/", "https://",
        "https://user:pass@example.com/", "https://exa mple.com/", "https://example.com:0/", "https://example.com:x/",
        "https://[::1/", "https://example.com/\r\nHost: x", "https://example.com/" + "a" * 3_000, "", "hook",
        "https://example.com\\@127.0.0.1/",
    ],
)  # fmt: skip
def test_odd_urls_are_refused(url: str) -> None:
    """Before anything is looked up, and without repeating what may be secret."""
    with pytest.raises(TargetRefused) as refused:
        Guard().check_url(url)
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int, receiver: Receiver) -> None:
    """Not even to where one may go."""
    receiver.answer = lambda got: web.Response(status=status, headers={"Location": receiver.url("/elsewhere")})

    assert await post(receiver.url(), allow=("127.0.0.1",)) == status
    assert [got.path for got in receiver.got] == ["/hook"]


async def test_the_environments_proxy_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to what the guard refuses."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, receiver.url("/"))

    with pytest.raises(TargetRefused):
        await post("https://10.1.2.3/hook", allow=("127.0.0.1",))
    with pytest.raises(TargetFailed):
        await post("http://127.0.0.1:9/hook", allow=("127.0.0.1",))

    assert receiver.got == []


async def test_a_request_ends_in_its_time(receiver: Receiver) -> None:
    """Whether the target says nothing, or goes on and on."""
    receiver.gate.clear()
    with pytest.raises(TargetFailed, match=r"no answer within 0\.2 s"):
        await post(receiver.url(), allow=("127.0.0.1",), timeout_s=0.2)


async def test_little_of_an_answer_is_read(receiver: Receiver) -> None:
    """One that has no end costs a few KiB."""
    receiver.answer = lambda _: web.Response(body=b"x" * (8 << 20))
    outbound = Outbound(Guard(["127.0.0.1"]))
    try:
        reply = await outbound.post(receiver.url(), body=b"", headers={}, timeout_s=5)
    finally:
        await outbound.close()

    assert len(reply.body) == 4 << 10


async def test_a_name_that_takes_long_holds_up_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name costs one thread, however often it is asked for; the others are found meanwhile."""
    hold, asked = asyncio.Event(), []
    loop = asyncio.get_running_loop()
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        if host == "slow.example":
            asyncio.run_coroutine_threadsafe(hold.wait(), loop).result()
            raise socket.gaierror("no such name")
        return real("127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    outbound = Outbound(Guard(["127.0.0.1"]))

    async def try_slow() -> None:
        with pytest.raises(TargetFailed):
            await outbound.post("https://slow.example/", body=b"", headers={}, timeout_s=0.2)

    try:
        await asyncio.gather(*(try_slow() for _ in range(50)))
        url = f"http://fast.example:{receiver.port}/"
        assert (await outbound.post(url, body=b"", headers={}, timeout_s=5)).status == 200
        assert asked == ["slow.example", "fast.example"]
    finally:
        hold.set()
        await outbound.close()


def test_a_targets_repr_holds_no_secret() -> None:
    """Logs and tracebacks show it."""
    from syncd.server.hooks.targets import Target

    shown = repr(Target("crm", "webhook", "https://example.com/TOKEN", (b"key",)))
    assert "TOKEN" not in shown
    assert "key" not in shown
