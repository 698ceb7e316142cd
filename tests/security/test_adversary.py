"""Promise 4 against an adversary with a good token: nothing forged is accepted, the victim's view stays what it was.

Forgeries drawn at random, ten thousand at a time, are the target `server` of tests/fuzz.
"""

import base64
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import msgpack
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from syncd.core.errors import CloseCode
from syncd.core.messages import (
    Ack,
    Closed,
    Declare,
    Hello,
    Layer,
    Leave,
    Open,
    Ping,
    Pong,
    Push,
    Refresh,
    Refreshed,
    Reject,
    SetPresence,
)
from syncd.core.replica import SharedList, SharedMap, SharedText
from syncd.core.schema import Root
from syncd.core.update import Kind
from syncd.server.app import Server
from tests.core.machines import Pen, fresh_id
from tests.core.yjs_bytes import TRUE, section, shared, text, update, values
from tests.harness import SECRET, RawLink, mint, serving, until
from tests.security.adversary import EVE, VICTIM, Scene, View, scene

TEXT = (Root.MESSAGES, "m1", "parts", 0, "text")
FORGED = SharedMap(role="user", author={"kind": "user", "name": "victim"}, created_at=1, parts=SharedList([]))
Forge = Callable[[Scene], bytes]


@pytest.fixture
async def here(server: Server) -> AsyncIterator[Scene]:
    async with scene(server) as made:
        yield made


def edit(change: Callable[[Any], None]) -> Forge:
    """Forge with a document that holds everything."""
    return lambda scene: scene.forger().transcript_edit(change)


def blind(change: Callable[[Any], None]) -> Forge:
    """Forge with an empty document, which names nothing of the victim's."""
    return lambda scene: Pen().transcript_edit(change)


def of_bytes(make: Callable[[int, int], bytes]) -> Forge:
    """Forge by hand, given a free client id and the victim's."""
    return lambda scene: make(fresh_id(), scene.pen.id)


def servers_id(scene: Scene) -> int:
    """Return the client id that the receipts stand under."""
    known = scene.witness.transcript.vector()
    return next(client for client in known if client != scene.pen.id)


