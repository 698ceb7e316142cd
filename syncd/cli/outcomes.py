"""Outcomes: what became of the runs and tool calls that messages tell of, to be said beside them.

Reads a session. Knows nothing of colours and screens.
"""

from __future__ import annotations

from dataclasses import dataclass

from syncd_client import RunView, Session

from syncd.core.transcript import MessageView

_DECIDED = {"approve": "approved", "deny": "denied"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of one message: whether it counts, which of its tool calls need no answer any more and why, and
    how runs ended that did not end well."""

    superseded: bool = False
    calls: tuple[tuple[str, str], ...] = ()
    ends: tuple[str, ...] = ()


class Outcomes:
    """The outcomes of a session's messages.

    1. How a run ended stands below the last that it wrote; if it wrote nothing, below what it was asked.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._ends: dict[str, tuple[str, ...]] = {}
        self.refresh()

    def refresh(self) -> None:
        """See how runs stand now."""
        self._ends = {}
        ended = {run.id: run for run in self._session.runs() if run.status in ("failed", "cancelled")}
        if not ended:
            return
        last: dict[str, str] = {}
        for view in self._session.messages():
            if view.run in ended and not self._session.superseded(view):
                last[view.run] = view.id
        for run in ended.values():
            if below := last.get(run.id, run.message or ""):  # Invariant 1.
                self._ends[below] = (*self._ends.get(below, ()), _end(run))

    def of(self, view: MessageView) -> Outcome:
        """Return what is known of a message."""
        calls = [str(part.get("tool_call") or "") for part in view.parts if part.get("type") == "tool"]
        answered = tuple((call, said) for call in calls if (said := self._answer(view, call)))
        return Outcome(self._session.superseded(view), answered, self._ends.get(view.id, ()))

    def _answer(self, view: MessageView, call: str) -> str:
        decision = self._session.decision(call)
        if decision is not None:
            verb = _DECIDED.get(str(decision.get("kind")), "answered")
            return f"{verb} by {str(decision.get('by', '')).removeprefix('user:')}"
        run = self._session.run(view.run) if view.run else None
        return "never answered" if run is not None and run.ended else ""


def _end(run: RunView) -> str:
    if run.status == "cancelled":
        by = f" by {run.cancelled_by.removeprefix('user:')}" if run.cancelled_by is not None else ""
        return f"■ {run.agent} was stopped{by}"
    error = run.error or {}
    why = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    return f"✖ {run.agent} failed" + (f"  {why}" if why else "")
