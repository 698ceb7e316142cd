"""The routes of invites: who may make one, what it is redeemed for, and how it ends."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest

from syncd.core.grant import MEMBER_RIGHTS
from syncd.server.auth import Auth, Key
from syncd.server.invites import ROLES, TOKEN_TTL_S
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations
from tests.server.fakes import ALL, SECRET, Reply, Running, running

KEY = "k" * 22
OTHER_KEY = "o" * 22


async def make(http: Running, *, token: str | None = "", session: str = "room", **fields: Any) -> Reply:
    """Ask for an invite, as somebody with all rights unless `token` says less."""
    await http.sessions.create(session)
    body = {"role": "editor"} | fields
    return await http.call("POST", f"/v1/sessions/{session}/invites", json=body, token=token)


async def code_of(http: Running, **fields: Any) -> str:
    """Return the code of a good invite."""
    made = await make(http, **fields)
    assert made.status == 201, made.raw
    return str(made.json["code"])


async def redeem(http: Running, code: str, *, token: str | None = None, **fields: Any) -> Reply:
    """Redeem a code, as nobody unless `token` says who."""
    return await http.call("POST", "/v1/invites/redeem", json={"code": code} | fields, token=token)


def claims_of(token: str) -> dict[str, Any]:
    """Return what a token says, which may have ended a moment ago."""
    return dict(
        jwt.decode(token, SECRET, algorithms=["HS256"], audience="syncd", options={"verify_exp": False}),
    )


@pytest.mark.parametrize("role", ROLES)
async def test_a_guest_gets_the_role_on_the_session_and_nothing_else(http: Running, role: str) -> None:
    """A token like any other, of a subject that says guest, under the name they gave."""
    code = await code_of(http, role=role)
    got = await redeem(http, code, name="Ana", guest_key=KEY)
    claims = claims_of(got.json["token"])

    assert got.status == 201
    assert got.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"user:guest-[0-9a-f]{24}", claims["sub"])
    assert claims["sub"] == got.json["subject"]
    assert (claims["name"], got.json["name"], got.json["role"], got.json["session"]) == ("Ana", "Ana", role, "room")
    assert claims["sessions"] == {"room": got.json["rights"]} == {"room": sorted(ROLES[role])}  # type: ignore[index]
    assert claims["exp"] - claims["iat"] == TOKEN_TTL_S
    assert (await http.call("GET", "/v1/sessions/room", token=got.json["token"])).status == 200
    assert (await http.call("GET", "/v1/sessions/other", token=got.json["token"])).status == 404


def test_no_role_has_power_over_a_session() -> None:
    """A link is passed on too easily for that."""
    assert frozenset.union(*ROLES.values()) == MEMBER_RIGHTS


async def test_the_same_device_is_the_same_guest(http: Running) -> None:
    """Redeemed again, or another invite: what it wrote without a network stays its own. Another device is another."""
    first, second = await code_of(http), await code_of(http, role="viewer")
    ana = (await redeem(http, first, guest_key=KEY)).json["subject"]

    assert (await redeem(http, first, guest_key=KEY)).json["subject"] == ana
    assert (await redeem(http, second, guest_key=KEY)).json["subject"] == ana
    assert (await redeem(http, first, guest_key=OTHER_KEY)).json["subject"] != ana
    assert len({(await redeem(http, first)).json["subject"] for _ in range(3)}) == 3
    assert KEY not in ana


@pytest.mark.parametrize(
    ("given", "invited_as", "called"), [("Ana", "Theo", "Ana"), ("", "Theo", "Theo"), ("", "", "Guest")]
)
async def test_a_guest_has_a_name(http: Running, given: str, invited_as: str, called: str) -> None:
    """Their own, else the one that the invite has for them."""
    got = await redeem(http, await code_of(http, name=invited_as), name=given)

    assert got.json["name"] == called


async def test_who_has_a_token_keeps_being_who_they_are(http: Running) -> None:
    """The new token has the same subject and all it had, and the session besides; never less than before there."""
    code = await code_of(http, role="viewer")
    mine = http.token("user:theo", {"own": ["admin"], "roo*": ["transcript"]})
    got = await redeem(http, code, token=mine, name="Not Theo", guest_key=KEY)
    claims = claims_of(got.json["token"])

    assert (got.json["subject"], got.json["name"]) == ("user:theo", "theo")
    assert claims["sessions"] == {"own": ["admin"], "roo*": ["transcript"], "room": ["presence", "transcript"]}


async def test_a_token_got_with_another_does_not_outlive_it(http: Running) -> None:
    """Nor its invite."""
    auth = http.server.services.auth
    long, short = await code_of(http), await make(http, expires_in_s=60)
    mine = auth.mint("user:theo", {"own": []}, ttl_s=120)

    assert (await redeem(http, long, token=mine.token)).json["expires_at"] == mine.expires_at
    assert (await redeem(http, short.json["code"])).json["expires_at"] == short.json["expires_at"]


async def test_two_invites_make_one_token(http: Running) -> None:
    """A guest who was invited twice has both sessions, by sending the first token along."""
    one = await redeem(http, await code_of(http, session="one"), guest_key=KEY)
    both = await redeem(http, await code_of(http, session="two", role="viewer"), token=one.json["token"])

    assert both.json["subject"] == one.json["subject"]
    assert set(claims_of(both.json["token"])["sessions"]) == {"one", "two"}


async def test_the_code_says_who_sent_it(http: Running) -> None:
    """For the page to show before anybody joins; it can be read, and not changed."""
    code = await code_of(http, token=http.token("user:mona"), role="commenter", name="Theo")
    claims = jwt.decode(code, options={"verify_signature": False})

    assert (claims["by"], claims["session"], claims["role"], claims["name"]) == (
        "user:mona",
        "room",
        "commenter",
        "Theo",
    )


# Who may


@pytest.mark.parametrize(
    ("rights", "status", "code"),
    [
        (None, 404, "not_found"),
        ([], 403, "forbidden"),
        (["transcript", "state", "presence", "command"], 403, "forbidden"),
    ],
)
async def test_inviting_needs_power_over_the_session(
    http: Running, rights: Sequence[str] | None, status: int, code: str
) -> None:
    """The right admin on it; for others it is as absent as it always is."""
    token = http.token("user:eve", {"elsewhere": ALL} | ({} if rights is None else {"room": rights}))
    made = await make(http, token=token)
    revoked = await http.call("DELETE", "/v1/sessions/room/invites/i", token=token)

    assert (made.status, made.code) == (revoked.status, revoked.code) == (status, code)


async def test_nobody_gives_more_than_they_have(http: Running) -> None:
    """Power over a session without the right to command gives nobody that right."""
    token = http.token("user:mona", {"room": ["admin", "transcript", "presence"]})
    refused = await make(http, token=token, role="editor")
    made = await make(http, token=token, role="commenter")

    assert (refused.status, refused.code) == (403, "forbidden")
    assert "command, state" in refused.json["error"]["message"]
    assert made.status == 201


@pytest.mark.parametrize(
    "change", [{"role": "admin"}, {"role": ""}, {"expires_in_s": 0}, {"expires_in_s": 1e9}, {"name": "a\nb"}, {"x": 1}]
)
async def test_an_invite_is_as_it_must_be(http: Running, change: dict[str, Any]) -> None:
    """A role that there is, a life within the server's bound, a name that can be shown."""
    made = await make(http, **change)

    assert (made.status, made.code) == (422, "invalid")


