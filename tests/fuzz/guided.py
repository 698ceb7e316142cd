"""Coverage-guided: one process in which atheris feeds a target: `python -m tests.fuzz.guided TARGET SEED INPUTS LAST`.

Prints as child.py does. Only targets whose inputs stand for themselves can be guided: `SEEDED`.
"""

import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Final, Protocol

import atheris

with atheris.instrument_imports(include=["syncd"]):
    from tests.fuzz.content import Differential
    from tests.fuzz.frames import EntriesTarget, FramesTarget
    from tests.fuzz.target import Meter, Target
    from tests.fuzz.updates import BytesTarget
    from tests.node import installed

_COLLECT_EVERY: Final = 2_000


class Seeded(Target, Protocol):
    """A target that has inputs to begin with."""

    def seeds(self) -> list[bytes]:
        """Return them."""
        ...


def main() -> None:
    name, seed, inputs, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    rng = Random(seed)
    documents_max = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    differential = Differential(installed() if documents_max else None, documents_max)
    target: Seeded
    if name == "updates":
        target = BytesTarget(rng, differential)
    else:
        target = FramesTarget(rng) if name == "frames" else EntriesTarget(rng)
    # libFuzzer's tables take address space, not memory: it limits the memory itself.
    meter = Meter(last, memory_bytes=0)
    gc.disable()

    def feed(data: bytes) -> None:
        meter.feed(target, data)
        if meter.tally.inputs % _COLLECT_EVERY == 0:
            gc.collect()
            print(json.dumps(meter.tally.json()), flush=True)
        if meter.tally.inputs >= inputs:
            target.finish()
            meter.tally.compared = differential.compared
            print(json.dumps(meter.tally.json() | {"done": True}), flush=True)
            os._exit(0)  # libFuzzer would end the process without Python's knowing

    corpus = Path(tempfile.mkdtemp(dir=last.parent))
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)
    options = [f"-seed={seed % (1 << 31)}", "-max_len=4096", "-rss_limit_mb=2048", "-timeout=60", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={last.parent}/", str(corpus)], feed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
