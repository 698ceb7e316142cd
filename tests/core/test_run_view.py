"""RunView: what a run is, of the server's receipts and its agent's entries."""

import pytest

from syncd.core.ids import run_of_call, split_run_key
from syncd.core.messages import Json
from syncd.core.replica import Replica, SharedMap
from syncd.core.run_view import RunView, RunViews, run_of_fact
from syncd.core.run_writer import NewAttempt, put_attempt, set_attempt
from syncd.core.schema import NewMessage, Root
from syncd.core.transcript import TranscriptView, put_message
from syncd.core.update import Kind, encode_map_entries

AGENT = "agent:planner"
SERVER_ID = (1 << 52) + 1


class Transcript:
    """A transcript in which the server and an agent write."""

    def __init__(self) -> None:
        self.replica = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=1 << 52)
        self.views = RunViews()
        self._clock = 0
        self._facts: dict[str, int] = {}

    def receipt(self, key: str, value: Json) -> None:
        self.replica.apply([encode_map_entries(SERVER_ID, self._clock, Root.RECEIPTS, [(key, value)])])
        self._clock += 1
        self.views.touch([(Root.RECEIPTS, key)])

    def fact(self, lease: str, *, attempt: int, since: int = 1, run: str = "r", **extra: Json) -> None:
        number = self._facts.get(run, 0)
        self._facts[run] = number + 1
        if number == 0:
            extra = {"agent": AGENT, "by": "user:mona", **extra}
        self.receipt(
            f"r:{run}.{number}", {"at": 10 + number, "lease": lease, "attempt": attempt, "since": since, **extra}
        )

    def begin(self, attempt: int, *, run: str = "r", **fields: Json) -> None:
        put_attempt(self.replica, NewAttempt(run, attempt, AGENT, 5, message="m", task="a task"))
        self.set(attempt, run=run, **fields)

    def set(self, attempt: int, *, run: str = "r", **fields: Json) -> None:
        set_attempt(self.replica, run, attempt, fields)
        self.views.touch([(Root.RUNS, f"{run}_{attempt}")])

    def output(self, id: str, attempt: int, *, run: str = "r") -> None:
        put_message(self.replica, NewMessage(id, "assistant", {"kind": "agent"}, run=run, attempt=attempt))

    def run(self, run: str = "r") -> RunView:
        view = self.views.run(self.replica, run)
        assert view is not None
        return view

    def superseded(self) -> dict[str, bool]:
        found = TranscriptView().messages(self.replica)
        return {view.id: self.views.superseded(self.replica, view) for view in found}


@pytest.fixture
def transcript() -> Transcript:
    return Transcript()


@pytest.mark.parametrize(
    ("lease", "said", "expected"),
    [
        ("queued", None, "interrupted"),
        ("live", None, "running"),
        ("live", "running", "running"),
        ("live", "suspended", "suspended"),
        ("live", "completed", "completed"),
        ("suspended", "suspended", "suspended"),
        ("suspended", None, "suspended"),
        ("suspended", "running", "running"),
        ("interrupted", "running", "interrupted"),
        ("interrupted", "suspended", "interrupted"),
        ("interrupted", "failed", "failed"),
        ("queued", "running", "interrupted"),
    ],
)
def test_the_status_is_the_agents_last_word_else_the_servers(
    transcript: Transcript, lease: str, said: str | None, expected: str
) -> None:
    """A terminal status of the current attempt counts at once; a lease that waits or is lost comes before the rest."""
    transcript.fact(lease, attempt=1)
    if said is not None:
        transcript.begin(1, status=said)

    assert transcript.run().status == expected
    assert transcript.run().ended == (expected in ("completed", "failed"))


def test_what_waits_for_its_first_worker_or_to_be_taken_up_is_queued(transcript: Transcript) -> None:
    """Only a run that lost its worker is shown as interrupted while it waits for the next."""
    transcript.fact("queued", attempt=0, since=0)
    assert transcript.run().status == "queued"
    transcript.fact("queued", attempt=1, resume=True)
    assert transcript.run().status == "queued"


