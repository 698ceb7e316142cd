"""Drafts: messages and commands as one session object makes them, with ids in the order they were made.

Knows nothing of documents or of storing.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from syncd.core.ids import uuid7
from syncd.core.messages import Json
from syncd.core.schema import NewCommand, NewMessage
from syncd_client.copy import now_ms


class Drafts:
    """Makes messages and commands.

    1. An id sorts behind all that were made here: what is not sent yet is shown in that order.
    """

    def __init__(self) -> None:
        self._last_ms = 0

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
            expires_at=None if expires_in_s is None else now + int(expires_in_s * 1000),
            metadata=metadata or {},
        )

    def command(self, kind: str, *, target: Mapping[str, str], payload: Json, expires_in_s: float | None) -> NewCommand:
        """Return a command."""
        id, now = self._id(), self._last_ms
        expires_at = None if expires_in_s is None else now + int(expires_in_s * 1000)
        return NewCommand(id, kind, now, target, payload, expires_at)
