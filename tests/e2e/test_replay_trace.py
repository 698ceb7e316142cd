"""A recorded session of two people comes out exactly as recorded, whatever the network and the server go through."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.replay_person import ReplayFailed
from examples.replay_trace import Replay
from examples.trace import Trace, load

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "examples" / "data" / "friendsforever.json.gz"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return load(RECORDED)


def replay(trace: Trace, folder: Path, *, cuts: int, kills: int) -> Replay:
    return Replay(trace, folder, cuts=cuts, kills=kills, seed=7)


async def test_an_hour_of_typing_survives_cuts_and_kills(trace: Trace, tmp_path: Path) -> None:
    """Links cut in the middle of frames, a server killed: both copies, the server and a newcomer have it exactly."""
    short = trace.first(900)

    report = await replay(short, tmp_path, cuts=12, kills=2).run()

    assert (report.txns, report.cuts, report.kills) == (900, 12, 2)
    # Every cut ends one link and every kill two, and each came back.
    assert report.links >= 2 + 12 + 2 * 2 - 2
    assert all(up > 0 and down > 0 for up, down in report.wire_bytes)


async def test_another_text_is_noticed(trace: Trace, tmp_path: Path) -> None:
    """A replay that comes out differently by one letter fails, and says where."""
    short = trace.first(200)
    other = dataclasses.replace(short, end=short.end[:100] + "#" + short.end[101:])

    with pytest.raises(ReplayFailed, match=r"from 100 on"):
        await replay(other, tmp_path, cuts=0, kills=0).run()


def test_the_exit_code_says_how_it_went(tmp_path: Path) -> None:
    """0 for a replay as recorded; 1 and a reason for a file that is no trace."""
    no_trace = tmp_path / "none.json.gz"
    no_trace.write_bytes(b"{}")

    good, bad = (
        subprocess.run(
            [
                sys.executable,
                ROOT / "examples" / "replay_trace.py",
                path,
                "--first",
                "60",
                "--cuts",
                "1",
                "--kills",
                "0",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for path in (RECORDED, no_trace)
    )

    assert good.returncode == 0, good.stdout + good.stderr
    assert "nothing is unsynced" in " ".join(good.stdout.split())
    assert bad.returncode == 1
    assert "is no editing trace" in " ".join(bad.stdout.split())


async def test_nothing_is_left_running(trace: Trace, tmp_path: Path) -> None:
    """A replay that is given up takes its server with it."""
    started = replay(trace, tmp_path, cuts=0, kills=0)
    running = asyncio.create_task(started.run())
    await asyncio.sleep(0)
    while not (tmp_path / "ann.db").exists():
        assert not running.done()
        await asyncio.sleep(0.01)
    pid = started.server.pid

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
