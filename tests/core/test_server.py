"""ServerMachine: what it shows, acks, refuses and writes, with no socket and no database."""

from collections.abc import Callable
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
    PresenceChanged,
    Reject,
    ServerMessage,
    SetPresence,
    Update,
)
from syncd.core.replica import Replica, SharedList, SharedMap, SharedText
from syncd.core.schema import SCHEMA_VERSION, Root
from syncd.core.server_turn import Send
from syncd.core.update import EMPTY_UPDATE, Kind
from tests.core.machines import SESSION, Pen, Server, fresh_id, member


def opened(*peers: str, limits: Limits | None = None) -> Server:
    server = Server(limits)
    for peer in peers:
        server.attach(peer)
    server.turn()
    server.sent.clear()
    return server


def kinds(messages: list[ServerMessage]) -> list[str]:
    return [type(message).__name__ for message in messages if not isinstance(message, PresenceChanged)]


def codes(messages: list[ServerMessage]) -> list[str]:
    return [message.code for message in messages if isinstance(message, Reject)]


def catch(replica: Replica, messages: list[ServerMessage], layer: Layer = Layer.TRANSCRIPT) -> None:
    replica.apply([m.update for m in messages if isinstance(m, Update) and m.layer is layer])


def transcript() -> Replica:
    return Replica(dict.fromkeys(map(str, Root), Kind.MAP))


def receipts(server: Server) -> dict[str, dict[str, object]]:
    found = server.machine.document(Layer.TRANSCRIPT).replica.read(Root.RECEIPTS)
    assert isinstance(found, dict)
    return found


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


# Refusals


def _foreign_client(server: Server, pen: Pen) -> bytes:
    server.push("bob", 1, pen.message("mine"))
    return Pen(pen.id).message("forged", id="x" * 8)


def _foreign_reference(server: Server, pen: Pen) -> bytes:
    server.push("bob", 1, pen.message("mine", id="m1"))
    forger = Pen()
    forger.transcript.apply([pen.transcript.diff()])
    return forger.transcript_edit(lambda r: r.remove((Root.MESSAGES,), "m1"))


def _foreign_entry(server: Server, pen: Pen) -> bytes:
    server.push("bob", 1, pen.message("mine", id="m1"))
    return Pen().message("mine now", id="m1")


def _server_only(server: Server, pen: Pen) -> bytes:
    return pen.transcript_edit(lambda r: r.set((Root.RECEIPTS,), "m:x", {"seq": 1, "by": "user:eve", "at": 1}))


def _others_read(server: Server, pen: Pen) -> bytes:
    return pen.transcript_edit(lambda r: r.set((Root.READS,), "user:bob", {"seq": 9, "at": 1}))


def _immutable(server: Server, pen: Pen) -> bytes:
    server.push("ann", 1, pen.command("c1"))
    return pen.transcript_edit(lambda r: r.set((Root.COMMANDS,), "c1", {"kind": "steer"}))


def _wrong_root(server: Server, pen: Pen) -> bytes:
    pen.transcript.ensure_root("more", Kind.MAP)
    return pen.transcript_edit(lambda r: r.set(("more",), "k", 1))


def _wrong_content(server: Server, pen: Pen) -> bytes:
    return pen.transcript_edit(lambda r: r.set((Root.MESSAGES,), "m", "a plain value"))


@pytest.mark.parametrize(
    ("attack", "code"),
    [
        (_foreign_client, RejectCode.FOREIGN_CLIENT_ID),
        (_foreign_reference, RejectCode.FOREIGN_REFERENCE),
        (_foreign_entry, RejectCode.FOREIGN_ENTRY),
        (_server_only, RejectCode.SERVER_ONLY),
        (_others_read, RejectCode.FOREIGN_ENTRY),
        (_immutable, RejectCode.IMMUTABLE),
        (_wrong_root, RejectCode.WRONG_ROOT),
        (_wrong_content, RejectCode.WRONG_CONTENT),
    ],
)
def test_a_refused_push_leaves_the_link_open(attack: Callable[[Server, Pen], bytes], code: RejectCode) -> None:
    """Each rule's refusal names its code; the session stays open, nothing of it is taken, and the next push counts."""
    server = opened("ann", "bob")
    pen = Pen()
    update = attack(server, pen)
    before = server.machine._peers["ann"].next_number
    server.push("ann", before, update)
    server.turn()
    answers = server.got("ann")
    assert codes(answers) == [code]
    assert isinstance(answers[-1], Ack)
    assert "ann" not in server.drops
    state = len(server.disk)

    server.push("ann", before + 1, Pen().set("still", "here"), Layer.STATE)
    server.turn()
    assert Ack(SESSION, before + 1) in server.got("ann")
    assert len(server.disk) > state


