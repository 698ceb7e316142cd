"""The pipeline that every REST request goes through."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.core.grant import Grant
from syncd.server.auth import Auth, parse_keys
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations
from tests.harness import PATIENCE_S, until
from tests.server.fakes import ALL, SECRET, Running, running

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic bW9uYTpwdw==", "Bearer x.y.z"])
async def test_bad_token_is_401(http: Running, authorization: str | None) -> None:
    """No token, another scheme and nonsense are all the same to us."""
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = await http.call("GET", "/v1/sessions", token=None, headers=headers)

    assert (reply.status, reply.code) == (401, "bad_token")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_expired_token_is_told_so(tmp_path: Path) -> None:
    """A client may then get a new one by itself."""
    clock = [1_800_000_000.0]
    auth = Auth(parse_keys(SECRET), revocations=Revocations(None), metrics=Metrics(), clock=lambda: clock[0])
    async with running(tmp_path, auth=auth) as http:
        token = auth.mint("user:mona", {}, ttl_s=60).token
        before = await http.call("GET", "/v1/sessions", token=token)
        clock[0] += 60
        after = await http.call("GET", "/v1/sessions", token=token)

    assert before.status == 200
    assert (after.status, after.code) == (401, "token_expired")


async def test_token_in_the_query_is_not_looked_at(http: Running) -> None:
    """URLs end up in logs and histories; no token counts there."""
    reply = await http.call("GET", f"/v1/sessions?token={http.token()}", token=None)

    assert reply.status == 401


@pytest.mark.parametrize("session", ["..%2f", "%00", "a%00b", "%C3%A9", "a.b", "%2e%2e", "a" * 65, "a%20b", "a%0a"])
async def test_session_id_has_a_grammar(http: Running, session: str) -> None:
    """Whatever is no id is refused before anything sees it; the answer does not repeat it."""
    status, body = await _raw_get(http, f"/v1/sessions/{session}")

    assert (status, json.loads(body)["error"]["code"]) == (422, "invalid")


@pytest.mark.parametrize("path", ["/v1/sessions/../../etc/passwd", "/v1/sessions/..", "/v1/sessions/a/b/c", "//v1/x"])
async def test_odd_paths_are_not_found_or_invalid(http: Running, path: str) -> None:
    """A path that nobody serves is a plain error."""
    status, _ = await _raw_get(http, path)

    assert status in (404, 422)


async def test_ten_kilobytes_of_id_are_a_bad_request(http: Running) -> None:
    """Longer than the request line may be."""
    status, body = await _raw_get(http, "/v1/sessions/" + "a" * 10_240)

    assert (status, json.loads(body)["error"]["code"]) == (400, "bad_request")
    assert b"aaaa" not in body


async def test_body_over_the_limit_is_too_large(tmp_path: Path) -> None:
    """limits.body_bytes_max holds whether the length is declared or not; limits.import_bytes_max for imports."""
    async with running(tmp_path, limits={"body_bytes_max": 1_000, "import_bytes_max": 5_000}) as http:
        await http.sessions.create("room")

        async def undeclared() -> AsyncIterator[bytes]:
            yield b'{"text": "'
            for _ in range(100):
                yield b"x" * 100

        declared = await http.call("POST", "/v1/sessions/room/messages", json={"text": "x" * 1_000})
        chunked = await http.call("POST", "/v1/sessions/room/messages", data=undeclared(), headers=JSON)
        imported = await http.call("POST", "/v1/sessions/import", json={"session": "n", "messages": ["x" * 2_000]})
        too_big = await http.call("POST", "/v1/sessions/import", json={"session": "b", "messages": ["x" * 6_000]})

    assert (declared.status, declared.code) == (413, "too_large")
    assert (chunked.status, chunked.code) == (413, "too_large")
    assert imported.status == 201
    assert (too_big.status, too_big.code) == (413, "too_large")


async def test_body_without_a_good_token_is_not_read(http: Running) -> None:
    """A stranger cannot make the server take in a body: the answer comes before it was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(
        b"POST /v1/sessions/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100000000\r\n\r\n"
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE_S)
    writer.close()
    await writer.wait_closed()

    assert b"401" in head


