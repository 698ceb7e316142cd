"""The routes of sessions and messages, over a real socket."""

import pytest

from syncd.core.errors import CloseCode, LocalProtocolError, RejectCode, Rejected, StorageFull, StoreDamaged, StoreError
from syncd.server.sessions import SessionGone
from tests.server.fakes import Running

READER = {"room": list[str]()}


async def test_created_session_is_named_and_found(http: Running) -> None:
    """Creating answers 201 with a Location, again 200; without an id a UUIDv7 is made."""
    first = await http.call("POST", "/v1/sessions", json={"session": "room"})
    again = await http.call("POST", "/v1/sessions", json={"session": "room"})
    made = await http.call("POST", "/v1/sessions", json={})

    assert (first.status, again.status, made.status) == (201, 200, 201)
    assert first.headers["Location"] == "/v1/sessions/room"
    assert first.json["session"] == "room"
    assert made.json["session"][14] == "7"


async def test_session_outside_the_grant_cannot_be_created(http: Running) -> None:
    """Whether it exists already makes no difference to the answer."""
    await http.call("POST", "/v1/sessions", json={"session": "other"})
    token = http.token(sessions={"room": ["transcript"]})
    there = await http.call("POST", "/v1/sessions", json={"session": "other"}, token=token)
    absent = await http.call("POST", "/v1/sessions", json={"session": "another"}, token=token)
    unnamed = await http.call("POST", "/v1/sessions", json={}, token=token)

    assert there.status == 403
    assert there.raw == absent.raw == unnamed.raw


async def test_reader_cannot_create(http: Running) -> None:
    """An entry without rights allows reading only."""
    reply = await http.call("POST", "/v1/sessions", json={"session": "room"}, token=http.token(sessions=READER))

    assert (reply.status, reply.code) == (403, "forbidden")


async def test_list_holds_what_the_grant_names(http: Running) -> None:
    """Exact ids and prefixes, in order, page by page, and nothing else."""
    for session in ("a", "team", "team-1", "team-2", "teal", "z"):
        await http.call("POST", "/v1/sessions", json={"session": session})
    token = http.token(sessions={"team*": [], "team-1*": [], "a": [], "gone": []})
    first = await http.call("GET", "/v1/sessions?limit=2", token=token)
    second = await http.call("GET", f"/v1/sessions?limit=2&after={first.json['next']}", token=token)
    third = await http.call("GET", f"/v1/sessions?limit=2&after={second.json['next']}", token=token)

    assert [row["session"] for row in first.json["sessions"]] == ["a", "team"]
    assert [row["session"] for row in second.json["sessions"]] == ["team-1", "team-2"]
    assert third.json == {"sessions": [], "next": ""}


async def test_list_of_everything_is_cut_at_page_max(http: Running) -> None:
    """However much is asked for, a page stays within limits.page_max."""
    for n in range(http.server.services.limits.page_max + 1):
        await http.sessions.create(f"s{n:04}")
    reply = await http.call("GET", "/v1/sessions?limit=100000")

    assert len(reply.json["sessions"]) == http.server.services.limits.page_max
    assert reply.json["next"] == reply.json["sessions"][-1]["session"]


async def test_whole_session_is_read(http: Running) -> None:
    """Bytes become base64 and what JSON cannot say becomes null."""
    await http.call("POST", "/v1/sessions", json={"session": "room"})
    await http.call("POST", "/v1/sessions/room/messages", json={"text": "hello"})
    reply = await http.call("GET", "/v1/sessions/room")

    assert reply.status == 200
    assert reply.json["messages"][0]["text"] == "hello"
    assert reply.json["state"] == {"blob": "AP8=", "odd": None}
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/sessions/{}", None),
        ("GET", "/v1/sessions/{}/messages", None),
        ("POST", "/v1/sessions/{}/messages", {"text": "x"}),
        ("GET", "/v1/sessions/{}/export", None),
        ("DELETE", "/v1/sessions/{}", None),
    ],
)
async def test_forbidden_and_absent_look_alike(http: Running, method: str, path: str, body: object) -> None:
    """A session that the token does not name is answered like one that is not there."""
    await http.sessions.create("secret")
    forbidden = await http.call(method, path.format("secret"), json=body, token=http.token(sessions={"room": []}))
    absent = await http.call(method, path.format("nothing"), json=body)

    assert forbidden.status == absent.status == 404
    assert forbidden.raw == absent.raw
    assert {k for k in forbidden.headers if k != "Date"} == {k for k in absent.headers if k != "Date"}


