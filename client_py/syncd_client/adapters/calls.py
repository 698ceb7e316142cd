"""Calls: the names of tool calls in one stream. Libraries and scripted models use one id twice, so an id names nothing.

Knows nothing of libraries.
"""

from __future__ import annotations


class Calls:
    """Gives each tool call of one stream a name of its own: the library's id, or that with a number behind it."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._last: dict[str, str] = {}

    def start(self, id: str | None) -> str:
        """Return the name of a new call for which the library says `id`."""
        id = id or "call"
        name, number = id, 2
        while name in self._names:
            name, number = f"{id}_{number}", number + 1
        self._names.add(name)
        self._last[id] = name
        return name

    def find(self, id: str | None) -> str:
        """Return the name of the last call for which the library said `id`; `id` itself if there was none."""
        id = id or "call"
        return self._last.get(id, id)

    def has(self, id: str | None) -> bool:
        """Whether a call of that id was started in this stream."""
        return (id or "call") in self._last
