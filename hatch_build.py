"""Build hook: the console goes into wheel and sdist, built by npm. An sdist has it already and needs no Node."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):
    """Builds `web_client/app` into `syncd/static` and has that packed, which git ignores."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the console, unless this is an editable install, which serves what `make web` builds."""
        if version == "editable":
            return
        root = Path(self.root)
        unpacked_sdist = (root / "PKG-INFO").exists()
        if not unpacked_sdist:
            if os.environ.get("SYNCD_WITHOUT_CONSOLE"):
                return
            _build(root / "web_client")
        build_data["artifacts"].append("syncd/static")


def _build(web_client: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(
            "building syncd from a checkout needs npm, for the console: install Node 20.19 or newer, or set "
            "SYNCD_WITHOUT_CONSOLE=1 for a package without it"
        )
    lock, installed_from = web_client / "package-lock.json", web_client / "node_modules" / ".package-lock.json"
    if not installed_from.exists() or installed_from.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web_client, check=True)  # noqa: S603
    subprocess.run([npm, "run", "build:app"], cwd=web_client, check=True)  # noqa: S603
