"""Decisions: runs, leases, commands and hand-overs, as receipts that are written once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncd.core.decisions import Decisions
from syncd.core.events import Event
from syncd.core.facts import ClaimFact, NewAttemptFact, NewCommandFact, NewMessageFact, StatusFact, WakeFact
from syncd.core.ids import run_id
from syncd.core.limits import Limits
from syncd.core.messages import Json

AGENT, MONA, TOM = "agent:planner", "user:mona", "user:tom"
RUN = run_id("m1", AGENT)
LIMITS = Limits(runs_per_message_max=4)
GRACE_S = LIMITS.lease_grace_s


class Court:
    """Decisions with a clock, and every receipt they gave."""

    def __init__(self, receipts: dict[str, Json] | None = None) -> None:
        self.unasked: set[str] = set()
        self.decisions = Decisions(
            "s",
            grace_s=GRACE_S,
            per_message_max=LIMITS.runs_per_message_max,
            names=lambda call, agent: agent == AGENT and call not in self.unasked,
        )
        self.receipts: dict[str, Any] = dict(receipts or {})
        self.decisions.load(self.receipts.items())
        self.now = 0.0
        self.rows: dict[str, str] = {}
        self.due: dict[str, int] = {}
        self.events: list[Event] = []

    @property
    def at(self) -> int:
        return int(self.now * 1000) + 1

    def settle(self, *, after_s: float = 0.0) -> None:
        self.now += after_s
        self.decisions.settle(self.now, self.at)
        receipts, rows = self.decisions.take()
        self.events += self.decisions.take_events()
        for key, value in receipts:
            assert key not in self.receipts, f"{key} was written twice"
            self.receipts[key] = value
        self.rows |= {row.run: row.lease for row in rows}
        self.due |= {row.run: row.due_at for row in rows}

    def post(self, message: str = "m1", *, by: str = MONA, to: tuple[str, ...] = (AGENT,), expires_at: int = 0) -> None:
        self.decisions.message(NewMessageFact(message, by, to, "", expires_at), self.at)
        self.settle()

    def claim(self, worker: str, run: str = RUN, *, policy: str = "retry", attempts_max: int = 3) -> None:
        self.decisions.here(AGENT, worker)
        self.decisions.claim(ClaimFact(run, AGENT, worker, policy, attempts_max), self.at)
        self.settle()

    def say(self, status: str, *, attempt: int = 1, run: str = RUN, by: str = AGENT) -> None:
        self.decisions.status(StatusFact(run, attempt, by, status), self.at)
        self.settle()

    def wake(self, at: int, *, attempt: int = 1) -> None:
        self.decisions.wake(WakeFact(RUN, attempt, AGENT, at), self.at)
        self.settle()

    def lose(self, worker: str, *, after_s: float = GRACE_S + 0.1) -> None:
        self.decisions.gone(AGENT, worker)
        self.settle()
        self.settle(after_s=after_s)

    def command(self, kind: str, *, by: str = MONA, payload: Json = None, **target: Json) -> str:
        value = {"kind": kind, "at": self.at, "payload": payload, **target}
        outcome = self.decisions.command(NewCommandFact("c", by, value), self.at)
        self.settle()
        return str(outcome)

    def chain(self, run: str = RUN) -> list[Any]:
        links: list[Any] = []
        while (link := self.receipts.get(f"r:{run}.{len(links)}")) is not None:
            links.append(link)
        return links

    def leases(self, run: str = RUN) -> list[str]:
        return [link["lease"] for link in self.chain(run)]

    def again(self) -> Court:
        """The same session after a restart of its server."""
        court = Court(self.receipts)
        court.now, court.rows, court.due = self.now, self.rows, self.due
        court.settle()
        return court


def posted() -> Court:
    """A session in which somebody asked the agent for something."""
    court = Court()
    court.post()
    return court


@pytest.fixture
def court() -> Court:
    return posted()


# Work


def test_a_message_to_an_agent_is_work_under_an_id_that_everybody_knows(court: Court) -> None:
    """One run for each agent that is named, queued, with who asked for it; none for people."""
    court.post("m2", to=(AGENT, "agent:other", TOM))
    assert court.chain()[0] == {
        "at": 1, "lease": "queued", "attempt": 0, "since": 0, "agent": AGENT, "message": "m1", "by": MONA,
    }  # fmt: skip
    assert court.leases(run_id("m2", AGENT)) == court.leases(run_id("m2", "agent:other")) == ["queued"]
    assert len(court.receipts) == 3


def test_a_message_wakes_runs_per_message_max_agents_at_most(court: Court) -> None:
    """`runs_per_message_max`: the first of those it names."""
    court.post("m2", to=tuple(f"agent:{n}" for n in range(9)))
    assert len([key for key in court.receipts if key.startswith("r:")]) == 1 + LIMITS.runs_per_message_max


def test_the_first_claim_wins(court: Court) -> None:
    """The others, a stranger's and one after the end change nothing."""
    court.decisions.claim(ClaimFact(RUN, "agent:thief", "w9", "retry", 3), court.at)
    court.claim("w1")
    court.claim("w2")
    assert court.leases() == ["queued", "live"]
    assert (court.chain()[1]["worker"], court.chain()[1]["attempt"]) == ("w1", 1)
    court.say("completed")
    court.claim("w2")
    assert court.leases() == ["queued", "live", "ended"]
    assert court.rows[RUN] == "ended"


