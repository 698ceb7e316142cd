"""Shelf: sessions that a worker closed to make room, although runs of its wait there for decisions.

Reads sessions and writes denials behind a deadline. Knows nothing of handlers or of links.
"""

from __future__ import annotations

from collections.abc import Iterator

from syncd_client.copy import now_ms
from syncd_client.session import Session
from syncd_client.tool import NO_ANSWER

_WAITING = ("approval-requested", "input-available")


class Shelf:
    """The shelved sessions of one agent's worker, by when to look at them again.

    1. A deadline is kept also on the shelf: behind it the agent denies the call, and the run is offered again.
    """

    def __init__(self, agent: str) -> None:
        self._agent = agent
        self._looks_ms: dict[str, int] = {}

    def put(self, session: Session) -> None:
        """Note until when a session can be left closed. A decision has its run offered again in any case."""
        if deadlines := [deadline for _, deadline in self._calls(session)]:
            self.look(session.id, min(deadlines))

    def look(self, session: str, at_ms: int) -> None:
        """Have a session come up at this time (Unix ms)."""
        self._looks_ms[session] = at_ms

    def take_due(self) -> list[str]:
        """Return the sessions that it is time to look at, and forget them: `deny` in each."""
        now = now_ms()
        due = [session for session, at_ms in self._looks_ms.items() if at_ms <= now]
        for session in due:
            del self._looks_ms[session]
        return due

    async def deny(self, session: Session) -> None:
        """Deny the calls whose deadline is past, as `ToolCall` does where the run is held; note the next deadline."""
        for call, deadline in list(self._calls(session)):
            if deadline <= now_ms():
                await session.deny(call, NO_ANSWER)  # Invariant 1.
            else:
                self.look(session.id, min(deadline, self._looks_ms.get(session.id, deadline)))

    def _calls(self, session: Session) -> Iterator[tuple[str, int]]:
        """Yield the calls that wait for a decision with a deadline, each with that (Unix ms)."""
        for message in session.messages():
            run = session.run(message.run) if message.run is not None else None
            if run is None or run.agent != self._agent or run.ended or session.superseded(message):
                continue
            for part in message.parts:
                call, deadline = part.get("tool_call"), part.get("deadline_at")
                waits = part.get("type") == "tool" and part.get("state") in _WAITING
                if waits and isinstance(call, str) and isinstance(deadline, int) and session.decision(call) is None:
                    yield call, deadline
