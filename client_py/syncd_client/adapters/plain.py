"""Plain: what libraries hand over, as JSON that a transcript can hold.

Knows nothing of any one library.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from syncd.core.messages import Json


def arguments(text: str | None) -> Json:
    """Return a call's arguments as JSON; the text itself if it is none, as models do write."""
    if not text or not text.strip():
        return {}
    try:
        return plain(json.loads(text))
    except ValueError:
        return text


def plain(value: Any, *, depth_max: int = 24) -> Json:
    """Return any value as JSON: what libraries hand over is models, dataclasses and objects of the app's own.

    What no document can hold becomes a string: integers beyond 2^53, such as long ids, NaN, infinity, and what is
    nested deeper than `depth_max`. Halves of surrogate pairs become a `?`.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if not depth_max or isinstance(value, str):
        return str(value).encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_key(key): plain(member, depth_max=depth_max - 1) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(member, depth_max=depth_max - 1) for member in value]
    if hasattr(value, "model_dump"):
        # What was never said stays unsaid: a provider takes back what it gave, not our reading of it.
        return plain(value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return plain(made, depth_max=depth_max)
    return plain(str(value))


def _key(key: Any) -> str:
    name = str(key).encode(errors="replace").decode()
    return "_proto_" if name == "__proto__" else name  # JavaScript cannot read that key.


def counts(**values: int | None) -> dict[str, int]:
    """Return the counts that are known."""
    return {name: value for name, value in values.items() if value is not None}