@pytest.mark.parametrize("rights", [frozenset(), frozenset({Right.PRESENCE}), frozenset({Right.STATE})])
def test_without_the_right_nothing_is_written(rights: frozenset[Right]) -> None:
    """Every push into a layer without its right is refused as forbidden."""
    server = Server()
    server.attach("ann", grant=member("ann", rights))
    server.turn()
    server.push("ann", 1, Pen().message())
    server.push("ann", 2, Pen().set("k", 1), Layer.STATE)
    server.turn()
    expected = ["forbidden"] if Right.STATE in rights else ["forbidden", "forbidden"]
    assert codes(server.got("ann")) == expected
    assert server.texts() == []


def test_the_right_to_command_is_not_the_right_to_post() -> None:
    """With `command` alone a command is taken and a message refused."""
    server = Server()
    server.attach("ann", grant=member("ann", frozenset({Right.COMMAND})))
    server.turn()
    server.push("ann", 1, Pen().command("c1"))
    server.push("ann", 2, Pen().message())
    server.turn()
    assert codes(server.got("ann")) == ["forbidden"]
    assert receipts(server)["c:c1"]["outcome"] == "accepted"


@pytest.mark.parametrize("update", [b"", b"\x00", b"\xff" * 40, b"\x01\x01\x01\x00\x09\x00", EMPTY_UPDATE + b"\x00"])
def test_hostile_bytes_drop_the_whole_link(update: bytes) -> None:
    """Bytes that no correct client sends close the link, not just the session."""
    server = opened("ann", "bob")
    server.push("ann", 1, update)
    server.turn()
    drop = server.drops["ann"]
    assert (drop.code, drop.whole_link) == (CloseCode.BAD_UPDATE, True)
    assert server.machine.peers == 1


def test_a_gap_closes_the_session_for_resync() -> None:
    """An update that lacks what it builds on, without an earlier refusal, means the two sides are out of step."""
    server = opened("ann")
    pen = Pen()
    pen.message("lost on the way")
    server.push("ann", 1, pen.message("builds on it"))
    server.turn()
    drop = server.drops["ann"]
    assert (drop.code, drop.whole_link) == (CloseCode.RESYNC, False)
    assert server.texts() == []


def test_after_a_refusal_what_builds_on_it_is_refused_as_such() -> None:
    """What was pushed before its author knew of the refusal is no irregularity."""
    server = opened("ann", "bob")
    pen = Pen()
    server.push("ann", 1, pen.transcript_edit(lambda r: r.set((Root.RECEIPTS,), "m:x", {"seq": 1})))
    server.push("ann", 2, pen.message("after it"))
    server.turn()
    assert codes(server.got("ann")) == [RejectCode.SERVER_ONLY, RejectCode.DEPENDS_ON_REFUSED]
    assert "ann" not in server.drops


@pytest.mark.parametrize("numbers", [(2,), (1, 3), (1, 1), (0,)])
def test_push_numbers_have_no_gaps(numbers: tuple[int, ...]) -> None:
    """A number that is not the next one closes the session; nothing behind it is taken."""
    server = opened("ann")
    pen = Pen()
    for number in numbers:
        server.push("ann", number, pen.message())
    server.turn()
    assert server.drops["ann"].code is CloseCode.RESYNC
    assert len(server.texts()) == len(numbers) - 1


def test_answers_of_a_life_before_never_reach_the_next() -> None:
    """A peer that leaves and opens again within one batch is not acked what it pushed before."""
    server = opened("ann")
    server.push("ann", 1, Pen().message("before"))
    server.machine.detach("ann")
    server.attach("ann")
    server.turn()
    assert kinds(server.got("ann")) == ["Opened"]

    server.push("ann", 1, b"garbage" * 3)
    server.machine.receive("ann", SetPresence(SESSION, {}))
    server.machine.detach("ann")
    server.attach("ann")
    server.turn()
    assert server.drops["ann"].whole_link


def test_a_session_level_drop_does_not_hit_the_next_life() -> None:
    """A close that was due to a life before is not sent to the one that opened meanwhile."""
    server = opened("ann")
    server.push("ann", 7, Pen().message())
    server.machine.detach("ann")
    server.attach("ann")
    server.turn()
    assert "ann" not in server.drops
    assert kinds(server.got("ann")) == ["Opened"]


# Receipts


