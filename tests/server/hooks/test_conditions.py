"""Who is told, when, and who is not: rules over people who are here, away, reading, writing or answering."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from syncd.core.events import Event
from syncd.core.limits import Limits
from syncd.server.hooks.rules import Quiet, Rule
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog
from tests.harness import until
from tests.server.hooks.bench import Bench, FakeChannel, FakePeople, bench, config_of

MONA, THEO, EVE = "user:mona", "user:theo", "user:eve"


def push(name: str = "tell", **fields: Any) -> dict[str, Any]:
    """A rule that tells persons of messages."""
    return {"name": name, "on": ["message.created"], "channel": "push", "whom": ["participants"]} | fields


def told(here: Bench) -> list[tuple[str, str]]:
    """Return whom was told of what, in order."""
    return [(notice.subject, notice.events[-1]["data"].get("message", notice.type)) for notice in here.push.sent]


async def test_nobody_is_told_what_they_caused_or_look_at(tmp_path: Path) -> None:
    """Participants are who ever wrote or read there; of them those who are elsewhere are told, each once."""
    async with bench(tmp_path, config_of([push()])) as here:
        await here.message(MONA, 1)
        await here.happen("read.moved", THEO, "s", subject=THEO, seq=1)
        await here.happen("read.moved", EVE, "s", subject=EVE, seq=1)
        await here.settled()
        assert told(here) == []

        here.people.watches.add(("s", EVE))
        await here.message(MONA, 2)
        await here.settled()
        assert told(here) == [(THEO, "m2")]

        await here.message(THEO, 3)
        await here.settled()
        assert told(here) == [(THEO, "m2"), (MONA, "m3")]


async def test_who_was_brought_in_takes_part(tmp_path: Path) -> None:
    """Addressed or made responsible, without a word of theirs; also by a server that was started since."""
    async with bench(tmp_path, config_of([push()])) as here:
        await here.message(MONA, 1, to=[THEO, "agent:planner"])
        await here.settled()
        assert told(here) == [(THEO, "m1")]
        await here.happen("session.assigned", MONA, "s", to=EVE, command="c1")
    async with bench(tmp_path, config_of([push()])) as here:
        await here.message("agent:planner", 2)
        await here.settled()
        assert sorted(told(here)) == [(EVE, "m2"), (MONA, "m2"), (THEO, "m2")]


async def test_who_took_part_before_there_were_hooks_does_still(tmp_path: Path) -> None:
    """What the lists know of a session, rules know too."""
    log = SqliteSessionLog(tmp_path / "syncd.db")
    await log.open()
    info = await log.create("s", "i-s", 1)
    said = Event("k", "message.created", 1, THEO, {"message": "m1", "role": "user", "to": [], "seq": 1, "text": "hi"})
    await log.append([Append("s", info.version, [Entry(EntryKind.TRANSCRIPT, b"x")], events=[said])])
    await log.drop_events(await log.last_event())
    await log.close()
    async with bench(tmp_path, config_of([push()])) as here:
        await here.message(MONA, 2)
        await here.settled()
        assert told(here) == [(THEO, "m2")]


async def test_who_cancels_is_not_told_of_the_end(tmp_path: Path) -> None:
    """Of what somebody did themselves they know, also where there is nothing to read; others are told."""
    rules = [push(on=["run.ended"], whom=[MONA, THEO]), push("later", on=["run.ended"], whom=[MONA], digest_s=60)]
    async with bench(tmp_path, config_of(rules)) as here:
        await here.happen("run.ended", MONA, "s", run="r1", agent="agent:a", status="cancelled")
        await here.judged()
        here.later(61)
        await here.caught_up()

        assert [notice.subject for notice in here.push.sent] == [THEO]


@pytest.mark.parametrize(
    ("whom", "expected"),
    [
        (["addressed"], [THEO]),
        (["asker"], [MONA]),
        (["responsible"], [EVE]),
        (["user:someone"], ["user:someone"]),
        (["watchers"], [THEO]),
        (["participants"], [MONA, EVE, THEO]),
        (["asker", "addressed", "asker"], [MONA, THEO]),
    ],
)
async def test_whom_a_rule_names(tmp_path: Path, whom: list[str], expected: list[str]) -> None:
    """Persons only, never an agent, each once."""
    async with bench(tmp_path, config_of([push(whom=whom, where={"role": "assistant"})])) as here:
        here.people.audiences["s"] = {THEO: "idle", MONA: "offline", "agent:planner": "active"}
        await here.message(MONA, 1, to=["agent:planner"])
        await here.happen("run.queued", MONA, "s", run="r1", agent="agent:planner", message="m1", attempt=0)
        await here.happen("session.assigned", MONA, "s", to=EVE, command="c1")
        await here.happen("read.moved", EVE, "s", subject=EVE, seq=1)
        await here.message("agent:planner", 2, role="assistant", run="r1", to=[THEO, "agent:critic"])
        await here.settled()

        assert sorted(subject for subject, _ in told(here)) == sorted(expected)


async def test_who_is_here_on_some_device_is_not_away(tmp_path: Path) -> None:
    """away_on_all_devices: idle is here; away and offline are not."""
    rule = push(whom=[MONA, THEO, EVE, "user:off"], when={"away_on_all_devices": True})
    async with bench(tmp_path, config_of([rule])) as here:
        here.people.statuses = {MONA: "active", THEO: "idle", EVE: "away"}
        await here.message("agent:a", 1)
        await here.settled()

        assert {subject for subject, _ in told(here)} == {EVE, "user:off"}


async def test_while_a_person_watches_nobody_is_told(tmp_path: Path) -> None:
    """nobody_watching: an agent's being there does not count."""
    rule = push(whom=[MONA], when={"nobody_watching": True})
    async with bench(tmp_path, config_of([rule])) as here:
        here.people.audiences["s"] = {THEO: "active", "agent:a": "active"}
        here.people.watches = {("s", THEO), ("s", "agent:a")}
        await here.message("agent:a", 1)
        await here.settled()
        assert told(here) == []

        here.people.watches.remove(("s", THEO))
        await here.message("agent:a", 2)
        await here.settled()
        assert told(here) == [(MONA, "m2")]


