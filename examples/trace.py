"""Recorded editing: who typed what, what they had on their screens when they did, and what came of it.

Reads the traces of github.com/josephg/editing-traces, sequential ones (one person) and concurrent ones of two people.
Holds `merged_text`, a model of the merge in plain Python; knows nothing of syncd or of pycrdt.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

PEOPLE_MAX = 2


class TraceError(Exception):
    """The file is no trace of this kind."""


class Patch(NamedTuple):
    """`deleted` code points go at `position`, and `inserted` takes their place."""

    position: int
    deleted: int
    inserted: str


@dataclass(frozen=True, slots=True)
class Txn:
    """What one person typed at one moment. `sees`: how many transactions of the other this person had by then."""

    person: int
    sees: int
    patches: tuple[Patch, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Transactions in an order in which each comes after all that its author had, and the text at the end."""

    txns: Sequence[Txn]
    end: str
    people: int

    def first(self, count: int) -> Trace:
        """Return the first `count` transactions as a trace, its end computed by the model."""
        txns = self.txns[:count]
        return replace(self, txns=txns, end=merged_text(txns))


def load(path: Path) -> Trace:
    """Read a trace.

    Raises:
        TraceError: it is none, more than two people typed, or somebody did not have what they typed before.
    """
    try:
        with gzip.open(path, "rb") as file:
            raw = json.load(file)
        people = int(raw.get("numAgents", 1))
        if people > PEOPLE_MAX:
            raise TraceError(f"{people} people typed {path.name}; at most {PEOPLE_MAX} can be replayed")
        start = [Txn(0, 0, (Patch(0, 0, raw["startContent"]),))] if raw.get("startContent") else []
        concurrent = "parents" in raw["txns"][0]
        txns = _concurrent(raw["txns"]) if concurrent else (Txn(0, 0, _patches(row)) for row in raw["txns"])
        return Trace([*start, *txns], str(raw["endContent"]), people)
    except KeyError as error:
        raise TraceError(f"{path.name} is no trace: the field {error} is missing") from error
    except (OSError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise TraceError(f"{path} is no editing trace: {type(error).__name__}: {error}") from error


def _concurrent(rows: Sequence[dict[str, Any]]) -> Iterable[Txn]:
    known: list[tuple[int, int]] = []
    typed = [0, 0]
    for number, row in enumerate(rows):
        parents = [known[parent] for parent in row["parents"]]
        had = [max((parent[person] for parent in parents), default=0) for person in (0, 1)]
        person = int(row["agent"])
        if had[person] != typed[person]:
            raise TraceError(f"transaction {number} does not follow what person {person} typed before")
        yield Txn(person, had[1 - person], _patches(row))
        typed[person] += 1
        had[person] += 1
        known.append((had[0], had[1]))


def _patches(row: dict[str, Any]) -> tuple[Patch, ...]:
    return tuple(Patch(int(position), int(deleted), str(inserted)) for position, deleted, inserted in row["patches"])


# The model: every character that ever was, in order, in one list for each person's copy.


class _Origin(NamedTuple):
    """Between which characters one was typed (0: none), and by whom."""

    person: int
    left: int
    right: int


def merged_text(txns: Sequence[Txn]) -> str:
    """Return the text after all of `txns`, each typed into exactly what its author had, and everything merged.

    Of what two people insert at one place, person 0's comes first.
    """
    origins: dict[int, _Origin] = {}
    letters: dict[int, str] = {}
    copies = [_Copy(origins), _Copy(origins)]
    done: list[list[list[int]]] = [[], []]
    taken = [0, 0]
    for txn in txns:
        other = 1 - txn.person
        copy = copies[txn.person]
        for changes in done[other][taken[txn.person] : txn.sees]:
            copy.take(changes)
        taken[txn.person] = max(taken[txn.person], txn.sees)
        changes = []
        for patch in txn.patches:
            changes += copy.delete(patch.position, patch.deleted)
            for offset, letter in enumerate(patch.inserted):
                id = len(letters) + 1
                letters[id] = letter
                copy.type(patch.position + offset, id, txn.person)
                changes.append(id)
        done[txn.person].append(changes)
    for changes in done[1][taken[0] :]:
        copies[0].take(changes)
    return "".join(letters[id] for id, shown in zip(copies[0].ids, copies[0].shown, strict=True) if shown)


class _Copy:
    """One person's copy: the ids of all characters, and which of them are shown."""

    def __init__(self, origins: dict[int, _Origin]) -> None:
        self.ids: list[int] = []
        self.shown = bytearray()
        self._origins = origins

    def type(self, position: int, id: int, person: int) -> None:
        """Insert behind the character in front of `position`, deleted ones that follow it left to the right."""
        at = self._behind(position)
        left = self.ids[at - 1] if at else 0
        right = self.ids[at] if at < len(self.ids) else 0
        self._origins[id] = _Origin(person, left, right)
        self._put(at, id)

    def delete(self, position: int, count: int) -> list[int]:
        """Delete what is shown; return what that is, as changes for the other copy."""
        gone = []
        for _ in range(count):
            at = self._behind(position + 1) - 1
            self.shown[at] = 0
            gone.append(-self.ids[at])
        return gone

    def take(self, changes: Iterable[int]) -> None:
        """Take what the other typed: a character's id, or a deleted one's below zero."""
        for change in changes:
            if change < 0:
                self.shown[self.ids.index(-change)] = 0
            else:
                self._put(self._place(change), change)

    def _put(self, at: int, id: int) -> None:
        self.ids.insert(at, id)
        self.shown.insert(at, 1)

    def _behind(self, count: int) -> int:
        """Return the place behind the first `count` shown characters."""
        low, high = count, len(self.ids)
        if self.shown.count(1) < count:
            raise TraceError("a position is outside of the text")
        while low < high:
            middle = (low + high) // 2
            if self.shown.count(1, 0, middle) < count:
                low = middle + 1
            else:
                high = middle
        return low

    def _place(self, id: int) -> int:
        """Return where a character of the other belongs: the YATA rule, as in Yjs' `Item.integrate`."""
        person, left, right = self._origins[id]
        at = self.ids.index(left) + 1 if left else 0
        end = self.ids.index(right, at) if right else len(self.ids)
        seen: set[int] = set()
        conflicting: set[int] = set()
        for place in range(at, end):
            here = self.ids[place]
            theirs = self._origins[here]
            seen.add(here)
            conflicting.add(here)
            if theirs.left == left:
                if theirs.person < person:
                    at = place + 1
                    conflicting.clear()
                elif theirs.right == right:
                    break
            elif theirs.left in seen:
                if theirs.left not in conflicting:
                    at = place + 1
                    conflicting.clear()
            else:
                break
        return at
