"""pydantic-ai: the events of `agent.run_stream_events()` as pieces.

Knows events by their `event_kind`; imports nothing of the library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from syncd.core.messages import Json
from syncd_client.adapters.calls import Calls
from syncd_client.adapters.pieces import (
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

UNDERSTOOD: Final = "pydantic-ai agent.run_stream_events()"

_FINISH: Final = {"tool_call": "tool-calls", "content_filter": "content-filter", "stop": "stop", "length": "length"}
_CALLS: Final = ("tool-call", "builtin-tool-call")


class RunEvents:
    """The events of one run of an agent, of all its model calls."""

    def __init__(self) -> None:
        self._calls = Calls()
        self._parts: dict[int, str] = {}  # index to the call it is, "" for other parts
        self._in_response = False

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is an event of a run."""
        return isinstance(getattr(item, "event_kind", None), str)

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        match item.event_kind:
            case "part_start":
                yield from self._start(item.index, item.part)
            case "part_delta":
                yield from self._delta(item.index, item.delta)
            case "part_end":
                yield from self._end(item.index, item.part)
            case "function_tool_call" | "output_tool_call":
                self._in_response = False  # The call was told part by part, here or in the run that asked for approval.
            case "function_tool_result" | "output_tool_result":
                yield self._result(item.part)
            case "deferred_tool_requests":
                yield from self._deferred(item.requests)
            case "agent_run_result":
                yield from self._run_result(item.result)

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        yield PartEnd()

    def _start(self, index: int, part: Any) -> Iterator[Piece]:
        if not self._in_response or index == 0:
            self._in_response = True
            self._parts.clear()
            yield Step()
        self._parts[index] = ""
        kind = part.part_kind
        if kind == "text" and part.content:
            yield Text(part.content)
        elif kind == "thinking" and part.content:
            yield Reasoning(part.content)
        elif kind in _CALLS:
            # TestModel names calls by their tool: one id for all calls of it.
            call = self._parts[index] = self._calls.start(part.tool_call_id)
            yield ToolInputStart(call, part.tool_name)
            if isinstance(part.args, str) and part.args:
                yield ToolInputDelta(call, part.args)

    def _delta(self, index: int, delta: Any) -> Iterator[Piece]:
        match delta.part_delta_kind:
            case "text" if delta.content_delta:
                yield Text(delta.content_delta)
            case "thinking" if delta.content_delta:
                yield Reasoning(delta.content_delta)
            case "tool_call" if isinstance(delta.args_delta, str) and delta.args_delta:
                yield ToolInputDelta(self._parts[index], delta.args_delta)

    def _end(self, index: int, part: Any) -> Iterator[Piece]:
        match part.part_kind:
            case "text":
                yield PartEnd()
                yield from _sources(part.citations or ())
            case "thinking":
                # Signatures come with the end, or in a delta of their own: the whole part has them all.
                opaque = _opaque(part)
                if opaque and not part.content:
                    yield Reasoning("")
                if opaque:
                    yield Provider({"pydantic_ai": opaque}, part=True)
                yield PartEnd()
            case "tool-call" | "builtin-tool-call":
                call = self._parts[index]
                yield ToolInput(call, part.tool_name, _arguments(part.args))
                if opaque := _opaque(part):
                    yield Provider({"pydantic_ai": opaque}, part=True, call=call)
            case "builtin-tool-return":
                yield ToolOutput(self._calls.find(part.tool_call_id), plain(part.content))
            case "file":
                yield File(part.content.media_type, data=part.content.data)

    def _result(self, part: Any) -> Piece:
        call = self._calls.find(part.tool_call_id)
        if part.part_kind == "retry-prompt" or getattr(part, "outcome", "success") != "success":
            return ToolError(call, _said(part.content))
        return ToolOutput(call, plain(part.content))

    def _deferred(self, requests: Any) -> Iterator[Piece]:
        # Calls that others run (`requests.calls`) are complete calls without a result: nothing to decide.
        for part in requests.approvals:
            payload: dict[str, Json] = {"name": part.tool_name, "args": _arguments(part.args)}
            if metadata := requests.metadata.get(part.tool_call_id):
                payload["metadata"] = plain(metadata)
            yield ToolApproval(self._calls.find(part.tool_call_id), payload, resume=part.tool_call_id)

    def _run_result(self, result: Any) -> Iterator[Piece]:
        usage = result.usage
        details = getattr(usage, "details", None) or {}
        yield Usage(
            counts(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cached_input_tokens=usage.cache_read_tokens or None,
                reasoning_tokens=details.get("reasoning_tokens"),
            )
        )
        reason = getattr(result.response, "finish_reason", None)
        yield Finish(_FINISH.get(reason or "stop", "other"))


def _opaque(part: Any) -> dict[str, Json]:
    found = {name: getattr(part, name, None) for name in ("id", "signature", "provider_details")}
    kept = {name: plain(value) for name, value in found.items() if value}
    return {**kept, "provider_name": part.provider_name} if kept else {}


def _arguments(args: Any) -> Json:
    return arguments(args) if isinstance(args, str) or args is None else plain(args)


def _said(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(plain(content), ensure_ascii=False)


def _sources(citations: Any) -> Iterator[Source]:
    told = set()
    for source in (source for citation in citations for source in citation.sources):
        url, title = getattr(source, "url", None), source.title or ""
        id = "" if url else getattr(source, "document_id", None) or ""
        piece = Source("url", url=url, title=title) if url else Source("document", title=title, id=id)
        if piece not in told:
            told.add(piece)
            yield piece
