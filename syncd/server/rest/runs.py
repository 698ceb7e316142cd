"""The routes of work and runs, for agents that have no link.

Each checks the grant, then asks the runs. Knows nothing of leases or documents.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from aiohttp import web

from syncd.core.errors import CloseCode, LocalProtocolError, SyncdError
from syncd.core.grant import Right
from syncd.core.messages import Json
from syncd.server.auth import BadToken
from syncd.server.http import RETRY_AFTER_S, ApiError
from syncd.server.rest import run_models as m
from syncd.server.rest.route import Call, absent, bearer, reply
from syncd.server.run_records import OVER, RunRecords, RunRefused, Start
from syncd.server.sessions import SessionGone
from syncd.server.workers import TooManyWaits

EVENT_STREAM = "text/event-stream"
#: So often something is written to a stream of events, so that proxies and a reader that hung up are noticed.
_HEARTBEAT_S = 15.0
_HINTS = {
    "not_found": "Check the id.",
    "run_taken": "Leave it, and ask for other work.",
    "run_ended": "Stop working on it.",
    "lease_lost": "Stop working on it; what was written is kept, but does not count.",
    "id_taken": "Name the tool calls of an attempt RUN-ATTEMPT_1, RUN-ATTEMPT_2 and so on.",
    "out_of_order": "Send the calls that are missing; GET of the run tells `written`, the last one that is in.",
}


async def work(call: Call) -> web.Response:
    """Wait for work of the token's agent. Whoever asks is offered some; claim it by starting the run."""
    query = call.query(m.WorkQuery)
    with _refusals():
        offered = await _runs(call).work(
            call.grant,
            query.worker,
            slots=query.slots,
            per_session=query.per_session,
            wait_s=query.wait_s,
            here=_here(call),
        )
    answers = [
        m.OfferedWork(session=work.session, run=work.run, message=work.message, attempt=work.attempt)
        for work in offered
    ]
    return reply(m.WorkAnswer(work=answers))


async def start(call: Call) -> web.Response:
    """Claim a run, or begin one. The same again gives the same answer."""
    call.require(Right.TRANSCRIPT)
    body = call.body(m.StartRun)
    asked = Start(**body.model_dump())
    with _refusals():
        started = await _runs(call).start(call.session, call.grant, asked)
    return reply(m.StartedRun.model_validate(started), status=201)


async def write(call: Call) -> web.Response:
    """Append parts to the run's message; answered once they are on disk."""
    call.require(Right.TRANSCRIPT)
    body = call.body(m.WriteParts)
    chars_max = call.services.limits.message_chars_max
    if sum(len(json.dumps(part, ensure_ascii=False)) for part in body.parts) > chars_max:
        raise ApiError("too_large", f"the parts are over {chars_max} characters", "Send them in several calls.")
    with _refusals():
        written = await _runs(call).write(call.session, call.grant, _run(call), body.attempt, body.n, body.parts)
    return reply(m.WrittenParts.model_validate(written))


async def consume(call: Call) -> web.Response:
    """Say that steers were taken: their senders see it."""
    call.require(Right.TRANSCRIPT)
    body = call.body(m.ConsumeSteers)
    with _refusals():
        answer = await _runs(call).consume(call.session, call.grant, _run(call), body.attempt, body.commands)
    return reply(m.RunAnswer.model_validate(answer))


async def set_status(call: Call) -> web.Response:
    """Say whether the run waits for somebody. One that is suspended does not lose its lease."""
    call.require(Right.TRANSCRIPT)
    body = call.body(m.SetRunStatus)
    with _refusals():
        answer = await _runs(call).set_status(
            call.session, call.grant, _run(call), body.attempt, body.status, wake_at=body.wake_at
        )
    return reply(m.RunAnswer.model_validate(answer))


async def end(call: Call) -> web.Response:
    """End a run. The same again gives the same answer."""
    call.require(Right.TRANSCRIPT)
    body = call.body(m.EndRun)
    fields = body.model_dump(exclude_none=True, exclude={"attempt"})
    with _refusals():
        answer = await _runs(call).end(call.session, call.grant, _run(call), body.attempt, fields)
    return reply(m.RunAnswer.model_validate(answer))


