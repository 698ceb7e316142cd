"""LangChain: chunks of `astream()`, and events of `astream_events(version="v2")`, as pieces.

Knows messages by what they have; imports nothing of the library. What is built on it, LangGraph, uses `Messages` too.
"""

from __future__ import annotations

import base64
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

from syncd.core.messages import Json
from syncd_client.adapters.calls import Calls
from syncd_client.adapters.floor import Floor
from syncd_client.adapters.pieces import (
    Data,
    File,
    Finish,
    PartEnd,
    Piece,
    Provider,
    Reasoning,
    Source,
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
from syncd_client.adapters.plain import arguments, counts, plain

UNDERSTOOD: Final = "LangChain astream()"
EVENTS_UNDERSTOOD: Final = 'LangChain astream_events(version="v2")'

_FINISH: Final = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool-calls",
    "tool_use": "tool-calls",
    "content_filter": "content-filter",
    "safety": "content-filter",
    "refusal": "content-filter",
}


def is_message(item: Any) -> bool:
    """Whether `item` is a message or a chunk of one."""
    return isinstance(getattr(item, "type", None), str) and hasattr(item, "response_metadata")


class Chunks:
    """What a model's, or a chain's, `astream()` yields: chunks of one message, or of several one after the other."""

    def __init__(self) -> None:
        self._messages = Messages()

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is a message or a chunk of one."""
        return is_message(item)

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        return self._messages.take(getattr(item, "id", None), item)

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        return self._messages.end()


class Events:
    """The events of `astream_events(version="v2")`, of a model, a chain or a graph."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._interrupts = Interrupts(self._messages.calls)

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is such an event."""
        return isinstance(item, dict) and str(item.get("event")).startswith("on_") and "run_id" in item

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        data, run = item["data"], item["run_id"]
        match item["event"]:
            case "on_chat_model_stream":
                yield from self._messages.take(run, data["chunk"])
            case "on_chat_model_end":
                if not self._messages.knows(run) and is_message(data.get("output")):
                    yield from self._messages.take(run, data["output"])
                yield from self._messages.done(run)
            case "on_tool_end":
                yield from self._tool(item, data.get("output"))
            case "on_tool_error":
                yield from self._tool_failed(item)
            case "on_custom_event":
                yield Data(str(item["name"]), plain(data))
            case "on_chain_stream":
                chunk = data.get("chunk")
                if isinstance(chunk, dict):
                    yield from self._interrupts.tell(chunk.get("__interrupt__"))

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        return self._messages.end()

    def _tool(self, item: Mapping[str, Any], output: Any) -> Iterator[Piece]:
        if is_message(output):
            yield from self._messages.take(None, output)
        else:  # A tool that no model called.
            call = self._messages.calls.start(item["run_id"])
            yield ToolInput(call, str(item["name"]), plain(item["data"].get("input")))
            yield ToolOutput(call, plain(output))

    def _tool_failed(self, item: Mapping[str, Any]) -> Iterator[Piece]:
        id, calls = item["data"].get("tool_call_id"), self._messages.calls
        if _is_interrupt(item["data"].get("error")):
            return  # It did not fail: it asks, and is run again with the answer.
        call = calls.find(id) if id else calls.start(item["run_id"])
        if not calls.has(id):
            yield ToolInput(call, str(item["name"]), plain(item["data"].get("input")))
        yield from self._messages.answered(id, ToolError(call, str(item["data"].get("error"))))


class Interrupts:
    """Where a graph stopped to ask. Streams of several modes tell of one interrupt more than once."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._told: set[str] = set()

    def tell(self, interrupts: Any) -> Iterator[Piece]:
        """Return those of `interrupts` that are new."""
        for interrupt in interrupts or ():
            id = str(getattr(interrupt, "id", ""))
            if id in self._told:
                continue
            self._told.add(id)
            payload = plain(getattr(interrupt, "value", interrupt))
            about = payload.get("tool_call_id") if isinstance(payload, dict) else None
            call = self._calls.find(about) if isinstance(about, str) and self._calls.has(about) else id
            yield ToolApproval(call, payload, resume=id)