def test_every_message_and_command_gets_one_receipt() -> None:
    """`seq` counts from 1 without gaps, changing an entry gives no second receipt, and `by` is the pusher's subject."""
    server = opened("ann", "bob")
    ann, bob = Pen(), Pen()
    server.push("ann", 1, ann.message("one", id="one"))
    server.push("bob", 1, bob.command("two"))
    server.turn()
    server.push("ann", 2, ann.transcript_edit(lambda r: r.set((Root.MESSAGES, "one"), "edited", True)))
    server.push("ann", 3, ann.message("three", id="three"))
    server.turn()
    found = receipts(server)
    assert found.pop("schema") == {"version": SCHEMA_VERSION, "at": 1_000}
    assert sorted((r["seq"], key, r["by"]) for key, r in found.items()) == [
        (1, "m:one", "user:ann"),
        (2, "c:two", "user:bob"),
        (3, "m:three", "user:ann"),
    ]


def test_an_entry_written_twice_in_one_push_gets_one_receipt() -> None:
    """A message replaced by its author within one push, or within two of a batch, is one message."""
    server = opened("ann")
    pen = Pen()

    def twice(replica: Replica) -> None:
        replica.set((Root.MESSAGES,), "m", _body("first"))
        replica.set((Root.MESSAGES,), "m", _body("second"))

    server.push("ann", 1, pen.transcript_edit(twice))
    server.push("ann", 2, pen.transcript_edit(lambda r: r.set((Root.MESSAGES,), "m", _body("third"))))
    server.push("ann", 3, pen.message("n", id="n"))
    server.turn()
    found = receipts(server)
    assert (found["m:m"]["seq"], found["m:n"]["seq"], server.machine.seq) == (1, 2, 2)
    assert server.reloaded().machine.seq == 2


def _body(text: str) -> SharedMap:
    return SharedMap(
        role="user", author={}, parts=SharedList([SharedMap(id="0", type="text", text=SharedText(text))]), created_at=1
    )


def test_seq_goes_on_over_restarts_and_snapshots() -> None:
    """Reloaded from the log or from a snapshot, the next receipt gets the next number and `schema` stays one."""
    server = opened("ann")
    for number in range(1, 4):
        server.push("ann", number, Pen().message(f"m{number}"))
        server.turn()
    server = server.reloaded()
    assert (server.machine.seq, server.machine.committed_seq) == (3, 3)
    version, data = server.machine.snapshot()
    folded = Server(disk=[StoredEntry(version, EntryKind.SNAPSHOT, data)])
    assert (folded.machine.version, folded.machine.seq) == (version, 3)
    folded.attach("ann")
    folded.turn()
    folded.push("ann", 1, Pen().message("m4"))
    folded.turn()
    assert folded.texts() == ["m1", "m2", "m3", "m4"]
    assert [view.seq for view in folded.machine.messages()] == [1, 2, 3, 4]
    assert receipts(folded)["schema"]["version"] == SCHEMA_VERSION


def test_a_view_made_while_a_batch_waits_shows_it_afterwards() -> None:
    """Messages read for the first time between a push and its commit are not stale after it."""
    server = opened("ann")
    server.push("ann", 1, Pen().message("late"))
    assert server.texts() == []
    server.turn()
    assert server.texts() == ["late"]


# Bindings


def test_bindings_are_durable_and_come_before_what_is_written_under_them() -> None:
    """A declared id belongs to its subject after a restart, whether or not anything was written under it."""
    pen, unused = Pen(), fresh_id()
    server = Server()
    server.attach("ann", ids=(pen.id, unused))
    server.push("ann", 1, pen.message())
    server.turn()
    assert [entry.kind for entry in server.disk] == [EntryKind.BINDING, EntryKind.BINDING, EntryKind.TRANSCRIPT]

    again = server.reloaded()
    again.attach("eve")
    again.turn()
    again.push("eve", 1, Pen(unused).message())
    again.push("eve", 2, Pen(pen.id).message())
    again.turn()
    assert codes(again.got("eve")) == [RejectCode.FOREIGN_CLIENT_ID] * 2


def test_a_declared_id_of_somebody_else_is_passed_over() -> None:
    """Declaring others' ids neither steals them nor breaks the open; the free ones are bound."""
    victim, mine = fresh_id(), fresh_id()
    server = Server()
    server.attach("ann", ids=(victim,))
    server.attach("eve", ids=(victim, mine))
    server.turn()
    owner = server.machine._bindings.owner
    assert (owner(victim), owner(mine)) == ("user:ann", "user:eve")


