"""OpenAI: its two streams, `chat.completions` and `responses`, as pieces.

Knows the events by what they say; imports nothing of the library. Servers that speak like OpenAI's are meant too, with
what they leave out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from syncd.core.messages import Json
from syncd_client.adapters.calls import Calls
from syncd_client.adapters.pieces import (
    Failed,
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

CHAT_UNDERSTOOD: Final = "OpenAI chat.completions.create(stream=True) or chat.completions.stream()"
RESPONSES_UNDERSTOOD: Final = "OpenAI responses.create(stream=True) or responses.stream()"

_FINISH: Final = {"tool_calls": "tool-calls", "function_call": "tool-calls", "content_filter": "content-filter"}
_KNOWN_FINISH: Final = ("stop", "length")


class Chat:
    """One chat completion. Only the first choice is read."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._open: dict[int, _Arguments] = {}
        self._id: str | None = None
        self._refused = False

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is a chunk, or an event of `chat.completions.stream()`."""
        return _is_chunk(item) or (getattr(item, "type", None) == "chunk" and _is_chunk(getattr(item, "chunk", None)))

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        # The `stream()` helper adds events of its own that say the same again.
        chunk = item if _is_chunk(item) else getattr(item, "chunk", None)
        if chunk is None:
            return
        if self._id is None and chunk.id:
            self._id = chunk.id
            yield Step()
            yield Provider({"openai": {"response_id": chunk.id, "model": chunk.model}})
        # The last chunk, with the usage, has no choices; so has Azure's first.
        for choice in chunk.choices or ():
            if not choice.index and choice.delta is not None:
                yield from self._delta(choice.delta)
            if not choice.index and choice.finish_reason:
                yield from self._finish(choice.finish_reason)
        if getattr(chunk, "usage", None):
            yield Usage(_chat_usage(chunk.usage))

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        yield PartEnd()

    def _delta(self, delta: Any) -> Iterator[Piece]:
        # Not OpenAI's own, but DeepSeek's, vLLM's and OpenRouter's.
        reasoning = getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None)
        if isinstance(reasoning, str) and reasoning:
            yield Reasoning(reasoning)
        if delta.content:
            yield Text(delta.content)
        if getattr(delta, "refusal", None):
            if not self._refused:
                self._refused = True
                yield PartEnd()
            yield Text(delta.refusal)
        for part in delta.tool_calls or ():
            yield from self._tool(part)

    def _tool(self, part: Any) -> Iterator[Piece]:
        index = part.index or 0
        name = part.function.name if part.function else None
        found = self._open.get(index)
        # The id is in the first delta alone. Some servers send whole calls, all with index 0.
        if found is None or (part.id and part.id != found.id):
            if found is not None:
                yield found.complete()
            found = _Arguments(self._calls.start(part.id), name or "", id=part.id)
            self._open[index] = found
            yield ToolInputStart(found.call, found.name)
        if part.function and part.function.arguments:
            found.text += part.function.arguments
            yield ToolInputDelta(found.call, part.function.arguments)

    def _finish(self, reason: str) -> Iterator[Piece]:
        if self._refused:
            yield Provider({"openai": {"refusal": True}}, part=True)
            reason = "content_filter"
        yield PartEnd()
        for found in self._open.values():
            yield found.complete()
        self._open.clear()
        yield Finish(_FINISH.get(reason, reason if reason in _KNOWN_FINISH else "other"))


class Responses:
    """One response, or several one after the other. `calls` are shared where more than one stream is one run."""

    def __init__(self, calls: Calls | None = None) -> None:
        self._calls = calls or Calls()
        self._open: dict[int, _Arguments] = {}
        self._sources: list[Source] = []
        self._reasoned = self._refused = self._called = self._background = False

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is an event of a response."""
        kind = getattr(item, "type", None)
        return isinstance(kind, str) and (kind.startswith("response.") or type(item).__name__ == "ResponseErrorEvent")

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        handle = _RESPONSE_EVENTS.get(item.type)
        if handle is None:
            return
        yield from handle(self, item)
        if self._background and item.type not in _ENDS:
            # `responses.retrieve(id, stream=True, starting_after=n)` goes on behind it.
            yield Provider({"openai": {"sequence_number": item.sequence_number}})

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        yield from self._close_part()

    def _created(self, event: Any) -> Iterator[Piece]:
        response = event.response
        self._open.clear()
        self._refused = self._called = False
        self._background = bool(getattr(response, "background", None))
        yield Step()
        yield Provider({"openai": {"response_id": response.id, "model": response.model}})

    def _text(self, event: Any) -> Iterator[Piece]:
        if event.delta:
            yield Text(event.delta)

    def _refusal(self, event: Any) -> Iterator[Piece]:
        self._refused = True
        yield Text(event.delta)

    def _refusal_done(self, _: Any) -> Iterator[Piece]:
        yield Provider({"openai": {"refusal": True}}, part=True)

    def _reasoning(self, event: Any) -> Iterator[Piece]:
        if event.delta:
            self._reasoned = True
            yield Reasoning(event.delta)

    def _summary_part(self, event: Any) -> Iterator[Piece]:
        if event.summary_index and self._reasoned:  # One block of the provider's stays one part.
            yield Reasoning("\n\n")

    def _annotation(self, event: Any) -> Iterator[Piece]:
        note = plain(event.annotation) or {}
        if note.get("type") == "url_citation":
            self._sources.append(Source("url", url=note.get("url") or "", title=note.get("title") or ""))
        elif note.get("type") in ("file_citation", "container_file_citation"):
            name = note.get("filename") or ""
            self._sources.append(Source("document", title=name, filename=name, id=note.get("file_id") or ""))
        return iter(())  # Told behind the text: a source is a part of its own and would cut it in two.

    def _close_part(self, _: Any = None) -> Iterator[Piece]:
        yield PartEnd()
        yield from self._sources
        self._sources.clear()

    def _added(self, event: Any) -> Iterator[Piece]:
        item = event.item
        if item.type == "reasoning":
            self._reasoned = False
        if item.type in ("message", "reasoning") or not _is_call(item):
            return
        id = getattr(item, "call_id", None) or item.id
        name = getattr(item, "name", None) or item.type.removesuffix("_call")
        found = self._open[event.output_index] = _Arguments(self._calls.start(id), name, id=id)
        yield ToolInputStart(found.call, name)

    def _arguments(self, event: Any) -> Iterator[Piece]:
        found = self._open.get(event.output_index)
        if found is not None and event.delta:
            yield ToolInputDelta(found.call, event.delta)

    def _done(self, event: Any) -> Iterator[Piece]:
        item = event.item
        if item.type == "message":
            yield from self._close_part()
        elif item.type == "reasoning":
            if not self._reasoned:
                yield Reasoning("")
            yield Provider({"openai": plain(item)}, part=True)
            yield PartEnd()
        elif _is_call(item):
            if event.output_index not in self._open:
                yield from self._added(event)
            yield from self._call_done(item, self._open.pop(event.output_index))

    def _call_done(self, item: Any, found: _Arguments) -> Iterator[Piece]:
        call, name = found.call, found.name
        if item.type == "function_call":
            self._called = True
            yield ToolInput(call, name, arguments(item.arguments))
        elif item.type == "custom_tool_call":
            self._called = True
            yield ToolInput(call, name, item.input)
        elif item.type == "mcp_approval_request":
            yield ToolInput(call, name, arguments(item.arguments))
            yield ToolApproval(call, plain(item), resume=item.id)
        else:  # The provider ran it.
            value = plain(item)
            images = _images(value)
            yield ToolInput(call, name, _hosted_input(value))
            yield Provider({"openai": value}, part=True, call=call)
            if value.get("error"):
                yield ToolError(call, str(value["error"]))
            elif item.type in ("computer_call", "local_shell_call", "shell_call", "apply_patch_call"):
                self._called = True  # It is for the app to run.
            else:
                yield ToolOutput(call, _hosted_output(value))
            yield from images

    def _completed(self, event: Any) -> Iterator[Piece]:
        response = event.response
        yield from self._close_part()
        if response.usage is not None:
            yield Usage(_response_usage(response.usage))
        reason = "content-filter" if self._refused else "tool-calls" if self._called else "stop"
        if event.type == "response.incomplete":
            why = getattr(response.incomplete_details, "reason", None)
            reason = {"max_output_tokens": "length", "content_filter": "content-filter"}.get(why or "", "other")
        yield Finish(reason)

    def _failed(self, event: Any) -> Iterator[Piece]:
        yield from self._close_part()
        error = event.response.error
        yield Failed(getattr(error, "code", None) or "failed", getattr(error, "message", None) or "the response failed")

    def _error(self, event: Any) -> Iterator[Piece]:
        yield Failed(event.code or "error", event.message)


