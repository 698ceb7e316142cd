"""Conditions: whom a rule is about, whether it is to be told now, and what answers what was told.

Looks at who is there and what is known of the session, changes nothing. Knows nothing of how anybody is told.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from syncd.core.ids import is_person
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.server.hooks.happened import Happened, SessionFacts
from syncd.server.hooks.rules import Rule

_AWAY: Final = ("away", "offline")
_RUN_WAITS: Final = ("run.suspended", "run.interrupted", "run.queued", "agent.needed")
#: Types of events that others may answer. A message is not answered: it is read.
ANSWERED: Final = ("approval.requested", "session.assigned", *_RUN_WAITS)
_RUN_GOES_ON: Final = ("run.started", "run.resumed", "run.ended")


class PeoplePort(Protocol):
    """Who is there, over all sessions and devices. `syncd.server.people.People` is one."""

    on_change: list[Callable[[str, str, str, str], None]]
    on_look: list[Callable[[str, str], None]]
    on_lost: list[Callable[[str, str, int], None]]

    def watching(self, session: str, subject: str) -> bool:
        """Whether somebody has a session open and visible on some device."""
        ...

    def status(self, subject: str) -> str:
        """Return `active`, `idle`, `away` or `offline`, over all sessions and devices."""
        ...

    def watchers(self, session: str) -> frozenset[str]:
        """Return the persons that have a session open and visible on some device."""
        ...

    def settles_ms(self) -> int:
        """Return until when those who were here before a restart may not be back yet, in Unix ms."""
        ...

    def audience(self, session: str) -> Mapping[str, str]:
        """Return the status of everybody who is part of a session, people and agents."""
        ...

    def serving(self, agent: str) -> bool:
        """Whether some worker serves an agent."""
        ...


def named(whom: Sequence[str], event: Happened, facts: SessionFacts, people: PeoplePort) -> list[str]:
    """Return the persons that `whom` means for an event, each once, in the order they are named."""
    found: dict[str, None] = {}
    for item in whom:
        if item == "participants":
            found |= dict.fromkeys([*facts.reads, *people.audience(event.session)])
        elif item == "watchers":
            found |= dict.fromkeys(s for s, status in people.audience(event.session).items() if status != "offline")
        elif item == "addressed":
            to = event.data.get("to")
            found |= dict.fromkeys(to if isinstance(to, list) else [to] if isinstance(to, str) else [])
        elif item == "asker":
            found[facts.asker(event.run)] = None
        elif item == "responsible":
            found[facts.responsible] = None
        else:
            found[item] = None
    return [subject for subject in found if is_person(subject)]


@record
class Reason:
    """Why somebody is not told: for these persons being there, in a session or with an empty one in any."""

    text: str
    here: frozenset[str] = frozenset()
    session: str = ""


def reason_not(rule: Rule, event: Happened, subject: str, facts: SessionFacts, people: PeoplePort) -> Reason | None:
    """Return why a person, or with an empty `subject` a target, is not told now; None if they are."""
    if subject:
        if subject == event.by:
            return Reason("caused it")
        if was_read(event, [subject], facts):
            return Reason("has read it")
        if looks := looking(rule, event, subject, people):
            return looks
        if rule.when.away_on_all_devices and people.status(subject) not in _AWAY:
            return Reason(f"is {people.status(subject)}", frozenset([subject]))
    if rule.when.nobody_watching and (here := people.watchers(event.session)):
        return Reason("somebody is watching", here, event.session)
    return None


def looking(rule: Rule, event: Happened, subject: str, people: PeoplePort) -> Reason | None:
    """Return that a person has an event's session before their eyes; None if they have not."""
    if not people.watching(event.session, subject):
        return None
    # Where nobody may be watching, whoever else does is a reason as well, should this one turn out to be gone.
    others = people.watchers(event.session) if rule.when.nobody_watching else frozenset[str]()
    return Reason("is looking at it", others | {subject}, event.session)


def answers(event: Happened, told: Happened) -> bool:
    """Whether an event answers what was told of an earlier one in the same session."""
    if told.type == "approval.requested":
        if event.type == "tool.decided":
            return event.data.get("tool_call") == told.data.get("tool_call")
        return event.type == "run.ended" and event.run == told.run
    if told.type == "session.assigned":
        return event.type == "session.assigned" or (event.type == "message.created" and event.by == told.data.get("to"))
    if told.type in _RUN_WAITS:
        return event.type in _RUN_GOES_ON and event.run == told.run
    return False


def was_read(told: Happened, subjects: Sequence[str], facts: SessionFacts) -> bool:
    """Whether one of some persons has read a message that was told. Of anything else, reading says nothing."""
    return told.type == "message.created" and any(facts.reads.get(subject, 0) >= told.seq for subject in subjects)


def tag_of(type: str, session: str, data: Mapping[str, Json], run: str) -> str:
    """Return what a notice of an event replaces, and is found by when it was answered."""
    if type == "approval.requested":
        return f"t:{data.get('tool_call', '')}"
    if type == "session.assigned":
        return f"a:{session}"
    if type in _RUN_WAITS:
        return f"w:{run}"
    if type.startswith("run."):
        return f"r:{run}"
    return f"s:{session}"


def settled_tags(event: Happened, facts: SessionFacts) -> list[str]:
    """Return the tags of what an event answers."""
    if event.type == "tool.decided":
        return [f"t:{event.data.get('tool_call', '')}"]
    if event.type == "session.assigned":
        return [f"a:{event.session}"]
    if event.type == "message.created" and event.by == facts.responsible:
        return [f"a:{event.session}"]
    if event.type in _RUN_GOES_ON:
        known = facts.runs.get(event.run)
        calls = known.calls if known is not None and event.type == "run.ended" else []
        return [f"w:{event.run}", *(f"t:{call}" for call in calls)]
    return []
