"""LangChain's streams, from its own fakes and from a model that streams parts of calls."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from syncd_client.adapters import recognise
from syncd_client.adapters.pieces import (
    Data,
    Finish,
    PartEnd,
    Provider,
    Reasoning,
    Source,
    Step,
    Text,
    ToolError,
    ToolInput,
    ToolInputDelta,
    ToolInputStart,
    ToolOutput,
    Usage,
)

from tests.client.adapters.models import Scripted, called, said
from tests.client.adapters.stub import pieces_of, stream
from tests.harness import PATIENCE_S

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")

SPOKEN = [Step(), Text("Take "), Text("the "), Text("tram. "), PartEnd(), Finish("stop")]
CALLED = [
    Step(),
    ToolInputStart("t1", "book"),
    ToolInputDelta("t1", '{"to":'),
    ToolInputDelta("t1", '"Lisbon"}'),
    PartEnd(),
    ToolInput("t1", "book", {"to": "Lisbon"}),
    Finish("tool-calls"),
]


def speaker() -> Scripted:
    return Scripted(scripts=[said("Take the tram.")])


def caller() -> Scripted:
    return Scripted(scripts=[called("book", '{"to":', '"Lisbon"}')])


def streams(model: Scripted) -> dict[str, Callable[[], Any]]:
    return {
        "chunks": lambda: model.astream("q"),
        "v2": lambda: model.astream_events("q", version="v2"),
        "v3": lambda: model.astream_events("q", version="v3"),
    }


async def test_the_librarys_fakes_are_heard() -> None:
    """Both of LangChain's own fakes, whose chunks hold words and spaces or single characters."""
    generic = GenericFakeChatModel(messages=iter([AIMessage(content="Take it", id="m1")]))
    listed = FakeListChatModel(responses=["Hi"])

    assert await pieces_of(generic.astream("q")) == [
        Step(), Text("Take"), Text(" "), Text("it"), PartEnd(), Finish("stop"),
    ]  # fmt: skip
    assert await pieces_of(listed.astream("q")) == [Step(), Text("H"), Text("i"), PartEnd(), Finish("stop")]


@pytest.mark.parametrize("version", ["chunks", "v2", "v3"])
async def test_all_streams_of_one_message_give_the_same(version: str) -> None:
    """v2 and v3 give one message two ids: no piece depends on them."""
    for model, expected in ((speaker(), SPOKEN), (caller(), CALLED)):
        source = streams(model)[version]()
        pieces = [p for p in await pieces_of(source) if p != PartEnd()]

        if version == "v3":  # Calls are complete there when their block is, before the message's end.
            assert sorted(map(repr, pieces)) == sorted(repr(p) for p in expected if p != PartEnd())
        else:
            assert pieces == [p for p in expected if p != PartEnd()]


async def test_a_chain_of_strings_is_heard() -> None:
    """A chain that ends in a parser yields strings."""
    assert await pieces_of((speaker() | StrOutputParser()).astream("q")) == [
        Text("Take "), Text("the "), Text("tram. "),
    ]  # fmt: skip


async def test_reasoning_signature_usage_and_citations_are_kept() -> None:
    """Standard blocks: reasoning ends with what its provider wants back; usage of all chunks adds up."""
    note = {"type": "citation", "url": "https://example.com", "title": "T"}
    standard = {"output_version": "v1"}

    def chunk(*content: dict[str, Any], **more: Any) -> AIMessageChunk:
        return AIMessageChunk(content=list(content), id="m1", response_metadata=standard, **more)

    first = {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7, "input_token_details": {"cache_read": 3}}
    last = {"input_tokens": 0, "output_tokens": 5, "total_tokens": 5, "output_token_details": {"reasoning": 2}}
    model = Scripted(
        scripts=[
            [
                chunk({"type": "reasoning", "reasoning": "Hm.", "index": 0}, usage_metadata=first),
                chunk({"type": "reasoning", "reasoning": "", "extras": {"signature": "Eq"}, "index": 0}),
                chunk({"type": "text", "text": "Take it.", "annotations": [note], "index": 1}, usage_metadata=last),
            ]
        ]
    )

    assert await pieces_of(model.astream("q")) == [
        Step(),
        Reasoning("Hm."),
        Provider({"langchain": {"extras": {"signature": "Eq"}}}, part=True),
        PartEnd(),
        Text("Take it."),
        PartEnd(),
        Source("url", "https://example.com", "T"),
        Usage(
            {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, "cached_input_tokens": 3, "reasoning_tokens": 2}
        ),
        Finish("stop"),
    ]


async def test_calls_with_one_id_are_told_apart() -> None:
    """Two messages whose calls have the same id: each has a name of its own, and results find the last."""
    first, second = (
        AIMessage(content="", id=f"m{n}", tool_calls=[{"id": "t1", "name": "book", "args": {"n": n}}]) for n in (1, 2)
    )
    items = [first, ToolMessage("one", tool_call_id="t1"), second]

    pieces = await pieces_of(stream(items))

    assert [p for p in pieces if isinstance(p, ToolInput | ToolOutput)] == [
        ToolInput("t1", "book", {"n": 1}),
        ToolOutput("t1", "one"),
        ToolInput("t1_2", "book", {"n": 2}),
    ]


async def test_events_tell_of_tools_and_custom_data() -> None:
    """Results of calls, tools that no model called, tools that fail, and an app's own events."""
    from langchain_core.callbacks import adispatch_custom_event

    @tool
    async def book(to: str) -> str:
        """Book a seat."""
        await adispatch_custom_event("progress", {"done": 1})
        if to == "nowhere":
            raise ValueError("no such place")
        return f"booked {to}"

    async def run(_: str) -> None:
        message = await caller().ainvoke("q")
        assert isinstance(message, AIMessage)
        await book.ainvoke(message.tool_calls[0])
        await book.ainvoke({"to": "Porto"})
        await book.ainvoke({"type": "tool_call", "id": "t2", "name": "book", "args": {"to": "nowhere"}})

    heard: list[Any] = []
    with pytest.raises(ValueError, match="no such place"):  # noqa: PT012
        async for piece in recognise(RunnableLambda(run).astream_events("q", version="v2")):
            heard.append(piece)

    results: list[Any] = [p for p in heard if isinstance(p, ToolInput | ToolOutput | ToolError | Data)]
    assert results[:4] == [
        ToolInput("t1", "book", {"to": "Lisbon"}),
        Data("progress", {"done": 1}),
        ToolOutput("t1", "booked Lisbon"),
        Data("progress", {"done": 1}),
    ]
    own, output = results[4:6]
    assert own == ToolInput(own.call, "book", {"to": "Porto"})
    assert output == ToolOutput(own.call, "booked Porto")
    assert results[-1] == ToolError(results[-1].call, "no such place")


@pytest.mark.parametrize("version", ["chunks", "v2", "v3"])
async def test_closing_stops_the_model(version: str) -> None:
    """Closing the pieces ends the model's own stream."""
    left = asyncio.Event()
    model = Scripted(scripts=[said("Take the tram.")], endless=True, left=left)
    source = streams(model)[version]()

    async with asyncio.timeout(PATIENCE_S), aclosing(recognise(source)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Text):
                break
    async with asyncio.timeout(PATIENCE_S):
        await left.wait()
