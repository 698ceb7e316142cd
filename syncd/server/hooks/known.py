"""Known: what is known of sessions, read from the store when it is needed and kept for those that events come of.

Knows nothing of rules.
"""

from collections import OrderedDict
from typing import Final, TypeAlias

from syncd.server.hooks.happened import Happened, SessionFacts
from syncd.store.outbox import HookStore

#: A session and its incarnation; without one, the session as it is now.
Key: TypeAlias = tuple[str, str]

_SESSIONS_MAX: Final = 1_000


class Known:
    """Facts of sessions.

    1. What is here is what is stored; who finds that it could not store what it learned clears it.
    """

    def __init__(self, store: HookStore) -> None:
        self._store = store
        self._facts: OrderedDict[Key, SessionFacts] = OrderedDict()

    async def load(self, sessions: set[Key]) -> None:
        """Have these sessions known."""
        missing = [key for key in sessions if key not in self._facts]
        if missing:
            for key, kept in (await self._store.about(missing)).items():
                facts = self._facts[key] = SessionFacts()
                facts.load(kept)
        for key in [key for key in self._facts if key not in sessions][: max(0, len(self._facts) - _SESSIONS_MAX)]:
            del self._facts[key]

    def get(self, key: Key) -> SessionFacts:
        """Return what is known of a session, nothing if it was not loaded."""
        facts = self._facts.get(key)
        if facts is None:
            return SessionFacts()
        self._facts.move_to_end(key)
        return facts

    def of(self, event: Happened) -> SessionFacts:
        """Return what is known of an event's session."""
        return self.get((event.session, event.incarnation))

    def drop(self, session: str, *, unnamed: bool = False) -> None:
        """Forget a session; `unnamed`: only what was read without an incarnation, which is a copy."""
        for key in [key for key in self._facts if key[0] == session and (not unnamed or not key[1])]:
            del self._facts[key]

    def clear(self) -> None:
        """Forget all."""
        self._facts.clear()
