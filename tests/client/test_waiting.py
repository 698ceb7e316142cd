"""Who waits for an edit is always answered: also when answers meet a reload, and when a session is closed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from syncd_client import Client, EditRefused, LocalProtocolError, NotSynced, Session

from syncd.core.messages import Ack, Opened, Push, Reject
from syncd.store.local_records import Write
from tests.harness import PATIENCE_S


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """A session whose client never gets a link: the tests speak for the server."""

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    async with Client("http://127.0.0.1:9", token=never, store=tmp_path / "local.db") as client:
        session = await client.open("s")
        session.machine.connect()
        session.machine.outgoing()
        rights = ("transcript", "state", "presence", "command")
        session.receive(Opened("s", "i", 1, 0, 0, rights, {}, {}, {}, ()))
        await session.saved()
        yield session


def pushed(session: Session) -> list[int]:
    return [message.number for message in session.machine.outgoing() if isinstance(message, Push)]


class Gate:
    """Holds the store's next writes until it is opened."""

    def __init__(self, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        store = session._client.store
        submit = store.submit

        async def when_opened(writes: Sequence[Write]) -> list[int]:
            await self.opened.wait()
            return await submit(writes)

        def held(writes: Sequence[Write]) -> asyncio.Future[list[int]]:
            self.reached.set()
            return asyncio.ensure_future(when_opened(writes))

        monkeypatch.setattr(store, "submit", held)


async def test_an_ack_that_meets_a_reload_is_heard(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit acked while the refusal of another is being stored is synced for whoever waits for it."""
    a = await session.post("a")
    assert pushed(session) == [1]
    b = await session.post("b")
    assert pushed(session) == [2]
    session.receive(Reject("s", 1, "foreign_entry", "no"))
    assert pushed(session) == [3]  # alone, to see that it was this one
    gate = Gate(session, monkeypatch)
    session.receive(Reject("s", 3, "foreign_entry", "no"))
    await gate.reached.wait()
    session.receive(Ack("s", 3))
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        await b.synced()
        with pytest.raises(NotSynced):
            await a.synced()
        await session.synced()


async def test_a_refusal_that_meets_a_reload_is_told(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused while another refusal is being stored, an edit is told as refused, and kept."""
    changes = session.changes()
    messages = []
    for text in ("a", "b"):
        messages.append(await session.post(text))
        pushed(session)
    session.receive(Reject("s", 1, "foreign_entry", "no"))
    session.receive(Reject("s", 2, "session_full", "no"))
    first, second = pushed(session)
    gate = Gate(session, monkeypatch)
    session.receive(Reject("s", first, "foreign_entry", "no"))
    await gate.reached.wait()
    session.receive(Reject("s", second, "session_full", "no"))
    gate.opened.set()
    async with asyncio.timeout(PATIENCE_S):
        for message in messages:
            with pytest.raises(NotSynced):
                await message.synced()
        told: set[str] = set()
        while len(told) < 2:
            change = await anext(changes)
            if isinstance(change, EditRefused):
                told.add(change.code)
    assert told == {"foreign_entry", "session_full"}
    assert len(await session.refused()) == 2


async def test_a_closed_session_takes_no_edit(session: Session) -> None:
    """After `close`, writing says so, and whoever waited is told instead of cancelled."""
    message = await session.post("a")
    waiter = asyncio.create_task(message.synced())
    await asyncio.sleep(0)
    await session.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        await waiter
    with pytest.raises(LocalProtocolError, match="open it again"):
        session.state.map("m")["k"] = 1
    with pytest.raises(LocalProtocolError, match="open it again"):
        await session.post("b")
