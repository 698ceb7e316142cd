"""Paint: messages, statuses and presence as styled text for a terminal.

Everything that others wrote passes through `words.clean` here. Knows nothing of where it is shown.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping

from rich.console import Console, Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text
from syncd_client import Link, RunView, Session, Status

from syncd.cli.outcomes import Outcome
from syncd.cli.trouble import Trouble
from syncd.cli.words import clean, clock, lasted, plural
from syncd.core.branches import is_request
from syncd.core.errors import CloseCode
from syncd.core.messages import Json, PresenceEntry
from syncd.core.run_view import is_call_in
from syncd.core.transcript import MessageView

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_red", "bright_cyan", "bright_magenta")
_BADGES = {
    Link.LIVE: ("●", "green"),
    Link.RECONNECTING: ("◐", "yellow"),
    Link.OFFLINE: ("○", "yellow"),
    Link.REFUSED: ("✖", "bold red"),
}
#: What a run does, for people, and its colour.
_RUNS = {
    "queued": ("waits for a worker", "yellow"),
    "running": ("is at work", "green"),
    "suspended": ("waits for you: /approve or /deny", "bold yellow"),
    "interrupted": ("lost its worker and waits for it to come back", "bold red"),
    "completed": ("done", "dim"),
    "failed": ("failed", "red"),
    "cancelled": ("stopped", "yellow"),
}
_RUNS_SHOWN_MAX = 4
_NOTHING_KNOWN = Outcome()
_TOOL_WAITS = "approval-requested"


def colour(subject: str) -> str:
    """Return the colour of somebody, the same on every terminal."""
    return _COLOURS[zlib.crc32(subject.encode()) % len(_COLOURS)]


def speaker(view: MessageView) -> tuple[str, str]:
    """Return the name to show for a message's author, and the subject (claimed only, while there is no receipt)."""
    claimed = str(view.author.get("name") or "")
    subject = view.by or f"{view.author.get('kind') or 'user'}:{claimed}"
    return clean(short(subject) or claimed or "?", lines=False), subject


def short(subject: str) -> str:
    """Return a subject as people call it: without its kind if that is `user`."""
    return clean(subject.removeprefix("user:"), lines=False)


def header(view: MessageView) -> Text:
    """Return the line above a message: who, when, its place, and what it waits for."""
    name, subject = speaker(view)
    line = Text(name, style=f"bold {colour(subject)}")
    if view.to:
        line.append(" → " + ", ".join(short(to) for to in view.to), style="dim")
    line.append(f"  {clock(view.receipt.at if view.receipt else view.created_at)}", style="dim")
    if view.seq is not None:
        line.append(f"  #{view.seq}", style="dim")
    else:
        line.append("  not sent yet", style="yellow")
    return line


def message(view: MessageView, outcome: Outcome = _NOTHING_KNOWN) -> RenderableType:
    """Return a whole message: header, parts, and what came of it. Of what is superseded only that it is there."""
    line = header(view)
    ends = [Padding(Text(_line(end), style="yellow"), (0, 0, 0, 2)) for end in outcome.ends]
    if is_request(view):
        return Group(line.append("  asks for another answer", style="dim italic"), *ends)
    if outcome.superseded:
        return line.append("  left out: it began again after its worker was lost", style="dim italic")
    blocks: list[RenderableType] = [line]
    told = iter(outcome.told)
    for part in view.parts:
        if part.get("type") == "steering-message":
            block: RenderableType | None = Text(heard(part, next(told, None)), style="dim italic")
        else:
            block = _part(view, part, dict(outcome.calls))
        if block is not None:
            blocks.append(Padding(block, (0, 0, 0, 2)))
    return Group(*blocks, *ends)


def _part(view: MessageView, part: Mapping[str, Json], calls: Mapping[str, str]) -> RenderableType | None:
    kind = part.get("type")
    streaming = part.get("state") == "streaming"
    text = part.get("text")
    if isinstance(text, str):
        shown = clean(text) + (" ▌" if streaming else "")
        if kind == "reasoning":
            return Text(shown, style="dim italic")
        return Markdown(shown, hyperlinks=False) if view.role == "assistant" else Text(shown)
    if kind == "tool":
        return _tool(part, calls.get(str(part.get("tool_call") or ""), ""))
    if kind == "step-start":
        return None
    return Text(f"[{_line(kind)}] {_line(part.get('url') or part.get('title') or '')}".rstrip(), style="dim")


def _tool(part: Mapping[str, Json], answer: str) -> Text:
    line = Text("⚙ " + _line(part.get("name") or "tool"), style="bold")
    line.append("  " + _line(part.get("state") or ""), style="dim")
    if "input" in part:
        line.append("  " + _line(json.dumps(part["input"], ensure_ascii=False))[:200], style="dim")
    if answer:
        line.append("  " + _line(answer), style="dim")
    elif waits_for_approval(part):
        line.append(f"\nallow it?  /approve   /deny   ({tool_call(part)})", style="bold yellow")
    return line


def heard(part: Mapping[str, Json], told: tuple[str, str] | None) -> str:
    """Return a part that says what an agent was told while it worked; `told` is who said what, if somebody did."""
    if told is None:  # Its author's word alone, in nobody's name.
        return f"↪ {_line(part.get('text') or '')}"
    return f"↪ {short(told[0])}: {_line(told[1])}"