class Messages:
    """Messages of one stream by a key of the caller's: chunks, whole messages, and results of tools.

    1. One message is heard to its end before the next, though they may come mixed: see `Floor`.
    2. What was streamed is not said again when the whole message comes too.
    """

    def __init__(self) -> None:
        self.calls = Calls()
        self._floor = Floor()
        self._open: dict[Hashable, Message] = {}
        self._seen: set[Hashable] = set()
        self._speaker_of: dict[str, Hashable] = {}
        self._answered: set[str] = set()

    def knows(self, key: Hashable) -> bool:
        """Whether anything of that message was said."""
        return key in self._seen

    def take(self, key: Hashable, message: Any) -> Iterator[Piece]:
        """Return what a chunk, a whole message or a tool's result says."""
        if message.type == "tool":
            yield from self._result(message)
        elif message.type == "AIMessageChunk":
            yield from self._floor.say(key, list(self.message(key).chunk(message)))
            if message.chunk_position == "last":
                yield from self.done(key)
        elif message.type == "ai" and key not in self._seen:  # Invariant 2.
            yield from self._floor.say(key, list(self.message(key).chunk(message)))
            yield from self.done(key)

    def done(self, key: Hashable) -> Iterator[Piece]:
        """Return what completes that message. Harmless if it is complete, or unknown."""
        message = self._open.pop(key, None)
        if message is not None:
            self._speaker_of |= dict.fromkeys(message.ids, key)
            yield from self._floor.say(key, list(message.end()))
            yield from self._floor.done(key)

    def answered(self, id: str | None, piece: Piece) -> Iterator[Piece]:
        """Return the result of the call that the library names `id`, behind the message that made the call."""
        self._answered.add(id or "")
        key = next((key for key, message in self._open.items() if id in message.ids), None)
        if key is not None:
            yield from self.done(key)
        if id in self._speaker_of:
            yield from self._floor.behind(self._speaker_of[id], [piece])
        else:
            yield piece

    def has_answer(self, id: str) -> bool:
        """Whether a result of the call that the library names `id` was told."""
        return id in self._answered

    def awaits(self, id: str) -> bool:
        """Whether a call of that id was made here and has no result yet."""
        return self.calls.has(id) and id not in self._answered

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        for key in list(self._open):
            yield from self.done(key)
        yield from self._floor.end()

    def message(self, key: Hashable) -> Message:
        """Return the message that is open under `key`, a new one if none is."""
        self._seen.add(key)
        return self._open.setdefault(key, Message(self.calls))

    def say(self, key: Hashable, pieces: list[Piece]) -> Iterator[Piece]:
        """Return what can be heard of `pieces`, which are of the message under `key`."""
        return self._floor.say(key, pieces)

    def _result(self, message: Any) -> Iterator[Piece]:
        id = message.tool_call_id
        if id in self._answered:
            return
        call = self.calls.find(id)
        if message.status == "error":
            yield from self.answered(id, ToolError(call, message.text))
        else:
            yield from self.answered(id, ToolOutput(call, plain(message.content)))


