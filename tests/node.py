"""Node programs: those of the tests, with the npm packages pinned in `tests/js`, and the tools of `web_client`."""

import shutil
import subprocess
from pathlib import Path

import pytest

_PLACE = Path(__file__).parent / "js"
#: The browser client: its own programs run on its own packages.
WEB_CLIENT = Path(__file__).parents[1] / "web_client"


def installed(place: Path = _PLACE) -> str | None:
    """Return the path of a Node, with the packages of the lock file in `place` installed; None without Node or npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    lock, installed_from = place / "package-lock.json", place / "node_modules" / ".package-lock.json"
    if not installed_from.exists() or installed_from.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=place, check=True, capture_output=True, timeout=110)
    return node


def run_node(script: str, *arguments: str, input: str = "", place: Path = _PLACE) -> "subprocess.CompletedProcess[str]":
    """Run a program of `place`, after installing what it needs; skip where there is no Node or npm."""
    node = installed(place)
    if node is None:
        pytest.skip("install node and npm to run this test")
    command = [node, script, *arguments]
    return subprocess.run(command, cwd=place, input=input, capture_output=True, text=True, timeout=120)


def run_npm(*arguments: str, timeout_s: float = 110.0) -> None:
    """Run npm in `web_client`, after installing what it needs; skip without npm. Fails with what it said."""
    if installed(WEB_CLIENT) is None:
        pytest.skip("install node and npm to run this test")
    ran = subprocess.run(["npm", *arguments], cwd=WEB_CLIENT, capture_output=True, text=True, timeout=timeout_s)
    assert ran.returncode == 0, f"npm {' '.join(arguments)}: {ran.stdout[-2_000:]}{ran.stderr[-2_000:]}"
