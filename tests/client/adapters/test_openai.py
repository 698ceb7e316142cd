"""OpenAI's streams, from the real SDK against a server that says what OpenAI's says."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI
from syncd_client.adapters import recognise
from syncd_client.adapters.pieces import (
    Failed,
    File,
    Finish,
    PartEnd,
    Provider,
    Reasoning,
    Source,
    Step,
    Text,
    ToolApproval,
    ToolInput,
    ToolInputDelta,
    ToolInputStart,
    ToolOutput,
    Usage,
)

from tests.client.adapters.stub import Stub, pieces_of, stub
from tests.harness import PATIENCE_S

MESSAGES: list[Any] = [{"role": "user", "content": "Where to?"}]


@asynccontextmanager
async def client(served: Stub) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=served.url, api_key="none", max_retries=0) as made:
        yield made


def chunk(delta: dict[str, Any] | None = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    kind = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**kind, "choices": choices, **more}


def tool(index: int, arguments: str, *, id: str | None = None, name: str | None = None) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, "function": function, **({"id": id, "type": "function"} if id else {})}


BEGUN = [Step(), Provider({"openai": {"response_id": "c1", "model": "m"}})]
ANSWER: list[Any] = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Take "}),
    chunk({"content": "the tram."}),
    chunk({"tool_calls": [tool(0, "", id="t1", name="book")]}),
    chunk({"tool_calls": [tool(0, '{"to":')]}),
    chunk({"tool_calls": [tool(1, '{"n":2}', id="t2", name="pay"), tool(0, '"Lisbon"}')]}),
    chunk({}, finish="tool_calls"),
    chunk(
        usage={
            "prompt_tokens": 7,
            "completion_tokens": 5,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 1},
        }
    ),
    "[DONE]",
]
ANSWER_PIECES = [
    *BEGUN,
    Text("Take "),
    Text("the tram."),
    ToolInputStart("t1", "book"),
    ToolInputDelta("t1", '{"to":'),
    ToolInputStart("t2", "pay"),
    ToolInputDelta("t2", '{"n":2}'),
    ToolInputDelta("t1", '"Lisbon"}'),
    PartEnd(),
    ToolInput("t1", "book", {"to": "Lisbon"}),
    ToolInput("t2", "pay", {"n": 2}),
    Finish("tool-calls"),
    Usage({"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, "cached_input_tokens": 3, "reasoning_tokens": 1}),
    PartEnd(),
]


# Chat completions


async def test_chat_gives_text_calls_and_usage() -> None:
    """Arguments come by index, the id in the first delta alone; the chunk with the usage has no choices."""
    async with stub(ANSWER) as served, client(served) as openai:
        source = openai.chat.completions.create(model="m", messages=MESSAGES, stream=True)

        assert await pieces_of(source) == ANSWER_PIECES


async def test_the_chat_helper_gives_the_same() -> None:
    """`chat.completions.stream()` adds events that say everything again: they are not heard twice."""
    async with stub(ANSWER) as served, client(served) as openai:
        source = openai.chat.completions.stream(model="m", messages=MESSAGES)

        assert await pieces_of(source) == ANSWER_PIECES


async def test_a_chats_refusal_is_text_that_is_marked() -> None:
    """A refusal is a delta of its own: people see it, and it is told from an answer."""
    said: list[Any] = [chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, finish="stop"), "[DONE]"]
    async with stub(said) as served, client(served) as openai:
        pieces = await pieces_of(openai.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    refused = Provider({"openai": {"refusal": True}}, part=True)
    assert pieces[2:-1] == [PartEnd(), Text("I can"), Text("not."), refused, PartEnd(), Finish("content-filter")]


async def test_servers_that_speak_like_openais_are_understood() -> None:
    """Whole calls that all have index 0, an empty `object`, another name for reasoning, arguments that are no JSON."""
    said: list[Any] = [
        chunk(object="", choices=[]),
        chunk({"reasoning_content": "Hm."}),
        chunk({"tool_calls": [tool(0, '{"a":1}', id="t1", name="f")]}),
        chunk({"tool_calls": [tool(0, "{broken", id="t2", name="f")]}),
        chunk({}, finish="stop"),
        "[DONE]",
    ]
    async with stub(said) as served, client(served) as openai:
        pieces = await pieces_of(openai.chat.completions.create(model="m", messages=MESSAGES, stream=True))

    assert Reasoning("Hm.") in pieces
    assert [p for p in pieces if isinstance(p, ToolInput)] == [
        ToolInput("t1", "f", {"a": 1}),
        ToolInput("t2", "f", "{broken"),
    ]


# Responses


def response(status: str = "completed", **more: Any) -> dict[str, Any]:
    kind = {
        "id": "r1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "tools": [],
        "status": status,
    }
    return {**kind, "parallel_tool_calls": True, "tool_choice": "auto", **more}


def events(*said: dict[str, Any], ended: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    usage = {
        "input_tokens": 7,
        "output_tokens": 5,
        "total_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    first = {"type": "response.created", "response": response("in_progress", **more)}
    last = ended or {"type": "response.completed", "response": response(usage=usage)}
    return [{**event, "sequence_number": number} for number, event in enumerate((first, *said, last))]


REASONING = {
    "id": "rs1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}],
    "encrypted_content": "gAAA==",
}
MESSAGE = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": []}
CALL = {"id": "fc1", "type": "function_call", "call_id": "t1", "name": "book"}


def of(kind: str, index: int, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": index, "item_id": f"i{index}", **fields}


def text(index: int, delta: str) -> dict[str, Any]:
    return of("output_text.delta", index, content_index=0, delta=delta, logprobs=[])


THOUGHT = (
    of("output_item.added", 0, item={"id": "rs1", "type": "reasoning", "summary": []}),
    of("reasoning_summary_part.added", 0, summary_index=0, part={"type": "summary_text", "text": ""}),
    of("reasoning_summary_text.delta", 0, summary_index=0, delta="One."),
    of("reasoning_summary_part.added", 0, summary_index=1, part={"type": "summary_text", "text": ""}),
    of("reasoning_summary_text.delta", 0, summary_index=1, delta="Two."),
    of("output_item.done", 0, item=REASONING),
)
CITED = {"type": "url_citation", "url": "https://example.com/tram", "title": "Trams", "start_index": 0, "end_index": 4}
SAID = (
    of("output_item.added", 1, item={**MESSAGE, "status": "in_progress"}),
    of("content_part.added", 1, content_index=0, part={"type": "output_text", "text": "", "annotations": []}),
    text(1, "Take "),
    of("output_text.annotation.added", 1, content_index=0, annotation_index=0, annotation=CITED),
    text(1, "it."),
    of("output_item.done", 1, item=MESSAGE),
)
CALLED = (
    of("output_item.added", 2, item={**CALL, "arguments": "", "status": "in_progress"}),
    of("function_call_arguments.delta", 2, delta='{"to":'),
    of("function_call_arguments.delta", 2, delta='"Lisbon"}'),
    of("function_call_arguments.done", 2, arguments='{"to":"Lisbon"}', name="book"),
    of("output_item.done", 2, item={**CALL, "arguments": '{"to":"Lisbon"}', "status": "completed"}),
)


async def responded(*said: dict[str, Any], helper: bool = False, **more: Any) -> list[Any]:
    async with stub(events(*said, **more)) as served, client(served) as openai:
        if helper:
            return await pieces_of(openai.responses.stream(model="m", input="Where to?"))
        return await pieces_of(openai.responses.create(model="m", input="Where to?", stream=True))


@pytest.mark.parametrize("helper", [False, True])
async def test_responses_give_reasoning_text_sources_and_calls(helper: bool) -> None:
    """Reasoning is one part with its item verbatim; a source does not cut the text; ids and usage are there."""
    assert await responded(*THOUGHT, *SAID, *CALLED, helper=helper) == [
        Step(),
        Provider({"openai": {"response_id": "r1", "model": "m"}}),
        Reasoning("One."),
        Reasoning("\n\n"),
        Reasoning("Two."),
        Provider({"openai": REASONING}, part=True),
        PartEnd(),
        Text("Take "),
        Text("it."),
        PartEnd(),
        Source("url", url="https://example.com/tram", title="Trams"),
        ToolInputStart("t1", "book"),
        ToolInputDelta("t1", '{"to":'),
        ToolInputDelta("t1", '"Lisbon"}'),
        ToolInput("t1", "book", {"to": "Lisbon"}),
        PartEnd(),
        Usage(
            {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, "cached_input_tokens": 0, "reasoning_tokens": 2}
        ),
        Finish("tool-calls"),
        PartEnd(),
    ]


async def test_hidden_reasoning_is_kept() -> None:
    """Reasoning that only OpenAI can read is an empty part with its item: without it the next request is refused."""
    hidden = {**REASONING, "summary": []}
    pieces = await responded(of("output_item.added", 0, item=hidden), of("output_item.done", 0, item=hidden))

    assert pieces[2:5] == [Reasoning(""), Provider({"openai": hidden}, part=True), PartEnd()]


async def test_hosted_tools_come_with_result_and_item() -> None:
    """What OpenAI ran itself is a call with its result, its item kept verbatim; a picture is a file."""
    search = {"id": "ws1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    picture = {"id": "ig1", "type": "image_generation_call", "status": "completed", "output_format": "png"}
    pieces = await responded(
        of("output_item.added", 0, item={**search, "status": "in_progress"}),
        of("output_item.done", 0, item=search),
        of("output_item.done", 1, item={**picture, "result": base64.b64encode(b"PNG").decode()}),
    )

    assert pieces[2:6] == [
        ToolInputStart("ws1", "web_search"),
        ToolInput("ws1", "web_search", {"action": {"type": "search", "query": "q"}}),
        Provider({"openai": search}, part=True, call="ws1"),
        ToolOutput("ws1", "completed"),
    ]
    assert File("image/png", data=b"PNG") in pieces
    assert Finish("stop") in pieces


async def test_an_mcp_approval_is_asked() -> None:
    """A request of a hosted MCP server becomes an approval that knows what to answer to."""
    asked = {"id": "mcpr1", "type": "mcp_approval_request", "server_label": "s", "name": "pay", "arguments": '{"n":1}'}
    pieces = await responded(of("output_item.added", 0, item=asked), of("output_item.done", 0, item=asked))

    assert ToolInput("mcpr1", "pay", {"n": 1}) in pieces
    assert ToolApproval("mcpr1", asked, resume="mcpr1") in pieces


async def test_a_responses_refusal_failure_and_limit_are_told() -> None:
    """Each end has its reason."""
    refused = (
        of("refusal.delta", 0, content_index=0, delta="No."),
        of("refusal.done", 0, content_index=0, refusal="No."),
    )
    error = {"code": "server_error", "message": "Sorry."}
    failed = {"type": "response.failed", "response": response("failed", error=error)}
    cut = response("incomplete", incomplete_details={"reason": "max_output_tokens"})

    assert (await responded(*refused))[-2] == Finish("content-filter")
    assert (await responded(ended=failed))[-2] == Failed("server_error", "Sorry.")
    assert (await responded(ended={"type": "response.incomplete", "response": cut}))[-2] == Finish("length")
    assert Failed("rate", "Slow.") in await responded(ended={"type": "error", "code": "rate", "message": "Slow."})


async def test_a_background_response_tells_where_to_go_on() -> None:
    """The sequence number comes behind what it covers, so that a later process asks for the rest alone."""
    pieces = await responded(*SAID, background=True)

    at = pieces.index(Text("it."))
    assert pieces[at + 1] == Provider({"openai": {"sequence_number": 5}})
    assert not [p for p in await responded(*SAID) if p == Provider({"openai": {"sequence_number": 5}})]


# Ends


def _chat(openai: AsyncOpenAI) -> Any:
    return openai.chat.completions.create(model="m", messages=MESSAGES, stream=True)


def _chat_helper(openai: AsyncOpenAI) -> Any:
    return openai.chat.completions.stream(model="m", messages=MESSAGES)


def _responses(openai: AsyncOpenAI) -> Any:
    return openai.responses.create(model="m", input="q", stream=True)


BEGINNINGS = [(_chat, ANSWER[:3]), (_chat_helper, ANSWER[:3]), (_responses, events(*SAID)[:4])]


@pytest.mark.parametrize(("make", "said"), BEGINNINGS)
async def test_closing_stops_the_model(make: Callable[[AsyncOpenAI], Any], said: list[Any]) -> None:
    """Closing the pieces ends the request: the server sees its client go."""
    async with stub(said, endless=True) as served, client(served) as openai:
        async with aclosing(recognise(make(openai))) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    break
        async with asyncio.timeout(PATIENCE_S):
            await served.left.wait()


@pytest.mark.parametrize(("make", "said"), BEGINNINGS)
async def test_cancelling_the_reader_stops_the_model(make: Callable[[AsyncOpenAI], Any], said: list[Any]) -> None:
    """A task that is cancelled while it waits for the next token ends the request on its way out."""
    heard = asyncio.Event()

    async def read() -> None:
        async for piece in recognise(make(openai)):
            if isinstance(piece, Text):
                heard.set()

    async with stub(said, endless=True) as served, client(served) as openai:
        task = asyncio.create_task(read())
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
            task.cancel()
            await served.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_the_library_raises_is_raised() -> None:
    """An error in mid-stream is the library's own exception, after the pieces before it."""
    said: list[Any] = [ANSWER[1], {"error": {"message": "overloaded"}}]
    async with stub(said) as served, client(served) as openai:
        pieces = recognise(_chat(openai))
        heard = [await anext(pieces) for _ in range(3)]
        with pytest.raises(APIError, match="overloaded"):
            await anext(pieces)

    assert heard == [*BEGUN, Text("Take ")]