FORGERIES: dict[str, tuple[Forge, str]] = {
    "a message overwritten": (edit(lambda r: r.set((Root.MESSAGES,), "m1", FORGED)), "foreign_reference"),
    "a message taken over blindly": (blind(lambda r: r.set((Root.MESSAGES,), "m1", FORGED)), "foreign_entry"),
    "a message deleted": (edit(lambda r: r.remove((Root.MESSAGES,), "m1")), "foreign_reference"),
    "text appended": (edit(lambda r: r.text_append(TEXT, " not")), "foreign_reference"),
    "text replaced": (edit(lambda r: r.text_replace(TEXT, 0, 4, "")), "foreign_reference"),
    "a role changed": (edit(lambda r: r.set((Root.MESSAGES, "m1"), "role", "system")), "foreign_reference"),
    "an author changed": (edit(lambda r: r.set((Root.MESSAGES, "m1"), "author", {"name": "eve"})), "foreign_reference"),
    "a part added": (
        edit(lambda r: r.insert((Root.MESSAGES, "m1", "parts"), 1, [SharedMap(id="1", text=SharedText("x"))])),
        "foreign_reference",
    ),
    "a run ended": (edit(lambda r: r.set((Root.RUNS, "r1"), "status", "cancelled")), "foreign_reference"),
    "a run overwritten": (edit(lambda r: r.set((Root.RUNS,), "r1", SharedMap())), "foreign_reference"),
    "a run taken over blindly": (blind(lambda r: r.set((Root.RUNS,), "r1", SharedMap())), "foreign_entry"),
    "a run deleted": (edit(lambda r: r.remove((Root.RUNS,), "r1")), "foreign_reference"),
    "a command changed": (edit(lambda r: r.set((Root.COMMANDS,), "c1", {"kind": "steer"})), "foreign_reference"),
    "a command taken over blindly": (blind(lambda r: r.set((Root.COMMANDS,), "c1", {"kind": "x"})), "foreign_entry"),
    "a command deleted": (edit(lambda r: r.remove((Root.COMMANDS,), "c1")), "foreign_reference"),
    "a read mark moved": (edit(lambda r: r.set((Root.READS,), VICTIM, {"seq": 9})), "foreign_reference"),
    "a read mark taken over blindly": (blind(lambda r: r.set((Root.READS,), VICTIM, {"seq": 9})), "foreign_entry"),
    "a read mark for somebody": (blind(lambda r: r.set((Root.READS,), "user:zoe", {"seq": 9})), "foreign_entry"),
    "a receipt": (blind(lambda r: r.set((Root.RECEIPTS,), "m:x", {"seq": 2, "by": VICTIM})), "server_only"),
    "a receipt overwritten": (edit(lambda r: r.set((Root.RECEIPTS,), "m:m1", {"by": EVE})), "foreign_reference"),
    "a receipt taken over blindly": (blind(lambda r: r.set((Root.RECEIPTS,), "m:m1", {"by": EVE})), "server_only"),
    "a receipt deleted": (edit(lambda r: r.remove((Root.RECEIPTS,), "m:m1")), "foreign_reference"),
    "under the victim's client id": (lambda scene: Pen(scene.pen.id).message("forged", id="m2"), "foreign_client_id"),
    "under the server's client id": (
        lambda scene: Pen(servers_id(scene)).message("forged", id="m2"),
        "foreign_client_id",
    ),
    "own and the victim's ids in one": (
        of_bytes(
            lambda own, his: update(
                section(own, 0, shared(Kind.MAP, parent="messages", key="m2")),
                section(his, 99, shared(Kind.MAP, parent="messages", key="m3")),
            )
        ),
        "foreign_client_id",
    ),
    "a text before the victim's": (
        of_bytes(lambda own, his: update(section(own, 0, text("x", right=(his, 0))))),
        "right_origin",
    ),
    "something in the victim's": (
        of_bytes(lambda own, his: update(section(own, 0, values(TRUE, parent=(his, 0), key="x")))),
        "foreign_reference",
    ),
    "a deletion alone": (of_bytes(lambda own, his: update(deletes={his: [(0, 1)]})), "foreign_reference"),
    "a root of one's own": (
        of_bytes(lambda own, his: update(section(own, 0, values(TRUE, parent="grants", key="x")))),
        "wrong_root",
    ),
    "a message that is no map": (
        of_bytes(lambda own, his: update(section(own, 0, values(TRUE, parent="messages", key="m1")))),
        "wrong_content",
    ),
}


async def test_no_forgery_is_accepted(here: Scene) -> None:
    """Each is refused with its code on an open link, and the victim's view is what it was."""
    codes = {}
    for name, (forge, _) in FORGERIES.items():
        codes[name] = await here.push(forge(here))
        await here.unchanged()

    assert codes == {name: code for name, (_, code) in FORGERIES.items()}
    assert await here.push(here.forger().message("my own", id="m9")) == "acked"
    await here.unchanged(but=("messages", "m9"))
    assert here.witness.content()["receipts"]["m:m9"]["by"] == EVE


async def test_captured_updates_are_worth_nothing(here: Scene) -> None:
    """Pushed again by somebody else they are refused; one's own, pushed again, change nothing, with no new receipt."""
    await here.victim.push(here.pen.message("a second", id="m2"))
    await until(lambda: "m2" in here.witness.content()["messages"])
    here.before = here.witness.content()
    captured = [u for layer, u in here.witness.updates if layer is Layer.TRANSCRIPT]
    codes = [await here.push(update) for update in captured]

    assert set(codes) == {"foreign_client_id"}
    own = Pen().message("eve's", id="m9")
    assert [await here.push(own), await here.push(own)] == ["acked", "acked"]
    await here.unchanged(but=("messages", "m9"))
    assert [r["seq"] for r in here.witness.content()["receipts"].values() if r.get("by") == EVE] == [4]


