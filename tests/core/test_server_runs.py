"""ServerMachine: what it reads of runs from updates, and the receipts that come of it."""

from __future__ import annotations

from typing import Any

import pytest

from syncd.core.grant import MEMBER_RIGHTS, Grant
from syncd.core.ids import own_run_id, run_id, run_key
from syncd.core.limits import Limits
from syncd.core.messages import Claim, Layer
from syncd.core.replica import Replica, SharedMap, merge
from syncd.core.schema import NewCommand, NewMessage, Root, text_part
from syncd.core.transcript import put_command, put_message
from syncd.core.update import Kind
from tests.core.answers import codes, receipts
from tests.core.machines import SESSION, Pen, Server, fresh_id

AGENT = "agent:planner"
RUN = run_id("m1", AGENT)


def agent(name: str = "planner") -> Grant:
    return Grant(f"agent:{name}", name, "agent", (("*", MEMBER_RIGHTS),))


class Scene:
    """A session with a person `ann` and workers, each with a pen; pushes are numbered by themselves."""

    def __init__(self, limits: Limits | None = None, server: Server | None = None) -> None:
        self.server = server or Server(limits)
        self.numbers: dict[str, int] = {}
        self.pens: dict[str, Pen] = {}
        self.join("ann")

    def join(self, peer: str, grant: Grant | None = None, *, worker: str = "") -> Pen:
        self.server.attach(peer, grant=grant, worker=worker)
        self.server.turn()
        self.numbers[peer] = 0
        return self.pens.setdefault(peer, Pen())

    def push(self, peer: str, *updates: bytes) -> None:
        self.numbers[peer] += 1
        self.server.push(peer, self.numbers[peer], merge(list(updates)))

    def post(self, id: str = "m1", *, to: tuple[str, ...] = (AGENT,), expires_at: int | None = None) -> None:
        message = NewMessage(
            id, "user", {"kind": "user", "name": "ann"}, (text_part("go"),), to=to, expires_at=expires_at
        )
        self.push("ann", put_message(self.pens["ann"].transcript, message))
        self.server.turn()

    def begin(self, peer: str, run: str = RUN, attempt: int = 1, **more: Any) -> bytes:
        body = SharedMap({"run": run, "attempt": attempt, "agent": AGENT, "status": "running", **more})
        return self.pens[peer].transcript_edit(lambda r: r.set((Root.RUNS,), run_key(run, attempt), body))

    def status(self, peer: str, status: str, run: str = RUN, attempt: int = 1) -> bytes:
        path = (Root.RUNS, run_key(run, attempt))
        return self.pens[peer].transcript_edit(lambda r: r.set(path, "status", status))

    def claim(self, peer: str, run: str = RUN) -> None:
        self.server.machine.receive(peer, Claim(SESSION, run, "retry", 3))
        self.server.turn()

    def command(self, id: str, kind: str, **target: str) -> None:
        update = put_command(self.pens["ann"].transcript, NewCommand(id, kind, 1, target))
        self.push("ann", update)
        self.server.turn()

    def leases(self, run: str = RUN) -> list[Any]:
        found = receipts(self.server)
        return [found[key]["lease"] for n in range(100) if (key := f"r:{run}.{n}") in found]


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.post()
    scene.join("w1", agent(), worker="w1")
    return scene


def test_work_is_in_the_commit_of_the_message_that_makes_it() -> None:
    """Receipt, work and message are one append; the store is told which runs moved."""
    scene = Scene()
    update = put_message(
        scene.pens["ann"].transcript, NewMessage("m1", "user", {"kind": "user", "name": "ann"}, to=(AGENT, "user:bob"))
    )
    scene.push("ann", update)
    ready = scene.server.ready()
    assert ready is not None
    [row] = ready.work
    assert (row.agent, row.session, row.run, row.message, row.lease) == (AGENT, SESSION, RUN, "m1", "queued")
    scene.server.commit(ready)
    assert Scene(server=Server(disk=scene.server.disk)).leases() == ["queued"]


def test_a_run_is_claimed_written_and_ended(scene: Scene) -> None:
    """The end is a receipt in the commit of the status that says it."""
    scene.claim("w1")
    scene.push("w1", scene.begin("w1"))
    scene.server.turn()
    assert scene.leases() == ["queued", "live"]
    scene.push("w1", scene.status("w1", "suspended"))
    scene.server.turn()
    scene.push("w1", scene.status("w1", "running"), scene.status("w1", "completed"))
    scene.server.turn()
    assert scene.leases() == ["queued", "live", "suspended", "live", "ended"]
    assert receipts(scene.server)[f"r:{RUN}.4"]["status"] == "completed"


@pytest.mark.parametrize("through_a_document", [False, True])
def test_a_run_that_was_begun_and_ended_offline_is_seen_whole(scene: Scene, through_a_document: bool) -> None:
    """However its updates were put together: the last status counts."""
    updates = [scene.begin("w1", "own"), scene.status("w1", "suspended", "own"), scene.status("w1", "failed", "own")]
    if through_a_document:
        whole = Replica(dict.fromkeys(map(str, Root), Kind.MAP), client_id=fresh_id())
        whole.apply(updates)
        updates = [whole.diff()]
    scene.push("w1", *updates)
    scene.server.turn()
    assert scene.leases("own")[-1] == "ended"
    assert receipts(scene.server)[f"r:own.{len(scene.leases('own')) - 1}"]["status"] == "failed"


