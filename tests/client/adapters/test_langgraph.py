"""LangGraph's streams: a graph that asks, tools that answer, branches that speak at the same time."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from syncd_client import Run
from syncd_client.adapters import Piece, recognise
from syncd_client.adapters.pieces import (
    Data,
    Finish,
    Step,
    Text,
    ToolApproval,
    ToolError,
    ToolInput,
    ToolInputDelta,
    ToolInputStart,
    ToolOutput,
)

from tests.client.adapters.models import Scripted, called, said
from tests.client.adapters.stub import pieces_of, stream
from tests.client.agents import ask, ended, person, serving_agent, status
from tests.client.fake_server import FakeServer
from tests.harness import PATIENCE_S, until

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")

QUESTION: Any = {"messages": [HumanMessage("Where to?", id="q")]}
THREAD: RunnableConfig = {"configurable": {"thread_id": "trip"}}
MODES = ["messages", "updates", "custom"]


def asking(**more: Any) -> Any:
    """A graph that wants to book, asks first, and tells of it."""
    model = Scripted(scripts=[called("book", '{"to":', '"Lisbon"}'), said("Booked it.", id="m2")], **more)

    async def talk(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        get_stream_writer()({"node": "talk"})
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    async def ask(state: MessagesState) -> dict[str, Any]:
        answer = interrupt({"question": "Book?", "tool_call_id": "t1"})
        return {"messages": [ToolMessage(f"booked: {answer}", tool_call_id="t1", id="r1")]}

    graph = StateGraph(MessagesState)
    graph.add_node("talk", talk)
    graph.add_node("ask", ask)
    graph.add_edge(START, "talk")
    graph.add_conditional_edges("talk", lambda s: "ask" if s["messages"][-1].tool_calls else END)
    graph.add_edge("ask", "talk")
    return graph.compile(checkpointer=InMemorySaver())


def told(pieces: list[Piece]) -> list[Piece]:
    """Return what matters to people."""
    kinds = Text | ToolInputStart | ToolInputDelta | ToolInput | ToolOutput | ToolApproval | Data
    return [piece for piece in pieces if isinstance(piece, kinds)]


def tuples(graph: Any, given: Any) -> Any:
    return graph.astream(given, THREAD, stream_mode=MODES)


def subgraphs(graph: Any, given: Any) -> Any:
    return graph.astream(given, THREAD, stream_mode=MODES, subgraphs=True)


def dicts(graph: Any, given: Any) -> Any:
    return graph.astream(given, THREAD, stream_mode=MODES, version="v2")


def events(graph: Any, given: Any) -> Any:
    return graph.astream_events(given, THREAD, version="v2")


def protocol(graph: Any, given: Any) -> Any:
    return graph.astream_events(given, THREAD, version="v3")


@pytest.mark.parametrize("way", [tuples, subgraphs, dicts, events, protocol])
async def test_a_graph_streams_asks_and_goes_on(way: Callable[[Any, Any], Any]) -> None:
    """Deltas, one approval, and after the decision the result and the answer; the same by all streams."""
    graph = asking()

    before = told(await pieces_of(way(graph, QUESTION)))
    asked = next(piece for piece in before if isinstance(piece, ToolApproval))
    after = told(await pieces_of(way(graph, Command(resume={asked.resume: "yes"}))))

    custom = [Data("custom", {"node": "talk"})] if way in (tuples, subgraphs, dicts) else []
    assert before == [
        *custom,
        ToolInputStart("t1", "book"),
        ToolInputDelta("t1", '{"to":'),
        ToolInputDelta("t1", '"Lisbon"}'),
        ToolInput("t1", "book", {"to": "Lisbon"}),
        ToolApproval("t1", {"question": "Book?", "tool_call_id": "t1"}, resume=asked.resume),
    ]
    result = [] if way in (events, protocol) else [ToolOutput("t1", "booked: yes")]
    assert after == [*result, *custom, Text("Booked "), Text("it. ")]


@pytest.mark.parametrize("mode", ["messages", "updates"])
async def test_one_mode_alone_is_understood(mode: str) -> None:
    """Without a list of modes items are bare; updates alone give whole messages."""
    pieces = await pieces_of(asking().astream(QUESTION, THREAD, stream_mode=mode))

    assert ToolInput("t1", "book", {"to": "Lisbon"}) in pieces
    assert any(isinstance(piece, ToolApproval) for piece in pieces) == (mode == "updates")


async def test_what_was_streamed_is_not_said_again() -> None:
    """A whole message in an update adds nothing to its chunks, nor does one that was not meant to be streamed."""
    whole, silent = AIMessage("Hi there", id="m1"), AIMessage("aside", id="m9")
    items: list[Any] = [
        ("messages", (AIMessageChunk(content="Hi ", id="m1"), {})),
        ("messages", (AIMessageChunk(content="there", id="m1", chunk_position="last"), {})),
        ("messages", (whole, {})),
        ("updates", {"talk": {"messages": [whole, silent]}, "other": None}),
    ]

    assert told(await pieces_of(stream(items))) == [Text("Hi "), Text("there")]


async def test_branches_that_speak_at_once_are_heard_one_by_one() -> None:
    """Two nodes stream at the same time, token by token: each message is whole, and its result comes behind it."""

    def chunk(id: str, text: str, **more: Any) -> tuple[str, tuple[BaseMessage, dict[str, Any]]]:
        return "messages", (AIMessageChunk(content=text, id=id, **more), {})

    call: list[Any] = [{"type": "tool_call_chunk", "id": "t2", "name": "f", "args": "{}", "index": 0}]
    items = [
        chunk("a", "one "),
        chunk("b", "two "),
        chunk("a", "and "),
        chunk("b", "", tool_call_chunks=call, chunk_position="last"),
        ("messages", (ToolMessage("done", tool_call_id="t2"), {})),
        chunk("a", "only", chunk_position="last"),
        chunk("c", "three", chunk_position="last"),
    ]

    pieces = [p for p in await pieces_of(stream(items)) if isinstance(p, Step | Finish | Text | ToolOutput)]

    assert pieces == [
        *(Step(), Text("one "), Text("and "), Text("only"), Finish("stop")),
        *(Step(), Text("two "), Finish("tool-calls"), ToolOutput("t2", "done")),
        *(Step(), Text("three"), Finish("stop")),
    ]


async def test_tools_that_run_tell_by_themselves() -> None:
    """The mode "tools" and messages tell of one result: it comes once."""
    items: list[Any] = [
        ("tools", {"event": "tool-started", "tool_call_id": "t1", "tool_name": "f", "input": {"a": 1}}),
        ("tools", {"event": "tool-finished", "tool_call_id": "t1", "output": ToolMessage("one", tool_call_id="t1")}),
        ("messages", (ToolMessage("one", tool_call_id="t1"), {})),
        ("tools", {"event": "tool-finished", "tool_call_id": "t1", "output": "one"}),
    ]

    assert told(await pieces_of(stream(items))) == [ToolInput("t1", "f", {"a": 1}), ToolOutput("t1", "one")]


async def test_an_interrupt_is_told_once() -> None:
    """Several modes tell of one interrupt; one that names no call goes by its own id."""

    def ask(state: MessagesState) -> None:
        interrupt({"question": "Go?"})

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    compiled = graph.compile(checkpointer=InMemorySaver())

    pieces = await pieces_of(compiled.astream(QUESTION, THREAD, stream_mode=["updates", "values"]))

    (approval,) = pieces
    assert isinstance(approval, ToolApproval)
    assert approval == ToolApproval(approval.call, {"question": "Go?"}, resume=approval.call)


@pytest.mark.parametrize("way", [tuples, dicts, events, protocol])
async def test_closing_stops_the_graph(way: Callable[[Any, Any], Any]) -> None:
    """Closing the pieces ends the model's own stream inside the node."""
    left = asyncio.Event()
    source = way(asking(endless=True, left=left), QUESTION)

    async with asyncio.timeout(PATIENCE_S), aclosing(recognise(source)) as pieces:
        async for piece in pieces:
            if isinstance(piece, ToolInputDelta):
                break
    async with asyncio.timeout(PATIENCE_S):
        await left.wait()


