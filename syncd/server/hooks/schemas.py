"""Schemas: what every type of event says, as models, and as the JSON Schema that is published.

Holds shapes only. A test checks each against what the sessions make.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

_REF = "#/$defs/{model}"


class EventData(BaseModel):
    """What one type of event says. Fields may be added in later versions."""

    model_config = ConfigDict(extra="allow", strict=True)


class MessageCreated(EventData):
    """A message got its place in the session."""

    message: str
    role: str = Field(description="user, assistant or system.")
    to: list[str] = Field(description="Subjects addressed.")
    seq: int = Field(description="Its place in the session's order.")
    run: str | None = Field(None, description="The run it belongs to.")
    text: str = Field(description="Its first 280 characters, if it came whole; empty for one that is streamed.")


class RunEvent(EventData):
    """What befell a run."""

    run: str
    agent: str
    message: str | None = Field(None, description="What it answers.")
    parent_run: str | None = None
    attempt: int = Field(description="The current one, 0 for none yet.")
    resume: bool | None = Field(None, description="Whether what was written so far counts.")


class RunQueued(RunEvent):
    """A run waits for a worker of its agent."""


class RunStarted(RunEvent):
    """A worker began an attempt at a run."""


class RunSuspended(RunEvent):
    """A run waits for somebody's decision."""


class RunInterrupted(RunEvent):
    """A run's worker is lost."""


class RunResumed(RunEvent):
    """A run goes on."""


class RunEnded(RunEvent):
    """A run is over."""

    status: Literal["completed", "failed", "cancelled"]
    code: str | None = Field(None, description="Why the server ended it: expired, interrupted, attempts_exhausted.")


class ApprovalRequested(EventData):
    """A tool call waits for somebody's yes."""

    run: str
    message: str
    tool_call: str
    name: str = Field(description="The tool's.")


class CommandDecided(EventData):
    """A command got its outcome."""

    command: str
    kind: str
    target: str = Field(description="The run, message, tool call or session it was about.")
    seq: int
    outcome: Literal["accepted", "duplicate", "late", "denied", "expired"]


class ToolDecided(EventData):
    """A tool call got its one decision."""

    tool_call: str
    kind: Literal["approve", "deny", "tool_result"]
    command: str


class SessionAssigned(EventData):
    """Somebody else is responsible for the session now."""

    to: str
    note: str | None = None
    command: str


class ReadMoved(EventData):
    """Somebody has read on, on any device."""

    subject: str
    seq: int


class ParticipantChanged(EventData):
    """Somebody came, left, went away or is back, over all devices."""

    subject: str
    kind: str = Field(description="user or agent.")


class AgentNeeded(EventData):
    """A run waits for an agent that nobody serves."""

    agent: str
    run: str


class AgentOffline(EventData):
    """The last worker of an agent is gone."""

    agent: str


#: Types from the session's log: one fact, one event, and none is lost.
LOG_TYPES: Final[dict[str, type[EventData]]] = {
    "message.created": MessageCreated,
    "run.queued": RunQueued,
    "run.started": RunStarted,
    "run.suspended": RunSuspended,
    "run.interrupted": RunInterrupted,
    "run.resumed": RunResumed,
    "run.ended": RunEnded,
    "approval.requested": ApprovalRequested,
    "command.decided": CommandDecided,
    "tool.decided": ToolDecided,
    "session.assigned": SessionAssigned,
    "read.moved": ReadMoved,
}
#: Types from who is there: what changes while the server is down is not told.
PRESENCE_TYPES: Final[dict[str, type[EventData]]] = {
    "participant.joined": ParticipantChanged,
    "participant.left": ParticipantChanged,
    "participant.away": ParticipantChanged,
    "participant.back": ParticipantChanged,
    "agent.needed": AgentNeeded,
    "agent.offline": AgentOffline,
}
TYPES: Final[dict[str, type[EventData]]] = LOG_TYPES | PRESENCE_TYPES


def events_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of what a webhook sends: one event of any type, or a digest of several."""
    models = sorted(set(TYPES.values()), key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    events = {
        type: {
            "type": "object",
            "description": model.__doc__,
            "properties": _ENVELOPE | {"type": {"const": type}, "data": {"$ref": _REF.format(model=model.__name__)}},
            "required": ["id", "type", "timestamp", "session", "by", "data"],
        }
        for type, model in TYPES.items()
    }
    several = {
        "type": "object",
        "description": "Several events at once, oldest first.",
        "properties": _ENVELOPE
        | {
            "type": {"const": "digest"},
            "data": {
                "type": "object",
                "properties": {
                    "events": {"type": "array", "items": {"oneOf": [{"$ref": f"#/$defs/{type}"} for type in events]}},
                    "left_out": {"type": "integer", "description": "Older ones that did not fit."},
                },
                "required": ["events"],
            },
        },
        "required": ["id", "type", "timestamp", "session", "by", "data"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "syncd events",
        "oneOf": [{"$ref": f"#/$defs/{type}"} for type in (*events, "digest")],
        "$defs": schemas["$defs"] | events | {"digest": several},
    }


_ENVELOPE: Final[dict[str, Any]] = {
    "id": {
        "type": "string",
        "pattern": "^(evt|msg)_[0-9a-f]{32}$",
        "description": "Stable; a digest's is its notice's.",
    },
    "timestamp": {"type": "string", "format": "date-time", "description": "When the server took it."},
    "session": {"type": "string", "description": "Empty for what is of none, or of several."},
    "by": {"type": "string", "description": "The subject that caused it; `server:` for the server itself."},
    "rule": {"type": "string", "description": "The rule that told it."},
    "subject": {"type": "string", "description": "The person it is for, empty for none."},
}
