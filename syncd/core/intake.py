"""Intake: which updates a session takes, and the batch that gathers them until the next turn.

Knows nothing of frames, nor of what becomes of a peer whose update is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from syncd.core.author import check_bytes, check_plan, may_continue
from syncd.core.content import Content
from syncd.core.continuation import find_continuation
from syncd.core.decisions import RUN_CHARS_MAX, Decisions
from syncd.core.errors import RejectCode, Rejected
from syncd.core.facts import read_facts
from syncd.core.grant import Right
from syncd.core.ids import may_begin, run_key, split_run_key
from syncd.core.index import Plan
from syncd.core.limits import Limits
from syncd.core.listing import STATE_ROOT
from syncd.core.messages import Json, Layer
from syncd.core.schema import SCHEMA_VERSION, SERVER_SUBJECT, Root
from syncd.core.server_turn import Batch, Peer
from syncd.core.update import encode_map_entries

_LAYER_RIGHTS = {
    Layer.TRANSCRIPT: frozenset({Right.TRANSCRIPT, Right.COMMAND}),
    Layer.STATE: frozenset({Right.STATE}),
}


class Intake:
    """What a session takes, from its peers and from the server itself.

    1. An update is taken only if scanner, author rule and shape rule accept it, in this order. One that is refused
       leaves nothing behind.
    2. Every new message, command and attempt of an update that was taken is a fact of its batch, for the server to
       decide on in the same commit.
    """

    def __init__(self, content: Content, decisions: Decisions, limits: Limits) -> None:
        """Take into `content`; what runs there are is asked of `decisions`."""
        self.batch = Batch()
        self._content = content
        self._bindings = content.bindings
        self._documents = content.documents
        self._decisions = decisions
        self._limits = limits

    def take(self) -> Batch:
        """Return what gathered, and begin anew."""
        batch, self.batch = self.batch, Batch()
        return batch

    def accept(self, peer: Peer, layer: Layer, update: bytes) -> None:
        """Take an update of `peer`.

        Raises:
            Rejected: it is refused, with the code that says why.
        """
        subject = peer.grant.subject
        if not peer.rights & _LAYER_RIGHTS[layer]:
            raise Rejected(RejectCode.FORBIDDEN, f"the grant does not allow to write the {layer}")
        if self._content.log_bytes + len(update) > self._limits.session_bytes_max:
            raise Rejected(RejectCode.SESSION_FULL, f"the session has its {self._limits.session_bytes_max} bytes")
        document = self._documents[layer]
        text = find_continuation(update, document.index)
        if text is not None and may_continue(text, layer, subject, self._bindings, peer.rights):
            # Invariant 1: what follows would accept it as well, with the same effect, at five times the cost.
            document.index.extend(text.client, text.end)
            if layer is Layer.TRANSCRIPT:
                self.batch.touched[text.root, text.key] = None
            self._gather(peer, layer, update, {text.client: text.end})
            return
        decoded = document.decode(update)
        free = check_bytes(layer, decoded, subject=subject, bindings=self._bindings)
        plan = document.plan(decoded)
        if plan.empty:
            return
        if layer is Layer.TRANSCRIPT:
            check_plan(plan, document.index, subject=subject, bindings=self._bindings, rights=peer.rights)
            self._check_runs(plan, subject)
            # Invariant 2.
            self.batch.facts += read_facts(
                update, decoded, plan, document.index, by=subject, worker=peer.worker, calls=self._content.calls
            )
            if plan.deletions:
                touched = plan.touched(document.index)
                self.batch.rewritten.update(dict.fromkeys(key for root, key in touched if root == Root.MESSAGES))
        document.accept(plan)
        self._touch(layer, plan)
        self._bind(subject, free)
        if layer is Layer.STATE:
            self.batch.roots.update(plan.new_roots)
            if STATE_ROOT in document.index.roots and not self.batch.called:
                self.batch.called = any(root == STATE_ROOT for root, _ in plan.touched(document.index))
        self._gather(peer, layer, update, plan.ends)

    def declare(self, peer: Peer, client_ids: Sequence[int]) -> None:
        """Bind those client ids to `peer` that are free, if it may write at all."""
        if not peer.rights & (_LAYER_RIGHTS[Layer.TRANSCRIPT] | _LAYER_RIGHTS[Layer.STATE]):
            return
        free = []
        for client_id in dict.fromkeys(client_ids):
            try:
                free += self._bindings.unbound(peer.grant.subject, [client_id])
            except Rejected:
                continue  # Somebody else's: what is pushed under it will be refused, with that code.
        self._bind(peer.grant.subject, free)

    def write_receipts(self, decided: Sequence[tuple[str, Json]], client_id: int, now_ms: int) -> bytes:
        """Add the server's own word to the batch, written under `client_id`; return the update that holds it."""
        document = self._documents[Layer.TRANSCRIPT]
        self._bind(SERVER_SUBJECT, self._bindings.unbound(SERVER_SUBJECT, [client_id]))
        entries: list[tuple[str, Json]] = []
        if not document.index.entries.get(Root.RECEIPTS):
            entries.append(("schema", {"version": SCHEMA_VERSION, "at": now_ms}))
        entries += decided
        clock = document.index.state.get(client_id, 0)
        update = encode_map_entries(client_id, clock, Root.RECEIPTS, entries)
        plan = document.plan(document.decode(update, trusted=True), trusted=True)
        document.accept(plan)
        self._touch(Layer.TRANSCRIPT, plan)
        self.batch.of(Layer.TRANSCRIPT).ends.update(plan.ends)
        self._grow(len(update))
        return update

    def _check_runs(self, plan: Plan, subject: str) -> None:
        index = self._documents[Layer.TRANSCRIPT].index
        pushed = dict.fromkeys(key for root, key in plan.touched(index) if root == Root.RUNS)
        for key in pushed:
            run = key.rpartition("_")[0]
            agent = self._decisions.agent(run)
            first = run_key(run, 1)
            begun = first in index.entries[Root.RUNS] or first in pushed
            if agent is None and split_run_key(key)[1] and not (begun and 0 < len(run) <= RUN_CHARS_MAX):
                # Of a run without facts readers would have to believe what it says of its agent.
                raise Rejected(RejectCode.FOREIGN_ENTRY, "an attempt of a run that is not there")
            if agent is None and not may_begin(run, subject):
                raise Rejected(RejectCode.FOREIGN_ENTRY, "a run under an id that a message's, or another agent's, has")
            if agent not in (None, subject):
                raise Rejected(RejectCode.FOREIGN_ENTRY, "an attempt of a run that is another agent's")

    def _gather(self, peer: Peer, layer: Layer, update: bytes, ends: Mapping[int, int]) -> None:
        self.batch.of(layer).add(peer.id, update, ends)
        self._grow(len(update))

    def _grow(self, size: int) -> None:
        self.batch.size += size
        self._content.accepted(size)

    def _bind(self, subject: str, client_ids: list[int]) -> None:
        if client_ids:
            self._bindings.bind(subject, client_ids)
            self.batch.bindings.append((subject, client_ids))

    def _touch(self, layer: Layer, plan: Plan) -> None:
        # Noted even while nobody reads: a view may be made before this batch is on disk.
        if layer is Layer.TRANSCRIPT:
            self.batch.touched.update(dict.fromkeys(plan.touched(self._documents[layer].index)))
