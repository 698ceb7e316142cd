"""Anthropic: the stream of a message as pieces, raw or from the `messages.stream()` helper.

Knows the events by what they say; imports nothing of the library. Only raw events are read: the helper adds `text`,
`thinking`, `input_json`, `signature` and `citation`, which say the same again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from syncd.core.messages import Json
from syncd_client.adapters.calls import Calls
from syncd_client.adapters.pieces import (
    Finish,
    PartEnd,
    Piece,
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
from syncd_client.adapters.plain import arguments, counts, plain

UNDERSTOOD: Final = "Anthropic messages.create(stream=True) or messages.stream()"

_FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool-calls",
    "refusal": "content-filter",
}
_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")


class Messages:
    """One message, or several one after the other.

    1. A block of the provider's is one part: what belongs to it comes before its end.
    2. Blocks that must go back unchanged (thinking with its signature, what the provider's own tools did) go out
       whole, as they were made.
    """

    def __init__(self) -> None:
        self._calls = Calls()
        self._blocks: dict[int, _Block] = {}
        self._hosted: dict[str | None, dict[str, Json]] = {}
        self._input_tokens: dict[str, int] = {}

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is an event of a message."""
        return getattr(item, "type", None) in ("message_start", "content_block_start") and not isinstance(item, dict)

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        match item.type:
            case "message_start":
                yield from self._start(item.message)
            case "content_block_start":
                yield from self._block_start(item.index, item.content_block)
            case "content_block_delta":
                yield from self._delta(self._blocks[item.index], item.delta)
            case "content_block_stop":
                yield from self._block_stop(self._blocks.pop(item.index))
            case "message_delta":
                yield from self._message_delta(item)

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        yield PartEnd()

    def _start(self, message: Any) -> Iterator[Piece]:
        self._blocks.clear()
        self._input_tokens = _usage(message.usage)
        yield Step()
        yield Provider({"anthropic": {"message_id": message.id, "model": message.model}})

    def _block_start(self, index: int, content: Any) -> Iterator[Piece]:
        block = self._blocks[index] = _Block(plain(content))
        if block.type == "text" and block.value.get("text"):
            yield Text(block.value["text"])
        elif block.type == "thinking" and block.value.get("thinking"):
            yield Reasoning(block.value["thinking"])
        elif block.type in _CALLS:
            block.call = self._calls.start(block.value["id"])
            yield ToolInputStart(block.call, block.value["name"])

    def _delta(self, block: _Block, delta: Any) -> Iterator[Piece]:
        match delta.type:
            case "text_delta":
                block.add("text", delta.text)
                yield Text(delta.text)
            case "thinking_delta":
                block.add("thinking", delta.thinking)
                yield Reasoning(delta.thinking)
            case "signature_delta":
                block.add("signature", delta.signature)
            case "input_json_delta":
                block.json += delta.partial_json
                if delta.partial_json:
                    yield ToolInputDelta(block.call, delta.partial_json)
            case "citations_delta":
                block.citations.append(plain(delta.citation))

    def _block_stop(self, block: _Block) -> Iterator[Piece]:
        value = block.value
        if block.type == "text":
            yield PartEnd()
            yield from _sources(block.citations)
        elif block.type in ("thinking", "redacted_thinking"):
            if not value.get("thinking"):
                yield Reasoning("")
            yield Provider({"anthropic": value}, part=True)  # Invariant 1.
            yield PartEnd()
        elif block.type in _CALLS:
            if block.json or not isinstance(value.get("input"), dict):
                value["input"] = arguments(block.json)
            yield ToolInput(block.call, value["name"], value["input"])
            if block.type != "tool_use":
                self._hosted[value["id"]] = value
                yield Provider({"anthropic": value}, part=True, call=block.call)
        elif block.type.endswith("_tool_result"):
            yield from self._result(value)
        else:  # Such as container_upload: nothing to show, but it must go back.
            yield Reasoning("")
            yield Provider({"anthropic": value}, part=True)
            yield PartEnd()

    def _result(self, value: dict[str, Json]) -> Iterator[Piece]:
        id, content = value.get("tool_use_id"), value.get("content")
        call = self._calls.find(id)
        if isinstance(content, dict) and "error_code" in content:
            yield ToolError(call, str(content["error_code"]))
        else:
            yield ToolOutput(call, content)
        made = self._hosted.pop(id, None)
        yield Provider({"anthropic": value if made is None else [made, value]}, part=True, call=call)

    def _message_delta(self, event: Any) -> Iterator[Piece]:
        # Counts here are of the whole message so far; those of the input may have come at its start alone.
        yield Usage({**self._input_tokens, **_usage(event.usage)})
        if event.delta.stop_reason:
            yield Finish(_FINISH.get(event.delta.stop_reason, "other"))


class _Block:
    """One content block while it comes."""

    def __init__(self, value: dict[str, Json]) -> None:
        self.value, self.type = value, str(value["type"])
        self.call, self.json = "", ""
        self.citations: list[Json] = list(value.get("citations") or ())

    def add(self, name: str, text: str) -> None:
        self.value[name] = (self.value.get(name) or "") + text


def _sources(citations: list[Json]) -> Iterator[Source]:
    told = set()
    for citation in citations:
        url, title = citation.get("url"), citation.get("title") or citation.get("document_title") or ""
        source = Source("url", url=url, title=title) if url else Source("document", title=title)
        if source not in told:
            told.add(source)
            yield source


def _usage(usage: Any) -> dict[str, int]:
    return counts(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=getattr(usage, "cache_read_input_tokens", None),
        cache_write_input_tokens=getattr(usage, "cache_creation_input_tokens", None),
        reasoning_tokens=getattr(getattr(usage, "output_tokens_details", None), "thinking_tokens", None),
    )