def test_an_end_by_receipt_is_the_end(transcript: Transcript) -> None:
    """Whatever the entry says afterwards."""
    transcript.fact("live", attempt=1)
    transcript.begin(1)
    transcript.fact("ended", attempt=1, status="cancelled", cancelled_by="user:mona")
    transcript.set(1, status="completed")

    view = transcript.run()
    assert (view.status, view.cancelled_by, view.ended_at) == ("cancelled", "user:mona", 11)


def test_a_retired_attempt_rolls_nothing_back(transcript: Transcript) -> None:
    """A late word of attempt 1, its end included, changes nothing of what attempt 2 is."""
    transcript.fact("live", attempt=1)
    transcript.begin(1)
    transcript.fact("live", attempt=2, since=2, worker="w2")
    transcript.begin(2)
    transcript.set(1, status="completed", finish_reason="stop", usage={"input_tokens": 1})

    view = transcript.run()
    assert (view.status, view.attempt, view.worker, view.finish_reason, view.usage) == ("running", 2, "w2", None, {})


def test_a_run_has_what_server_and_agent_said(transcript: Transcript) -> None:
    """Who made it and for what message is the server's word; usage, reason and error are the agent's."""
    transcript.fact("queued", attempt=0, since=0, message="m", expires_at=99)
    assert transcript.run().status == "queued"
    transcript.fact("live", attempt=1, worker="w")
    transcript.begin(1, usage={"input_tokens": 3}, provider={"id": "x"})
    transcript.set(1, status="failed", ended_at=7, finish_reason="error", error={"code": "c", "message": "m"})

    assert transcript.run().json() == {
        "id": "r", "agent": AGENT, "status": "failed", "attempt": 1, "since": 1, "message": "m", "task": "a task",
        "by": "user:mona", "worker": "w", "started_at": 5, "ended_at": 7, "expires_at": 99, "finish_reason": "error",
        "error": {"code": "c", "message": "m"}, "usage": {"input_tokens": 3}, "provider": {"id": "x"},
    }  # fmt: skip


def test_a_run_the_server_ended_says_why(transcript: Transcript) -> None:
    """Its code stands in the receipt alone."""
    transcript.fact("queued", attempt=0, since=0)
    transcript.fact("ended", attempt=0, since=0, status="failed", code="expired")

    assert transcript.run().error == {"code": "expired", "message": ""}


def test_a_run_without_receipts_is_its_own_word(transcript: Transcript) -> None:
    """Begun here, offline: it runs, and its output counts."""
    transcript.begin(1)
    transcript.output("out", 1)

    assert (transcript.run().status, transcript.run().attempt) == ("running", 1)
    assert transcript.superseded() == {"out": False}


def test_output_below_since_and_above_the_attempt_is_superseded(transcript: Transcript) -> None:
    """After a takeover the old words are kept and told apart; after a suspension they count."""
    transcript.fact("live", attempt=1)
    for attempt in (1, 2, 3):
        transcript.output(f"out{attempt}", attempt)
    transcript.output("other", 1, run="unknown")
    assert transcript.superseded() == {"out1": False, "out2": True, "out3": True, "other": False}
    transcript.fact("live", attempt=2, since=1)
    assert transcript.superseded() == {"out1": False, "out2": False, "out3": True, "other": False}
    transcript.fact("live", attempt=3, since=3)
    assert transcript.superseded() == {"out1": True, "out2": True, "out3": False, "other": False}


