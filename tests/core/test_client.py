"""ClientMachine: stored before it is sent, pushed once, refused edits aside, with no socket and no database."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from syncd.core.client import LinkState
from syncd.core.client_turn import CaughtUp, Changed, LocalRow, PresenceMoved, Refused, Reload, Shut, Synced
from syncd.core.errors import CloseCode, LocalProtocolError, RejectCode
from syncd.core.grant import Right
from syncd.core.limits import Limits
from syncd.core.messages import (
    Ack,
    Closed,
    Layer,
    Open,
    Opened,
    Push,
    Reject,
    SetPresence,
    Storage,
    Update,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.transcript import put_message
from syncd.core.update import Kind, decode_update
from tests.core.machines import SESSION, Device, Pen, Server, Wire, fresh_id, member, new_message


def pushes(device: Device) -> list[Push]:
    return [message for message in device.outgoing() if isinstance(message, Push)]


def opened(**fields: object) -> Opened:
    base = Opened(SESSION, "inc", 1, 0, 0, ("transcript", "state", "command", "presence"), {}, {}, {}, ())
    return replace(base, **fields)  # type: ignore[arg-type]


def online(device: Device) -> Device:
    device.machine.connect()
    device.outgoing()
    device.receive(opened())
    device.settle()
    return device


# Store, then send


def test_an_edit_is_pushed_only_after_it_is_stored() -> None:
    """Until `advance` says that the turn is stored, nothing of it is sent."""
    ann = online(Device("ann"))
    ticket = ann.post("hello")
    assert ann.outgoing() == []
    ready = ann.machine.ready()
    assert ann.outgoing() == []
    events = ann.machine.advance(ready, [1])
    assert events[0].tickets == [ticket]  # type: ignore[union-attr]
    assert len(pushes(ann)) == 1


def test_rows_are_pushed_in_order_and_merged() -> None:
    """Many stored edits go out as few pushes, numbered from 1, which the server takes as one."""
    wire = Wire(Device("ann"), Device("bob"))
    ann = wire.devices["ann"]
    for number in range(100):
        ann.post(f"m{number}")
    ann.settle()
    wire.server.machine.detach("ann")
    ann.machine.connect()
    [asked] = [m for m in ann.outgoing() if isinstance(m, Open)]
    wire.deliver_up("ann", asked)
    wire.server.turn()
    for answer in wire.server.got("ann"):
        ann.receive(answer)
    out = pushes(ann)
    assert [push.number for push in out] == [1, 2]
    for push in out:
        wire.deliver_up("ann", push)
    wire.connect("bob")
    wire.run()
    assert wire.devices["bob"].texts() == [f"m{number}" for number in range(100)]
    assert ann.machine.unsynced == 0


def test_at_a_reconnect_only_what_the_server_lacks_is_pushed() -> None:
    """Acked rows are never pushed again, unacked ones are."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    wire.connect()
    ann.post("acked")
    wire.run()
    wire.cut("ann")
    ann.post("offline")
    ann.settle()
    assert ann.machine.unsynced == 1
    ann.machine.connect()
    for message in ann.outgoing():
        wire.deliver_up("ann", message)
    wire.server.turn()
    for answer in wire.server.got("ann"):
        ann.receive(answer)
    [push] = pushes(ann)
    reader = Replica(dict.fromkeys(map(str, Root), Kind.MAP))
    wire.deliver_up("ann", push)
    wire.run()
    reader.apply([wire.server.machine.document(Layer.TRANSCRIPT).diff()])
    assert wire.server.texts() == ["acked", "offline"]
    assert b"acked" not in push.update


