"""pydantic-ai's events, from its own fakes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ModelRetry
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingCalls,
    DeltaThinkingPart,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)
from pydantic_ai.models.test import TestModel
from syncd_client.adapters import recognise
from syncd_client.adapters.pieces import (
    Finish,
    PartEnd,
    Provider,
    Reasoning,
    Step,
    Text,
    ToolApproval,
    ToolError,
    ToolInput,
    ToolInputDelta,
    ToolInputStart,
    ToolOutput,
    Usage,
)

from tests.client.adapters.stub import pieces_of
from tests.harness import PATIENCE_S

Said = str | DeltaToolCalls | DeltaThinkingCalls


def scripted(*calls: list[Said]) -> FunctionModel:
    """A model that says `calls` one after the other."""
    left = iter(calls)

    async def say(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[Said]:
        for said in next(left):
            yield said

    return FunctionModel(stream_function=say)


async def test_a_run_with_a_tool_is_heard() -> None:
    """Deltas of text, arguments and reasoning with its signature; the tool's result; one usage; the last reason."""
    model = scripted(
        [
            {0: DeltaThinkingPart(content="Hm.")},
            {0: DeltaThinkingPart(signature="Eq")},
            "Let me ",
            "see.",
            {2: DeltaToolCall(name="weather", json_args='{"ci', tool_call_id="t1")},
            {2: DeltaToolCall(json_args='ty":"Lisbon"}')},
        ],
        ["Sun."],
    )
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> dict[str, Any]:
        return {"sun": True, "city": city}

    *pieces, usage, finish, end = await pieces_of(agent.run_stream_events("Where to?"))

    signature = {"signature": "Eq", "provider_name": "function"}
    assert pieces == [
        Step(),
        Reasoning("Hm."),
        Provider({"pydantic_ai": signature}, part=True),
        PartEnd(),
        Text("Let me "),
        Text("see."),
        PartEnd(),
        ToolInputStart("t1", "weather"),
        ToolInputDelta("t1", '{"ci'),
        ToolInputDelta("t1", 'ty":"Lisbon"}'),
        ToolInput("t1", "weather", {"city": "Lisbon"}),
        ToolOutput("t1", {"sun": True, "city": "Lisbon"}),
        Step(),
        Text("Sun."),
        PartEnd(),
    ]
    assert isinstance(usage, Usage)
    assert usage.values["output_tokens"] > 0
    assert (finish, end) == (Finish("stop"), PartEnd())


async def test_calls_with_one_id_are_told_apart() -> None:
    """TestModel names every call by its tool; a second one has a name of its own, and results find theirs."""
    agent = Agent(TestModel(), retries=1)
    tries = 0

    @agent.tool_plain
    def weather(city: str) -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ModelRetry("Which country?")
        return f"Sun in {city}."

    pieces = await pieces_of(agent.run_stream_events("q"))

    id = "pyd_ai_tool_call_id__weather"
    first, second = [p.call for p in pieces if isinstance(p, ToolInputStart)]
    assert first == id != second
    (failed,) = [p for p in pieces if isinstance(p, ToolError)]
    assert failed == ToolError(id, failed.message)
    assert "Which country?" in failed.message
    assert [p for p in pieces if isinstance(p, ToolOutput)] == [ToolOutput(second, "Sun in a.")]


async def test_an_approval_is_asked_and_taken_up() -> None:
    """A call that needs approval ends the run with one; approved, the next run tells its result under the same name."""
    model = scripted([{0: DeltaToolCall(name="book", json_args='{"to":"Lisbon"}', tool_call_id="t1")}], ["Booked."])
    agent: Agent[None, str | DeferredToolRequests] = Agent(model, output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def book(to: str) -> str:
        return f"booked {to}"

    async with agent.run_stream_events("q") as events:
        before = await pieces_of(events)
        history = events.all_messages()
    answer = DeferredToolResults(approvals={"t1": True})
    after = await pieces_of(agent.run_stream_events(message_history=history, deferred_tool_results=answer))

    asked = ToolApproval("t1", {"name": "book", "args": {"to": "Lisbon"}}, resume="t1")
    assert [p for p in before if isinstance(p, ToolApproval)] == [asked]
    assert [p for p in after if isinstance(p, ToolInput | ToolOutput | Text)] == [
        ToolOutput("t1", "booked Lisbon"),
        Text("Booked."),
    ]


async def test_closing_stops_the_model() -> None:
    """Closing the pieces ends the run and the model's own stream."""
    left = asyncio.Event()

    async def say(_: list[ModelMessage], __: AgentInfo) -> AsyncIterator[str]:
        try:
            yield "Take "
            await asyncio.Event().wait()
        finally:
            left.set()

    source = Agent(FunctionModel(stream_function=say)).run_stream_events("q")
    async with asyncio.timeout(PATIENCE_S), aclosing(recognise(source)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Text):
                break
    async with asyncio.timeout(PATIENCE_S):
        await left.wait()
