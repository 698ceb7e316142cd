"""Node programs of the tests, with the npm packages they need, pinned beside them."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_PLACE = Path(__file__).parent / "js"
#: The browser client: its own programs run on its own packages.
WEB_CLIENT = Path(__file__).parents[1] / "web_client"


def installed(place: Path = _PLACE) -> str | None:
    """Return the path of a Node, with what the programs need installed; None without Node or npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    package = json.loads((place / "package.json").read_text(encoding="utf-8"))
    wanted = {**package["dependencies"], **package.get("devDependencies", {})}
    if not all((place / "node_modules" / name).exists() for name in wanted):
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=place, check=True, capture_output=True, timeout=90)
    return node


def run_node(script: str, *arguments: str, input: str = "", place: Path = _PLACE) -> "subprocess.CompletedProcess[str]":
    """Run a program of `place`, after installing what it needs; skip where there is no Node or npm."""
    node = installed(place)
    if node is None:
        pytest.skip("install node and npm to run this test")
    command = [node, script, *arguments]
    return subprocess.run(command, cwd=place, input=input, capture_output=True, text=True, timeout=120)
