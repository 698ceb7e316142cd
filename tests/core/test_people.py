"""Attendance: everybody's status on one session, over devices, tabs and time."""

import pytest

from syncd.core.messages import Json, PresenceEntry
from syncd.core.people import Attendance, Moved, Status, activity_of

ANN = "user:ann"


def entry(peer: str, state: Json, subject: str = ANN, *, device: str = "laptop") -> PresenceEntry:
    """An entry as the server stamps it."""
    kind, _, name = subject.partition(":")
    return PresenceEntry(peer, subject, name, kind, device, state)


def says(activity: str) -> dict[str, str]:
    """A state that says no more than its activity."""
    return {"activity": activity}


def test_of_several_devices_the_most_present_counts() -> None:
    """One person is one row: hidden on one device and active on the other is active."""
    here = Attendance(grace_s=10)
    here.take([entry("p1", says("hidden")), entry("p2", says("active"), device="phone")], 0.0)
    [ann] = here.people()
    assert (ann.subject, ann.status, ann.watching, ann.devices) == (ANN, "active", True, ("laptop", "phone"))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({}, Status.AWAY),
        (None, Status.AWAY),
        ([], Status.AWAY),
        ({"activity": "active"}, Status.ACTIVE),
        ({"activity": "idle"}, Status.IDLE),
        ({"activity": "hidden"}, Status.AWAY),
        ({"activity": "asleep"}, Status.AWAY),
        ({"activity": ["active"]}, Status.AWAY),
        ({"activity": "active", "tabs": {}}, Status.ACTIVE),
        ({"activity": "active", "tabs": {"a": {"activity": "hidden"}, "b": {"activity": "idle"}}}, Status.IDLE),
        ({"activity": "hidden", "tabs": {"a": {"activity": "active"}, "b": 7}}, Status.ACTIVE),
        ({"tabs": {"a": 1}}, Status.AWAY),
        ({"activity": "active", "tabs": [1]}, Status.ACTIVE),
    ],
)
def test_what_a_state_says_of_its_activity(state: Json, status: Status) -> None:
    """Anything may stand in a state: what is no activity says nothing, and tabs count one by one."""
    assert activity_of(state) is status


def test_a_status_rises_at_once() -> None:
    """Who comes, and who comes back, is told at that moment."""
    here = Attendance(grace_s=10)
    assert here.take([entry("p", {})], 0.0) == [Moved(ANN, Status.OFFLINE, Status.AWAY)]
    assert here.take([entry("p", says("active"))], 0.1) == [Moved(ANN, Status.AWAY, Status.ACTIVE)]
    assert here.take([entry("p", says("idle"))], 0.2) == [Moved(ANN, Status.ACTIVE, Status.IDLE)]
    assert here.due_at() is None


def test_a_reload_is_no_leave() -> None:
    """Within the grace another peer of the same subject takes the place, and nothing is told at all."""
    here = Attendance(grace_s=10)
    here.take([entry("p", says("active"))], 0.0)
    assert here.take([entry("p", None)], 1.0) == []
    assert here.status(ANN) is Status.ACTIVE
    assert not here.watching(ANN)
    assert here.due_at() == 11.0
    assert here.take([entry("q", says("active"))], 5.0) == []
    assert here.due_at() is None
    assert here.tick(60.0) == []
    assert here.status(ANN) is Status.ACTIVE


def test_who_does_not_come_back_is_offline_after_the_grace() -> None:
    """And is forgotten with it."""
    here = Attendance(grace_s=10)
    here.take([entry("p", says("idle"))], 0.0)
    here.take([entry("p", None)], 1.0)
    assert here.tick(10.9) == []
    assert here.tick(11.0) == [Moved(ANN, Status.IDLE, Status.OFFLINE)]
    assert len(here) == 0
    assert here.people() == []


def test_away_is_hidden_on_all_devices_for_the_grace() -> None:
    """A glance at another window is not away; `watching` follows at once."""
    here = Attendance(grace_s=10)
    here.take([entry("p", says("active")), entry("q", says("idle"))], 0.0)
    here.take([entry("p", says("hidden"))], 1.0)
    assert here.watching(ANN)
    # Active no more after the grace, but the other device is still visible.
    assert here.tick(11.0) == [Moved(ANN, Status.ACTIVE, Status.IDLE)]
    here.take([entry("q", says("hidden"))], 20.0)
    assert not here.watching(ANN)
    assert here.status(ANN) is Status.IDLE
    assert here.tick(30.0) == [Moved(ANN, Status.IDLE, Status.AWAY)]
    assert here.take([entry("q", says("active"))], 31.0) == [Moved(ANN, Status.AWAY, Status.ACTIVE)]


def test_a_hidden_tab_that_reloads_gets_its_own_grace() -> None:
    """What is held for having been visible does not shorten what is held for having been connected."""
    here = Attendance(grace_s=10)
    here.take([entry("p", says("active"))], 0.0)
    here.take([entry("p", says("hidden"))], 0.0)
    here.take([entry("p", None)], 8.0)
    assert here.tick(10.0) == [Moved(ANN, Status.ACTIVE, Status.AWAY)]
    assert here.take([entry("q", says("hidden"))], 12.0) == []
    assert here.tick(30.0) == []
    assert here.status(ANN) is Status.AWAY


def test_a_machine_that_is_thrown_away_is_no_leave() -> None:
    """All peers go at once, and come back to the one that is loaded instead."""
    here = Attendance(grace_s=10)
    here.take([entry("p", says("active")), entry("b", {}, "user:bob")], 0.0)
    assert here.clear(1.0) == []
    here.take([entry("p2", says("active"))], 2.0)
    assert here.tick(11.0) == [Moved("user:bob", Status.AWAY, Status.OFFLINE)]
    assert here.statuses() == {ANN: "active"}


def test_an_agent_is_active_while_it_works() -> None:
    """And idle while it is only connected: agents look at nothing."""
    here = Attendance(grace_s=10)
    agent = "agent:planner"
    assert here.works(agent, ["r1"], 0.0) == []  # Its worker's entry may come later.
    assert here.take([entry("w", {}, agent)], 0.0) == [Moved(agent, Status.OFFLINE, Status.ACTIVE)]
    [found] = here.people()
    assert (found.runs, found.watching) == (("r1",), False)
    assert here.works(agent, [], 1.0) == [Moved(agent, Status.ACTIVE, Status.IDLE)]
    here.take([entry("w", None)], 2.0)
    assert here.tick(12.0) == [Moved(agent, Status.IDLE, Status.OFFLINE)]
    assert len(here) == 0


def test_a_peer_that_never_was_changes_nothing() -> None:
    """A leave without an entry before, as after a restart."""
    here = Attendance(grace_s=10)
    assert here.take([entry("p", None)], 0.0) == []
    assert here.tick(99.0) == []
    assert len(here) == 0
