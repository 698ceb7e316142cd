"""Actions: what happens in a simulated world, as a list drawn from a seed beforehand.

Each carries its own chance, so that any of them can be left out without changing what the others do. Knows nothing of
how they are done.
"""

from dataclasses import dataclass
from random import Random

NODES = ("mona", "phone", "otto", "agent")
#: Kind to weight.
_WEIGHTS = {
    "edit": 42,
    "store": 24,
    "up": 16,
    "server": 26,
    "down": 16,
    "connect": 14,
    "round": 10,
    "hostile": 14,
    "catch_up": 3,
    "fold": 12,
    "clock": 2,
    "notice": 2,
    "cut": 5,
    "stall": 3,
    "flow": 8,
    "duplicate": 3,
    "lose": 7,
    "crash_client": 4,
    "crash_server": 2,
    "torn": 2,
    "full": 1,
    "space": 14,
    "full_client": 1,
    "space_client": 14,
    "revoke": 1,
    "regrant": 3,
    "evict": 1,
}
_KINDS = tuple(_WEIGHTS)
_CUMULATIVE = tuple(sum(list(_WEIGHTS.values())[: at + 1]) for at in range(len(_WEIGHTS)))


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that happens, to which node, and the chance inside it."""

    kind: str
    node: str
    roll: int

    def __str__(self) -> str:
        return f"{self.kind} {self.node} {self.roll}"


def draw(seed: int, count: int) -> list[Action]:
    """Return the actions of a seed. They begin with everybody connecting."""
    rng = Random(seed)
    actions = [Action("connect", node, rng.getrandbits(30)) for node in NODES]
    for kind in rng.choices(_KINDS, cum_weights=_CUMULATIVE, k=count - len(NODES)):
        actions.append(Action(kind, rng.choice(NODES), rng.getrandbits(30)))
    return actions
