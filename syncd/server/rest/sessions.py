"""The routes of sessions and their messages.

Each checks the grant, then asks the sessions. Knows nothing of documents.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Grant, Right
from syncd.core.ids import is_id, uuid7
from syncd.server.http import ApiError
from syncd.server.rest.models import (
    CreateSession,
    ExportQuery,
    HistoryQuery,
    ListQuery,
    MessagesAnswer,
    PostedMessage,
    PostMessage,
    SearchAnswer,
    SearchHitAnswer,
    SearchQuery,
    SessionAnswer,
    SessionsAnswer,
    WholeSession,
)
from syncd.server.rest.route import Call, absent, reply
from syncd.server.services import SessionsPort
from syncd.store.log import SessionInfo

_EXPORT_TYPES = {"json": ("application/json", "json"), "markdown": ("text/markdown", "md")}


async def create(call: Call) -> web.Response:
    """Create a session: 201, or 200 and the one that is there."""
    session = call.body(CreateSession).session or uuid7(time.time_ns() // 1_000_000, secrets.token_bytes(10))
    rights = call.grant.rights(session) or frozenset()
    if not rights & {Right.TRANSCRIPT, Right.STATE, Right.ADMIN}:
        raise ApiError("forbidden", "the token may not create this session", "It must name it, with a right to write.")
    existing = await call.services.sessions.info(session)
    info = existing or await call.services.sessions.create(session)
    headers = {"Location": f"/v1/sessions/{session}"}
    return reply(_row(info), status=200 if existing else 201, headers=headers)


async def list_(call: Call) -> web.Response:
    """Return a page of the sessions that the grant names."""
    query = call.query(ListQuery)
    limit = min(query.limit, call.services.limits.page_max)
    rows = await visible(call.services.sessions, call.grant, after=query.after, limit=limit)
    following = rows[-1].session if len(rows) == limit else ""
    return reply(SessionsAnswer(sessions=[_row(info) for info in rows], next=following))


async def read(call: Call) -> web.Response:
    """Return a whole session."""
    call.require()
    with _absent_is_not_found():
        content = await call.services.sessions.read(call.session)
    return reply(WholeSession.model_construct(**content))


async def history(call: Call) -> web.Response:
    """Return a page of messages."""
    call.require()
    query = call.query(HistoryQuery)
    limit = min(query.limit, call.services.limits.page_max)
    with _absent_is_not_found():
        messages = await call.services.sessions.history(call.session, before=query.before, limit=limit)
    before = messages[0]["seq"] if len(messages) == limit else None
    return reply(MessagesAnswer.model_construct(messages=list(messages), before=before))


async def post(call: Call) -> web.Response:
    """Post a message; answered once it is on disk."""
    call.require(Right.TRANSCRIPT)
    body = call.body(PostMessage)
    chars_max = call.services.limits.message_chars_max
    if len(body.text) > chars_max:
        raise ApiError("too_large", f"the text is over {chars_max} characters")
    with _absent_is_not_found(), _misuse_is_invalid():
        posted = await call.services.sessions.post(
            call.session,
            call.grant,
            text=body.text,
            role=body.role,
            to=body.to,
            metadata=body.metadata,
            message=body.id,
        )
    return reply(PostedMessage(**posted), status=201)


async def export(call: Call) -> web.Response:
    """Return a session as a file."""
    call.require()
    form = call.query(ExportQuery).format
    with _absent_is_not_found():
        data = await call.services.sessions.export(call.session, form)
    content_type, ending = _EXPORT_TYPES[form]
    headers = {"Content-Disposition": f'attachment; filename="{call.session}.{ending}"'}
    return web.Response(body=data, content_type=content_type, charset="utf-8", headers=headers)


async def import_(call: Call) -> web.Response:
    """Create a session from its export. Brings others' words with it, hence for those with all rights on it."""
    if not any(Right.ADMIN in rights for _, rights in call.grant.sessions):
        raise ApiError(
            "forbidden", "an import needs all rights on the session", "Ask for a token with all rights on it."
        )
    try:
        info = await call.services.sessions.import_(call.raw_body, call.grant)
    except FileExistsError:
        raise ApiError("exists", hint="Delete that session first, or change the id in the file.") from None
    return reply(_row(info), status=201, headers={"Location": f"/v1/sessions/{info.session}"})


async def delete(call: Call) -> web.Response:
    """Erase a session for good."""
    call.require(Right.ADMIN)
    if not await call.services.sessions.delete(call.session):
        raise absent()
    return web.Response(status=204)


async def search(call: Call) -> web.Response:
    """Return messages that hold all words, of the sessions that the grant names."""
    query = call.query(SearchQuery)
    hits = await call.services.sessions.search(
        query.q,
        allowed=lambda session: call.grant.rights(session) is not None,
        limit=min(query.limit, call.services.limits.page_max),
    )
    answers = [SearchHitAnswer(session=hit.session, message=hit.message, excerpt=hit.excerpt) for hit in hits]
    return reply(SearchAnswer(hits=answers))


async def visible(sessions: SessionsPort, grant: Grant, *, after: str, limit: int) -> Sequence[SessionInfo]:
    """Return up to `limit` sessions that `grant` names, ids above `after`, in order of id.

    Asks for what the grant's patterns name, so that it costs the grant's sessions and not the server's.
    """
    found: dict[str, SessionInfo] = {}
    patterns = [pattern for pattern, _ in grant.sessions]
    prefixes = {pattern[:-1] for pattern in patterns if pattern.endswith("*")}
    prefixes = {p for p in prefixes if not any(p.startswith(q) and p != q for q in prefixes)}
    for prefix in prefixes:
        rows = await sessions.list(after=max(after, prefix), limit=limit)
        found |= {info.session: info for info in rows if info.session.startswith(prefix)}
    # A prefix itself may be a session's id, and `list` begins behind it.
    exact = {p for p in patterns if not p.endswith("*")} | {p for p in prefixes if is_id(p)}
    wanted = sorted(p for p in exact if p > after and p not in found)
    hits = 0
    for session in wanted:
        if hits == limit:
            break
        if (info := await sessions.info(session)) is not None:
            found[session] = info
            hits += 1
    return [found[session] for session in sorted(found)[:limit]]


@contextmanager
def _absent_is_not_found() -> Iterator[None]:
    try:
        yield
    except LookupError as error:
        if type(error) is not LookupError:
            raise  # A KeyError or IndexError is a mistake of ours.
        raise absent() from None


@contextmanager
def _misuse_is_invalid() -> Iterator[None]:
    try:
        yield
    except LocalProtocolError as error:
        raise ApiError("invalid", str(error)) from None


def _row(info: SessionInfo) -> SessionAnswer:
    return SessionAnswer(
        session=info.session,
        incarnation=info.incarnation,
        created_at=info.created_at_ms,
        updated_at=info.updated_at_ms,
        version=info.version,
        entries=info.entries,
        bytes=info.log_bytes,
        damaged=bool(info.damaged),
    )