async def test_message_is_posted_once(http: Running) -> None:
    """The same id by the same subject again returns the first post."""
    await http.sessions.create("room")
    body = {"id": "m-1", "text": "hello", "to": ["agent:planner"], "metadata": {"a": 1}}
    first = await http.call("POST", "/v1/sessions/room/messages", json=body)
    again = await http.call("POST", "/v1/sessions/room/messages", json=body)

    assert first.status == again.status == 201
    assert first.json == again.json == {"message": "m-1", "seq": 1, "by": "user:mona", "at": 1}
    assert len(http.sessions.messages["room"]) == 1


async def test_message_id_of_somebody_else_is_a_conflict(http: Running) -> None:
    """An id is its first writer's."""
    await http.sessions.create("room")
    await http.call("POST", "/v1/sessions/room/messages", json={"id": "m-1", "text": "a"})
    reply = await http.call(
        "POST", "/v1/sessions/room/messages", json={"id": "m-1", "text": "b"}, token=http.token("user:eve")
    )

    assert (reply.status, reply.code) == (409, "id_taken")


async def test_reader_cannot_post_or_delete(http: Running) -> None:
    """Rights are checked before existence, so the answer says nothing about that."""
    await http.sessions.create("room")
    token = http.token(sessions={"room": [], "gone": []})
    for path in ("room", "gone"):
        posted = await http.call("POST", f"/v1/sessions/{path}/messages", json={"text": "x"}, token=token)
        deleted = await http.call("DELETE", f"/v1/sessions/{path}", token=token)

        assert (posted.status, posted.code) == (403, "forbidden")
        assert (deleted.status, deleted.code) == (403, "forbidden")
    assert "room" in http.sessions.messages


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": 7},
        {"text": "x", "role": "root"},
        {"text": "x", "to": ["mona"]},
        {"text": "x", "to": ["user:m"] * 65},
        {"text": "x", "id": "../m"},
        {"text": "x", "metadata": []},
        {"text": "x", "unknown": 1},
        [],
    ],
)
async def test_wrong_message_is_invalid(http: Running, body: object) -> None:
    """A field that is not as it must be is named, never repeated."""
    await http.sessions.create("room")
    reply = await http.call("POST", "/v1/sessions/room/messages", json=body)

    assert (reply.status, reply.code) == (422, "invalid")


@pytest.mark.parametrize("raw", [b"{", b"", b'{"text": "\xff"}', b'{"text": "\\ud800"}', b"[" * 100_000])
async def test_broken_json_is_bad_json(http: Running, raw: bytes) -> None:
    """Cut off, badly encoded or absurdly nested bodies are refused as what they are."""
    await http.sessions.create("room")
    headers = {"Content-Type": "application/json"}
    reply = await http.call("POST", "/v1/sessions/room/messages", data=raw, headers=headers)

    assert (reply.status, reply.code) == (400, "bad_json")


@pytest.mark.parametrize("metadata", ["NaN", "Infinity", '{"a": NaN}', "[[]]", "[" * 150 + "]" * 150])
async def test_metadata_is_plain_json(http: Running, metadata: str) -> None:
    """NaN would not come back the same in any other client."""
    await http.sessions.create("room")
    raw = f'{{"text": "x", "metadata": {{"k": {metadata}}}}}'.encode()
    headers = {"Content-Type": "application/json"}
    reply = await http.call("POST", "/v1/sessions/room/messages", data=raw, headers=headers)

    assert reply.status == (201 if "[" in metadata else 422)


async def test_long_text_is_too_large(http: Running) -> None:
    """limits.message_chars_max holds for one message."""
    await http.sessions.create("room")
    chars_max = http.server.services.limits.message_chars_max
    fits = await http.call("POST", "/v1/sessions/room/messages", json={"text": "x" * chars_max})
    reply = await http.call("POST", "/v1/sessions/room/messages", json={"text": "x" * (chars_max + 1)})

    assert fits.status == 201
    assert (reply.status, reply.code) == (413, "too_large")


