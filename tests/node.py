"""Node programs: those of the tests, with the npm packages pinned in `tests/js`, and the tools of `web_client`."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_PLACE = Path(__file__).parent / "js"
WEB_CLIENT = Path(__file__).parent.parent / "web_client"


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


def run_npm(*arguments: str, timeout_s: float = 110.0) -> None:
    """Run npm in `web_client`, after `npm ci` where its packages are not those of the lock file; skip without npm.

    Fails with what it said.
    """
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("install node and npm to run this test")
    lock, installed_from = WEB_CLIENT / "package-lock.json", WEB_CLIENT / "node_modules" / ".package-lock.json"
    commands = [list(arguments)]
    if not installed_from.exists() or installed_from.stat().st_mtime < lock.stat().st_mtime:
        commands.insert(0, ["ci", "--no-audit", "--no-fund"])
    for command in commands:
        ran = subprocess.run([npm, *command], cwd=WEB_CLIENT, capture_output=True, text=True, timeout=timeout_s)
        assert ran.returncode == 0, f"npm {' '.join(command)}: {ran.stdout[-2_000:]}{ran.stderr[-2_000:]}"
