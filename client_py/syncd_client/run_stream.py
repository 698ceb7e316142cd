"""PieceWriter: writes what a model or agent library streams into a run, piece by piece.

Knows the pieces' names and none of the libraries that they come from.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import importlib.util
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.core.messages import Json
from syncd_client.tool import ToolCall

if TYPE_CHECKING:
    from syncd_client.run import Run


@dataclass(frozen=True, slots=True)
class Asked:
    """A stream stopped and wants a decision: `await asked.call.approval()`, then ask the library to go on.

    `payload` is what it asks; `resume` what the library wants back to find the place.
    """

    call: ToolCall
    payload: Json
    resume: str | None


@dataclass(slots=True)
class Streamed:
    """How a stream ended.

    `calls` are the tool calls that it made and nobody answered: run them. `asked` are those to decide first.
    `interrupted`: somebody steered, and the rest was left.
    """

    text: str = ""
    finish_reason: str | None = None
    interrupted: bool = False
    calls: list[ToolCall] = field(default_factory=list)
    inputs: dict[str, Json] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


class PieceWriter:
    """Writes the streams of one run, one after the other.

    1. A call that a stream never began is the last one of that name in this run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._calls: dict[str, ToolCall] = {}
        self._last: ToolCall | None = None
        self._texts: list[str] = []

    async def run(self, source: Any) -> Streamed:
        """Write a whole stream, or what comes before somebody interrupts."""
        streamed = Streamed()
        self._texts = []
        pump = asyncio.ensure_future(self._pump(source, streamed))
        interrupt = asyncio.ensure_future(self._run.wait_interrupted())
        try:
            await asyncio.wait({pump, interrupt}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                await pump
            else:
                streamed.interrupted = True
        finally:
            for task in (pump, interrupt):
                task.cancel()
            await asyncio.gather(pump, interrupt, return_exceptions=True)
        self._run.check()
        self._run.output.finish()
        streamed.text = "".join(self._texts)
        if streamed.finish_reason is not None:
            self._run.finish_reason(streamed.finish_reason)
        return streamed

    async def _pump(self, source: Any, streamed: Streamed) -> None:
        async with aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                if isinstance(piece, str):
                    self._texts.append(piece)
                    await self._run.text(piece)
                else:
                    await self._write(piece, streamed)

    async def _write(self, piece: Any, streamed: Streamed) -> None:
        run = self._run
        match type(piece).__name__:
            case "Text":
                self._texts.append(piece.delta)
                await run.text(piece.delta)
            case "Reasoning":
                await run.reasoning(piece.delta)
            case "PartEnd":
                run.output.finish()
            case "ToolInputStart" | "ToolInputDelta" | "ToolInput":
                self._input(piece, streamed)
            case "ToolOutput" | "ToolError" | "ToolApproval":
                await self._answer(piece, streamed)
            case "Source" | "File" | "Data" | "Step":
                await self._part(piece)
            case "Usage":
                run.usage(piece.values)
            case "Provider":
                self._provider(piece)
            case "Finish":
                streamed.finish_reason = piece.reason
            case "Failed":
                from syncd_client.run import RunFailed

                raise RunFailed(piece.code, piece.message)

    def _input(self, piece: Any, streamed: Streamed) -> None:
        kind = type(piece).__name__
        if kind == "ToolInputStart":
            self._begin(piece.call, self._run.tool(piece.name, call_id=piece.call))
        elif kind == "ToolInputDelta":
            self._call(piece.call).input_delta(piece.delta)
        else:
            if piece.call not in self._calls or piece.call in streamed.inputs:
                self._begin(piece.call, self._run.tool(piece.name, piece.args, call_id=piece.call))
            else:
                self._calls[piece.call].input(piece.args)
            call = self._calls[piece.call]
            streamed.inputs[piece.call] = piece.args
            streamed.calls.append(call)

    async def _answer(self, piece: Any, streamed: Streamed) -> None:
        call = self._call(piece.call)
        if type(piece).__name__ == "ToolOutput":
            await call.output(piece.output)
        elif type(piece).__name__ == "ToolError":
            await call.error(piece.message)
        else:
            streamed.asked.append(Asked(call, piece.payload, piece.resume))
        streamed.calls = [one for one in streamed.calls if one is not call]

    async def _part(self, piece: Any) -> None:
        run = self._run
        match type(piece).__name__:
            case "Source":
                names = ("url", "title", "media_type", "filename", "id")
                values = {name: getattr(piece, name) for name in names if getattr(piece, name)}
                if "id" in values:
                    values["source_id"] = values.pop("id")
                run.part({"type": f"source-{piece.kind}", **values})
            case "File":
                coded = base64.b64encode(piece.data).decode() if piece.data else ""
                url = piece.url or f"data:{piece.media_type};base64,{coded}"
                await run.file(url=url, media_type=piece.media_type)
            case "Data":
                if not piece.transient:
                    await run.data(piece.name, piece.value, piece.id)
            case _:
                run.part({"type": "step-start"})

    def _provider(self, piece: Any) -> None:
        if not piece.part:
            self._run.provider(piece.values)
        elif not self._run.output.set_open_part({"provider": dict(piece.values)}) and self._last is not None:
            self._last.provider(piece.values)

    def _begin(self, name: str, call: ToolCall) -> None:
        self._calls[name] = self._last = call

    def _call(self, name: str) -> ToolCall:
        call = self._calls.get(name)
        if call is None:  # Invariant 1, and the id of an interrupt that is no call of the stream's.
            call = self._run.tool_again(name) or self._run.tool("approval", {"id": name}, call_id=name)
            self._calls[name] = call
        self._last = call
        return call


async def _pieces(source: Any) -> AsyncGenerator[Any, None]:
    """Yield strings or pieces of `source`; close it, whatever ends this."""
    if importlib.util.find_spec("syncd_client.adapters") is not None:
        source = importlib.import_module("syncd_client.adapters").adapt(source)
    try:
        async for piece in source:
            yield piece
    finally:
        if hasattr(source, "aclose"):
            await source.aclose()
