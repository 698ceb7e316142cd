"""Durations as people write them: seconds, a `timedelta`, or a text such as `2d`, `90m` or `1h30m`."""

import re
from datetime import timedelta
from typing import Final

from syncd.core.errors import LocalProtocolError

#: Seconds as a number, a `timedelta`, or a text of numbers with units: d, h, m, s.
Duration = float | str | timedelta
_UNITS_S: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PIECE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])\s*")


def seconds(duration: Duration) -> float:
    """Return a duration in seconds.

    Raises:
        LocalProtocolError: it is none, or negative.
    """
    if isinstance(duration, timedelta):
        found = duration.total_seconds()
    elif isinstance(duration, str):
        pieces = _PIECE.findall(duration)
        if not pieces or _PIECE.sub("", duration):
            raise LocalProtocolError(f"{duration!r} is no duration: write seconds, or such as '2d', '90m', '1h30m'")
        found = sum(float(number) * _UNITS_S[unit] for number, unit in pieces)
    else:
        found = float(duration)
    if not 0 <= found < float("inf"):
        raise LocalProtocolError(f"a duration of {duration!r} is none")
    return found
