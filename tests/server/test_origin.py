"""Which pages and host names may reach the server."""

import pytest
from multidict import CIMultiDict

from syncd.server.origin import OriginPolicy, is_loopback, parse_origin

HOST = "127.0.0.1:8484"
UPGRADE = {"Upgrade": "websocket"}
BROWSER = {"User-Agent": "Mozilla/5.0"}
TOKEN = {"Authorization": "Bearer x"}


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        # A page's own origin, and those on the list.
        ("GET", {"Origin": f"http://{HOST}"}, True),
        ("GET", {"Origin": "https://127.0.0.1:8484"}, True),
        ("GET", {"Origin": "https://app.example.com"}, True),
        ("GET", {"Origin": "https://APP.example.com:443"}, True),
        ("POST", {"Origin": "https://app.example.com"} | TOKEN, True),
        # Others, near misses included; a token does not help, since a page may send one it stole or was given.
        ("GET", {"Origin": "https://evil.example"}, False),
        ("GET", {"Origin": "https://evil.example"} | TOKEN, False),
        ("GET", {"Origin": "http://app.example.com"}, False),
        ("GET", {"Origin": "https://app.example.com:8443"}, False),
        ("GET", {"Origin": "https://app.example.com.evil.example"}, False),
        ("GET", {"Origin": "https://evil.example/https://app.example.com"}, False),
        ("GET", {"Origin": "https://app.example.com@evil.example"}, False),
        ("GET", {"Origin": "http://127.0.0.1"}, False),
        ("GET", {"Origin": "http://127.0.0.1:8485"}, False),
        ("GET", {"Origin": "null"}, False),
        ("GET", {"Origin": "null"} | TOKEN, False),
        ("GET", {"Origin": ""}, False),
        ("GET", {"Origin": "file://"}, False),
        ("GET", {"Origin": "http://[::1"}, False),
        ("GET", {"Origin": "http://a:99999"}, False),
        ("GET", UPGRADE | {"Origin": "https://evil.example"}, False),
        # Without an Origin: programs.
        ("GET", {}, True),
        ("POST", {}, True),
        ("GET", UPGRADE, True),
        ("GET", UPGRADE | TOKEN, True),
        ("GET", UPGRADE | TOKEN | BROWSER, True),
        # Without an Origin: browsers, which leave it out of same-origin reads only.
        ("GET", BROWSER, True),
        ("GET", BROWSER | {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, True),
        ("GET", BROWSER | {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
        ("GET", BROWSER | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, True),
        ("GET", BROWSER | {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", {"sec-fetch-site": "same-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ("GET", BROWSER | UPGRADE, False),
        ("GET", UPGRADE | {"Sec-Fetch-Site": "same-origin"}, False),
        ("GET", UPGRADE | {"sec-fetch-mode": "websocket"}, False),
        ("POST", BROWSER, False),
        ("DELETE", BROWSER | {"Sec-Fetch-Site": "same-origin"}, False),
    ],
)
def test_origin(method: str, headers: dict[str, str], allowed: bool) -> None:
    """The table of what may go on."""
    policy = OriginPolicy(origins=["https://app.example.com"], loopback=True)

    assert policy.origin_allowed(method, CIMultiDict({"Host": HOST} | headers)) is allowed


@pytest.mark.parametrize(
    ("host", "loopback", "public"),
    [
        ("localhost", True, False),
        ("LOCALHOST:1", True, False),
        ("127.0.0.1:8484", True, False),
        ("[::1]:8484", True, False),
        ("sync.example.com", True, True),
        ("Sync.Example.Com:443", True, True),
        ("evil.example", False, False),
        ("127.0.0.1.evil.example", False, False),
        ("localhost.evil.example:8484", False, False),
        ("evil.example/localhost", False, False),
        ("localhost@evil.example", False, False),
        ("127.0.0.2", False, False),
        ("0.0.0.0", False, False),
        ("::1", False, False),
        ("", False, False),
        (None, False, False),
        ("localhost:port", False, False),
    ],
)
def test_host(host: str | None, loopback: bool, public: bool) -> None:
    """Bound to loopback, its names and the listed ones; else the listed ones."""
    names = ["sync.example.com"]

    assert OriginPolicy(hosts=names, loopback=True).host_allowed(host) is loopback
    assert OriginPolicy(hosts=names, loopback=False).host_allowed(host) is public


def test_any_host_if_public_and_none_is_listed() -> None:
    """A server that was deliberately opened answers to whatever name it is given, if it is a name."""
    policy = OriginPolicy(loopback=False)

    assert policy.host_allowed("any.example")
    assert not policy.host_allowed("")


def test_only_listed_pages_may_read_answers() -> None:
    """The CORS list is the Origin list."""
    policy = OriginPolicy(origins=["https://app.example.com"], loopback=True)

    assert policy.cors_headers({"Origin": "https://evil.example"}) == {}
    assert policy.cors_headers({"Origin": "null"}) == {}
    assert policy.cors_headers({}) == {}
    answer = policy.cors_headers({"Origin": "https://app.example.com"})
    assert answer["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert answer["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only what no other machine can reach."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.example:443", "https://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://a.example/", None),
        ("https://*", None),
        ("https://*.example.com", None),
        ("*", None),
        ("a.example", None),
        ("ftp://a.example", None),
        ("https://a.example?x", None),
        ("https://u:p@a.example", None),
    ],
)
def test_origins_have_one_form(text: str, expected: str | None) -> None:
    """Scheme, host and a port that is not the usual one."""
    assert parse_origin(text) == expected
