"""ServerMachine: what it shows and acks, what it loads, and when it takes nothing, without socket or database."""

from dataclasses import replace

import pytest

from syncd.core.entries import EntryKind, StoredEntry
from syncd.core.errors import CloseCode, RejectCode, StoreDamaged
from syncd.core.grant import Grant, Right
from syncd.core.limits import Limits
from syncd.core.messages import (
    Ack,
    Declare,
    Layer,
    Open,
    Opened,
    Update,
)
from syncd.core.schema import Root
from syncd.core.server_turn import Send
from syncd.core.update import Kind
from syncd.core.varint import encode_state_vector
from tests.core.answers import catch, codes, kinds, opened, transcript
from tests.core.machines import SESSION, Pen, Server, fresh_id, member

# Shown and acked


def test_nothing_is_shown_or_acked_before_advance() -> None:
    """Between `ready` and `advance` a push is neither readable, nor in an answer to an open, nor acked."""
    server = opened("ann", "bob")
    server.push("ann", 1, Pen().message("secret"))
    ready = server.ready()
    assert ready is not None
    assert ready.entries
    assert server.texts() == []
    assert server.machine.committed_seq == 0
    assert server.got("ann") == []
    assert server.got("bob") == []

    server.commit(ready)
    server.advance(ready)
    assert server.texts() == ["secret"]
    assert Ack(SESSION, 1) in server.got("ann")
    assert kinds(server.got("bob")) == ["Update"]


def test_an_open_during_a_commit_is_not_shown_what_waits_for_the_next() -> None:
    """`Opened` holds what is committed, roots included; what came meanwhile follows as an update."""
    server = opened("ann")
    server.push("ann", 1, Pen().set("k", 1), Layer.STATE)
    ready = server.ready()
    assert ready is not None
    server.attach("bob")
    second = Pen().set("k", 1, root="later")
    server.push("ann", 2, second, Layer.STATE)
    server.commit(ready)
    server.advance(ready)
    assert server.got("bob") == []

    assert server.machine.pending()
    blocked = server.ready()
    assert blocked is not None
    server.attach("eve")
    server.push("ann", 3, Pen().set("k", 1, root="latest"), Layer.STATE)
    server.commit(blocked)
    server.advance(blocked)
    [answer] = [m for m in server.got("bob") if isinstance(m, Opened)]
    assert set(answer.roots) == {"ui", "later"}
    server.turn()
    [answer] = [m for m in server.got("eve") if isinstance(m, Opened)]
    assert set(answer.roots) == {"ui", "later", "latest"}


def test_the_only_writer_is_not_echoed_but_gets_its_receipts() -> None:
    """A batch of one writer comes back to it as the receipts alone; everybody else gets one merged update."""
    server = opened("ann", "bob", "eve")
    pen, reader = Pen(), transcript()
    for number in (1, 2, 3):
        server.push("ann", number, pen.message(f"m{number}"))
    sends = server.turn()
    updates = [send.peers for send in sends if isinstance(send, Send) and isinstance(send.message, Update)]
    assert updates == [("bob", "eve"), ("ann",)]

    own = server.got("ann")
    catch(pen.transcript, own)
    seqs = [
        pen.transcript.read(Root.RECEIPTS, key, "seq") for key in pen.transcript.keys(Root.RECEIPTS) if key != "schema"
    ]
    assert sorted(seqs) == [1, 2, 3]
    alone = transcript()
    catch(alone, own)
    assert alone.read(Root.MESSAGES) == {}
    catch(reader, server.got("bob"))
    assert len(reader.keys(Root.MESSAGES)) == 3


def test_two_writers_in_a_batch_both_get_all_of_it() -> None:
    """With two writers the batch goes to everybody, merged once."""
    server = opened("ann", "bob")
    server.push("ann", 1, Pen().message("a"))
    server.push("bob", 1, Pen().message("b"))
    server.turn()
    for peer in ("ann", "bob"):
        reader = transcript()
        catch(reader, server.got(peer))
        assert len(reader.keys(Root.MESSAGES)) == 2


def test_acks_are_cumulative_and_a_duplicate_is_acked() -> None:
    """One ack per batch covers all its pushes; a push that brings nothing new is acked and shown to nobody."""
    server = opened("ann", "bob")
    pen = Pen()
    update = pen.message()
    server.push("ann", 1, update)
    server.push("ann", 2, pen.set("k", 1), Layer.STATE)
    server.turn()
    assert [m for m in server.got("ann") if isinstance(m, Ack)] == [Ack(SESSION, 2)]
    server.got("bob")
    before = len(server.disk)

    server.push("ann", 3, update)
    server.turn()
    assert server.got("ann") == [Ack(SESSION, 3)]
    assert server.got("bob") == []
    assert len(server.disk) == before


