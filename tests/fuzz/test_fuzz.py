"""Hostile bytes: a fixed set of what `make fuzz` draws, and that whatever it finds would be seen."""

import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.__main__ import PARTS, Part
from tests.fuzz.content import Differential
from tests.fuzz.run import run
from tests.fuzz.target import ACCEPTED, Meter
from tests.node import installed

SEED = 1
#: What each target gets here, for a few seconds each.
INPUTS = {
    "updates": 2_000,
    "transcript": 500,
    "state": 900,
    "server": 5_000,
    "frames": 10_000,
    "entries": 5_000,
    "tokens": 4_000,
    "exports": 300,
    "sockets": 250,
}
YJS_DOCUMENTS = 200


def _id(part: Part) -> str:
    return part.label


@pytest.mark.parametrize("part", PARTS, ids=_id)
async def test_hostile_bytes_do_no_harm(part: Part, tmp_path: Path) -> None:
    """Whatever is sent is refused with a documented code, or does what its sender may do; in bounded time and memory.

    What is accepted is loaded by Yjs too, and is there what it is in pycrdt.
    """
    guided = part.module.endswith("guided")
    if guided:
        pytest.importorskip("atheris", reason="there is no atheris for this machine")
    inputs = INPUTS[part.name] // (4 if guided else 1)
    outcome = await run(
        part.name, SEED, inputs, tmp_path, module=part.module, yjs_documents=YJS_DOCUMENTS if installed() else 0
    )

    assert outcome.clean, f"{outcome.death or 'stalled'}\n{outcome.culprit}\n{outcome.command}"
    assert outcome.tally.inputs == inputs
    assert outcome.tally.refused
    if part.name != "sockets":
        assert outcome.tally.accepted > inputs / 200, "the inputs are too odd to test anything"


class Broken:
    """A target that does whatever its input says."""

    def draw(self, rng: Random) -> bytes:
        return b""

    def feed(self, data: bytes) -> str:
        exec(data)
        return ACCEPTED

    def check(self) -> None:
        pass

    def finish(self) -> None:
        pass


def _break() -> None:
    meter = Meter(Path(sys.argv[4]))
    meter.feed(Broken(), bytes.fromhex(sys.argv[1]))
    print(f'{{"done": true, {str(meter.tally.json())[1:-1]}}}'.replace("'", '"'))


@pytest.mark.parametrize(
    ("code", "death"),
    [
        ("raise KeyError('not documented')", "exit 1: "),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11: "),
        ("x = bytearray(3 << 30)", "exit 1: "),
        ("import tests.fuzz.test_fuzz as t; t.burn(0.2)", ""),
        ("import signal, tests.fuzz.test_fuzz as t; signal.setitimer(signal.ITIMER_PROF, 0.1); t.burn(9)", "signal 27"),
        ("pass", None),
    ],
    ids=["exception", "crash", "memory", "stall", "hang", "nothing"],
)
async def test_what_is_found_is_seen(code: str, death: str | None, tmp_path: Path) -> None:
    """An exception, a crash, a hang, a stall or memory without bound: each is a find, with the input that did it."""
    outcome = await run(code.encode().hex(), SEED, 1, tmp_path, module="tests.fuzz.test_fuzz")

    assert outcome.clean is (death is None)
    assert outcome.death.startswith(death or "")
    if death:
        assert outcome.culprit is not None
        assert outcome.culprit.read_bytes() == code.encode()
    else:
        assert outcome.tally.stalls == (death is not None)


def burn(seconds: float) -> None:
    """Take CPU time."""
    import time

    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_yjs_is_really_asked() -> None:
    """A document that Yjs reads otherwise than it is said to is a find."""
    node = installed()
    if node is None:
        pytest.skip("Yjs needs node and npm: install them to run this test")
    differential = Differential(node, 10)
    differential.add([b"\0\0"], {}, {})
    differential.add([b"\0\0"], {}, {"made": "up"})
    with pytest.raises(AssertionError, match="made"):
        differential.settle()
    assert differential.compared == 1


if __name__ == "__main__":
    _break()