@tool
def book(to: str) -> str:
    """Book, once somebody said so."""
    return f"{to}: {interrupt({'question': 'Book?'})}"


def tooled() -> Any:
    """A graph whose tool asks by itself, in the middle of its call."""
    model = Scripted(scripts=[called("book", '{"to":', '"Lisbon"}'), said("Booked it.", id="m2")])

    async def talk(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph = StateGraph(MessagesState)
    graph.add_node("talk", talk)
    graph.add_node("tools", ToolNode([book]))
    graph.add_edge(START, "talk")
    graph.add_conditional_edges("talk", lambda s: "tools" if s["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "talk")
    return graph.compile(checkpointer=InMemorySaver())


@pytest.mark.parametrize("way", [tuples, subgraphs, dicts, events, protocol])
async def test_a_tool_that_asks_has_not_failed(way: Callable[[Any, Any], Any]) -> None:
    """It leaves by an exception, which one of the streams tells as an error: it is an approval, and nothing else."""
    before = await pieces_of(way(tooled(), QUESTION))

    assert [piece for piece in before if isinstance(piece, ToolError | ToolOutput)] == []
    assert [piece.payload for piece in before if isinstance(piece, ToolApproval)] == [{"question": "Book?"}]


async def test_a_graph_that_goes_on_tells_of_its_tool_again_and_it_is_shown_once(
    fake: FakeServer, tmp_path: Path
) -> None:
    """In the mode "tools" a resumed graph starts the tool that asked anew: the same call, which has its result then."""
    graph = tooled()
    modes = [*MODES, "tools"]

    async def handler(run: Run) -> None:
        [asked] = (await run.stream(graph.astream(QUESTION, THREAD, stream_mode=modes))).asked
        decision = await asked.call.approval()
        answer: Command[Any] = Command(resume="yes" if decision.approved else "no")
        await run.stream(graph.astream(answer, THREAD, stream_mode=modes))

    async with serving_agent(tmp_path, handler), person(tmp_path) as session:
        run = await ask(fake, session)
        await until(lambda: status(session, run) in ("suspended", "failed"))
        await session.approve(f"{run}-1_1")
        assert (await ended(session, run)).error is None
        tools = [part for part in session.messages()[-1].parts if part["type"] == "tool"]
        assert [(part["name"], part["state"], part.get("output")) for part in tools] == [
            ("book", "output-available", "Lisbon: yes"),
            ("approval", "approval-responded", None),
        ]
        assert session.messages()[-1].text == "Booked it. "
