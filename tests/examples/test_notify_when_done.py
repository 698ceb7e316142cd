"""The example of who is told when it is done, as a program."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.harness import PATIENCE_S, ROOT, environment


async def test_it_tells_who_left_and_nobody_twice(tmp_path: Path) -> None:
    """One notice, to who asked, which leads to the session; nothing is left behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(ROOT / "examples/notify_when_done.py"), "--step-s", "0.1",
        cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S * 2):
        printed, complaints = await process.communicate()

    asked, told, read = printed.decode().splitlines()
    assert asked == "mona: asked, and left while the planner was at it"
    assert re.fullmatch(r"told user:mona: planner is done in trip -> http://127\.0\.0\.1:\d+/s/trip\?m=[\w-]+", told), (
        told
    )
    assert read == "mona: Take the 28, early, and sit on the left."
    assert process.returncode == 0
    assert complaints == b""
    assert os.listdir(tmp_path) == []
