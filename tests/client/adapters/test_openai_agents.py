"""OpenAI Agents: its events from its own scripted model, and its `Session` over a real syncd session."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.memory import Session as AgentsSession
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import Response, ResponseCompletedEvent
from syncd_client import Client, Session
from syncd_client.adapters import SyncdSession, recognise
from syncd_client.adapters.pieces import (
    Data,
    Finish,
    Step,
    Text,
    ToolApproval,
    ToolInput,
    ToolInputDelta,
    ToolInputStart,
    ToolOutput,
)

from syncd.server.app import Server
from tests.client.adapters.stub import pieces_of
from tests.harness import PATIENCE_S, mint, until

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_tracing() -> None:
    """Traces would be sent to a server of the library's maker."""
    set_tracing_disabled(True)


@function_tool
def weather(city: str) -> str:
    return f"Sun in {city}."


@function_tool(needs_approval=True)
def book(city: str) -> str:
    return f"Booked {city}."


def told(pieces: list[Any]) -> list[Any]:
    kinds = Step | Text | ToolInputStart | ToolInputDelta | ToolInput | ToolOutput | Finish | Data
    return [piece for piece in pieces if isinstance(piece, kinds)]


def travel(*steps: Any, name: str = "travel", **more: Any) -> Agent[None]:
    return Agent(name=name, model=ScriptedModel(steps), tools=[weather, book], **more)


ASK = function_call("weather", {"city": "Lisbon"}, call_id="t1")
ANSWER = assistant_message("Take the tram.")


# Events


async def test_a_run_with_a_tool_is_heard() -> None:
    """Numbers of events and ids of messages start anew with each model call: parts of two calls do not mix."""
    result = Runner.run_streamed(travel([ASK], [assistant_message("One."), ANSWER]), "Where to?")

    assert told(await pieces_of(result)) == [
        Step(),
        ToolInputStart("t1", "weather"),
        ToolInputDelta("t1", '{"city":"Lisbon"}'),
        ToolInput("t1", "weather", {"city": "Lisbon"}),
        Finish("tool-calls"),
        ToolOutput("t1", "Sun in Lisbon."),
        Step(),
        Text("One."),
        Text("Take the tram."),
        Finish("stop"),
    ]


async def test_the_events_alone_are_understood() -> None:
    """`stream_events()` gives the same as the result itself, which stays the caller's to read."""
    result = Runner.run_streamed(travel([ANSWER]), "q")

    assert told(await pieces_of(result.stream_events())) == [Step(), Text("Take the tram."), Finish("stop")]
    assert result.final_output == "Take the tram."


async def test_what_a_model_says_at_once_is_heard() -> None:
    """A model that does not stream raises no events but its end: its words come with the item, once."""

    def completed(text: str) -> ModelStep:
        response = Response(
            id="r1", created_at=0, model="m", object="response", output=[assistant_message(text)],
            parallel_tool_calls=False, tool_choice="auto", tools=[],
        )  # fmt: skip
        return ModelStep.stream([ResponseCompletedEvent(response=response, sequence_number=0, type=_COMPLETED)])

    model = ScriptedModel([[assistant_message("One."), ASK], completed("Two.")])

    pieces = await pieces_of(Runner.run_streamed(Agent(name="travel", model=model, tools=[weather]), "q"))

    assert [p for p in pieces if isinstance(p, Text)] == [Text("One."), Text("Two.")]


_COMPLETED: Final = "response.completed"


async def test_a_handoff_is_a_call_and_names_the_other_agent() -> None:
    """Who goes on is told; who was asked first is known already."""
    other = travel([ANSWER], name="trams")
    go = function_call("transfer_to_trams", {}, call_id="h1")

    pieces = told(await pieces_of(Runner.run_streamed(travel([go], handoffs=[other]), "q")))

    assert [p for p in pieces if isinstance(p, Data)] == [Data("agent", {"name": "trams"})]
    assert ToolInput("h1", "transfer_to_trams", {}) in pieces
    assert ToolOutput("h1", '{"assistant": "trams"}') in pieces