def test_an_agent_may_begin_a_run_of_its_own(court: Court) -> None:
    """It is live at once, with its parent; one that was over before it was seen has ended."""
    court.decisions.here(AGENT, "w1")
    court.decisions.attempt(NewAttemptFact("own", 1, AGENT, "w1", "", RUN, "running"), court.at)
    court.decisions.attempt(NewAttemptFact("past", 1, AGENT, "w1", "", "", "completed"), court.at)
    court.settle()
    assert court.leases("own") == ["live"]
    assert court.chain("own")[0]["parent_run"] == RUN
    assert court.leases("past") == ["live", "ended"]


def test_work_expires(court: Court) -> None:
    """What was not ended by then is ended by the server, whether it waits or runs."""
    court.post("m2", expires_at=5_000)
    late = run_id("m2", AGENT)
    assert court.decisions.due_at(court.now) == pytest.approx(5.0, abs=0.01)
    court.settle(after_s=5.1)
    assert court.chain(late)[-1] | {"at": 0} == {
        "at": 0, "lease": "ended", "attempt": 0, "since": 0, "status": "failed", "code": "expired",
    }  # fmt: skip
    assert court.leases() == ["queued"]


# Leases


def test_a_lost_worker_is_told_after_the_grace_and_another_takes_over(court: Court) -> None:
    """`lease_grace_s`: not before; the next attempt's output alone counts, and late words of the old one do nothing."""
    court.claim("w1")
    court.lose("w1", after_s=GRACE_S - 1)
    assert court.leases() == ["queued", "live"]
    court.settle(after_s=1.1)
    assert court.leases() == ["queued", "live", "interrupted", "queued"]
    court.claim("w2")
    assert (court.chain()[-1]["attempt"], court.chain()[-1]["since"]) == (2, 2)
    court.say("suspended", attempt=1)
    court.say("completed", attempt=1)
    assert court.leases()[-1] == "live"
    court.say("completed", attempt=2)
    assert court.chain()[-1]["status"] == "completed"


@pytest.mark.parametrize("within_grace", [True, False])
def test_a_worker_that_is_back_before_anybody_took_over_goes_on(court: Court, within_grace: bool) -> None:
    """Within the grace nothing is told at all; after it, it is live again with the same attempt."""
    court.claim("w1")
    court.lose("w1", after_s=1.0 if within_grace else GRACE_S + 1)
    court.decisions.here(AGENT, "w1")
    court.settle()
    assert court.leases() == ["queued", "live"] + ([] if within_grace else ["interrupted", "queued", "live"])
    assert (court.chain()[-1]["attempt"], court.chain()[-1]["since"]) == (1, 1)
    court.say("completed")
    assert court.leases()[-1] == "ended"


