"""People: who is here over all sessions and devices, on a virtual clock and on real sockets."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from syncd_client.transport import RequestFailed, request

from syncd.core.messages import Ack, Json, PresenceEntry, SetPresence
from syncd.core.transcript import put_message
from syncd.core.work import WorkRow
from syncd.server.app import Server
from syncd.server.people import People
from syncd.store.memory import MemorySessionLog
from tests.core.machines import Pen, new_message
from tests.harness import MEMBER, RawLink, mint, serving, until
from tests.server.links import link

ANN, BOB, PLANNER = "user:ann", "user:bob", "agent:planner"


class Nobody:
    """Serves no agent, or all."""

    def __init__(self) -> None:
        self.serving: set[str] = set()

    def serves(self, agent: str) -> bool:
        """See `people.Serving`."""
        return agent in self.serving


class Clock:
    """A virtual one."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(clock: Clock) -> tuple[People, list[tuple[str, str, str, str]]]:
    """Everybody, on a virtual clock, and what is told."""
    people = People(Nobody(), grace_s=10.0, monotonic=clock, now_ms=lambda: int(clock() * 1000))
    told: list[tuple[str, str, str, str]] = []
    people.on_change.append(lambda *change: told.append(change))
    return people, told


def entry(peer: str, subject: str, state: Json) -> PresenceEntry:
    """An entry as a session publishes it."""
    kind, _, name = subject.partition(":")
    return PresenceEntry(peer, subject, name, kind, f"device-{peer}", state)


def says(activity: str) -> dict[str, str]:
    """A state that says no more than its activity."""
    return {"activity": activity}


def test_over_all_sessions_the_most_present_counts() -> None:
    """A tab that is hidden in one session does not make somebody away who looks at another."""
    people, told = made(Clock())
    people.moved("s", [entry("p", ANN, says("hidden"))])
    people.moved("t", [entry("p", ANN, says("active"))])
    assert people.status(ANN) == "active"
    assert (people.watching("s", ANN), people.watching("t", ANN)) == (False, True)
    assert (people.audience("s"), people.audience("t")) == ({ANN: "away"}, {ANN: "active"})
    assert told == [("s", ANN, "offline", "away"), ("t", ANN, "offline", "active")]
    assert people.status("user:nobody") == "offline"


def test_whoever_looks_again_is_said_though_they_never_left() -> None:
    """What waits for them in that session is before their eyes; on a second device it was so already."""
    clock = Clock()
    people, told = made(clock)
    looks: list[tuple[str, str]] = []
    people.on_look.append(lambda *look: looks.append(look))
    people.moved("s", [entry("p", ANN, says("active"))])
    people.moved("s", [entry("p", ANN, says("hidden"))])
    assert looks == [("s", ANN)]
    clock.now += 1
    people.moved("s", [entry("p", ANN, says("idle"))])
    people.moved("s", [entry("q", ANN, says("active"))])
    assert looks == [("s", ANN)] * 2
    assert [change for change in told if change[3] in ("away", "offline")] == []


def test_whoever_seemed_to_look_by_a_dead_link_is_said_to_have_been_gone() -> None:
    """Since it was heard last; not where they look on another device, and not of one that ended by itself."""
    clock = Clock()
    people, _ = made(clock)
    lost: list[tuple[str, str, int]] = []
    people.on_lost.append(lambda *one: lost.append(one))
    for session, activity in (("s", "active"), ("t", "hidden")):
        people.moved(session, [entry("p", ANN, says(activity))])
    people.moved("s", [entry("q", BOB, says("active")), entry("r", BOB, says("idle"))])
    clock.now = 40.0
    people.silent(["s", "t"], ANN, "p", 10.0)
    people.silent(["s"], BOB, "q", 10.0)
    assert lost == []
    for session in ("s", "t"):
        people.moved(session, [entry("p", ANN, None)])
    people.moved("s", [entry("q", BOB, None)])
    assert lost == [("s", ANN, 10_000)]

    people.moved("s", [entry("r", BOB, None)])
    assert lost == [("s", ANN, 10_000)]
    assert people._silent == {}


def test_what_they_saw_on_another_device_meanwhile_is_not_lost() -> None:
    """The laptop is dead for 30 s when that is found; on the phone they looked until 10 s ago."""
    clock = Clock()
    people, _ = made(clock)
    lost: list[tuple[str, str, int]] = []
    people.on_lost.append(lambda *one: lost.append(one))
    people.moved("s", [entry("laptop", ANN, says("active"))])
    clock.now = 20.0
    people.moved("s", [entry("phone", ANN, says("active"))])
    clock.now = 30.0
    people.moved("s", [entry("phone", ANN, says("hidden"))])
    clock.now = 40.0
    people.silent(["s"], ANN, "laptop", 10.0)
    people.moved("s", [entry("laptop", ANN, None)])
    assert lost == [("s", ANN, 30_000)]