def test_too_many_declared_ids_leave_no_ghost() -> None:
    """An open that names more ids than allowed closes the link, and nobody is left in presence."""
    server = opened("bob", limits=Limits(client_ids_per_frame_max=4))
    server.attach("eve", ids=[fresh_id() for _ in range(5)])
    server.turn()
    assert (server.drops["eve"].code, server.drops["eve"].whole_link) == (CloseCode.BAD_MESSAGE, True)
    assert kinds(server.got("eve")) == []
    server.attach("late")
    server.turn()
    [answer] = [m for m in server.got("late") if isinstance(m, Opened)]
    assert {entry.peer for entry in answer.presence} == {"bob", "late"}


def test_a_session_out_of_client_ids_or_bytes_is_full() -> None:
    """Over `client_ids_max` and `session_bytes_max` a push is refused as session_full; reading goes on."""
    server = opened("ann", limits=Limits(client_ids_max=2))
    server.push("ann", 1, Pen().message("fits"))  # The server's own id is the second.
    server.turn()
    server.push("ann", 2, Pen().message())
    server.turn()
    assert codes(server.got("ann")) == [RejectCode.SESSION_FULL]

    server = opened("ann", limits=Limits(session_bytes_max=2_000))
    pen = Pen()
    server.push("ann", 1, pen.message("x" * 1_000))
    server.push("ann", 2, pen.message("x" * 1_000))
    server.turn()
    assert codes(server.got("ann")) == [RejectCode.SESSION_FULL]
    assert len(server.texts()) == 1
    assert server.reloaded().machine.log_bytes >= 1_000


# Presence


def here(messages: list[ServerMessage]) -> dict[str, object]:
    return {e.peer: e.state for m in messages if isinstance(m, PresenceChanged) for e in m.entries}


def test_presence_is_stamped_by_the_server() -> None:
    """Identity fields come from grant and hello, whatever the state claims."""
    server = opened("ann", "bob")
    server.machine.receive("ann", SetPresence(SESSION, {"subject": "user:bob", "name": "bob"}))
    server.now = 1.0
    server.turn()
    [entry] = [e for m in server.got("bob") if isinstance(m, PresenceChanged) for e in m.entries]
    assert (entry.peer, entry.subject, entry.name, entry.device) == ("ann", "user:ann", "ann", "device-ann")


def test_presence_is_published_ten_times_a_second_at_most() -> None:
    """In between the last state wins; nothing is published twice."""
    server = opened("ann", "bob")
    shown = []
    for step in range(100):
        server.now = 10.0 + step / 100
        server.machine.receive("ann", SetPresence(SESSION, {"n": step}))
        server.turn()
        shown += list(here(server.got("bob")).values())
    assert 9 <= len(shown) <= 11
    server.now = 12.0
    server.turn()
    assert here(server.got("bob")) == {"ann": {"n": 99}}
    assert not server.machine.pending()


def test_presence_goes_when_the_peer_does() -> None:
    """A detached peer is gone for those who are here, and for those who come."""
    server = opened("ann", "bob")
    server.machine.detach("ann")
    server.turn()
    assert here(server.got("bob")) == {"ann": None}
    server.attach("eve")
    server.turn()
    [answer] = [m for m in server.got("eve") if isinstance(m, Opened)]
    assert {entry.peer for entry in answer.presence} == {"bob", "eve"}


@pytest.mark.parametrize(
    "state",
    ["text", 5, [1], {"x": b"raw"}, {"x": float("nan")}, {"x": "y" * 5_000}, {"x": 1 << 60}, {"x": [{"__proto__": 1}]}],
)
def test_presence_that_is_no_small_object_drops_the_link(state: object) -> None:
    """Anything but a small JSON object closes the link of who sent it."""
    server = opened("ann", "bob")
    server.machine.receive("ann", SetPresence(SESSION, state))
    server.turn()
    assert (server.drops["ann"].code, server.drops["ann"].whole_link) == (CloseCode.BAD_MESSAGE, True)


def test_without_the_right_presence_is_ignored() -> None:
    """A peer without the right is not shown and may not show anything."""
    server = Server()
    server.attach("ann", grant=member("ann", frozenset({Right.STATE})))
    server.attach("bob")
    server.machine.receive("ann", SetPresence(SESSION, {"x": 1}))
    server.turn()
    [answer] = [m for m in server.got("bob") if isinstance(m, Opened)]
    assert [entry.peer for entry in answer.presence] == ["bob"]


# A slow reader