async def test_a_race_for_a_client_id_forges_nothing(here: Scene) -> None:
    """Whoever names an id first has it, for ever; the other one is refused, and nothing comes under a false name."""
    early = Pen()
    await here.eve.send(Declare("s", (early.id, here.pen.id)))
    await here.eve.send(Ping(1))
    await here.eve.expect(Pong)
    number = await here.victim.push(early.message("late", id="m2"))
    assert (await here.victim.expect(Reject)).code == "foreign_client_id"
    await here.victim.expect(Ack, lambda ack: ack.number == number)
    await here.victim.push(here.pen.message("still mine", id="m3"))
    await until(lambda: "m:m3" in here.witness.content()["receipts"])
    assert here.witness.content()["receipts"]["m:m3"]["by"] == VICTIM
    assert await here.push(Pen(here.pen.id).message("forged", id="m4")) == "foreign_client_id"
    assert await here.push(early.message("eve's own", id="m5")) != "foreign_client_id"
    assert "m2" not in here.witness.content()["messages"]


async def test_presence_cannot_pose_as_somebody(here: Scene) -> None:
    """Whatever a state claims, and whatever is behind the fields, the server says who it is of."""
    claim = {"peer": "p", "subject": VICTIM, "name": "victim", "kind": "server", "device": "victim"}
    await here.eve.send(SetPresence("s", claim))
    await here.eve.ws.send_bytes(msgpack.packb([4, "s", claim, VICTIM, "victim", "user", "victim"]))
    await until(lambda: here.witness.content() and any(e.state == claim for e in here.witness.present.values()))
    await here.eve.ws.send_bytes(msgpack.packb([70, "s", [["p", VICTIM, "victim", "user", "d", {}]]]))
    assert (await here.eve.closed())[1] == CloseCode.UNSUPPORTED
    await here.unchanged()
    shown = [entry for entry in here.witness.present.values() if entry.state == claim or entry.subject == EVE]

    assert shown
    assert {(e.subject, e.name, e.kind, e.device) for e in shown} == {(EVE, "eve", "user", "eve")}
    assert {e.device for e in here.witness.present.values() if e.subject == VICTIM} == {"victim"}


# Rights

MARK = "mark"
ATTEMPTS: dict[str, tuple[Callable[[Pen], bytes], Layer, frozenset[str]]] = {
    "message": (lambda pen: pen.message("x", id=MARK), Layer.TRANSCRIPT, frozenset({"transcript"})),
    "run": (
        lambda pen: pen.transcript_edit(lambda r: r.set((Root.RUNS,), MARK, SharedMap())),
        Layer.TRANSCRIPT,
        frozenset({"transcript"}),
    ),
    "read mark": (
        lambda pen: pen.transcript_edit(lambda r: r.set((Root.READS,), EVE, {"seq": 1})),
        Layer.TRANSCRIPT,
        frozenset({"transcript"}),
    ),
    "command": (lambda pen: pen.command(MARK), Layer.TRANSCRIPT, frozenset({"command"})),
    "state": (lambda pen: pen.set(MARK, 1), Layer.STATE, frozenset({"state"})),
}
ROLES = [(), ("presence",), ("transcript",), ("command",), ("state",), ("admin",), ("transcript", "command", "state")]


