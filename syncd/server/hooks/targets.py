"""Targets: where notices may go, and requests to there that reach nothing but what is public or allowed.

An address is checked at the moment it is connected to, so that neither a name that resolves to something else by then
nor another way to write an address gets around it. Knows nothing of notices.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from syncd.core.errors import SyncdError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

URL_CHARS_MAX = 2_048
#: What is read of an answer: enough to say what went wrong.
ANSWER_BYTES_MAX = 4 << 10
_LOOKUPS_MAX = 64
#: Tells an address refused here from one that the network refused, through the layers that pass it on.
_REFUSED_ERRNO = 0x73796E63

#: Not public, whatever else is said of them. `is_global` alone knows not all of these, and not in every Python.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        # Unspecified, loopback, IPv4 in IPv6 (compatible, translated, NAT64, Teredo, 6to4), discard, documentation,
        # segment routing, unique local, link-local, site-local, multicast.
        "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23",
        "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
#: The middle of an IPv6 address that holds an IPv4 address in its last 32 bits (ISATAP, RFC 5214).
_ISATAP = (0x00005EFE, 0x02005EFE)


class TargetRefused(SyncdError):
    """A target may not be connected to: its URL or its address is not allowed. The message has no path and no query."""


class TargetFailed(SyncdError):
    """A target was not reached, or did not answer in time. The message has no address."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A target's answer. `headers` by lower-case name; `body` is its first few KiB."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def retry_after_s(self, now: float) -> float | None:
        """Return what its `Retry-After` says, in seconds from `now` (Unix seconds), None if it says nothing."""
        value = self.headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit() and len(value) < 10:
            return float(value)
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now)


