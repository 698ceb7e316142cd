"""Node programs of the tests, with the npm packages they need, pinned in `tests/js`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_PLACE = Path(__file__).parent / "js"


def installed() -> str | None:
    """Return the path of a Node, with what the programs need installed; None without Node or npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    wanted = json.loads((_PLACE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    if not all((_PLACE / "node_modules" / name).exists() for name in wanted):
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=_PLACE, check=True, capture_output=True, timeout=90)
    return node


def run_node(script: str, *arguments: str, input: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a program of `tests/js`, after installing what it needs; skip where there is no Node or npm."""
    node = installed()
    if node is None:
        pytest.skip("install node and npm to run this test")
    command = [node, script, *arguments]
    return subprocess.run(command, cwd=_PLACE, input=input, capture_output=True, text=True, timeout=120)
