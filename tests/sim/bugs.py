"""Deliberate faults of protocol and store, each a context in which the product has it.

A simulator that does not see them proves nothing. Patched in from here: the product has no switches for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest import mock

from syncd.core import intake
from syncd.core.author import may_continue
from syncd.core.bindings import Bindings
from syncd.core.client import ClientMachine
from syncd.core.decisions import Decisions
from syncd.core.entries import EntryKind, Snapshot
from syncd.core.facts import ClaimFact
from syncd.core.leases import Lease, Leases
from syncd.core.messages import Ack, Layer, Opened, Push, Reject
from syncd.core.replica import merge
from syncd.core.server import ServerMachine
from syncd.core.server_turn import Drop, Peer, Ready, Send
from syncd.core.varint import encode_state_vector
from syncd.store.local_records import AppendUpdate
from tests.sim.disk import LogDisk, StoreDisk
from tests.sim.server import ServerNode

Bug = Callable[[], AbstractContextManager[object]]
#: Name to bug.
BUGS: dict[str, Bug] = {}


def _bug(make: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
    BUGS[make.__name__] = contextmanager(make)
    return make


def _patch(owner: object, name: str, new: object) -> AbstractContextManager[object]:
    return mock.patch.object(owner, name, new)


# The server's turn


@_bug
def ack_before_commit() -> Iterator[None]:
    """Pushes are acked while their batch is still on its way to the disk."""
    begin = ServerNode.begin

    def early(node: ServerNode) -> bool:
        begun = begin(node)
        if node.turn is not None:
            for peer, number in node.turn.batch.pushed.values():
                if node.machine is None or not node.machine._here(peer):
                    continue
                node._deliver([Send((peer.id,), Ack(node._session, number))])
        return begun

    with _patch(ServerNode, "begin", early):
        yield


@_bug
def publish_before_commit() -> Iterator[None]:
    """A batch is shown to the others while it is still on its way to the disk."""
    begin = ServerNode.begin

    def early(node: ServerNode) -> bool:
        begun = begin(node)
        ready, machine = node.turn, node.machine
        if ready is not None and machine is not None:
            sends: list[Send | Drop] = []
            for layer, update in ready.merged.items():
                machine._show(layer, update, ready.batch.accepted[layer].alone, b"", sends)
            node._deliver(sends)
        return begun

    with _patch(ServerNode, "begin", early):
        yield


@_bug
def no_sequence_check() -> Iterator[None]:
    """A push is taken whatever its number; what came between is never missed."""
    push = ServerMachine._push

    def unchecked(machine: ServerMachine, peer: Peer, message: Push) -> None:
        peer.next_number = message.number
        push(machine, peer, message)

    with _patch(ServerMachine, "_push", unchecked):
        yield


@_bug
def ack_covers_a_refused_hole() -> Iterator[None]:
    """A push that is refused is not named: the next ack covers it."""

    def silent(machine: ServerMachine, peer: Peer, push: Push, refusal: object) -> None:
        peer.refused = True

    with _patch(ServerMachine, "_refuse", silent):
        yield


@_bug
def receipt_outside_the_commit() -> Iterator[None]:
    """Receipts are shown with the batch that they belong to, and not stored with it."""
    ready_of = ServerMachine.ready

    def without(machine: ServerMachine, now_ms: int) -> Ready | None:
        accepted = machine._batch.of(Layer.TRANSCRIPT).updates if machine._batch.facts else []
        ready = ready_of(machine, now_ms)
        if ready is None or not accepted:
            return ready
        entries = [
            entry if entry.kind != EntryKind.TRANSCRIPT else type(entry)(entry.kind, merge(accepted))
            for entry in ready.entries
        ]
        return Ready(ready.expected, entries, ready.batch, ready.receipts, ready.merged)

    with _patch(ServerMachine, "ready", without):
        yield


@_bug
def commit_failure_ignored() -> Iterator[None]:
    """A batch that found the disk full is acked and shown all the same."""
    append = LogDisk.append

    def lenient(disk: LogDisk, expected: int, entries: Sequence[Any]) -> None:
        if not disk.full:
            append(disk, expected, entries)

    with _patch(LogDisk, "append", lenient):
        yield


@_bug
def revoked_peer_still_sent_to() -> Iterator[None]:
    """A peer that was detached stays among the readers."""
    with _patch(ServerMachine, "detach", lambda machine, peer: machine._presence.remove(peer)):
        yield


# Slow readers


@_bug
def catch_up_forgets_what_was_missed() -> Iterator[None]:
    """A reader that was behind is taken for up to date."""
    catch_up = ServerMachine.catch_up

    def forgetful(machine: ServerMachine, peer: str) -> list[Send]:
        entry = machine._peers.get(peer)
        if entry is not None and entry.behind is not None:
            entry.behind = {layer: dict(document.applied) for layer, document in machine._documents.items()}
        return [send for send in catch_up(machine, peer) if not _is_update(send)]

    with _patch(ServerMachine, "catch_up", forgetful):
        yield


def _is_update(send: Send) -> bool:
    return type(send.message).__name__ == "Update"


@_bug
def catch_up_forgets_deletions() -> Iterator[None]:
    """A reader that was behind is sent nothing where no clock moved."""
    catch_up = ServerMachine.catch_up

    def clocks_only(machine: ServerMachine, peer: str) -> list[Send]:
        entry = machine._peers.get(peer)
        behind = entry.behind if entry is not None else None
        same = [layer for layer, vector in (behind or {}).items() if vector == machine._documents[layer].applied]
        return [s for s in catch_up(machine, peer) if not (_is_update(s) and getattr(s.message, "layer", "") in same)]

    with _patch(ServerMachine, "catch_up", clocks_only):
        yield


@_bug
def fall_behind_after_what_was_not_sent() -> Iterator[None]:
    """The place where a reader fell behind is noted after the update that it was not sent."""
    fall_behind = ServerMachine.fall_behind

    def late(machine: ServerMachine, peer: str) -> None:
        machine._before = {}
        fall_behind(machine, peer)

    with _patch(ServerMachine, "fall_behind", late):
        yield


@_bug
def opened_shows_less_than_it_says() -> Iterator[None]:
    """What a peer is sent at its open ends before the vectors that it is told."""
    opened_of = ServerMachine._opened

    def short(machine: ServerMachine, peer: Peer, opened: Any) -> Opened:
        answer = opened_of(machine, peer, opened)
        vector = encode_state_vector(dict(machine._documents[Layer.STATE].applied))
        updates = dict(answer.updates)
        if opened.version and Layer.STATE in updates:
            updates[Layer.STATE] = machine._documents[Layer.STATE].diff(vector)
        return type(answer)(**{name: getattr(answer, name) for name in answer.__slots__} | {"updates": updates})

    with _patch(ServerMachine, "_opened", short):
        yield


# Who may write


@_bug
def author_check_skipped() -> Iterator[None]:
    """Anybody may write under anybody's client ids, and into anybody's entries."""

    def free(layer: Layer, update: Any, *, subject: str, bindings: Bindings) -> list[int]:
        return [client for client in update.sections if bindings.owner(client) is None]

    with _patch(intake, "check_bytes", free), _patch(intake, "check_plan", lambda *_, **__: None):
        yield


@_bug
def author_check_of_entries_skipped() -> Iterator[None]:
    """Anybody may take over somebody else's entry, under a client id of their own."""
    with _patch(intake, "check_plan", lambda *_, **__: None):
        yield