_RESPONSE_EVENTS: Final = {
    "response.created": Responses._created,
    "response.output_text.delta": Responses._text,
    "response.refusal.delta": Responses._refusal,
    "response.refusal.done": Responses._refusal_done,
    "response.reasoning_text.delta": Responses._reasoning,
    "response.reasoning_summary_text.delta": Responses._reasoning,
    "response.reasoning_summary_part.added": Responses._summary_part,
    "response.output_text.annotation.added": Responses._annotation,
    "response.output_item.added": Responses._added,
    "response.function_call_arguments.delta": Responses._arguments,
    "response.custom_tool_call_input.delta": Responses._arguments,
    "response.mcp_call_arguments.delta": Responses._arguments,
    "response.code_interpreter_call_code.delta": Responses._arguments,
    "response.output_item.done": Responses._done,
    "response.completed": Responses._completed,
    "response.incomplete": Responses._completed,
    "response.failed": Responses._failed,
    "error": Responses._error,
}
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed", "error")


class _Arguments:
    """The arguments of a call while they come."""

    def __init__(self, call: str, name: str, *, id: str | None) -> None:
        self.call, self.name, self.id, self.text = call, name, id, ""

    def complete(self) -> ToolInput:
        return ToolInput(self.call, self.name, arguments(self.text))


