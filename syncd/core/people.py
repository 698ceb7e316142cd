"""Attendance: who attends one session, each person and agent once, over all devices and tabs. PROTOCOL 5.4.

Presence entries and time in, statuses out: server and clients reckon alike. Knows nothing of frames, sockets or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from syncd.core.ids import is_person
from syncd.core.messages import Json, PresenceEntry
from syncd.core.record import record
from syncd.core.timetable import Timetable


class Status(StrEnum):
    """How present somebody is: at it, looking on, connected without looking, or not there."""

    ACTIVE = "active"
    IDLE = "idle"
    AWAY = "away"
    OFFLINE = "offline"


#: What a presence state may say of its own activity, in the field `activity`.
ACTIVITIES: Final = ("active", "idle", "hidden")
#: Worst first.
_ORDER: Final = (Status.OFFLINE, Status.AWAY, Status.IDLE, Status.ACTIVE)
_RANK: Final = {status: rank for rank, status in enumerate(_ORDER)}
_IDLE: Final = _RANK[Status.IDLE]
_ACTIVE: Final = _RANK[Status.ACTIVE]
_AGENT: Final = "agent"
#: Devices of one subject that are remembered to have been looked at.
_LOOKED_MAX: Final = 8
_BY_ACTIVITY: Final = {"active": Status.ACTIVE, "idle": Status.IDLE}


@record
class Person:
    """A person or an agent on a session. `watching`: has it visible on some device now, no grace added.

    `devices` are those it is connected with; `runs` those an agent works on.
    """

    subject: str
    name: str
    kind: str
    status: str
    watching: bool
    devices: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@record
class Moved:
    """The status of a subject is another."""

    subject: str
    before: Status
    after: Status


@dataclass(slots=True)
class _Attendant:
    """One subject. `held` are ranks that it keeps until a time, though no peer of its has them any more."""

    name: str
    kind: str
    peers: dict[str, tuple[int, str]] = field(default_factory=dict)
    held: dict[int, float] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    # When it last looked away on a device, the latest last.
    looked: dict[str, float] = field(default_factory=dict)
    shown: int = 0


class Attendance:
    """Everybody on one session.

    1. A status rises at once, and falls from active to idle at once: who fell idle said so.
    2. It falls further only when nobody took it back within `grace_s`: a reload is no leave, a glance elsewhere not
       away.
    3. `watching` has no grace: it says what is visible now.
    4. A peer that says nothing of its activity is connected and no more; an agent is active while it works on a run.

    After `take`, `clear`, `works` and, at `due_at`, `tick`, those whose status is another are returned.
    """

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._attendants: dict[str, _Attendant] = {}
        self._subjects: dict[str, str] = {}
        self._watchers: frozenset[str] | None = None
        # When something that a subject holds ends.
        self._ends = Timetable()

    def __len__(self) -> int:
        return len(self._attendants)

    # What happens

    def take(self, entries: Iterable[PresenceEntry], now: float) -> list[Moved]:
        """Take entries that changed, those that left with the state None. `now` is monotonic, in seconds."""
        touched: dict[str, None] = {}
        for entry in entries:
            if entry.state is None:
                subject = self._subjects.pop(entry.peer, None)
                if subject is not None:
                    self._set(subject, self._attendants[subject], entry.peer, None, now)
                    touched[subject] = None
                continue
            found = self._attendants.get(entry.subject)
            if found is None:
                found = self._attendants[entry.subject] = _Attendant(entry.name, entry.kind)
            found.name, found.kind = entry.name, entry.kind
            self._subjects[entry.peer] = entry.subject
            rank = _RANK[activity_of(entry.state)]
            if entry.kind == _AGENT:  # Invariant 4.
                rank = max(rank, _IDLE)
            self._set(entry.subject, found, entry.peer, (rank, entry.device), now)
            touched[entry.subject] = None
        return self._show(touched, now)

    def clear(self, now: float) -> list[Moved]:
        """Take notice that all peers are gone at once; whoever comes back within the grace never left."""
        gone = [PresenceEntry(peer, subject, "", "", "", None) for peer, subject in self._subjects.items()]
        return self.take(gone, now)

    def works(self, agent: str, runs: Iterable[str], now: float) -> list[Moved]:
        """Take which runs an agent holds here now."""
        found, held = self._attendants.get(agent), set(runs)
        if found is None:
            if not held:
                return []
            found = self._attendants[agent] = _Attendant(agent.partition(":")[2], _AGENT)
        found.runs = held
        return self._show((agent,), now)

    def tick(self, now: float) -> list[Moved]:
        """Let time pass."""
        return self._show(self._ends.take(now), now)

    def due_at(self) -> float | None:
        """Return when to call `tick`, in monotonic seconds; None for never."""
        return self._ends.next()

    def _set(self, subject: str, found: _Attendant, peer: str, to: tuple[int, str] | None, now: float) -> None:
        before, device = found.peers.pop(peer, (0, ""))
        if before >= _IDLE:
            found.looked.pop(device, None)
            found.looked[device] = now
            if len(found.looked) > _LOOKED_MAX:
                del found.looked[next(iter(found.looked))]
        self._watchers = None
        if to is not None:
            found.peers[peer] = to
        rank = to[0] if to is not None else 0
        if rank < before and rank < _IDLE:  # Invariants 1 and 2.
            found.held[before] = now + self._grace_s

    def _show(self, subjects: Iterable[str], now: float) -> list[Moved]:
        moved = []
        for subject in subjects:
            found = self._attendants[subject]
            found.held = {rank: until for rank, until in found.held.items() if until > now}
            rank = max([self._rank(found), *found.held])
            # What is held below what is there says nothing, now or later: its time need not be waited for.
            found.held = {held: until for held, until in found.held.items() if held > self._rank(found)}
            self._ends.set(subject, min(found.held.values(), default=None))
            if rank != found.shown:
                moved.append(Moved(subject, _ORDER[found.shown], _ORDER[rank]))
                found.shown = rank
            if not found.peers and not found.held and not found.runs:
                del self._attendants[subject]
        return moved

    def _rank(self, found: _Attendant) -> int:
        rank = max((rank for rank, _ in found.peers.values()), default=0)
        return _ACTIVE if found.runs and found.peers else rank  # Invariant 4.

    # Reading

    def status(self, subject: str) -> Status:
        """Return how present a subject is."""
        found = self._attendants.get(subject)
        return _ORDER[found.shown] if found is not None else Status.OFFLINE

    def watching(self, subject: str) -> bool:
        """Whether a subject has the session open and visible on some device."""
        found = self._attendants.get(subject)
        return found is not None and self._watches(found)

    def watchers(self) -> frozenset[str]:
        """Return the persons who have the session open and visible. The same object until that changes."""
        if self._watchers is None:
            there = self._attendants.items()
            self._watchers = frozenset(one for one, found in there if is_person(one) and self._watches(found))
        return self._watchers

    def looked_at(self, subject: str, device: str) -> float:
        """Return when a subject last had the session before their eyes on another device than this; -inf for never.

        In monotonic seconds, infinite while they have.
        """
        found = self._attendants.get(subject)
        if found is None or found.kind == _AGENT:
            return -math.inf
        if any(rank >= _IDLE for rank, where in found.peers.values() if where != device):
            return math.inf
        return max((at for where, at in found.looked.items() if where != device), default=-math.inf)

    def connected(self, subject: str) -> bool:
        """Whether a subject has a peer here now, no grace added."""
        found = self._attendants.get(subject)
        return found is not None and bool(found.peers)

    def people(self) -> list[Person]:
        """Return everybody who is not offline, the most present first."""
        there = [(found.shown, subject, found) for subject, found in self._attendants.items() if found.shown]
        return [
            Person(
                subject=subject,
                name=found.name,
                kind=found.kind,
                status=str(_ORDER[shown]),
                watching=self._watches(found),
                devices=tuple(sorted({device for _, device in found.peers.values()})),
                runs=tuple(sorted(found.runs)),
            )
            for shown, subject, found in sorted(there, key=lambda row: (-row[0], row[1]))
        ]

    def statuses(self) -> Mapping[str, str]:
        """Return the status of everybody who is not offline."""
        return {subject: str(_ORDER[found.shown]) for subject, found in self._attendants.items() if found.shown}

    def _watches(self, found: _Attendant) -> bool:
        return found.kind != _AGENT and any(rank >= _IDLE for rank, _ in found.peers.values())  # Invariant 3.


def activity_of(state: Json) -> Status:
    """Return what a peer's presence state says of its activity; of several tabs behind it the most present counts."""
    if not isinstance(state, dict):
        return Status.AWAY
    tabs = state.get("tabs")
    says = [*tabs.values()] if isinstance(tabs, dict) and tabs else [state]
    found = [tab.get("activity") for tab in says if isinstance(tab, dict)]
    known = [_BY_ACTIVITY[activity] for activity in found if isinstance(activity, str) and activity in _BY_ACTIVITY]
    return max(known, key=_RANK.__getitem__, default=Status.AWAY)
