"""RunWriter: what a run writes arrives in order, as one author's, and reads as it was written."""

from collections.abc import Callable

import pytest

from syncd.core.author import check_bytes, check_plan
from syncd.core.bindings import Bindings
from syncd.core.continuation import find_continuation
from syncd.core.document import Document
from syncd.core.errors import LocalProtocolError
from syncd.core.grant import MEMBER_RIGHTS
from syncd.core.limits import Limits
from syncd.core.messages import Layer
from syncd.core.replica import Replica
from syncd.core.run_view import RunViews
from syncd.core.run_writer import NewAttempt, PartPlace, RunWriter, put_attempt, set_attempt
from syncd.core.schema import NewMessage, Root
from syncd.core.shape import transcript_shape
from syncd.core.transcript import read_message
from syncd.core.update import EMPTY_UPDATE, Kind, encode_prefix

AGENT = "agent:planner"
CLIENT = (1 << 52) + 7


class Server:
    """Takes updates as a server does: by the author's rule and the shape rule, one after the other."""

    def __init__(self) -> None:
        limits = Limits()
        self.document = Document(transcript_shape(limits), limits)
        self.bindings = Bindings(ids_max=limits.client_ids_max)
        self.bindings.bind(AGENT, [CLIENT])
        self.continued = 0

    def take(self, update: bytes) -> None:
        if update == EMPTY_UPDATE:
            return
        self.continued += find_continuation(update, self.document.index) is not None
        decoded = self.document.decode(update)
        check_bytes(Layer.TRANSCRIPT, decoded, subject=AGENT, bindings=self.bindings)
        plan = self.document.plan(decoded)
        check_plan(plan, self.document.index, subject=AGENT, bindings=self.bindings, rights=MEMBER_RIGHTS)
        self.document.accept(plan)
        self.document.apply((update,), plan.ends)

    @property
    def replica(self) -> Replica:
        return self.document.replica


@pytest.fixture
def server() -> Server:
    return Server()


def small(clock: int = 0) -> Replica:
    replica = Replica({Root.MESSAGES: Kind.MAP, Root.RUNS: Kind.MAP}, client_id=CLIENT)
    replica.apply([encode_prefix(CLIENT, clock)])
    return replica


def attempt(number: int = 1) -> NewAttempt:
    return NewAttempt("r", number, AGENT, 5, message="m")


def answer(id: str, number: int = 1) -> NewMessage:
    return NewMessage(id, "assistant", {"kind": "agent", "name": "planner"}, run="r", attempt=number)


def test_all_that_a_run_writes_is_taken_by_the_rules(server: Server) -> None:
    """Texts, tool calls whose input and state change beside them, steers, two attempts, the end: nothing is refused."""
    writer = RunWriter(small(), "r")
    server.take(writer.begin(attempt()))
    server.take(writer.begin_message(answer("a")))
    server.take(writer.append("think", kind="reasoning"))
    server.take(writer.append("Take ", kind="text"))
    server.take(writer.finish())
    place, update = writer.add_part({"type": "tool", "tool_call": "r-1_0", "name": "book", "state": "input-streaming"})
    server.take(update)
    server.take(writer.append_input(place, '{"n":'))
    server.take(writer.append("the tram.", kind="text"))
    server.take(writer.append_input(place, " 1}"))
    server.take(writer.set_part(place, {"state": "input-available", "input": {"n": 1}}))
    server.take(writer.set({"status": "suspended"}))
    server.take(writer.consume(["c1", "c2"], 9))
    server.take(writer.begin(attempt(2)))
    server.take(writer.begin_message(answer("b", 2)))
    server.take(writer.append("Done.", kind="text"))
    server.take(writer.finish())
    server.take(writer.set({"status": "completed", "ended_at": 7}))

    first, second = read_message(server.replica, "a"), read_message(server.replica, "b")
    assert first is not None
    assert second is not None
    assert [(part["type"], part.get("text")) for part in first.parts] == [
        ("reasoning", "think"), ("text", "Take "), ("tool", None), ("text", "the tram."),
    ]  # fmt: skip
    tool = first.parts[2]
    assert (tool["raw_input"], tool["input"], tool["state"]) == ('{"n": 1}', {"n": 1}, "input-available")
    assert (second.text, second.run, second.attempt) == ("Done.", "r", 2)
    view = RunViews().run(server.replica, "r")
    assert view is not None
    assert (view.attempt, view.status, view.consumed) == (2, "completed", {"c1": 9, "c2": 9})


