"""Grant: what a verified token allows. The one thing the core sees of a token.

Knows nothing of JWT, keys or revocation lists.
"""

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What a grant may allow on a session. Reading is implied by any entry, even an empty one."""

    TRANSCRIPT = "transcript"
    STATE = "state"
    PRESENCE = "presence"
    COMMAND = "command"
    ADMIN = "admin"


ALL_RIGHTS = frozenset(Right)
#: A person or an agent who takes part.
MEMBER_RIGHTS = frozenset({Right.TRANSCRIPT, Right.STATE, Right.PRESENCE, Right.COMMAND})


@dataclass(frozen=True, slots=True)
class Grant:
    """Who a peer is and what it may do, until when.

    `sessions` pairs a pattern, an id or a prefix followed by `*`, with its rights. `expires_at` is in seconds of the
    Unix epoch, None for never (only the development mode's grant). `token_id` is the token's `jti`, for revocation;
    `via` names the invites and tokens that this one was got by, and whose revocation is its own.
    """

    subject: str
    name: str
    kind: str
    sessions: tuple[tuple[str, frozenset[Right]], ...]
    expires_at: float | None = None
    token_id: str = ""
    via: tuple[str, ...] = ()

    def rights(self, session: str) -> frozenset[Right] | None:
        """Return the rights on `session`, or None if the grant does not name it at all.

        An exact id counts before a prefix, a longer prefix before a shorter one.
        """
        best: frozenset[Right] | None = None
        best_length = -1
        for pattern, rights in self.sessions:
            if pattern == session:
                return rights
            if pattern.endswith("*") and session.startswith(pattern[:-1]) and len(pattern) > best_length:
                best, best_length = rights, len(pattern)
        return best

    def revoked_by(self, token_ids: frozenset[str], subjects: frozenset[str]) -> bool:
        """Whether the grant ends by the revocation of these tokens, invites and subjects."""
        return self.subject in subjects or self.token_id in token_ids or not token_ids.isdisjoint(self.via)

    def expired(self, now_s: float) -> bool:
        """Whether the grant has ended at `now_s` (Unix epoch). No grace after `exp`."""
        return self.expires_at is not None and now_s >= self.expires_at