def test_a_restart_of_the_server_gives_every_worker_the_grace(court: Court) -> None:
    """Counted from the load; whoever is back by then goes on."""
    court.claim("w1")
    court.post("m2")
    court.claim("w2", run_id("m2", AGENT))
    court = court.again()
    court.decisions.here(AGENT, "w2")
    court.settle(after_s=GRACE_S - 1)
    assert court.leases() == ["queued", "live"]
    court.settle(after_s=2)
    assert court.leases() == ["queued", "live", "interrupted", "queued"]
    assert court.leases(run_id("m2", AGENT)) == ["queued", "live"]


@pytest.mark.parametrize(
    ("policy", "told"),
    [("wait", ["interrupted"]), ("fail", ["interrupted", "ended"]), ("retry", ["interrupted", "queued"])],
)
def test_the_policy_says_what_follows_an_interruption(court: Court, policy: str, told: list[str]) -> None:
    """It waits for the same worker, fails, or is offered again."""
    court.claim("w1", policy=policy)
    court.lose("w1")
    assert court.leases()[2:] == told


def test_attempts_come_to_an_end(court: Court) -> None:
    """After `attempts_max` of them the run fails, with a code that says so."""
    for attempt in (1, 2):
        court.claim(f"w{attempt}", attempts_max=2)
        court.lose(f"w{attempt}")
    assert court.chain()[-1]["code"] == "attempts_exhausted"


def test_a_suspended_run_is_not_interrupted_and_any_worker_may_go_on_with_it(court: Court) -> None:
    """The decision makes it work again; what was written before it counts still."""
    court.claim("w1")
    court.say("suspended")
    court.lose("w1", after_s=3600.0)
    court = court.again()
    court.settle(after_s=3600.0)
    assert court.leases() == ["queued", "live", "suspended"]
    assert court.command("approve", tool_call=f"{RUN}-1") == "accepted"
    assert court.leases()[-1] == "queued"
    court.claim("w2")
    assert (court.chain()[-1]["attempt"], court.chain()[-1]["since"]) == (2, 1)


def test_a_decision_while_the_worker_is_away_for_a_moment_is_not_lost(court: Court) -> None:
    """If it does not come back within the grace, another goes on, also after a restart in between."""
    for restart in (False, True):
        court = Court()
        court.post()
        court.claim("w1")
        court.say("suspended")
        court.decisions.gone(AGENT, "w1")
        court.settle(after_s=1)
        court.command("deny", tool_call=f"{RUN}-1")
        assert court.leases()[-1] == "suspended"
        court = court.again() if restart else court
        court.settle(after_s=GRACE_S + 1)
        assert court.leases()[-1] == "queued"


def test_a_detached_run_is_held_by_nobody(court: Court) -> None:
    """Its worker may stay: a steer, or a decision, has any worker take it up."""
    for kind in ("steer", "approve"):
        court = posted()
        court.claim("w1")
        court.say("detached")
        assert court.chain()[-1] | {"at": 0} == {"at": 0, "lease": "suspended", "attempt": 1, "since": 1}
        court = court.again()
        court.decisions.here(AGENT, "w1")
        court.settle(after_s=3600.0)
        assert court.leases()[-1] == "suspended"
        target = {"run": RUN} if kind == "steer" else {"tool_call": f"{RUN}-1"}
        assert court.command(kind, payload={"text": "go on"}, **target) == "accepted"
        assert (court.leases()[-1], court.chain()[-1]["resume"]) == ("queued", True)
        court.say("running")
        assert court.leases()[-1] == "queued"


def test_a_run_may_be_detached_while_it_waits(court: Court) -> None:
    """Held by nobody then; if the decision had come already, any worker goes on with it at once."""
    court.claim("w1")
    court.say("suspended")
    court.say("detached")
    assert "worker" not in court.chain()[-1]
    assert court.command("approve", tool_call=f"{RUN}-1") == "accepted"
    assert court.leases() == ["queued", "live", "suspended", "suspended", "queued"]

    court = posted()
    court.claim("w1")
    court.say("suspended")
    court.command("approve", tool_call=f"{RUN}-1")
    court.say("detached")
    assert court.leases() == ["queued", "live", "suspended", "queued"]


