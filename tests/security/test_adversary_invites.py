"""Invites against an adversary who has codes and tokens, and makes others of them."""

import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import jwt
import pytest

from syncd.core.errors import CloseCode
from syncd.core.messages import Hello
from syncd.server.app import Server
from tests.harness import SECRET, RawLink, mint

ALL = ("transcript", "state", "presence", "command", "admin")


class Client:
    """Requests to one server, and the codes that were made for it."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self._http = http

    async def call(self, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
        """Return status and answer, the latter None where there is none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._http.request(method, self.server.url + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def invite(self, session: str = "room", role: str = "editor") -> dict[str, Any]:
        """Return a good invite, after making its session."""
        operator = mint("user:mona", ALL)
        await self.call("POST", "/v1/sessions", operator, {"session": session})
        status, made = await self.call("POST", f"/v1/sessions/{session}/invites", operator, {"role": role})
        assert status == 201
        return dict(made)

    async def redeem(self, code: str, token: str = "") -> tuple[int, Any]:
        """Return status, and the code of the error or the answer."""
        status, answer = await self.call("POST", "/v1/invites/redeem", token, {"code": code})
        return status, answer["error"]["code"] if status >= 400 else answer


@pytest.fixture
async def here(server: Server) -> AsyncIterator[Client]:
    async with client(server) as made:
        yield made


@asynccontextmanager
async def client(server: Server) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        yield Client(server, http)


def changed(code: str, **claims: Any) -> str:
    """Return a code that says something else, under the signature it had."""
    head, body, signature = code.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "==")) | claims
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b'=').decode()}.{signature}"


def signed(code: str, secret: str = SECRET, *, typ: str = "syncd-invite+jwt", **claims: Any) -> str:
    """Return a code that says something else, signed anew."""
    said = jwt.decode(code, options={"verify_signature": False}) | claims
    return jwt.encode(said, secret, algorithm="HS256", headers={"typ": typ})


FORGERIES: dict[str, Callable[[str], str]] = {
    "another session": lambda code: changed(code, session="vault"),
    "more rights": lambda code: changed(code, role="editor", rights=list(ALL)),
    "a longer life": lambda code: changed(code, exp=4_000_000_000),
    "another inviter": lambda code: changed(code, by="user:root", via=[]),
    "no signature": lambda code: code.rpartition(".")[0] + ".",
    "no algorithm": lambda code: jwt.encode(jwt.decode(code, options={"verify_signature": False}), "", "none"),
    "another key": lambda code: signed(code, "x" * 32),
    "another type": lambda code: signed(code, typ="JWT"),
    "another purpose": lambda code: signed(code, typ="syncd-other+jwt", aud="syncd/other"),
    "the audience of tokens": lambda code: signed(code, aud="syncd"),
    "another issuer": lambda code: signed(code, iss="elsewhere"),
    "a token": lambda code: mint("user:mona", ALL),
    "a name of the development mode": lambda code: "dev:mona",
    "nothing like it": lambda code: "x",
    "deep nesting": lambda code: base64.urlsafe_b64encode(b"[" * 4_000).decode() + ".e30.",
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_code_is_refused(here: Client, name: str) -> None:
    """Whatever is made of a good one without the server's key, or with it for something else."""
    code = (await here.invite(role="viewer"))["code"]

    assert await here.redeem(FORGERIES[name](code)) == (403, "bad_invite")


async def test_a_code_is_no_token(here: Client) -> None:
    """Neither in a request nor in a hello, as it is or dressed up with a token's claims; it opens nothing by itself."""
    code = (await here.invite())["code"]
    dressed = signed(
        code, aud=["syncd", "syncd/invite"], sub="user:eve", name="Eve", exp=time.time() + 60, sessions={"*": list(ALL)}
    )
    for sent in (code, dressed):
        assert (await here.call("GET", "/v1/sessions", sent))[0] == 401
        async with RawLink(here.server.url) as link:
            await link.connect()
            await link.send(Hello((1,), sent, "eve"))
            assert (await link.closed())[0] == CloseCode.BAD_TOKEN


async def test_a_guest_lets_nobody_in(here: Client) -> None:
    """Who came by an invite can make none, and revoke none."""
    made = await here.invite()
    guest = (await here.redeem(made["code"]))[1]["token"]

    assert (await here.call("POST", "/v1/sessions/room/invites", guest, {"role": "viewer"}))[0] == 403
    assert (await here.call("DELETE", f"/v1/sessions/room/invites/{made['invite']}", guest))[0] == 403
    assert (await here.call("POST", "/v1/tokens/revoke", guest, {"token_id": made["invite"]}))[0] == 403


async def test_an_invite_is_to_the_session_that_was_there(here: Client) -> None:
    """Deleted and made anew under the same id, it is another one, to which nobody was invited."""
    made = await here.invite()
    operator = mint("user:mona", ALL)
    await here.call("DELETE", "/v1/sessions/room", operator)
    assert await here.redeem(made["code"]) == (404, "not_found")
    await here.call("POST", "/v1/sessions", operator, {"session": "room"})

    assert await here.redeem(made["code"]) == (404, "not_found")


async def test_a_revoked_invite_cuts_the_links_of_those_it_let_in(here: Client) -> None:
    """At once, while they are on the session; others stay, and so does who has a token of their own."""
    made, other = await here.invite(), await here.invite()
    theo = mint("user:theo", (), sessions="own")
    tokens = [
        (await here.redeem(made["code"]))[1]["token"],
        (await here.redeem(made["code"], theo))[1]["token"],
        (await here.redeem(other["code"]))[1]["token"],
    ]
    async with AsyncExitStack() as stack:
        guest, known, stays, own = [
            await stack.enter_async_context(RawLink(here.server.url, token)) for token in (*tokens, theo)
        ]
        for link in (guest, known, stays):
            await link.hello()
            await link.open("room")
        await own.hello()
        status, _ = await here.call("DELETE", f"/v1/sessions/room/invites/{made['invite']}", mint("user:mona", ALL))
        assert status == 204
        assert (await guest.closed())[0] == (await known.closed())[0] == CloseCode.REVOKED
        assert stays.close_code is own.close_code is None


async def test_a_bad_token_beside_a_good_code_is_told(here: Client) -> None:
    """It is not taken for a guest: somebody who believes to be signed in learns that they are not."""
    code = (await here.invite())["code"]

    assert await here.redeem(code, "forged") == (401, "bad_token")


async def test_guessing_is_limited_and_good_codes_pass(here: Client) -> None:
    """As with tokens: after some bad codes from one address there is a wait (auth_failures_per_minute)."""
    code = (await here.invite())["code"]
    refused = [await here.redeem(f"guess-{number}") for number in range(12)]

    assert refused[0] == (403, "bad_invite")
    assert refused[-1] == (429, "rate_limited")
    assert (await here.redeem(code))[0] == 201


async def test_a_guest_cannot_choose_to_be_somebody(here: Client) -> None:
    """The key makes a guest's subject and is not in it: whoever sees the subject cannot become it."""
    code = (await here.invite())["code"]
    _, ana = await here.call("POST", "/v1/invites/redeem", "", {"code": code, "guest_key": "a" * 22})
    of_subject = ana["subject"].removeprefix("user:guest-")
    _, eve = await here.call("POST", "/v1/invites/redeem", "", {"code": code, "guest_key": of_subject, "name": "Ana"})

    assert ana["subject"] != eve["subject"]
    assert eve["subject"].startswith("user:guest-")
