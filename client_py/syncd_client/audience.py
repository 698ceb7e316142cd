"""Audience: who is on a session now, each person and agent once, and whether anybody looks.

Reckoned here from the presence that the server stamps, by the same rules as there. Knows nothing of links or stores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from syncd.core.errors import LocalProtocolError
from syncd.core.messages import PresenceEntry
from syncd.core.people import ACTIVITIES, Attendance, Person
from syncd.core.run_view import RunView

_LOOKING = ("active", "idle")


class AudienceHost(Protocol):
    """What an audience needs of its session."""

    @property
    def subject(self) -> str:
        """Who this device's token names."""
        ...

    def runs(self) -> list[RunView]:
        """Return the session's runs."""
        ...


class Audience:
    """Everybody on a session.

    1. Who is gone for less than `presence_grace_s`, or whose link is, is still here: a reload is no leave, and losing
       one's own link does not make everybody leave.
    """

    def __init__(self, host: AudienceHost, *, grace_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._host = host
        self._monotonic = monotonic
        self._here = Attendance(grace_s=grace_s)
        self._moved = asyncio.Event()

    # What its users ask

    def everyone(self) -> list[Person]:
        """Return everybody who is here, this subject too, the most present first."""
        self.tick(self._monotonic())
        working: dict[str, list[str]] = {}
        for run in self._host.runs():
            if run.lease == "live":
                working.setdefault(run.agent, []).append(run.id)
        return [
            replace(person, runs=tuple(working[person.subject]), status="active")
            if person.kind == "agent" and person.subject in working
            else person
            for person in self._here.people()
        ]

    def who(self) -> list[Person]:
        """Return everybody else who is here: people and agents."""
        return [person for person in self.everyone() if person.subject != self._host.subject]

    @property
    def watched(self) -> bool:
        """Whether a person has the session visible, on whichever device. A blip of a link is not noticed."""
        return any(person.kind != "agent" and person.status in _LOOKING for person in self.who())

    async def changed(self) -> list[Person]:
        """Return who is here as soon as somebody came, left, or has another status than now."""
        before = self._statuses()
        while self._statuses() == before:
            self._moved.clear()
            due_at = self._here.due_at()
            try:
                async with asyncio.timeout(None if due_at is None else max(0.0, due_at - self._monotonic())):
                    await self._moved.wait()
            except TimeoutError:
                pass  # Time alone changes it: the grace of somebody ends.
        return self.who()

    def _statuses(self) -> list[tuple[str, str]]:
        return [(person.subject, person.status) for person in self.who()]

    # What happens

    def take(self, entries: Sequence[PresenceEntry]) -> None:
        """Take presence entries that changed, those that left with the state None."""
        self._here.take(entries, self._monotonic())
        self._moved.set()  # Also where nothing is told yet: when it will be is another by now.

    def tick(self, now: float) -> None:
        """Let time pass."""
        if self._here.tick(now):
            self._moved.set()


def check_activity(activity: str) -> str:
    """Return an activity that there is.

    Raises:
        LocalProtocolError: it is none.
    """
    if activity not in ACTIVITIES:
        raise LocalProtocolError(f"an activity is one of {', '.join(ACTIVITIES)}, not {activity!r}")
    return activity
