"""How a vector is written down: bytes as hex, fields as JSON, one case a line. README.md beside it has the format.

Knows nothing of what the vectors are about.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PLACE = Path(__file__).parent / "v1"
#: So many equal bytes in a row are written as one group.
_RUN = re.compile(rb"(.)\1{255,}", re.DOTALL)
_GROUP = re.compile(r"\(([0-9a-f]{2})\*(\d+)\)")

Vectors = Mapping[str, Any]


def to_hex(data: bytes) -> str:
    """Return bytes as hex; 256 or more equal ones in a row as `(00*256)`."""
    out, at = "", 0
    for match in _RUN.finditer(data):
        out += data[at : match.start()].hex() + f"({match[1].hex()}*{len(match[0])})"
        at = match.end()
    return out + data[at:].hex()


def from_hex(text: str) -> bytes:
    """Return the bytes that `to_hex` wrote."""
    return bytes.fromhex(_GROUP.sub(lambda group: group[1] * int(group[2]), text))


def to_json(value: Any) -> Any:
    """Return a frame's field as JSON: bytes as `{"$bytes": hex}`, an entry of the presence as its array."""
    if isinstance(value, bytes):
        return {"$bytes": to_hex(value)}
    if dataclasses.is_dataclass(value):
        return [to_json(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return {str(key): to_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    return value


def render(vectors: Vectors) -> str:
    """Return a file of vectors: one line for each of its fields, and for each item of its arrays of objects."""
    lines = []
    for key, value in vectors.items():
        if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            # ASCII alone: text that runs from right to left would hide what a line holds.
            items = ",\n".join("    " + json.dumps(item) for item in value)
            lines.append(f"  {json.dumps(key)}: [\n{items}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