def test_nobody_else_begins_claims_or_ends_a_run(scene: Scene) -> None:
    """Not under the key of its next attempt either, which would lock its agent out."""
    scene.join("thief", agent("thief"), worker="w9")
    scene.claim("thief")
    scene.push("thief", scene.begin("thief"))
    scene.pens["thief"] = Pen()
    scene.push("thief", scene.begin("thief", attempt=2))
    scene.server.turn()
    assert codes(scene.server.got("thief")) == ["foreign_entry", "foreign_entry"]
    assert scene.leases() == ["queued"]
    scene.claim("w1")
    scene.push("w1", scene.begin("w1"))
    scene.server.turn()
    assert scene.leases() == ["queued", "live"]


def test_nobody_begins_what_is_anothers_to_be(scene: Scene) -> None:
    """An id that follows from a message and an agent, or from another agent's key, cannot be taken beforehand."""
    own, others = own_run_id("nightly", AGENT), own_run_id("nightly", "agent:thief")
    scene.join("thief", agent("thief"), worker="w9")
    for taken in (run_id("m1", "agent:other"), run_id("m7", "agent:thief"), own):
        scene.push("thief", scene.begin("thief", taken))
        scene.pens["thief"] = Pen()
    scene.push("thief", scene.begin("thief", others))
    scene.push("w1", scene.begin("w1", own))
    scene.server.turn()
    assert codes(scene.server.got("thief")) == ["foreign_entry"] * 3
    assert (scene.leases(own), scene.leases(others)) == (["live"], ["live"])


def test_without_a_worker_nothing_is_claimed(scene: Scene) -> None:
    """A peer inside the server that only writes holds no leases."""
    scene.join("quiet", agent())
    scene.claim("quiet")
    assert scene.leases() == ["queued"]


def test_lease_grace_s_passes_after_the_worker_left() -> None:
    """`lease_grace_s`: the machine says when it is due, and a restart counts it anew."""
    scene = Scene(Limits(lease_grace_s=5.0))
    scene.post()
    scene.join("w1", agent(), worker="w1")
    scene.claim("w1")
    scene.server.now = 100.0
    scene.server.machine.detach("w1")
    scene.server.turn()
    assert scene.server.machine.due_at() == 105.0
    again = Server(Limits(lease_grace_s=5.0), disk=scene.server.disk)
    assert again.machine.due_at() is not None
    for server, now in ((scene.server, 104.9), (again, 0.0), (again, 4.9)):
        server.now = now
        server.turn()
        assert f"r:{RUN}.2" not in receipts(server)
    for server, now in ((scene.server, 105.0), (again, 5.0)):
        server.now = now
        server.turn()
        found = receipts(server)
        assert [found[f"r:{RUN}.{n}"]["lease"] for n in (2, 3)] == ["interrupted", "queued"]
        assert not server.machine.pending()


def test_commands_have_their_outcome_in_their_own_commit(scene: Scene) -> None:
    """A cancel by message ends what waits; the same again is late."""
    scene.command("c1", "cancel", message="m1")
    scene.command("c2", "cancel", run=RUN)
    found = receipts(scene.server)
    assert [found[f"c:c{n}"]["outcome"] for n in (1, 2)] == ["accepted", "late"]
    assert scene.leases() == ["queued", "ended"]
    assert [found[f"c:c{n}"]["seq"] for n in (1, 2)] == [2, 3]


def test_a_time_above_2_to_the_31_is_read_as_written() -> None:
    """Yjs writes milliseconds as a float."""
    scene = Scene()
    scene.post(expires_at=1_900_000_000_000)
    assert receipts(scene.server)[f"r:{RUN}.0"]["expires_at"] == 1_900_000_000_000


def test_what_is_no_attempt_decides_nothing(scene: Scene) -> None:
    """Entries that are no attempt are content like any other, whatever they say; a first attempt is by its key."""
    pen = scene.pens["w1"]
    for key, body in (
        ("x", {"run": "y", "attempt": 1}),
        ("z_0", {"run": "z", "attempt": 0}),
        ("free", {"status": 5}),
    ):
        scene.push("w1", pen.transcript_edit(lambda r, k=key, b=body: r.set((Root.RUNS,), k, SharedMap(b))))  # type: ignore[misc]
        scene.push("w1", pen.transcript_edit(lambda r, k=key: r.set((Root.RUNS, k), "status", "completed")))  # type: ignore[misc]
    scene.server.turn()
    assert codes(scene.server.got("w1")) == []
    assert {key for key in receipts(scene.server) if key.startswith("r:")} == {f"r:{RUN}.0"}


@pytest.mark.parametrize("key", ["v_2", f"{'v' * 49}_1", "_1"])
def test_an_attempt_of_no_run_is_refused(scene: Scene, key: str) -> None:
    """Without a fact, readers would have to believe what it says of its agent."""
    body = SharedMap({"run": "v", "attempt": 1, "agent": AGENT})
    scene.push("w1", scene.pens["w1"].transcript_edit(lambda r: r.set((Root.RUNS,), key, body)))
    scene.server.turn()
    assert codes(scene.server.got("w1")) == ["foreign_entry"]


def test_readers_see_the_receipts_of_time(scene: Scene) -> None:
    """An interruption is sent to everybody, though nobody pushed anything."""
    scene.claim("w1")
    scene.server.sent.clear()
    scene.server.machine.detach("w1")
    scene.server.now += 1.0
    scene.server.turn()
    scene.server.now += 15.0
    scene.server.turn()
    layers = [message.layer for message in scene.server.got("ann") if hasattr(message, "layer")]
    assert layers == [Layer.TRANSCRIPT]