def test_a_token_costs_what_it_costs_in_a_plain_stream(server: Server) -> None:
    """Appending to a text, or to a tool's input, is a plain continuation: one struct that needs no plan."""
    writer = RunWriter(small(), "r")
    server.take(writer.begin(attempt()))
    server.take(writer.begin_message(answer("a")))
    server.take(writer.append("first", kind="text"))
    updates = [writer.append(f" token{n}", kind="text") for n in range(10)]
    place, update = writer.add_part({"type": "tool", "name": "x", "tool_call": "r-1_0", "state": "input-streaming"})
    inputs = [writer.append_input(place, f"{n}") for n in range(10)]
    for one in (*updates, update, *inputs):
        server.take(one)

    # The first of the inputs is no continuation: nothing was in that text before it.
    assert server.continued == 19
    assert max(map(len, (*updates, *inputs))) < 48


def test_it_goes_on_under_a_client_id_that_wrote_before(server: Server) -> None:
    """A client id of the pool has reached some clock: the small document begins behind it, and holds nothing of it."""
    first = RunWriter(small(), "r")
    server.take(first.begin(attempt()))
    clock = server.document.index.state[CLIENT]
    second = RunWriter(small(clock), "other")
    server.take(second.begin(NewAttempt("other", 1, AGENT, 5)))
    server.take(second.set({"status": "completed"}))

    assert server.replica.read(Root.RUNS, "other_1", "status") == "completed"


def test_an_attempt_is_begun_once() -> None:
    """And only what was begun can be changed."""
    replica = small()
    put_attempt(replica, attempt())
    with pytest.raises(LocalProtocolError, match="begun already"):
        put_attempt(replica, attempt())
    with pytest.raises(LocalProtocolError, match="not begun here"):
        set_attempt(replica, "r", 2, {"status": "completed"})


@pytest.mark.parametrize(
    "bad",
    [
        lambda w: w.begin(NewAttempt("r" * 49, 1, AGENT, 5)),
        lambda w: w.begin(NewAttempt("r", 0, AGENT, 5)),
        lambda w: w.begin(NewAttempt("r", 2, "user:mona", 5)),
        lambda w: w.begin(NewAttempt("r", 2, AGENT, 5, message="not an id")),
        lambda w: w.begin(NewAttempt("r", 2, AGENT, 5, task="\ud800")),
        lambda w: w.set({"status": "paused"}),
        lambda w: w.set({"usage": {"n": float("nan")}}),
        lambda w: w.add_part({"type": "tool", "input": {1: 2}}),
        lambda w: w.append("\ud800", kind="text"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused_before_it_is_written(
    server: Server, bad: Callable[[RunWriter], object]
) -> None:
    """The writer goes on afterwards as if it had not been asked."""
    writer = RunWriter(small(), "r")
    server.take(writer.begin(attempt()))
    server.take(writer.begin_message(answer("a")))
    with pytest.raises(LocalProtocolError):
        bad(writer)
    server.take(writer.append("fine", kind="text"))

    found = read_message(server.replica, "a")
    assert found is not None
    assert found.text == "fine"


def test_parts_need_a_message() -> None:
    """A text before any message was begun has no place; so has none after a new attempt began."""
    writer = RunWriter(small(), "r")
    writer.begin(attempt())
    with pytest.raises(LocalProtocolError, match="begin_message"):
        writer.append("x", kind="text")
    writer.begin_message(answer("a"))
    writer.append("x", kind="text")
    assert writer.open_place == PartPlace("a", 0)
    writer.begin(attempt(2))
    assert [writer.message, writer.open_place] == [None, None]
    assert writer.finish() == EMPTY_UPDATE