async def test_an_approval_is_told_by_the_result() -> None:
    """The events end without a word of it: it comes behind them. The approved run tells the call's result alone."""
    ask = function_call("book", {"city": "Lisbon"}, call_id="t1")
    agent = travel([ask], [ANSWER])
    result = Runner.run_streamed(agent, "q")
    *_, approval, _ = await pieces_of(result)

    state = result.to_state()
    state.approve(result.interruptions[0])
    after = told(await pieces_of(Runner.run_streamed(agent, state)))

    assert approval == ToolApproval("t1", {"name": "book", "args": {"city": "Lisbon"}}, resume="t1")
    assert after[0] == ToolOutput("t1", "Booked Lisbon.")


async def test_closing_stops_the_model() -> None:
    """Closing the pieces cancels the run; its events, closed alone, would wait for the model."""
    left = asyncio.Event()
    beginning = ScriptedModel([[ANSWER]])

    async def endless(call: ModelCall) -> AsyncIterator[Any]:
        try:
            async for event in beginning.stream_response(
                None, "q", call.model_settings, [], None, [], call.tracing,
                previous_response_id=None, conversation_id=None, prompt=None,
            ):  # fmt: skip
                yield event
                if event.type == "response.output_text.delta":
                    await asyncio.Event().wait()
        finally:
            left.set()

    result = Runner.run_streamed(travel(ModelStep.stream(endless)), "q")
    async with asyncio.timeout(PATIENCE_S), aclosing(recognise(result)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Text):
                break
    async with asyncio.timeout(PATIENCE_S):
        await left.wait()


# Session


@pytest.fixture
async def session(tmp_path: Path) -> AsyncIterator[Session]:
    """A session with no server in reach."""
    async with Client(NOWHERE, token=mint("agent:travel"), store=tmp_path / "travel.db") as client:
        yield await client.open("trip")


ODD: dict[str, Any] = {
    "type": "function_call_output",
    "call_id": "t1",
    "output": "\ud800 é",
    "n": [1 << 60, 0.1, None, {"": []}],
}


async def test_it_is_a_session_of_the_library(session: Session) -> None:
    """The library's own protocol takes it."""
    assert isinstance(SyncdSession(session, "one"), AgentsSession)