def test_lost_acks_are_settled_by_the_servers_vectors() -> None:
    """What the server holds at a reconnect counts as synced, and is not pushed again."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    wire.connect()
    ticket = ann.post("once")
    ann.settle()
    for message in ann.outgoing():
        wire.deliver_up("ann", message)
    wire.server.turn()
    wire.cut("ann")
    assert ann.machine.unsynced == 1
    wire.connect()
    assert ann.machine.unsynced == 0
    assert [t for event in ann.happened(Synced) for t in event.tickets] == [ticket]  # type: ignore[union-attr]
    assert wire.server.texts() == ["once"]
    assert wire.server.machine.content.seq == 1


def test_deletions_alone_are_pushed_again_harmlessly() -> None:
    """An edit that moves no clock cannot be settled by vectors: it goes out again and is acked as a duplicate."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    wire.connect()
    ann.set("k", 1)
    wire.run()
    ann.machine.edit(Layer.STATE, lambda r: r.edit(lambda r: r.remove(("ui",), "k")))
    ann.settle()
    for message in ann.outgoing():
        wire.deliver_up("ann", message)
    wire.server.turn()
    entries = len(wire.server.disk)
    wire.cut("ann")
    wire.connect()
    assert ann.machine.unsynced == 0
    assert len(wire.server.disk) == entries
    assert wire.server.machine.document(Layer.STATE).replica.read("ui") == {}


# Refused


def test_of_a_merged_push_only_the_bad_edit_is_set_aside() -> None:
    """A refused push of several edits is sent again one by one; the good one before the bad stays."""
    wire = Wire(Device("ann"), Device("bob"))
    ann, bob = wire.devices["ann"], wire.devices["bob"]
    wire.connect("bob")
    bob.post("taken", id="same")
    wire.run()
    good = ann.post("good")
    bad = ann.post("bad", id="same")
    tail = ann.post("tail")
    wire.connect("ann")
    assert sorted(ann.refused.values()) == [RejectCode.DEPENDS_ON_REFUSED, RejectCode.FOREIGN_ENTRY]
    assert wire.server.texts() == ["taken", "good"]
    tickets = [t for event in ann.happened(Refused) for t in event.tickets]  # type: ignore[union-attr]
    assert sorted(tickets) == [bad, tail]
    assert [t for event in ann.happened(Synced) for t in event.tickets] == [good]  # type: ignore[union-attr]
    assert ann.happened(Reload)
    ann.reload()
    wire.connect("ann")
    assert ann.texts() == ["taken", "good"]
    assert ann.machine.unsynced == 0


def test_two_refused_pushes_in_a_row_are_sent_again_in_order() -> None:
    """Rejects that arrive together do not change the order in which their edits are tried again."""
    ann = online(Device("ann"))
    tickets = []
    for _ in range(3):
        tickets += [ann.post("x"), ann.post("y")]
        ann.settle()
        assert len(pushes(ann)) == 1
    for number in (1, 2, 3):
        ann.receive(Reject(SESSION, number, "session_full", ""))
    again = pushes(ann)
    pen = Pen()
    pen.transcript.apply([push.update for push in again])
    assert len(again) == 6
    assert len(pen.transcript.keys(Root.MESSAGES)) == 6
    clocks = [_first_clock(push.update) for push in again]
    assert clocks == sorted(clocks)


def _first_clock(update: bytes) -> int:
    [structs] = decode_update(update, Limits()).sections.values()
    return structs[0][0]


def test_what_builds_on_a_refused_edit_is_set_aside_and_said() -> None:
    """After a reload the rows that lost what they stand on are refused with their tickets, and count until then."""
    wire = Wire(Device("ann"), Device("bob"))
    ann, bob = wire.devices["ann"], wire.devices["bob"]
    wire.connect()
    bob.post("taken", id="same")
    wire.run()
    wire.cut("ann")
    ann.post("bad", id="other")
    bad = ann.machine.edit(Layer.TRANSCRIPT, lambda r: r.edit(lambda r: r.set((Root.READS,), "user:bob", {"seq": 1})))
    ann.settle()
    wire.connect("ann")
    later = ann.post("later")
    ann.settle()
    ann.reload()
    assert ann.machine.unsynced == 1
    wire.connect("ann")
    tickets = [t for event in ann.happened(Refused) for t in event.tickets]  # type: ignore[union-attr]
    assert tickets == [bad, later]
    assert ann.machine.unsynced == 0
    assert ann.texts() == wire.server.texts() == ["taken", "bad"]


