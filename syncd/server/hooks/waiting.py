"""Waiting: notices in the making that are looked at again when they are due, and what is due first.

The rows in memory, found by what may end them. Knows nothing of why anything waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TypeVar

from syncd.core.codec import pack, unpack
from syncd.server.hooks.conditions import ANSWERED
from syncd.server.hooks.happened import Happened
from syncd.server.hooks.judge import Stage
from syncd.store.hook_rows import Wait

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a rule makes of an event for one person or target, later. `told` are those an escalation began with."""

    rule: str
    stage: Stage
    step: int
    subject: str
    told: tuple[str, ...]
    event: Happened
    due_ms: int
    row: int = 0

    @property
    def group(self) -> tuple[str, str, Stage]:
        """What it is told together with: same rule, same person, same stage."""
        return self.rule, self.subject, self.stage

    @property
    def persons(self) -> frozenset[str]:
        """Those whose reading may end it."""
        return frozenset(self.told) if self.stage is Stage.ESCALATE else frozenset([self.subject])

    def wait(self) -> Wait:
        """Return it as it is kept."""
        data = pack([self.rule, str(self.stage), self.step, self.subject, [*self.told], self.event.packed()])
        return Wait(self.event.session, self.event.incarnation, self.due_ms, data)

    @classmethod
    def of(cls, wait: Wait) -> Waiting:
        """Return what `wait` gave."""
        rule, stage, step, subject, told, event, *_ = unpack(wait.data)
        return cls(rule, Stage(stage), step, subject, tuple(told), Happened.of(event), wait.due_ms, wait.row)


class WaitingRoom:
    """All that waits. Its iterators end where something is added or removed meanwhile."""

    def __init__(self) -> None:
        self._rows: dict[int, Waiting] = {}
        self._by_session: dict[str, dict[int, Waiting]] = {}
        self._by_person: dict[tuple[str, str], dict[int, Waiting]] = {}
        self._answerable: dict[str, dict[int, Waiting]] = {}
        self._by_group: dict[tuple[str, str, Stage], dict[int, Waiting]] = {}
        self._due: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, waiting: Waiting, row: int) -> None:
        """Have something wait that was stored."""
        kept = replace(waiting, row=row)
        self._rows[row] = kept
        session = kept.event.session
        self._by_session.setdefault(session, {})[row] = kept
        for person in kept.persons:
            self._by_person.setdefault((session, person), {})[row] = kept
        if kept.event.type in ANSWERED:
            self._answerable.setdefault(session, {})[row] = kept
        self._by_group.setdefault(kept.group, {})[row] = kept
        heappush(self._due, (kept.due_ms, row))

    def remove(self, rows: Iterable[int]) -> None:
        """Forget what was removed from the store."""
        for row in rows:
            kept = self._rows.pop(row, None)
            if kept is not None:
                session = kept.event.session
                _discard(self._by_session, session, row)
                for person in kept.persons:
                    _discard(self._by_person, (session, person), row)
                if kept.event.type in ANSWERED:
                    _discard(self._answerable, session, row)
                _discard(self._by_group, kept.group, row)

    def of(self, session: str) -> Iterator[Waiting]:
        """Return what waits in a session."""
        return iter(self._by_session.get(session, {}).values())

    def of_person(self, session: str, person: str) -> Iterator[Waiting]:
        """Return what waits in a session for somebody to read it, or to be told to them."""
        return iter(self._by_person.get((session, person), {}).values())

    def answerable(self, session: str) -> Iterator[Waiting]:
        """Return what waits in a session and may be answered by another event."""
        return iter(self._answerable.get(session, {}).values())

    def due_ms(self) -> int | None:
        """Return when the first is due, None if nothing waits."""
        while self._due and self._due[0][1] not in self._rows:
            heappop(self._due)
        return self._due[0][0] if self._due else None

    def take_due(self, now_ms: int, limit: int) -> list[Waiting]:
        """Return what is due, oldest first. It stays until it is removed, but is not returned again."""
        taken: list[Waiting] = []
        while len(taken) < limit and (due_ms := self.due_ms()) is not None and due_ms <= now_ms:
            taken.append(self._rows[heappop(self._due)[1]])
        return taken

    def put_back(self, waiting: Iterable[Waiting]) -> None:
        """Have taken ones returned again: what came of them was not stored."""
        for kept in waiting:
            if kept.row in self._rows:
                heappush(self._due, (kept.due_ms, kept.row))

    def gathered(self, like: Waiting) -> Iterator[Waiting]:
        """Return what waits to be told together with one, itself included; oldest first."""
        return iter(self._by_group.get(like.group, {}).values())


def _discard(index: dict[K, dict[int, Waiting]], key: K, row: int) -> None:
    """Take a row out of an index, and what is left empty with it."""
    del index[key][row]
    if not index[key]:
        del index[key]
