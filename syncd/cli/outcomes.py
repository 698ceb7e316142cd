"""Outcomes: what became of the runs and tool calls that messages tell of, to be said beside them.

Reads a session. Knows nothing of colours and screens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from syncd_client import RunView, Session
from syncd_client.history import heard

from syncd.core.messages import Json
from syncd.core.run_view import is_call_in
from syncd.core.transcript import MessageView

_DECIDED = {"approve": "approved", "deny": "denied"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of one message: whether it counts, which of its tool calls need no answer any more and why, and
    how runs ended that did not end well. `told`: of its parts that say that a run was told something, in their order,
    who said what; None for one that nobody said."""

    superseded: bool = False
    calls: tuple[tuple[str, str], ...] = ()
    ends: tuple[str, ...] = ()
    told: tuple[tuple[str, str] | None, ...] = ()


class Outcomes:
    """The outcomes of a session's messages.

    1. How a run ended stands below the last that it wrote; if it wrote nothing, below what it was asked.
    2. A call is its run's, a steer whose command it was: what else a message says of them is its author's word alone.
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
            if view.run in ended and self._session.output_of(view) and not self._session.superseded(view):
                last[view.run] = view.id
        for run in ended.values():
            if below := last.get(run.id, run.message or ""):  # Invariant 1.
                self._ends[below] = (*self._ends.get(below, ()), _end(run))

    def of(self, view: MessageView) -> Outcome:
        """Return what is known of a message."""
        tools = [part for part in view.parts if part.get("type") == "tool"]
        answered = tuple(
            (str(part.get("tool_call") or ""), said) for part in tools if (said := self._answer(view, part))
        )
        steers = [part for part in view.parts if part.get("type") == "steering-message"]
        told = tuple(heard(self._session, view, part) for part in steers)
        return Outcome(self._session.superseded(view), answered, self._ends.get(view.id, ()), told)

    def _answer(self, view: MessageView, part: Mapping[str, Json]) -> str:
        run = self._session.output_of(view)
        if run is None or not is_call_in(part, run.id):
            return "no agent at work asks this" if part.get("state") == "approval-requested" else ""
        decision = self._session.decision(str(part["tool_call"]))
        if decision is not None:
            verb = _DECIDED.get(str(decision.get("kind")), "answered")
            return f"{verb} by {str(decision.get('by', '')).removeprefix('user:')}"
        return "never answered" if run.ended else ""


def _end(run: RunView) -> str:
    if run.status == "cancelled":
        by = f" by {run.cancelled_by.removeprefix('user:')}" if run.cancelled_by is not None else ""
        return f"■ {run.agent} was stopped{by}"
    error = run.error or {}
    why = ": ".join(str(error[key]) for key in ("code", "message") if error.get(key))
    return f"✖ {run.agent} failed" + (f"  {why}" if why else "")
