"""Followers: a session's changes as lines on standard output, for people or for programs.

Knows nothing of the command line or of where changes come from.
"""

from __future__ import annotations

import json
import sys
from typing import Protocol

from rich.console import Console
from rich.text import Text
from syncd_client import (
    Assigned,
    CaughtUp,
    Change,
    CommandChanged,
    EditRefused,
    MessageChanged,
    PresenceChanged,
    ReadMoved,
    RunChanged,
    RunView,
    Session,
    StateChanged,
    StatusChanged,
)
from syncd_client.history import heard

from syncd.cli import paint
from syncd.cli.outcomes import Outcome
from syncd.cli.words import clean, now_ms
from syncd.core.branches import is_request
from syncd.core.messages import Json
from syncd.core.transcript import MessageView


class Follower(Protocol):
    """Prints what happens in a session. `begin` once, then `take` every change."""

    def begin(self, last: int) -> None:
        """Print the newest `last` messages that are here."""
        ...

    def take(self, change: Change) -> None:
        """Print a change."""
        ...


class _History:
    """Which messages are to be shown as history, and which as news.

    1. On a device without a copy nothing is news before the first catch-up: then come the newest `last` and the runs
       that are not over.
    """

    def __init__(self, session: Session, last: int) -> None:
        self._session = session
        self._last = last
        self.fresh = not session.messages()

    def split(self) -> tuple[list[MessageView], list[MessageView]]:
        """Return the messages that are too old to be shown, and those to show."""
        views = self._session.messages()
        at = max(0, len(views) - self._last)
        return views[:at], views[at:]

    def is_old(self, change: Change) -> bool:
        """Whether a change tells what was there before this device had a copy."""
        told = MessageChanged | CommandChanged | RunChanged | Assigned | ReadMoved | StateChanged
        return self.fresh and isinstance(change, told)  # Invariant 1.


