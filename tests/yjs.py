"""Stock Yjs in a Node child, to hold against pycrdt what the server accepts and serves."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.node import run_node


def in_yjs(updates: Sequence[bytes], roots: Mapping[str, str]) -> list[dict[str, object]]:
    """Return what a fresh Yjs document makes of each update; `roots` maps names to `text`, `map`, `array` or `xml`.

    Fails if Yjs throws or keeps something pending; skips where there is no Node or npm.
    """
    answers = answers_of([([update], roots) for update in updates])
    assert not [answer for answer in answers if "error" in answer]
    return [answer["json"] for answer in answers]


def answers_of(documents: Sequence[tuple[Sequence[bytes], Mapping[str, str]]]) -> list[dict[str, Any]]:
    """Return, for the updates and roots of each document, `json` and `content`, or the `error` that Yjs threw."""
    lines = [
        json.dumps({"updates": [base64.b64encode(update).decode() for update in updates], "roots": dict(roots)})
        for updates, roots in documents
    ]
    run = run_node("load.js", input="\n".join(lines))
    assert run.returncode == 0, run.stderr
    # JavaScript's numbers are floats, also where it writes them without a point.
    return [json.loads(line, parse_int=float) for line in run.stdout.strip("\n").split("\n")]
