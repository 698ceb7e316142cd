"""HTTP: what every request and every answer of the server has in common.

Errors with stable codes, the check of Origin and Host, headers, one log line and one count. Knows nothing of single
routes.
"""

import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from syncd.core.errors import CloseCode, RejectCode, Rejected, StorageFull, StoreDamaged, StoreError, SyncdError
from syncd.server.auth import BadToken, TooManyFailures
from syncd.server.invites import BadInvite
from syncd.server.services import ADDRESS, GRANT, SERVICES
from syncd.server.sessions import SessionGone

_log = structlog.get_logger("syncd.http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Said to whoever is to come back later, where nothing better is known.
RETRY_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code of an error answer: its status and what it means."""

    status: int
    meaning: str


#: Every code that an error answer may hold. Stable: clients act on them.
ERROR_CODES: dict[str, ErrorCode] = {
    "bad_request": ErrorCode(400, "The request is not well-formed HTTP, or not one this server understands."),
    "bad_json": ErrorCode(400, "The body is not JSON."),
    "bad_token": ErrorCode(401, "There is no token, or it is forged or malformed."),
    "token_expired": ErrorCode(401, "The token has expired; get a new one."),
    "token_revoked": ErrorCode(401, "The token was revoked."),
    "forbidden": ErrorCode(403, "The token lacks the right. Says nothing about whether a session exists."),
    "bad_invite": ErrorCode(403, "The code is no invite of this server."),
    "bad_origin": ErrorCode(403, "Web pages of this origin may not connect."),
    "bad_host": ErrorCode(403, "The server does not answer to this host name."),
    "not_found": ErrorCode(404, "There is no such thing, or the token does not name it."),
    "method_not_allowed": ErrorCode(405, "This path exists, with other methods."),
    "too_slow": ErrorCode(408, "The body was not complete in time."),
    "exists": ErrorCode(409, "There is a session with this id already."),
    "id_taken": ErrorCode(409, "There is a message, a run or a tool call with this id already, of somebody else."),
    "run_taken": ErrorCode(409, "Another worker has the run."),
    "run_ended": ErrorCode(409, "The run is over: nothing can be added to it."),
    "lease_lost": ErrorCode(409, "The attempt does not count any more, or nobody has it: stop working on it."),
    "out_of_order": ErrorCode(409, "Calls before this one are missing."),
    "invite_expired": ErrorCode(410, "The invite has expired; ask for a new one."),
    "invite_revoked": ErrorCode(410, "The invite was revoked; ask whoever sent it."),
    "too_large": ErrorCode(413, "The body, or a part of it, is over the limit."),
    "unsupported_media": ErrorCode(415, "The body must be application/json, not compressed."),
    "invalid": ErrorCode(422, "A field of the body, the query or the path is not as it must be."),
    "rejected": ErrorCode(422, "The session's rules refuse this content."),
    "rate_limited": ErrorCode(429, "Too many requests, or too many bad tokens; come back after Retry-After."),
    "internal": ErrorCode(500, "A mistake of the server's; it was logged."),
    "damaged": ErrorCode(500, "The session does not read back as it was written and is closed until it is restored."),
    "cannot_sign": ErrorCode(501, "This server only checks tokens that somebody else signs."),
    "draining": ErrorCode(503, "The server is shutting down; come back after Retry-After."),
    "not_ready": ErrorCode(503, "The server cannot serve right now; the message says why."),
    "storage_full": ErrorCode(507, "There is no space on the server's disk; reading goes on."),
    "session_full": ErrorCode(507, "The session has reached its size; it can be read and exported."),
}

_REJECTED = {
    RejectCode.FORBIDDEN: "forbidden",
    RejectCode.TOO_LARGE: "too_large",
    RejectCode.SESSION_FULL: "session_full",
    RejectCode.FOREIGN_ENTRY: "id_taken",
    RejectCode.OVERLAP: "id_taken",
}
_TOKEN_CODES = {CloseCode.TOKEN_EXPIRED: "token_expired", CloseCode.REVOKED: "token_revoked"}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media"}


class ApiError(SyncdError):
    """An error answer. `code` is one of `ERROR_CODES`, `hint` says what to do next."""

    def __init__(self, code: str, message: str = "", hint: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message or ERROR_CODES[code].meaning
        self.hint = hint
        self.retry_after_s = retry_after_s


def error_body(code: str, message: str, hint: str) -> dict[str, Any]:
    """Return the one shape of all error answers."""
    return {"error": {"code": code, "message": message, "hint": hint}}


def error_response(error: ApiError) -> web.Response:
    """Return the answer for an error."""
    status = ERROR_CODES[error.code].status
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.json_response(error_body(error.code, error.message, error.hint), status=status, headers=headers)


def translate(error: Exception) -> ApiError | None:
    """Return the error answer for what a route raised, None if it is a mistake of ours."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, BadToken):
        code = _TOKEN_CODES.get(error.code, "bad_token")
        return ApiError(code, error.reason, "Send a good one as 'Authorization: Bearer TOKEN'.")
    if isinstance(error, BadInvite):
        return ApiError(error.code, str(error), "Ask whoever sent it for a new one.")
    if isinstance(error, TooManyFailures):
        return ApiError("rate_limited", str(error), "Wait, then send a good token.", retry_after_s=error.retry_after_s)
    if isinstance(error, Rejected):
        return ApiError(_REJECTED.get(error.code, "rejected"), str(error))
    if isinstance(error, StorageFull):
        hint = "Nothing was half done; try again later."
        return ApiError("storage_full", hint=hint, retry_after_s=RETRY_AFTER_S)
    if isinstance(error, StoreDamaged):
        return ApiError("damaged", hint="Restore it from a backup or an export. Other sessions are not affected.")
    if isinstance(error, SessionGone) and error.code is CloseCode.DELETED:
        return ApiError("not_found", "the session was deleted")
    if isinstance(error, SessionGone):
        return ApiError("not_ready", "the session cannot be used right now", retry_after_s=RETRY_AFTER_S)
    if isinstance(error, StoreError):
        return ApiError("not_ready", "the store cannot be used right now", retry_after_s=RETRY_AFTER_S)
    return None


def _from_http_exception(error: web.HTTPException) -> web.Response:
    code = _HTTP_CODES.get(error.status, "bad_request" if error.status < 500 else "internal")
    response = error_response(ApiError(code, "" if error.status in _HTTP_CODES else error.reason))
    response.set_status(error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def route_template(request: web.Request) -> str:
    """Return the path of the route that serves a request, with names for ids; `-` if none does."""
    resource = request.match_info.route.resource
    return "-" if resource is None else resource.canonical


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make answers of errors, and log and count every request, once. The outermost."""
    services = request.app[SERVICES]
    request[ADDRESS] = services.addresses.of(request)
    started = time.perf_counter()
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _from_http_exception(error)
    except ConnectionError:
        if response_begun(request):
            raise
        # Whoever asked is gone: no mistake of ours, so no trace of it in the log for anybody to fill it with.
        response = error_response(ApiError("bad_request", "the connection was closed"))
    except Exception as error:
        known = translate(error)
        if known is None or known.code == "internal":
            _log.exception("request failed", method=request.method, route=route_template(request))
        if response_begun(request):
            raise
        response = error_response(known or ApiError("internal"))
    seconds = time.perf_counter() - started
    route, grant = route_template(request), request.get(GRANT)
    is_link = isinstance(response, web.WebSocketResponse)
    services.metrics.request(request.method, route, response.status, None if is_link else seconds)
    _log.info(
        "request",
        method=request.method,
        route=route,
        status=response.status,
        ms=round(seconds * 1e3, 1),
        subject=grant.subject if grant else "",
        jti=grant.token_id if grant else "",
    )
    return response


def response_begun(request: web.Request) -> bool:
    """Whether an answer was begun already, so that no other can be given."""
    return request.writer.output_size > 0


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check Host and Origin before anything else is done, and answer preflights."""
    policy = request.app[SERVICES].origins
    hosts = request.headers.getall("Host", [])
    if len(hosts) != 1 or not policy.host_allowed(hosts[0]):
        raise ApiError("bad_host", hint="Use a loopback name, or add this one to SYNCD_ALLOWED_HOSTS.")
    if not policy.origin_allowed(request.method, request.headers):
        raise ApiError("bad_origin", hint="Add the page's origin to SYNCD_ALLOWED_ORIGINS.")
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=policy.preflight_headers())
    return await handler(request)


async def secure_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers that every answer has. A signal, so that links' answers get them too."""
    headers = response.headers
    headers["Server"] = "syncd"  # In place of aiohttp's, which names versions.
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.update(request.app[SERVICES].origins.cors_headers(request.headers))