@pytest.mark.parametrize("how", ["suspended", "detached", "after a restart"])
def test_a_suspended_run_is_taken_up_when_its_time_comes(how: str) -> None:
    """If nobody has it by then, it is offered to any worker, which goes on; said again by that one, again."""
    court = posted()
    court.claim("w1")
    court.wake(100_000)
    court.say("detached" if how == "detached" else "suspended")
    assert (court.chain()[-1]["wake_at"], court.due[RUN]) == (100_000, 100_000)
    court.lose("w1")
    court.wake(200_000)
    assert court.chain()[-1]["wake_at"] == 200_000
    if how == "after a restart":
        court = court.again()
        court.settle(after_s=GRACE_S + 1)
    court.settle(after_s=199.0 - court.now)
    assert court.leases()[-1] == "suspended"
    court.settle(after_s=1.1)
    assert (court.leases()[-1], court.chain()[-1]["resume"], court.due[RUN]) == ("queued", True, 0)
    court.claim("w2")
    assert (court.chain()[-1]["attempt"], court.chain()[-1]["since"]) == (2, 1)
    court.wake(300_000, attempt=1)
    court.wake(400_000, attempt=2)
    court.say("suspended", attempt=2)
    court.lose("w2")
    court.settle(after_s=399.0 - court.now)
    assert court.leases()[-1] == "suspended"
    court.settle(after_s=2.0)
    assert court.leases()[-1] == "queued"


def test_who_has_a_suspended_run_knows_the_time_itself(court: Court) -> None:
    """While its worker is there nothing is due; if that goes later, the run is offered when it is found lost."""
    court.claim("w1")
    court.wake(50_000)
    court.say("suspended")
    court.settle(after_s=60.0)
    assert (court.leases()[-1], court.decisions.due_at(court.now)) == ("suspended", None)
    court.lose("w1")
    assert court.leases()[-1] == "queued"
    court.claim("w2")
    court.say("suspended", attempt=2)
    court.lose("w2", after_s=1e6)
    assert court.leases()[-1] == "suspended", "it waits without a time"


# Commands


def test_cancelling_what_waits_ends_it_and_what_runs_is_its_workers_matter(court: Court) -> None:
    """By the message it names before there is a run to name; everybody sees who did it."""
    assert court.command("cancel", message="m1") == "accepted"
    assert (court.chain()[-1]["status"], court.chain()[-1]["cancelled_by"]) == ("cancelled", MONA)
    court.post("m2")
    run = run_id("m2", AGENT)
    court.claim("w1", run)
    assert court.command("cancel", run=run, by=TOM) == "accepted"
    assert court.leases(run) == ["queued", "live", "live"]
    assert (court.chain(run)[-1]["cancelled_by"], court.chain(run)[-1]["cancel"]) == (TOM, "c")
    assert court.command("cancel", run=run) == "duplicate"
    assert court.again().command("cancel", run=run) == "duplicate"
    court.say("cancelled", run=run)
    assert court.command("cancel", run=run) == "late"
    assert court.leases(run)[-1] == "ended"


def test_a_cancelled_run_whose_worker_is_lost_is_never_offered_again(court: Court) -> None:
    """Whatever the policy."""
    court.claim("w1")
    court.command("cancel", run=RUN)
    court.lose("w1")
    assert court.chain()[-1]["status"] == "cancelled"


def test_cancelling_a_parent_reaches_the_children(court: Court) -> None:
    """However deep."""
    court.claim("w1")
    for child, parent in (("child", RUN), ("grandchild", "child")):
        court.decisions.attempt(NewAttemptFact(child, 1, AGENT, "w1", "", parent, "running"), court.at)
    court.settle()
    asked = NewMessageFact("m9", AGENT, ("agent:other",), RUN, 0)
    forged = NewMessageFact("m8", "agent:eve", ("agent:other",), RUN, 0)
    for fact in (asked, forged):
        court.decisions.message(fact, court.at)
    court.settle()
    court.command("cancel", run=RUN)
    assert court.chain("grandchild")[-1]["cancelled_by"] == MONA
    assert court.chain(run_id("m9", "agent:other"))[-1]["status"] == "cancelled"
    assert court.leases(run_id("m8", "agent:other")) == ["queued"], "who is not of the run puts nothing below it"