def test_rights_withdrawn_while_offline_set_edits_aside_without_a_loop() -> None:
    """What the token no longer allows is refused at the open and never pushed."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    wire.connect()
    wire.cut("ann")
    ann.post("typed in the train")
    ann.set("k", 1)
    ann.settle()
    ann.grant = member("ann", frozenset({Right.STATE}))
    wire.connect()
    assert list(ann.refused.values()) == [RejectCode.FORBIDDEN]
    ann.reload()
    wire.connect()
    assert ann.machine.unsynced == 0
    assert wire.server.texts() == []
    assert wire.server.machine.document(Layer.STATE).replica.read("ui") == {"k": 1}
    with pytest.raises(LocalProtocolError, match="does not allow"):
        ann.post("again")


def test_a_root_of_two_kinds_is_decided_by_the_server() -> None:
    """Made offline with another kind than the server's, the own root is set aside; reading never mixes them."""
    wire = Wire(Device("ann"), Device("bob"))
    ann, bob = wire.devices["ann"], wire.devices["bob"]
    bob.machine.edit(Layer.STATE, lambda r: _made(r, Kind.TEXT, lambda r: r.text_append(("x",), "😀")))
    wire.connect("bob")
    ann.machine.edit(Layer.STATE, lambda r: _made(r, Kind.ARRAY, lambda r: r.insert(("x",), 0, [1])))
    wire.connect("ann")
    assert ann.happened(Reload)
    ann.reload()
    wire.connect("ann")
    assert list(ann.refused.values()) == [RejectCode.WRONG_CONTENT]
    assert ann.state("x") == "😀"
    assert ann.machine.unsynced == 0


def _made(replica: Replica, kind: Kind, change: Callable[[Replica], None]) -> bytes:
    replica.ensure_root("x", kind)
    return replica.edit(change)


def test_an_edit_too_large_for_a_frame_is_refused_at_once() -> None:
    """It is neither stored nor pushed, and a reload follows that takes it out of the document."""
    ann = online(Device("ann", Limits(frame_bytes_max=10_000)))
    with pytest.raises(LocalProtocolError, match="one edit holds at most"):
        ann.set("k", "x" * 20_000)
    ann.settle()
    assert ann.happened(Reload)
    assert not any(row.own for row in ann.rows.values())
    ann.reload()
    assert ann.state() is None
    ann.set("k", "small")
    ann.settle()
    assert ann.machine.unsynced == 1