def run_line(run: RunView, session: Session, now_ms: int) -> Text:
    """Return one run: who, what it does, for how long, and whatever else is known of it."""
    line = Text(short(run.agent), style=f"bold {colour(run.agent)}")
    what, style = _RUNS.get(run.status, (run.status, "yellow"))
    asked = session.message(run.message) if run.message else None
    if not run.ended and run.cancelled_by is not None:
        what, style = f"is being stopped by {short(run.cancelled_by)}", "yellow"
    elif run.status == "suspended" and not _waits_for_decision(run, session):
        what = "is suspended, and goes on when a worker takes it up"
    line.append(f" {_line(what)}", style=style)
    began = run.started_at or (asked.created_at if asked is not None else None)
    if began is not None:
        line.append(f", {lasted((run.ended_at or now_ms) - began)}", style="dim")
    if run.ended_at is not None:
        line.append(f", {clock(run.ended_at)}", style="dim")
    if asked is not None:
        line.append(f"  for {speaker(asked)[0]}" + (f" #{asked.seq}" if asked.seq is not None else ""), style="dim")
    elif run.task:
        line.append(f"  {_line(run.task)[:80]}", style="dim")
    if run.attempt > 1:
        line.append(f"  attempt {run.attempt}", style="dim")
    if run.cancelled_by is not None and run.ended:
        line.append(f"  by {short(run.cancelled_by)}", style="dim")
    if run.error:
        line.append(
            f"  {_line(run.error.get('code'))}: {_line(run.error.get('message') or '')}".rstrip(": "), style="red"
        )
    return line


def open_runs(session: Session, now_ms: int) -> list[Text]:
    """Return a line for each run that is not over, newest last; the last of them says how to take part."""
    runs = [run for run in session.runs() if not run.ended]
    lines = [run_line(run, session, now_ms) for run in runs[-_RUNS_SHOWN_MAX:]]
    if len(runs) > len(lines):
        lines.insert(0, Text(f"{len(runs) - len(lines)} more: /runs", style="dim"))
    if lines:
        lines[-1].append("   /stop  /steer TEXT" if session.status.live else "   as last heard", style="dim")
    return lines


def _waits_for_decision(run: RunView, session: Session) -> bool:
    return any(
        waits_for_approval(part) and is_call_in(part, run.id) and session.decision(tool_call(part)) is None
        for view in session.outputs(run.id)
        for part in view.parts
    )


def waits_for_approval(part: Mapping[str, Json]) -> bool:
    """Whether this part is a tool call that somebody has to allow or forbid."""
    return part.get("type") == "tool" and part.get("state") == _TOOL_WAITS


def tool_call(part: Mapping[str, Json]) -> str:
    """Return the id by which a tool call is decided upon."""
    return _line(part.get("tool_call") or part.get("id") or "")


def badge(status: Status) -> Text:
    """Return where a session stands: a mark and a word."""
    mark, style = _BADGES[status.link]
    line = Text(f"{mark} {status.link}", style=style)
    if status.storage_full:
        line.append("  server full: edits wait here", style="yellow")
    return line


def why(status: Status) -> Text:
    """Return why a session is not live, empty if it is."""
    return Text("" if status.live else _line(status.reason), style="dim")


def refused(status: Status, *, dev: bool) -> Trouble:
    """Return what ends a command whose session was refused."""
    what = hint(status, dev=dev)
    return Trouble(f"the server refused: {status.reason}" + (f"; {what}" if what else ""))


def hint(status: Status, *, dev: bool) -> str:
    """Return what to do about a status that does not mend itself, empty if there is nothing to do."""
    if status.link is not Link.REFUSED:
        return ""
    if status.code == CloseCode.BAD_TOKEN and dev:
        return "this server wants a token: set SYNCD_TOKEN (`syncd token` makes one)"
    if status.code in (CloseCode.BAD_TOKEN, CloseCode.REVOKED, CloseCode.TOKEN_EXPIRED):
        return "set SYNCD_TOKEN to a fresh token (`syncd token` makes one) and start again; nothing is lost"
    if status.code == CloseCode.FORBIDDEN:
        return "the token does not name this session: ask for one that does; what you wrote is kept here"
    return ""


def unsynced(count: int) -> Text:
    """Return how many edits wait, empty if none."""
    return Text(f"{plural(count, 'edit')} not synced", style="yellow") if count else Text()


def here(entries: Iterable[PresenceEntry], me: str) -> Text:
    """Return who is here, each once, with who is typing."""
    typing: dict[str, bool] = {}
    for entry in entries:
        doing = isinstance(entry.state, dict) and entry.state.get("status") == "typing"
        typing[entry.subject] = typing.get(entry.subject, False) or doing
    line = Text()
    for subject in sorted(typing, key=lambda subject: (subject != me, subject)):
        line.append("  " if line else "")
        line.append(short(subject), style=colour(subject))
        if subject == me:
            line.append(" (you)", style="dim")
        elif typing[subject]:
            line.append(" is typing…", style="italic dim")
    return line


def to_lines(renderable: RenderableType, width: int, *, colours: bool = True) -> list[str]:
    """Return a renderable as lines of at most `width` cells, with escape sequences for colours."""
    console = Console(
        width=max(width, 10),
        force_terminal=colours,
        color_system="standard" if colours else None,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        no_color=not colours,
    )
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().rstrip("\n").split("\n")]


def _line(value: Json) -> str:
    return clean(str(value), lines=False)
