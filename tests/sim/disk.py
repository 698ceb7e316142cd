"""Disks: the server's log and a device's store, each with what is flushed and what is only written.

A crash keeps all that was flushed and the first few of the transactions that were only written. Knows nothing of
machines.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import lru_cache

from syncd.core.entries import ENTRY_LAYER, Entry, EntryKind, Snapshot, StoredEntry
from syncd.core.errors import StorageFull
from syncd.core.limits import DEFAULT_LIMITS
from syncd.core.messages import LAYERS, Layer
from syncd.core.update import decode_update
from syncd.store.local_records import (
    AppendUpdate,
    Fold,
    LocalSession,
    LocalUpdate,
    MarkSynced,
    RefuseUpdates,
    SetSession,
    Write,
)

Vectors = dict[Layer, dict[int, int]]


@lru_cache(maxsize=4096)
def ends_of(update: bytes) -> dict[int, int]:
    """Return the clocks an update reaches, read from its bytes alone."""
    sections = decode_update(update, DEFAULT_LIMITS).sections
    return {client: structs[-1][0] + structs[-1][1] for client, structs in sections.items() if structs}


def add_ends(vector: dict[int, int], ends: dict[int, int]) -> None:
    for client, end in ends.items():
        vector[client] = max(end, vector.get(client, 0))


class _Disk:
    """Transactions in the order they were written; `flush` makes those so far survive."""

    def __init__(self) -> None:
        self.full = False
        self._written: list[Callable[[], object]] = []

    def stage(self, transaction: Callable[[], object]) -> None:
        """Write a transaction that is not flushed yet.

        Raises:
            StorageFull: there is no space.
        """
        if self.full:
            raise StorageFull("the disk is full")
        self._written.append(transaction)

    def flush(self) -> None:
        """Make what was written survive."""
        written, self._written = self._written, []
        for transaction in written:
            transaction()

    def crash(self, roll: int) -> None:
        """Lose all but some first ones of the transactions that were not flushed."""
        del self._written[roll % (len(self._written) + 1) :]
        self.flush()


class LogDisk(_Disk):
    """One session's log. `vectors` is what its entries hold, `changed` is called when they changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self.entries: list[StoredEntry] = []
        self.vectors: Vectors = {layer: {} for layer in LAYERS}
        self._changed = changed

    @property
    def version(self) -> int:
        return self.entries[-1].version if self.entries else 0

    def append(self, expected: int, entries: Sequence[Entry]) -> None:
        def transaction() -> None:
            assert self.version == expected, "two servers write one log"
            for version, entry in enumerate(entries, start=expected + 1):
                self.entries.append(StoredEntry(version, entry.kind, entry.data))
                self._note(entry.kind, entry.data)
            self._changed()

        self.stage(transaction)

    def compact(self, through: int, snapshot: bytes) -> None:
        self.stage(lambda: self.replace(through, snapshot))

    def replace(self, through: int, snapshot: bytes) -> None:
        """Put a snapshot in the place of all entries up to its version."""
        kept = [entry for entry in self.entries if entry.version > through]
        self.entries = [StoredEntry(through, EntryKind.SNAPSHOT, snapshot), *kept]
        self.recount()
        self._changed()

    def recount(self) -> None:
        self.vectors = {layer: {} for layer in LAYERS}
        for entry in self.entries:
            self._note(entry.kind, entry.data)

    def _note(self, kind: EntryKind, data: bytes) -> None:
        if kind == EntryKind.SNAPSHOT:
            for layer, update in Snapshot.decode(data).updates.items():
                add_ends(self.vectors[layer], ends_of(update))
        elif kind in ENTRY_LAYER:
            add_ends(self.vectors[ENTRY_LAYER[kind]], ends_of(data))


class _Flush:
    """Awaited while a transaction is on its way to the disk: whoever drives the coroutine decides when it is there."""

    def __await__(self) -> Generator[None]:
        yield


class StoreDisk(_Disk):
    """A device's store with one session, in the place of a `LocalStore`."""

    def __init__(self, session: str) -> None:
        super().__init__()
        self._session = session
        self.rows: dict[int, LocalUpdate] = {}
        self.snapshots: set[int] = set()
        self.refused: dict[int, LocalUpdate] = {}
        self.place = LocalSession(session, "", 0, 0, {}, 0, 0)
        #: Every own update that was ever on this disk, and those that were set aside.
        self.saved: dict[bytes, Layer] = {}
        self.set_aside: set[bytes] = set()
        self.last_row = 0

    async def load(self, session: str) -> tuple[LocalSession, list[LocalUpdate]]:
        """See `LocalStore.load`."""
        return self.place, self._rows()

    def _rows(self) -> list[LocalUpdate]:
        return [self.rows[row] for row in sorted(self.rows, key=lambda row: (row not in self.snapshots, row))]

    async def submit(self, writes: Sequence[Write]) -> list[int]:
        """See `LocalStore.submit`."""
        rows: list[int] = []
        self.stage(lambda: rows.extend(self.commit(writes)))
        await _Flush()
        self.flush()
        return rows

    def commit(self, writes: Sequence[Write]) -> list[int]:
        rows: list[int] = []
        for write in writes:
            match write:
                case AppendUpdate(_, layer, update, own, life, subject):
                    self.last_row += 1
                    rows.append(self.last_row)
                    self.rows[self.last_row] = LocalUpdate(self.last_row, layer, update, own, life, subject)
                    if own:
                        self.saved[update] = layer
                case MarkSynced(_, marked):
                    for row in [row for row in marked if row in self.rows]:
                        self.rows[row] = replace(self.rows[row], own=False)
                case SetSession(session, incarnation, version, seq, roots, _):
                    self.place = LocalSession(session, incarnation, version, seq, roots, 0, 0)
                case RefuseUpdates(_, moved):
                    for row in [row for row in moved if row in self.rows]:
                        self.refused[row] = self.rows.pop(row)
                        self.set_aside.add(self.refused[row].update)
        return rows

    async def compact(self, session: str, fold: Fold) -> bool:
        """See `LocalStore.compact`."""
        updates = [update for update in self._rows() if not update.own]
        folded: list[tuple[list[int], LocalUpdate]] = []
        for layer in LAYERS:
            group = [update for update in updates if update.layer is layer]
            result = fold(layer, [update.update for update in group]) if group else None
            if result is not None:
                numbers = [update.row for update in group]
                folded.append((numbers, LocalUpdate(max(numbers), layer, result, False, "", "")))
        if not folded:
            return False
        self.stage(lambda: self._replace(folded))
        await _Flush()
        self.flush()
        return True

    def _replace(self, folded: list[tuple[list[int], LocalUpdate]]) -> None:
        for numbers, row in folded:
            for number in numbers:
                del self.rows[number]
                self.snapshots.discard(number)
            self.rows[row.row] = row
            self.snapshots.add(row.row)
