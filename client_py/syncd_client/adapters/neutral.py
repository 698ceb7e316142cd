"""Neutral: streams that are pieces already, or nothing but text. Knows nothing of libraries."""

from collections.abc import Iterable, Iterator
from typing import Any

from syncd_client.adapters.pieces import PIECES, Piece, Text

UNDERSTOOD = "an async iterator of strings, or of pieces"


class Neutral:
    """Strings become text, pieces stay what they are."""

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is of such a stream."""
        return isinstance(item, (str, *PIECES))

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        if not isinstance(item, str):
            yield item
        elif item:
            yield Text(item)

    def end(self) -> Iterable[Piece]:
        """Return what is left when the stream ended."""
        return ()