async def test_what_is_read_in_time_is_not_told(tmp_path: Path) -> None:
    """unread_for_s: reading, on any device, or writing there, ends the wait; across a restart too."""
    config = config_of([push(whom=[MONA, THEO, EVE], when={"unread_for_s": 600})])
    async with bench(tmp_path, config) as here:
        await here.message("agent:a", 1)
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await here.judged()
        assert told(here) == []
    async with bench(tmp_path, config, clock=here.clock) as here:
        await here.message(THEO, 2)
        await here.judged()
        here.later(500)  # Not the last second: the first message is older than this server.
        await here.caught_up()
        assert told(here) == []
        here.later(101)
        await until(lambda: len(here.push.sent) >= 3, "the notices")
        await here.settled()

        # Eve did neither; Theo wrote, which Mona and Eve have not read.
        assert sorted(told(here)) == [(EVE, "m1"), (EVE, "m2"), (MONA, "m2")]


async def test_who_looks_meanwhile_is_not_told(tmp_path: Path) -> None:
    """What is told of is on the screen by then: a run's end has no place that reading could say."""
    rule = push(on=["run.ended"], whom=[MONA, THEO], when={"unread_for_s": 600})
    async with bench(tmp_path, config_of([rule])) as here:
        await here.happen("run.ended", "agent:a", "s", run="r1", agent="agent:a", status="completed")
        await here.judged()
        here.people.watches.add(("s", MONA))
        here.people.change("s", MONA, "offline", "active")
        here.people.watches.clear()
        here.later(601)
        await until(lambda: here.push.sent, "the notice")
        await here.settled()

        assert [notice.subject for notice in here.push.sent] == [THEO]


async def test_one_device_is_told_and_the_notice_withdrawn_when_it_was_read(tmp_path: Path) -> None:
    """By reading on any device; once, and only what was read."""
    async with bench(tmp_path, config_of([push(whom=[MONA, THEO])])) as here:
        await here.message("agent:a", 1)
        await here.message("agent:a", 2)
        await here.settled()
        assert len(here.push.sent) == 4

        await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await until(lambda: here.push.withdrawn, "the withdrawal")
        await here.settled()

        assert [(n.subject, n.events[0]["data"]["message"]) for n in here.push.withdrawn] == [(MONA, "m1")]
        assert here.push.withdrawn[0].id == next(n.id for n in here.push.sent if n.subject == MONA)
        states = sorted((d.subject, d.seq, d.state) for d in await here.deliveries() if d.act == "send")
        assert states == [(MONA, 1, "read"), (MONA, 2, "sent"), (THEO, 1, "sent"), (THEO, 2, "sent")]


