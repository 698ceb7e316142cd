"""View: one person's look at a session's branches: which alternatives are shown, and from where on.

Knows nothing of documents or of the network; the tree itself is `syncd.core.branches`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from syncd.core.branches import Branches, BranchItem, BranchView, same_tree
from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json
from syncd.core.transcript import MessageView
from syncd_client.posted import Message

if TYPE_CHECKING:
    from syncd_client.session import Session


class View:
    """What one person sees of a session. Get it from `Session.view`; read `items` again when something changed.

    1. It shows everything from where it begins to the live end, at least the newest `page`.
    2. What was selected stays selected, whatever comes; where nothing was, the newest alternative is shown.
    3. Selecting moves no message to another place.
    """

    def __init__(self, session: Session, *, page: int = 50, selected: Mapping[str, str] | None = None) -> None:
        if page < 1:
            raise LocalProtocolError("a page holds at least one message")
        self._session = session
        self._page_size = page
        self._selected = dict(selected or {})
        self._messages: list[MessageView] = []
        self._superseded: frozenset[str] = frozenset()
        self._branches = Branches(())
        self._layout: BranchView | None = None
        #: The message that `older` revealed down to, None while only the newest page is shown.
        self._begin: str | None = None
        self._revealing: asyncio.Task[list[BranchItem]] | None = None

    # Reading

    @property
    def items(self) -> list[BranchItem]:
        """The visible messages as they are now, oldest first, each with its `index` of `count` and its `siblings`."""
        layout = self._all()
        return self._page(layout, self._start(layout.ids), len(layout.ids))

    @property
    def older_count(self) -> int:
        """How many more `older` can reveal."""
        return self._start(self._all().ids)

    @property
    def selected(self) -> dict[str, str]:
        """What was selected, as JSON: give it to `Session.view` to see the same again."""
        return dict(self._selected)

    async def older(self, n: int = 50) -> list[BranchItem]:
        """Reveal `n` older messages, or as many as there are; return them, oldest first.

        Called again before it returned, as by a list that is scrolled, it acts once and returns the same to both.
        """
        if n < 0:
            raise LocalProtocolError("older than what is shown: n is 0 or more")
        if self._revealing is None:
            self._revealing = asyncio.create_task(self._reveal(n), name=f"older {self._session.id}")
        return await asyncio.shield(self._revealing)

    # Selecting

    def select(self, message: str) -> None:
        """Show `message` in place of its alternatives, and the branch that it is in.

        Raises:
            LocalProtocolError: there is no such message.
        """
        self._all()
        line = self._branches.line(message)
        if not line:
            raise LocalProtocolError(f"there is no message {message} in this copy")
        own = next(iter(line))
        # Above it only what is shown otherwise is pinned: the rest goes on to show the newest.
        pinned = {g: m for g, m in line.items() if g == own or self._branches.choice(g, self._selected) != m}
        self._selected.update(pinned)
        self._layout = None

    def next(self, message: str) -> str:
        """Show the alternative after `message`, which stays if it is the last; return the id of what is shown."""
        return self._step(message, 1)

    def previous(self, message: str) -> str:
        """Show the alternative before `message`, which stays if it is the first; return the id of what is shown."""
        return self._step(message, -1)

    # Writing into the branch that is shown

    async def post(
        self,
        text: str = "",
        *,
        to: Sequence[str] = (),
        parts: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Json] | None = None,
    ) -> Message:
        """Write a message that follows the last one shown here. Otherwise as `Session.post`."""
        parent = self._all().leaf
        return await self._session.post(text, to=to, parts=parts, metadata=metadata, parent=parent)

    async def edit(self, message: str, text: str, *, to: Sequence[str] | None = None) -> Message:
        """As `Session.edit`, and show the new one here."""
        return self._show(await self._session.edit(message, text, to=to))

    async def regenerate(self, message: str, *, to: str | None = None) -> Message:
        """As `Session.regenerate`, and show here the answer that will come."""
        return self._show(await self._session.regenerate(message, to=to))

    # Inside

    def _show(self, posted: Message) -> Message:
        self.select(posted.id)
        return posted

    def _step(self, message: str, by: int) -> str:
        self._all()
        siblings = self._branches.siblings(message)
        if message not in siblings:
            raise LocalProtocolError(f"message {message} is not among those shown: take the id from an item")
        there = siblings[max(0, min(siblings.index(message) + by, len(siblings) - 1))]
        self.select(there)
        return there

    def _all(self) -> BranchView:
        """Return all that is visible. What its messages hold may have grown since: see `_page`."""
        messages = self._session.messages()
        superseded = frozenset(view.id for view in messages if self._session.superseded(view))
        if superseded != self._superseded or not same_tree(self._messages, messages):
            self._branches = Branches(messages, superseded=superseded, answers=self._session.answers)
            self._layout = None
        self._messages, self._superseded = messages, superseded
        if self._layout is None:
            self._layout = self._branches.view(self._selected)
        return self._layout

    def _page(self, layout: BranchView, start: int, end: int) -> list[BranchItem]:
        return [
            BranchItem(found, item.group, item.index, item.count, item.siblings)
            for item in layout.page(start, end)
            if (found := self._session.message(item.message.id)) is not None
        ]

    def _start(self, ids: Sequence[str]) -> int:
        newest = max(0, len(ids) - self._page_size)
        begin = self._branches.slot(self._begin) if self._begin is not None else None
        if begin is None:
            return newest
        # Another branch may lie before the beginning, be it entirely: a page of it is shown all the same. Invariant 1.
        return bisect_left(ids, begin, hi=newest, key=self._slot)

    def _slot(self, message: str) -> int:
        slot = self._branches.slot(message)
        assert slot is not None  # It is of this tree.
        return slot

    async def _reveal(self, n: int) -> list[BranchItem]:
        try:
            layout = self._all()
            end = self._start(layout.ids)
            begin = max(0, end - n)
            if begin < end:
                self._begin = layout.ids[begin]
            return self._page(layout, begin, end)
        finally:
            self._revealing = None
