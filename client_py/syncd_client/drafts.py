"""Drafts: messages and commands as one session object makes them, with ids in the order they were made.

Knows nothing of documents or of storing.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from syncd.core.ids import uuid7
from syncd.core.messages import Json
from syncd.core.schema import NewCommand, NewMessage
from syncd_client.copy import now_ms


class Drafts:
    """Makes messages and commands.

    1. An id sorts behind all that were made here: what is not sent yet is shown in that order.
    2. What expires does so by the server's clock, as far as that is known: this machine's own may be set wrong.
    """

    def __init__(self, clock_ahead_ms: Callable[[], int]) -> None:
        """`clock_ahead_ms` returns how far the server's clock is ahead of this machine's."""
        self._clock_ahead_ms = clock_ahead_ms
        self._last_ms = 0

    def _expires_at(self, now_ms: int, expires_in_s: float | None) -> int | None:
        if expires_in_s is None:
            return None
        return max(0, now_ms + self._clock_ahead_ms()) + int(expires_in_s * 1000)  # Invariant 2.

    def _id(self) -> str:
        self._last_ms = max(now_ms(), self._last_ms + 1)  # Invariant 1.
        return uuid7(self._last_ms, secrets.token_bytes(10))

    def message(
        self,
        subject: str,
        *,
        role: str,
        to: Sequence[str],
        parent: str | None,
        metadata: Mapping[str, Json] | None,
        fork_of: str | None = None,
        parts: Sequence[Mapping[str, Any]] = (),
        expires_in_s: float | None = None,
    ) -> NewMessage:
        """Return a message that claims to be by `subject`."""
        kind, _, name = subject.partition(":")
        id, now = self._id(), self._last_ms
        return NewMessage(
            id=id,
            role=role,
            author={"kind": kind or "user", "name": name},
            parts=parts,
            to=to,
            created_at=now,
            parent=parent,
            fork_of=fork_of,
            expires_at=self._expires_at(now, expires_in_s),
            metadata=metadata or {},
        )

    def command(self, kind: str, *, target: Mapping[str, str], payload: Json, expires_in_s: float | None) -> NewCommand:
        """Return a command."""
        id, now = self._id(), self._last_ms
        return NewCommand(id, kind, now, target, payload, self._expires_at(now, expires_in_s))