def below(court: Court, child: str, parent: str, *, worker: str = "w1", status: str = "running") -> None:
    """A run of the agent begins one below it."""
    court.decisions.attempt(NewAttemptFact(child, 1, AGENT, worker, "", parent, status), court.at)
    court.settle()


def test_what_a_lost_attempt_began_ends_when_the_next_one_begins(court: Court) -> None:
    """Runs of its own and those it asked of others, however deep; not before, since its worker may be back."""
    court.claim("w1")
    below(court, "own", RUN)
    below(court, "deeper", "own")
    court.decisions.message(NewMessageFact("m9", AGENT, ("agent:other",), RUN, 0, attempt=1), court.at)
    asked = run_id("m9", "agent:other")
    court.lose("w1")
    assert (court.leases("own")[-1], court.leases(asked)[-1]) == ("interrupted", "queued")
    court = court.again()
    court.claim("w2")
    for run in ("own", "deeper", asked):
        last = court.chain(run)[-1]
        assert (last["lease"], last["status"], last["code"]) == ("ended", "failed", "interrupted")
        assert court.chain(run)[0]["parent_attempt"] == 1
    below(court, "late", RUN, worker="w1")
    below(court, "later", RUN, worker="w1", status="completed")
    below(court, "good", RUN, worker="w2")
    assert [court.chain(run)[-1].get("code") for run in ("late", "later", "good")] == ["interrupted", None, None]
    assert [court.chain(run)[0]["parent_attempt"] for run in ("late", "later", "good")] == [1, 1, 2]
    court.decisions.message(NewMessageFact("m8", AGENT, ("agent:other",), RUN, 0, attempt=1), court.at)
    court.settle()
    assert court.leases(run_id("m8", "agent:other"))[-1] == "ended"


def test_what_is_below_a_run_that_the_server_ends_ends_with_it(court: Court) -> None:
    """One that completes leaves to others what it asked of them."""
    court.claim("w1", policy="fail")
    below(court, "own", RUN)
    court.lose("w1")
    assert court.chain("own")[-1]["code"] == "interrupted"
    court.post("m2")
    run = run_id("m2", AGENT)
    court.claim("w3", run)
    court.decisions.message(NewMessageFact("m9", AGENT, ("agent:other",), run, 0, attempt=1), court.at)
    court.say("completed", run=run)
    assert court.leases(run_id("m9", "agent:other")) == ["queued"]


def test_commands_say_what_became_of_them(court: Court) -> None:
    """Expired, about nothing, too late, of no kind: each has its outcome and changes nothing."""
    court.settle(after_s=10)
    assert court.command("cancel", run=RUN, expires_at=5_000) == "expired"
    assert court.command("cancel", run="none") == "denied"
    assert court.command("dance", run=RUN) == "denied"
    assert court.command("approve", tool_call="none-1") == "denied"
    assert court.command("steer", run=RUN, payload={"text": "shorter"}) == "accepted"
    assert court.leases() == ["queued"]
    court.claim("w1")
    court.say("completed")
    assert court.command("steer", run=RUN) == "late"
    assert court.command("approve", tool_call=f"{RUN}-1") == "late"


def test_what_the_agent_did_not_ask_cannot_be_decided(court: Court) -> None:
    """It is denied, and nothing is kept of it: asked later, the call waits for a decision."""
    court.claim("w1")
    court.unasked.add(f"{RUN}-9")
    for kind in ("approve", "deny", "tool_result"):
        assert court.command(kind, tool_call=f"{RUN}-9") == "denied"
    court.unasked.clear()
    assert court.command("approve", tool_call=f"{RUN}-9", by=TOM) == "accepted"