async def test_history_goes_back_page_by_page(http: Running) -> None:
    """`before` of a page leads to the one before it, null at the start."""
    await http.sessions.create("room")
    for n in range(5):
        await http.call("POST", "/v1/sessions/room/messages", json={"text": f"t{n}"})
    last = await http.call("GET", "/v1/sessions/room/messages?limit=3")
    first = await http.call("GET", f"/v1/sessions/room/messages?limit=3&before={last.json['before']}")

    assert [m["text"] for m in last.json["messages"]] == ["t2", "t3", "t4"]
    assert [m["text"] for m in first.json["messages"]] == ["t0", "t1"]
    assert first.json["before"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "before=0", "befor=3", "limit=1&limit=2"])
async def test_wrong_query_is_invalid(http: Running, query: str) -> None:
    """A misspelt or doubled name is an error, not ignored."""
    await http.sessions.create("room")
    reply = await http.call("GET", f"/v1/sessions/room/messages?{query}")

    assert (reply.status, reply.code) == (422, "invalid")


async def test_export_comes_back_by_import(http: Running) -> None:
    """What was exported can be imported after a delete; while it is there it conflicts."""
    await http.sessions.create("room")
    await http.call("POST", "/v1/sessions/room/messages", json={"text": "hello"})
    exported = await http.call("GET", "/v1/sessions/room/export")
    readable = await http.call("GET", "/v1/sessions/room/export?format=markdown")
    headers = {"Content-Type": "application/json"}
    conflict = await http.call("POST", "/v1/sessions/import", data=exported.raw, headers=headers)
    deleted = await http.call("DELETE", "/v1/sessions/room")
    imported = await http.call("POST", "/v1/sessions/import", data=exported.raw, headers=headers)

    assert exported.headers["Content-Disposition"] == 'attachment; filename="room.json"'
    assert readable.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert readable.raw == b"**user:mona**: hello"
    assert (conflict.status, conflict.code) == (409, "exists")
    assert deleted.status == 204
    assert imported.status == 201
    assert http.sessions.messages["room"][0]["text"] == "hello"


async def test_import_needs_admin(http: Running) -> None:
    """An import brings other people's words, so a member cannot do it."""
    token = http.token(sessions={"*": ["transcript", "state"]})
    reply = await http.call("POST", "/v1/sessions/import", json={"session": "x", "messages": []}, token=token)

    assert (reply.status, reply.code) == (403, "forbidden")


async def test_search_stays_within_the_grant(http: Running) -> None:
    """Messages of sessions that the token does not name are never found."""
    for session in ("mine", "theirs"):
        await http.sessions.create(session)
        await http.call("POST", f"/v1/sessions/{session}/messages", json={"text": "needle"})
    reply = await http.call("GET", "/v1/search?q=needle", token=http.token(sessions={"mine": []}))

    assert [hit["session"] for hit in reply.json["hits"]] == ["mine"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Rejected(RejectCode.FORBIDDEN, "no"), 403, "forbidden"),
        (Rejected(RejectCode.TOO_LARGE, "no"), 413, "too_large"),
        (Rejected(RejectCode.SESSION_FULL, "no"), 507, "session_full"),
        (Rejected(RejectCode.TOO_DEEP, "no"), 422, "rejected"),
        (StorageFull("disk"), 507, "storage_full"),
        (StoreDamaged("crc"), 500, "damaged"),
        (StoreError("gone"), 503, "not_ready"),
        (LocalProtocolError("not as the schema says"), 422, "invalid"),
        (SessionGone(CloseCode.DELETED, "deleted"), 404, "not_found"),
        (SessionGone(CloseCode.SERVER_ERROR, "being loaded again"), 503, "not_ready"),
        (KeyError("a mistake"), 500, "internal"),
        (RuntimeError("a secret in the words"), 500, "internal"),
    ],
)
async def test_errors_of_sessions_have_codes(http: Running, error: Exception, status: int, code: str) -> None:
    """What the sessions raise becomes a stable code; a mistake of ours says nothing about itself."""
    await http.sessions.create("room")
    http.sessions.fail_with = error
    reply = await http.call("POST", "/v1/sessions/room/messages", json={"text": "x"})

    assert (reply.status, reply.code) == (status, code)
    assert "a secret" not in reply.raw.decode()
    assert ("Retry-After" in reply.headers) == (code in ("storage_full", "not_ready"))
