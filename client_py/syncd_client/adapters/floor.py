"""Floor: who speaks, where several messages come at the same time, token by token.

A run's pieces are one row; parts of two messages mixed would be neither. Knows nothing of libraries.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

from syncd_client.adapters.pieces import Piece


class Floor:
    """Lets one speaker at a time be heard; what the others say meanwhile is kept until it is their turn."""

    def __init__(self) -> None:
        self._speaker: tuple[Hashable] | None = None
        self._waiting: dict[Hashable, list[Piece]] = {}
        self._ended: set[Hashable] = set()

    def say(self, speaker: Hashable, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Return what can be heard now of `pieces`; `speaker` takes the floor if nobody has it."""
        if self._speaker is None:
            self._speaker = (speaker,)
        return self.behind(speaker, pieces)

    def behind(self, speaker: Hashable, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """Return `pieces` now, or keep them behind what `speaker` is waiting to say. Does not take the floor."""
        if speaker in self._waiting or (self._speaker not in (None, (speaker,)) and speaker not in self._ended):
            self._waiting.setdefault(speaker, []).extend(pieces)
        else:
            yield from pieces

    def done(self, speaker: Hashable) -> Iterator[Piece]:
        """`speaker` said it all: return what the next ones have waited to say."""
        self._ended.add(speaker)
        if self._speaker != (speaker,):
            return
        self._speaker = None
        while self._waiting and self._speaker is None:
            following = next(iter(self._waiting))
            yield from self._waiting.pop(following)
            if following not in self._ended:
                self._speaker = (following,)

    def end(self) -> Iterator[Piece]:
        """Nobody says more: return all that waited."""
        for pieces in self._waiting.values():
            yield from pieces
        self._waiting.clear()