async def test_whoever_was_told_first_answers_for_all(tmp_path: Path) -> None:
    """Who was told at the beginning reads it after it went on to the next: the one behind that is not bothered."""
    rule = push(whom=["addressed"], when={"until_answered": True}, escalate_after_s=60, escalate_to=[THEO, "user:boss"])
    async with bench(tmp_path, config_of([rule])) as here:
        await here.message(EVE, 1, to=[MONA])
        await here.settled()
        here.later(61)
        await until(lambda: len(here.push.sent) == 2, "the next one's being told")
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await here.judged()
        here.later(61)
        await here.caught_up()

        assert told(here) == [(MONA, "m1"), (THEO, "m1")]


async def test_what_happened_before_their_eyes_is_not_told_when_they_leave(tmp_path: Path) -> None:
    """Of a message it is known whether it was read; of anything else, that they looked."""
    rule = push(on=["run.ended", "message.created"], whom=[MONA], when={"unread_for_s": 30})
    async with bench(tmp_path, config_of([rule])) as here:
        here.people.watches.add(("s", MONA))
        await here.happen("run.ended", "agent:planner", "s", run="r1", agent="agent:planner", status="completed")
        await here.message(THEO, 1)
        await here.caught_up()
        here.people.watches.clear()
        here.later(31)
        await until(lambda: here.push.sent, "the message")
        await here.caught_up()

        assert told(here) == [(MONA, "m1")]


async def test_a_look_in_the_same_turn_counts(tmp_path: Path) -> None:
    """They opened it and closed it again before anything was judged; what came after that waits to be read."""
    async with bench(tmp_path, config_of([push(whom=[MONA], when={"unread_for_s": 30})])) as here:
        await here.message(THEO, 1)
        here.people.watches.add(("s", MONA))
        here.people.change("s", MONA, "offline", "active")
        here.people.watches.clear()
        here.people.change("s", MONA, "active", "offline")
        await here.caught_up()
        await here.message(THEO, 2)
        await here.caught_up()
        here.later(31)
        await until(lambda: here.push.sent, "the second")
        await here.caught_up()

        assert told(here) == [(MONA, "m2")]


async def test_after_a_restart_people_have_time_to_come_back(tmp_path: Path) -> None:
    """Who looked before it looks again a moment later; what is about no person does not wait."""
    people = FakePeople()
    rules = [push(whom=[MONA, THEO]), push("alone", whom=[EVE], when={"nobody_watching": True})]
    async with bench(tmp_path, config_of(rules), people=people) as here:
        people.settles = here.clock() + 10_000
        await here.message("agent:planner", 1)
        await here.caught_up()
        assert told(here) == []
        people.watches.add(("s", MONA))
        people.audiences["s"] = {MONA: "active"}
        here.later(11)
        await until(lambda: here.push.sent, "the notice")
        await here.caught_up()

        assert told(here) == [(THEO, "m1")]


async def test_an_approval_escalates_until_somebody_decides(tmp_path: Path) -> None:
    """To the next after each delay; a decision ends it, and takes back what was sent."""
    rule = push(
        on=["approval.requested"], whom=[MONA], when={"until_answered": True}, escalate_after_s=600,
        escalate_to=[THEO, EVE],
    )  # fmt: skip
    config = config_of([rule])
    async with bench(tmp_path, config) as here:
        for call in ("r1-1", "r1-2"):
            await here.happen("approval.requested", "agent:a", "s", run="r1", message="m", tool_call=call, name="book")
        await here.settled()
        assert [n.subject for n in here.push.sent] == [MONA, MONA]
        await here.happen("tool.decided", MONA, "s", tool_call="r1-1", kind="approve", command="c1")
        await here.judged()
        await until(lambda: here.push.withdrawn, "the withdrawal")
        assert [n.events[0]["data"]["tool_call"] for n in here.push.withdrawn] == ["r1-1"]
        here.later(601)
        await until(lambda: len(here.push.sent) == 3, "the escalation")
    async with bench(tmp_path, config, push=here.push, clock=here.clock) as here:
        here.later(601)
        await until(lambda: len(here.push.sent) == 4, "the second escalation")
        here.later(601)
        await here.caught_up()

        assert [n.subject for n in here.push.sent] == [MONA, MONA, THEO, EVE]
        assert {n.events[0]["data"]["tool_call"] for n in here.push.sent[2:]} == {"r1-2"}


