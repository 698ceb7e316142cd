"""ServerMachine: what it refuses, with which code, and what becomes of the peer."""

from collections.abc import Callable

import pytest

from syncd.core.errors import CloseCode, RejectCode
from syncd.core.grant import Right
from syncd.core.messages import (
    Ack,
    Layer,
    SetPresence,
)
from syncd.core.schema import Root
from syncd.core.update import EMPTY_UPDATE, Kind
from tests.core.answers import codes, kinds, opened, receipts
from tests.core.machines import SESSION, Pen, Server, member


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
    assert receipts(server)["c:c1"]["outcome"] == "denied"  # Taken, and about a run that there is not.


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
