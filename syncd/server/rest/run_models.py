"""Models of the routes of work and runs. Shapes only."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from syncd.core.work import ATTEMPTS_MAX
from syncd.server.rest.models import Answer, Body, Id, JsonObject, Query

#: Numbers that are written into a session: what every client reads exactly.
_COUNT_MAX = (1 << 31) - 1


def _whole(value: object) -> object:
    """JSON knows no integers: 3.0 is 3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


RunId = Annotated[Id, Field(max_length=48, json_schema_extra={"pattern": "^[A-Za-z0-9_-]{1,48}$"})]
Whole = Annotated[int, BeforeValidator(_whole)]
UnixMs = Annotated[int, Field(ge=0, lt=1 << 53), BeforeValidator(_whole)]
Attempt = Annotated[
    int,
    Field(ge=1, le=_COUNT_MAX, description="The attempt that is yours, as the claim told."),
    BeforeValidator(_whole),
]
WaitS = Annotated[
    float, Field(ge=0, allow_inf_nan=False, description="How long to wait for something, in seconds; bounded.")
]


class StartRun(Body):
    """Claim the run `run`, or the one that answers `message`; or begin one of the agent's own."""

    worker: Id = Field(description="This process; another one, or the same started again, has another id.")
    run: RunId | None = Field(None, description="The run that was offered. One that nobody knows is begun.")
    message: Id | None = Field(None, description="The message to answer.")
    parent_run: Id | None = Field(None, description="Of a run that is begun: the one it is a part of.")
    task: str | None = Field(None, max_length=4_096, description="Of a run that is begun: what it is about.")
    policy: Literal["wait", "retry", "fail"] = Field("retry", description="What happens if this worker is lost.")
    attempts_max: Whole = Field(3, ge=1, le=ATTEMPTS_MAX, description="With `retry`: attempts in all.")
    key: Id | None = Field(None, description="With neither `run` nor `message`: the same key again is the same run.")


class WriteParts(Body):
    """Append parts to the run's message."""

    attempt: Attempt
    n: Whole = Field(ge=1, le=_COUNT_MAX, description="Number of this call, from 1: the same number again writes once.")
    parts: list[JsonObject] = Field(
        min_length=1, max_length=64, description="Text and reasoning go on where the last part of their type ended."
    )


class ConsumeSteers(Body):
    """Say that steers were taken."""

    attempt: Attempt
    commands: list[Id] = Field(min_length=1, max_length=64, description="`command` of each steer.")


class SetRunStatus(Body):
    """Say whether the run waits for somebody."""

    attempt: Attempt
    status: Literal["running", "suspended", "detached"]
    wake_at: UnixMs | None = Field(
        None, description="When the run is offered again if its worker is gone by then, Unix ms."
    )


class RunFailure(Body):
    """Why a run failed."""

    code: str = Field(min_length=1, max_length=64)
    message: str = Field("", max_length=4_096)


class EndRun(Body):
    """End a run."""

    attempt: Attempt
    status: Literal["completed", "failed", "cancelled"] = "completed"
    finish_reason: str | None = Field(None, max_length=256)
    error: RunFailure | None = None
    usage: JsonObject | None = Field(None, description="What it cost, such as `input_tokens`.")


class WorkQuery(Query):
    """Who asks for work, and how much."""

    worker: Id
    slots: int = Field(1, ge=1, description="How many runs this worker is at, at most; suspended ones do not count.")
    per_session: int = Field(1, ge=1, le=_COUNT_MAX, description="Live runs of this agent in one session at most.")
    wait_s: WaitS = 30.0


class EventsQuery(Query):
    """What is known already."""

    attempt: int = Field(ge=1, le=_COUNT_MAX)
    after: int = Field(
        0, ge=0, le=(1 << 53) - 1, description="Only what has a `seq` above: `next` of the answer before."
    )
    wait_s: WaitS = 30.0


class RunsQuery(Query):
    """How many runs."""

    limit: int = Field(100, ge=1)


class OfferedWork(Answer):
    """A run that waits. `message` is empty for one without; `attempt` the last one there was, 0 for none."""

    session: str
    run: str
    message: str
    attempt: int


class WorkAnswer(Answer):
    """What is offered: claim it within ten seconds. Empty: ask again."""

    work: list[OfferedWork]


class RunAnswer(Answer):
    """How a run stands after what was asked."""

    run: str
    attempt: int
    status: str


class StartedRun(RunAnswer):
    """A run that is yours. `written` is the number of the last call of parts that is in."""

    message: str | None
    written: int


class WrittenParts(RunAnswer):
    """Parts that are on disk."""

    written: int


class EventsAnswer(Answer):
    """What happened. `next` is what to give as `after`; `over` that no more will come, and nothing may be written."""

    events: list[dict[str, Any]]
    next: int
    over: bool


class RunFacts(Answer):
    """One run."""

    id: str
    agent: str
    status: str = Field(description="queued, running, suspended, interrupted, completed, failed or cancelled.")
    lease: str
    attempt: int
    since: int = Field(description="Output of attempts below is superseded.")
    message: str | None = None
    parent_run: str | None = None
    task: str | None = None
    by: str | None = Field(None, description="Whose message or entry made it.")
    worker: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    expires_at: int | None = None
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    provider: dict[str, Any] | None = None
    consumed: dict[str, int] | None = Field(None, description="Steers that were taken, and when.")
    cancelled_by: str | None = None
    written: int | None = None


class RunsAnswer(Answer):
    """The newest runs, oldest first."""

    runs: list[RunFacts]