async def test_items_come_back_equal(session: Session) -> None:
    """Whatever JSON an item is, and however quickly it was added: the same comes back, in order, also in parts."""
    kept = SyncdSession(session, "one")
    items = [{"role": "user", "content": f"Item {number}."} for number in range(20)]

    for item in items:
        await kept.add_items([item])
    await kept.add_items([ODD, {"role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}])

    found = await kept.get_items()
    assert found[:20] == items
    assert found[20] == ODD
    assert await kept.get_items(limit=2) == found[-2:]
    assert await kept.get_items(limit=0) == []


async def test_words_that_no_text_can_hold_come_back(session: Session) -> None:
    """Half a surrogate pair, which a transcript refuses, is replaced in what people see and kept in the item."""
    kept = SyncdSession(session, "one")
    item = {"role": "user", "content": "Hi \ud83d"}

    await kept.add_items([item])

    assert await kept.get_items() == [item]
    assert session.messages()[0].text == "Hi ?"


class Backwards:
    """A session that shows own messages of one millisecond in any order, as ids are random there."""

    subject = "agent:travel"

    def __init__(self) -> None:
        self._views: list[View] = []

    async def post(self, text: str = "", **more: Any) -> None:
        self._views.insert(0, View(str(len(self._views)), more["metadata"]))

    def messages(self) -> list["View"]:
        return self._views


@dataclass(frozen=True)
class View:
    id: str
    metadata: dict[str, Any]
    seq: int | None = None
    by: str | None = None


async def test_items_of_one_moment_stay_in_order() -> None:
    """What was added first is first, whatever order messages without a place are shown in."""
    kept = SyncdSession(Backwards(), "one")
    for number in range(5):
        await kept.add_items([{"n": number}])

    assert await kept.get_items() == [{"n": number} for number in range(5)]
    assert await kept.pop_item() == {"n": 4}


async def test_taking_away_counts_and_rewrites_nothing(session: Session) -> None:
    """`pop_item` and `clear_session` take away what was there, one by one and all; later items count again."""
    kept = SyncdSession(session, "one")
    await kept.add_items([{"n": 1}, {"n": 2}, {"n": 3}])

    assert await kept.pop_item() == {"n": 3}
    assert await kept.pop_item() == {"n": 2}
    await kept.add_items([{"n": 4}])
    assert await kept.get_items() == [{"n": 1}, {"n": 4}]
    await kept.clear_session()
    assert await kept.pop_item() is None
    await kept.add_items([{"n": 5}])
    assert await kept.get_items() == [{"n": 5}]


async def test_sessions_of_one_session_are_apart(session: Session) -> None:
    """Several agents keep theirs beside each other, and beside what people write."""
    one, two = SyncdSession(session, "one"), SyncdSession(session, "two")
    await session.post("Hello.")
    await one.add_items([{"n": 1}])
    await two.add_items([{"n": 2}])
    await two.clear_session()

    assert await one.get_items() == [{"n": 1}]
    assert await two.get_items() == []


async def test_large_batches_are_cut(session: Session) -> None:
    """What no single update could carry is kept in several messages, in order."""
    kept = SyncdSession(session, "one", visible=False)
    items = [{"n": number, "content": "x" * 100_000} for number in range(20)]

    await kept.add_items(items)

    assert await kept.get_items() == items
    assert len(session.messages()) >= math.ceil(20 * 100_000 / (256 << 10))


async def test_people_see_what_was_said_unless_it_is_hidden(session: Session) -> None:
    """Visible items read like messages; hidden ones, beside what `run.stream` writes, are no text."""
    items = [{"role": "user", "content": "Where to?"}]
    await SyncdSession(session, "one").add_items(items)
    await SyncdSession(session, "two", visible=False).add_items(items)

    shown, hidden = session.messages()
    assert (shown.role, shown.text) == ("user", "Where to?")
    assert (hidden.text, [part["type"] for part in hidden.parts]) == ("", ["custom"])


async def test_an_agent_remembers_on_another_device(server: Server, tmp_path: Path) -> None:
    """A run's items reach another device; asked there, the model is given them all, and they agree with the pieces."""
    async with Client(server.url, token=mint("agent:travel"), store=tmp_path / "one.db") as client:
        opened = await client.open("trip")
        result = Runner.run_streamed(travel([ASK], [ANSWER]), "Where to?", session=SyncdSession(opened, "trip"))
        pieces = await pieces_of(result)
        items = await SyncdSession(opened, "trip").get_items()
        await asyncio.wait_for(opened.synced(), PATIENCE_S)

    async with Client(server.url, token=mint("agent:travel"), store=tmp_path / "two.db") as client:
        opened = await client.open("trip")
        there = SyncdSession(opened, "trip")
        await until(lambda: len(opened.messages()) >= 2 and not opened.messages()[-1].streaming)
        model = ScriptedModel([[assistant_message("By tram.")]])
        assert await there.get_items() == items
        await Runner.run(Agent(name="travel", model=model), "How?", session=there)

    assert [item.get("type", item.get("role")) for item in items] == [
        "user", "function_call", "function_call_output", "message",
    ]  # fmt: skip
    assert items[2]["output"] == next(p.output for p in pieces if isinstance(p, ToolOutput))
    assert items[3]["content"][0]["text"] == "".join(p.delta for p in pieces if isinstance(p, Text))
    assert model.last_call is not None
    assert [*items, {"role": "user", "content": "How?"}] == model.last_call.input
