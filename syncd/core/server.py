"""ServerMachine: the server's side of one session, all its peers.

Frames in, entries to commit and frames out. Which updates it takes is in `intake`. Knows nothing of sockets, tasks,
clocks or databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syncd.core.codec import pack
from syncd.core.content import Content
from syncd.core.decisions import Decisions
from syncd.core.document import Document
from syncd.core.entries import (
    ENTRY_KIND,
    Entry,
    StoredEntry,
    encode_binding,
)
from syncd.core.errors import HOSTILE_CODES, CloseCode, LocalProtocolError, RejectCode, Rejected, StoreDamaged
from syncd.core.facts import ClaimFact
from syncd.core.grant import Grant, Right
from syncd.core.intake import Intake
from syncd.core.limits import Limits
from syncd.core.messages import (
    Ack,
    Claim,
    ClientMessage,
    Declare,
    Json,
    Layer,
    Open,
    Opened,
    PresenceChanged,
    PresenceEntry,
    Push,
    Reject,
    SetPresence,
    Update,
)
from syncd.core.presence import PresenceTable
from syncd.core.receipts import Decided, decide
from syncd.core.replica import ReplicaBroken, check_value, merge_batch
from syncd.core.run_view import RunView, RunViews
from syncd.core.schema import Root
from syncd.core.server_turn import Batch, Drop, Peer, Ready, Send
from syncd.core.transcript import MessageView, TranscriptView
from syncd.core.update import EMPTY_UPDATE, Kind
from syncd.core.varint import decode_state_vector, encode_state_vector

_NOTHING = Decided()


class ServerMachine:
    """The server's side of one session, all peers.

    1. Nothing is shown to anybody, and nothing acked, before it is in `Ready.entries` and committed.
    2. A peer that fell behind gets one diff, never a queue.
    3. Pushes of a peer are counted without gaps; any irregularity closes it, and its next open repairs.
    4. What the server decides is a receipt by its own subject, in the commit that holds what it is about: one for every
       message and command.

    Call `tick()`, then `ready()`; append and commit its entries, then call `advance()` with the same object and send
    what it returns. If the commit failed, throw the machine away and close its peers: memory is ahead of the disk.
    """

    def __init__(
        self, session: str, incarnation: str, limits: Limits, *, client_id: int, roots: Mapping[str, Kind] | None = None
    ) -> None:
        """Make an empty session. `client_id` is fresh, for what the server itself writes in this life."""
        self.session = session
        self.incarnation = incarnation
        self.storage_full = False
        self.content = Content(limits, roots=roots)
        self._now = 0.0
        self._limits = limits
        self._client_id = client_id
        self._bindings = self.content.bindings
        self._documents = self.content.documents
        self._decisions = Decisions(
            session,
            grace_s=limits.lease_grace_s,
            per_message_max=limits.runs_per_message_max,
            names=self.content.names,
        )
        self._presence = PresenceTable(per_s=limits.presence_per_s, gather_s=limits.presence_gather_s)
        self._peers: dict[str, Peer] = {}
        self._intake = Intake(self.content, self._decisions, limits)
        self._view = TranscriptView()
        self._runs = RunViews()
        self._before: dict[Layer, dict[int, int | None]] = {}
        self._published: tuple[PresenceEntry, ...] = ()

    def load(self, entries: Iterable[StoredEntry]) -> None:
        """Take the session's log, once, before any peer.

        Raises:
            StoreDamaged: an entry is not what a server of this version writes.
        """
        try:
            self._decisions.load(self.content.load(entries).items())
        except (Rejected, ReplicaBroken, ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreDamaged(f"session {self.session}, entry {self.version + 1}: {error}") from error

    # Reading

    @property
    def _batch(self) -> Batch:
        return self._intake.batch

    @property
    def version(self) -> int:
        """The version of the last entry that is on disk."""
        return self.content.version

    @property
    def committed_seq(self) -> int:
        """The last `seq` that is on disk."""
        return self.content.committed_seq

    @property
    def published(self) -> Sequence[PresenceEntry]:
        """The presence entries that the last turn told the readers of."""
        return self._published

    def document(self, layer: Layer) -> Document:
        """One layer's document, for reading. What it shows is committed."""
        return self._documents[layer]

    def messages(self) -> list[MessageView]:
        """Return the committed messages in order.

        Raises:
            ReplicaBroken: throw the machine away.
        """
        return self._view.messages(self._documents[Layer.TRANSCRIPT].replica)

    def runs(self) -> list[RunView]:
        """Return the committed runs, in the order they were made in. Raises as `messages`."""
        return self._runs.runs(self._documents[Layer.TRANSCRIPT].replica)

    def owner(self, root: Root, key: str) -> str | None:
        """Return the subject that wrote the transcript entry `key` under `root`, None if there is none."""
        client_id = self._documents[Layer.TRANSCRIPT].index.entries.get(root, {}).get(key)
        return self._bindings.owner(client_id) if client_id is not None else None

    # Peers

    def attach(
        self,
        peer: str,
        grant: Grant,
        rights: frozenset[Right],
        *,
        device: str,
        opened: Open | None,
        worker: str = "",
    ) -> None:
        """Let a peer in. Without `opened` it only writes, inside the server, and reads by other means.

        `worker` is who holds the runs that it begins or claims, until all peers of that worker are gone.
        """
        entry = Peer(peer, grant, rights, device, reader=opened is not None, worker=worker)
        self._peers[peer] = entry
        if worker:
            self._decisions.here(grant.subject, worker)
        if opened is None:
            return
        foreign = opened.incarnation and opened.incarnation != self.incarnation
        if foreign or opened.version > self.version or opened.seen > self.content.seq:
            self._drop(peer, CloseCode.REPLACED, "this session was restored or made anew: the local copy is of another")
            return
        try:
            for vector in opened.vectors.values():
                decode_state_vector(vector, clients_max=self._limits.state_vector_clients_max)
        except Rejected as refusal:
            self._drop(peer, CloseCode.BAD_MESSAGE, f"{refusal.code}: {refusal.reason}", whole_link=True)
            return
        self._batch.opening.append((entry, opened))
        self._declare(entry, opened.client_ids)
        if Right.PRESENCE in rights and self._here(entry):
            self._presence.set(PresenceEntry(peer, grant.subject, grant.name, grant.kind, device, {}))

    def detach(self, peer: str) -> None:
        """Forget a peer: its socket went, or it left. Idempotent."""
        entry = self._peers.pop(peer, None)
        self._presence.remove(peer)
        if entry is not None and entry.worker:
            self._decisions.gone(entry.grant.subject, entry.worker)

    @property
    def peers(self) -> int:
        """How many peers are attached."""
        return len(self._peers)

    def regrant(self, peer: str, grant: Grant, rights: frozenset[Right]) -> None:
        """Replace a peer's grant after its token was refreshed."""
        if (entry := self._peers.get(peer)) is None:
            return
        shown = Right.PRESENCE in entry.rights
        entry.grant, entry.rights = grant, rights
        if shown and Right.PRESENCE not in rights:
            self._presence.remove(peer)
        elif not shown and Right.PRESENCE in rights and entry.reader:
            self._presence.set(PresenceEntry(peer, grant.subject, grant.name, grant.kind, entry.device, {}))

    def fall_behind(self, peer: str) -> None:
        """Mark a reader whose socket is full, right after `advance` gave it something: it is not sent that."""
        entry = self._peers.get(peer)
        if entry is None or entry.behind is not None:
            return
        entry.behind = {}  # Invariant 2.
        entry.missed = {e.peer: e for e in self._published if e.state is None}
        for layer, document in self._documents.items():
            vector = dict(document.applied)
            for client, clock in self._before.get(layer, {}).items():
                if clock is None:
                    vector.pop(client, None)
                else:
                    vector[client] = clock
            entry.behind[layer] = vector

    def catch_up(self, peer: str) -> list[Send]:
        """Return what brings a reader up to date whose socket can be written again."""
        entry = self._peers.get(peer)
        if entry is None or entry.behind is None:
            return []
        vectors, entry.behind = entry.behind, None
        sends = [
            Send((peer,), Update(self.session, layer, diff))
            for layer, document in self._documents.items()
            # Deletions move no clock: equal vectors do not mean that nothing is missing.
            if (diff := document.diff(encode_state_vector(vectors[layer]))) != EMPTY_UPDATE
        ]
        present = self._presence.entries()
        here = {e.peer for e in present}
        left = tuple(e for e in entry.missed.values() if e.peer not in here)
        entry.missed = {}
        sends.append(Send((peer,), PresenceChanged(self.session, left + present)))
        return sends

    # Frames in

    def receive(self, peer: str, message: ClientMessage) -> None:
        """Take a frame. What is wrong with it is answered by `advance`; it never raises for that."""
        entry = self._peers.get(peer)
        if entry is None:
            return
        if isinstance(message, Push):
            self._push(entry, message)
        elif isinstance(message, SetPresence):
            self._set_presence(entry, message.state)
        elif isinstance(message, Declare):
            self._declare(entry, message.client_ids)
        elif isinstance(message, Claim) and entry.worker and Right.TRANSCRIPT in entry.rights and not self.storage_full:
            self._batch.facts.append(
                ClaimFact(message.run, entry.grant.subject, entry.worker, message.policy, message.attempts_max)
            )

    def _push(self, peer: Peer, push: Push) -> None:
        if self.storage_full:
            self._drop(
                peer.id, CloseCode.STORAGE_FULL, "the server's storage is full: the edits stay with you, come back"
            )
            return
        if push.number != peer.next_number:  # Invariant 3.
            self._drop(peer.id, CloseCode.RESYNC, f"push {push.number} came where {peer.next_number} was due")
            return
        peer.next_number += 1
        self._batch.pushed[peer.id] = (peer, push.number)
        try:
            self._intake.accept(peer, push.layer, push.update)
        except Rejected as refusal:
            self._refuse(peer, push, refusal)

    def _refuse(self, peer: Peer, push: Push, refusal: Rejected) -> None:
        code, reason = refusal.code, refusal.reason
        if code in HOSTILE_CODES:
            self._drop(peer.id, CloseCode.BAD_UPDATE, f"{code}: {reason}", whole_link=True)
            return
        if code in (RejectCode.GAP, RejectCode.UNKNOWN_REFERENCE):
            if not peer.refused:
                self._drop(peer.id, CloseCode.RESYNC, f"{code}: {reason}")
                return
            # Pushed before the refusal of what it stands on was known there: no fault of the peer.
            code, reason = RejectCode.DEPENDS_ON_REFUSED, "it builds on an update that was refused"
        peer.refused = True
        self._batch.rejects.append((peer, Reject(self.session, push.number, code, reason)))

    def _declare(self, peer: Peer, client_ids: Sequence[int]) -> None:
        if len(client_ids) > self._limits.client_ids_per_frame_max:
            self._drop(peer.id, CloseCode.BAD_MESSAGE, "more client ids than one frame may declare", whole_link=True)
        elif not self.storage_full:
            self._intake.declare(peer, client_ids)

    def _set_presence(self, peer: Peer, state: Json) -> None:
        if Right.PRESENCE not in peer.rights:
            return
        try:
            check_value(state)
            fits = isinstance(state, dict | None) and len(pack(state)) <= self._limits.presence_bytes_max
        except LocalProtocolError:
            fits = False
        if fits:
            self._presence.update(peer.id, state if state is not None else {})
        else:
            reason = f"presence is a JSON object of at most {self._limits.presence_bytes_max} bytes, or nil"
            self._drop(peer.id, CloseCode.BAD_MESSAGE, reason, whole_link=True)

    def _drop(self, peer: str, code: CloseCode, reason: str, *, whole_link: bool = False) -> None:
        self._batch.drops.append(Drop(peer, code, reason, whole_link))
        self.detach(peer)

    # The turn

    def pending(self) -> bool:
        """Whether `ready` has something now, or presence waits for its time."""
        return bool(self._batch) or self._presence.pending() or self._decides()

    def _decides(self) -> bool:
        due_at = self._decisions.due_at(self._now)
        # What time decides can wait for the disk; what is told meanwhile is what stands on it.
        return due_at is not None and due_at <= self._now and not self.storage_full

    def tick(self, now: float) -> None:
        """Let time pass: what waited for it is due in the next turn. `now` is monotonic, in seconds."""
        self._now = now

    def due_at(self) -> float | None:
        """Return when to call `tick` and `ready` though nothing came, in monotonic seconds; None for never."""
        due = [at for at in (self._presence.due_at(), self._decisions.due_at(self._now)) if at is not None]
        return min(due, default=None)

    def ready(self, now_ms: int) -> Ready | None:
        """Return the next batch, None if there is nothing. `now_ms` (Unix) is written into its receipts."""
        if not self.pending():
            return None
        facts = self._batch.facts
        decided = (
            decide(facts, self.content, self._decisions, now=self._now, now_ms=now_ms)
            if facts or self._decides()
            else _NOTHING
        )
        # Invariant 4.
        receipts = self._intake.write_receipts(decided.receipts, self._client_id, now_ms) if decided.receipts else b""
        batch = self._intake.take()
        merged: dict[Layer, Sequence[bytes]] = {}
        for layer, accepted in batch.accepted.items():
            with_receipts = (
                [*accepted.updates, receipts] if receipts and layer is Layer.TRANSCRIPT else accepted.updates
            )
            merged[layer] = merge_batch(with_receipts)
        entries = [encode_binding(subject, client_ids) for subject, client_ids in batch.bindings]
        entries += [Entry(ENTRY_KIND[layer], update) for layer, updates in merged.items() for update in updates]
        return Ready(self.version, entries, batch, receipts, merged, decided.work, decided.events)

    def advance(self, ready: Ready) -> list[Send | Drop]:
        """Return what to send now that `ready` is on disk, in order."""
        batch = ready.batch
        seq = self.content.seq if ready.receipts else self.committed_seq
        self.content.committed(len(ready.entries), batch.size, seq=seq)
        sends: list[Send | Drop] = []
        self._before = {}
        for layer, updates in ready.merged.items():
            document = self._documents[layer]
            accepted = batch.accepted[layer]
            self._before[layer] = {client: document.applied.get(client) for client in accepted.ends}
            document.apply(updates, accepted.ends)
            self._show(layer, updates, accepted.alone, ready.receipts if layer is Layer.TRANSCRIPT else b"", sends)
        self.content.roots.update(batch.roots)
        self._view.touch(batch.touched)
        self._runs.touch(batch.touched)
        for peer, opened in batch.opening:
            if self._here(peer):
                sends.append(Send((peer.id,), self._opened(peer, opened)))
            peer.opened = True
        sends += [Send((peer.id,), reject) for peer, reject in batch.rejects if self._here(peer)]
        for peer, number in batch.pushed.values():
            if self._here(peer):
                sends.append(Send((peer.id,), Ack(self.session, number)))
        sends += [drop for drop in batch.drops if drop.whole_link or drop.peer not in self._peers]
        self._published = self._presence.take(self._now) if self._presence.pending() else ()
        if entries := self._published:
            for peer in self._peers.values():
                if peer.behind is not None:
                    peer.missed |= {e.peer: e for e in entries if e.state is None}
            readers = tuple(p.id for p in self._peers.values() if p.opened and p.behind is None)
            if readers:
                sends.append(Send(readers, PresenceChanged(self.session, entries)))
        return sends

    def _here(self, peer: Peer) -> bool:
        return self._peers.get(peer.id) is peer

    def _show(
        self, layer: Layer, updates: Sequence[bytes], alone: str, receipts: bytes, sends: list[Send | Drop]
    ) -> None:
        """Have a batch's updates sent to everybody but `alone`, their one writer, who lacks only the receipts."""
        readers = tuple(
            [p.id for p in self._peers.values() if p.opened and p.behind is None and p.reader and p.id != alone]
        )
        if readers:
            sends += [Send(readers, Update(self.session, layer, update)) for update in updates]
        writer = self._peers.get(alone) if receipts else None
        if writer is not None and writer.opened and writer.behind is None:
            sends.append(Send((alone,), Update(self.session, layer, receipts)))

    def _opened(self, peer: Peer, opened: Open) -> Opened:
        updates: dict[Layer, bytes] = {}
        for layer, document in self._documents.items():
            if document.applied and (diff := document.diff(opened.vectors.get(layer))) != EMPTY_UPDATE:
                updates[layer] = diff
        return Opened(
            session=self.session,
            incarnation=self.incarnation,
            version=self.version,
            seq=self.committed_seq,
            caught_up=max(0, self.committed_seq - opened.seen),
            rights=tuple(sorted(peer.rights)),
            updates=updates,
            vectors={layer: document.vector for layer, document in self._documents.items()},
            roots={name: str(int(kind)) for name, kind in self.content.roots.items()},
            presence=self._presence.entries(),
            storage_full=self.storage_full,
        )
