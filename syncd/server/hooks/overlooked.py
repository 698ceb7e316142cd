"""Overlooked: notices that were not told because somebody was there, as long as it can turn out that nobody was.

A machine that dies says nothing: its link is found dead a heartbeat and a half later, and until then its person seems
to be at it. In memory: a server that starts again has no links to find dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from syncd.server.hooks.happened import Happened
from syncd.server.hooks.judge import Stage

_log = structlog.get_logger("syncd.hooks")

#: Of one session: a crowd in one pushes out nothing of another.
_EACH_MAX: Final = 5_000


@dataclass(slots=True, eq=False)
class Overlooked:
    """What a rule would have made of an event for one person or target at `judged_ms`.

    `here` are those who were there, in `session` or with an empty one in any.
    """

    rule: str
    stage: Stage
    step: int
    subject: str
    event: Happened
    here: set[str]
    session: str
    judged_ms: int

    @property
    def seen_ms(self) -> int:
        """Who was there at this time or later saw it: when it happened; of who was elsewhere, when it was judged."""
        return self.event.at_ms if self.session else self.judged_ms


class Lookout:
    """The newest of them.

    1. One comes back when the last of those who were there turns out not to have been: whoever else saw it saw it.
    2. What is answered or read does not come back.
    """

    def __init__(self, kept_ms: int) -> None:
        """`kept_ms`: after so long every dead link is found."""
        self._kept_ms = kept_ms
        self._sessions: dict[str, deque[Overlooked]] = {}
        # In which sessions there are notices that somebody's being anywhere is a reason for.
        self._elsewhere: dict[str, set[str]] = {}
        self._swept_ms = 0

    def __len__(self) -> int:
        return sum(map(len, self._sessions.values()))

    def add(self, notices: Iterable[Overlooked], now_ms: int) -> None:
        """Take notices that were not told."""
        full: dict[str, None] = {}
        for notice in notices:
            session = notice.event.session
            kept = self._sessions.setdefault(session, deque(maxlen=_EACH_MAX))
            if len(kept) == _EACH_MAX:
                full[session] = None
            kept.append(notice)
            if not notice.session:
                self._elsewhere.setdefault(notice.subject, set()).add(session)
        for session in full:
            _log.warning("hooks_overlooked_full", session=session, kept=_EACH_MAX)
        if not 0 <= now_ms - self._swept_ms < self._kept_ms:
            self._swept_ms = now_ms
            for session in [*self._sessions]:
                self._keep(session, lambda notice: notice.judged_ms >= now_ms - self._kept_ms)
            for subject, sessions in [*self._elsewhere.items()]:
                sessions &= self._sessions.keys()
                if not sessions:
                    del self._elsewhere[subject]

    def lost(self, session: str, subject: str, since_ms: int) -> list[Overlooked]:
        """Return what nobody saw, now that a person turns out to be gone from a session since then."""
        found = []
        for where in {session, *self._elsewhere.get(subject, ())}:
            for notice in self._sessions.get(where, ()):
                concerned = notice.session in ("", session) and subject in notice.here
                if concerned and notice.seen_ms >= since_ms:
                    notice.here.discard(subject)
                    if not notice.here:  # Invariant 1.
                        found.append(notice)
        for where in {notice.event.session for notice in found}:
            self._keep(where, lambda notice: bool(notice.here))
        return found

    def drop(self, session: str, holds: Callable[[Overlooked], bool]) -> None:
        """Forget those about a session for which something holds: they are answered."""
        if session in self._sessions:
            self._keep(session, lambda notice: not holds(notice))  # Invariant 2.

    def keep(self, session: str, incarnation: str) -> None:
        """Forget those about a session that was deleted, but for what is of the one that has its name by now."""
        self.drop(session, lambda notice: notice.event.incarnation != incarnation)

    def _keep(self, session: str, holds: Callable[[Overlooked], bool]) -> None:
        kept = deque((notice for notice in self._sessions[session] if holds(notice)), maxlen=_EACH_MAX)
        if kept:
            self._sessions[session] = kept
        else:
            del self._sessions[session]