def test_who_watches_is_known_without_asking_each() -> None:
    """Persons alone, and the same object until it changes."""
    people, _ = made(Clock())
    assert people.watchers("s") == frozenset()
    people.moved("s", [entry("p", ANN, says("active")), entry("a", PLANNER, says("active"))])
    people.moved("s", [entry("q", BOB, says("hidden")), entry("r", "service:crm", says("active"))])
    found = people.watchers("s")
    assert found == {ANN}
    assert people.watchers("s") is found
    people.moved("s", [entry("q", BOB, says("idle"))])
    assert people.watchers("s") == {ANN, BOB}


def test_a_leave_is_told_after_the_grace_and_a_reload_never() -> None:
    """Also when the whole session was unloaded under its peers."""
    clock = Clock()
    people, told = made(clock)
    people.moved("s", [entry("p", ANN, says("active")), entry("b", BOB, says("idle"))])
    told.clear()
    people.unloaded("s")
    clock.now = 5.0
    people.moved("s", [entry("p2", ANN, says("active"))])
    people.tick()
    assert told == []
    clock.now = 10.0
    people.tick()
    assert told == [("s", BOB, "idle", "offline")]
    assert (people.status(ANN), people.status(BOB)) == ("active", "offline")
    people.moved("s", [entry("p2", ANN, None)])
    clock.now = 20.0
    people.tick()
    assert (len(people._here), len(people._where)) == (0, 0)


def test_an_agent_works_while_its_runs_are_live() -> None:
    """Rows may come before its worker's presence, as after a restart; other leases are no work."""
    people, told = made(Clock())

    def row(run: str, lease: str) -> WorkRow:
        return WorkRow(PLANNER, "s", run, "m", lease, 1, 1)

    people.worked([row("r1", "live"), row("r2", "queued")])
    assert told == []
    people.moved("s", [entry("w", PLANNER, {})])
    [planner] = people.people("s")
    assert (planner.status, planner.runs, planner.watching) == ("active", ("r1",), False)
    people.worked([row("r2", "live"), row("r1", "ended")])
    people.worked([row("r2", "suspended")])
    assert told == [("s", PLANNER, "offline", "active"), ("s", PLANNER, "active", "idle")]
    assert people._runs == {}


def test_who_was_on_a_session_that_is_no_more_left_nothing() -> None:
    """Nor runs, which would be shown in one of the same name; on other sessions they are as before."""
    clock = Clock()
    people, told = made(clock)
    run = WorkRow(PLANNER, "s", "r1", "m", "live", 1, 1)
    people.worked([run])
    people.moved("s", [entry("p", ANN, says("active")), entry("w", PLANNER, {})])
    people.moved("t", [entry("p", ANN, says("idle"))])
    people.unloaded("s")
    told.clear()
    people.deleted("s")
    assert (people.status(ANN), people.status(PLANNER)) == ("idle", "offline")
    assert (people.audience("s"), people._runs) == ({}, {})
    clock.now = 20.0
    people.tick()
    assert told == []
    people.moved("s", [entry("w2", PLANNER, {})])
    [planner] = people.people("s")
    assert (planner.status, planner.runs) == ("idle", ())


async def test_when_somebody_was_last_seen_is_kept() -> None:
    """Who is here is seen now; of who left the moment counts, before it is written and after."""
    clock, log = Clock(), MemorySessionLog()
    people, _ = made(clock)
    await people.start(log.listing)
    people.moved("s", [entry("p", ANN, says("active")), entry("b", BOB, {})])
    clock.now = 7.0
    people.moved("s", [entry("p", ANN, None)])
    clock.now = 9.0
    assert await people.seen([ANN, BOB, "user:nobody"]) == {ANN: 7_000, BOB: 9_000}
    await people.stop()
    again, _ = made(clock)
    await again.start(log.listing)
    assert await again.seen([ANN, BOB]) == {ANN: 7_000, BOB: 9_000}
    await again.stop()


async def people_of(server: Server, session: str = "s") -> Mapping[str, Mapping[str, Any]]:
    """What REST says of a session."""
    answer = await request(server.url, "GET", f"/v1/sessions/{session}/people", token=mint("user:eve"))
    return {row["subject"]: row for row in answer["people"]}


