"""Branches: the tree that messages make by `parent` and `fork_of`, and what a reader sees of it. PROTOCOL 5.2.

Knows nothing of documents, runs or of who reads; which branch somebody looks at comes in as an argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from syncd.core.record import record
from syncd.core.transcript import MessageView, place

#: Metadata of a request for another answer: the id of the answer it wants replaced.
REGENERATE: Final = "regenerate"


@record
class BranchItem:
    """One visible message, and which of its alternatives it is: `index` of `count`, from 1.

    `siblings` are the ids of all alternatives in their order, this message's own among them. `group` names the slot
    that they share: the id of the first, whichever is shown.
    """

    message: MessageView
    group: str
    index: int
    count: int
    siblings: tuple[str, ...]


class BranchView:
    """What a reader sees, from the first message to the live end. `ids` names the messages, oldest first."""

    def __init__(self, branches: Branches, ids: Sequence[str]) -> None:
        self.ids = ids
        self._branches = branches

    @property
    def items(self) -> list[BranchItem]:
        """All visible messages, oldest first."""
        return self.page(0, len(self.ids))

    def page(self, start: int, end: int) -> list[BranchItem]:
        """Return the visible messages from `start` up to `end`: a long session is seldom wanted whole."""
        return [self._branches.item(id) for id in self.ids[start:end]]

    @property
    def leaf(self) -> str | None:
        """The id of the last message: what is written next follows it. None where there is none."""
        return self.ids[-1] if self.ids else None


class Branches:
    """The tree of a list of messages.

    1. It depends on the messages alone, not on the order they come in: every device that has them has this tree.
    2. A link counts if it names a message that stands before in the agreed order, so there are no cycles; any other
       is as if it were not there.
    3. Every message is in exactly one group, and visible in some view unless another stands for it or superseded it.
    4. Time is linear in the messages, sorting aside; nothing recurses.
    """

    def __init__(
        self,
        messages: Iterable[MessageView],
        *,
        superseded: Collection[str] = frozenset(),
        answers: Callable[[MessageView], str | None] = lambda _: None,
    ) -> None:
        """Build the tree.

        `superseded`: ids of output that no longer counts; it keeps its place and is not shown. `answers`: which message
        a message was made for by whoever was given that; None for one that was not.
        """
        self._answers = answers
        self._views = {view.id: view for view in sorted(messages, key=place)}  # Invariant 1.
        self._superseded = superseded
        self._ranks = {id: rank for rank, id in enumerate(self._views)}
        #: Group to the message it follows, to the rank of its first member, and to its members. Of containers there
        #: are as many as forks: one for each message would have the garbage collector walk them all.
        self._under: dict[str, str | None] = {}
        self._place: dict[str, int] = {}
        self._forks: dict[str, list[str]] = {}
        #: Message to its group, and to the member it is shown as: an answer to a request is the request's.
        self._group: dict[str, str] = {}
        self._member: dict[str, str] = {}
        #: Request to the answer that stands for it.
        self._answer: dict[str, str] = {}
        attempts: set[tuple[str, int | None]] = set()
        before: str | None = None
        for id, view in self._views.items():
            request = self._request(view)
            if request is not None and (request, view.attempt) not in attempts:
                attempts.add((request, view.attempt))
                self._group[id], self._member[id] = self._group[request], request
                if id not in superseded:
                    self._answer.setdefault(request, id)
            else:
                self._join(view, before)
            before = id

    def view(self, selected: Mapping[str, str] | None = None, leaf: str | None = None) -> BranchView:
        """Return what a reader sees who selected, of some groups, another message than the newest.

        `selected` maps ids of groups to ids of messages in them; what names nothing here is ignored. `leaf` is made
        visible whatever was selected on the way to it.
        """
        chosen = {**(selected or {}), **self.line(leaf)} if leaf is not None else selected or {}
        choice = {group: self.choice(group, chosen) for group in self._forks}
        under, member = self._under, self._member
        seen: set[str] = set()
        shown: list[str] = []
        for id, group in self._group.items():
            above = under[group]
            if (above is None or above in seen) and (group not in choice or choice[group] == member[id]):
                seen.add(id)
                if id not in self._superseded and id not in self._answer:
                    shown.append(id)
        shown.sort(key=self._slot)
        return BranchView(self, shown)

    def item(self, message: str) -> BranchItem:
        """Return a message and which of its alternatives it is.

        Raises:
            KeyError: there is none of that id.
        """
        view, group, member = self._views[message], self._group[message], self._member[message]
        if group not in self._forks or self._answer.get(member, member) != message:
            return BranchItem(view, group, 1, 1, (message,))
        siblings = self.siblings(message)
        return BranchItem(view, group, siblings.index(message) + 1, len(siblings), siblings)

    def path_to(self, message: str) -> list[MessageView]:
        """Return the branch that ends in `message`, oldest first, as a model's history is made of it.

        That is all that a reader who stands there sees before it, and the message itself. A complete answer that came
        later, to a message before it, stands behind what it answers: messages may wait in a queue while the first is
        answered. Requests for another answer hold nothing and are left out: the path to one ends before the answer it
        wants replaced. Empty if there is no such message.
        """
        if message not in self._group:
            return []
        end, tip = self._slot(message), message
        if is_request(self._views[message]):
            end, tip = end - 1, self._under[self._group[message]] or ""
        ids = self.view(leaf=message).ids
        count = bisect_right(ids, end, key=self._slot)
        late = self._late_answers(ids[:count], ids[count:], tip)
        path = [answer for id in ids[:count] for answer in (id, *late.get(id, ()))]
        return [view for id in path if not is_request(view := self._views[id])]

    def line(self, message: str) -> dict[str, str]:
        """Return the selection that makes `message` visible: its own group first, then those above it."""
        found: dict[str, str] = {}
        at: str | None = message if message in self._group else None
        while at is not None:
            group = self._group[at]
            found[group] = self._member[at]
            at = self._under[group]
        return found

    def choice(self, group: str, selected: Mapping[str, str]) -> str | None:
        """Return which member of `group` is visible: the selected one, else the newest. None without such a group."""
        wanted = selected.get(group)
        if wanted is not None and self._group.get(wanted) == group:
            return self._member[wanted]
        members = self._members(group)
        return next((id for id in reversed(members) if self._counts(id)), members[-1] if members else None)

    def siblings(self, message: str) -> tuple[str, ...]:
        """Return the ids of all alternatives to `message`, it among them, in their order; empty without it."""
        if message not in self._group:
            return ()
        members = self._members(self._group[message])
        return tuple(self._answer.get(id, id) for id in members if self._counts(id))

    def parent_of(self, message: str) -> str | None:
        """Return the message that `message` and its alternatives follow; None for the first, or without it."""
        return self._under[self._group[message]] if message in self._group else None

    def slot(self, message: str) -> int | None:
        """Return the slot that `message` is shown in: views are in the order of slots. None without it."""
        return self._slot(message) if message in self._group else None

    def _late_answers(self, path: Sequence[str], later: Sequence[str], tip: str) -> dict[str, list[str]]:
        """Return what runs that answer messages of `path`, other than its `tip`, wrote after its end."""
        behind = {id: id for id in path if id != tip}
        if tip in self._views and self._views[tip].role == "assistant":
            behind.pop(self._under[self._group[tip]] or "", None)  # Other answers to its prompt stand beside it.
        found: dict[str, list[str]] = {}
        for id in later:
            view, above = self._views[id], self._under[self._group[id]]
            if view.role != "assistant" or view.streaming or above != view.parent or above not in behind:
                continue
            # Behind an answer only what its own run went on to write: others may have gone on to talk about it.
            if behind[above] == above or (view.run is not None and view.run == self._views[above].run):
                behind[id] = behind[above]
                found.setdefault(behind[id], []).append(id)
        return found

    def _request(self, view: MessageView) -> str | None:
        """Return the request that a message answers, in whose place it is shown."""
        if view.role != "assistant" or view.parent is None or not self._is_before(view.parent, view.id):
            return None
        request = self._views[view.parent]
        # An alternative to another answer of the same request is no answer to it.
        if not is_request(request) or view.fork_of not in (None, request.fork_of):
            return None
        # Nor is what somebody wrote who was not asked. What has no receipt is of this device.
        return request.id if view.by in (None, *request.to) or self._answers(view) == request.id else None

    def _join(self, view: MessageView, before: str | None) -> None:
        """Put a message into the group of what it is an alternative to, or into one of its own."""
        group = view.id
        if view.fork_of is not None and (
            view.fork_of not in self._views or self._is_before(view.fork_of, view.id)  # Invariant 2.
        ):
            # Alternatives to a message that is gone are still alternatives to each other.
            group = self._group.get(view.fork_of, view.fork_of)
        if group not in self._under:
            self._under[group] = (
                view.parent if view.parent is not None and self._is_before(view.parent, view.id) else before
            )
            self._place[group] = self._ranks[view.id]
        if group != view.id:
            first = [group] if group in self._views else []
            self._forks.setdefault(group, first).append(view.id)
        self._group[view.id], self._member[view.id] = group, view.id

    def _is_before(self, message: str, other: str) -> bool:
        rank = self._ranks.get(message)
        return rank is not None and rank < self._ranks[other]

    def _slot(self, message: str) -> int:
        member = self._member[message]
        if member != message and self._answer.get(member) != message:
            return self._ranks[message]  # A further answer to a request stands where it was written.
        # At the first of the alternatives: selecting another one moves nothing.
        return self._place[self._group[message]]

    def _members(self, group: str) -> Sequence[str]:
        return self._forks.get(group) or ((group,) if group in self._under else ())

    def _counts(self, member: str) -> bool:
        return member in self._answer or member not in self._superseded


def is_request(view: MessageView) -> bool:
    """Whether a message only asks for another answer in place of one: it holds nothing itself."""
    return view.role == "system" and isinstance(view.metadata.get(REGENERATE), str)


def same_tree(before: Sequence[MessageView], after: Sequence[MessageView]) -> bool:
    """Whether two lists of messages make the same tree: at most what the messages hold is another."""
    return len(before) == len(after) and all(
        old is new or _links(old) == _links(new) for old, new in zip(before, after, strict=True)
    )


def _links(view: MessageView) -> tuple[object, ...]:
    return (*place(view), view.role, view.parent, view.fork_of, view.attempt, is_request(view) and view.to)
