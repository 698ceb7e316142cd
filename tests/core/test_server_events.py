"""ServerMachine: the events that a turn tells of, committed with the facts they are about."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.core.events import EVENT_TYPES, Event, event_id
from syncd.core.replica import SharedList, SharedMap, SharedText
from syncd.core.schema import NewCommand, Root
from syncd.core.transcript import put_command
from tests.core.test_server_runs import AGENT, RUN, Scene, agent

CALL = f"{RUN}-1"


def told(scene: Scene, *types: str) -> list[dict[str, Any]]:
    """What was told, only of these types if there are any: type, who caused it, and the body."""
    return [
        {"type": event.type, "by": event.by, **event.body}
        for event in scene.server.events
        if not types or event.type in types
    ]


def tool(state: str, *, call: str = CALL, name: str = "book") -> SharedMap:
    return SharedMap(id="1", type="tool", name=name, tool_call=call, state=state, input={"hotel": "Mundial"})


def answer(scene: Scene, *parts: SharedMap, id: str = "a1", run: str = RUN) -> bytes:
    body = SharedMap(role="assistant", author={}, created_at=1, run=run, attempt=1, parts=SharedList(parts))
    return scene.pens["w1"].transcript_edit(lambda r: r.set((Root.MESSAGES,), id, body))


def lose(scene: Scene) -> None:
    """The worker goes, for longer than the grace."""
    scene.server.machine.detach("w1")
    scene.server.turn()
    scene.server.now += scene.server.limits.lease_grace_s + 1
    scene.server.turn()


@pytest.fixture
def scene() -> Scene:
    """A run that its worker has begun."""
    scene = Scene()
    scene.post()
    scene.join("w1", agent(), worker="w1")
    scene.claim("w1")
    scene.push("w1", scene.begin("w1"))
    scene.server.turn()
    return scene


def test_a_message_and_the_work_that_it_makes_are_told_of_in_order() -> None:
    """With who wrote it, to whom, its place and the beginning of its text, in the commit that holds it."""
    scene = Scene()
    scene.post()
    assert told(scene) == [
        {"type": "message.created", "by": "user:ann", "message": "m1", "role": "user", "to": [AGENT], "seq": 1,
         "text": "go"},
        {"type": "run.queued", "by": "user:ann", "run": RUN, "agent": AGENT, "attempt": 0, "message": "m1"},
    ]  # fmt: skip
    assert [event.key for event in scene.server.events] == ["m:m1", f"r:{RUN}.0"]


def test_of_a_long_text_the_beginning_is_told() -> None:
    """280 characters, joined over a message's parts; what is written into it later is not told of."""
    scene = Scene()
    pen = scene.pens["ann"]
    parts = SharedList([SharedMap(id=str(n), type="text", text=SharedText("ä" * 200)) for n in range(3)])
    body = SharedMap(role="user", author={}, created_at=1, parts=parts)
    scene.push("ann", pen.transcript_edit(lambda r: r.set((Root.MESSAGES,), "long", body)))
    scene.server.turn()
    scene.push("ann", pen.transcript_edit(lambda r: r.text_append((Root.MESSAGES, "long", "parts", 0, "text"), "more")))
    scene.server.turn()
    assert [event["text"] for event in told(scene)] == ["ä" * 280]


def test_a_token_tells_of_nothing(scene: Scene) -> None:
    """An answer is told of when it is begun; writing on in it is no event, whatever its author."""
    text = SharedMap(id="0", type="text", text=SharedText("One "))
    scene.push("w1", answer(scene, text))
    scene.server.turn()
    before = len(scene.server.events)
    path = (Root.MESSAGES, "a1", "parts", 0, "text")
    for _ in range(2):
        scene.push("w1", scene.pens["w1"].transcript_edit(lambda r: r.text_append(path, "more ")))
        scene.server.turn()
    assert len(scene.server.events) == before
    assert told(scene, "message.created")[-1]["run"] == RUN


