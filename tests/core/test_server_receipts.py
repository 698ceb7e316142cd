"""ServerMachine: the receipts it writes, and whose client ids are."""

from syncd.core.entries import EntryKind, StoredEntry
from syncd.core.errors import CloseCode, RejectCode
from syncd.core.limits import Limits
from syncd.core.messages import (
    Opened,
)
from syncd.core.replica import Replica, SharedList, SharedMap, SharedText
from syncd.core.schema import SCHEMA_VERSION, Root
from tests.core.answers import codes, kinds, opened, receipts
from tests.core.machines import Pen, Server, fresh_id

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
    assert (found["m:m"]["seq"], found["m:n"]["seq"], server.machine.content.seq) == (1, 2, 2)
    assert server.reloaded().machine.content.seq == 2


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
    assert (server.machine.content.seq, server.machine.committed_seq) == (3, 3)
    snapshot = server.machine.content.snapshot()
    folded = Server(disk=[StoredEntry(snapshot.version, EntryKind.SNAPSHOT, snapshot.data)])
    assert (folded.machine.version, folded.machine.content.seq) == (snapshot.version, 3)
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
    """An open that names more than `client_ids_per_frame_max` closes the link, and nobody is left in presence."""
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
    assert server.reloaded().machine.content.log_bytes >= 1_000
