"""Transcript: a session's messages as the lines that fit a window, newest at the bottom.

Knows nothing of sessions or keys: it asks for the messages when it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.formatted_text import ANSI, StyleAndTextTuples, to_formatted_text
from prompt_toolkit.layout import UIContent, UIControl
from rich.text import Text

from syncd.cli import paint
from syncd.cli.outcomes import Outcome
from syncd.core.transcript import MessageView

_EMPTY = "Nothing here yet. Write something, or /help."


class Transcript(UIControl):
    """The window above the line to type in.

    1. Only the messages from the last line shown upwards are painted, and each again only after it changed.
    """

    def __init__(
        self,
        messages: Callable[[], Sequence[MessageView]],
        outcome: Callable[[MessageView], Outcome] = lambda _: Outcome(),
    ) -> None:
        self._messages = messages
        self._outcome = outcome
        self._painted: dict[str, tuple[MessageView, tuple[int, Outcome], list[StyleAndTextTuples]]] = {}
        self._height = 1
        #: How many lines of the transcript lie below the window.
        self.below = 0

    def scroll(self, pages: int) -> None:
        """Go `pages` up, or down if it is negative."""
        self.below = max(0, self.below + pages * max(1, self._height - 2))

    def to_end(self) -> None:
        """Show the newest line."""
        self.below = 0

    def create_content(self, width: int, height: int | None) -> UIContent:
        """See `UIControl.create_content`."""
        self._height = height or 1
        lines = self._lines(width, self._height + self.below)
        self.below = min(self.below, max(0, len(lines) - self._height))
        shown = lines[: len(lines) - self.below][-self._height :]
        padded: list[StyleAndTextTuples] = [[] for _ in range(self._height - len(shown))] + shown
        return UIContent(get_line=lambda number: padded[number], line_count=len(padded), show_cursor=False)

    def _lines(self, width: int, count: int) -> list[StyleAndTextTuples]:
        """Return at least the last `count` lines, if there are as many."""
        found: list[list[StyleAndTextTuples]] = []
        total = 0
        for view in reversed(self._messages()):  # Invariant 1.
            lines = self._paint(view, width)
            found.append(lines)
            total += len(lines)
            if total >= count:
                break
        if not found:
            return [to_formatted_text(ANSI(line)) for line in paint.to_lines(Text(_EMPTY, style="dim"), width)]
        return [line for lines in reversed(found) for line in lines]

    def _paint(self, view: MessageView, width: int) -> list[StyleAndTextTuples]:
        painted = self._painted.get(view.id)
        how = (width, self._outcome(view))
        if painted is None or painted[0] is not view or painted[1] != how:
            lines = ["", *paint.to_lines(paint.message(view, how[1]), width)]
            painted = self._painted[view.id] = (view, how, [to_formatted_text(ANSI(line)) for line in lines])
        return painted[2]
