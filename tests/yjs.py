"""Stock Yjs in a Node child, to hold against pycrdt what the server accepts and serves."""

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

_PLACE = Path(__file__).parent / "js"


def in_yjs(updates: Sequence[bytes], roots: Mapping[str, str]) -> list[dict[str, object]]:
    """Return what a fresh Yjs document makes of each update; `roots` maps names to `text`, `map` or `array`.

    Fails if Yjs throws or keeps something pending; skips where there is no Node or npm.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Yjs needs node and npm: install them to run this test")
    if not (_PLACE / "node_modules" / "yjs").exists():
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=_PLACE, check=True, capture_output=True, timeout=90)
    lines = [json.dumps({"update": base64.b64encode(update).decode(), "roots": dict(roots)}) for update in updates]
    command = [node, "load.js"]
    run = subprocess.run(command, cwd=_PLACE, input="\n".join(lines), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert not [answer for answer in answers if "error" in answer]
    return [answer["json"] for answer in answers]
