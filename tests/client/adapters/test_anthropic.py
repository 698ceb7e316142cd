"""Anthropic's streams, from the real SDK against a server that says what Anthropic's says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from syncd_client.adapters import anthropic_messages, from_parts, recognise
from syncd_client.adapters.pieces import (
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

from tests.client.adapters.stub import Stub, pieces_of, stub
from tests.harness import PATIENCE_S

ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Where to?"}]}
PING = {"type": "ping"}


@asynccontextmanager
async def client(served: Stub) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=served.url, api_key="none", max_retries=0) as made:
        yield made


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message(*blocks: list[dict[str, Any]], reason: str = "end_turn") -> list[dict[str, Any]]:
    begun: dict[str, Any] = {
        "id": "msg1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    used = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3}
    return [
        {"type": "message_start", "message": {**begun, "stop_sequence": None, "usage": used}},
        PING,
        *(event for content in blocks for event in content),
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


def text(index: int, *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return block(index, {"type": "text", "text": ""}, *deltas)


def say(words: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": words}


def arguments(partial: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": partial}


THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Mother "},
    {"type": "thinking_delta", "thinking": "is tired."},
    {"type": "signature_delta", "signature": "EqQB=="},
)
THOUGHT = {"type": "thinking", "thinking": "Mother is tired.", "signature": "EqQB=="}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "book", "input": {}}
ANSWER = message(
    THINKING,
    text(1, say("Take "), say("the tram.")),
    block(2, TOOL, arguments(""), arguments('{"to":'), arguments('"Lisbon"}')),
    reason="tool_use",
)
BEGUN = [Step(), Provider({"anthropic": {"message_id": "msg1", "model": "m"}})]
ENDED = [Usage({"input_tokens": 7, "output_tokens": 5, "cached_input_tokens": 3}), Finish("stop"), PartEnd()]


async def answered(*blocks: list[dict[str, Any]]) -> list[Any]:
    async with stub(message(*blocks)) as served, client(served) as anthropic:
        return await pieces_of(anthropic.messages.create(**ASKED, stream=True))


@pytest.mark.parametrize("helper", [False, True])
async def test_raw_stream_and_helper_give_the_same(helper: bool) -> None:
    """The helper's own events double nothing; pings are silent; the signature is within the reasoning's part."""
    async with stub(ANSWER) as served, client(served) as anthropic:
        source = anthropic.messages.stream(**ASKED) if helper else anthropic.messages.create(**ASKED, stream=True)

        assert await pieces_of(source) == [
            *BEGUN,
            Reasoning("Mother "),
            Reasoning("is tired."),
            Provider({"anthropic": THOUGHT}, part=True),
            PartEnd(),
            Text("Take "),
            Text("the tram."),
            PartEnd(),
            ToolInputStart("toolu_1", "book"),
            ToolInputDelta("toolu_1", '{"to":'),
            ToolInputDelta("toolu_1", '"Lisbon"}'),
            ToolInput("toolu_1", "book", {"to": "Lisbon"}),
            ENDED[0],
            Finish("tool-calls"),
            PartEnd(),
        ]


async def test_redacted_thinking_is_kept() -> None:
    """What only Anthropic can read is an empty part with its block: without it the history is refused."""
    hidden = {"type": "redacted_thinking", "data": "EmwK"}

    pieces = await answered(block(0, hidden), text(1, say("Hi.")))

    assert pieces[2:5] == [Reasoning(""), Provider({"anthropic": hidden}, part=True), PartEnd()]


async def test_two_thoughts_are_two_parts() -> None:
    """A block of the provider's is one part, also where two of a kind follow each other."""
    pieces = await answered(THINKING, [{**event, "index": 1} for event in THINKING])

    assert [p for p in pieces if isinstance(p, PartEnd)] == [PartEnd()] * 3
    assert pieces.count(Provider({"anthropic": THOUGHT}, part=True)) == 2


async def test_server_tools_come_with_result_and_blocks() -> None:
    """What Anthropic ran itself is a call with its result, and both blocks verbatim with the call."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    page = {"type": "web_search_result", "url": "https://example.com", "title": "T", "encrypted_content": "E=="}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]}
    made = {**use, "input": {"query": "trams"}}

    pieces = await answered(block(0, use, arguments('{"query":"trams"}')), block(1, result))

    assert pieces[4:8] == [
        ToolInput("srvtoolu_1", "web_search", {"query": "trams"}),
        Provider({"anthropic": made}, part=True, call="srvtoolu_1"),
        ToolOutput("srvtoolu_1", [page]),
        Provider({"anthropic": [made, result]}, part=True, call="srvtoolu_1"),
    ]


async def test_a_failed_server_tool_is_an_error() -> None:
    """An error code in place of results is told as one."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": failed}

    assert ToolError("srvtoolu_1", "max_uses_exceeded") in await answered(block(0, use), block(1, result))


async def test_citations_become_sources_behind_the_text() -> None:
    """A source is told once, and does not cut the text in two."""
    cited = {
        "type": "web_search_result_location",
        "url": "https://example.com",
        "title": "T",
        "cited_text": "c",
        "encrypted_index": "E",
    }
    note = {"type": "citations_delta", "citation": cited}

    pieces = await answered(text(0, say("Take "), note, note, say("it.")))

    assert pieces[2:] == [Text("Take "), Text("it."), PartEnd(), Source("url", "https://example.com", "T"), *ENDED]


async def test_what_must_go_back_goes_back_verbatim() -> None:
    """From the stream into parts and back to Anthropic: thought, text, call and result, none changed."""
    async with stub(ANSWER) as served, client(served) as anthropic:
        pieces = await pieces_of(anthropic.messages.create(**ASKED, stream=True))
    thought = next(p for p in pieces if isinstance(p, Provider) and p.part)
    call = next(p for p in pieces if isinstance(p, ToolInput))
    parts: list[dict[str, Any]] = [
        {"type": "step-start"},
        {"type": "reasoning", "text": "Mother is tired.", "provider": thought.values},
        {"type": "text", "text": "Take the tram."},
        {"type": "tool", "name": call.name, "call_id": call.call, "input": call.args, "state": "output-available"}
        | {"output": {"ok": True}},
    ]

    assert anthropic_messages(from_parts("assistant", parts))[1:] == [
        {
            "role": "assistant",
            "content": [THOUGHT, {"type": "text", "text": "Take the tram."}, {**TOOL, "input": {"to": "Lisbon"}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": '{"ok": true}'}],
        },
    ]


@pytest.mark.parametrize("helper", [False, True])
async def test_closing_stops_the_model(helper: bool) -> None:
    """Closing the pieces ends the request: the server sees its client go."""
    async with stub(ANSWER[:10], endless=True) as served, client(served) as anthropic:
        source = anthropic.messages.stream(**ASKED) if helper else anthropic.messages.create(**ASKED, stream=True)
        async with aclosing(recognise(source)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Text):
                    break
        async with asyncio.timeout(PATIENCE_S):
            await served.left.wait()