async def test_a_run_that_ends_answers_its_approvals(tmp_path: Path) -> None:
    """Nothing is left to decide."""
    rule = push(on=["approval.requested"], whom=[MONA])
    async with bench(tmp_path, config_of([rule])) as here:
        await here.happen("run.queued", MONA, "s", run="r1", agent="agent:a", message="m1", attempt=0)
        await here.happen("approval.requested", "agent:a", "s", run="r1", message="m", tool_call="r1-1", name="book")
        await here.settled()
        await here.happen("run.ended", MONA, "s", run="r1", agent="agent:a", status="cancelled")
        await until(lambda: here.push.withdrawn, "the withdrawal")


async def test_what_is_answered_in_the_same_breath_is_not_told(tmp_path: Path) -> None:
    """Events that come together, as after a restart: nobody hears of what is over."""
    rules = [push(whom=[MONA]), push("ask", on=["approval.requested"], whom=[MONA])]
    async with bench(tmp_path, config_of(rules)) as here:
        await here.happened(
            [
                (
                    "message.created",
                    "agent:a",
                    "s",
                    {"message": "m1", "role": "assistant", "to": [], "seq": 1, "text": ""},
                ),
                ("approval.requested", "agent:a", "s", {"run": "r", "message": "m", "tool_call": "r-1", "name": "n"}),
                ("tool.decided", MONA, "s", {"tool_call": "r-1", "kind": "deny", "command": "c"}),
                ("read.moved", MONA, "s", {"subject": MONA, "seq": 1}),
            ]
        )
        await here.settled()

        assert here.push.sent == []


async def test_a_digest_gathers(tmp_path: Path) -> None:
    """All of one person's in one notice, over sessions; across a restart; what is read meanwhile is left out."""
    config = config_of([push(whom=[MONA], digest_s=600)])
    async with bench(tmp_path, config) as here:
        await here.message("agent:a", 1)
        await here.message("agent:a", 1, "t")
        await here.message("agent:a", 2)
        await here.judged()
    async with bench(tmp_path, config, push=here.push, clock=here.clock) as here:
        await here.happen("read.moved", MONA, "s", subject=MONA, seq=1)
        await here.judged()
        here.later(601)
        await until(lambda: here.push.sent, "the digest")
        await here.settled()

    (notice,) = here.push.sent
    assert notice.type == "digest"
    assert notice.session == ""
    assert [(e["session"], e["data"]["message"]) for e in notice.events] == [("t", "m1"), ("s", "m2")]
    assert notice.title == "2 news in 2 sessions"


@pytest.mark.parametrize(
    ("now", "until_"),
    [
        ("2026-11-26T21:59:00+00:00", None),
        ("2026-11-26T22:00:00+00:00", "2026-11-27T07:30:00+00:00"),
        ("2026-11-27T03:00:00+00:00", "2026-11-27T07:30:00+00:00"),
        ("2026-11-27T07:30:00+00:00", None),
        # Summer time begins at 01:00 that night: the quiet ends an hour sooner.
        ("2027-03-28T00:30:00+00:00", "2027-03-28T06:30:00+00:00"),
    ],
)
def test_quiet_hours_follow_their_zone(now: str, until_: str | None) -> None:
    """Over midnight, and over the change to summer time."""
    quiet = Quiet(start="22:00", end="07:30", zone="Europe/Lisbon")
    end = quiet.until_ms(int(datetime.fromisoformat(now).timestamp() * 1000))

    assert (None if end is None else datetime.fromtimestamp(end / 1000, UTC).isoformat()) == until_


def test_quiet_hours_have_days() -> None:
    """The day is the one on which they start."""
    quiet = Quiet(start="20:00", end="08:00", days=("fri",))
    friday = datetime(2026, 11, 27, 21, tzinfo=UTC)

    assert quiet.until_ms(int(friday.timestamp() * 1000)) is not None
    assert quiet.until_ms(int((friday + timedelta(hours=6)).timestamp() * 1000)) is not None
    assert quiet.until_ms(int((friday - timedelta(days=1)).timestamp() * 1000)) is None
    assert quiet.until_ms(int((friday + timedelta(days=1)).timestamp() * 1000)) is None


