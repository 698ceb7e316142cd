"""Mentions: whom a message that is typed addresses, by `@name`.

Reads who is known in a session. Knows nothing of the screen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from syncd_client import Session

from syncd.core.ids import is_subject

_MENTION = re.compile(r"(?<![\w@])@((?:[a-z]{1,16}:)?\w[\w.-]*)")


def known(session: Session) -> dict[str, str]:
    """Return who is known here, name to subject: who was seen, wrote, worked, or was addressed. Agents come first."""
    subjects = {entry.subject for entry in session.presence.everyone()}
    for view in session.messages():
        subjects.update(view.to)
        if view.by is not None:
            subjects.add(view.by)
    subjects.update(run.agent for run in session.runs())
    if session.responsible is not None:
        subjects.add(session.responsible)
    # An agent overwrites a person of the same name.
    return {_name(subject): subject for subject in sorted(subjects, key=lambda s: (s.startswith("agent:"), s))}


def subject_of(name: str, session: Session) -> str | None:
    """Return the subject that `name` means; None if nobody here is called that. With `@` an agent need not be known."""
    is_agent, name = name.startswith("@"), name.removeprefix("@")
    subject = name if ":" in name else known(session).get(name, f"agent:{name}" if is_agent and name else "")
    return subject if is_subject(subject) else None


def addressed(text: str, session: Session) -> Sequence[str]:
    """Return the subjects that `text` addresses.

    At its beginning `@name` is the agent of that name, also one that was never heard of; further in it counts only
    for those who are known here, since not every `@` means somebody.
    """
    here = known(session)
    found: list[str] = []
    beginning = 0
    for mention in _MENTION.finditer(text):
        leads = not text[beginning : mention.start()].strip(" ,:\n")
        name = mention[1].rstrip(".-")
        subject = name if ":" in name else here.get(name) or (f"agent:{name}" if leads else "")
        if leads:
            beginning = mention.end()
        if is_subject(subject) and subject not in found:
            found.append(subject)
    return found


def _name(subject: str) -> str:
    return subject.partition(":")[2]