def _is_chunk(item: Any) -> bool:
    # By the class as well: servers that speak like OpenAI's leave `object` empty.
    return type(item).__name__ == "ChatCompletionChunk" or getattr(item, "object", None) == "chat.completion.chunk"


def _is_call(item: Any) -> bool:
    return str(item.type).endswith("_call") or item.type == "mcp_approval_request"


def _images(value: dict[str, Json]) -> list[File]:
    """Take the pictures out of what an image generation returned: bytes have no place in a tool's part."""
    if value["type"] != "image_generation_call" or not isinstance(value.get("result"), str):
        return []
    return [File(f"image/{value.get('output_format') or 'png'}", data=base64.b64decode(value.pop("result")))]


def _hosted_input(value: Mapping[str, Json]) -> Json:
    if isinstance(value.get("arguments"), str):
        return arguments(value["arguments"])
    return {key: value[key] for key in ("action", "queries", "code", "operation") if value.get(key) is not None}


def _hosted_output(value: Mapping[str, Json]) -> Json:
    if value.get("output") is not None:
        return value["output"]
    found = {key: value[key] for key in ("results", "outputs", "revised_prompt") if value.get(key) is not None}
    return found or value.get("status")


def _chat_usage(usage: Any) -> dict[str, int]:
    prompt, completion = (
        getattr(usage, "prompt_tokens_details", None),
        getattr(usage, "completion_tokens_details", None),
    )
    return counts(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        cached_input_tokens=getattr(prompt, "cached_tokens", None),
        reasoning_tokens=getattr(completion, "reasoning_tokens", None),
    )


def _response_usage(usage: Any) -> dict[str, int]:
    return counts(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        cached_input_tokens=getattr(usage.input_tokens_details, "cached_tokens", None),
        reasoning_tokens=getattr(usage.output_tokens_details, "reasoning_tokens", None),
    )