@pytest.mark.parametrize(
    "change", [{"guest_key": "short"}, {"guest_key": "k" * 65}, {"guest_key": "ü" * 30}, {"name": "\0"}]
)
async def test_what_is_redeemed_with_is_as_it_must_be(http: Running, change: dict[str, Any]) -> None:
    """A key that could be guessed is refused."""
    got = await redeem(http, await code_of(http), **change)

    assert (got.status, got.code) == (422, "invalid")


async def test_an_absent_session_has_no_invites(http: Running) -> None:
    """Nothing is promised about what is not there."""
    made = await http.call("POST", "/v1/sessions/absent/invites", json={"role": "viewer"})

    assert (made.status, made.code) == (404, "not_found")


async def test_the_longest_life_is_a_setting(tmp_path: Path) -> None:
    """SYNCD_INVITE_TTL_MAX_S."""
    async with running(tmp_path, invite_ttl_max_s=100.0) as http:
        assert (await make(http, expires_in_s=101)).code == "invalid"
        assert (await make(http, expires_in_s=100)).status == 201


# How it ends


async def test_a_revoked_invite_ends_with_all_that_came_of_it(http: Running) -> None:
    """By the time it is answered: no new tokens, the old ones are dead, and the links were told whom to cut."""
    made = (await make(http)).json
    ana = (await redeem(http, made["code"], guest_key=KEY)).json["token"]
    theo = (await redeem(http, made["code"], token=http.token("user:theo", {"own": []}))).json["token"]
    other = (await redeem(http, await code_of(http), guest_key=KEY)).json["token"]
    revoked = await http.call("DELETE", f"/v1/sessions/room/invites/{made['invite']}")
    again = await redeem(http, made["code"])

    assert revoked.status == 204
    assert (again.status, again.code) == (410, "invite_revoked")
    for token in (ana, theo):
        refused = await http.call("GET", "/v1/sessions/room", token=token)
        assert (refused.status, refused.code) == (401, "token_revoked")
    assert (await http.call("GET", "/v1/sessions/room", token=other)).status == 200
    [(ids, _)] = http.links.cut
    grant = http.server.services.auth.verify(other)
    assert not grant.revoked_by(ids, frozenset())
    assert [claims_of(token)["via"][0] in ids for token in (ana, theo)] == [True, True]


async def test_an_operator_revokes_by_the_id_alone(http: Running) -> None:
    """Like any token."""
    made = (await make(http)).json
    ana = (await redeem(http, made["code"])).json["token"]
    await http.call("POST", "/v1/tokens/revoke", json={"token_id": made["invite"]})

    assert (await redeem(http, made["code"])).code == "invite_revoked"
    assert (await http.call("GET", "/v1/sessions/room", token=ana)).code == "token_revoked"


