"""Watchers: who wants to know at once that entries of a transcript changed, and waits for what they then say.

Knows nothing of what entries hold.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import structlog

_log = structlog.get_logger("syncd.client")

T = TypeVar("T")
#: Gets the (root, key) of what changed; nothing at all if anything may have.
Watcher = Callable[[Sequence[tuple[str, str]]], None]


class Watchers:
    """The watchers of one session.

    1. One that raises stops neither the others nor the session.
    2. Nobody waits for what will not be heard any more.
    """

    def __init__(self) -> None:
        self._watchers: dict[object, Watcher] = {}
        self._closed: Exception | None = None

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Tell `watcher` from now on; return what ends that."""
        key = object()
        self._watchers[key] = watcher
        return lambda: self._watchers.pop(key, None) and None

    def tell(self, entries: Sequence[tuple[str, str]] = ()) -> None:
        """These entries changed; without any, everything may have."""
        for watcher in list(self._watchers.values()):
            try:
                watcher(entries)
            except Exception:  # noqa: BLE001 - invariant 1
                _log.exception("watcher_failed")

    def close(self, error: Exception) -> None:
        """Nothing changes any more: whoever waits, or will, is told `error`."""
        self._closed = error
        self.tell()

    async def until(self, look: Callable[[], T | None], *, roots: Collection[str]) -> T:
        """Return the first that `look` finds: now, or when something under one of `roots` changed.

        Raises:
            LocalProtocolError: the session was closed here before that.
        """
        found = look()
        if found is not None:
            return found
        changed = asyncio.Event()

        def note(entries: Sequence[tuple[str, str]]) -> None:
            if not entries or any(root in roots for root, _ in entries):
                changed.set()

        remove = self.add(note)
        try:
            while (found := look()) is None:
                if self._closed is not None:  # Invariant 2.
                    raise self._closed
                await changed.wait()
                changed.clear()
            return found
        finally:
            remove()