async def test_quiet_hours_hold_back_and_gather(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in them is told at their end, in one notice, unless it was read by then."""
    ends: list[int] = []

    def until_ms(self: Quiet, now_ms: int) -> int | None:
        if not ends:
            ends.append(now_ms + 3_600_000)
        return ends[0] if now_ms < ends[0] else None

    monkeypatch.setattr(Quiet, "until_ms", until_ms)
    rule = push(whom=[MONA, THEO], quiet={"start": "22:00", "end": "07:00"})
    async with bench(tmp_path, config_of([rule])) as here:
        for seq in (1, 2, 3):
            await here.message("agent:a", seq)
        await here.happen("read.moved", THEO, "s", subject=THEO, seq=3)
        await here.judged()
        assert here.push.sent == []
        here.later(3_601)
        await until(lambda: here.push.sent, "the end of quiet")
        await here.settled()

        (notice,) = here.push.sent
        assert (notice.subject, len(notice.events), notice.session) == (MONA, 3, "s")


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    """Beyond hooks_waits_max, what would wait is told at once: late is worse than too early."""
    config = config_of([push(whom=[MONA], when={"unread_for_s": 600})])
    async with bench(tmp_path, config, limits=Limits(hooks_waits_max=5)) as here:
        for seq in range(1, 9):
            await here.message("agent:a", seq)
        await here.settled()

        assert told(here) == [(MONA, "m6"), (MONA, "m7"), (MONA, "m8")]


async def test_whoever_looks_is_not_told_for_want_of_room(tmp_path: Path) -> None:
    """What would wait is told at once, but not to who looks at it, nor before it is due to the next one."""
    rules = [
        push(whom=[MONA], when={"unread_for_s": 600}),
        push("on", whom=[THEO], when={"until_answered": True}, escalate_after_s=60, escalate_to=[EVE]),
    ]
    async with bench(tmp_path, config_of(rules), limits=Limits(hooks_waits_max=1)) as here:
        await here.message("agent:a", 1)
        here.people.watches.add(("s", MONA))
        await here.message("agent:a", 2)
        await here.settled()
        assert sorted(told(here)) == [(EVE, "m2"), (THEO, "m1"), (THEO, "m2")]
        here.later(61)
        await until(lambda: (EVE, "m1") in told(here), "the one that had room")


async def test_a_target_is_left_alone_in_quiet_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail to all is as loud as one to each."""
    ends: list[int] = []
    monkeypatch.setattr(Quiet, "until_ms", lambda _, now_ms: ends[0] if now_ms < ends[0] else None)
    rule = {"name": "mail", "on": ["run.ended"], "channel": "call", "target": "mail"}
    mail = FakeChannel()
    config = config_of([rule | {"quiet": {"start": "22:00", "end": "07:00"}}])
    async with bench(tmp_path, config, channels={"call": mail}) as here:
        ends.append(here.clock() + 3_600_000)
        await here.happen("run.ended", "agent:planner", "s", run="r1", agent="agent:planner", status="completed")
        await here.caught_up()
        assert mail.sent == []
        here.later(3_601)
        await until(lambda: mail.sent, "the end of quiet")


async def test_presence_makes_events(tmp_path: Path) -> None:
    """Somebody came, went away, is back, left; an agent nobody serves any more, be it that it was nowhere."""
    rule = {"name": "all", "on": ["participant.*", "agent.offline"], "channel": "push", "whom": ["user:boss"]}
    async with bench(tmp_path, config_of([rule])) as here:
        await here.message(MONA, 1)
        for before, after in (("offline", "active"), ("active", "away"), ("away", "idle"), ("idle", "offline")):
            here.people.change("s", MONA, before, after)
        here.people.change("s", "agent:a", "active", "offline")
        here.hooks.offline("agent:a", {"s"})
        here.hooks.offline("agent:b", set())
        await until(lambda: len(here.push.sent) == 7, "the notices")

        types = [notice.type for notice in here.push.sent]
        kinds = ["joined", "away", "back", "left", "left"]
        assert types == [f"participant.{kind}" for kind in kinds] + ["agent.offline"] * 2
        assert [(n.session, n.events[0]["data"]) for n in here.push.sent[5:]] == [
            ("s", {"agent": "agent:a"}),
            ("", {"agent": "agent:b"}),
        ]
        assert here.push.sent[0].events[0]["data"] == {"subject": MONA, "kind": "user"}


async def test_work_that_nobody_serves_is_said(tmp_path: Path) -> None:
    """agent.needed, when a run is queued and no worker of its agent is there."""
    rule = {"name": "need", "on": ["agent.needed"], "channel": "push", "whom": ["user:ops"]}
    async with bench(tmp_path, config_of([rule]), people=FakePeople(served={"agent:b"})) as here:
        for agent in ("agent:a", "agent:b"):
            await here.happen("run.queued", MONA, "s", run=f"r-{agent[-1]}", agent=agent, message="m1", attempt=0)
        await here.settled()

        assert [n.events[0]["data"] for n in here.push.sent] == [{"agent": "agent:a", "run": "r-a"}]


async def test_a_deleted_sessions_notices_go_with_it(tmp_path: Path) -> None:
    """What waits and what was kept is erased; a digest of several loses its part."""
    config = config_of([push(whom=[MONA], digest_s=300), push("late", whom=[MONA], when={"unread_for_s": 600})])
    async with bench(tmp_path, config) as here:
        await here.message("agent:a", 1, text="SECRET-S")
        await here.message("agent:a", 1, "t", text="kept")
        await here.judged()
        here.later(301)
        await until(lambda: here.push.sent, "the digest")
        await here.settled()
        await here.log.delete("s", 1)
        here.hooks.deleted("s")

        (digest,) = await here.deliveries()
        assert b"SECRET-S" not in digest.data
        assert b"kept" in digest.data
        assert list(await here.log.verify()) == []
        waits = await here.log.outbox.waits()
        assert [wait.session for wait in waits] == ["t"]
    assert b"SECRET-S" not in (tmp_path / "syncd.db").read_bytes()


async def test_a_session_made_anew_during_its_erasure_keeps_what_waits(tmp_path: Path) -> None:
    """What waits of the one that was erased is forgotten, what waits of the one that has its name by now is told."""
    rules = [push(whom=[MONA], when={"unread_for_s": 600}), push("look", whom=[THEO])]
    async with bench(tmp_path, config_of(rules)) as here:
        here.people.watches.add(("s", THEO))
        await here.message("agent:a", 1, text="old")
        await here.judged()
        await here.log.delete("s", 1)
        await here.log.create("s", "anew", 1)
        await here.message("agent:a", 1, text="new")
        await here.judged()
        here.hooks.deleted("s")
        await until(lambda: len(here.hooks._engine._room) == 1, "the old one to be forgotten")

        here.people.lose("s", THEO, 0)
        here.later(601)
        await until(lambda: len(here.push.sent) == 2, "both to be told")
        await here.settled()
        assert sorted((notice.subject, notice.text) for notice in here.push.sent) == [(MONA, "new"), (THEO, "new")]


async def test_without_content_no_words_leave(tmp_path: Path) -> None:
    """content = false: what people wrote is in no notice."""
    async with bench(tmp_path, config_of([push(whom=[MONA], content=False)])) as here:
        await here.message("user:x", 1, text="private")
        await here.settled()

        (notice,) = here.push.sent
        assert "private" not in repr(notice)
        assert notice.title == "x in s"


@pytest.mark.parametrize(
    "wrong",
    [
        {"on": []},
        {"on": ["no.such"]},
        {"on": ["message"]},
        {"whom": []},
        {"whom": ["agent:a"]},
        {"whom": ["everybody"]},
        {"target": "crm"},
        {"channel": "webhook"},
        {"channel": "smoke"},
        {"sessions": "a*b"},
        {"when": {"unread_for_s": -1}},
        {"when": {"asleep": True}},
        {"escalate_after_s": 5},
        {"escalate_to": ["user:x"], "when": {"until_answered": True}},
        {"quiet": {"start": "25:00", "end": "07:00"}},
        {"quiet": {"start": "22:00", "end": "07:00", "zone": "Mars/Base"}},
        {"name": "no name"},
        {"colour": "red"},
    ],
)
def test_a_rule_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    """With the field that is wrong."""
    with pytest.raises(ValidationError):
        Rule.model_validate(push() | wrong)


def test_a_webhook_is_about_no_person_unless_it_names_some() -> None:
    """Conditions about persons need persons."""
    rule = {"name": "w", "on": ["*"], "channel": "webhook", "target": "crm"}
    Rule.model_validate(rule)
    Rule.model_validate(rule | {"whom": ["asker"], "when": {"away_on_all_devices": True}})
    for when in ({"away_on_all_devices": True}, {"unread_for_s": 5}):
        with pytest.raises(ValidationError, match="name some in `whom`"):
            Rule.model_validate(rule | {"when": when})
