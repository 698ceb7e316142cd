"""What every request and every answer has in common."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError

from syncd.server.http import ERROR_CODES, ApiError, error_response
from tests.harness import PATIENCE_S
from tests.server.fakes import Running, running

PATHS = ["/healthz", "/metrics", "/v1/sessions", "/v1/openapi.json", "/no/such/path"]


@pytest.mark.parametrize("path", PATHS)
async def test_headers_of_every_answer(http: Running, path: str) -> None:
    """Good answers and errors alike; no versions of ours."""
    reply = await http.call("GET", path)

    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["Server"] == "syncd"


@pytest.mark.parametrize("path", [*PATHS, "/v1/sync"])
async def test_origin_and_host_are_checked_first(http: Running, path: str) -> None:
    """On every path, those that nobody serves included, before the token is looked at."""
    for headers, code in (
        ({"Origin": "https://evil.example"}, "bad_origin"),
        ({"Origin": "null"}, "bad_origin"),
        ({"Host": "evil.example"}, "bad_host"),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, "bad_host"),
    ):
        for token in ("", None, "forged"):
            reply = await http.call("GET", path, headers=headers, token=token)

            assert (reply.status, reply.code) == (403, code)
            assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"User-Agent": "Mozilla/5.0"},
    ],
)
async def test_link_of_a_foreign_page_is_refused_before_the_upgrade(http: Running, headers: dict[str, str]) -> None:
    """A page on the internet cannot drive a server on its visitor's machine."""
    with pytest.raises(WSServerHandshakeError) as caught:
        await http.client.ws_connect(http.url + "/v1/sync", headers=headers)

    assert caught.value.status == 403


async def test_listed_page_may_read(tmp_path: Path) -> None:
    """Preflight and answer, errors too, name the origin; no credentials."""
    page = {"Origin": "https://app.example.com"}
    async with running(tmp_path, allowed_origins=page["Origin"]) as http:
        preflight = await http.call(
            "OPTIONS", "/v1/sessions", headers=page | {"Access-Control-Request-Method": "POST"}, token=None
        )
        answer = await http.call("GET", "/v1/sessions", headers=page)
        error = await http.call("GET", "/v1/sessions/absent", headers=page)
        foreign = await http.call("OPTIONS", "/v1/sessions", headers={"Origin": "https://evil.example"}, token=None)

    assert preflight.status == 204
    assert "DELETE" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    for reply in (preflight, answer, error):
        assert reply.headers["Access-Control-Allow-Origin"] == page["Origin"]
        assert reply.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in reply.headers
    assert foreign.status == 403


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", b"bad_"),
        (b"GET /healthz HTTP/1.0\r\n", b"bad_host"),
        (b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n", b"bad_host"),
    ],
)
async def test_host_is_said_once(http: Running, lines: bytes, code: bytes) -> None:
    """Two, none, or one in the request line that says something else: nothing is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(lines + b"Connection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()

    assert answer.split(b" ")[1] in (b"400", b"403")
    assert code in answer


async def test_other_method_is_told_which(http: Running) -> None:
    """405 with Allow; 404 where there is nothing at all; both in the shape of all errors."""
    wrong = await http.call("PUT", "/v1/sessions")
    nothing = await http.call("GET", "/v1/nothing")

    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert set(wrong.headers["Allow"].split(",")) == {"GET", "POST"}
    assert (nothing.status, nothing.code) == (404, "not_found")


@pytest.mark.parametrize("code", sorted(ERROR_CODES))
def test_every_code_has_an_answer(code: str) -> None:
    """A status, words, and Retry-After as whole seconds if one is known."""
    reply = error_response(ApiError(code, retry_after_s=0.2))

    assert reply.status == ERROR_CODES[code].status
    assert reply.headers["Retry-After"] == "1"
    assert ("WWW-Authenticate" in reply.headers) == (reply.status == 401)


def test_every_code_is_provoked_by_a_test() -> None:
    """Each stable code stands in a test that gets it from a server."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.rglob("test_*.py"))

    assert [code for code in ERROR_CODES if f'"{code}"' not in tests] == []
