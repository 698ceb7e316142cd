"""Models of the routes of hooks. Shapes only; a rule's own is `syncd.server.hooks.rules.Rule`."""

from typing import Any, Literal

from pydantic import Field

from syncd.server.hooks.rules import Rule
from syncd.server.rest.models import Answer, Body, Id, JsonObject, Query, Subject


class RuleBody(Body, Rule):
    """A rule to put; its name stands in the path."""


class RuleAnswer(Answer):
    """A rule, and where it came from: the server's `file`, its program (`python`), or `rest`."""

    rule: dict[str, Any]
    source: Literal["file", "python", "rest"]


class RulesAnswer(Answer):
    """All rules, and where they can send to."""

    rules: list[RuleAnswer]
    targets: list["TargetAnswer"]


class TargetAnswer(Answer):
    """A target of the configuration. Its URL and its keys are told to nobody."""

    name: str
    channel: str
    disabled: str = Field(description="Why nothing is sent to it any more, empty if it is.")
    pending: int = Field(description="Notices that wait for it.")


class LogQuery(Query):
    """A page of deliveries, newest first."""

    before: int | None = Field(None, ge=1, description="Only rows below: the last one of the page before.")
    target: str = Field("", max_length=128, description="Only of this target, or this person.")
    state: Literal["", "pending", "sent", "read", "withdrawn", "dead", "dropped"] = ""
    limit: int = Field(100, ge=1)


class DeliveryAnswer(Answer):
    """One delivery. Times are Unix milliseconds, 0 for not yet."""

    row: int
    id: str = Field(description="What the target knows it by: `webhook-id`.")
    rule: str
    channel: str
    target: str
    subject: str
    session: str
    type: str
    events: list[str] = Field(description="Ids of the events it tells of.")
    state: str = Field(
        description="`pending`, `sent`, `read` (sent, and withdrawn since), `withdrawn` (not sent: it was read or "
        "answered before), `dead` (given up, can be replayed) or `dropped` (too many waited, or nobody to reach)."
    )
    attempt: int = Field(description="Attempts made.")
    reason: str = Field(description="Why the last attempt failed.")
    made_at: int
    due_at: int
    ended_at: int


class DeliveriesAnswer(Answer):
    """A page of deliveries. `before` is what to give for the one after, null at the end."""

    deliveries: list[DeliveryAnswer]
    before: int | None


class ReplayBody(Body):
    """Which dead letters to send again: some by id, or all of a target, which is then sent to again."""

    ids: list[str] = Field([], max_length=1_000)
    target: str = Field("", max_length=128)


class ReplayAnswer(Answer):
    """What waits again."""

    replayed: list[str]
    enabled: bool = Field(description="Whether the target was disabled, and is not any more.")


class TryEvent(Body):
    """An event that did not happen."""

    type: str = Field(max_length=64)
    session: Id
    by: Subject
    data: JsonObject = Field({}, description="What an event of this type says.")


class TryBody(Body):
    """What to try the rules on: one of the last events by its id, or a made-up one."""

    id: str = Field("", max_length=64)
    event: TryEvent | None = None


class Explanation(Answer):
    """What one rule would make of the event for one person; `subject` is empty for the rule's target."""

    rule: str
    channel: str
    target: str
    subject: str
    act: Literal["tell", "wait", "no"]
    reason: str
    due_at: int = Field(description="When what waits is looked at again, Unix milliseconds; else 0.")


class TryAnswer(Answer):
    """What would be told now, and why. Nothing was."""

    id: str
    type: str
    session: str
    rules: list[Explanation]
