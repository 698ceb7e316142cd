"""Content: what one session durably is: both documents, whose client ids are whose, the last `seq`, and its log's size.

Rebuilt from the log's entries, and folded into a snapshot that replaces them. Knows nothing of peers or of rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from syncd.core.bindings import Bindings
from syncd.core.document import Document
from syncd.core.entries import ENTRY_LAYER, EntryKind, Snapshot, StoredEntry, decode_binding
from syncd.core.index import Plan, state_shape, transcript_shape
from syncd.core.limits import Limits
from syncd.core.messages import Json, Layer
from syncd.core.record import record
from syncd.core.schema import Root
from syncd.core.tool_calls import CALL_KEYS, ToolCalls, is_part
from syncd.core.transcript import count_receipts
from syncd.core.update import Content as Kinds
from syncd.core.update import DecodedUpdate, Kind, read_value

#: Receipts of runs, tool calls and hand-overs.
_DECIDED = ("r:", "d:", "a:")
_ANY = int(Kinds.ANY)


@record
class Folded:
    """A snapshot of what was committed up to `version`, and how much of the log it replaces."""

    version: int
    data: bytes
    entries: int
    tail_bytes: int


class Content:
    """What is in the log, and what was accepted and is about to be.

    1. `version`, `committed_seq` and `roots` say what is on disk; `seq` and the documents' indexes are ahead of them.
    2. A snapshot holds what is on disk and nothing else.
    """

    def __init__(self, limits: Limits, *, roots: Mapping[str, Kind] | None = None) -> None:
        """Make an empty one. `roots` are the state's roots that an app has decided on."""
        self.version = 0
        self.seq = 0
        self.committed_seq = 0
        self.bindings = Bindings(ids_max=limits.client_ids_max)
        self.documents = {
            Layer.TRANSCRIPT: Document(transcript_shape(limits), limits),
            Layer.STATE: Document(state_shape(limits), limits, roots=roots),
        }
        self.roots = dict(roots or {})
        self.calls = ToolCalls()
        self._limits = limits
        self._snapshot_bytes = 0
        self._tail_entries = 0
        self._tail_bytes = 0
        # Of these, what is not on disk yet.
        self._uncommitted_bytes = 0

    def load(self, entries: Iterable[StoredEntry]) -> dict[str, Json]:
        """Take a log, once; return the receipts of runs, tool calls and hand-overs that it holds.

        Raises:
            Rejected, ReplicaBroken, ValueError, TypeError, KeyError, AttributeError: an entry, that behind `version`,
                is not what a server of this version writes.
        """
        decided: dict[str, Json] = {}
        for entry in entries:
            self._replay(entry, decided)
            self.version = entry.version
        self.committed_seq = self.seq
        return decided

    def _replay(self, entry: StoredEntry, decided: dict[str, Json]) -> None:
        self._tail_entries += 1
        self._tail_bytes += len(entry.data)
        if entry.kind == EntryKind.SNAPSHOT:
            snapshot = Snapshot.decode(entry.data)
            roots = {name: Kind(kind) for name, kind in snapshot.roots.items()}
            self.documents[Layer.STATE].index.roots.update(roots)
            self.roots.update(roots)
            for layer, update in snapshot.updates.items():
                self._replay_update(layer, update, decided)
            for subject, client_ids in snapshot.bindings.items():
                self.bindings.bind(subject, client_ids)
            self.seq = snapshot.seq
            self._snapshot_bytes, self._tail_entries, self._tail_bytes = len(entry.data), 0, 0
        elif entry.kind == EntryKind.BINDING:
            self.bindings.bind(*decode_binding(entry.data))
        else:
            plan = self._replay_update(ENTRY_LAYER[entry.kind], entry.data, decided)
            self.seq += count_receipts(plan)

    def _replay_update(self, layer: Layer, update: bytes, decided: dict[str, Json]) -> Plan:
        document = self.documents[layer]
        decoded = document.decode(update, trusted=True)
        plan = document.plan(decoded, trusted=True)
        document.accept(plan)
        document.apply((update,), plan.ends)
        if layer is Layer.STATE:
            self.roots.update(plan.new_roots)
        else:
            decided.update(_receipts(update, decoded, plan))
            self._note_calls(update, decoded, plan)
        return plan

    def _note_calls(self, data: bytes, update: DecodedUpdate, plan: Plan) -> None:
        types = self.documents[Layer.TRANSCRIPT].index.types
        for insert in plan.inserts:
            if insert.key in CALL_KEYS and not isinstance(insert.container, str) and insert.content == _ANY:
                record = types.get(insert.container)
                if record is not None and is_part(record):
                    value = read_value(data, update, (insert.client, insert.start))
                    self.calls.note(insert.container, insert.key or "", value)

    def names(self, tool_call: str, subject: str) -> bool:
        """Whether a part that `subject` wrote is this tool call."""
        return any(self.bindings.owner(client_id) == subject for client_id, _ in self.calls.parts(tool_call))

    # Growing

    @property
    def log_bytes(self) -> int:
        """Bytes of the session's log, what is accepted but not yet committed included."""
        return self._snapshot_bytes + self._tail_bytes

    def accepted(self, size: int) -> None:
        """Note that an update of this many bytes will be in the log."""
        self._tail_bytes += size
        self._uncommitted_bytes += size

    def committed(self, entries: int, size: int, *, seq: int) -> None:
        """Note that so many entries, of so many accepted bytes, are on disk, with receipts up to `seq`."""
        self.version += entries
        self._tail_entries += entries
        self._uncommitted_bytes -= size
        self.committed_seq = seq

    # Folding

    def wants_snapshot(self) -> bool:
        """Whether the log has grown enough since its last snapshot to be folded."""
        return self._tail_entries >= self._limits.compact_entries or self._tail_bytes >= max(
            self._limits.compact_bytes, self._snapshot_bytes
        )

    def snapshot(self) -> Folded:
        """Return the snapshot that replaces what is committed.

        Raises:
            ReplicaBroken: throw the content away.
        """
        data = Snapshot(
            updates={layer: document.snapshot() for layer, document in self.documents.items()},
            bindings=self.bindings.export(),
            seq=self.committed_seq,
            roots={name: int(kind) for name, kind in self.roots.items()},
        ).encode()
        return Folded(self.version, data, self._tail_entries, self._tail_bytes - self._uncommitted_bytes)

    def compacted(self, folded: Folded) -> None:
        """Note that `folded`, taken since the last one, has replaced the log up to its version."""
        self._tail_entries -= folded.entries
        self._tail_bytes -= folded.tail_bytes
        self._snapshot_bytes = len(folded.data)


def _receipts(data: bytes, update: DecodedUpdate, plan: Plan) -> dict[str, Json]:
    # From the bytes: reading them from the document would have it made at each load, for the few that there are.
    return {
        insert.key: read_value(data, update, (insert.client, insert.start))
        for insert in plan.inserts
        if insert.container == Root.RECEIPTS
        and insert.key is not None
        and insert.key.startswith(_DECIDED)
        and insert.content == _ANY
    }