def test_a_tool_call_has_one_decision(court: Court) -> None:
    """The first; the same again is a duplicate, anything else is late, also after a restart."""
    court.claim("w1")
    assert court.command("approve", tool_call=f"{RUN}-1", payload={"x": 1}) == "accepted"
    assert court.command("deny", tool_call=f"{RUN}-1", by=TOM) == "late"
    assert court.again().command("deny", tool_call=f"{RUN}-1", by=TOM) == "late"
    assert court.command("approve", tool_call=f"{RUN}-1", payload={"x": 1}) == "duplicate"
    assert (court.receipts[f"d:{RUN}-1"]["kind"], court.receipts[f"d:{RUN}-1"]["by"]) == ("approve", MONA)


# Hand-over


def test_whoever_is_responsible_is_woken_by_people_who_name_nobody(court: Court) -> None:
    """A person silences the agent until it is named again; agents wake nobody by the way."""
    assert court.command("handoff", session="s", payload={"to": AGENT, "note": "yours"}) == "accepted"
    court.post("m2", to=())
    court.post("m3", to=(), by="agent:other")
    assert court.leases(run_id("m2", AGENT)) == ["queued"]
    assert court.leases(run_id("m3", AGENT)) == []
    court = court.again()
    assert court.command("handoff", session="s", payload={"to": MONA}) == "accepted"
    assert court.command("handoff", session="s", payload={"to": MONA}) == "duplicate"
    court.post("m4", to=())
    court.post("m5")
    assert court.leases(run_id("m4", AGENT)) == []
    assert court.leases(run_id("m5", AGENT)) == ["queued"]
    assert [court.receipts[f"a:{n}"]["to"] for n in (0, 1)] == [AGENT, MONA]


def test_a_run_can_be_given_to_another_agent(court: Court) -> None:
    """The one is cancelled, the other has the same message as work."""
    court.claim("w1")
    assert court.command("handoff", run=RUN, payload={"to": "agent:other"}) == "accepted"
    assert court.chain()[-1]["cancelled_by"] == MONA
    assert court.leases(run_id("m1", "agent:other")) == ["queued"]
    assert court.command("handoff", run=RUN, payload={"to": "nobody"}) == "denied"


def test_what_is_handed_back_is_worked_on_anew(court: Court) -> None:
    """By a further run, be the one before over or about to be; whoever has it already is given nothing twice."""
    other, back, third = (run_id("m1", "agent:other"), *(run_id("m1", AGENT, n) for n in (2, 3)))
    court.claim("w1")
    assert court.command("handoff", run=RUN, payload={"to": AGENT}) == "duplicate"
    assert court.command("handoff", run=RUN, payload={"to": "agent:other"}) == "accepted"
    assert (court.leases()[-1], court.leases(other)) == ("live", ["queued"]), "its worker says a last word"
    assert court.command("handoff", run=other, payload={"to": AGENT}) == "accepted"
    assert (court.leases(other)[-1], court.leases(back)) == ("ended", ["queued"])
    court.say("cancelled")
    court = court.again()
    assert court.command("handoff", message="m1", payload={"to": "agent:other"}) == "accepted"
    assert court.leases(run_id("m1", "agent:other", 2)) == ["queued"]
    assert court.command("handoff", message="m1", payload={"to": AGENT}) == "accepted"
    assert (court.leases(back)[-1], court.leases(third)) == ("ended", ["queued"])
    assert court.command("handoff", message="m1", payload={"to": AGENT}) == "duplicate"


# All of it

_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["post", "claim", "lose", "say", "cancel", "steer", "approve", "handoff", "wait", "here"]),
        st.integers(0, 2),
        st.sampled_from(["running", "suspended", "detached", "completed", "failed"]),
    ),
    max_size=25,
)


