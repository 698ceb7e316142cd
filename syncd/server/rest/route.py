"""Route: what a REST route is, and the one pipeline every request goes through.

Rate, token, id, query, body, in this order, before a handler sees anything. Knows nothing of what handlers do.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from syncd.core.grant import Grant, Right
from syncd.core.ids import is_id
from syncd.server.http import RETRY_AFTER_S, ApiError
from syncd.server.problems import problems_of
from syncd.server.ratelimit import Buckets
from syncd.server.rest.models import Body, Query
from syncd.server.services import ADDRESS, GRANT, Services

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a handler sees it: checked, with the services at hand."""

    request: web.Request
    services: Services
    token: Grant | None
    session: str
    parsed_query: Query | None
    parsed_body: Body | None
    raw_body: bytes

    @property
    def grant(self) -> Grant:
        """What the token allows. Only on routes that need one."""
        assert self.token is not None
        return self.token

    def query(self, model: type[_M]) -> _M:
        """Return the query; `model` is the one the route names."""
        assert isinstance(self.parsed_query, model)
        return self.parsed_query

    def body(self, model: type[_M]) -> _M:
        """Return the body; `model` is the one the route names."""
        assert isinstance(self.parsed_body, model)
        return self.parsed_body

    def require(self, *rights: Right) -> None:
        """Go on only if the grant has one of `rights` on the session, or, given none, may read it.

        Raises:
            ApiError: 404 if the grant does not name the session, just as if it was absent; 403 if a right is lacking.
        """
        held = self.grant.rights(self.session)
        if held is None:
            raise absent()
        if rights and not held.intersection(rights):
            raise ApiError(
                "forbidden",
                f"this needs one of the rights {', '.join(rights)} on the session",
                "Ask for a token with that right.",
            )


def absent() -> ApiError:
    """Return the one answer for a session that is not there and for one that the token does not name."""
    hint = "Check the id; the token must name it, too."
    return ApiError("not_found", "there is no such session, or the token does not name it", hint)


@dataclass(frozen=True, slots=True)
class Route:
    """One route: how it is reached, what it takes and gives, and what can go wrong.

    `errors` are the codes of its own; those of the pipeline follow from the other fields. `body` is a model, or
    `bytes` for one that is passed on as it is. `media` are the content types of answers that are not `answer`.
    `passed_on` describes such a body, or such an answer if it is JSON; nothing is checked by it.
    `may_have_token` is for those that need none and look at one that is sent along.
    `limited` is false for links, which have limits of their own.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Callable[[Call], Awaitable[web.StreamResponse]]
    status: int = 200
    answer: type[BaseModel] | None = None
    body: type[Body] | type[bytes] | None = None
    query: type[Query] | None = None
    errors: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    passed_on: type[BaseModel] | None = None
    needs_token: bool = True
    may_have_token: bool = False
    while_draining: bool = False
    limited: bool = True
    other_statuses: dict[int, str] = field(default_factory=dict)

    def all_errors(self) -> tuple[str, ...]:
        """Return every code this route may answer with."""
        codes = {"bad_origin", "bad_host", "internal", *self.errors}
        if self.limited:
            codes.add("rate_limited")
        if self.needs_token or self.may_have_token:
            codes |= {"bad_token", "token_expired", "token_revoked"}
        if not self.while_draining:
            codes.add("draining")
        if "{" in self.path or self.query is not None or self.body is not None:
            codes.add("invalid")
        if self.body is not None:
            codes |= {"bad_json", "too_slow", "too_large", "unsupported_media"}
        return tuple(sorted(codes))


class Pipeline:
    """Turns a `Route` into an aiohttp handler.

    1. A handler runs only after rate, token, id, query and body were found good.
    2. No body is read before the token was found good, and never more of it than the limit. A body takes its time: the
       token is found good again behind it, so that none is acted for that was revoked or expired meanwhile.
    """

    def __init__(self, services: Services, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._monotonic = monotonic
        limits = services.limits
        self._buckets = Buckets(limits.requests_per_s, limits.requests_burst)

    def handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return the aiohttp handler of `route`."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await route.handler(await self._call(route, request))

        return handle

    async def _call(self, route: Route, request: web.Request) -> Call:
        services = self._services
        if services.lifecycle.draining and not route.while_draining:
            raise ApiError("draining", hint="Come back in a moment.", retry_after_s=RETRY_AFTER_S)
        grant = self._grant(request) if route.needs_token else None
        if route.limited:
            self._limit(f"subject {grant.subject}" if grant else f"address {request[ADDRESS]}")
        session = request.match_info.get("session", "")
        for name, id in request.match_info.items():
            if not is_id(id):
                raise ApiError("invalid", f"a {name}'s id is 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'")
        query = None if route.query is None else _parse_query(request, route.query)
        raw, body = b"", None
        if route.body is bytes:
            raw = await read_body(request, services.limits.import_bytes_max, services.limits.body_timeout_s)
        elif route.body is not None and issubclass(route.body, Body):
            raw = await read_body(request, services.limits.body_bytes_max, services.limits.body_timeout_s)
            body = _parse_body(raw, route.body)
        if grant is not None and route.body is not None:
            grant = self._grant(request)  # Invariant 2.
        return Call(request, services, grant, session, query, body, raw)

    def _grant(self, request: web.Request) -> Grant:
        grant = self._services.auth.admit(bearer(request), request[ADDRESS])
        request[GRANT] = grant
        return grant

    def _limit(self, key: str) -> None:
        wait_s = self._buckets.admit(key, self._monotonic())
        if wait_s > 0.0:
            raise ApiError("rate_limited", "too many requests", "Send fewer at a time.", retry_after_s=wait_s)


def bearer(request: web.Request) -> str:
    """Return the token of the Authorization header, empty if there is none or it is of another scheme."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def read_body(request: web.Request, bytes_max: int, timeout_s: float) -> bytes:
    """Return the whole body.

    Raises:
        ApiError: it is no JSON by its type, compressed, too large or too slow.
    """
    if request.content_type != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        raise ApiError("unsupported_media", hint="Send 'Content-Type: application/json' and do not compress.")
    too_large = ApiError("too_large", f"the body is over {bytes_max} bytes")
    if (request.content_length or 0) > bytes_max:
        raise too_large
    chunks, size = [], 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > bytes_max:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise ApiError("too_slow") from None
    return b"".join(chunks)


def _parse_body(raw: bytes, model: type[_M]) -> _M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        code = "bad_json" if any(e["type"] == "json_invalid" for e in error.errors(include_input=False)) else "invalid"
        raise ApiError(code, describe(error)) from None


def _parse_query(request: web.Request, model: type[_M]) -> _M:
    if len(set(request.query)) < len(request.query):
        raise ApiError("invalid", "a name stands twice in the query")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise ApiError("invalid", describe(error)) from None


def describe(error: ValidationError, where: str = "") -> str:
    """Say which fields are wrong, and how, without repeating what they held. `where` is what they are fields of."""
    above = [where] if where else []
    lines = [f"{'.'.join([*above, *p.path])}: {p.message}".removeprefix(": ") for p in problems_of(error)[:8]]
    return "; ".join(lines)[:1_000]


def reply(model: BaseModel, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return an answer."""
    body = model.__pydantic_serializer__.to_json(model)
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