def test_a_run_is_told_of_from_its_beginning_to_its_end(scene: Scene) -> None:
    """Each change of its lease once: queued, started, suspended, resumed, ended with how."""
    for status in ("suspended", "running", "completed"):
        scene.push("w1", scene.status("w1", status))
        scene.server.turn()
    assert [event["type"] for event in told(scene)[1:]] == [
        "run.queued",
        "run.started",
        "run.suspended",
        "run.resumed",
        "run.ended",
    ]
    assert told(scene, "run.ended") == [
        {"type": "run.ended", "by": AGENT, "run": RUN, "agent": AGENT, "attempt": 1, "message": "m1",
         "status": "completed"}
    ]  # fmt: skip


def test_a_lost_worker_is_told_of_and_the_next_attempt_is_a_start(scene: Scene) -> None:
    """The server is who says it; the run waits again, and whoever takes it over starts it anew."""
    lose(scene)
    scene.join("w2", agent(), worker="w2")
    scene.claim("w2")
    assert [(event["type"], event["by"], event["attempt"]) for event in told(scene)[3:]] == [
        ("run.interrupted", "server:", 1),
        ("run.queued", AGENT, 1),
        ("run.started", AGENT, 2),
    ]


def test_a_worker_that_is_back_resumes(scene: Scene) -> None:
    """Offered again in the meantime or not, it is no second start."""
    lose(scene)
    scene.join("w1", agent(), worker="w1")
    assert told(scene)[-1] == {
        "type": "run.resumed", "by": AGENT, "run": RUN, "agent": AGENT, "attempt": 1, "message": "m1",
    }  # fmt: skip


def test_a_cancel_is_told_of_by_its_command_and_by_the_end(scene: Scene) -> None:
    """The end says who cancelled; that its worker was told is no event of the run."""
    scene.command("stop", "cancel", run=RUN)
    scene.push("w1", scene.status("w1", "cancelled"))
    scene.server.turn()
    assert told(scene)[3:] == [
        {"type": "command.decided", "by": "user:ann", "command": "stop", "kind": "cancel", "target": RUN, "seq": 2,
         "outcome": "accepted"},
        {"type": "run.ended", "by": "user:ann", "run": RUN, "agent": AGENT, "attempt": 1, "message": "m1",
         "status": "cancelled"},
    ]  # fmt: skip


@pytest.mark.parametrize("how", ["at once", "later", "later in one push", "after a restart"])
def test_a_tool_call_that_waits_for_a_yes_is_told_of(scene: Scene, how: str) -> None:
    """Which call and what tool, whether the part came with that state or was given it later; then the decision."""
    asks = scene.pens["w1"].transcript_edit
    path = (Root.MESSAGES, "a1", "parts", 0)
    if how == "at once":
        scene.push("w1", answer(scene, tool("approval-requested")))
    else:
        begun = answer(scene, tool("input-streaming"))
        later = asks(lambda r: r.set(path, "state", "approval-requested"))
        if how == "later in one push":
            scene.push("w1", begun, later)
        else:
            scene.push("w1", begun)
            scene.server.turn()
            if how == "after a restart":
                pens = scene.pens
                scene = Scene(server=scene.server.reloaded())
                scene.pens |= {"w1": pens["w1"]}
                scene.join("w1", agent(), worker="w1")
            scene.push("w1", later)
    scene.server.turn()
    assert told(scene, "approval.requested") == [
        {"type": "approval.requested", "by": AGENT, "run": RUN, "message": "a1", "tool_call": CALL, "name": "book"}
    ]
    scene.command("yes", "approve", tool_call=CALL)
    assert told(scene, "tool.decided", "command.decided") == [
        {"type": "command.decided", "by": "user:ann", "command": "yes", "kind": "approve", "target": CALL,
         "seq": 3, "outcome": "accepted"},
        {"type": "tool.decided", "by": "user:ann", "tool_call": CALL, "kind": "approve", "command": "yes"},
    ]  # fmt: skip