def test_a_reader_that_fell_behind_gets_one_diff_with_deletions_too() -> None:
    """Whatever happened meanwhile, deletions and departures included, one update a layer brings it up to date."""
    server = opened("ann", "slow", "gone")
    pen, reader, state = Pen(), transcript(), Replica({"ui": Kind.MAP})
    server.push("ann", 1, pen.set("a", 1), Layer.STATE)
    server.push("ann", 2, pen.set("b", 2), Layer.STATE)
    server.turn()
    catch(state, server.got("slow"), Layer.STATE)
    assert state.read("ui") == {"a": 1, "b": 2}

    def refuse(peer: str, message: ServerMessage) -> bool:
        return peer != "slow" or not isinstance(message, Update | PresenceChanged)

    server.push("ann", 3, pen.message("unseen"))
    server.push("ann", 4, pen.remove("a"), Layer.STATE)
    server.machine.detach("gone")
    ready = server.ready()
    assert ready is not None
    server.commit(ready)
    server.now = 5.0
    server.advance(ready, refuse)
    for number in range(5, 55):
        server.push("ann", number, pen.message(f"more {number}"))
        server.turn()
    assert server.got("slow") == []

    server.give(server.machine.catch_up("slow"))
    answer = server.got("slow")
    assert kinds(answer) == ["Update", "Update"]
    catch(reader, answer)
    catch(state, answer, Layer.STATE)
    assert len(reader.keys(Root.MESSAGES)) == 51
    assert state.read("ui") == {"b": 2}
    assert here(answer)["gone"] is None
    server.push("ann", 55, pen.message("live again"))
    server.turn()
    catch(reader, server.got("slow"))
    assert len(reader.keys(Root.MESSAGES)) == 52
    assert reader.vector() == server.machine.document(Layer.TRANSCRIPT).replica.vector()


def test_behind_in_a_batch_of_deletions_alone_is_caught_up() -> None:
    """Deletions move no clock: equal vectors do not mean that nothing is missing."""
    server = opened("ann", "slow")
    pen, state = Pen(), Replica({"ui": Kind.MAP})
    server.push("ann", 1, pen.set("a", 1), Layer.STATE)
    server.turn()
    catch(state, server.got("slow"), Layer.STATE)
    server.push("ann", 2, pen.remove("a"), Layer.STATE)
    ready = server.ready()
    assert ready is not None
    server.commit(ready)
    server.advance(ready, lambda peer, message: not (peer == "slow" and isinstance(message, Update)))
    server.give(server.machine.catch_up("slow"))
    catch(state, server.got("slow"), Layer.STATE)
    assert state.read("ui") == {}


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
        machine.seq,
        machine.version,
    )


def test_loaded_from_log_or_snapshot_a_session_is_the_same() -> None:
    """Content, clocks, bindings, root kinds, `seq` and version survive a restart and a fold, and a fold of a fold."""
    server = _busy_server()
    expected = _content(server)
    assert _content(server.reloaded()) == expected
    folded = server
    for _ in range(2):
        version, data = folded.machine.snapshot()
        folded = Server(disk=[StoredEntry(version, EntryKind.SNAPSHOT, data)])
        assert _content(folded) == expected


def test_a_session_of_more_lives_than_one_update_may_hold_loads_again() -> None:
    """What one push may hold does not bound what a snapshot, a batch or an answer to an open holds."""
    limits = Limits(update_clients_max=3, update_structs_max=20)
    server = opened("ann", limits=limits)
    for number in range(1, 31):
        server.push("ann", number, Pen().message(f"m{number}"))
    server.turn()
    assert len(server.reloaded().texts()) == 30
    version, data = server.machine.snapshot()
    again = Server(limits, disk=[StoredEntry(version, EntryKind.SNAPSHOT, data)])
    assert len(again.texts()) == 30


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


def test_a_snapshot_is_wanted_when_the_tail_has_grown() -> None:
    """By entries or by bytes, and not again right after one was taken."""
    server = opened("ann", limits=Limits(compact_entries=4))
    pen = Pen()
    for number in range(1, 6):
        server.push("ann", number, pen.message())
        server.turn()
    assert server.machine.wants_snapshot()
    _, data = server.machine.snapshot()
    server.machine.compacted(len(data))
    assert not server.machine.wants_snapshot()


def test_a_snapshot_holds_nothing_that_is_not_on_disk() -> None:
    """Taken while a batch waits, it is the committed state."""
    server = opened("ann")
    pen = Pen()
    server.push("ann", 1, pen.message("committed"))
    server.turn()
    server.push("ann", 2, pen.message("waiting"))
    server.push("ann", 3, pen.set("k", 1, root="waits"), Layer.STATE)
    version, data = server.machine.snapshot()
    again = Server(disk=[StoredEntry(version, EntryKind.SNAPSHOT, data)])
    assert again.texts() == ["committed"]
    assert again.machine.seq == 1
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