@_bug
def continuation_of_anybody() -> Iterator[None]:
    """A text may be gone on with by whoever knows its client id."""

    def anybody(text: Any, layer: Layer, subject: str, bindings: Bindings, rights: Any) -> bool:
        owner = bindings.owner(text.client) or subject
        return may_continue(text, layer, owner, bindings, rights)

    with _patch(intake, "may_continue", anybody):
        yield


@_bug
def binding_not_stored() -> Iterator[None]:
    """Whose the client ids are is not written into the log."""
    ready_of = ServerMachine.ready

    def without(machine: ServerMachine, now_ms: int) -> Ready | None:
        ready = ready_of(machine, now_ms)
        if ready is None:
            return None
        entries = [entry for entry in ready.entries if entry.kind != EntryKind.BINDING]
        return Ready(ready.expected, entries, ready.batch, ready.receipts, ready.merged)

    with _patch(ServerMachine, "ready", without):
        yield


# Folding


@_bug
def compaction_drops_a_row() -> Iterator[None]:
    """A fold takes away one entry more than its snapshot holds."""
    replaced = LogDisk.replace

    def greedy(disk: LogDisk, through: int, snapshot: bytes) -> None:
        replaced(disk, min(through + 1, disk.version), snapshot)

    with _patch(LogDisk, "replace", greedy):
        yield


def _snapshot_without(**changes: Any) -> AbstractContextManager[object]:
    encode = Snapshot.encode

    def forgetful(snapshot: Snapshot) -> bytes:
        fields = {name: getattr(snapshot, name) for name in ("updates", "bindings", "seq", "roots")}
        return encode(Snapshot(**fields | changes))

    return _patch(Snapshot, "encode", forgetful)


@_bug
def snapshot_forgets_bindings() -> Iterator[None]:
    """A snapshot does not say whose the client ids are."""
    with _snapshot_without(bindings={}):
        yield


@_bug
def snapshot_forgets_seq() -> Iterator[None]:
    """A snapshot does not say how many receipts there were."""
    with _snapshot_without(seq=0):
        yield


