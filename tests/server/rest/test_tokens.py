"""The routes that mint and revoke tokens."""

from pathlib import Path

import jwt
import pytest

from syncd.server.auth import Auth, Key
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations
from tests.server.fakes import ALL, SECRET, Running, running

ADMIN_OF_ONE = {"room": ALL, "team-*": ALL}


async def test_minted_token_works(http: Running) -> None:
    """A token minted over REST does what it says, and no more."""
    await http.sessions.create("room")
    body = {"sub": "user:guest", "name": "Guest", "sessions": {"room": ["transcript"]}, "ttl_s": 60}
    minted = await http.call("POST", "/v1/tokens", json=body)
    token = minted.json["token"]
    posted = await http.call("POST", "/v1/sessions/room/messages", json={"text": "hi"}, token=token)
    deleted = await http.call("DELETE", "/v1/sessions/room", token=token)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="syncd")

    assert minted.status == 201
    assert minted.headers["Cache-Control"] == "no-store"
    assert posted.json["by"] == "user:guest"
    assert deleted.status == 403
    assert (claims["name"], claims["kind"], claims["jti"]) == ("Guest", "user", minted.json["token_id"])
    assert minted.json["expires_at"] == claims["exp"] == claims["iat"] + 60


@pytest.mark.parametrize("path", ["/v1/tokens", "/v1/tokens/revoke"])
async def test_admin_of_single_sessions_cannot_mint_or_revoke(http: Running, path: str) -> None:
    """Whoever mints decides who somebody is; only an admin of everything may."""
    body = {"sub": "user:mona", "sessions": {"room": []}} if path.endswith("tokens") else {"subject": "user:mona"}
    reply = await http.call("POST", path, json=body, token=http.token("user:eve", ADMIN_OF_ONE))

    assert (reply.status, reply.code) == (403, "forbidden")


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "server:"},
        {"sub": "mona"},
        {"sessions": {"../x": []}},
        {"sessions": {"*a": []}},
        {"sessions": {"a": ["root"]}},
        {"ttl_s": 86_401},
        {"ttl_s": 0},
        {"name": "a\u0007"},
        {"sessions": {f"s{n:060}": ["transcript"] for n in range(200)}},
    ],
)
async def test_token_that_would_be_refused_is_not_minted(http: Running, change: dict[str, object]) -> None:
    """Minting applies the rules of verifying."""
    body = {"sub": "user:mona", "sessions": {"a": []}} | change
    reply = await http.call("POST", "/v1/tokens", json=body)

    assert (reply.status, reply.code) == (422, "invalid")


async def test_server_with_a_public_key_alone_does_not_mint(tmp_path: Path) -> None:
    """It says so, instead of signing with something else."""
    key = Key("", "EdDSA", b"not needed here")
    auth = Auth([key], revocations=Revocations(None), metrics=Metrics(), dev=True)
    async with running(tmp_path, auth=auth) as http:
        reply = await http.call("POST", "/v1/tokens", json={"sub": "user:a", "sessions": {}}, token=None)

    assert (reply.status, reply.code) == (501, "cannot_sign")


async def test_revoked_token_is_refused_and_its_links_cut(http: Running) -> None:
    """By the time the revocation is answered, the token is dead and the links were told."""
    guest = http.server.services.auth.mint("user:guest", {"*": []})
    before = await http.call("GET", "/v1/sessions", token=guest.token)
    revoked = await http.call("POST", "/v1/tokens/revoke", json={"token_id": guest.token_id})
    after = await http.call("GET", "/v1/sessions", token=guest.token)

    assert (before.status, revoked.status) == (200, 204)
    assert (after.status, after.code) == (401, "token_revoked")
    assert http.links.cut == [(frozenset({guest.token_id}), frozenset())]


async def test_revoked_subject_survives_a_restart(tmp_path: Path) -> None:
    """A restarted server still refuses what was revoked; others pass."""
    async with running(tmp_path) as first:
        guest, other = first.token("user:guest"), first.token("user:other")
        revoked = await first.call("POST", "/v1/tokens/revoke", json={"subject": "user:guest"})
        assert revoked.status == 204
        assert first.links.cut == [(frozenset(), frozenset({"user:guest"}))]

    async with running(tmp_path) as second:
        refused = await second.call("GET", "/v1/sessions", token=guest)
        passed = await second.call("GET", "/v1/sessions", token=other)

    assert (refused.status, refused.code) == (401, "token_revoked")
    assert passed.status == 200


@pytest.mark.parametrize("body", [{}, {"token_id": "a", "subject": "user:a"}, {"token_id": "a b"}])
async def test_revocation_names_one_thing(http: Running, body: dict[str, str]) -> None:
    """Neither nothing nor two things at once."""
    reply = await http.call("POST", "/v1/tokens/revoke", json=body)

    assert (reply.status, reply.code) == (422, "invalid")
