"""Stock Yjs in a Node child, to hold against pycrdt what the server accepts and serves."""

import base64
import json
from collections.abc import Mapping, Sequence

from tests.node import run_node


def in_yjs(updates: Sequence[bytes], roots: Mapping[str, str]) -> list[dict[str, object]]:
    """Return what a fresh Yjs document makes of each update; `roots` maps names to `text`, `map` or `array`.

    Fails if Yjs throws or keeps something pending; skips where there is no Node or npm.
    """
    lines = [json.dumps({"update": base64.b64encode(update).decode(), "roots": dict(roots)}) for update in updates]
    run = run_node("load.js", input="\n".join(lines))
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert not [answer for answer in answers if "error" in answer]
    return [answer["json"] for answer in answers]
