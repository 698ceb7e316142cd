"""An adversary with a good token, and lists of sessions: what is not for them is never listed, and nothing stalls."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.core.codec import encode
from syncd.core.errors import CloseCode
from syncd.core.messages import Ack, Index, IndexChanged, IndexRow, Layer, SetPresence, Watch
from syncd.core.replica import SharedText
from syncd.core.transcript import put_message, put_read
from syncd.core.update import Kind
from syncd.server.app import Server
from tests.core.machines import Pen, new_message
from tests.harness import RawLink, mint, serving, until

VICTIM, EVE = "user:victim", "user:eve"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path / "s.db", limits={"index_gather_s": 0.02, "index_here_s": 0.02}) as running:
        yield running


async def link(server: Server, subject: str, sessions: str) -> RawLink:
    """A link of a subject that may take part in these sessions."""
    raw = RawLink(server.url, mint(subject, sessions=sessions))
    await raw.hello()
    return raw


def listed(raw: RawLink) -> dict[str, IndexRow]:
    """Everything a link was ever told of lists and has not taken."""
    rows = [row for m in raw.got if isinstance(m, Index | IndexChanged) for row in m.rows]
    return {row.session: row for row in rows}


async def acked(raw: RawLink, number: int) -> None:
    """Wait until a push is on the disk."""
    await raw.expect(Ack, lambda ack: ack.number == number)


async def page(raw: RawLink, after: str = "", limit: int = 500, *, archived: bool = False) -> Index:
    """Ask for a page."""
    await raw.send(Watch(after, limit, archived))
    return await raw.expect(Index)


async def test_a_foreign_session_is_never_listed(server: Server) -> None:
    """Not by any place to go on from, nor put away or not, nor when it changes, nor as gone."""
    victim, eve = await link(server, VICTIM, "private-*"), await link(server, EVE, "eve-*")
    pen = Pen()
    await victim.open("private-1")
    number = await victim.push(put_message(pen.transcript, new_message("secret")), session="private-1")
    await victim.expect(Ack, lambda ack: ack.number == number)
    place = (await page(victim, limit=1)).next or f"{1 << 61}.{1 << 61}"
    for after in ("", place, "0.0", "private-1", f"{1 << 61}.1", "-1.-1", "1e9.1", "' OR 1=1 --", "\x00", "%", "*"):
        for archived in (False, True):
            found = await page(eve, after, archived=archived)
            assert (found.rows, found.next) == ((), "")
    await eve.send(SetPresence("private-1", {"activity": "active"}))
    await victim.push(put_message(pen.transcript, new_message("more")), session="private-1")
    await eve.open("eve-1")
    await until(lambda: "eve-1" in listed(eve))
    await until(lambda: listed(victim).get("private-1") and listed(victim)["private-1"].seq == 2)
    assert set(listed(eve)) == {"eve-1"}
    assert EVE not in listed(victim)["private-1"].here
    for raw in (victim, eve):
        await raw.aclose()


async def test_what_a_session_is_called_may_be_anything(server: Server) -> None:
    """Other kinds of roots, other types, deep values, a text that everybody edits: no title, and nobody notices."""
    victim, eve = await link(server, VICTIM, "*"), await link(server, EVE, "*")
    await page(victim)
    odd: list[tuple[str, Any]] = [
        ("title", {"a": [[[]]]}),
        ("title", 7),
        ("title", "x" * 100_000),
        ("title", SharedText("edited together")),
        ("tags", ["t" * 90] * 10_000),
        ("tags", [[], {}, None, 7, "kept"]),
        ("tags", "not a list"),
        ("other", "not looked at"),
    ]
    for session, (key, value) in enumerate(odd):
        await eve.open(f"s{session}")
        pen = Pen()
        number = await eve.push(pen.set(key, value, root="session"), session=f"s{session}", layer=Layer.STATE)
        await acked(eve, number)
    await eve.open("array")
    pen = Pen()
    pen.state.ensure_root("session", Kind.ARRAY)
    edit = pen.state.edit(lambda r: r.insert(("session",), 0, ["title"]))
    number = await eve.push(edit, session="array", layer=Layer.STATE)
    await acked(eve, number)
    await eve.push(Pen().message("still here"), session="array")
    await until(lambda: "array" in listed(victim) and listed(victim)["array"].excerpt == "still here")
    rows = {row.session: row for row in (await page(victim)).rows}
    assert max(len(row.title) for row in rows.values()) <= 200
    assert max(len(row.tags) for row in rows.values()) <= 20
    await until(lambda: server.services.lists is not None and not server.services.lists._called)
    rows = {row.session: row for row in (await page(victim)).rows}
    assert rows["s5"].tags == ("kept",)
    for raw in (victim, eve):
        await raw.aclose()


async def test_read_marks_and_addressees_are_bounded(server: Server) -> None:
    """A mark beyond everything reads everything, one's own; ten thousand addressees are not ten thousand rows."""
    victim, eve = await link(server, VICTIM, "*"), await link(server, EVE, "*")
    await page(victim)
    await eve.open()
    pen = Pen()
    crowd = replace(new_message("hi"), to=tuple(f"user:{n}" for n in range(9_000)))
    number = await eve.push(put_message(pen.transcript, crowd))
    await acked(eve, number)
    lists = server.services.lists
    assert lists is not None
    assert len(await lists.participants("s")) == 65
    for seq in ((1 << 53) - 1, 0, 5):
        number = await eve.push(put_read(Pen().transcript, EVE, seq=seq, at=1))
        await acked(eve, number)
    await eve.push(Pen().message("on"))
    await until(lambda: "s" in listed(victim) and listed(victim)["s"].seq == 2)
    assert listed(victim)["s"].unread == 0  # Never took part: nothing is for them.
    for raw in (victim, eve):
        await raw.aclose()


async def test_a_flood_of_questions_ends_its_sender_alone(server: Server) -> None:
    """Others' pages and messages go on."""
    victim, eve = await link(server, VICTIM, "*"), await link(server, EVE, "*")
    frame = encode(Watch("", 500))
    for _ in range(200):
        await eve.ws.send_bytes(frame)
    await victim.open()
    async with asyncio.timeout(10):
        number = await victim.push(Pen().message("hi"))
        await victim.expect(Ack, lambda ack: ack.number == number)
        assert [row.session for row in (await page(victim)).rows] == ["s"]
    assert (await eve.closed())[0] == CloseCode.BAD_MESSAGE
    for raw in (victim, eve):
        await raw.aclose()
