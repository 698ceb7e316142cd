"""Invites: codes that let whoever has one into one session, in a role, until they expire or are revoked.

Nothing of them is stored but revocations: a code says itself what it is for, signed by this server. Knows nothing of
requests, or of how sessions are kept.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from syncd.core.errors import CloseCode, SyncdError
from syncd.core.grant import MEMBER_RIGHTS, Grant, Right
from syncd.server.auth import Auth, BadToken, Minted

Role = Literal["viewer", "commenter", "editor"]
#: What a role may do; reading goes without saying. There is none with `admin`: a link is passed on too easily for that.
ROLES: Mapping[Role, frozenset[Right]] = {
    "viewer": frozenset({Right.PRESENCE}),
    "commenter": frozenset({Right.PRESENCE, Right.TRANSCRIPT}),
    "editor": MEMBER_RIGHTS,
}
#: How long a token lives that an invite was redeemed for. Then it is redeemed again, if it still is good.
TOKEN_TTL_S = 3_600.0
#: A guest is `user:guest-` and a hash of the secret that their device keeps.
GUEST_PREFIX = "user:guest-"

_PURPOSE = "invite"


class BadInvite(SyncdError):
    """A code was refused. `code` is one of `bad_invite`, `invite_expired`, `invite_revoked`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class TooMuch(SyncdError):
    """The invite would allow what whoever makes it may not do."""


@dataclass(frozen=True, slots=True)
class Invite:
    """What a code says. `incarnation` is the session's: of one that was deleted and made anew, it is no invite.

    `name` is what a guest is called who gives no name; `by` made it. Times are in seconds of the Unix epoch.
    """

    invite_id: str
    session: str
    incarnation: str
    role: Role
    rights: frozenset[Right]
    by: str
    name: str
    expires_at: float
    via: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Welcomed:
    """A token for a session, and whom it names."""

    minted: Minted
    subject: str
    name: str
    rights: frozenset[Right]


class Invites:
    """Makes codes, and tokens of codes.

    1. A code never allows more than whoever made it might do then.
    2. A code is no token and a token is no code: they are signed for different purposes.
    3. What is revoked takes along what came of it: an invite its tokens, a token the invites made and the tokens got
       with it, and a subject the invites made by it.
    4. A token that was got with another does not outlive that one, nor its invite.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def make(
        self, inviter: Grant, session: str, incarnation: str, role: Role, *, ttl_s: float, name: str = ""
    ) -> Minted:
        """Return a code for `session`. Its id is what to revoke.

        Raises:
            TooMuch: the inviter has fewer rights than the role.
            LocalProtocolError: this server cannot sign.
        """
        lacking = ROLES[role] - (inviter.rights(session) or frozenset())
        if lacking:
            raise TooMuch(f"a {role} has rights that you have not: {', '.join(sorted(lacking))}")  # Invariant 1.
        claims: dict[str, Any] = {
            "session": session,
            "incarnation": incarnation,
            "role": role,
            "rights": sorted(ROLES[role]),
            "by": inviter.subject,
            "name": name,
            "via": [*filter(None, [inviter.token_id]), *inviter.via],
        }
        return self._auth.seal(_PURPOSE, claims, ttl_s=ttl_s)

    def read(self, code: str) -> Invite:
        """Return what a code says.

        Raises:
            BadToken: it is none of this server's, or no longer one. `bad_invite` says it as it is to be told.
        """
        claims = self._auth.unseal(_PURPOSE, code)  # Invariant 2.
        invite = Invite(
            claims["jti"],
            claims["session"],
            claims["incarnation"],
            claims["role"],
            frozenset(Right(right) for right in claims["rights"]),
            claims["by"],
            claims["name"],
            claims["exp"],
            tuple(claims["via"]),
        )
        if self._auth.revoked((*_names_of(invite), *invite.via), invite.by, claims["iat"]):  # Invariant 3.
            raise BadToken("the invite was revoked", CloseCode.REVOKED)
        return invite

    def redeem(self, invite: Invite, *, name: str = "", guest_key: str = "", known: Grant | None = None) -> Welcomed:
        """Return a token for the invite's session.

        `known` is who they are already: the token is theirs, with this session besides. A `known` that never expires is
        of the development mode, where it proves nothing: it gives its name, and the invite alone the rights. Without
        one they are a guest: with the same `guest_key`, a secret of their device, the same guest again.

        Raises:
            LocalProtocolError: this server cannot sign, or the token would be too large.
        """
        sessions: dict[str, frozenset[Right]] = {}
        via = [*_names_of(invite), *invite.via]  # Invariant 3.
        expires_at_max = invite.expires_at  # Invariant 4.
        rights = invite.rights
        if known is None:
            secret = guest_key or secrets.token_urlsafe(24)
            subject = GUEST_PREFIX + hashlib.sha256(b"syncd guest\0" + secret.encode()).hexdigest()[:24]
            called = name or invite.name or "Guest"
        else:
            subject, called = known.subject, known.name
            if known.expires_at is not None:
                sessions = dict(known.sessions)
                rights |= known.rights(invite.session) or frozenset()
                via += [known.token_id, *known.via]
                expires_at_max = min(expires_at_max, known.expires_at)
        minted = self._auth.mint(
            subject,
            {**sessions, invite.session: rights},
            name=called,
            ttl_s=min(TOKEN_TTL_S, self._auth.ttl_max_s),
            expires_at_max=expires_at_max,
            via=list(dict.fromkeys(via)),
        )
        return Welcomed(minted, subject, called, rights)

    async def revoke(self, session: str, invite_id: str) -> None:
        """Make an invite of `session` worthless, and with it every token it was redeemed for; their links are cut.

        What is revoked is the invite of that session alone: whoever may do that has no power over other tokens.

        Raises:
            OSError: the list could not be written; nothing is revoked.
        """
        await self._auth.revoke(token_id=f"{session}/{invite_id}")


def bad_invite(error: BadToken) -> BadInvite:
    """Return what to say of a code that was refused, in words for people who followed a link."""
    if error.code is CloseCode.TOKEN_EXPIRED:
        return BadInvite("invite_expired", "the invite has expired")
    if error.code is CloseCode.REVOKED:
        return BadInvite("invite_revoked", "the invite was revoked")
    return BadInvite("bad_invite", "this is no invite of this server, or its key is another one by now")


def _names_of(invite: Invite) -> tuple[str, str]:
    """Under what an invite can be revoked: by those who have power over its session, and by operators."""
    return f"{invite.session}/{invite.invite_id}", invite.invite_id