def test_a_reload_keeps_tickets_and_gives_none_twice() -> None:
    """Who waits for an edit is told by the new machine; new edits get new tickets."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    ann.post("one")
    two = ann.post("two")
    ann.settle()
    del ann.rows[2]
    ann.reload()
    three = ann.post("three")
    assert three > two
    assert set(ann.machine.tickets().values()) == {1}


# Links


def test_while_the_storage_is_full_pushes_wait() -> None:
    """Nothing is pushed until the server says that there is space again."""
    ann = Device("ann")
    ann.machine.connect()
    ann.outgoing()
    ann.receive(opened(storage_full=True))
    ann.post("waits")
    ann.settle()
    assert pushes(ann) == []
    ann.machine.tick(0.0)
    ann.machine.tick(1e6)
    assert ann.machine.state is LinkState.OPEN
    ann.receive(Storage(False))
    assert len(pushes(ann)) == 1


@pytest.mark.parametrize("answer", [opened(incarnation="other"), opened(version=4)])
def test_a_replaced_session_stops(answer: Opened) -> None:
    """Of another incarnation, or older than what this copy was told: nothing is merged, nothing pushed."""
    ann = Device("ann")
    ann.machine.connect()
    ann.receive(opened(version=5))
    ann.post("unsynced")
    ann.settle()
    ann.machine.connect()
    ann.outgoing()
    ann.receive(answer)
    assert ann.outgoing() == []
    ann.settle()
    shut = ann.happened(Shut)[-1]
    assert shut.code == CloseCode.REPLACED  # type: ignore[union-attr]
    assert ann.machine.unsynced == 1


def test_an_update_that_does_not_fit_shuts_the_session() -> None:
    """A gap from the server is out of step: the next open repairs, nothing half is stored."""
    ann = online(Device("ann"))
    pen = Pen()
    pen.message("lost")
    rows = len(ann.rows)
    ann.receive(Update(SESSION, Layer.TRANSCRIPT, pen.message("after")))
    ann.settle()
    assert ann.happened(Shut)[-1].code == CloseCode.RESYNC  # type: ignore[union-attr]
    assert len(ann.rows) == rows


def test_no_ack_in_time_shuts_the_session() -> None:
    """A server that does not ack is left and asked anew."""
    ann = online(Device("ann"))
    ann.post("x")
    ann.settle()
    ann.outgoing()
    ann.machine.tick(10.0)
    ann.machine.tick(69.0)
    assert ann.happened(Shut) == []
    ann.machine.tick(71.0)
    ann.settle()
    assert len(ann.happened(Shut)) == 1
    assert ann.machine.state is LinkState.CLOSED


def test_updates_arriving_twice_change_nothing() -> None:
    """A duplicate is neither stored nor told."""
    ann = online(Device("ann"))
    update = Update(SESSION, Layer.TRANSCRIPT, Pen().message("x"))
    ann.receive(update)
    ann.settle()
    rows, told = len(ann.rows), len(ann.events)
    ann.receive(update)
    assert not ann.machine.pending()
    assert (len(ann.rows), len(ann.events)) == (rows, told)


def test_frames_before_opened_are_not_of_this_open() -> None:
    """Acks and updates of a life before are ignored until `Opened` came."""
    ann = online(Device("ann"))
    ann.post("x")
    ann.settle()
    ann.outgoing()
    ann.machine.connect()
    ann.receive(Ack(SESSION, 1))
    ann.receive(Update(SESSION, Layer.TRANSCRIPT, Pen().message("old")))
    assert ann.machine.unsynced == 1
    assert ann.texts() == ["x"]


def test_an_answer_to_a_second_open_is_not_lost() -> None:
    """Opened twice without an answer between, what came between the two is taken from the second answer."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    server = wire.server
    ann.machine.connect()
    for message in ann.outgoing():
        wire.deliver_up("ann", message)
    server.turn()
    server.machine.detach("ann")
    ann.machine.connect()
    again = ann.outgoing()
    server.attach("bob")
    server.push("bob", 1, Pen().message("between"))
    server.turn()
    for message in again:
        wire.deliver_up("ann", message)
    wire.run()
    assert ann.texts() == ["between"]


def test_caught_up_counts_what_came_while_it_was_away() -> None:
    """What was received live is not counted again at the next reconnect, nor after a restart."""
    wire = Wire(Device("ann"), Device("bob"))
    ann, bob = wire.devices["ann"], wire.devices["bob"]
    wire.connect()
    for number in range(5):
        bob.post(f"live {number}")
        wire.run()
    wire.cut("ann")
    wire.connect("ann")
    assert ann.happened(CaughtUp)[-1] == CaughtUp(0)
    wire.cut("ann")
    bob.post("missed")
    wire.run()
    ann.reload(crash=True)
    wire.connect("ann")
    assert ann.happened(CaughtUp)[-1] == CaughtUp(1)


def test_presence_is_sent_again_after_every_reconnect() -> None:
    """And everybody is gone from view while there is no link."""
    wire = Wire(Device("ann"), Device("bob"))
    ann, bob = wire.devices["ann"], wire.devices["bob"]
    wire.connect()
    ann.machine.set_presence({"typing": True})
    wire.run()
    assert bob.machine.presence["ann"].state == {"typing": True}
    wire.cut("ann")
    ann.settle()
    wire.run()
    assert ann.machine.presence == {}
    assert "ann" not in bob.machine.presence
    assert isinstance(ann.happened(PresenceMoved)[-1], PresenceMoved)
    wire.connect("ann")
    assert bob.machine.presence["ann"].state == {"typing": True}
    ann.machine.disconnect()
    assert not any(isinstance(m, SetPresence) for m in ann.outgoing())


def test_a_close_of_the_session_is_said_and_a_leave_is_not() -> None:
    """`Closed` with a reason shuts the session; the answer to a leave does not."""
    ann = online(Device("ann"))
    ann.receive(Closed(SESSION, CloseCode.NORMAL, ""))
    assert ann.machine.state is LinkState.OPEN
    ann.receive(Closed(SESSION, CloseCode.DELETED, "erased"))
    ann.settle()
    assert ann.happened(Shut) == [Shut(CloseCode.DELETED, "erased")]


