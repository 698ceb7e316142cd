"""Target: one part of the product that takes hostile bytes, and what must hold of it; and the meter it is run under.

Knows nothing of single targets, nor of who starts the process.
"""

import mmap
import resource
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

#: CPU time of one input beyond which it is a finding.
STALL_MS: Final = 100.0
#: CPU time of one input, its checks included, at which the process is ended.
HANG_S: Final = 20.0
MEMORY_BYTES: Final = 1 << 30
#: Steps of the clock of CPU time.
_COARSE_MS: Final = 10.0
INPUT_BYTES_MAX: Final = 4 << 20
ACCEPTED: Final = "accepted"


class Target(Protocol):
    """One thing under attack.

    `feed` is the product alone and is timed; it raises nothing: what is documented is an outcome. `check` is called
    after each accepted input and `finish` at the end; both raise AssertionError if something does not hold.
    """

    def draw(self, rng: Random) -> bytes:
        """Return the next input."""
        ...

    def feed(self, data: bytes) -> str:
        """Give it to the product; return `ACCEPTED` or the code of the refusal."""
        ...

    def check(self) -> None:
        """Check what the last input, which was accepted, led to."""
        ...

    def finish(self) -> None:
        """Check what can only be checked at the end."""
        ...


@dataclass
class Tally:
    """What came of a target's inputs. `compared` counts documents that Yjs loaded, too."""

    inputs: int = 0
    accepted: int = 0
    stalls: int = 0
    slowest_ms: float = 0.0
    compared: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "inputs": self.inputs,
            "accepted": self.accepted,
            "stalls": self.stalls,
            "slowest_ms": round(self.slowest_ms, 2),
            "compared": self.compared,
            "refused": dict(self.refused),
        }

    def add(self, other: dict[str, Any]) -> None:
        """Add what another process' tally says."""
        self.inputs += other["inputs"]
        self.accepted += other["accepted"]
        self.stalls += other["stalls"]
        self.slowest_ms = max(self.slowest_ms, other["slowest_ms"])
        self.compared += other["compared"]
        self.refused.update(other["refused"])


class Last:
    """The input under way, in a file that is mapped into memory: whatever ends the process, it is there afterwards."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(4 + INPUT_BYTES_MAX)
            self._mapped = mmap.mmap(file.fileno(), 0)

    def note(self, data: bytes) -> None:
        """Let `data` be the input under way."""
        self._mapped[:4] = len(data).to_bytes(4, "big")
        self._mapped[4 : 4 + len(data)] = data


class Meter:
    """Feeds a target under bounds on CPU time and memory.

    1. The input under way is noted before it is fed.
    2. What takes long is measured in the process' CPU time: a busy machine is no stall. (That clock is coarse.)
    3. An input that stalled stands in a file of its own, `stall-…`, beside it.
    """

    def __init__(self, last: Path, *, memory_bytes: int = MEMORY_BYTES) -> None:
        if memory_bytes:
            resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        self._path = last
        self._last = Last(last)
        self.tally = Tally()

    def feed(self, target: Target, data: bytes) -> None:
        """Feed one input and check what it led to."""
        self._last.note(data)  # Invariant 1.
        signal.setitimer(signal.ITIMER_PROF, HANG_S)
        started, started_cpu = time.perf_counter(), time.process_time()
        outcome = target.feed(data)
        took_ms = 1_000 * (time.perf_counter() - started)
        if took_ms > _COARSE_MS:
            took_ms = min(took_ms, 1_000 * (time.process_time() - started_cpu))  # Invariant 2.
        tally = self.tally
        tally.inputs += 1
        tally.slowest_ms = max(tally.slowest_ms, took_ms)
        if took_ms > STALL_MS:
            tally.stalls += 1
            self._path.with_name(f"stall-{self._path.name}-{tally.stalls}").write_bytes(data)  # Invariant 3.
        if outcome == ACCEPTED:
            tally.accepted += 1
            target.check()
        else:
            tally.refused[outcome] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)


def last_input(path: Path) -> bytes:
    """Return the input that a process was at when it ended."""
    data = path.read_bytes()
    return data[4 : 4 + int.from_bytes(data[:4], "big")]
