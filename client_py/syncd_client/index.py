"""SessionIndex: one's list of sessions, live and offline; and how it is asked for over the client's one link.

Knows nothing of what is in the sessions, nor of sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from syncd.core.errors import StoreError
from syncd.core.messages import ClientMessage, Index, IndexChanged, IndexRow, Watch
from syncd.store.local_index import LocalIndex
from syncd_client.transport import Unreachable

_log = structlog.get_logger("syncd.client")

#: What a server answers at most in one page.
_PAGE = 500


class IndexHost(Protocol):
    """What lists need of their client."""

    @property
    def subject(self) -> str:
        """Who the token names."""
        ...

    @property
    def connected(self) -> bool:
        """Whether there is a link."""
        ...

    def send(self, message: ClientMessage) -> None:
        """Send a frame of the link's own, if there is a link."""
        ...

    def keep(self, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done; say it if it failed."""
        ...

    def backoff_s(self, attempt: int) -> float:
        """Return how long to wait before attempt number `attempt` (from 0)."""
        ...


@dataclass(slots=True, eq=False)
class _Ask:
    watch: Watch
    answer: asyncio.Future[Index]


class IndexLink:
    """All lists of one client.

    1. One question is under way at a time: an answer does not say which it is of.
    2. What is told is stored first, then shown.
    3. What was told to one subject is neither stored nor shown for another.
    """

    def __init__(self, host: IndexHost, store: LocalIndex) -> None:
        self.host = host
        self.store = store
        self._lists: list[SessionIndex] = []
        self._asks: deque[_Ask] = deque()
        # In their order, since they are stored by a task of their own.
        self._changes: deque[IndexChanged] = deque()
        self._writing = False

    def add(self, index: SessionIndex) -> None:
        """Tell a list from now on."""
        self._lists.append(index)
        if self.host.connected:
            index.link_up()

    def remove(self, index: SessionIndex) -> None:
        """Tell a list no more. With the last one the server is told, too."""
        if index in self._lists:
            self._lists.remove(index)
            if not self._lists and self.host.connected:
                self._ask(_Ask(Watch("", 0), asyncio.get_running_loop().create_future()))

    def close(self) -> None:
        """Close all lists: whoever follows one, or waits for a page, is told."""
        for index in list(self._lists):
            index.close()
        self._unanswered()

    def identified(self) -> None:
        """The token names somebody else than before."""
        self._changes.clear()
        for index in self._lists:
            index.identified()

    def link_up(self) -> None:
        """There is a link."""
        for index in self._lists:
            index.link_up()

    def link_down(self) -> None:
        """There is none any more: nobody answers."""
        self._unanswered()
        for index in self._lists:
            index.link_down()

    def _unanswered(self) -> None:
        asks, self._asks = self._asks, deque()
        for ask in asks:
            if not ask.answer.done():
                ask.answer.set_exception(Unreachable("the link ended before the answer came"))
                ask.answer.exception()  # Nobody may wait for it.

    async def page(self, after: str, limit: int, *, archived: bool) -> Index:
        """Ask for a page.

        Raises:
            Unreachable: the link ended before the answer came, or there is none.
        """
        if not self.host.connected:
            raise Unreachable("there is no link")
        ask = _Ask(Watch(after, limit, archived), asyncio.get_running_loop().create_future())
        self._ask(ask)
        return await ask.answer

    def _ask(self, ask: _Ask) -> None:
        self._asks.append(ask)
        if len(self._asks) == 1:  # Invariant 1.
            self.host.send(ask.watch)

    def receive(self, message: Index | IndexChanged) -> None:
        """Take a frame."""
        if isinstance(message, IndexChanged):
            self._changes.append(message)
            if not self._writing:
                self._writing = True
                self.host.keep(asyncio.create_task(self._write(), name="session index"))
            return
        if self._asks:
            ask = self._asks.popleft()
            if not ask.answer.done():
                ask.answer.set_result(message)
            if self._asks:
                self.host.send(self._asks[0].watch)

    async def _write(self) -> None:
        try:
            while self._changes:
                change, subject = self._changes.popleft(), self.host.subject
                try:
                    await self.store.put(subject, change.rows, change.gone)  # Invariant 2.
                except StoreError as error:
                    _log.warning("index_not_stored", error=type(error).__name__, reason=str(error))
                if subject == self.host.subject:  # Invariant 3.
                    for index in self._lists:
                        index.change(change)
        finally:
            self._writing = False


class SessionIndex:
    """One's list of sessions, the one where something happened last first. Open it with `Client.index`.

    Without a network it is as it was when there was one. Iterate over it to get `rows` whenever they are another:
    `async for rows in index`. `close` it, or use it as `async with`; the client that closes does so.

    1. Who is there is shown only while there is a link: nobody knows it otherwise.
    2. Rows older than the last page are kept when they change, but neither shown nor counted: between them others are
       missing.
    3. An empty page that is not the last one says that the server could not read its list: everything stays as it is,
       and is asked for again.
    """

    def __init__(self, link: IndexLink, *, archived: bool, count: int) -> None:
        self.archived = archived
        #: Whether the rows are as the server has them; else they are as this device heard last.
        self.live = False
        self._link = link
        self._count = count
        self._rows: dict[str, IndexRow] = {}
        self._next = ""
        self._whole = False
        self._low_ms = 0
        self._fetching: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._version = 0
        self._closed = False

    async def load(self) -> None:
        """Read what this device heard last. Called by `Client.index`."""
        stored: Sequence[IndexRow] = ()
        subject = None
        while subject != self._link.host.subject:  # It may become another meanwhile.
            subject = self._link.host.subject
            stored = await self._link.store.rows(subject, archived=self.archived, limit=self._count)
        if not self.live:  # Else the server was faster.
            self._rows = {row.session: replace(row, here={}) for row in stored}  # Invariant 1.
            self._low_ms = min((row.at_ms for row in stored), default=0)
            self._tell()

    # What its users ask

    @property
    def rows(self) -> list[IndexRow]:
        """The rows, newest first."""
        shown = [row for row in self._rows.values() if self._whole or row.at_ms >= self._low_ms]
        return sorted(shown, key=lambda row: (-row.at_ms, row.session))

    @property
    def whole(self) -> bool:
        """Whether there is nothing older."""
        return self._whole

    @property
    def unread(self) -> int:
        """How many messages of the rows are not read, for a badge."""
        return sum(row.unread for row in self.rows)

    async def older(self, count: int = 100) -> list[IndexRow]:
        """Have `count` more rows; return those that are new. Offline they are those that this device heard of.

        None also while the server cannot read its list: ask again later, unless it is `whole`.

        Raises:
            Unreachable: the link ended before they came.
        """
        before = {row.session for row in self.rows}  # Invariant 2.
        self._count = len(before) + count
        if not self.live:
            await self.load()
        if self.live and not self._whole:
            await self._fetch(self._next, self._count - len(self.rows))
        return [row for row in self.rows if row.session not in before]

    async def changed(self) -> list[IndexRow]:
        """Return the rows as soon as they are others than now."""
        version = self._version
        while self._version == version and not self._closed:
            self._moved.clear()
            await self._moved.wait()
        return self.rows

    async def __aiter__(self) -> AsyncIterator[list[IndexRow]]:
        version = -1
        while not self._closed:
            if version == self._version:
                await self.changed()
            version = self._version
            if not self._closed:
                yield self.rows

    def close(self) -> None:
        """Let go of it. Idempotent."""
        self._closed = True
        self._moved.set()
        if self._fetching is not None:
            self._fetching.cancel()
        self._link.remove(self)

    async def __aenter__(self) -> SessionIndex:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    # What the link tells

    def identified(self) -> None:
        """The list is somebody else's: begin anew with what this device heard of theirs."""
        if self._fetching is not None:
            self._fetching.cancel()
        self.live = self._whole = False
        self._rows, self._next, self._low_ms = {}, "", 0
        self._tell()
        self._link.host.keep(asyncio.create_task(self.load(), name="session index load"))

    def link_up(self) -> None:
        """There is a link: ask for all that is shown."""
        if self._fetching is not None:
            self._fetching.cancel()
        self._fetching = asyncio.create_task(self._begin(), name="session index page")
        self._link.host.keep(self._fetching)

    def link_down(self) -> None:
        """There is no link any more."""
        before = self._rows
        # Invariant 1: rows that came before all were there, too.
        self._rows = {session: replace(row, here={}) for session, row in before.items()}
        if self.live or self._rows != before:
            self.live = False
            self._tell()

    def change(self, change: IndexChanged) -> None:
        """Take rows that changed."""
        before = self.rows
        for row in change.rows:
            if row.archived == self.archived:
                self._rows[row.session] = row
            else:
                self._rows.pop(row.session, None)
        for session in change.gone:
            self._rows.pop(session, None)
        if self.rows != before:  # Invariant 2.
            self._tell()

    async def _begin(self) -> None:
        attempt = 0
        try:
            # New sessions made it longer than it was asked for.
            while not await self._fetch("", max(self._count, len(self.rows))):
                await asyncio.sleep(self._link.host.backoff_s(attempt))  # Invariant 3.
                attempt += 1
        except Unreachable:
            return  # Asked again with the next link.
        self.live = True
        self._tell()

    async def _fetch(self, after: str, count: int) -> bool:
        """Take pages until there are `count` rows more, or no older ones; return whether the server could read them."""
        below_ms = self._low_ms if after else None
        fetched = 0
        while fetched < count:
            page = await self._link.page(after, min(_PAGE, count - fetched), archived=self.archived)
            if not page.rows and not page.whole:
                return False
            subject = self._link.host.subject
            try:
                await self._link.store.put_page(
                    subject, page.rows, archived=self.archived, below_ms=below_ms, whole=page.whole
                )
            except StoreError as error:
                _log.warning("index_not_stored", error=type(error).__name__, reason=str(error))
            if subject != self._link.host.subject:
                return False
            self._take(page, below_ms)
            fetched += len(page.rows)
            if page.whole:
                break
            after, below_ms = page.next, page.rows[-1].at_ms
        return True

    def _take(self, page: Index, below_ms: int | None) -> None:
        high = 1 << 62 if below_ms is None else below_ms
        low = -1 if page.whole else page.rows[-1].at_ms
        self._rows = {s: row for s, row in self._rows.items() if not low < row.at_ms < high}
        self._rows |= {row.session: row for row in page.rows}
        self._next, self._whole = page.next, page.whole
        self._low_ms = max(low, 0)
        self._tell()

    def _tell(self) -> None:
        self._version += 1
        self._moved.set()