class JsonFollower:
    """One JSON object a line, each with a `type`.

    A message comes whole when it is new, when it got its receipt and when it is finished. Whatever it grows by comes
    as `delta` too, so that the first and the deltas make up the last. Control characters are always escaped.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._texts: dict[str, str] = {}
        self._places: dict[str, tuple[int | None, bool]] = {}
        self._runs: dict[str, dict[str, Json]] = {}

    def begin(self, last: int) -> None:
        """See `Follower.begin`."""
        self._history = _History(self._session, last)
        self._show_history()

    def _show_history(self) -> None:
        older, newest = self._history.split()
        for view in older:
            self._remember(view)
        for view in newest:
            self._message(view, own=False)
        for run in _open_runs(self._session):
            self._run(run, own=False)

    def take(self, change: Change) -> None:
        """See `Follower.take`."""
        if self._history.is_old(change):
            return
        match change:
            case CaughtUp(count, live):
                if live and self._history.fresh:
                    self._history.fresh = False
                    self._show_history()
                self._print("caught_up", count=count, live=live)
            case MessageChanged(view, own):
                self._message(view, own=own)
            case CommandChanged(command):
                self._print("command", **command)
            case RunChanged(run, own):
                self._run(run, own=own)
            case Assigned(to, by, note):
                self._print("assigned", to=to, by=by, note=note)
            case ReadMoved(subject, seq):
                self._print("read", subject=subject, seq=seq)
            case StateChanged(name, key, own):
                self._print("state", name=name, key=key, value=_value(self._session, name, key), own=own)
            case PresenceChanged(entry):
                who = {"peer": entry.peer, "subject": entry.subject, "name": entry.name, "kind": entry.kind}
                self._print("presence", **who, device=entry.device, state=entry.state)
            case StatusChanged(status):
                self._print("status", link=str(status.link), code=status.code, reason=status.reason)
            case EditRefused(code, reason):
                self._print("refused", code=code, reason=reason)

    def _run(self, run: RunView, *, own: bool) -> None:
        if self._runs.get(run.id) != (said := run.json()):
            self._runs[run.id] = said
            self._print("run", **said, own=own)

    def _message(self, view: MessageView, *, own: bool) -> None:
        before, place = self._texts.get(view.id), self._places.get(view.id)
        text = view.text
        self._remember(view)
        grew = before is not None and text.startswith(before)
        if grew and len(text) > len(before or ""):
            self._print("delta", message=view.id, text=text[len(before or "") :])
        if not grew or place != (view.seq, view.streaming):
            superseded = {"superseded": True} if self._session.superseded(view) else {}
            self._print("message", **view.json(), **superseded, text=text, streaming=view.streaming, own=own)

    def _remember(self, view: MessageView) -> None:
        self._texts[view.id] = view.text
        self._places[view.id] = (view.seq, view.streaming)

    def _print(self, type: str, **fields: Json) -> None:
        sys.stdout.write(json.dumps({"type": type, **fields}) + "\n")
        sys.stdout.flush()


class TextFollower:
    """Lines for people. A streamed answer grows on its line; if something comes in between it goes on below.

    1. At most one message is open, that is, has the cursor at its end.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._texts: dict[str, str] = {}
        self._parts: dict[tuple[str, int], Json] = {}
        self._waiting: set[str] = set()
        self._runs: dict[str, tuple[str, int, str | None]] = {}
        self._open = ""

    def begin(self, last: int) -> None:
        """See `Follower.begin`."""
        self._history = _History(self._session, last)
        self._show_history()

    def _show_history(self) -> None:
        older, newest = self._history.split()
        for view in older:
            self._texts[view.id] = view.text
        for view in newest:
            self._message(view)
        for run in _open_runs(self._session):
            self._run(run)

    def take(self, change: Change) -> None:
        """See `Follower.take`."""
        if self._history.is_old(change):
            return
        match change:
            case CaughtUp(count, live):
                if live and self._history.fresh:
                    self._history.fresh = False
                    self._show_history()
                elif live and count:
                    self._note(f"{count} new while away")
            case MessageChanged(view, _):
                self._message(view)
            case CommandChanged(command):
                receipt = command.get("receipt") or {}
                what = next(
                    (f"{n} {command[n]}" for n in ("run", "message", "tool_call", "session") if n in command), ""
                )
                by = f" by {receipt.get('by')}: {receipt.get('outcome', '')}" if receipt else ", not sent yet"
                self._note(f"{command.get('kind')} {what}{by}")
            case RunChanged(run, _):
                self._run(run)
            case Assigned(to, by, note):
                self._note(f"{paint.short(by)} handed over to {paint.short(to)}{': ' if note else ''}{note}")
            case ReadMoved(subject, seq):
                self._note(f"{paint.short(subject)} has read up to #{seq}")
            case StateChanged(name, key, _):
                value = json.dumps(_value(self._session, name, key), ensure_ascii=False)
                self._note(f"state  {name}{'.' + key if key else ''} = {value}")
            case PresenceChanged(entry):
                doing = "left" if entry.state is None else json.dumps(entry.state, ensure_ascii=False)
                self._note(f"{paint.short(entry.subject)}  {doing}")
            case StatusChanged(status):
                self._line(Text(": ").join(part for part in (paint.badge(status), paint.why(status)) if part))
            case EditRefused(code, reason):
                self._note(f"the server refused an edit ({code}): {reason}")

    def _run(self, run: RunView) -> None:
        """Print how a run stands, if that is another than it was."""
        stands = (run.status, run.attempt, run.cancelled_by)
        if self._runs.get(run.id) == stands:
            return
        self._runs[run.id] = stands
        self._line(Text("· ", style="dim").append_text(paint.run_line(run, self._session, now_ms())))

    def _message(self, view: MessageView) -> None:
        before, text = self._texts.get(view.id), view.text
        if is_request(view) or self._session.superseded(view):
            if before is None:
                self._texts[view.id] = text
                self._end_line()
                self._out.print(paint.message(view, Outcome(superseded=True)))
            return
        if before is None:
            self._begin(view)
        if view.seq is None:
            self._waiting.add(view.id)
        elif view.id in self._waiting:
            self._waiting.discard(view.id)
            if before is not None:
                self._note(f"#{view.seq} is on the server")
        known = before or ""
        if not text.startswith(known):
            self._begin(view)
            known = ""
        if len(text) > len(known):
            if self._open != view.id:
                self._begin(view)
            self._out.print(Text(clean(text[len(known) :]).replace("\n", "\n  ")), end="")
        self._texts[view.id] = text
        self._other_parts(view)
        if not view.streaming and self._open == view.id:
            self._end_line()
        self._out.file.flush()

    def _other_parts(self, view: MessageView) -> None:
        for number, part in enumerate(view.parts):
            place, state = (view.id, number), part.get("state", "")
            if part.get("type") in ("text", "reasoning", "step-start") or self._parts.get(place) == state:
                continue
            self._parts[place] = state
            if part.get("type") == "steering-message":
                self._note(paint.heard(part, heard(self._session, view, part)))
                continue
            what = part.get("name") or part.get("url") or ""
            self._note(f"[{part.get('type')}] {what} {state}")

    def _begin(self, view: MessageView) -> None:
        self._end_line()
        self._out.print(paint.header(view).append("\n  "), end="")
        self._open = view.id  # Invariant 1.

    def _note(self, text: str) -> None:
        self._line(Text("· " + clean(text, lines=False), style="dim"))

    def _line(self, line: Text) -> None:
        self._end_line()
        self._out.print(line)
        self._out.file.flush()

    def _end_line(self) -> None:
        if self._open:
            self._open = ""
            self._out.print()


def _open_runs(session: Session) -> list[RunView]:
    return [run for run in session.runs() if not run.ended]


def _value(session: Session, name: str, key: str) -> Json:
    root = session.state.json().get(name)
    return root.get(key) if key and isinstance(root, dict) else root
