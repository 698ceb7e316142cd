"""Summary: what events make of a session in a list."""

import pytest

from syncd.core.codec import pack, unpack
from syncd.core.events import Event
from syncd.core.ids import is_person
from syncd.core.listing import Summary, called, joins, shorten
from syncd.core.messages import Json

ANN, BOB, PLANNER = "user:ann", "user:bob", "agent:planner"


def event(type: str, by: str = ANN, **body: Json) -> Event:
    """An event as the machine makes it."""
    return Event(f"{type}.{body}", type, 1_000, by, body)


def message(seq: int, text: str = "hi", by: str = ANN, **body: Json) -> Event:
    """A message that was written."""
    body = {"message": f"m{seq}", "role": "user", "to": [], "seq": seq, "text": text, **body}
    return event("message.created", by, **body)


def run(type: str, id: str = "r1", agent: str = PLANNER, **body: Json) -> Event:
    """A fact of a run."""
    return event(f"run.{type}", agent, run=id, agent=agent, attempt=1, **body)


def told(*events: Event) -> Summary:
    """What these make."""
    summary = Summary()
    for found in events:
        summary.take(found)
    return summary


def test_the_last_message_is_shown() -> None:
    """As one line, cut; what a model is told, or asked to make again, is not shown."""
    summary = told(message(1), message(2, "a\n\n b" + "c" * 500, BOB), message(3, "be brief", role="system"))
    assert (summary.seq, summary.message, summary.by) == (3, "m2", BOB)
    assert summary.excerpt.startswith("a bccc")
    assert summary.excerpt.endswith("…")
    assert len(summary.excerpt) == 140


def test_a_session_is_called_what_it_began_with_until_it_is_named() -> None:
    """The first line that a person wrote: not an agent's, not what a model is told."""
    summary = told(
        message(1, "be brief", role="system"),
        message(2, "Hello!", PLANNER),
        message(3, ""),
        message(4, "\n Lisbon?\nor"),
    )
    summary.take(message(5, "Porto", BOB))
    assert summary.name == "Lisbon?"
    summary.title = "Trip"
    assert summary.name == "Trip"


def test_agents_run_until_their_last_run_is_over() -> None:
    """Of several runs of one agent the busiest is shown."""
    summary = told(run("queued"), run("queued", "r2"), run("started"), run("queued", "r3", "agent:cook"))
    assert summary.running() == {PLANNER: "live", "agent:cook": "queued"}
    summary.take(run("suspended"))
    assert summary.running()[PLANNER] == "suspended"
    summary.take(run("ended", status="completed"))
    assert summary.running() == {PLANNER: "queued", "agent:cook": "queued"}
    summary.take(run("ended", "r2", status="failed"))
    assert summary.running() == {"agent:cook": "queued"}


def test_an_approval_needs_whoever_is_responsible() -> None:
    """All who take part, while that is nobody or an agent; until it is decided, or its run is over."""
    asked = event("approval.requested", PLANNER, run="r1", message="m1", tool_call="r1-0", name="book")
    summary = told(message(1), run("started"), asked)
    assert summary.needs(ANN, 1) == summary.needs(BOB, 1) == ("approval",)
    summary.take(event("session.assigned", ANN, to=BOB, command="c1"))
    assert summary.needs(ANN, 1) == ()
    assert "approval" in summary.needs(BOB, 1)
    summary.take(event("session.assigned", BOB, to=PLANNER, command="c2"))
    assert summary.needs(ANN, 1) == ("approval",)
    decided = told(message(1), run("started"), asked, event("tool.decided", ANN, tool_call="r1-0", kind="approve"))
    ended = told(message(1), run("started"), asked, run("ended", status="cancelled"))
    assert decided.needs(ANN, 1) == ended.needs(ANN, 1) == ()


def test_a_hand_over_needs_its_heir_until_it_is_read() -> None:
    """Who takes a session over by their own hand needs no telling."""
    command = event("command.decided", ANN, command="c", kind="handoff", target="s", seq=4, outcome="accepted")
    summary = told(command, event("session.assigned", ANN, to=BOB, command="c"))
    assert (summary.needs(BOB, 3), summary.needs(BOB, 4), summary.needs(ANN, 0)) == (("handover",), (), ())
    own = told(command, event("session.assigned", ANN, to=ANN, command="c"))
    assert own.needs(ANN, 0) == ()


def test_who_takes_part() -> None:
    """Writers from where they wrote on, those addressed from before; readers as far as they read; agents never."""
    assert joins(message(7, to=[BOB, PLANNER]), 7) == {ANN: 7, BOB: 6}
    assert joins(message(7, by=PLANNER), 7) == {}
    assert len(joins(message(7, by=PLANNER, to=[f"user:{n}" for n in range(9_000)]), 7)) == 64
    assert joins(event("read.moved", ANN, subject=ANN, seq=5), 7) == {ANN: 5}
    assert joins(event("read.moved", PLANNER, subject=PLANNER, seq=5), 7) == {}
    assert joins(event("session.assigned", ANN, to=BOB, command="c"), 7) == {BOB: 6}
    assert joins(event("session.assigned", ANN, to=PLANNER, command="c"), 7) == {}
    assert joins(run("started"), 7) == {}
    assert is_person(ANN)
    assert not any(is_person(subject) for subject in (PLANNER, "service:crm", "server:", ""))


def test_a_summary_survives_the_store() -> None:
    """All of it, and fields that a later version adds at the end."""
    summary = told(message(1), run("started"), event("session.assigned", ANN, to=BOB, command="c"))
    summary.title, summary.tags = "Trip", ("a", "b")
    summary.take(event("approval.requested", PLANNER, run="r1", message="m1", tool_call="r1-0", name="book"))
    assert Summary.decode(unpack(pack([*summary.encode(), "later"]))) == summary


def test_what_is_told_of_a_session_is_bounded() -> None:
    """An agent that begins a thousand runs does not make each event cost a thousand."""
    summary = told(*[run("queued", f"r{number}") for number in range(1_000)])
    asked = [
        event("approval.requested", PLANNER, run="r1", message="m", tool_call=f"r1-{n}", name="x") for n in range(1_000)
    ]
    for found in asked:
        summary.take(found)
    assert (len(summary.runs), len(summary.waiting)) == (100, 100)


@pytest.mark.parametrize(
    ("value", "title", "tags"),
    [
        (None, "", ()),
        ([], "", ()),
        ({}, "", ()),
        ({"title": " A  trip\n", "tags": ["x", "y", "x", "", 7, " "]}, "A trip", ("x", "y")),
        ({"title": 7, "tags": "x"}, "", ()),
        ({"title": "t" * 999, "tags": [f"tag {n}" for n in range(99)]}, "t" * 199 + "…", None),
    ],
)
def test_what_a_session_is_called(value: Json, title: str, tags: tuple[str, ...] | None) -> None:
    """Anybody may write anything into the state: what is no title and no tags is none."""
    found = called(value)
    assert found[0] == title
    assert len(found[1]) == 20 if tags is None else found[1] == tags


def test_a_text_is_shortened_by_characters() -> None:
    """And a long one is not walked to its end."""
    assert shorten("a\u2028b\tc", 140) == "a b c"
    assert shorten("x" * 141, 140) == "x" * 139 + "…"
    assert shorten(" " * 10_000_000, 140) == ""
