"""Summary: one session as a list of sessions shows it, kept up by the session's events.

Events in, a few fields out. Knows nothing of documents, tables or of who reads the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from syncd.core.events import Event
from syncd.core.ids import is_person
from syncd.core.messages import Json

#: How much of the last message is shown.
EXCERPT_CHARS_MAX: Final = 140
TITLE_CHARS_MAX: Final = 200
TAGS_MAX: Final = 20
TAG_CHARS_MAX: Final = 40
#: Runs and tool calls that a list tells of, of one session; each event writes them anew.
_TOLD_MAX: Final = 100
#: Persons that one message makes take part by naming them: the first.
JOINS_MAX: Final = 64
#: Unread messages are counted up to here.
UNREAD_MAX: Final = 999
#: The root of the state that says what a session is called.
STATE_ROOT: Final = "session"
_LEASES: Final = {
    "run.queued": "queued",
    "run.started": "live",
    "run.resumed": "live",
    "run.suspended": "suspended",
    "run.interrupted": "interrupted",
}
#: An agent with several runs is shown as what the first of these says.
_LEASE_ORDER: Final = ("live", "suspended", "queued", "interrupted")


@dataclass(slots=True)
class Summary:
    """What a list shows of a session, the same for everybody.

    `message` is the last one that is shown, `by` its author; its `excerpt` is empty until it is known. `runs` are those
    that are not over: agent and lease. `waiting` are tool calls that wait for a yes, and their runs. `handed_seq` is
    where `responsible` was named.
    """

    title: str = ""
    tags: tuple[str, ...] = ()
    seq: int = 0
    message: str = ""
    by: str = ""
    excerpt: str = ""
    runs: dict[str, tuple[str, str]] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    responsible: str = ""
    handed_seq: int = 0
    handed_by: str = ""
    #: The first line that a person wrote: what it is called while nobody named it.
    opening: str = ""

    def take(self, event: Event) -> None:
        """Take what happened."""
        body = event.body
        if event.type == "message.created":
            self.seq = max(self.seq, int(body["seq"]))
            if body.get("role") != "system":
                self.message, self.by = str(body["message"]), event.by
                text = str(body.get("text") or "")
                self.excerpt = shorten(text, EXCERPT_CHARS_MAX)
                if not self.opening and body.get("role") == "user" and is_person(event.by):
                    self.opening = opening_of(text)
        elif event.type == "command.decided":
            self.seq = max(self.seq, int(body["seq"]))
            if body.get("kind") == "handoff" and body.get("outcome") == "accepted":
                self.handed_seq = int(body["seq"])
        elif event.type == "session.assigned":
            self.responsible, self.handed_by = str(body["to"]), event.by
        elif event.type == "approval.requested":
            if len(self.waiting) < _TOLD_MAX:
                self.waiting[str(body["tool_call"])] = str(body["run"])
        elif event.type == "tool.decided":
            self.waiting.pop(str(body["tool_call"]), None)
        elif event.type in _LEASES:
            run = str(body["run"])
            if run in self.runs or len(self.runs) < _TOLD_MAX:
                self.runs[run] = (str(body["agent"]), _LEASES[event.type])
        elif event.type == "run.ended":
            self.runs.pop(str(body["run"]), None)
            self.waiting = {call: run for call, run in self.waiting.items() if run != body["run"]}

    @property
    def name(self) -> str:
        """What a list calls it."""
        return self.title or self.opening

    def running(self) -> Mapping[str, str]:
        """Return how each agent's runs stand, of those that are not over."""
        found: dict[str, str] = {}
        for agent, lease in self.runs.values():
            before = found.get(agent)
            if before is None or _LEASE_ORDER.index(lease) < _LEASE_ORDER.index(before):
                found[agent] = lease
        return found

    def needs(self, subject: str, read_seq: int) -> tuple[str, ...]:
        """Return why the session waits for a person that takes part in it and has read up to `read_seq`."""
        found = []
        if self.waiting and (self.responsible == subject or not is_person(self.responsible)):
            found.append("approval")
        if self.responsible == subject and self.handed_by != subject and self.handed_seq > read_seq:
            found.append("handover")
        return tuple(found)

    def encode(self) -> list[Json]:
        """Return it as a store keeps it; more may be added at the end."""
        runs = {run: [agent, lease] for run, (agent, lease) in self.runs.items()}
        return [
            self.title, [*self.tags], self.seq, self.message, self.by, self.excerpt,
            runs, self.waiting, self.responsible, self.handed_seq, self.handed_by, self.opening,
        ]  # fmt: skip

    @classmethod
    def decode(cls, value: Sequence[Json]) -> Summary:
        """Return what `encode` made.

        Raises:
            ValueError, TypeError, AttributeError: it did not make this.
        """
        title, tags, seq, message, by, excerpt, runs, waiting, responsible, handed_seq, handed_by, opening, *_ = value
        told = {run: (agent, lease) for run, (agent, lease) in runs.items()}
        return cls(
            title, tuple(tags), seq, message, by, excerpt, told, waiting, responsible, handed_seq, handed_by, opening
        )


def moves(event: Event) -> bool:
    """Whether an event moves its session up in a list: all that is said or done, not that somebody read it."""
    return event.type != "read.moved"


def joins(event: Event, seq: int) -> Mapping[str, int]:
    """Return the persons that an event makes take part in its session, and up to where they have read by that.

    Who writes begins there; who is addressed, or made responsible, begins before it. `seq` is the session's last one.
    """
    if event.type == "message.created":
        seq = int(event.body["seq"])
        named = [subject for subject in event.body.get("to") or () if is_person(subject)]
        found = dict.fromkeys(named[:JOINS_MAX], seq - 1)
        if is_person(event.by):
            found[event.by] = seq
        return found
    if event.type == "session.assigned" and is_person(str(event.body["to"])):
        return {str(event.body["to"]): max(0, seq - 1)}
    if event.type == "read.moved" and is_person(event.by):
        return {event.by: int(event.body["seq"])}
    return {}


def opening_of(text: str) -> str:
    """Return the first line of a text that has anything in it."""
    return shorten(text.strip().partition("\n")[0], EXCERPT_CHARS_MAX)


def shorten(text: str, chars_max: int) -> str:
    """Return a text as one line, cut with an ellipsis if it is longer."""
    line = " ".join(text[: chars_max * 4].split())
    return line if len(line) <= chars_max else line[: chars_max - 1].rstrip() + "…"


def called(value: Json) -> tuple[str, tuple[str, ...]]:
    """Return title and tags as the state's map `session` gives them, whatever stands there."""
    if not isinstance(value, dict):
        return "", ()
    title, tags = value.get("title"), value.get("tags")
    found = [shorten(tag, TAG_CHARS_MAX) for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    kept = tuple(dict.fromkeys(tag for tag in found if tag))[:TAGS_MAX]
    return shorten(title, TITLE_CHARS_MAX) if isinstance(title, str) else "", kept