async def list_(call: Call) -> web.Response:
    """Return the newest runs of a session."""
    call.require()
    limit = min(call.query(m.RunsQuery).limit, call.services.limits.page_max)
    with _refusals():
        runs = await _runs(call).list(call.session, limit=limit)
    return reply(m.RunsAnswer(runs=[m.RunFacts.model_validate(run) for run in runs]))


async def read(call: Call) -> web.Response:
    """Return one run."""
    call.require()
    with _refusals():
        run = await _runs(call).read(call.session, _run(call))
    return reply(m.RunFacts.model_validate(run))


async def events(call: Call) -> web.StreamResponse:
    """Wait for what a run's worker has to know: steers, a cancel, decisions, that its lease is lost or the run over.

    With `Accept: text/event-stream` it is a stream, which `Last-Event-ID` takes up again.
    """
    call.require(Right.TRANSCRIPT)
    query = call.query(m.EventsQuery)
    if EVENT_STREAM in call.request.headers.get("Accept", ""):
        return await _stream(call, query)
    found = await _events(call, query.attempt, query.after, query.wait_s)
    over = any(event["type"] in OVER for event in found)
    return reply(m.EventsAnswer(events=[dict(e) for e in found], next=_position(found, query.after), over=over))


async def _stream(call: Call, query: m.EventsQuery) -> web.StreamResponse:
    last = call.request.headers.get("Last-Event-ID", "")
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 17 else query.after
    found = await _events(call, query.attempt, after, 0.0)  # Before the stream begins, so that errors are answers.
    response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "X-Accel-Buffering": "no"})
    await response.prepare(call.request)
    try:
        while True:
            await response.write(b"".join(map(_frame, found)) or b": here\n\n")
            after = _position(found, after)
            if any(event["type"] in OVER for event in found) or _ends(call):
                break
            found = await _events(call, query.attempt, after, _HEARTBEAT_S)
    except (SyncdError, ConnectionError):
        pass  # A stream has no error answer: whoever comes back is told.
    return response


def _ends(call: Call) -> bool:
    """Whether nothing more may be told: the server goes away, or the token expired or was revoked."""
    try:
        call.services.auth.verify(bearer(call.request))
    except BadToken:
        return True
    return call.services.lifecycle.draining


async def _events(call: Call, attempt: int, after: int, wait_s: float) -> Sequence[Mapping[str, Json]]:
    with _refusals():
        return await _runs(call).events(
            call.session, call.grant, _run(call), attempt, after=after, wait_s=wait_s, here=_here(call)
        )


def _position(events: Sequence[Mapping[str, Json]], after: int) -> int:
    return max([after, *(int(event["seq"]) for event in events if "seq" in event)])


def _frame(event: Mapping[str, Json]) -> bytes:
    id = f"id: {event['seq']}\n" if event.get("seq") else ""
    return f"{id}event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _run(call: Call) -> str:
    return call.request.match_info["run"]


def _runs(call: Call) -> RunRecords:
    runs = call.services.runs
    if runs is None:
        raise ApiError("not_ready", "this server has no runs")
    return runs


def _here(call: Call) -> Callable[[], bool]:
    request = call.request

    def here() -> bool:
        return request.transport is not None and not request.transport.is_closing()

    return here


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except RunRefused as error:
        raise ApiError(error.code, str(error), _HINTS[error.code]) from None
    except TooManyWaits as error:
        raise ApiError("rate_limited", str(error), "Let fewer wait.", retry_after_s=RETRY_AFTER_S) from None
    except SessionGone as error:
        if error.code in (CloseCode.FORBIDDEN, CloseCode.DELETED):
            raise absent() from None
        if error.code is CloseCode.DAMAGED:
            raise ApiError("damaged") from None
        raise
    except LocalProtocolError as error:
        raise ApiError("invalid", str(error)) from None