# Storage and incarnations


def test_while_the_storage_is_full_a_push_closes_the_session_retryably() -> None:
    """Nothing is taken, the session comes back read only, and opening says so."""
    server = opened("ann", "bob")
    server.machine.storage_full = True
    server.push("ann", 1, Pen().message())
    server.turn()
    assert (server.drops["ann"].code, server.drops["ann"].whole_link) == (CloseCode.STORAGE_FULL, False)
    assert CloseCode.STORAGE_FULL.retryable
    server.attach("ann", ids=(fresh_id(),))
    ready = server.ready()
    assert ready is not None
    assert ready.entries == []
    server.advance(ready)
    [answer] = [m for m in server.got("ann") if isinstance(m, Opened)]
    assert answer.storage_full


@pytest.mark.parametrize(
    "claim",
    [
        Open(SESSION, {}, incarnation="another"),
        Open(SESSION, {}, incarnation="inc", version=99),
        Open(SESSION, {}, incarnation="inc", seen=99),
    ],
)
def test_a_copy_of_another_session_is_told_to_stop(claim: Open) -> None:
    """A foreign incarnation, or one that is ahead of this server, is not merged."""
    server = Server()
    server.attach("ann", opened=claim)
    server.turn()
    assert server.drops["ann"].code is CloseCode.REPLACED
    assert kinds(server.got("ann")) == []
    assert server.machine.peers == 0


def test_a_malformed_state_vector_drops_the_link() -> None:
    """Vectors are decoded before anything is looked up by them."""
    server = Server()
    server.attach("ann", opened=Open(SESSION, {Layer.STATE: b"\xff\xff"}))
    server.turn()
    assert (server.drops["ann"].code, server.drops["ann"].whole_link) == (CloseCode.BAD_MESSAGE, True)


def test_an_open_is_sent_what_it_lacks_and_no_more() -> None:
    """With its vectors the answer holds only what is missing, and counts what is new to it."""
    server = opened("ann")
    pen = Pen()
    server.push("ann", 1, pen.message("x" * 5_000))
    server.turn()
    vectors = {Layer.TRANSCRIPT: server.machine.document(Layer.TRANSCRIPT).vector}
    server.push("ann", 2, pen.message("new"))
    server.turn()
    server.attach("bob", opened=Open(SESSION, vectors, incarnation="inc", version=2, seen=1))
    server.turn()
    [answer] = [m for m in server.got("bob") if isinstance(m, Opened)]
    assert answer.caught_up == 1
    assert len(answer.updates[Layer.TRANSCRIPT]) < 1_000
    assert Layer.STATE not in answer.updates


# Loading


def _busy_server() -> Server:
    server = opened("ann", "bob")
    ann, bob = Pen(), Pen()
    server.push("ann", 1, ann.message("one"))
    server.push("bob", 1, bob.command("c"))
    server.push("ann", 2, ann.set("k", [1, {"deep": "😀"}]), Layer.STATE)
    server.push("ann", 3, ann.text("héllo 😀"), Layer.STATE)
    server.turn()
    server.push("ann", 4, ann.remove("k"), Layer.STATE)
    server.push("bob", 2, bob.text("more", root="another"), Layer.STATE)
    server.turn()
    return server


def _content(server: Server) -> object:
    machine = server.machine
    state = machine.document(Layer.STATE)
    return (
        [view.json() for view in machine.messages()],
        {name: state.replica.read(name) for name in state.index.roots},
        state.index.roots,
        {layer: machine.document(layer).applied for layer in Layer},
        {owner: sorted(ids) for owner, ids in machine._bindings.export().items()},
        machine.content.seq,
        machine.version,
    )


def test_loaded_from_log_or_snapshot_a_session_is_the_same() -> None:
    """Content, clocks, bindings, root kinds, `seq` and version survive a restart and a fold, and a fold of a fold."""
    server = _busy_server()
    expected = _content(server)
    assert _content(server.reloaded()) == expected
    folded = server
    for _ in range(2):
        snapshot = folded.machine.content.snapshot()
        folded = Server(disk=[StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data)])
        assert _content(folded) == expected


