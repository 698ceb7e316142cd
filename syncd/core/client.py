"""ClientMachine: one session on one client, from the local copy to the wire.

Own edits and the server's frames in; what to store, what to send and what happened out. Knows nothing of sockets,
tasks, clocks or databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from syncd.core.client_turn import (
    CaughtUp,
    Changed,
    ClientReady,
    Event,
    LocalRow,
    PresenceMoved,
    Refused,
    Reload,
    Saved,
    Shut,
    StorageMoved,
    StoreOwn,
    StoreProgress,
    StoreRefused,
    StoreRemote,
    StoreSynced,
    Synced,
    Write,
)
from syncd.core.document import Document
from syncd.core.errors import CloseCode, LocalProtocolError, RejectCode, Rejected
from syncd.core.grant import Right
from syncd.core.index import Plan, state_shape, transcript_shape
from syncd.core.limits import Limits
from syncd.core.messages import (
    LAYERS,
    Ack,
    Claim,
    ClientMessage,
    Closed,
    Declare,
    Json,
    Layer,
    Open,
    Opened,
    PresenceChanged,
    PresenceEntry,
    Reject,
    ServerMessage,
    SetPresence,
    Storage,
    Update,
)
from syncd.core.presence import apply_presence
from syncd.core.pushes import Own, Pushes
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.transcript import count_receipts
from syncd.core.update import EMPTY_UPDATE, DecodedUpdate, Kind
from syncd.core.varint import decode_state_vector

#: The room a frame needs beside its update.
_FRAME_OVERHEAD = 256


class LinkState(Enum):
    """Where this session stands with the server."""

    CLOSED = "closed"
    OPENING = "opening"
    OPEN = "open"


@dataclass(slots=True)
class _Turn:
    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)


class ClientMachine:
    """One session on one client.

    1. Store, then send: an own edit is pushed only after the `advance` of the turn that stored it.
    2. Own edits that were not acked are pushed in the order they were made, as they were stored, never as a diff of
       the document: a diff carries everybody's deletions, which the author rule would refuse.
    3. Nothing is called synced that the server did not ack, or hold at a reconnect under this device's own client ids.
    4. A refused edit is set aside, never dropped; the others go on.
    5. Any irregularity shuts the session; opening it again is the only repair.

    After `ready()` store its writes in one transaction, call `advance()` with the rows of the `StoreOwn` writes, then
    send what `outgoing()` returns.
    """

    def __init__(
        self,
        session: str,
        limits: Limits,
        *,
        client_ids: Mapping[Layer, int],
        incarnation: str = "",
        version: int = 0,
        seq: int = 0,
        roots: Mapping[str, str] | None = None,
        ack_timeout_s: float = 60.0,
    ) -> None:
        """Make an empty copy. `client_ids` are fresh: never used by another life, not even of the same store."""
        self.session = session
        self.incarnation = incarnation
        self.version = version
        self.seq = seq
        self.state = LinkState.CLOSED
        self.storage_full = False
        self.rights: frozenset[str] | None = None
        self.presence: dict[str, PresenceEntry] = {}
        #: As the server last said; its own limit may be another than this side's.
        self.frame_bytes_max = limits.frame_bytes_max
        self._limits = limits
        self._ack_timeout_s = ack_timeout_s
        self._documents = {
            Layer.TRANSCRIPT: Document(transcript_shape(limits), limits, client_id=client_ids[Layer.TRANSCRIPT]),
            Layer.STATE: Document(
                state_shape(limits), limits, roots=_kinds(roots or {}), client_id=client_ids[Layer.STATE], undo=True
            ),
        }
        self._roots = dict(roots or {})
        self._pushes = Pushes(session, structs_max=limits.update_structs_max)
        self._unsaved: dict[int, StoreOwn] = {}
        self._planned: dict[int, tuple[Mapping[int, int], bool, int]] = {}
        self._waiting: list[LocalRow] = []
        self._ticket = 0
        self._given: dict[int, int] = {}
        self._turn = _Turn()
        self._touched: dict[tuple[str, str], None] = {}
        self._out: list[ClientMessage] = []
        self._my_presence: Json = None
        self._presence_dirty = False
        self._reload = False

    # The local copy

    def load(self, rows: Iterable[LocalRow], tickets: Mapping[int, int] | None = None, *, last_ticket: int = 0) -> None:
        """Take the stored rows, once, in order of row.

        `tickets` (row to ticket) and `last_ticket` are those of the machine before: no ticket is given twice.
        """
        self._given = dict(tickets or {})
        self._ticket = last_ticket
        for row in rows:
            self._take(row)

    def tickets(self) -> dict[int, int]:
        """Return the tickets of the edits that are stored and not synced, by row."""
        waiting = {row.row: self._given[row.row] for row in self._waiting if row.row in self._given}
        return waiting | {own.row: own.ticket for own in self._pushes.owns.values()}

    @property
    def last_ticket(self) -> int:
        """The last ticket that was given."""
        return self._ticket

    def absorb(self, rows: Iterable[LocalRow]) -> None:
        """Take rows that another process wrote into the same store. It is theirs to push them."""
        for row in rows:
            if row.row not in self._pushes.owns:
                self._take(LocalRow(row.row, row.layer, row.update, own=False))
        self._retry_waiting()

    def _take(self, row: LocalRow) -> Rejected | None:
        document = self._documents[row.layer]
        try:
            decoded = document.decode(row.update, trusted=True)
            plan = document.plan(decoded, trusted=True)
        except Rejected as refusal:
            # Something it stands on is missing: the server may bring it, else it was refused.
            self._waiting.append(row)
            return refusal
        document.accept(plan)
        document.apply((row.update,), plan.ends)
        if row.own:
            ticket = self._given.get(row.row)
            if ticket is None:
                self._ticket = ticket = self._ticket + 1
            own = Own(row.row, row.layer, row.update, plan.ends, ticket, decoded.structs, _starts(plan))
            self._pushes.load(own)
        self._changed(row.layer, plan, own=False)
        return None

    def _retry_waiting(self) -> list[tuple[LocalRow, Rejected]]:
        """Take the rows that waited for what they stand on; return those that still do, which go on waiting."""
        waiting, self._waiting = self._waiting, []
        return [(row, refusal) for row in waiting if (refusal := self._take(row)) is not None]

    def document(self, layer: Layer) -> Document:
        """One layer's document, for reading."""
        return self._documents[layer]

    @property
    def unsynced(self) -> int:
        """How many own edits are not on the server's disk yet."""
        return len(self._pushes.owns) + len(self._unsaved) + sum(row.own for row in self._waiting)

    # Own edits

    def edit(self, layer: Layer, change: Callable[[Replica], bytes]) -> int | None:
        """Let `change` write through the layer's replica and return its update; take that.

        Return a ticket, reported by `Saved` and `Synced`; None if nothing changed.

        Raises:
            LocalProtocolError: the grant does not allow it, or it is too large for one frame; the latter was written
                into the replica before it showed, so a `Reload` follows.
            Rejected: it does not fit; make a new machine from the store.
            ReplicaBroken: make a new machine from the store.
        """
        self._check_right(layer)
        document = self._documents[layer]
        update = change(document.replica)
        if update == EMPTY_UPDATE:
            return None
        decoded = self._decode_own(document, update)
        plan = document.plan(decoded)
        document.accept(plan)
        document.applied_by_edit(plan.ends)
        return self._took_own(layer, update, plan, decoded.structs)

    def take_own(self, layer: Layer, update: bytes) -> int | None:
        """Take an update that a small document of this session wrote, such as a stream's. As `edit`."""
        self._check_right(layer)
        if update == EMPTY_UPDATE:
            return None
        document = self._documents[layer]
        decoded = self._decode_own(document, update)
        plan = document.plan(decoded)
        document.accept(plan)
        document.apply((update,), plan.ends)
        return self._took_own(layer, update, plan, decoded.structs)

    def _took_own(self, layer: Layer, update: bytes, plan: Plan, structs: int) -> int:
        self._ticket += 1
        write = StoreOwn(layer, update, self._ticket)
        self._unsaved[self._ticket] = write
        self._planned[self._ticket] = plan.ends, _starts(plan), structs
        self._turn.writes.append(write)
        self._changed(layer, plan, own=True)
        return self._ticket

    def _allowed(self, layer: Layer) -> bool:
        needed = {Right.STATE} if layer is Layer.STATE else {Right.TRANSCRIPT, Right.COMMAND}
        return self.rights is None or bool(self.rights & needed)

    def _check_right(self, layer: Layer) -> None:
        if not self._allowed(layer):
            raise LocalProtocolError(f"the token does not allow to write the {layer} of {self.session}")

    def _decode_own(self, document: Document, update: bytes) -> DecodedUpdate:
        """Decode an own edit, if it is not more than one push may hold."""
        decoded = document.decode(update, trusted=True)
        for found, most, unit in (
            (len(update), self.update_bytes_max(), "bytes"),
            (decoded.structs, self._limits.update_structs_max, "parts"),
        ):
            if found > most:
                self._wants_reload("an edit was too large")
                raise LocalProtocolError(f"one edit holds at most {most} {unit}, this one {found}: make several of it")
        return decoded

    def _wants_reload(self, reason: str) -> None:
        self._reload = True
        self._turn.events.append(Reload(reason))

    def update_bytes_max(self) -> int:
        """Return how large one update may be: it must fit a frame."""
        return self.frame_bytes_max - _FRAME_OVERHEAD

    def set_presence(self, state: Json) -> None:
        """Say what the others see of this peer, None for nothing. Sent now, and again after every reconnect."""
        self._my_presence = state
        self._presence_dirty = True

    def declare(self, client_ids: Sequence[int]) -> None:
        """Bind client ids that this peer is about to write under."""
        if self.state is LinkState.OPEN:
            self._out.append(Declare(self.session, client_ids))

    def claim(self, run: str, policy: str, attempts_max: int) -> bool:
        """Ask for a run that waits; the next receipt about it says who holds it. Whether it was asked: the session must
        be open."""
        if self.state is not LinkState.OPEN:
            return False
        self._out.append(Claim(self.session, run, policy, attempts_max))
        return True

    # The link

    def connect(self, client_ids: Sequence[int] = ()) -> None:
        """Start opening the session on a new link."""
        self.disconnect()
        self.state = LinkState.OPENING
        ids = {client for own in self._pushes.owns.values() for client in own.ends} | set(client_ids)
        self._out.append(
            Open(
                session=self.session,
                vectors={layer: document.vector for layer, document in self._documents.items()},
                client_ids=tuple(sorted(ids))[: self._limits.client_ids_per_frame_max],
                incarnation=self.incarnation,
                version=self.version,
                seen=self.seq,
            )
        )

    def disconnect(self) -> None:
        """The link is gone. What was not acked will be pushed again."""
        self.state = LinkState.CLOSED
        self._out.clear()
        self._pushes.stop()
        if self.presence:
            gone = tuple(
                PresenceEntry(e.peer, e.subject, e.name, e.kind, e.device, None) for e in self.presence.values()
            )
            self.presence.clear()
            self._turn.events.append(PresenceMoved(gone))

    def receive(self, message: ServerMessage) -> None:
        """Take a frame of this session (or `Storage`)."""
        if isinstance(message, Storage):
            if self.storage_full != message.full:
                self.storage_full = message.full
                self._turn.events.append(StorageMoved(message.full))
        elif isinstance(message, Closed):
            if message.code != CloseCode.NORMAL:  # The answer to a leave: nothing to repair.
                self._shut(message.code, message.reason)
        elif isinstance(message, Opened):
            self._opened(message)
        elif self.state is not LinkState.OPEN:
            return
        elif isinstance(message, Update):
            self._remote(message.layer, message.update)
        elif isinstance(message, Ack):
            self._synced(self._pushes.acked(message.number))
        elif isinstance(message, Reject):
            self._rejected(message)
        elif isinstance(message, PresenceChanged):
            apply_presence(self.presence, message.entries)
            self._turn.events.append(PresenceMoved(tuple(message.entries)))

    def _opened(self, opened: Opened) -> None:
        if self.state is LinkState.OPEN:
            # The answer to the last of several opens: the first was taken for it, this one holds what came between.
            for layer, update in opened.updates.items():
                self._remote(layer, update)
        if self.state is not LinkState.OPENING:
            return
        if (self.incarnation and opened.incarnation != self.incarnation) or opened.version < self.version:
            self._shut(CloseCode.REPLACED, "the server has an older or another session of this name")
            return
        self.rights = frozenset(opened.rights)
        if self.storage_full != opened.storage_full:
            self.storage_full = opened.storage_full
            self._turn.events.append(StorageMoved(opened.storage_full))
        roots, known = _kinds(opened.roots), self._documents[Layer.STATE].index.roots
        self._roots.update(opened.roots)
        if any(known.get(name, kind) is not kind for name, kind in roots.items()):
            # Made here with another kind, unsynced: loaded anew with the server's, what does not fit is set aside.
            self.disconnect()
            self._turn.writes.append(StoreProgress(opened.incarnation, self.version, self.seq, dict(self._roots)))
            self._wants_reload("a root of the state has another kind on the server")
            return
        known.update(roots)
        self.state = LinkState.OPEN
        for layer, update in opened.updates.items():
            self._remote(layer, update)
        if self.state is not LinkState.OPEN:
            return
        self.incarnation, self.version, self.seq = opened.incarnation, opened.version, opened.seq
        self._turn.writes.append(StoreProgress(self.incarnation, self.version, self.seq, dict(self._roots)))
        self._settle(opened.vectors)
        self.presence = {entry.peer: entry for entry in opened.presence}
        self._turn.events.append(PresenceMoved(tuple(opened.presence)))
        self._turn.events.append(CaughtUp(opened.caught_up))
        self._presence_dirty = self._my_presence is not None

    def _settle(self, vectors: Mapping[Layer, bytes]) -> None:
        """Sort own rows into those the server has already, those to push, and those that stand on refused ones."""
        held = {
            layer: decode_state_vector(vector, clients_max=self._limits.state_vector_clients_max)
            for layer, vector in vectors.items()
        }
        done = [
            own.row
            for own in self._pushes.owns.values()
            # Invariant 3. An update of deletions alone moves no clock: it is pushed again, which is harmless.
            if own.ends and all(end <= held.get(own.layer, {}).get(client, 0) for client, end in own.ends.items())
        ]
        self._synced(done)
        orphans = self._retry_waiting()
        self._waiting = []
        for row, refusal in orphans:  # Invariant 4.
            if row.own:
                code, reason = refusal.code, refusal.reason
                if code in (RejectCode.GAP, RejectCode.UNKNOWN_REFERENCE):
                    code, reason = RejectCode.DEPENDS_ON_REFUSED, "it builds on an update that was refused"
                self._set_aside([row.row], [self._given[row.row]] if row.row in self._given else (), code, reason)
        for layer in LAYERS:
            owns = self._pushes.of(layer)
            if owns and not self._allowed(layer):
                self._refuse(owns, RejectCode.FORBIDDEN, f"the token no longer allows to write the {layer}")
            self._pushes.start(layer)

    def _remote(self, layer: Layer, update: bytes) -> None:
        document = self._documents[layer]
        try:
            plan = document.plan(document.decode(update, trusted=True), trusted=True)
        except Rejected as refusal:
            self._shut(CloseCode.RESYNC, f"the server sent what does not fit: {refusal}")  # Invariant 5.
            return
        if plan.empty:
            return
        document.accept(plan)
        document.apply((update,), plan.ends)
        self._turn.writes.append(StoreRemote(layer, update))
        self._changed(layer, plan, own=False)
        if layer is Layer.TRANSCRIPT and (seen := count_receipts(plan)):
            self.seq += seen
            self._turn.writes.append(StoreProgress(self.incarnation, self.version, self.seq, dict(self._roots)))

    def _changed(self, layer: Layer, plan: Plan, *, own: bool) -> None:
        if entries := plan.touched(self._documents[layer].index):
            self._turn.events.append(Changed(layer, tuple(entries), own))
            if layer is Layer.TRANSCRIPT:
                self._touched.update(dict.fromkeys(entries))

    def take_news(self) -> Sequence[Changed]:
        """Return what this turn would tell of changes, and have it tell nothing of them."""
        news = [event for event in self._turn.events if isinstance(event, Changed)]
        self._turn.events = [event for event in self._turn.events if not isinstance(event, Changed)]
        return news

    def take_touched(self) -> Iterable[tuple[str, str]]:
        """Return the transcript's entries (root, key) that changed since this was last asked.

        Told at once, while `Changed` waits until the change is stored: views that are read in between must not mix what
        the document was with what it is.
        """
        touched, self._touched = self._touched, {}
        return touched

    def _synced(self, rows: list[int]) -> None:
        if rows:
            self._turn.writes.append(StoreSynced(rows))
            self._turn.events.append(Synced(self._pushes.done(rows)))

    def _rejected(self, reject: Reject) -> None:
        if owns := self._pushes.rejected(reject.number):
            self._refuse(owns, reject.code, reject.reason)

    def _refuse(self, owns: Sequence[Own], code: str, reason: str) -> None:
        rows = [own.row for own in owns]
        self._set_aside(rows, self._pushes.done(rows), code, reason)
        self._wants_reload("an edit was refused")

    def _set_aside(self, rows: Sequence[int], tickets: Sequence[int], code: str, reason: str) -> None:
        self._turn.writes.append(StoreRefused(rows, code, reason))
        self._turn.events.append(Refused(tickets, code, reason))

    def _shut(self, code: int, reason: str) -> None:
        self.disconnect()
        self._turn.events.append(Shut(code, reason))

    # The turn

    def tick(self, now: float) -> None:
        """Shut the session if a push was not acked in time. `now` is monotonic, in seconds."""
        oldest = self._pushes.oldest_at(now)
        if oldest is not None and now - oldest > self._ack_timeout_s and not self.storage_full:
            self._shut(CloseCode.RESYNC, f"no ack within {self._ack_timeout_s:g} s")

    def pending(self) -> bool:
        """Whether `ready` has something."""
        return bool(self._turn.writes or self._turn.events)

    def ready(self) -> ClientReady:
        """Return what to store, and what happened so far. More may gather while it is being stored."""
        turn, self._turn = self._turn, _Turn()
        return ClientReady(turn.writes, turn.events)

    def advance(self, ready: ClientReady, rows: Sequence[int]) -> Sequence[Event]:
        """Note that `ready` is stored; `rows` are those of its `StoreOwn` writes, in order. Return what happened."""
        owns = [write for write in ready.writes if isinstance(write, StoreOwn)]
        for write, row in zip(owns, rows, strict=True):
            del self._unsaved[write.ticket]
            ends, starts, structs = self._planned.pop(write.ticket)
            # Invariant 1: it is stored.
            self._pushes.add(Own(row, write.layer, write.update, ends, write.ticket, structs, starts))
        saved = (Saved([write.ticket for write in owns]),) if owns else ()
        return (*saved, *ready.events)

    def outgoing(self) -> list[ClientMessage]:
        """Return the frames to send now."""
        if self.state is LinkState.OPEN:
            if self._presence_dirty:
                self._out.append(SetPresence(self.session, self._my_presence))
                self._presence_dirty = False
            # What a reload will set right is not pushed in its present state.
            if not self.storage_full and not self._reload:
                for layer in LAYERS:
                    self._out += self._pushes.take(layer)  # Invariant 2.
        out, self._out = self._out, []
        return out


def _starts(plan: Plan) -> bool:
    """Whether a message or command begins in a plan."""
    return any(insert.container in (Root.MESSAGES, Root.COMMANDS) for insert in plan.inserts)


def _kinds(roots: Mapping[str, str]) -> dict[str, Kind]:
    return {name: Kind(int(kind)) for name, kind in roots.items()}