@given(_ACTIONS)
@settings(max_examples=300, deadline=None)
def test_a_server_that_was_restarted_decides_as_one_that_was_not(actions: list[tuple[str, int, str]]) -> None:
    """Whatever happened: receipts are written once, an ended run stays so, and they tell all that was known."""
    court = Court()
    for name, number, status in actions:
        run = run_id(f"m{number}", AGENT)
        if name == "post":
            court.post(f"m{number}")
        elif name == "claim":
            court.claim(f"w{number}", run, policy=("wait", "retry", "fail")[number])
        elif name == "lose":
            court.lose(f"w{number}")
        elif name == "say":
            court.say(status, run=run, attempt=1 + number % 2)
        elif name in ("cancel", "steer"):
            court.command(name, run=run)
        elif name == "approve":
            court.command(name, tool_call=f"{run}-1")
        elif name == "handoff":
            court.command(name, session="s", payload={"to": f"agent:{number}"})
        elif name == "here":
            court.decisions.here(AGENT, f"w{number}")
            court.settle()
        else:
            court.settle(after_s=number * 10.0)
    chains: dict[str, int] = {}
    for key, value in court.receipts.items():
        if key.startswith("r:"):
            run, _, _ = key[2:].rpartition(".")
            chains[run] = chains.get(run, 0) + 1
            assert (value["lease"] == "ended") <= (f"r:{run}.{chains[run]}" not in court.receipts)
    restarted = Court(court.receipts)
    for run in chains:
        was, now = court.decisions._leases.runs[run], restarted.decisions._leases.runs[run]
        for name in ("agent", "message", "lease", "attempt", "since", "cancelled_by", "cancel", "count", "resume"):
            assert getattr(was, name) == getattr(now, name), name
    assert court.decisions.responsible == restarted.decisions.responsible


def test_cancelling_the_first_of_a_long_chain_of_runs_cancels_them_all(court: Court) -> None:
    """An agent may nest runs deeper than the interpreter nests calls: a cancel reaches the last one."""
    runs = [f"n{n}" for n in range(3000)]
    for parent, run in zip(["", *runs], runs, strict=False):
        court.decisions.attempt(NewAttemptFact(run, 1, AGENT, "w1", "", parent, "running"), court.at)
    court.settle()
    assert court.command("cancel", run=runs[0]) == "accepted"
    assert all(court.chain(run)[-1]["cancelled_by"] == MONA for run in runs)


def test_a_run_that_is_given_up_after_its_cancel_is_over(court: Court) -> None:
    """A cancel that meets a detach ends the run: nobody is left who would, and nobody is offered it again."""
    court.claim("w1")
    court.command("cancel", run=RUN)
    court.say("detached")
    assert court.chain()[-1].get("status") == "cancelled"
    assert court.command("steer", run=RUN, payload={"text": "go on"}) == "late"


def test_a_turn_looks_only_at_the_runs_it_is_about(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: those that were moved, whose worker came or went, or whose time has come."""
    court.decisions.here(AGENT, "w1")
    for number in range(1000):
        court.decisions.attempt(NewAttemptFact(f"n{number}", 1, AGENT, "w1", "", "", "running"), court.at)
    court.post("m2", expires_at=100_000)
    court.claim("w2")
    looked: list[str] = []
    look = court.decisions._leases._look

    def noted(run: Any, now: float, at: int) -> None:
        looked.append(run.id)
        look(run, now, at)

    monkeypatch.setattr(court.decisions._leases, "_look", noted)

    court.say("suspended")
    assert (looked, court.decisions.due_at(court.now)) == ([RUN], 100.0 - 0.001)
    court.decisions.gone(AGENT, "w2")
    assert court.decisions.due_at(court.now) == court.now
    court.settle()
    assert (looked, court.decisions.due_at(court.now)) == ([RUN] * 2, court.now + GRACE_S)
    court.settle(after_s=GRACE_S)
    court.settle(after_s=100.0)
    assert looked == [RUN] * 3 + [run_id("m2", AGENT)]
    assert court.decisions.due_at(court.now) is None


def test_a_run_that_is_detached_while_its_worker_is_away_is_not_lost_as_well(court: Court) -> None:
    """Nobody holds it any more, so there is nobody to wait for: nothing is due before it expires."""
    court.post("m2", expires_at=100_000)
    run = run_id("m2", AGENT)
    court.claim("w1", run)
    court.decisions.gone(AGENT, "w1")
    court.settle(after_s=1.0)
    court.say("detached", run=run)
    assert court.decisions.due_at(court.now) == pytest.approx(100.0, abs=0.01)
    court.settle(after_s=GRACE_S + 1)
    assert court.leases(run) == ["queued", "live", "suspended"]