@pytest.mark.parametrize("ends", ["token_revoked", "token_expired"])
async def test_token_that_ends_while_the_body_comes_is_not_acted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """Whoever sent half of a body while the token was good gets nothing by the other half."""
    clock = [1_800_000_000.0]
    auth = Auth(parse_keys(SECRET), revocations=Revocations(None), metrics=Metrics(), clock=lambda: clock[0])
    verify, looked = auth.verify, list[str]()

    def look(token: str) -> Grant:
        looked.append(token)
        return verify(token)

    monkeypatch.setattr(auth, "verify", look)
    async with running(tmp_path, auth=auth) as http:
        token = auth.mint("user:mona", {"*": ALL}, ttl_s=60).token
        body = b'{"session": "room"}'
        reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
        writer.write(
            b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nAuthorization: Bearer %s\r\n\r\n%s" % (len(body), token.encode(), body[:5])
        )
        await until(lambda: looked)
        if ends == "token_revoked":
            await auth.revoke(subject="user:mona")
        else:
            clock[0] += 60
        writer.write(body[5:])
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        answer = json.loads(await asyncio.wait_for(reader.readuntil(b"}}"), PATIENCE_S))
        writer.close()
        await writer.wait_closed()

    assert (head.split()[1], answer["error"]["code"]) == (b"401", ends)
    assert http.sessions.messages == {}


async def test_dripped_body_is_too_slow(tmp_path: Path) -> None:
    """limits.body_timeout_s ends a request whose body does not come."""
    async with running(tmp_path, limits={"body_timeout_s": 0.2}) as http:
        await http.sessions.create("room")
        reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
        writer.write(
            b"POST /v1/sessions/room/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\nAuthorization: Bearer " + http.token().encode() + b"\r\n\r\n{"
        )
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        body = json.loads(await asyncio.wait_for(reader.readuntil(b"}}"), PATIENCE_S))
        writer.close()
        await writer.wait_closed()

    assert body["error"]["code"] == "too_slow"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_body_is_plain_json(http: Running, headers: dict[str, str]) -> None:
    """A type that a web page can send unasked, or a compressed body, is refused."""
    data = gzip.compress(b"{}") if "Content-Encoding" in headers else b"{}"
    reply = await http.call("POST", "/v1/sessions", data=data, headers=headers)

    assert (reply.status, reply.code) == (415, "unsupported_media")


async def test_requests_of_a_subject_are_limited(tmp_path: Path) -> None:
    """limits.requests_burst at once, then requests_per_s: 429 with Retry-After. Another subject is not affected."""
    async with running(tmp_path, limits={"requests_per_s": 0.5, "requests_burst": 3}) as http:
        mona, otto = http.token("user:mona"), http.token("user:otto")
        replies = [await http.call("GET", "/v1/sessions", token=mona) for _ in range(4)]
        other = await http.call("GET", "/v1/sessions", token=otto)

    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert replies[-1].code == "rate_limited"
    assert 1 <= int(replies[-1].headers["Retry-After"]) <= 2
    assert other.status == 200


async def test_requests_without_token_are_limited_by_address(tmp_path: Path) -> None:
    """Open routes count the client's address."""
    async with running(tmp_path, limits={"requests_per_s": 0.5, "requests_burst": 2}) as http:
        replies = [await http.call("GET", "/healthz", token=None) for _ in range(3)]

    assert [reply.status for reply in replies] == [200, 200, 429]


async def test_bad_tokens_of_an_address_are_limited(tmp_path: Path) -> None:
    """limits.auth_failures_per_minute refusals, then 429; a good token from there still passes."""
    async with running(tmp_path, limits={"auth_failures_per_minute": 3}) as http:
        replies = [await http.call("GET", "/v1/sessions", token="forged") for _ in range(5)]
        good = await http.call("GET", "/v1/sessions")

    assert [reply.status for reply in replies] == [401, 401, 401, 429, 429]
    assert int(replies[-1].headers["Retry-After"]) <= 20
    assert good.status == 200


async def test_dev_mode_needs_no_token(tmp_path: Path) -> None:
    """In the development mode everybody is `user:dev`, or who they say they are."""
    async with running(tmp_path, dev=True, keys="") as http:
        await http.sessions.create("room")
        nobody = await http.call("POST", "/v1/sessions/room/messages", json={"text": "a"}, token=None)
        named = await http.call("POST", "/v1/sessions/room/messages", json={"text": "a"}, token="dev:mona")
        agent = await http.call("POST", "/v1/sessions/room/messages", json={"text": "a"}, token="dev:agent:planner")
        server = await http.call("GET", "/v1/sessions", token="dev:server:")

    assert nobody.json["by"] == "user:dev"
    assert named.json["by"] == "user:mona"
    assert agent.json["by"] == "agent:planner"
    assert server.status == 401


async def _raw_get(http: Running, target: str) -> tuple[int, bytes]:
    """GET `target` exactly as it is written, which no polite client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", http.server.port)
    writer.write(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {http.token()}\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body
