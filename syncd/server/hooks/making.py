"""Making: a delivery out of what a rule tells, and the notice out of a delivery when it is sent.

The one place that knows what a delivery's bytes say. Knows nothing of conditions or of how a notice is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

from syncd.core.codec import pack, unpack
from syncd.core.messages import Json
from syncd.core.record import record
from syncd.server.hooks.channel import DIGEST, Notice
from syncd.server.hooks.conditions import tag_of
from syncd.server.hooks.happened import Happened
from syncd.server.hooks.rules import PERSON_CHANNELS, Rule
from syncd.server.hooks.words import path, words
from syncd.store.hook_rows import Delivery

WAKE: Final = "wake"
#: Lanes whose notices can be taken back once they were sent.
WITHDRAWN_LANES: Final = ("push:",)
#: Channels whose notices are for people to read: what was read or answered is not told any more.
_READ_CHANNELS: Final = ("push", "apprise")
_LAYOUT: Final = 1


@record
class Route:
    """By which channel something goes where. `run`: a call for a run, which keeps no order with others.
    `in_session`: order is kept within a session only."""

    rule: str
    channel: str
    target: str
    run: str = ""
    in_session: bool = False

    def lane(self, session: str) -> str:
        """Return what keeps its order."""
        parts = [f"{self.channel}:{self.target}", session if self.in_session or self.run else "", self.run]
        return "/".join(part for part in parts if part)


def make_delivery(
    route: Route,
    subject: str,
    events: Sequence[Happened],
    now_ms: int,
    step: int = 0,
    *,
    content: bool = True,
    options: Mapping[str, Json] | None = None,
) -> Delivery:
    """Return the delivery of events, oldest first. The same events by the same route have the same id, ever."""
    first, last = events[0], events[-1]
    of = [(event.session, event.incarnation) for event in events]
    session = first.session if len(set(of)) == 1 else ""
    names = "\n".join([route.rule, route.channel, route.target, subject, str(step), *(event.id for event in events)])
    id = "msg_" + blake2b(names.encode(), digest_size=16).hexdigest()
    tags = {tag_of(event.type, event.session, event.data, event.run) for event in events}
    tag = f"w:{route.run}" if route.run else tags.pop() if len(tags) == 1 else f"d:{route.rule}"
    people_read_it = route.channel in _READ_CHANNELS and bool(subject)
    head = [_LAYOUT, route.rule, route.channel, route.target, subject, tag, last.message, dict(options or {})]
    data = pack([*head, [event.public(content=content) for event in events]])
    return Delivery(
        id,
        session,
        route.target,
        route.lane(first.session),
        data,
        subject=subject,
        seq=max(event.seq for event in events) if people_read_it and session else 0,
        tag=tag if people_read_it or route.channel == WAKE else "",
        due_ms=now_ms,
        made_ms=now_ms,
        incarnation=first.incarnation if session else "",
        of=() if session else of,
    )


def route_of(rule: Rule, subject: str, concurrency: Mapping[str, int]) -> Route:
    """Return how a rule's notices go to one person, or to its target."""
    if rule.channel in PERSON_CHANNELS:
        return Route(rule.name, rule.channel, subject)
    return Route(rule.name, rule.channel, rule.target, in_session=concurrency.get(rule.target, 1) > 1)


def options_of(rule: Rule) -> dict[str, Json]:
    """Return what a rule says to its channel alone."""
    return {"devices": rule.devices} if rule.channel == "push" else {}


def notice_of(delivery: Delivery, attempt: int) -> Notice:
    """Return what is sent."""
    _, rule, channel, target, subject, tag, message, options, events = _unpacked(delivery)
    title, text = words(events, subject)
    return Notice(
        id=delivery.id.removesuffix(".w"),
        rule=rule,
        channel=channel,
        target=target,
        subject=subject,
        session=delivery.session,
        type=events[0]["type"] if len(events) == 1 else DIGEST,
        events=events,
        title=title,
        text=text,
        path=path(delivery.session, message),
        tag=tag,
        attempt=attempt,
        options=options,
    )


def channel_of(delivery: Delivery) -> str:
    """Return the channel of a delivery."""
    return delivery.lane.partition(":")[0]


def _unpacked(delivery: Delivery) -> list[Any]:
    value: list[Any] = unpack(delivery.data)
    return value