@pytest.mark.parametrize("what", ["token_id", "subject"])
async def test_invites_of_a_thief_end_with_the_stolen_token(http: Running, what: str) -> None:
    """Revoking the token that made an invite revokes it, and those it let in; so does revoking its subject's."""
    stolen = http.server.services.auth.mint("user:mona", {"room": ALL})
    code = await code_of(http, token=stolen.token)
    foreign = await code_of(http, token=http.token("user:theo"))
    inside = (await redeem(http, code)).json["token"]
    revoked = stolen.token_id if what == "token_id" else "user:mona"
    await http.call("POST", "/v1/tokens/revoke", json={what: revoked})

    assert (await redeem(http, code)).code == "invite_revoked"
    assert (await redeem(http, foreign)).status == 201
    if what == "token_id":
        assert (await http.call("GET", "/v1/sessions/room", token=inside)).code == "token_revoked"


async def test_a_token_revoked_takes_along_what_was_got_with_it(http: Running) -> None:
    """Nobody keeps a revoked token's rights by having redeemed an invite with it before."""
    mine = http.server.services.auth.mint("user:theo", {"own": ALL})
    got = (await redeem(http, await code_of(http), token=mine.token)).json["token"]
    await http.call("POST", "/v1/tokens/revoke", json={"token_id": mine.token_id})

    assert (await http.call("GET", "/v1/sessions/own", token=got)).code == "token_revoked"


async def test_power_over_one_session_revokes_nothing_of_another(http: Running) -> None:
    """Neither its invites nor anybody's tokens, whatever id is given."""
    made = (await make(http, session="other")).json
    theirs = http.server.services.auth.mint("user:theo", {"other": []})
    eve = http.token("user:eve", {"room": ALL})
    for id in (made["invite"], theirs.token_id):
        assert (await http.call("DELETE", f"/v1/sessions/room/invites/{id}", token=eve)).status == 204

    assert (await redeem(http, made["code"])).status == 201
    assert (await http.call("GET", "/v1/sessions/other", token=theirs.token)).status == 200


async def test_a_revocation_survives_a_restart_and_is_kept_as_long_as_the_invite(tmp_path: Path) -> None:
    """Tokens live a day, invites longer: the list remembers for as long as either."""
    async with running(tmp_path) as first:
        made = (await make(first, expires_in_s=20 * 86_400)).json
        await first.call("DELETE", f"/v1/sessions/room/invites/{made['invite']}")
    listed = json.loads((tmp_path / "syncd.db.revoked.json").read_text(encoding="utf-8"))["tokens"]
    async with running(tmp_path) as second:
        await second.sessions.create("room")
        assert (await redeem(second, made["code"])).code == "invite_revoked"

    assert listed[f"room/{made['invite']}"] > made["expires_at"]


async def test_an_invite_expires(http: Running) -> None:
    """And says so."""
    code = await code_of(http, expires_in_s=1)
    async with asyncio.timeout(5):
        while (got := await redeem(http, code)).status == 201:
            assert got.json["expires_at"] - claims_of(got.json["token"])["iat"] <= 2
            await asyncio.sleep(0.1)

    assert (got.status, got.code) == (410, "invite_expired")


# Development mode, and servers that cannot sign


async def test_development_mode_shows_invites_as_they_will_be(tmp_path: Path) -> None:
    """There everybody may do everything; by an invite they may what the invite says, as guests or under their name."""
    async with running(tmp_path, dev=True, keys="") as http:
        await http.sessions.create("room")
        made = await http.call("POST", "/v1/sessions/room/invites", json={"role": "viewer"}, token="dev:mona")
        guest = await redeem(http, made.json["code"], guest_key=KEY)
        theo = await redeem(http, made.json["code"], token="dev:theo")
        auth = http.server.services.auth
        posted = await http.call("POST", "/v1/sessions/room/messages", json={"text": "x"}, token=guest.json["token"])

        assert auth.verify(guest.json["token"]).sessions == (("room", ROLES["viewer"]),)
        assert auth.verify(theo.json["token"]).subject == "user:theo"
        assert auth.verify(theo.json["token"]).sessions == (("room", ROLES["viewer"]),)
        assert (posted.status, posted.code) == (403, "forbidden")
    async with running(tmp_path, dev=True, keys="") as again:
        # The key of the development mode ended with the process.
        await again.sessions.create("room")
        assert (await redeem(again, made.json["code"])).code == "bad_invite"


async def test_a_server_with_a_public_key_alone_has_no_invites(tmp_path: Path) -> None:
    """It says so, instead of signing with something else."""
    auth = Auth([Key("", "EdDSA", b"not needed here")], revocations=Revocations(None), metrics=Metrics(), dev=True)
    async with running(tmp_path, auth=auth) as http:
        made, got = await make(http, token=None), await redeem(http, "x")

    assert (made.status, made.code) == (got.status, got.code) == (501, "cannot_sign")