@pytest.mark.parametrize("rights", ROLES, ids=lambda rights: "+".join(rights) or "reader")
async def test_rights_for_every_frame(server: Server, rights: tuple[str, ...]) -> None:
    """What a role may not do it cannot do by any frame, nor by REST; read-only means read-only."""
    async with scene(server, rights=rights) as here, aiohttp.ClientSession() as http:
        for name, (write, layer, needed) in ATTEMPTS.items():
            code = await here.push(write(Pen()), layer)
            assert (code == "acked") is bool(needed & set(rights)), f"{name}: {code}"
            assert code in ("acked", "forbidden")
        pen = Pen()
        await here.eve.send(Declare("s", (pen.id,)))
        await here.eve.send(SetPresence("s", {"here": True}))
        await here.eve.send(Open("made-by-eve", {}))
        await here.eve.send(Ping(1))
        await here.eve.expect(Pong)
        headers = {"Authorization": f"Bearer {mint(EVE, rights)}"}
        base = f"{server.url}/v1/sessions"
        statuses = {}
        for method, path, body in (
            ("POST", "/s/messages", {"text": "by REST"}),
            ("POST", "", {"session": "made-by-rest"}),
            ("POST", "/import", {"format": "syncd.session.v1", "session": "s"}),
            ("DELETE", "/s-not-there", None),
        ):
            async with http.request(method, base + path, json=body, headers=headers) as answer:
                statuses[f"{method} {path}"] = answer.status
        listed = await _sessions(http, server.url)

    may_write, admin = bool({"transcript", "state"} & set(rights)), "admin" in rights
    assert statuses == {
        "POST /s/messages": 201 if "transcript" in rights else 403,
        "POST ": 201 if may_write or admin else 403,
        "POST /import": 422 if admin else 403,
        "DELETE /s-not-there": 404 if admin else 403,
    }
    assert listed == {"s", *(["made-by-eve"] if may_write else []), *(["made-by-rest"] if may_write or admin else [])}
    here.witness.content()
    seen = {entry.subject for entry in here.witness.present.values() if entry.state == {"here": True}}
    assert seen <= ({EVE} if "presence" in rights else set())


async def _sessions(http: aiohttp.ClientSession, url: str) -> set[str]:
    headers = {"Authorization": f"Bearer {mint('user:root', ('admin',))}"}
    async with http.get(url + "/v1/sessions", headers=headers) as answer:
        return {row["session"] for row in (await answer.json())["sessions"]}


# Sessions of others


async def test_a_foreign_session_is_as_good_as_absent(server: Server) -> None:
    """By frame and by REST: one answer for what is not there and for what is not for this token; nothing changes."""
    async with scene(server) as here, aiohttp.ClientSession() as http:
        token = mint(EVE, ("transcript", "state", "presence", "command", "admin"), sessions="mine")
        answers: dict[str, list[object]] = {"s": [], "no": []}
        async with RawLink(server.url, token) as eve:
            await eve.hello()
            for session, found in answers.items():
                for frame in (
                    Declare(session, (1, 2)),
                    Push(session, Layer.TRANSCRIPT, 1, Pen().message("x", id="mx")),
                    SetPresence(session, {}),
                ):
                    await eve.send(frame)
                await eve.send(Open(session, {}))
                await eve.send(Leave(session))
                found += [
                    (closed.code, closed.reason) for closed in [await eve.expect(Closed), await eve.expect(Closed)]
                ]
            await eve.open("mine")
        headers = {"Authorization": f"Bearer {token}"}
        for session, found in answers.items():
            for method, path, body in (
                ("GET", "", None),
                ("GET", "/messages", None),
                ("GET", "/export", None),
                ("POST", "/messages", {"text": "x", "id": "mx"}),
                ("DELETE", "", None),
            ):
                url = f"{server.url}/v1/sessions/{session}{path}"
                async with http.request(method, url, json=body, headers=headers) as answer:
                    found += [answer.status, await answer.text()]
            export = {
                "format": "syncd.session.v1",
                "session": session,
                "documents": {},
                "authors": {},
                "roots": {},
                "seq": 0,
            }
            async with http.post(f"{server.url}/v1/sessions/import", json=export, headers=headers) as answer:
                found += [answer.status, await answer.text()]
        await here.unchanged()

    assert answers["s"] == answers["no"]
    assert answers["s"][0] == (CloseCode.FORBIDDEN, "there is no such session, or it is not for you")
    assert answers["s"][2::2] == [404, 404, 404, 404, 404, 403]