# Other processes, other lives


def test_rows_of_another_process_are_absorbed_and_left_to_it() -> None:
    """They are shown, not pushed, and found again when what they stand on has come."""
    ann = online(Device("ann"))
    pen = Pen()
    first, second = pen.message("first"), pen.message("second")
    ann.machine.absorb([LocalRow(100, Layer.TRANSCRIPT, second, own=False)])
    assert ann.texts() == []
    ann.machine.absorb([LocalRow(99, Layer.TRANSCRIPT, first, own=False)])
    assert sorted(ann.texts()) == ["first", "second"]
    ann.settle()
    assert ann.outgoing() == []
    assert ann.machine.unsynced == 0


def test_a_new_life_pushes_what_the_one_before_stored() -> None:
    """Killed after storing and before pushing, the edits arrive once, under the ids they were made with."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    ann.post("one")
    ann.set("k", 1)
    ann.settle()
    ann.reload(crash=True)
    assert ann.texts() == ["one"]
    assert ann.machine.unsynced == 2
    wire.connect()
    assert wire.server.texts() == ["one"]
    ann.reload(crash=True)
    wire.connect()
    assert wire.server.texts() == ann.texts() == ["one"]


def test_a_stream_in_a_small_document_integrates() -> None:
    """An update written elsewhere under a declared id is taken as an own edit."""
    wire = Wire(Device("ann"))
    ann = wire.devices["ann"]
    wire.connect()
    id = fresh_id()
    ann.machine.declare([id])
    small = Replica({Root.MESSAGES: Kind.MAP}, client_id=id)
    ann.machine.take_own(Layer.TRANSCRIPT, put_message(small, new_message("streamed")))
    wire.run()
    assert wire.server.texts() == ["streamed"]
    assert wire.server.machine._bindings.owner(id) == "user:ann"
    assert ann.happened(Changed)


def test_a_session_with_more_lives_than_one_update_may_hold_opens() -> None:
    """Answers to an open are not bound by what one push may hold, nor is loading them from the store."""
    limits = Limits(update_clients_max=3, update_structs_max=20)
    server = Server(limits)
    server.attach("w")
    for number in range(1, 31):
        server.push("w", number, Pen().message(f"m{number}"))
    server.turn()
    wire = Wire(Device("ann", limits), server=server)
    wire.connect()
    ann = wire.devices["ann"]
    assert len(ann.texts()) == 30
    ann.reload(crash=True)
    assert len(ann.texts()) == 30


def test_messages_of_two_lives_keep_their_order() -> None:
    """What was written before a restart gets its receipt before what was written after it, whatever the client ids."""
    for _ in range(20):
        ann = Device("ann")
        for text in ("first", "second", "third"):
            ann.post(text)
            ann.settle()
            ann.reload(crash=True)
        wire = Wire(ann)
        wire.connect()
        assert wire.server.texts() == ["first", "second", "third"]


def test_pushes_hold_no_more_structs_than_an_update_may() -> None:
    """A backlog of many small parts goes up in as many pushes as it takes, and nothing of it is refused."""
    limits = Limits(update_structs_max=20)
    ann = Device("ann", limits)
    for number in range(30):
        ann.set(f"k{number}", {"n": number})
        ann.set(f"l{number}", number)
    ann.settle()
    wire = Wire(ann, server=Server(limits))
    wire.connect()
    wire.run()

    assert ann.machine.unsynced == 0
    assert not ann.refused
    assert len(wire.server.machine.document(Layer.STATE).replica.read("ui")) == 60


def test_an_edit_of_more_parts_than_a_push_may_hold_says_so() -> None:
    """It is not taken, the document is read again from the store, and the message says what to do."""
    ann = Device("ann", Limits(update_structs_max=20))

    def many(replica: Replica) -> None:
        for number in range(21):
            replica.set(("ui",), f"k{number}", number)

    ann.machine.document(Layer.STATE).replica.ensure_root("ui", Kind.MAP)
    with pytest.raises(LocalProtocolError, match="20 parts, this one 21: make several"):
        ann.machine.edit(Layer.STATE, lambda replica: replica.edit(many))
    ann.settle()

    assert ann.happened(Reload)
