"""Worker: what an agent's process does with runs: claims them, begins attempts, says how they stand.

Looks at its own replica as an agent would. Knows nothing of disks and links.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from syncd.core.client import LinkState
from syncd.core.codec import encode
from syncd.core.ids import run_key
from syncd.core.messages import Claim, Layer
from syncd.core.replica import Replica, SharedMap
from syncd.core.schema import Root

if TYPE_CHECKING:
    from tests.sim.client import ClientNode


def chains(replica: Replica) -> dict[str, list[Mapping[str, Any]]]:
    """Return the facts of every run that a replica has, in order."""
    keys = [key for key in replica.keys(Root.RECEIPTS) if key.startswith("r:")]
    ordered = sorted((key[2:].rpartition(".")[0], int(key.rpartition(".")[2]), key) for key in keys)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run, _, key in ordered:
        found.setdefault(run, []).append(replica.read(Root.RECEIPTS, key))
    return found


class Worker:
    """One life of an agent's process."""

    def __init__(self, node: ClientNode) -> None:
        self._node = node

    def act(self, rng: Random) -> None:
        """Do something about one run: of somebody's message, or of its own making."""
        replica = self._node.machine.document(Layer.TRANSCRIPT).replica
        runs = {run: chain for run, chain in chains(replica).items() if chain[-1]["lease"] != "ended"}
        if not runs or rng.random() < 0.1:
            self._begin(f"own{self._node.ledger.counts['ids']}{rng.randrange(1 << 30)}", 1)
            return
        run = rng.choice(sorted(runs))
        fact = runs[run][-1]
        if fact["lease"] == "queued" or rng.random() < 0.1:
            if self._node.machine.state is LinkState.OPEN:
                policy = rng.choice(("wait", "retry", "retry", "fail"))
                self._node.send(encode(Claim(self._node.session, run, policy, 3)))
            return
        if not replica.contains(Root.RUNS, run_key(run, int(fact["attempt"]))):
            self._begin(run, int(fact["attempt"]))
        else:
            # Whoever holds it: another life of this agent may come late with a word of its own.
            status = rng.choice(("suspended", "detached", "running", "running", "completed", "failed"))
            attempt = max(1, int(fact["attempt"]) - (rng.random() < 0.4))
            self._status(run, attempt, status)

    def _begin(self, run: str, attempt: int) -> None:
        body = SharedMap({"run": run, "attempt": attempt, "agent": self._node.subject, "status": "running"})
        self._edit(lambda replica: replica.set((Root.RUNS,), run_key(run, attempt), body))

    def _status(self, run: str, attempt: int, status: str) -> None:
        replica = self._node.machine.document(Layer.TRANSCRIPT).replica
        if replica.read(Root.RUNS, run_key(run, attempt), "status") in ("running", "suspended", "detached"):
            self._edit(lambda replica: replica.set((Root.RUNS, run_key(run, attempt)), "status", status))

    def _edit(self, change: Callable[[Replica], None]) -> None:
        self._node.edit(lambda machine: machine.edit(Layer.TRANSCRIPT, lambda replica: replica.edit(change)))
