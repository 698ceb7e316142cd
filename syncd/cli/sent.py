"""Sent: the commands that were given in this chat, and what became of each.

Reads a session's changes and says what is new in words. Knows nothing of the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from syncd_client import Change, Command, CommandChanged, RunChanged, RunView, Session

from syncd.cli import paint
from syncd.cli.words import clean

_MEANING = {
    "accepted": ("accepted", "green"),
    "duplicate": ("was asked for before", "dim"),
    "late": ("too late", "yellow"),
    "denied": ("not allowed, or there is no such thing", "red"),
    "expired": ("expired on its way", "yellow"),
}


@dataclass(frozen=True, slots=True)
class _Given:
    command: Command
    what: str


class Sent:
    """What was asked here.

    1. Each outcome is said once; of a steer that was accepted, also once whether the agent heard it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._undecided: dict[str, _Given] = {}
        self._unheard: dict[str, _Given] = {}

    def add(self, command: Command, what: str) -> Text:
        """Keep a command that was just given; return what to say of it now."""
        self._undecided[command.id] = _Given(command, what)
        if (decided := self._decided(command.id)) is not None:
            return decided
        waits = "" if self._session.status.live else "; it goes out when the link is back"
        return Text(clean(f"{what}: saved{waits}", lines=False), style="dim")

    def news(self, change: Change) -> Text | None:
        """Return what a change says of them; None if nothing."""
        match change:
            case CommandChanged(command):
                return self._decided(str(command["id"]))
            case RunChanged(run, _):
                return self._heard(run)
        return None

    def _decided(self, id: str) -> Text | None:
        given = self._undecided.get(id)
        receipt = given.command.receipt if given is not None else None
        if given is None or receipt is None:
            return None
        del self._undecided[id]
        outcome = str(receipt.get("outcome") or "accepted")
        if outcome == "accepted" and given.command.kind == "steer":
            self._unheard[id] = given
        said, style = _MEANING.get(outcome, (outcome, "yellow"))
        line = Text(clean(f"{given.what}: ", lines=False)).append(clean(said, lines=False), style=style)
        return line.append(self._why(given.command, outcome))

    def _why(self, command: Command, outcome: str) -> str:
        if outcome not in ("late", "duplicate"):
            return ""
        if (call := command.target.get("tool_call")) is not None:
            decision = self._session.decision(call)
            if decision is not None:
                verb = {"approve": "approved", "deny": "denied"}.get(str(decision.get("kind")), "answered")
                return f", {paint.short(str(decision.get('by', '')))} {verb} it"
        of, message = command.target.get("run"), command.target.get("message")
        runs = [run for run in self._session.runs() if run.id == of or (message and run.message == message)]
        ended = sorted({run.status for run in runs if run.ended})
        return ", it is " + " and ".join(ended) if ended else ""

    def _heard(self, run: RunView) -> Text | None:
        for id, given in list(self._unheard.items()):
            target = given.command.target
            if run.id != target.get("run") and (run.message is None or run.message != target.get("message")):
                continue
            if id in run.consumed:
                del self._unheard[id]
                return Text(clean(f"{given.what}: heard", lines=False), style="green")
            if run.ended:
                del self._unheard[id]
                return Text(clean(f"{given.what}: {run.status} without hearing it", lines=False), style="yellow")
        return None
