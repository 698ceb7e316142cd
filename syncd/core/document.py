"""Document: one layer of one session, its index always up to date and its replica made only when it is read.

Knows nothing of peers, authors or logs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from syncd.core.errors import SyncdError
from syncd.core.index import ContainerIndex, LayerShape, Plan
from syncd.core.limits import Limits
from syncd.core.replica import Replica, ReplicaBroken, fold
from syncd.core.update import DecodedUpdate, Kind, decode_update
from syncd.core.varint import CLOCK_MAX, decode_state_vector, encode_state_vector

#: When everybody comes back at once, most have the same, or nothing. Each kept diff may be as large as the document.
_DIFFS_MAX = 2

#: What waits to be applied. A session that nobody reads as a document would otherwise keep all of a long stream for the
#: moment somebody does, and everybody waits then.
_WAITING_BYTES_MAX: Final = 64 << 10


class Document:
    """An index that judges updates, and a replica they are applied to later, in batches.

    Updates go `plan` → `accept` (the index has it) → `apply` (the replica will have it). On a server, what was
    accepted is applied only when it is on disk.

    1. Nothing reaches the replica that the index did not plan.
    2. The replica holds what was handed to `apply`, nothing else: a diff never shows what is not durable yet.
    3. When an update was applied, the replica's state vector is the one the index planned.
    4. A diff that is kept is of what is applied now.
    """

    def __init__(
        self,
        shape: LayerShape,
        limits: Limits,
        *,
        roots: Mapping[str, Kind] | None = None,
        client_id: int | None = None,
        undo: bool = False,
    ) -> None:
        """Make an empty document. With `client_id` its replica can be written, with `undo` undone (see `Replica`)."""
        self._limits = limits
        # What was taken update by update is larger as a whole: snapshots, merged batches, answers to an open.
        self._own_limits = replace(limits, update_structs_max=CLOCK_MAX, update_clients_max=CLOCK_MAX)
        self._client_id = client_id
        self._undo = undo
        self.index = ContainerIndex(shape, dict(roots or {}))
        #: State vector of what was handed to `apply`.
        self.applied: dict[int, int] = {}
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        # By what a reader has of `applied`, in its order.
        self._diffs: dict[tuple[int, ...], bytes] = {}
        self._replica: Replica | None = None
        self._broken = ""

    def decode(self, update: bytes, *, trusted: bool = False) -> DecodedUpdate:
        """Decode an update strictly. `trusted` waives how much one update may hold: for what was taken before.

        Raises:
            Rejected: it is not one.
        """
        return decode_update(update, self._own_limits if trusted else self._limits)

    def plan(self, decoded: DecodedUpdate, *, trusted: bool = False) -> Plan:
        """Judge an update against the document as accepted so far.

        Raises:
            Rejected: it does not fit.
        """
        return self.index.plan(decoded, trusted=trusted)

    def accept(self, plan: Plan) -> None:
        """Let the index have what was planned. `apply` must follow, with the same update, in the same order."""
        self.index.commit(plan)

    def apply(self, updates: Sequence[bytes], ends: Mapping[int, int]) -> None:
        """Hand accepted updates to the replica, lazily. `ends` are their plans'.

        Raises:
            ReplicaBroken: so much waited that it was applied at once, and see `replica`.
        """
        self._waiting += updates  # Invariant 1: the caller has a plan for each.
        self._waiting_bytes += sum(map(len, updates))
        self.applied.update(ends)
        self._diffs.clear()  # Invariant 4.
        if self._waiting_bytes > _WAITING_BYTES_MAX:
            _ = self.replica

    def applied_by_edit(self, ends: Mapping[int, int]) -> None:
        """Note that the replica made this update itself (`Replica.edit`)."""
        self.applied.update(ends)
        self._diffs.clear()  # Invariant 4.

    @property
    def replica(self) -> Replica:
        """The replica with everything applied.

        Raises:
            ReplicaBroken: pycrdt failed, or came to another state than planned. Reload the document from the log.
        """
        if self._broken:
            raise ReplicaBroken(self._broken)
        if self._replica is None:
            self._replica = Replica(self.index.roots, client_id=self._client_id, undo=self._undo)
        if self._waiting:
            for name, kind in self.index.roots.items():
                self._replica.ensure_root(name, kind)
            waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._replica.apply(waiting)
            if self._replica.vector() != self.applied:  # Invariant 3.
                self._broken = "the document came to another state than planned"
                raise ReplicaBroken(self._broken)
        return self._replica

    @property
    def vector(self) -> bytes:
        """The state vector of what was handed to `apply`, encoded."""
        return encode_state_vector(self.applied)

    def diff(self, vector: bytes | None = None) -> bytes:
        """Return what a reader at state `vector` lacks of what was applied; everything without one.

        Raises:
            Rejected: `vector` is not one.
        """
        replica = self.replica
        if vector is None:
            return replica.diff()
        state = decode_state_vector(vector, clients_max=CLOCK_MAX)
        has = tuple(min(state.get(client, 0), clock) for client, clock in self.applied.items())
        if (diff := self._diffs.get(has)) is None:
            if len(self._diffs) >= _DIFFS_MAX:
                del self._diffs[next(iter(self._diffs))]
            diff = self._diffs[has] = replica.diff(vector)
        return diff

    def snapshot(self) -> bytes:
        """Return everything that was applied as one update without deleted content."""
        if not self._undo:
            return self.diff()
        return fold(self.index.roots, [self.diff()])

    def load(self, updates: Sequence[bytes]) -> list[bytes]:
        """Take stored updates in order; return those that do not fit yet, with what they depend on missing.

        Raises:
            Rejected: a stored update is malformed.
        """
        left = []
        for update in updates:
            decoded = self.decode(update, trusted=True)
            try:
                plan = self.plan(decoded, trusted=True)
            except SyncdError:
                left.append(update)
                continue
            self.accept(plan)
            self.apply((update,), plan.ends)
        return left
