"""The routes that mint and revoke tokens.

For those who have the right admin on `*` only: whoever mints decides who somebody is, and that must not follow from
power over single sessions.
"""

from aiohttp import web

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Right
from syncd.server.http import ApiError
from syncd.server.rest.models import MintedToken, MintToken, RevokeTokens
from syncd.server.rest.route import Call, reply


async def mint(call: Call) -> web.Response:
    """Mint a token."""
    _require_admin(call)
    if not call.services.auth.can_mint:
        raise ApiError("cannot_sign", hint="Ask whoever holds the private key.")
    body = call.body(MintToken)
    try:
        minted = call.services.auth.mint(body.sub, body.sessions, name=body.name, ttl_s=body.ttl_s)
    except LocalProtocolError as error:
        raise ApiError("invalid", str(error)) from None
    answer = MintedToken(token=minted.token, token_id=minted.token_id, expires_at=minted.expires_at)
    return reply(answer, status=201)


async def revoke(call: Call) -> web.Response:
    """Revoke tokens; links that used them are cut before the answer is sent."""
    _require_admin(call)
    body = call.body(RevokeTokens)
    if (body.token_id is None) == (body.subject is None):
        raise ApiError("invalid", "name a token_id or a subject, one of the two")
    await call.services.auth.revoke(token_id=body.token_id, subject=body.subject)
    return web.Response(status=204)


def _require_admin(call: Call) -> None:
    if Right.ADMIN not in (call.grant.rights("*") or ()):
        raise ApiError("forbidden", "this needs the right admin on '*'", "Use an operator's token.")