@_bug
def snapshot_forgets_roots() -> Iterator[None]:
    """A snapshot does not say of what kind the state's roots are."""
    with _snapshot_without(roots={}):
        yield


@_bug
def fold_takes_unsynced_rows() -> Iterator[None]:
    """A device folds edits that the server does not have yet, which then are nobody's to push."""
    compact = StoreDisk.compact

    async def all_rows(disk: StoreDisk, session: str, fold: Any) -> bool:
        disk.rows = {row: type(u)(u.row, u.layer, u.update, False, u.life, u.subject) for row, u in disk.rows.items()}
        return await compact(disk, session, fold)

    with _patch(StoreDisk, "compact", all_rows):
        yield


# Decisions


@_bug
def two_workers_hold_one_run() -> Iterator[None]:
    """A claim of a run that somebody holds already is granted."""
    claim = Decisions.claim

    def generous(decisions: Decisions, fact: ClaimFact, at: int) -> None:
        run = decisions._leases.runs.get(fact.run)
        if run is None or run.lease is not Lease.LIVE or fact.by != run.agent:
            claim(decisions, fact, at)
        else:
            decisions._leases.hold(run, fact.worker)
            decisions._leases.tell(run, Lease.LIVE, at)

    with _patch(Decisions, "claim", generous):
        yield


@_bug
def a_retired_attempt_has_a_say() -> Iterator[None]:
    """What a run's entry says counts whichever attempt says it, also behind the end."""

    def whoever(decisions: Decisions, run: Any, by: str, attempt: int, status: str, at: int) -> None:
        if status in ("completed", "failed"):
            decisions._leases.end(run, at, status=status)

    with _patch(Decisions, "_status", whoever):
        yield


@_bug
def a_lost_worker_keeps_its_runs() -> Iterator[None]:
    """Nobody looks whether the worker is still there."""
    with _patch(Leases, "_lost", lambda leases, run, at: setattr(run, "told", True)):
        yield


@_bug
def decisions_are_forgotten() -> Iterator[None]:
    """A server that was restarted does not know what was decided on tool calls."""
    load = Decisions.load

    def forgetful(decisions: Decisions, receipts: Any) -> None:
        load(decisions, [(key, value) for key, value in receipts if not key.startswith("d:")])

    with _patch(Decisions, "load", forgetful):
        yield


@_bug
def a_run_is_counted_anew() -> Iterator[None]:
    """A server that was restarted writes over the facts of a run."""
    replay = Leases.replay

    def recount(leases: Leases, run: Any, value: Mapping[str, Any]) -> None:
        replay(leases, run, value)
        run.count = 1

    with _patch(Leases, "replay", recount):
        yield


# Clients


@_bug
def no_push_after_reconnect() -> Iterator[None]:
    """What was not acked when the link ended is not pushed again."""
    settle = ClientMachine._settle

    def idle(machine: ClientMachine, vectors: Mapping[Layer, bytes]) -> None:
        settle(machine, vectors)
        for queue in machine._pushes._queues.values():
            queue.clear()

    with _patch(ClientMachine, "_settle", idle):
        yield


@_bug
def synced_on_open() -> Iterator[None]:
    """Everything is called synced when the session is open again."""
    settle = ClientMachine._settle

    def trusting(machine: ClientMachine, vectors: Mapping[Layer, bytes]) -> None:
        machine._synced(list(machine._pushes.owns))
        settle(machine, vectors)

    with _patch(ClientMachine, "_settle", trusting):
        yield


@_bug
def rejected_push_not_remembered() -> Iterator[None]:
    """A reject is read and forgotten: the ack that covers it makes the refused edit a synced one."""

    def deaf(machine: ClientMachine, reject: Reject) -> None:
        return None

    with _patch(ClientMachine, "_rejected", deaf):
        yield


@_bug
def saved_before_store() -> Iterator[None]:
    """A device calls an edit saved, and sends it, before it is on its disk."""

    async def early(disk: StoreDisk, writes: Sequence[Any]) -> list[int]:
        disk.flush()
        count = sum(isinstance(write, AppendUpdate) for write in writes)
        first = disk.last_row + 1
        disk.stage(lambda: disk.commit(writes))
        return list(range(first, first + count))

    with _patch(StoreDisk, "submit", early):
        yield


@_bug
def refused_edit_dropped() -> Iterator[None]:
    """A refused edit is deleted instead of being set aside."""
    commit = StoreDisk.commit

    def drop(disk: StoreDisk, writes: Sequence[Any]) -> list[int]:
        rows = commit(disk, writes)
        disk.set_aside.clear()
        disk.refused.clear()
        return rows

    with _patch(StoreDisk, "commit", drop):
        yield
