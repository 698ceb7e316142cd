"""Revocations: tokens and subjects that are no longer believed, kept in a small file next to the store.

Knows nothing of JWT or of links; it is told what to revoke and until when that matters.
"""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

from syncd.core.errors import StoreDamaged

#: Told the token ids and the subjects that were just revoked; cuts their links.
OnRevoke = Callable[[frozenset[str], frozenset[str]], None]


class Revocations:
    """The revocation list of one server.

    1. A revocation is on disk before `revoke_*` returns, and before any link is cut: a restart does not undo it.
    2. An entry is dropped once every token it could concern has expired, so the list does not grow for ever.
    3. A list that does not read is an error at the start, never an empty list.

    `path` None keeps it in memory only. Set `on_revoke` before the first link is accepted.
    """

    def __init__(self, path: Path | None) -> None:
        self.on_revoke: OnRevoke | None = None
        self._path = path
        self._writing = asyncio.Lock()
        self._tokens: dict[str, float] = {}
        self._subjects: dict[str, tuple[float, float]] = {}
        if path is not None:
            self._load(path)

    def revoked(self, *, token_id: str, subject: str, issued_at: float) -> bool:
        """Whether a token is revoked: by its id, or because it was issued no later than its subject was revoked."""
        entry = self._subjects.get(subject)
        return token_id in self._tokens or (entry is not None and issued_at <= entry[0])

    async def revoke_token(self, token_id: str, *, until: float, now: float) -> None:
        """Refuse the token with this `jti` until `until` (Unix s), by when it has expired anyway.

        Raises:
            OSError: the list could not be written; nothing is revoked.
        """
        await self._add({token_id: until}, {}, now)

    async def revoke_subject(self, subject: str, *, until: float, now: float) -> None:
        """Refuse all tokens of `subject` issued up to `now`; those issued later are good.

        Raises:
            OSError: the list could not be written; nothing is revoked.
        """
        await self._add({}, {subject: (now, until)}, now)

    async def _add(self, tokens: dict[str, float], subjects: dict[str, tuple[float, float]], now: float) -> None:
        async with self._writing:
            merged_tokens = {k: until for k, until in (self._tokens | tokens).items() if until > now}
            merged_subjects = {k: pair for k, pair in (self._subjects | subjects).items() if pair[1] > now}
            if self._path is not None:
                text = json.dumps({"version": 1, "tokens": merged_tokens, "subjects": merged_subjects})
                await asyncio.to_thread(_replace, self._path, text)  # Invariant 1.
            self._tokens, self._subjects = merged_tokens, merged_subjects  # Invariant 2.
        if self.on_revoke is not None:
            self.on_revoke(frozenset(tokens), frozenset(subjects))

    def _load(self, path: Path) -> None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            self._tokens = {str(k): float(until) for k, until in data["tokens"].items()}
            self._subjects = {str(k): (float(at), float(until)) for k, (at, until) in data["subjects"].items()}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # Invariant 3.
            raise StoreDamaged(
                f"the revocation list {path} does not read ({type(error).__name__}). Restore it from a backup; or "
                f"change the signing keys, so that no old token is good, and remove the file."
            ) from error


def _replace(path: Path, text: str) -> None:
    """Write `text` to `path` so that a crash at any moment leaves the old or the new one."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