def test_a_root_without_content_keeps_its_kind_in_a_snapshot() -> None:
    """All of it was deleted, and what is left of that does not say of what kind it was: the snapshot does."""
    server = opened("ann")
    pen, roots = Pen(), {"note": Kind.TEXT, "items": Kind.ARRAY}
    server.push("ann", 1, pen.text("gone", root="note"), Layer.STATE)
    server.push("ann", 2, pen.state.edit(lambda r: r.text_replace(("note",), 0, 4, "")), Layer.STATE)
    pen.state.ensure_root("items", Kind.ARRAY)
    server.push("ann", 3, pen.state.edit(lambda r: r.insert(("items",), 0, ["gone"])), Layer.STATE)
    server.push("ann", 4, pen.state.edit(lambda r: r.delete(("items",), 0, 1)), Layer.STATE)
    server.turn()
    snapshot = server.machine.content.snapshot()

    again = Server(disk=[StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data)])
    assert again.machine.document(Layer.STATE).index.roots == roots
    again.attach("bob")
    again.turn()
    [answer] = [m for m in again.got("bob") if isinstance(m, Opened)]
    assert answer.roots == {name: str(int(kind)) for name, kind in roots.items()}
    again.push("bob", 1, Pen().set("k", 1, root="note"), Layer.STATE)
    again.turn()
    assert codes(again.got("bob")) == [RejectCode.WRONG_CONTENT]


def test_a_session_of_more_lives_than_one_update_may_hold_loads_again() -> None:
    """What one push may hold does not bound what a snapshot, a batch or an answer to an open holds."""
    limits = Limits(update_clients_max=3, update_structs_max=20)
    server = opened("ann", limits=limits)
    for number in range(1, 31):
        server.push("ann", number, Pen().message(f"m{number}"))
    server.turn()
    assert len(server.reloaded().texts()) == 30
    snapshot = server.machine.content.snapshot()
    again = Server(limits, disk=[StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data)])
    assert len(again.texts()) == 30


@pytest.mark.parametrize("clients", [3, 4])
def test_an_open_that_names_too_many_lives_closes_the_link(clients: int) -> None:
    """A state vector of more than `state_vector_clients_max` is refused before anything is read from it."""
    server = Server(Limits(state_vector_clients_max=3))
    vector = encode_state_vector({fresh_id(): 0 for _ in range(clients)})
    server.attach("ann", opened=Open(SESSION, {Layer.STATE: vector}))
    server.turn()
    dropped = [(drop.code, drop.whole_link) for drop in server.drops.values()]
    assert dropped == ([] if clients == 3 else [(CloseCode.BAD_MESSAGE, True)])


@pytest.mark.parametrize("kind", list(EntryKind))
def test_a_damaged_entry_is_refused_and_never_an_empty_session(kind: EntryKind) -> None:
    """Whatever kind of entry does not read, loading says so."""
    disk = _busy_server().disk
    for data in (b"", b"\x00garbage", disk[0].data[:-1] + b"\xff\xff"):
        damaged = [*disk[:1], replace(disk[1], kind=kind, data=data)]
        with pytest.raises(StoreDamaged):
            Server(disk=damaged)


def test_a_log_with_a_hole_is_refused() -> None:
    """An update whose predecessor is missing is damage, not a shorter session."""
    server = opened("ann")
    pen = Pen()
    for number in (1, 2):
        server.push("ann", number, pen.message())
        server.turn()
    with pytest.raises(StoreDamaged):
        Server(disk=[entry for entry in server.disk if entry.version != 3])


@pytest.mark.parametrize("limits", [Limits(compact_entries=4), Limits(compact_bytes=500)])
def test_a_snapshot_is_wanted_when_the_tail_has_grown(limits: Limits) -> None:
    """By `compact_entries` or `compact_bytes`, and not again right after one was taken."""
    server = opened("ann", limits=limits)
    assert not server.machine.content.wants_snapshot()
    pen = Pen()
    for number in range(1, 6):
        server.push("ann", number, pen.message())
        server.turn()
    assert server.machine.content.wants_snapshot()
    snapshot = server.machine.content.snapshot()
    server.machine.content.compacted(snapshot)
    assert not server.machine.content.wants_snapshot()


def test_a_snapshot_holds_nothing_that_is_not_on_disk() -> None:
    """Taken while a batch waits, it is the committed state."""
    server = opened("ann")
    pen = Pen()
    server.push("ann", 1, pen.message("committed"))
    server.turn()
    server.push("ann", 2, pen.message("waiting"))
    server.push("ann", 3, pen.set("k", 1, root="waits"), Layer.STATE)
    snapshot = server.machine.content.snapshot()
    again = Server(disk=[StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data)])
    assert again.texts() == ["committed"]
    assert again.machine.content.seq == 1
    assert "waits" not in again.machine.document(Layer.STATE).index.roots


