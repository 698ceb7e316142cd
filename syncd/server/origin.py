"""Origin: which web pages and which host names may reach this server.

A server on 127.0.0.1 is within reach of every web page its user opens, so a loopback address protects nothing by
itself. Knows nothing of tokens beyond whether a request has an Authorization header, which no page can send unasked.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_PATTERN = re.compile(r"[a-z0-9._:-]+\Z")
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_loopback(host: str) -> bool:
    """Whether binding to `host` is out of reach of other machines."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_origin(text: str) -> str | None:
    """Return an origin in its one normal form, `scheme://host` or `scheme://host:port`, or None if it is not one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    rest = parts.path or parts.query or parts.fragment or parts.username is not None or parts.password is not None
    name = parts.hostname or ""
    if parts.scheme not in _DEFAULT_PORTS or not _HOST_PATTERN.match(name) or rest:
        return None
    host = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{host}" + ("" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}")


class OriginPolicy:
    """The rules for Origin and Host, for links and requests alike.

    1. A page of another origin is refused unless its origin is on the list; `null` always is.
    2. With no Origin, a browser may read (same-origin reads carry none), never write and never open a link.
    3. Bound to loopback, only loopback names and those on the list are answered: a page whose own name was made to
       point at 127.0.0.1 (DNS rebinding) is of the same origin by rule 1, and stopped here.
    """

    def __init__(self, *, origins: Iterable[str] = (), hosts: Iterable[str] = (), loopback: bool) -> None:
        self._origins = frozenset(origins)
        names = frozenset(host.lower() for host in hosts)
        self._hosts = names | _LOOPBACK_HOSTS if loopback else names

    def host_allowed(self, host: str | None) -> bool:
        """Whether a Host header's name is one of ours. The port is not looked at: a proxy may change it."""
        parsed = parse_origin(f"http://{host}") if host else None
        if parsed is None:
            return False
        return not self._hosts or urlsplit(parsed).hostname in self._hosts  # Invariant 3.

    def origin_allowed(self, method: str, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers may go on."""
        origin = headers.get("Origin")
        if origin is not None:
            return self._listed(origin) or self._same_host(origin, headers.get("Host", ""))  # Invariant 1.
        if "Authorization" in headers:
            return True
        if headers.get("Upgrade") is None and method in _SAFE_METHODS:
            site = headers.get("Sec-Fetch-Site", "none")
            return site in ("none", "same-origin") or headers.get("Sec-Fetch-Mode") == "navigate"
        return not _from_browser(headers)  # Invariant 2.

    def cors_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that let a listed page read the answer; empty for all others."""
        origin = headers.get("Origin", "")
        if not self._listed(origin):
            return {}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Content-Disposition, Location, Retry-After",
            "Vary": "Origin",
        }

    def preflight_headers(self) -> dict[str, str]:
        """Return what an OPTIONS request is told besides `cors_headers`."""
        return {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        }

    def _listed(self, origin: str) -> bool:
        return parse_origin(origin) in self._origins

    def _same_host(self, origin: str, host: str) -> bool:
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        # The scheme is not compared: behind a proxy that ends TLS the page is https and we are not.
        return parse_origin(f"{urlsplit(parsed).scheme}://{host}") == parsed


def _from_browser(headers: Mapping[str, str]) -> bool:
    return headers.get("User-Agent", "").startswith("Mozilla/") or any(
        key.lower().startswith("sec-fetch-") for key in headers
    )