class Message:
    """One message of a model while it comes."""

    def __init__(self, calls: Calls) -> None:
        self.ids: list[str] = []
        self._calls = calls
        self._tools: dict[Hashable, list[str]] = {}  # index to call, name and arguments so far
        self._reasoning: dict[str, Any] = {}
        self._sources: list[Source] = []
        self._usage: dict[str, int] = {}
        self._reason = ""
        self._begun = False

    def chunk(self, message: Any) -> Iterator[Piece]:
        """Return what `message`, a chunk or a whole one, adds."""
        for block in message.content_blocks:
            yield from self.block(block)
        if message.usage_metadata:
            self.add_usage(message.usage_metadata)
        metadata = message.response_metadata
        self._reason = metadata.get("finish_reason") or metadata.get("stop_reason") or self._reason

    def block(self, block: Mapping[str, Any]) -> Iterator[Piece]:
        """Return what a standard content block, or a part of one, adds."""
        yield from self._begin()
        kind = block["type"]
        if kind != "reasoning":
            yield from self.end_reasoning()
        if kind == "text":
            self._sources += _sources(block.get("annotations") or ())
            if block["text"]:
                yield Text(block["text"])
        elif kind == "reasoning":
            self._reasoning = {**self._reasoning, **block}
            if block.get("reasoning"):
                yield Reasoning(block["reasoning"])
        elif kind in ("tool_call_chunk", "server_tool_call_chunk"):
            yield from self.tool(block.get("index"), block.get("id"), block.get("name"), block.get("args"))
        elif kind in ("tool_call", "server_tool_call"):
            call = self._start(block.get("id"))
            yield ToolInput(call, block["name"], plain(block["args"]))
        elif kind == "invalid_tool_call":
            call = self._start(block.get("id"))
            yield ToolInput(call, block.get("name") or "", block.get("args"))
            yield ToolError(call, block.get("error") or "the arguments are no JSON")
        elif kind == "server_tool_result":
            yield ToolOutput(self._calls.find(block["tool_call_id"]), plain(block.get("output")))
        elif kind in ("image", "audio", "video", "file") and (block.get("url") or block.get("base64")):
            data = base64.b64decode(block["base64"]) if block.get("base64") else b""
            yield File(block.get("mime_type") or f"{kind}/*", url=block.get("url") or "", data=data)

    def tool(self, index: Hashable, id: str | None, name: str | None, args: str | None) -> Iterator[Piece]:
        """Return what a part of a call adds. The id and the name are in the first part alone."""
        yield from self._begin()
        found = self._tools.get(index)
        if found is None or (id and name and id != found[3]):
            if found is not None:
                yield ToolInput(found[0], found[1], arguments(found[2]))
            found = self._tools[index] = [self._start(id), name or "", "", id or ""]
            yield ToolInputStart(found[0], found[1])
        if args:
            found[2] += args
            yield ToolInputDelta(found[0], args)

    def finished(self, index: Hashable, block: Mapping[str, Any]) -> Iterator[Piece]:
        """Return what a complete block adds to what was said of it, under `index`, before."""
        kind = block["type"]
        if kind == "text":
            self._sources += _sources(block.get("annotations") or ())
        elif kind == "reasoning":
            yield from self.block({**block, "reasoning": ""})
        elif index in self._tools:
            call, name, text, _ = self._tools.pop(index)
            yield ToolInput(call, name, plain(block["args"]) if kind != "invalid_tool_call" else text)
        else:
            yield from self.block(block)

    def add_usage(self, usage: Mapping[str, Any]) -> None:
        """Count what a chunk says was used: chunks add up."""
        details, made = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
        found = counts(
            input_tokens=usage.get("input_tokens"),
            output_tokens=usage.get("output_tokens"),
            total_tokens=usage.get("total_tokens"),
            cached_input_tokens=details.get("cache_read"),
            reasoning_tokens=made.get("reasoning"),
        )
        for name, value in found.items():
            self._usage[name] = self._usage.get(name, 0) + value

    def end_reasoning(self) -> Iterator[Piece]:
        """Return what completes reasoning that is open: a signature came with it, or it was never shown."""
        if self._reasoning.get("extras"):
            yield Provider({"langchain": {"extras": plain(self._reasoning["extras"])}}, part=True)
        if self._reasoning:
            yield PartEnd()
        self._reasoning = {}

    def end(self) -> Iterator[Piece]:
        """Return what completes the message."""
        yield from self.end_reasoning()
        if self._begun:
            yield PartEnd()
            yield from self._sources
        for call, name, text, _ in self._tools.values():
            yield ToolInput(call, name, arguments(text))
        if self._usage:
            yield Usage(self._usage)
        if self._begun:
            reason = _FINISH.get(self._reason.lower(), "other") if self._reason else ""
            yield Finish(reason or ("tool-calls" if self.ids else "stop"))

    def _begin(self) -> Iterator[Piece]:
        if not self._begun:
            self._begun = True
            yield Step()

    def _start(self, id: str | None) -> str:
        self.ids.append(id or "")
        return self._calls.start(id)


def _is_interrupt(error: Any) -> bool:
    """Whether a graph leaves a node, or a tool, by this exception to stop or to ask. Told by its name, as all here."""
    return any(kind.__name__ == "GraphBubbleUp" for kind in type(error).__mro__)


def _sources(annotations: Any) -> list[Source]:
    return [
        Source("url", url=note["url"], title=note.get("title") or "")
        for note in annotations
        if note.get("type") == "citation" and note.get("url")
    ]


def as_json(value: Any) -> Json:
    """Return what a tool or a node returned as JSON; of a message, its content."""
    return plain(value.content) if is_message(value) else plain(value)
