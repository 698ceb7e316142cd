"""ServerMachine: presence, and readers that do not keep up."""

import pytest

from syncd.core.codec import pack
from syncd.core.errors import CloseCode
from syncd.core.grant import Right
from syncd.core.limits import Limits
from syncd.core.messages import (
    Layer,
    Opened,
    PresenceChanged,
    ServerMessage,
    SetPresence,
    Update,
)
from syncd.core.replica import Replica
from syncd.core.schema import Root
from syncd.core.update import Kind
from tests.core.answers import catch, here, kinds, opened, transcript
from tests.core.machines import SESSION, Pen, Server, member

# Presence


def test_presence_is_stamped_by_the_server() -> None:
    """Identity fields come from grant and hello, whatever the state claims."""
    server = opened("ann", "bob")
    server.machine.receive("ann", SetPresence(SESSION, {"subject": "user:bob", "name": "bob"}))
    server.now = 1.0
    server.turn()
    [entry] = [e for m in server.got("bob") if isinstance(m, PresenceChanged) for e in m.entries]
    assert (entry.peer, entry.subject, entry.name, entry.device) == ("ann", "user:ann", "ann", "device-ann")


def test_presence_is_published_presence_per_s_times_at_most() -> None:
    """`presence_per_s`: in between the last state wins; nothing is published twice."""
    server = opened("ann", "bob", limits=Limits(presence_per_s=5.0))
    shown = []
    for step in range(100):
        server.now = 10.0 + step / 50
        server.machine.receive("ann", SetPresence(SESSION, {"n": step}))
        server.turn()
        shown += list(here(server.got("bob")).values())
    assert 9 <= len(shown) <= 11
    server.now = 13.0
    server.turn()
    assert here(server.got("bob")) == {"ann": {"n": 99}}
    assert not server.machine.pending()


def test_a_crowd_that_comes_at_once_is_told_of_together() -> None:
    """`presence_gather_s`: who comes in between is told at its end, and the machine says that it waits for time."""
    server = opened("ann", limits=Limits(presence_gather_s=0.5))
    for number in range(20):
        server.now = 1.0 + number / 50
        server.attach(f"eve-{number}")
        server.turn()
    told = [m for m in server.got("ann") if isinstance(m, PresenceChanged)]
    assert [len(m.entries) for m in told] == [1]
    assert server.machine.due_at() == 1.5
    server.now = 1.6
    server.turn()
    assert len(here(server.got("ann"))) == 19
    assert not server.machine.pending()


def test_presence_follows_the_rights_of_a_fresh_token() -> None:
    """Without the right the entry goes at once, with it again there is one again, and who says so is the server."""
    server = opened("ann", "bob")
    server.machine.receive("ann", SetPresence(SESSION, {"n": 1}))
    server.now = 1.0
    server.turn()
    server.got("bob")
    fewer = frozenset({Right.TRANSCRIPT})
    server.machine.regrant("ann", member("ann", fewer), fewer)
    server.now = 1.5
    server.turn()
    assert here(server.got("bob")) == {"ann": None}

    rights = fewer | {Right.PRESENCE}
    server.machine.regrant("ann", member("ann", rights), rights)
    server.now = 2.0
    server.turn()
    assert here(server.got("bob")) == {"ann": {}}


def test_presence_goes_when_the_peer_does() -> None:
    """A detached peer is gone for those who are here, and for those who come."""
    server = opened("ann", "bob")
    server.machine.detach("ann")
    server.now = 1.0
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


@pytest.mark.parametrize(("text", "fits"), [("four", True), ("fives", False)])
def test_presence_holds_presence_bytes_max(text: str, fits: bool) -> None:
    """`presence_bytes_max` counts the bytes of its msgpack; one more drops the link."""
    server = opened("ann", "bob", limits=Limits(presence_bytes_max=len(pack({"x": "four"}))))
    server.machine.receive("ann", SetPresence(SESSION, {"x": text}))
    server.turn()
    assert ("ann" not in server.drops) == fits


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
