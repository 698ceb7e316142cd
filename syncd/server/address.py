"""Address: which client a connection speaks for, behind proxies that are trusted to say so.

Knows nothing of limits; whoever counts by address uses what this returns as the key.
"""

import ipaddress
from collections.abc import Iterable, Sequence

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ClientAddresses:
    """Finds the client's address of a request.

    1. `X-Forwarded-For` counts only as far as it was written by trusted proxies, read from the right.
    2. An IPv6 client is its /64: one machine has all of that to itself.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(item, strict=False) for item in trusted)

    def of(self, request: web.BaseRequest) -> str:
        """Return the key to count this request's client by."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        forwarded = [part for line in request.headers.getall("X-Forwarded-For", []) for part in line.split(",")]
        return self.resolve(address, forwarded)

    def resolve(self, peer: str, forwarded: Sequence[str]) -> str:
        """Return the key of a connection from `peer` that came with these `X-Forwarded-For` entries."""
        current = _parse(peer)
        hops = list(forwarded)
        while hops and current is not None and any(current in network for network in self._trusted):
            following = _parse(hops.pop().strip())
            if following is None:
                break  # Invariant 1: what a proxy would not have written is not believed.
            current = following
        if isinstance(current, ipaddress.IPv6Address):
            return str(ipaddress.ip_network((current, 64), strict=False))  # Invariant 2.
        return "unknown" if current is None else str(current)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
