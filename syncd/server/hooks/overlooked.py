"""Overlooked: notices that were not told because somebody was there, as long as it can turn out that nobody was.

A machine that dies says nothing: its link is found dead a heartbeat and a half later, and until then its person seems
to be at it. In memory: a server that starts again has no links to find dead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from syncd.server.hooks.happened import Happened
from syncd.server.hooks.judge import Stage

_MAX: Final = 10_000


@dataclass(slots=True)
class Overlooked:
    """What a rule would have made of an event for one person or target.

    `here` are those who were there, in `session` or with an empty one in any.
    """

    rule: str
    stage: Stage
    step: int
    subject: str
    event: Happened
    here: set[str]
    session: str


class Lookout:
    """The newest of them.

    1. One comes back when the last of those who were there turns out not to have been: whoever else saw it saw it.
    """

    def __init__(self, kept_ms: int) -> None:
        """`kept_ms`: after so long every dead link is found."""
        self._kept_ms = kept_ms
        self._notices: deque[Overlooked] = deque(maxlen=_MAX)

    def __len__(self) -> int:
        return len(self._notices)

    def add(self, notices: Iterable[Overlooked], now_ms: int) -> None:
        """Take notices that were not told."""
        self._notices.extend(notices)
        while self._notices and self._notices[0].event.at_ms < now_ms - self._kept_ms:
            self._notices.popleft()

    def lost(self, session: str, subject: str, since_ms: int) -> list[Overlooked]:
        """Return what nobody saw, now that a person turns out to be gone from a session since then."""
        concerned = [one for one in self._notices if subject in one.here and one.session in ("", session)]
        for notice in concerned:
            if notice.event.at_ms >= since_ms:
                notice.here.discard(subject)
        self._notices = deque((one for one in self._notices if one.here), maxlen=_MAX)
        return [notice for notice in concerned if not notice.here]  # Invariant 1.

    def forget(self, session: str) -> None:
        """Forget a session that was deleted."""
        self._notices = deque((one for one in self._notices if one.event.session != session), maxlen=_MAX)
