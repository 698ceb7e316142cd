"""Words of others on this terminal: what may be shown as it is, and what is only marked.

Knows nothing of colours or layout.
"""

import time
import unicodedata

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
#: Turn the reading direction of what follows, so that a line can read as what it is not.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNITS = ("B", "kB", "MB", "GB")


def clean(text: str, *, lines: bool = True) -> str:
    """Return `text` without anything that a terminal would obey; `lines` keeps line breaks, else they are blanks.

    What others wrote must not move the cursor, set the title or fill the clipboard.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(character, lines) for character in text.replace("\r\n", "\n"))


def _shown(character: str, lines: bool) -> str:
    if character == "\n":
        return "\n" if lines else " "
    if character == "\t":
        return "    "
    if character in _TURNING:
        return ""
    return _REPLACEMENT if unicodedata.category(character) in ("Cc", "Cs") else character


def plural(count: int, word: str) -> str:
    """Return `1 edit`, `2 edits`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def size(count_bytes: float) -> str:
    """Return a size as people read it."""
    for unit in _UNITS[:-1]:
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.1f} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.1f} {_UNITS[-1]}"


def ago(at_ms: int, now_ms: int) -> str:
    """Return how long ago `at_ms` was, in the largest unit that fits."""
    seconds = max(0, now_ms - at_ms) // 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return "just now"


def now_ms() -> int:
    """Return the time here, Unix ms."""
    return time.time_ns() // 1_000_000


def lasted(ms: int) -> str:
    """Return how long something takes or took, as people say it: `12 s`, `3 min`, `5 h`, `2 d`."""
    seconds = max(0, ms) // 1000
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def clock(at_ms: int) -> str:
    """Return the time of day of `at_ms` here, with the day if it is not today."""
    at = time.localtime(at_ms / 1000)
    today = time.localtime()
    return time.strftime("%H:%M" if at[:3] == today[:3] else "%d %b %H:%M", at)
