"""Records: sessions as whole values, written through the same machine as everybody's."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.core.errors import LocalProtocolError, Rejected
from syncd.core.grant import ALL_RIGHTS, MEMBER_RIGHTS, Grant, Right
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import Layer, Push
from syncd.server.metrics import Metrics
from syncd.server.records import Records
from syncd.server.sessions import Sessions
from syncd.store.session_log import SqliteSessionLog
from tests.core.machines import Pen, member
from tests.server.test_sessions import join

ANN = Grant("user:ann", "Ann", "user", (("*", MEMBER_RIGHTS),))
ADMIN = Grant("user:root", "root", "user", (("*", ALL_RIGHTS),))


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    """Records over a real file, with a session `s`."""
    log = SqliteSessionLog(tmp_path / "s.db")
    await log.open()
    found = Records(Sessions(log, DEFAULT_LIMITS, Metrics()))
    await found.start()
    await found.create("s")
    yield found
    await found.stop()
    await log.close()


async def test_a_post_returns_its_receipt_once_it_is_on_disk(records: Records) -> None:
    """With `seq` and verified author; it is in history and in what peers see."""
    box = await join(records._sessions, "bob")
    answer = await records.post("s", ANN, text="héllo 😀", to=("agent:a",), metadata={"k": 1})
    assert (answer["seq"], answer["by"]) == (1, "user:ann")
    info = await records.info("s")
    assert info is not None
    assert info.version > 0
    [view] = await records.history("s", before=None, limit=10)
    assert (view["parts"][0]["text"], view["to"], view["metadata"]) == ("héllo 😀", ["agent:a"], {"k": 1})
    assert any(type(message).__name__ == "Update" for message in box.got)


async def test_posting_twice_under_one_id_writes_once(records: Records) -> None:
    """At the same time too; somebody else's id is refused."""
    answers = await asyncio.gather(*(records.post("s", ANN, text="once", message="m1") for _ in range(5)))
    assert {answer["seq"] for answer in answers} == {1}
    assert len(await records.history("s", before=None, limit=10)) == 1
    with pytest.raises(Rejected) as error:
        await records.post("s", member("eve"), text="mine", message="m1")
    assert error.value.code == "foreign_entry"


async def test_a_post_is_judged_as_any_peers(records: Records) -> None:
    """Without the right, on an absent session, or against the schema, it raises and writes nothing."""
    with pytest.raises(Rejected):
        await records.post("s", member("ann", frozenset({Right.STATE})), text="x")
    with pytest.raises(LookupError):
        await records.post("absent", ANN, text="x")
    with pytest.raises(LookupError):
        await records.post("s", replace(ANN, sessions=(("other", MEMBER_RIGHTS),)), text="x")
    with pytest.raises(LocalProtocolError):
        await records.post("s", ANN, text="x", role="robot")
    assert await records.history("s", before=None, limit=10) == []
    live = await records._sessions.live("s")
    assert (live.outlets, live.machine.peers) == ({}, 0)


async def test_many_posts_cost_one_client_id(records: Records) -> None:
    """A subject writes under one id for as long as the session is loaded."""
    for number in range(5):
        await records.post("s", ANN, text=f"m{number}")
    live = await records._sessions.live("s")
    assert len(live.machine.document(Layer.TRANSCRIPT).applied) == 2


async def test_history_pages_backwards(records: Records) -> None:
    """The newest below a `seq`, oldest first."""
    for number in range(1, 8):
        await records.post("s", ANN, text=f"m{number}")
    pages = [[v["seq"] for v in await records.history("s", before=before, limit=3)] for before in (None, 5, 2, 1)]
    assert pages == [[5, 6, 7], [2, 3, 4], [1], []]


async def _fill(records: Records) -> None:
    await records.post("s", ANN, text="a needle in it")
    box = await join(records._sessions, "bob")
    pen = Pen()
    records._sessions.receive("s", "bob", Push("s", Layer.STATE, 1, pen.text("shared 😀")))
    records._sessions.receive("s", "bob", Push("s", Layer.TRANSCRIPT, 2, pen.command("c1")))
    await records._sessions.settle()
    assert box.dropped == []
    records._sessions.detach("s", "bob")


async def test_an_export_imports_as_it_was(records: Records) -> None:
    """Elsewhere, under its id: messages, authors, receipts, state; and writing goes on behind the last `seq`."""
    await _fill(records)
    before = await records.read("s")
    data = await records.export("s", "json")
    with pytest.raises(FileExistsError):
        await records.import_(data, ADMIN)
    body = json.loads(data)
    body["session"] = "copy"
    await records.import_(json.dumps(body).encode(), ADMIN)
    after = await records.read("copy")
    for name in ("seq", "messages", "commands", "state"):
        assert after[name] == before[name]
    assert (await records.post("copy", ANN, text="on"))["seq"] == before["seq"] + 1
    with pytest.raises(Rejected):
        await records.post("copy", member("eve"), text="x", message=before["messages"][0]["id"])
    markdown = (await records.export("s", "markdown")).decode()
    assert "user:ann" in markdown
    assert "a needle in it" in markdown


@pytest.mark.parametrize("change", [
    {"format": "other"}, {"session": "../x"}, {"documents": {"transcript": "!!"}}, {"seq": "many"}, {"seq": -1},
    {"documents": {"state": "/////w=="}}, {"authors": {"user:a": ["x"]}}, {"roots": {"x": 99}}, {"seq": 1 << 70},
    {"authors": 5}, {"roots": {"x": 3}}, {"roots": {"__proto__": 1}}, {"roots": {"\ud800": 1}},
    {"authors": {"user:\ud800": [1]}}, {"seq": float("inf")}, {"seq": (1 << 53) - 1},
])  # fmt: skip
async def test_what_is_no_export_is_refused(records: Records, change: dict[str, object]) -> None:
    """And no session is made of it."""
    await _fill(records)
    body = {**json.loads(await records.export("s", "json")), "session": "copy", **change}
    with pytest.raises(Rejected):
        await records.import_(json.dumps(body).encode(), ADMIN)
    assert await records.info("copy") is None
    with pytest.raises(Rejected):
        await records.import_(b"[]", ADMIN)


async def test_an_import_needs_all_rights(records: Records) -> None:
    """It brings everybody's words."""
    body = {**json.loads(await records.export("s", "json")), "session": "copy"}
    with pytest.raises(Rejected) as error:
        await records.import_(json.dumps(body).encode(), ANN)
    assert error.value.code == "forbidden"


async def test_search_finds_what_was_just_written_and_only_what_is_allowed(records: Records) -> None:
    """In live sessions too; not in those the caller may not see; not after a deletion."""
    await _fill(records)
    [hit] = await records.search("needle", allowed=lambda _: True, limit=5)
    assert hit.session == "s"
    assert await records.search("needle", allowed=lambda _: False, limit=5) == []
    assert await records.delete("s")
    assert await records.search("needle", allowed=lambda _: True, limit=5) == []
    with pytest.raises(LookupError):
        await records.read("s")