def test_output_of_what_a_superseded_attempt_began_is_superseded_with_it(transcript: Transcript) -> None:
    """However deep; what the next attempt began counts, and so does what names itself as above."""
    transcript.fact("live", attempt=1)
    for run, parent, attempt in (("own", "r", 1), ("deep", "own", 1), ("next", "r", 2), ("odd", "odd", 1)):
        transcript.fact("live", attempt=1, run=run, parent_run=parent, parent_attempt=attempt)
        transcript.output(f"out-{run}", 1, run=run)
    assert not any(transcript.superseded().values())
    transcript.fact("live", attempt=2, since=2)
    assert transcript.superseded() == {"out-own": True, "out-deep": True, "out-next": False, "out-odd": False}


def test_a_steer_is_consumed_whichever_attempt_took_it(transcript: Transcript) -> None:
    """The marks of all attempts count."""
    transcript.fact("live", attempt=1)
    for attempt in (1, 2):
        transcript.begin(attempt)
        transcript.replica.edit(
            lambda r, attempt=attempt: r.set((Root.RUNS, f"r_{attempt}", "consumed"), f"c{attempt}", attempt)  # type: ignore[misc]
        )
        transcript.views.touch([(Root.RUNS, f"r_{attempt}")])

    assert transcript.run().consumed == {"c1": 1, "c2": 2}


def test_views_are_read_again_only_where_something_changed(transcript: Transcript) -> None:
    """What was not touched is the very same object; after a reset all is there again."""
    transcript.fact("live", attempt=1)
    transcript.fact("queued", attempt=0, since=0, run="second")
    first, second = transcript.views.runs(transcript.replica)
    transcript.begin(1, status="completed")
    again, same = transcript.views.runs(transcript.replica)
    assert (again.status, same is second) == ("completed", True)
    transcript.views.reset()
    assert [view.id for view in transcript.views.runs(transcript.replica)] == [first.id, second.id]


def test_an_end_is_never_shown_without_its_reason(transcript: Transcript) -> None:
    """Receipts and entries arrive together and are told of one after the other: the first reads both."""
    transcript.fact("live", attempt=1)
    assert transcript.run().status == "running"
    put_attempt(transcript.replica, NewAttempt("r", 1, AGENT, 5))
    set_attempt(transcript.replica, "r", 1, {"status": "failed", "error": {"code": "c", "message": "m"}})
    transcript.fact("ended", attempt=1, status="failed")

    assert transcript.run().error == {"code": "c", "message": "m"}


def test_decisions_and_who_is_responsible_are_read_by_their_keys(transcript: Transcript) -> None:
    """Of several hand-overs the last one counts."""
    assert transcript.views.decision(transcript.replica, "r-1_0") is None
    assert transcript.views.responsible(transcript.replica) is None
    decision = {"command": "c", "by": "user:mona", "kind": "approve", "at": 1}
    transcript.receipt("d:r-1_0", decision)
    for number, to in enumerate(("agent:a", "user:theo")):
        transcript.receipt(f"a:{number}", {"to": to, "by": "user:mona", "at": 1, "command": "c"})

    assert transcript.views.decision(transcript.replica, "r-1_0") == decision
    assert (transcript.views.responsible(transcript.replica) or {})["to"] == "user:theo"


@pytest.mark.parametrize(
    "body", [5, {"status": 7, "usage": [], "consumed": "x", "error": 3, "started_at": "y", "task": 1}]
)
def test_what_others_wrote_badly_reads_without_harm(transcript: Transcript, body: Json) -> None:
    """An entry of odd fields is shown with what is usable."""
    value = SharedMap(body) if isinstance(body, dict) else body
    transcript.replica.edit(lambda r: r.set((Root.RUNS,), "r_1", value))
    transcript.fact("live", attempt=1)

    assert (transcript.run().status, transcript.run().usage, transcript.run().error) == ("running", {}, None)


def test_keys_name_their_runs() -> None:
    """Of entries, receipts and tool calls; ids may hold what separates them."""
    assert split_run_key("a_b_12") == ("a_b", 12)
    assert split_run_key("odd") == ("odd", 0)
    assert run_of_fact("r:a_b.0") == "a_b"
    assert run_of_fact("m:x") == ""
    assert run_of_call("a-b-1_0") == "a-b"
