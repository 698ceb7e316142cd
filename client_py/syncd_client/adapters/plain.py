"""Plain: what libraries hand over, as JSON that a transcript can hold.

Knows nothing of any one library.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from syncd.core.messages import Json

_FLOAT_MAX: Final = sys.float_info.max


def arguments(text: str | None) -> Json:
    """Return a call's arguments as JSON; the text itself if it is none, as models do write."""
    if not text or not text.strip():
        return {}
    try:
        return plain(json.loads(text))
    except ValueError:
        return text


def plain(value: Any) -> Json:
    """Return any value as JSON: what libraries hand over is models, dataclasses and objects of the app's own.

    Numbers that no float64 holds exactly, such as long ids, become strings; halves of surrogate pairs a `?`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if abs(value) <= _FLOAT_MAX and float(value) == value else str(value)
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(member) for member in value]
    if hasattr(value, "model_dump"):
        # What was never said stays unsaid: a provider takes back what it gave, not our reading of it.
        return plain(value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return str(value)


def counts(**values: int | None) -> dict[str, int]:
    """Return the counts that are known."""
    return {name: value for name, value in values.items() if value is not None}