def test_regrant_changes_rights_at_once() -> None:
    """After a refresh the next push is judged by the new rights."""
    server = opened("ann")
    narrow = Grant("user:ann", "ann", "user", (("*", frozenset({Right.PRESENCE})),))
    server.machine.regrant("ann", narrow, frozenset({Right.PRESENCE}))
    server.push("ann", 1, Pen().message())
    server.turn()
    assert codes(server.got("ann")) == [RejectCode.FORBIDDEN]


def test_a_peer_inside_the_server_writes_and_is_not_sent_anything_but_answers() -> None:
    """Without an open it is no reader: acks and rejects only, and not in presence."""
    server = opened("bob")
    server.machine.attach(
        "rest", member("ann"), member("ann").rights(SESSION) or frozenset(), device="rest", opened=None
    )
    server.push("rest", 1, Pen().message("by rest"))
    server.push("bob", 1, Pen().message("by bob"))
    server.turn()
    assert server.got("rest") == [Ack(SESSION, 1)]
    assert kinds(server.got("bob"))[0] == "Update"


def test_more_declares_are_bound_later() -> None:
    """`Declare` binds before the first use; too many at once close the link."""
    server = opened("ann")
    id = fresh_id()
    server.machine.receive("ann", Declare(SESSION, (id,)))
    server.turn()
    assert server.machine._bindings.owner(id) == "user:ann"
    server.machine.receive("ann", Declare(SESSION, range(1, 300)))
    server.turn()
    assert server.drops["ann"].whole_link


def test_frames_of_nobody_are_ignored() -> None:
    """A frame of a peer that is not attached changes nothing."""
    server = opened("ann")
    server.push("eve", 1, Pen().message())
    server.machine.fall_behind("eve")
    server.machine.detach("eve")
    assert server.machine.catch_up("eve") == []
    assert server.ready() is None


def test_an_update_to_a_text_of_many_bytes_costs_its_clock_in_utf16() -> None:
    """Own ids and clocks survive characters beyond the first plane."""
    server = opened("ann")
    pen = Pen()
    server.push("ann", 1, pen.text("😀漢é"), Layer.STATE)
    server.push("ann", 2, pen.text("x"), Layer.STATE)
    server.turn()
    assert server.machine.document(Layer.STATE).replica.read("note") == "😀漢éx"
    assert server.machine.document(Layer.STATE).applied == {pen.id: 5}


def test_a_large_batch_is_several_entries_and_updates() -> None:
    """Committed together and shown in order: each is small enough to be applied quickly by whoever reads it."""
    server = opened("ann", "bob")
    pen, reader = Pen(), transcript()
    for number in range(1, 31):
        server.push("ann", number, pen.message("m" * 2_000))
    ready = server.ready()
    assert ready is not None
    assert len(ready.entries) > 3
    server.commit(ready)
    server.advance(ready)

    updates = [m.update for m in server.got("bob") if isinstance(m, Update)]
    assert updates == [entry.data for entry in ready.entries if entry.kind is EntryKind.TRANSCRIPT]
    for part in updates:
        reader.apply([part])
    assert reader.vector() == server.machine.document(Layer.TRANSCRIPT).replica.vector()
    assert server.reloaded().texts() == server.texts()


def test_much_that_waits_is_applied_at_once() -> None:
    """A session that nobody reads as a document keeps no long stream for the moment somebody does."""
    server = opened("ann")
    pen = Pen()
    for number in range(1, 41):
        server.push("ann", number, pen.message("m" * 2_000))
        server.turn()
    document = server.machine.document(Layer.TRANSCRIPT)

    assert document._waiting_bytes < 64 << 10
    assert sum(map(len, document._waiting)) == document._waiting_bytes


def test_an_export_during_a_fold_does_not_change_what_the_fold_replaced() -> None:
    """The log's size afterwards is what a server reads that loads it."""
    server = opened("ann")
    pen = Pen()
    server.push("ann", 1, pen.message("folded"))
    server.turn()
    folded = server.machine.content.snapshot()
    server.push("ann", 2, pen.message("behind it"))
    server.turn()
    server.machine.content.snapshot()  # the export
    server.machine.content.compacted(folded)
    tail = [entry for entry in server.disk if entry.version > folded.version]
    again = Server(disk=[StoredEntry(folded.version, EntryKind.SNAPSHOT, folded.data), *tail])
    # Merging an update with its receipt saves some bytes.
    assert server.machine.content.log_bytes == pytest.approx(again.machine.content.log_bytes, abs=20)
