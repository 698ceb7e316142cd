"""One process that feeds one target: `python -m tests.fuzz.child TARGET SEED INPUTS LAST_FILE [YJS_DOCUMENTS]`.

Prints its tally as a line of JSON now and then, and at the end with `"done": true`. Dies of what it finds: see
`meter` in target.py.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from syncd.core.messages import Layer
from tests.fuzz.content import Differential
from tests.fuzz.exports import ExportsTarget
from tests.fuzz.frames import EntriesTarget, FramesTarget
from tests.fuzz.server import ServerTarget
from tests.fuzz.target import Meter, Target
from tests.fuzz.tokens import TokensTarget
from tests.fuzz.updates import BytesTarget, DocumentTarget
from tests.node import installed

TARGETS: Final[dict[str, Callable[[Random, Differential], Target]]] = {
    "updates": BytesTarget,
    "transcript": lambda rng, differential: DocumentTarget(Layer.TRANSCRIPT, rng, differential),
    "state": lambda rng, differential: DocumentTarget(Layer.STATE, rng, differential),
    "server": ServerTarget,
    "frames": lambda rng, _: FramesTarget(rng),
    "entries": lambda rng, _: EntriesTarget(rng),
    "tokens": lambda rng, _: TokensTarget(rng),
    "exports": lambda rng, _: ExportsTarget(rng),
}
_TELL_S: Final = 2.0
_COLLECT_EVERY: Final = 2_000


def main() -> None:
    name, seed, inputs, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    documents_max = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    rng = Random(seed)
    differential = Differential(installed() if documents_max else None, documents_max)
    target = TARGETS[name](rng, differential)
    meter = Meter(last)
    gc.disable()  # what the checks leave behind is not to be collected in the target's time
    told = time.monotonic()
    for number in range(inputs):
        meter.feed(target, target.draw(rng))
        if number % _COLLECT_EVERY == 0:
            gc.collect()
        if time.monotonic() - told > _TELL_S:
            told = time.monotonic()
            print(json.dumps(meter.tally.json()), flush=True)
    target.finish()
    meter.tally.compared = differential.compared
    print(json.dumps(meter.tally.json() | {"done": True}), flush=True)


if __name__ == "__main__":
    main()