@dataclass(frozen=True, slots=True)
class Target:
    """A named target, as the operator configured it. What is secret in it stands nowhere else, and in no `repr`.

    `channel` is what it is reached by. `url` is where: a webhook's, or one that Apprise reads. `secrets` sign what is
    sent, each of them: two while one replaces the other. At most `concurrency` notices are under way to it, and
    `per_s` a second are begun; with more than one under way, order is kept within each session only.
    """

    name: str
    channel: str
    url: str = field(default="", repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    concurrency: int = 1
    per_s: float = 50.0
    timeout_s: float = 15.0


class Guard:
    """Decides which addresses may be connected to.

    1. What is not public is refused: loopback, private and shared networks, link-local, multicast, reserved ones, and
       IPv6 addresses that stand for an IPv4 address.
    2. What the operator's allow-list names is allowed, and only that by plain HTTP.
    """

    def __init__(self, allow: Sequence[str] = ()) -> None:
        """`allow` are addresses and networks of one's own, such as `10.1.0.0/16`.

        Raises:
            ValueError: one of them is neither.
        """
        self._allow: tuple[Network, ...] = tuple(ipaddress.ip_network(item, strict=False) for item in allow)

    def check_url(self, url: str) -> None:
        """Check all of a URL that can be checked before its host is looked up.

        Raises:
            TargetRefused: it is none that may be used. The message does not repeat it.
        """
        if len(url) > URL_CHARS_MAX:
            raise TargetRefused(f"the URL is over {URL_CHARS_MAX} characters")
        if not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
            raise TargetRefused("the URL holds characters that a URL has to escape")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise TargetRefused("the URL does not read as one") from None
        if parts.scheme not in ("https", "http"):
            raise TargetRefused("the URL begins with https://, or with http:// for an address on the allow-list")
        if not parts.hostname or port == 0:
            raise TargetRefused("the URL names no host")
        if "@" in parts.netloc:
            raise TargetRefused("the URL holds a user or a password: leave them out")
        try:
            address = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return
        self.check_address(address, plain=parts.scheme == "http")

    def check_address(self, address: Address, *, plain: bool = False) -> None:
        """Check an address that is about to be connected to. `plain`: without TLS.

        Raises:
            TargetRefused: it may not be.
        """
        meant = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        if any((meant or address) in network for network in self._allow):  # Invariant 2.
            return
        if not is_public(address):  # Invariant 1.
            raise TargetRefused(f"{address} is not public: put it on the allow-list if it is a target of your own")
        if plain:
            raise TargetRefused(f"{address} is not on the allow-list, so http:// is not good enough: use https://")


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and stands for itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address.scope_id is not None:
            return False
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


class _Resolver(AbstractResolver):
    """Looks names up in threads of its own, so that names that take long hold up nothing else of the process.

    A name that is being looked up already is not looked up a second time: a dead one costs one thread.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_LOOKUPS_MAX, thread_name_prefix="target lookup")
        self._running: dict[tuple[str, int, int], asyncio.Future[list[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        key = (host, port, int(family))
        lookup = self._running.get(key)
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = loop.run_in_executor(self._pool, _look_up, host, port, family)
            self._running[key] = lookup
            lookup.add_done_callback(lambda done: self._forget(key, done))
        return [
            ResolveResult(
                hostname=host, host=sockaddr[0], port=sockaddr[1], family=kind, proto=proto, flags=socket.AI_NUMERICHOST
            )
            for kind, _, proto, _, sockaddr in await asyncio.shield(lookup)
        ]

    def _forget(self, key: tuple[str, int, int], done: asyncio.Future[list[Any]]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # Said to whoever waits; they may all have gone.

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int, family: int) -> list[Any]:
    return socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


class Outbound:
    """POST requests to targets, through a `Guard`.

    1. The address that is connected to is checked at that moment, for every connection.
    2. Redirects are not followed, proxies of the environment not used, cookies not kept.
    3. A request ends within its time, name lookup and answer included; of the answer little is read.

    Requests share nothing that one of them could use up. `close` it in the end.
    """

    def __init__(self, guard: Guard, *, ssl_context: SSLContext | None = None) -> None:
        """`ssl_context` replaces the one that trusts what the system trusts."""
        self._guard = guard
        self._ssl: SSLContext | bool = ssl_context or True
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Reply:
        """Send a request once, and return the answer, whatever its status.

        Raises:
            TargetRefused: the URL or the address may not be used.
            TargetFailed: it was not reached, or did not answer in `timeout_s`.
        """
        self._guard.check_url(url)
        session = self._session(plain=urlsplit(url).scheme == "http")
        try:
            async with asyncio.timeout(timeout_s):  # Invariant 3.
                async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    answer = await _beginning(response)
                    known = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(response.status, known, answer)
        except TimeoutError:
            raise TargetFailed(f"no answer within {timeout_s:g} s") from None
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno == _REFUSED_ERRNO:
                raise TargetRefused(error.os_error.strerror or "the address is not allowed") from None
            raise TargetFailed(_reason(error)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TargetFailed(_reason(error)) from None

    async def close(self) -> None:
        """Close all connections. Idempotent."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _session(self, *, plain: bool) -> aiohttp.ClientSession:
        # One for each, since what a socket is made for does not say whether TLS will be spoken over it.
        session = self._sessions.get(plain)
        if session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                resolver=_Resolver(),
                ssl=self._ssl,
                socket_factory=lambda info: self._socket(info, plain=plain),
            )
            session = self._sessions[plain] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # Invariant 2.
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"User-Agent": "syncd"},
            )
        return session

    def _socket(self, info: tuple[Any, ...], *, plain: bool) -> socket.socket:
        family, kind, proto, _, sockaddr = info
        try:
            self._guard.check_address(ipaddress.ip_address(sockaddr[0]), plain=plain)  # Invariant 1.
        except (TargetRefused, ValueError) as error:
            raise OSError(_REFUSED_ERRNO, str(error)) from None
        return socket.socket(family, kind, proto)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read an answer up to a bound; what has more is cut off, connection and all."""
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_BYTES_MAX:
            response.close()
            break
    return b"".join(chunks)[:ANSWER_BYTES_MAX]


def _reason(error: Exception) -> str:
    """Say what went wrong without where: an exception's own text holds the URL."""
    number = getattr(getattr(error, "os_error", error), "errno", None)
    name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
    return " ".join(part for part in (type(error).__name__, name) if part)