def test_nobody_asks_in_the_name_of_anothers_run(scene: Scene) -> None:
    """A person's message with a part that says so, of an agent's call, is no request for approval."""
    body = SharedMap(role="user", author={}, created_at=1, parts=SharedList([tool("approval-requested")]))
    scene.push("ann", scene.pens["ann"].transcript_edit(lambda r: r.set((Root.MESSAGES,), "x", body)))
    scene.server.turn()
    assert told(scene, "approval.requested") == []
    scene.command("yes", "approve", tool_call=CALL)
    assert told(scene, "command.decided")[-1]["outcome"] == "denied"


def test_a_yes_may_come_in_the_turn_of_its_call(scene: Scene) -> None:
    """What a device saw it may decide: its command counts, though the call is committed together with it."""
    yes = put_command(scene.pens["ann"].transcript, NewCommand("yes", "approve", 1, {"tool_call": CALL}))
    scene.push("ann", yes)
    scene.push("w1", answer(scene, tool("approval-requested")))
    scene.server.turn()
    assert told(scene, "command.decided")[-1]["outcome"] == "accepted"


def test_a_hand_over_is_told_of(scene: Scene) -> None:
    """Who is responsible now, and who said so."""
    value = {"kind": "handoff", "session": "s", "at": 1, "payload": {"to": "user:bob", "note": "n"}}
    scene.push("ann", scene.pens["ann"].transcript_edit(lambda r: r.set((Root.COMMANDS,), "over", value)))
    scene.server.turn()
    assert told(scene, "session.assigned") == [
        {"type": "session.assigned", "by": "user:ann", "to": "user:bob", "note": "n", "command": "over"}
    ]


def test_reading_on_is_told_of() -> None:
    """Each time its place moves; a place that is no number is none."""
    scene = Scene()
    read = scene.pens["ann"].transcript_edit
    for value in ({"seq": 1, "at": 1}, {"seq": 7.0, "at": 2}, "far", {"seq": "x"}):
        scene.push("ann", read(lambda r, value=value: r.set((Root.READS,), "user:ann", value)))  # type: ignore[misc]
        scene.server.turn()
    assert told(scene) == [
        {"type": "read.moved", "by": "user:ann", "subject": "user:ann", "seq": seq} for seq in (1, 7)
    ]


def test_a_command_that_is_no_command_is_told_of_as_denied() -> None:
    """Whatever its author wrote: the event has the same shape."""
    scene = Scene()
    scene.push("ann", scene.pens["ann"].transcript_edit(lambda r: r.set((Root.COMMANDS,), "c", ["nonsense"])))
    scene.server.turn()
    assert told(scene) == [
        {"type": "command.decided", "by": "user:ann", "command": "c", "kind": "", "target": "", "seq": 1,
         "outcome": "denied"}
    ]  # fmt: skip


def test_no_event_is_told_twice_by_a_server_that_comes_back(scene: Scene) -> None:
    """A machine that is loaded from the log tells of nothing that is in it, and its keys go on."""
    again = Scene(server=scene.server.reloaded())
    assert again.server.events == []
    again.pens |= {"w1": scene.pens["w1"]}
    again.join("w1", agent(), worker="w1")
    again.push("w1", again.status("w1", "completed"))
    again.server.turn()
    assert [event.key for event in again.server.events] == [f"r:{RUN}.2"]


def test_an_events_id_is_the_same_whoever_derives_it() -> None:
    """It follows from the session's incarnation and the event's key, and from nothing else."""
    assert event_id("i", "m:1") == event_id("i", "m:1") != event_id("j", "m:1")
    assert event_id("i", "m:1").startswith("evt_")
    assert len(event_id("i", "m:1")) == 36


def test_every_type_that_is_told_is_declared(scene: Scene) -> None:
    """What readers may rely on is a closed list."""
    scene.command("stop", "cancel", run=RUN)
    assert {event.type for event in scene.server.events} <= set(EVENT_TYPES)
    assert all(isinstance(event, Event) and event.at_ms == 1_000 for event in scene.server.events)
