"""Rules: which events are told to whom, under which conditions, and by which channel.

Shapes and their checks, the same from a file, by REST and in Python. Knows nothing of sessions or of who is there.
"""

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from syncd.core.ids import is_id, is_person, is_subject
from syncd.server.hooks.schemas import TYPES

#: Who may be named beside single subjects.
GROUPS: Final = ("participants", "addressed", "asker", "responsible", "watchers")
#: Channels that reach persons by their subject alone, and those that reach a named target.
PERSON_CHANNELS: Final = ("push",)
TARGET_CHANNELS: Final = ("webhook", "apprise", "call")

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _name(value: str) -> str:
    if not is_id(value):
        raise ValueError("a name is 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")
    return value


def _whom(value: str) -> str:
    if value not in GROUPS and not (is_subject(value) and is_person(value)):
        raise ValueError(f"name one of {', '.join(GROUPS)}, or a person such as user:mona")
    return value


def _type(value: str) -> str:
    if value == "*" or value in TYPES or (value.endswith(".*") and any(t.startswith(value[:-1]) for t in TYPES)):
        return value
    raise ValueError("there is no such type of event: GET /v1/events/schema lists them; 'run.*' and '*' mean several")


def _pattern(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{0,64}\*|[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("name a session's id, or the beginning of ids followed by '*'")
    return value


def _clock(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError("a time of day is HH:MM, such as 22:00")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("a time zone is named as in the IANA database, such as Europe/Lisbon") from None
    return value


Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,64}$"})]
Whom = Annotated[str, AfterValidator(_whom), Field(examples=["participants", "user:mona"])]
EventType = Annotated[str, AfterValidator(_type), Field(examples=["run.ended", "run.*"])]
Clock = Annotated[str, AfterValidator(_clock), Field(json_schema_extra={"pattern": r"^([01]\d|2[0-3]):[0-5]\d$"})]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quiet(_Strict):
    """When people are left alone: what comes then is told, together, at the end."""

    start: Clock = Field(description="From this time of day on, HH:MM.")
    end: Clock = Field(description="Until this one; before `start` means the next day.")
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The time zone of both, by its IANA name."
    )
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=_DAYS, min_length=1, description="The days on which it starts."
    )

    def until_ms(self, now_ms: int) -> int | None:
        """Return when the quiet that `now_ms` lies in ends, in Unix ms; None if it lies in none."""
        zone = ZoneInfo(self.zone)
        now = datetime.fromtimestamp(now_ms / 1000, zone)
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        for day in (now.date() - timedelta(days=1), now.date()):
            if _DAYS[day.weekday()] not in self.days:
                continue
            begins = datetime.combine(day, start, zone)
            ends = datetime.combine(day if end > start else day + timedelta(days=1), end, zone)
            if begins <= now < ends:
                return int(ends.timestamp() * 1000)
        return None


class When(_Strict):
    """Conditions. All that are set must hold."""

    nobody_watching: bool = Field(default=False, description="No person has the session open and visible.")
    away_on_all_devices: bool = Field(default=False, description="The person told is away or offline, on every device.")
    unread_for_s: float | None = Field(
        default=None, ge=0, le=30 * 86_400, description="The person told has not read so far for this many seconds."
    )
    until_answered: bool = Field(default=False, description="Unless it was answered: goes with `escalate_after_s`.")


class Rule(_Strict):
    """One rule. A rule with `whom` makes a notice for each person, one without a single one for its target."""

    name: Name
    on: tuple[EventType, ...] = Field(
        min_length=1, max_length=64, description="Types of events; `run.*` and `*` mean several."
    )
    sessions: Annotated[str, AfterValidator(_pattern)] = Field(
        default="*", description="A session, or the beginning of ids followed by `*`."
    )
    where: dict[str, Any] = Field(
        default={}, max_length=16, description='Fields of the event\'s `data` and their values, `{"status": "failed"}`.'
    )
    channel: Literal["webhook", "push", "apprise", "call"]
    target: str = Field(default="", max_length=128, description="Which of the channel's targets; push has none.")
    whom: tuple[Whom, ...] = Field(
        default=(), max_length=64, description="Persons who are told. Never who caused it, nor who looks at it."
    )
    when: When = When()
    escalate_after_s: float | None = Field(default=None, gt=0, le=30 * 86_400, description="Unanswered for so long,")
    escalate_to: tuple[Whom, ...] = Field(default=(), max_length=8, description="it goes to the next of these.")
    quiet: Quiet | None = None
    digest_s: float | None = Field(
        default=None, gt=0, le=7 * 86_400, description="Gather for so long, and tell at once."
    )
    content: bool = Field(default=True, description="False leaves out what people wrote: texts and notes.")
    devices: Literal["last", "all"] = Field(default="last", description="Push: the device used last, or each.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.channel in TARGET_CHANNELS and not self.target:
            raise ValueError(f"the channel {self.channel} needs a target: name one")
        if self.channel in PERSON_CHANNELS and self.target:
            raise ValueError(f"the channel {self.channel} reaches persons: name them in `whom`, leave out `target`")
        if self.channel in PERSON_CHANNELS and not self.whom:
            raise ValueError(f"the channel {self.channel} reaches persons: name some in `whom`")
        if not self.whom and (self.when.away_on_all_devices or self.when.unread_for_s is not None):
            raise ValueError("away_on_all_devices and unread_for_s are about persons: name some in `whom`")
        escalates = (self.when.until_answered, self.escalate_after_s is not None, bool(self.escalate_to))
        if any(escalates) and not (all(escalates) and self.whom):
            raise ValueError("to escalate takes whom, when.until_answered, escalate_after_s and escalate_to together")
        return self

    def is_on(self, type: str) -> bool:
        """Whether the rule is about events of a type."""
        return any(on in ("*", type) or (on.endswith(".*") and type.startswith(on[:-1])) for on in self.on)

    def mismatch(self, session: str, data: Mapping[str, Any]) -> str:
        """Return why the rule is not about an event of one of its types, empty if it is."""
        if self.sessions != "*" and session != self.sessions:
            prefix = self.sessions.removesuffix("*")
            if not self.sessions.endswith("*") or not session.startswith(prefix):
                return "is about other sessions"
        for name, value in self.where.items():
            if data.get(name) != value:
                return f"is about another {name}"
        return ""