ODD_IDS: tuple[Any, ...] = (
    "", ".", "..", "../s", "..%2fs", "s/../s", "s\0", "\0", "s\n", "ｓ", "é", "s" * 65, "x" * 10_240, "%00", "C:\\s",
    b"s", 1, None, ["s"], {"s": "s"}, "s;DROP TABLE sessions", "'", '"', "s ", "\u202es",
)  # fmt: skip


@pytest.mark.parametrize("kind", [2, 3, 4, 6, 8])
async def test_odd_session_ids_in_frames(server: Server, tmp_path: Path, kind: int) -> None:
    """Whatever stands where an id belongs closes the link with 4400, and is no path to anything."""
    rest: dict[int, tuple[Any, ...]] = {2: ({}, [], "", 0, 0), 3: ("state", 1, b"\0\0"), 4: ({},), 6: (), 8: ([1],)}
    files = set(os.listdir(tmp_path))
    for odd in ODD_IDS:
        async with RawLink(server.url, mint(EVE)) as eve:
            await eve.hello()
            await eve.ws.send_bytes(msgpack.packb([kind, odd, *rest[kind]]))
            assert (await eve.closed())[0] == CloseCode.BAD_MESSAGE, odd
    assert set(os.listdir(tmp_path)) == files


# Tokens


def _raw_jwt(head: dict[str, Any], claims: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    signed = part(json.dumps(head).encode()) + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(sign(signed))).decode()


def _tokens() -> dict[str, tuple[str, int]]:
    """Return bad tokens, each with the code its hello is closed with."""
    claims = jwt.decode(mint(VICTIM), options={"verify_signature": False})
    good, now, ed25519 = mint(EVE), time.time(), Ed25519PrivateKey.generate()
    head, body, signature = good.split(".")
    hs256 = jwt.get_algorithm_by_name("HS256")
    return {
        "none": (_raw_jwt({"alg": "none"}, claims, lambda _: b""), CloseCode.BAD_TOKEN),
        "NONE, signed": (_raw_jwt({"alg": "NONE"}, claims, lambda _: b"x"), CloseCode.BAD_TOKEN),
        "another secret": (jwt.encode(claims, "x" * 32, algorithm="HS256"), CloseCode.BAD_TOKEN),
        "HS512": (jwt.encode(claims, SECRET * 2, algorithm="HS512"), CloseCode.BAD_TOKEN),
        "EdDSA": (jwt.encode(claims, ed25519, algorithm="EdDSA"), CloseCode.BAD_TOKEN),
        "its own key in the head": (
            _raw_jwt({"alg": "HS256", "jwk": {"kty": "oct", "k": "eHh4"}}, claims, lambda s: hs256.sign(s, b"xxx")),
            CloseCode.BAD_TOKEN,
        ),
        "a path for a kid": (
            jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "../../dev/null"}),
            CloseCode.BAD_TOKEN,
        ),
        "other claims, same signature": (
            f"{head}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b'=').decode()}.{signature}",
            CloseCode.BAD_TOKEN,
        ),
        "no signature": (f"{head}.{body}.", CloseCode.BAD_TOKEN),
        "expired": (jwt.encode(claims | {"iat": now - 60, "exp": now - 1}, SECRET), CloseCode.TOKEN_EXPIRED),
        "not yet": (jwt.encode(claims | {"nbf": now + 600}, SECRET), CloseCode.BAD_TOKEN),
        "issued tomorrow": (jwt.encode(claims | {"iat": now + 600, "exp": now + 900}, SECRET), CloseCode.BAD_TOKEN),
        "for ever": (jwt.encode(claims | {"exp": now + 1e9}, SECRET), CloseCode.BAD_TOKEN),
        "for somebody else": (jwt.encode(claims | {"aud": "elsewhere"}, SECRET), CloseCode.BAD_TOKEN),
        "the server": (jwt.encode(claims | {"sub": "server:", "kind": "server"}, SECRET), CloseCode.BAD_TOKEN),
        "half a character": (jwt.encode(claims | {"sub": "user:\ud800"}, SECRET), CloseCode.BAD_TOKEN),
        "a development token": ("dev:victim", CloseCode.BAD_TOKEN),
    }


