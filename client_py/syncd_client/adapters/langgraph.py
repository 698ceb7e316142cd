"""LangGraph: what `astream()` yields, in any of its modes, as pieces; and the events of the v3 protocol.

Knows items by their shape; imports nothing of the library. `thread_id` should be the session's id: an interrupt is
then found again by whoever resumes it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

from syncd_client.adapters.langchain import Interrupts, Messages, as_json, is_message
from syncd_client.adapters.pieces import (
    Data,
    Failed,
    Piece,
    ToolError,
    ToolInput,
    ToolOutput,
)
from syncd_client.adapters.plain import plain

UNDERSTOOD: Final = "LangGraph astream() with any stream_mode"
EVENTS_UNDERSTOOD: Final = 'LangChain or LangGraph astream_events(version="v3")'

_MODES: Final = ("messages", "updates", "custom", "values", "tools", "tasks", "checkpoints", "debug")


class Graph:
    """Items of `astream()`: `(mode, data)`, `(namespace, mode, data)`, dicts of `version="v2"`, or one mode's data."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._interrupts = Interrupts(self._messages.calls)
        self._streamed = False

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is of a graph."""
        return _split(item) is not None

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        found = _split(item)
        if found is None:
            return
        mode, data = found
        if mode == "messages":
            self._streamed = True
            yield from self._messages.take(data[0].id, data[0])
        elif mode == "updates":
            yield from self._update(data)
        elif mode == "custom":
            yield Data("custom", plain(data))
        elif mode == "tools":
            yield from tool_event(self._messages, data)
        elif mode == "values" and isinstance(data, Mapping):
            yield from results(self._messages, data)
            yield from self._interrupts.tell(data.get("__interrupt__"))

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        return self._messages.end()

    def _update(self, update: Mapping[str, Any]) -> Iterator[Piece]:
        for node, value in update.items():
            if node == "__interrupt__":
                yield from self._interrupts.tell(value)
                continue
            for message in _messages_in(value):
                # With the mode "messages", what is not streamed was left out on purpose (the tag "nostream").
                if message.type == "tool" or not self._streamed:
                    yield from self._messages.take(message.id, message)
                yield from self._messages.done(message.id)


class GraphEvents:
    """Events of the v3 protocol, from a graph (in envelopes with a `method`) or from a model (bare)."""

    def __init__(self) -> None:
        self._messages = Messages()
        self._interrupts = Interrupts(self._messages.calls)

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is such an event."""
        return isinstance(item, dict) and (
            (item.get("type") == "event" and "method" in item) or item.get("event") == "message-start"
        )

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        if "method" not in item:
            yield from self._message(None, item)
            return
        data = item["params"].get("data")
        match item["method"]:
            case "messages":
                data, metadata = data if isinstance(data, tuple | list) else (data, {})
                if is_message(data):
                    yield from self._messages.take(data.id, data)
                else:
                    yield from self._message(metadata.get("run_id"), data)
            case "tools":
                yield from tool_event(self._messages, data)
            case "custom":
                yield Data("custom", plain(data))
            case "values":
                if isinstance(data, Mapping):
                    yield from results(self._messages, data)
                yield from self._interrupts.tell(item["params"].get("interrupts"))

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        return self._messages.end()

    def _message(self, key: Hashable, event: Mapping[str, Any]) -> Iterator[Piece]:
        kind = event["event"]
        if kind == "message-finish":
            if event.get("usage"):
                self._messages.message(key).add_usage(event["usage"])
            yield from self._messages.done(key)
        elif kind == "error":
            yield Failed(event.get("code") or "error", event["message"])
        elif kind.startswith("content-block"):
            yield from self._messages.say(key, list(self._block(key, event)))

    def _block(self, key: Hashable, event: Mapping[str, Any]) -> Iterator[Piece]:
        message, index = self._messages.message(key), event["index"]
        if event["event"] == "content-block-delta":
            delta = event["delta"]
            kind = delta["type"]
            if kind == "text-delta":
                yield from message.block({"type": "text", "text": delta["text"]})
            elif kind == "reasoning-delta":
                yield from message.block({"type": "reasoning", "reasoning": delta["reasoning"]})
            elif kind == "tool-call-delta":
                yield from message.tool(index, None, None, delta["args"])
        elif event["event"] == "content-block-start":
            if event["content"]["type"] in _CALL_CHUNKS:
                yield from message.tool(index, event["content"].get("id"), event["content"].get("name"), None)
        else:
            yield from message.finished(index, event["content"])


_CALL_CHUNKS: Final = ("tool_call_chunk", "server_tool_call_chunk")


def tool_event(messages: Messages, event: Mapping[str, Any]) -> Iterator[Piece]:
    """Return what an event of a tool that runs says."""
    id = event["tool_call_id"]
    if event["event"] == "tool-started" and not messages.calls.has(id):
        yield ToolInput(messages.calls.start(id), event["tool_name"], plain(event.get("input")))
    elif event["event"] == "tool-finished" and not messages.has_answer(id):
        yield from messages.answered(id, ToolOutput(messages.calls.find(id), as_json(event["output"])))
    elif event["event"] == "tool-error" and not messages.has_answer(id):
        yield from messages.answered(id, ToolError(messages.calls.find(id), event["message"]))


def results(messages: Messages, state: Mapping[str, Any]) -> Iterator[Piece]:
    """Return the results, in a graph's state, of calls that were made in this stream."""
    for message in _messages_in(state):
        if message.type == "tool" and messages.awaits(message.tool_call_id):
            yield from messages.take(None, message)


def _split(item: Any) -> tuple[str, Any] | None:
    """Return mode and data of an item, None if it is of no graph."""
    if isinstance(item, tuple):
        if len(item) == 2 and is_message(item[0]) and isinstance(item[1], dict):
            return "messages", item
        if len(item) == 3 and isinstance(item[0], tuple):
            item = item[1:]
        if len(item) == 2 and isinstance(item[0], str) and item[0] in _MODES:
            return item[0], item[1]
        if len(item) == 2 and isinstance(item[0], tuple):  # (namespace, data): one mode, with subgraphs.
            return _split(item[1])
    elif isinstance(item, dict):
        if item.get("type") in _MODES and "data" in item:
            return item["type"], item["data"]
        if "__interrupt__" in item and not _messages_in(item):
            return "updates", item
        if any(_messages_in(value) for value in item.values()):
            return "updates", item
        if _messages_in(item):
            return "values", item
    return None


def _messages_in(value: Any) -> list[Any]:
    if isinstance(value, list):  # Several updates of one node in one step.
        return [message for each in value if isinstance(each, Mapping) for message in _messages_in(each)]
    found = value.get("messages") if isinstance(value, Mapping) else None
    found = found if isinstance(found, list | tuple) else [found]
    return [message for message in found if is_message(message)]
