"""The routes of invites: made and revoked by those with the right admin on the session, redeemed by whoever has one."""

import structlog
from aiohttp import web

from syncd.core.errors import LocalProtocolError
from syncd.core.grant import Right
from syncd.server.auth import BadToken
from syncd.server.http import ApiError
from syncd.server.invites import Invites, TooMuch, bad_invite
from syncd.server.rest.models import MadeInvite, MakeInvite, RedeemedInvite, RedeemInvite
from syncd.server.rest.route import Call, absent, bearer, reply
from syncd.server.services import ADDRESS

_log = structlog.get_logger("syncd.invites")


async def make(call: Call) -> web.Response:
    """Make an invite to the session."""
    call.require(Right.ADMIN)
    _can_sign(call)
    body = call.body(MakeInvite)
    if body.expires_in_s > (longest_s := call.services.invite_ttl_max_s):
        raise ApiError("invalid", f"expires_in_s: an invite is good for {longest_s:.0f} s at most")
    info = await call.services.sessions.info(call.session)
    if info is None:
        raise absent()
    try:
        made = Invites(call.services.auth).make(
            call.grant, call.session, info.incarnation, body.role, ttl_s=body.expires_in_s, name=body.name
        )
    except TooMuch as error:
        raise ApiError(
            "forbidden", str(error), "Invite in a lesser role, or have somebody with these rights do it."
        ) from None
    _log.info("invite_made", invite=made.token_id, by=call.grant.subject, role=body.role)
    answer = MadeInvite(code=made.token, invite=made.token_id, role=body.role, expires_at=made.expires_at)
    return reply(answer, status=201)


async def revoke(call: Call) -> web.Response:
    """Revoke an invite: nobody gets in by it any more, and who did is cut off before the answer is sent."""
    call.require(Right.ADMIN)
    await Invites(call.services.auth).revoke(call.session, call.request.match_info["invite"])
    return web.Response(status=204)


async def redeem(call: Call) -> web.Response:
    """Redeem an invite for a token: of the subject whose token is sent along, else of a guest."""
    _can_sign(call)
    auth, address = call.services.auth, call.request[ADDRESS]
    body = call.body(RedeemInvite)
    known = auth.admit(bearer(call.request), address) if "Authorization" in call.request.headers else None
    invites = Invites(auth)
    try:
        with auth.counting(address):
            invite = invites.read(body.code)
    except BadToken as error:
        raise bad_invite(error) from None
    info = await call.services.sessions.info(invite.session)
    if info is None or info.incarnation != invite.incarnation:
        raise ApiError("not_found", "the session of this invite is no longer there", "Ask whoever sent it.")
    try:
        got = invites.redeem(invite, name=body.name, guest_key=body.guest_key or "", known=known)
    except LocalProtocolError as error:
        raise ApiError("invalid", str(error)) from None
    _log.info("invite_redeemed", invite=invite.invite_id, by=invite.by, subject=got.subject, jti=got.minted.token_id)
    answer = RedeemedInvite(
        token=got.minted.token,
        token_id=got.minted.token_id,
        expires_at=got.minted.expires_at,
        session=invite.session,
        subject=got.subject,
        name=got.name,
        role=invite.role,
        rights=sorted(got.rights),
    )
    return reply(answer, status=201)


def _can_sign(call: Call) -> None:
    if not call.services.auth.can_mint:
        raise ApiError("cannot_sign", hint="Tokens of this server are made elsewhere: ask whoever makes them.")