async def test_no_bad_token_opens_anything(tmp_path: Path) -> None:
    """In the hello, in the header, in a refresh and at REST, each is refused with its code."""
    limits = {"auth_failures_per_minute": 1_000_000, "requests_burst": 1_000}
    async with serving(tmp_path / "s.db", limits=limits) as server, aiohttp.ClientSession() as http:
        for name, (token, code) in _tokens().items():
            async with RawLink(server.url) as raw:
                await raw.connect()
                await raw.send(Hello((1,), token, "d"))
                assert await raw.closed() == (code, code), name
            async with RawLink(server.url) as raw:
                await raw.connect(headers={"Authorization": f"Bearer {token}"})
                await raw.send(Hello((1,), "", "d"))
                assert await raw.closed() == (code, code), name
            async with RawLink(server.url, mint(EVE)) as raw:
                await raw.hello()
                await raw.open()
                await raw.send(Refresh(token))
                with suppress(ConnectionError):
                    await raw.push(Pen().message("after a bad refresh", id="mx"))
                assert await raw.closed() == (code, code), name
            async with http.get(server.url + "/v1/sessions", headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 401, name
        async with View(server.url, mint("user:zoe")) as witness:
            assert (await witness.begin()).content()["messages"] == {}


async def test_the_public_key_is_no_secret(tmp_path: Path) -> None:
    """Where Ed25519 is verified, a token signed by HMAC with the public key's text is refused."""
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    claims = jwt.decode(mint(VICTIM), options={"verify_signature": False})
    async with serving(tmp_path / "s.db", public_key=pem.decode(), public_key_id="ed") as server:
        hs256 = jwt.get_algorithm_by_name("HS256")
        for key in (pem, pem.strip()):
            forged = _raw_jwt({"alg": "HS256", "kid": "ed"}, claims, lambda signed: hs256.sign(signed, key))  # noqa: B023
            async with RawLink(server.url, forged) as raw:
                await raw.connect()
                await raw.send(Hello((1,), forged, "d"))
                assert (await raw.closed())[1] == CloseCode.BAD_TOKEN
        async with RawLink(server.url, jwt.encode(claims, private, algorithm="EdDSA", headers={"kid": "ed"})) as raw:
            assert (await raw.hello()).subject == VICTIM


async def test_refreshes_and_revocations(here: Scene) -> None:
    """A refresh to another subject ends the link; a revoked token opens nothing and refreshes nothing."""
    pushed = Pen().message("as the victim", id="mx")
    await here.eve.send(Refresh(mint(VICTIM)))
    with suppress(ConnectionError):
        await here.eve.push(pushed)
    assert (await here.eve.closed())[1] == CloseCode.BAD_TOKEN
    await here.unchanged()
    stolen, fresh = mint(EVE), mint("user:mallory")
    await here.server.services.auth.revoke(subject=EVE)
    async with RawLink(here.server.url, stolen) as raw:
        await raw.connect()
        await raw.send(Hello((1,), stolen, "d"))
        assert (await raw.closed())[1] == CloseCode.REVOKED
    async with RawLink(here.server.url, fresh) as raw:
        await raw.hello()
        await raw.send(Refresh(mint("user:mallory")))
        await raw.expect(Refreshed)
        await here.server.services.auth.revoke(subject="user:mallory")
        with suppress(ConnectionError):
            await raw.send(Refresh(fresh))
        assert (await raw.closed())[1] == CloseCode.REVOKED
    await here.unchanged()


# Pages


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "file://"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"User-Agent": "Mozilla/5.0"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
async def test_a_page_with_a_token_in_its_hello_gets_no_link(server: Server, headers: dict[str, str]) -> None:
    """Cross-origin upgrades and names that were made to point here are answered 403, not upgraded."""
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(server.url + "/v1/sync", protocols=("syncd.v1",), headers=headers)
    assert refused.value.status == 403
