"""Words: how a notice reads to a person: title, text, and where a click on it leads.

In English, short, and plain text. Knows nothing of who is told or how.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote

from syncd.core.messages import Json

TEXT_CHARS_MAX: Final = 280
_ENDED: Final = {"completed": "is done", "failed": "failed", "cancelled": "was cancelled"}


def words(events: Sequence[Mapping[str, Json]], subject: str) -> tuple[str, str]:
    """Return title and text for what is told to `subject`, oldest event first."""
    if len(events) == 1:
        return _one(events[0], subject)
    sessions = list(dict.fromkeys(event["session"] for event in events))
    where = sessions[0] if len(sessions) == 1 else f"{len(sessions)} sessions"
    lines = dict.fromkeys(_one(event, subject)[0] for event in reversed(events))
    return f"{len(events)} news in {where}", cut("\n".join(lines))


def path(session: str, message: str) -> str:
    """Return where the console shows a session, at a message if one is named."""
    if not session:
        return "/"
    return f"/s/{session}?m={quote(message, safe='')}" if message else f"/s/{session}"


def cut(text: str) -> str:
    """Return a text no longer than a notice can show."""
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1].rstrip() + "…"


def _one(event: Mapping[str, Json], subject: str) -> tuple[str, str]:
    type, session, data, by = event["type"], event["session"], event["data"], _name(event["by"])
    agent = _name(data.get("agent", ""))
    if type == "message.created":
        return f"{by} in {session}", cut(data.get("text", ""))
    if type == "run.ended":
        return f"{agent} {_ENDED.get(data.get('status', ''), 'ended')}", f"in {session}"
    if type == "approval.requested":
        return f"{by} asks for your approval", f"{data.get('name', '')} in {session}".strip()
    if type == "session.assigned":
        to = data.get("to", "")
        return f"{'You are' if to == subject else f'{_name(to)} is'} responsible for {session}", cut(
            data.get("note", "")
        )
    if type == "run.interrupted":
        return f"{agent} was interrupted", f"in {session}"
    if type == "run.suspended":
        return f"{agent} waits for somebody", f"in {session}"
    if type == "agent.needed":
        return f"Nobody serves {agent}", f"work waits in {session}"
    if type == "agent.offline":
        return f"{agent} is offline", ""
    if type.startswith("participant."):
        what = {"joined": "came", "left": "left", "away": "is away", "back": "is back"}[type.partition(".")[2]]
        return f"{_name(data.get('subject', ''))} {what}", f"in {session}"
    return f"{type} in {session}", f"by {by}"


def _name(subject: str) -> str:
    return subject.partition(":")[2] or "the server"