async def say(raw: RawLink, activity: str) -> None:
    """Have a link say its activity."""
    await raw.send(SetPresence("s", says(activity)))


async def test_two_devices_are_one_person(tmp_path: Path) -> None:
    """Away after hidden everywhere for `presence_grace_s`, a reload is no leave, last seen survives a restart."""
    limits = {"presence_grace_s": 0.5}
    async with serving(tmp_path / "s.db", limits=limits) as server:
        assert server.services.lists is not None
        told: list[tuple[str, ...]] = []
        people = server.services.lists.people
        people.on_change.append(lambda *change: told.append(change[1:]))
        async with link(server) as laptop:
            await laptop.open()
            await laptop.push(Pen().message("hi"))  # Takes part from now on.
            await say(laptop, "active")
            async with link(server) as phone:
                await phone.open()
                await say(phone, "active")
                await until(lambda: people.status(ANN) == "active" and len(people.people("s")[0].devices) == 1)
                await say(laptop, "hidden")
                await say(phone, "idle")
                await until(lambda: people.status(ANN) == "idle")
                await say(phone, "hidden")
                await until(lambda: not people.watching("s", ANN))
                assert people.status(ANN) == "idle"
                await until(lambda: people.status(ANN) == "away")
            await say(laptop, "active")
            await until(lambda: people.status(ANN) == "active")
        async with link(server) as reloaded:
            await reloaded.open()
            await say(reloaded, "active")
            await until(lambda: people.watching("s", ANN))
            told_before = len(told)
        assert not [change for change in told[:told_before] if change[2] == "offline"]
        await until(lambda: people.status(ANN) == "offline")
        row = (await people_of(server))[ANN]
        assert (row["status"], row["devices"]) == ("offline", 0)
    async with serving(tmp_path / "s.db", limits=limits) as server:
        again = (await people_of(server))[ANN]
        assert again == row
        assert again["last_seen"] > 1_700_000_000_000


async def test_who_was_here_when_the_server_was_killed_was_seen(tmp_path: Path) -> None:
    """Not only a leave is written, but at the end also who is here still."""
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        await ann.open()
        await ann.push(Pen().message("hi"))
        await until(lambda: server.services.lists is not None and server.services.lists.people.status(ANN) == "away")
        assert (await people_of(server))[ANN]["devices"] == 1
    async with serving(tmp_path / "s.db") as server:
        assert (await people_of(server))[ANN]["last_seen"] is not None


async def test_when_somebody_was_seen_is_not_told_to_whoever_names_them(tmp_path: Path) -> None:
    """In a session that Ann never came to she is only who was addressed; where she wrote she was seen."""
    async with serving(tmp_path / "s.db") as server:
        async with link(server) as ann, link(server, "bob") as bob:
            await ann.open()
            await ann.push(Pen().message("hi"))
            await bob.open("bobs")
            asked = replace(new_message("Ann?"), to=(ANN,))
            number = await bob.push(put_message(Pen().transcript, asked), session="bobs")
            await bob.expect(Ack, lambda ack: ack.number == number)
            await until(lambda: server.services.lists is not None and server.services.lists.people.people("s"))
            assert (await people_of(server))[ANN]["last_seen"] is not None
            assert (await people_of(server, "bobs"))[ANN]["last_seen"] is None
        assert (await people_of(server))[ANN]["last_seen"] is not None
        rows = await people_of(server, "bobs")
        assert (rows[ANN]["last_seen"], rows[BOB]["last_seen"] is None) == (None, False)


async def test_what_was_erased_is_forgotten_here_too(tmp_path: Path) -> None:
    """Runs that were live in it, and who was on it."""
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        await ann.open()
        assert server.services.lists is not None
        people = server.services.lists.people
        await until(lambda: people.people("s"))
        people.worked([WorkRow(PLANNER, "s", "r1", "m", "live", 1, 1)])
        await request(server.url, "DELETE", "/v1/sessions/s", token=mint("user:op", (*MEMBER, "admin")))
        assert (people._runs, people._here, people._where) == ({}, {}, {})


async def test_people_of_a_session_are_for_those_who_may_read_it(tmp_path: Path) -> None:
    """For others it does not exist."""
    async with serving(tmp_path / "s.db") as server, link(server) as ann:
        await ann.open()
        for path in ("/v1/sessions/s/people", "/v1/sessions/nowhere/people"):
            with pytest.raises(RequestFailed) as refused:
                await request(server.url, "GET", path, token=mint("user:eve", sessions="other"))
            assert (refused.value.status, refused.value.code) == (404, "not_found")
