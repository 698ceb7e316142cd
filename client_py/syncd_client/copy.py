"""LocalCopy: one session in this device's store, and how a machine's turn is written into it.

Knows nothing of the network or of who waits for what.
"""

from __future__ import annotations

import gc
import secrets
import time
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from syncd.core.client import ClientMachine
from syncd.core.client_turn import (
    ClientReady,
    Event,
    LocalRow,
    StoreOwn,
    StoreProgress,
    StoreRefused,
    StoreRemote,
    StoreSynced,
    Write,
)
from syncd.core.document import Document
from syncd.core.errors import StoreError
from syncd.core.ids import new_client_id
from syncd.core.limits import Limits
from syncd.core.messages import LAYERS, Layer
from syncd.core.shape import state_shape, transcript_shape
from syncd.core.transcript import MessageView
from syncd.core.update import Kind
from syncd.store.local import LocalStore
from syncd.store.local_records import AppendUpdate, IndexText, LocalUpdate, MarkSynced, RefuseUpdates, SetSession
from syncd.store.local_records import Write as LocalWrite

#: Rows since the last fold after which the copy is folded.
_FOLD_ROWS = 500


class LocalCopy:
    """One session's rows in the store.

    1. A turn is one transaction; its machine advances only when that is on disk.
    2. Every life of a peer writes under client ids of its own, also when store files are copied.
    3. Only synced rows are folded: an own edit stays as it was made until the server has it.
    4. A turn whose `commit` was cancelled is under way all the same: the next `commit` is its end.
    """

    def __init__(self, store: LocalStore, session: str, limits: Limits, *, life: str) -> None:
        self._store = store
        self._session = session
        self._limits = limits
        self._life = life
        # Synced rows since the last fold and their bytes; bytes of the largest row that was loaded, the last fold's.
        self._rows = 0
        self._grown_bytes = 0
        self._folded_bytes = 0
        self._polled = 0
        self._under_way: tuple[ClientReady, Awaitable[list[int]]] | None = None

    @property
    def busy(self) -> bool:
        """Whether a turn is under way that nobody may be waiting for."""
        return self._under_way is not None

    async def load(self, subject: str, before: ClientMachine | None = None) -> ClientMachine:
        """Return a machine with what is stored, in the place of the one `before`.

        Another subject's unsynced edits stay in the store until it is back: nobody else can push them, nor what would
        be built on them.

        Raises:
            StoreDamaged: the copy does not read; forget it and fetch it anew.
        """
        stored, rows = await self._store.load(self._session)
        machine = ClientMachine(
            self._session,
            self._limits,
            client_ids={layer: fresh_client_id() for layer in LAYERS},  # Invariant 2.
            incarnation=stored.incarnation,
            version=stored.version,
            seq=stored.seq,
            roots=stored.roots,
        )
        with uncollected():
            machine.load(
                (LocalRow(row.row, row.layer, row.update, row.own) for row in rows if _is_ours(row, subject)),
                before.tickets() if before else {},
                last_ticket=before.last_ticket if before else 0,
            )
        sizes = [len(row.update) for row in rows if not row.own]
        self._rows, self._folded_bytes = len(sizes), max(sizes, default=0)
        self._grown_bytes = sum(sizes) - self._folded_bytes
        self._polled = max((row.row for row in rows), default=0)
        return machine

    async def commit(self, machine: ClientMachine, subject: str) -> Sequence[Event]:
        """Store the machine's turn and advance it; return what happened.

        Raises:
            StoreError: nothing of the turn is stored; load a new machine.
        """
        if self._under_way is None:
            ready = machine.ready()
            if not ready.writes:
                return machine.advance(ready, [])
            self._under_way = ready, self._store.submit([self._write(write, subject) for write in ready.writes])
        ready, stored = self._under_way  # Invariant 4.
        try:
            rows = iter(await stored)
        except StoreError:
            self._under_way = None
            raise
        self._under_way = None
        # The store answers with a row for every update, own and remote, in order.
        updates = [(write, next(rows)) for write in ready.writes if isinstance(write, StoreOwn | StoreRemote)]
        self._rows += len(updates)
        self._grown_bytes += sum(len(write.update) for write, _ in updates)
        return machine.advance(ready, [row for write, row in updates if isinstance(write, StoreOwn)])  # Invariant 1.

    def _write(self, write: Write, subject: str) -> LocalWrite:
        match write:
            case StoreOwn(layer, update):
                return AppendUpdate(self._session, layer, update, own=True, life=self._life, subject=subject)
            case StoreRemote(layer, update):
                return AppendUpdate(self._session, layer, update, own=False, life=self._life)
            case StoreSynced(rows):
                return MarkSynced(self._session, rows)
            case StoreProgress(incarnation, version, seq, roots):
                return SetSession(self._session, incarnation, version, seq, dict(roots), now_ms())
            case StoreRefused(rows, code, reason):
                return RefuseUpdates(self._session, rows, str(code), reason, now_ms())

    async def others(self, subject: str) -> list[LocalRow]:
        """Return what other processes of this subject wrote into this copy since it was last asked."""
        rows = await self._store.poll(self._session, self._polled)
        self._polled = max((row.row for row in rows), default=self._polled)
        return [
            LocalRow(row.row, row.layer, row.update, own=False)
            for row in rows
            if row.life != self._life and _is_ours(row, subject)
        ]

    async def fold(self, roots: Mapping[str, Kind], *, now: bool = False) -> None:
        """Fold the synced rows into one per layer, if enough of them gathered, or `now`. `roots`: the state's kinds.

        Enough is as much as the last fold holds: folding everything every so many rows would be quadratic.
        """
        if not now and (self._rows < _FOLD_ROWS or self._grown_bytes < self._folded_bytes):
            return
        self._rows = self._grown_bytes = self._folded_bytes = 0

        def fold(layer: Layer, updates: list[bytes]) -> bytes | None:  # Invariant 3.
            transcript = layer is Layer.TRANSCRIPT
            shape = transcript_shape(self._limits) if transcript else state_shape(self._limits)
            document = Document(shape, self._limits, roots=None if transcript else roots)
            # What stands on an own edit that is not acked yet cannot be folded without it.
            if document.load(updates):
                return None
            folded = document.snapshot()
            self._folded_bytes += len(folded)
            return folded

        await self._store.compact(self._session, fold)

    async def index(self, views: Iterable[MessageView]) -> None:
        """Have the search find these messages as they are now."""
        writes: list[LocalWrite] = [
            IndexText(self._session, view.id, view.by or "", view.text, view.created_at) for view in views
        ]
        if writes:
            await self._store.write(writes)


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: a large update makes none, and is searched again and again while it is taken.

    Two fifths of the time it takes to open a session of ten thousand messages.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_ours(row: LocalUpdate, subject: str) -> bool:
    return not row.own or not subject or row.subject in ("", subject)


def fresh_client_id() -> int:
    """Return a client id that was never used."""
    return new_client_id(secrets.token_bytes(7))


def now_ms() -> int:
    """Return the wall clock in Unix milliseconds: for display, never for order."""
    return time.time_ns() // 1_000_000
