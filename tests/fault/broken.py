"""The product with one fault built in, to show that the kill loop finds it.

The server is run as `python -m tests.fault.broken NAME serve ...`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any

from syncd_client import Message, Session

from syncd.core.client import ClientMachine
from syncd.core.messages import Update
from syncd.server.sessions import Sessions
from syncd.store.local import LocalStore
from syncd.store.log import Append
from syncd.store.session_log import SqliteSessionLog

_LATE_S = 0.3


def ack_before_commit() -> None:
    """The log says that a batch is on disk, and writes it a moment later."""
    real = SqliteSessionLog.append
    queue = asyncio.Lock()
    kept: set[asyncio.Task[Any]] = set()

    async def append(self: SqliteSessionLog, batch: Sequence[Append]) -> Sequence[str]:
        async def later() -> None:
            async with queue:
                await asyncio.sleep(_LATE_S)
                await real(self, batch)

        kept.add(asyncio.create_task(later()))
        return ()

    SqliteSessionLog.append = append  # type: ignore[method-assign]


def shown_before_commit() -> None:
    """Others see an update while its commit is still under way; acks come after it, as they should."""

    async def commit(self: Sessions, turns: Any) -> bool:
        sends = [(live, send) for live, ready in turns for send in live.machine.advance(ready)]
        shown = [(live, send) for live, send in sends if isinstance(getattr(send, "message", None), Update)]
        for live, send in shown:
            self._deliver(live, [send])
        await asyncio.sleep(_LATE_S)
        batch = [Append(live.session, ready.expected, ready.entries) for live, ready in turns if ready.entries]
        if batch:
            await self.log.append(batch)
        for live, send in sends:
            if (live, send) not in shown:
                self._deliver(live, [send])
        return bool(batch)

    Sessions._commit = commit  # type: ignore[method-assign]


def saved_before_stored() -> None:
    """The local store says that edits are on disk, and writes them a moment later."""
    real = LocalStore.write
    kept: set[asyncio.Task[Any]] = set()

    async def write(self: LocalStore, writes: Any) -> Any:
        rows = list(range(1 << 40, (1 << 40) + len(writes)))

        async def later() -> None:
            await asyncio.sleep(_LATE_S)
            await real(self, writes)

        kept.add(asyncio.create_task(later()))
        return rows

    LocalStore.write = write  # type: ignore[method-assign]


def written_twice() -> None:
    """A client writes now and then what it wrote before once more, as one that tries again without an id would."""
    real = Session.post

    async def post(self: Session, text: str = "", **rest: Any) -> Message:
        if text.endswith("7"):
            await real(self, text, **rest)
        return await real(self, text, **rest)

    Session.post = post  # type: ignore[method-assign, assignment]


def nothing_pushed_again() -> None:
    """A client takes for synced, at each reconnect, what it had pushed or wanted to push before."""
    real = ClientMachine._settle

    def settle(self: ClientMachine, vectors: Any) -> None:
        self._synced(list(self._pushes.owns))
        real(self, vectors)

    ClientMachine._settle = settle  # type: ignore[method-assign]


BREAKS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        ack_before_commit,
        shown_before_commit,
        saved_before_stored,
        written_twice,
        nothing_pushed_again,
    )
}
#: Those that are the server's; the others are the clients'.
_SERVER = {"ack_before_commit", "shown_before_commit"}


def break_it(name: str, *, server: bool = False) -> None:
    """Build the fault in, if it is this process' side."""
    if (name in _SERVER) == server:
        BREAKS[name]()


if __name__ == "__main__":
    from syncd.cli import main

    break_it(sys.argv.pop(1), server=True)
    main()
