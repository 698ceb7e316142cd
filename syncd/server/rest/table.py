"""The table of all REST routes: what is served, and what the OpenAPI page says.

A route that is not here does not exist; the console's pages, which are no part of the API, are `syncd.server.console`.
"""

from aiohttp import web

from syncd.server.openapi import document
from syncd.server.rest import health, runs, sessions, tokens
from syncd.server.rest import models as m
from syncd.server.rest import run_models as r
from syncd.server.rest.route import Call, Pipeline, Route
from syncd.server.services import Services

_WRITE_ERRORS = ("forbidden", "storage_full")
_RUN_ERRORS = (
    "not_found",
    "damaged",
    "run_ended",
    "lease_lost",
    "rejected",
    "id_taken",
    "session_full",
    "not_ready",
    *_WRITE_ERRORS,
)


async def openapi(call: Call) -> web.Response:
    """Return this table as an OpenAPI page."""
    return web.json_response(document(ROUTES))


async def link(call: Call) -> web.StreamResponse:
    """Serve a link. Its token comes with the upgrade or in its first frame."""
    return await call.services.links.sync_handler(call.request)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/sessions",
        "createSession",
        "Create a session",
        sessions.create,
        status=201,
        answer=m.SessionAnswer,
        body=m.CreateSession,
        errors=_WRITE_ERRORS,
        other_statuses={200: "It was there already."},
    ),
    Route(
        "GET",
        "/v1/sessions",
        "listSessions",
        "List the sessions the token names",
        sessions.list_,
        answer=m.SessionsAnswer,
        query=m.ListQuery,
    ),
    Route(
        "POST",
        "/v1/sessions/import",
        "importSession",
        "Create a session from its export",
        sessions.import_,
        status=201,
        answer=m.SessionAnswer,
        body=bytes,
        passed_on=m.SessionExport,
        errors=(*_WRITE_ERRORS, "exists", "rejected", "session_full"),
    ),
    Route(
        "GET",
        "/v1/sessions/{session}",
        "readSession",
        "Read a whole session",
        sessions.read,
        answer=m.WholeSession,
        errors=("not_found", "damaged"),
    ),
    Route(
        "DELETE",
        "/v1/sessions/{session}",
        "deleteSession",
        "Erase a session for good",
        sessions.delete,
        status=204,
        errors=("not_found", *_WRITE_ERRORS),
    ),
    Route(
        "GET",
        "/v1/sessions/{session}/messages",
        "listMessages",
        "Read a page of messages",
        sessions.history,
        answer=m.MessagesAnswer,
        query=m.HistoryQuery,
        errors=("not_found", "damaged"),
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/messages",
        "postMessage",
        "Post a message",
        sessions.post,
        status=201,
        answer=m.PostedMessage,
        body=m.PostMessage,
        errors=("not_found", "damaged", "id_taken", "rejected", "session_full", *_WRITE_ERRORS),
    ),
    Route(
        "GET",
        "/v1/sessions/{session}/export",
        "exportSession",
        "Export a session, lossless or to be read",
        sessions.export,
        query=m.ExportQuery,
        media=("application/json", "text/markdown"),
        passed_on=m.SessionExport,
        errors=("not_found", "damaged"),
    ),
    Route(
        "GET",
        "/v1/search",
        "search",
        "Find messages by their words",
        sessions.search,
        answer=m.SearchAnswer,
        query=m.SearchQuery,
    ),
    Route(
        "GET",
        "/v1/work",
        "waitForWork",
        "Wait for work of an agent",
        runs.work,
        answer=r.WorkAnswer,
        query=r.WorkQuery,
        errors=("forbidden", "not_ready"),
    ),
    Route(
        "GET",
        "/v1/sessions/{session}/runs",
        "listRuns",
        "List the newest runs of a session",
        runs.list_,
        answer=r.RunsAnswer,
        query=r.RunsQuery,
        errors=("not_found", "damaged"),
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/runs",
        "startRun",
        "Claim a run, or begin one",
        runs.start,
        status=201,
        answer=r.StartedRun,
        body=r.StartRun,
        errors=("run_taken", *_RUN_ERRORS),
    ),
    Route(
        "GET",
        "/v1/sessions/{session}/runs/{run}",
        "readRun",
        "Read a run",
        runs.read,
        answer=r.RunFacts,
        errors=("not_found", "damaged"),
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/runs/{run}/parts",
        "writeParts",
        "Append parts to a run's message",
        runs.write,
        answer=r.WrittenParts,
        body=r.WriteParts,
        errors=("out_of_order", *_RUN_ERRORS),
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/runs/{run}/consumed",
        "consumeSteers",
        "Say that steers were taken",
        runs.consume,
        answer=r.RunAnswer,
        body=r.ConsumeSteers,
        errors=_RUN_ERRORS,
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/runs/{run}/status",
        "setRunStatus",
        "Say whether a run waits for somebody",
        runs.set_status,
        answer=r.RunAnswer,
        body=r.SetRunStatus,
        errors=_RUN_ERRORS,
    ),
    Route(
        "POST",
        "/v1/sessions/{session}/runs/{run}/end",
        "endRun",
        "End a run",
        runs.end,
        answer=r.RunAnswer,
        body=r.EndRun,
        errors=_RUN_ERRORS,
    ),
    Route(
        "GET",
        "/v1/sessions/{session}/runs/{run}/events",
        "waitForEvents",
        "Wait for steers, a cancel and decisions",
        runs.events,
        answer=r.EventsAnswer,
        query=r.EventsQuery,
        media=("text/event-stream",),
        errors=("not_found", "damaged", "forbidden", "lease_lost", "not_ready"),
    ),
    Route(
        "POST",
        "/v1/tokens",
        "mintToken",
        "Mint a token",
        tokens.mint,
        status=201,
        answer=m.MintedToken,
        body=m.MintToken,
        errors=("forbidden", "cannot_sign"),
    ),
    Route(
        "POST",
        "/v1/tokens/revoke",
        "revokeTokens",
        "Revoke one token, or all of a subject",
        tokens.revoke,
        status=204,
        body=m.RevokeTokens,
        errors=("forbidden",),
    ),
    Route(
        "GET",
        "/v1/sync",
        "sync",
        "Open a link: WebSocket, subprotocol syncd.v1",
        link,
        status=101,
        needs_token=False,
        limited=False,
        errors=("bad_request",),
    ),
    Route(
        "GET",
        "/v1/openapi.json",
        "openapi",
        "This description",
        openapi,
        needs_token=False,
        media=("application/json",),
    ),
    Route(
        "GET",
        "/v1/console",
        "console",
        "What the console has to know before anybody has signed in",
        health.console,
        answer=m.ConsoleAnswer,
        needs_token=False,
    ),
    Route(
        "GET",
        "/healthz",
        "healthz",
        "Whether the process is up",
        health.healthz,
        answer=m.Status,
        needs_token=False,
        while_draining=True,
    ),
    Route(
        "GET",
        "/readyz",
        "readyz",
        "Whether the server can serve",
        health.readyz,
        answer=m.Status,
        needs_token=False,
        while_draining=True,
        errors=("draining", "not_ready"),
    ),
    Route(
        "GET",
        "/metrics",
        "metrics",
        "Counters for Prometheus",
        health.metrics,
        needs_token=False,
        while_draining=True,
        media=("text/plain",),
    ),
)


def add_routes(app: web.Application, services: Services) -> None:
    """Serve every route of the table."""
    pipeline = Pipeline(services)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, pipeline.handler(route), name=route.name)
