"""Channel: what is told (`Notice`), how that ended (`Result`), and the shape of every way to tell it.

Knows nothing of rules, of the outbox or of any one way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Final, Protocol, TypeAlias

from syncd.core.messages import Json
from syncd.core.record import record

#: The type of a notice that holds several events.
DIGEST: Final = "digest"


@record
class Notice:
    """What is told to one person or target, once.

    `id` is `msg_…`, the same at every attempt: who got it twice knows it by that. `target` is the name of a target of
    the configuration, or for people the subject. `subject` is the person it is for, empty for none. `session` is empty
    where the events are of several. `events` are `{id, type, at, session, by, data}` each, oldest first. `title`,
    `text` and `path` (`/s/SESSION?m=MESSAGE`) are for people. A later notice with the same `tag` replaces this one
    where it is shown. `attempt` counts from 1. `options` are the rule's for its channel.
    """

    id: str
    rule: str
    channel: str
    target: str
    subject: str
    session: str
    type: str
    events: Sequence[Mapping[str, Json]]
    title: str
    text: str
    path: str
    tag: str
    attempt: int
    options: Mapping[str, Json] = field(default_factory=dict)


@record
class Sent:
    """It was delivered."""


@record
class Retry:
    """It was not delivered, and may be at another time: not before `after_s`, where the target said so.

    `reason` is kept and shown to operators: no address, secret or content in it. `answered`: the target took it, and is
    told again after `after_s` until what it is told of is done; that is no failure, and goes on for as long.
    """

    after_s: float | None
    reason: str
    answered: bool = False


@record
class Gone:
    """It will never be delivered to this target, nor will anything else: a webhook's 410, no device left."""

    reason: str


Result: TypeAlias = Sent | Retry | Gone


class Channel(Protocol):
    """One way to tell people or programs.

    1. Several calls may run at once, but never two for one target, unless its settings say so.
    2. A call that takes longer than the outbox allows is cancelled, and counts as `Retry`; so does one that raises.
    """

    async def send(self, notice: Notice) -> Result:
        """Try once to deliver a notice, and say how it ended."""
        ...

    async def withdraw(self, notice: Notice) -> None:
        """Take back a notice that was sent: its person has read it elsewhere. Nothing, where that cannot be.

        Tried once: whatever it raises is logged, and that is all.
        """
        ...


class OpenChannel(Channel, Protocol):
    """A channel that holds something open."""

    async def close(self) -> None:
        """Let go of it. Idempotent."""
        ...
