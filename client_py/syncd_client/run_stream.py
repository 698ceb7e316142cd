"""PieceWriter: writes what a model or agent library streams into a run, piece by piece.

Knows pieces and none of the libraries that they come from.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syncd.core.messages import Json
from syncd_client.adapters.pieces import (
    Data,
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
from syncd_client.adapters.sources import recognise
from syncd_client.run_failures import RunFailed
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
    """Writes one stream of a run. `calls` are those that the run's streams made, by the names that they gave them.

    1. A call that a stream never began is the last one of that name in this run; its arguments alone begin a new one,
       unless that last one has the same and no result: a library that was asked to go on tells them again. One that a
       stream begins is a new one, whatever another stream called by that name.
    """

    def __init__(self, run: Run, calls: dict[str, ToolCall]) -> None:
        self._run = run
        self._calls = calls
        self._last: ToolCall | None = None
        self._texts: list[str] = []
        self._begun: set[str] = set()

    async def run(self, source: Any) -> Streamed:
        """Write a whole stream, or what comes before somebody interrupts."""
        streamed = Streamed()
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
        async with aclosing(recognise(source)) as pieces:
            async for piece in pieces:
                await self._write(piece, streamed)

    async def _write(self, piece: Piece, streamed: Streamed) -> None:
        run = self._run
        match piece:
            case Text(delta):
                self._texts.append(delta)
                await run.text(delta)
            case Reasoning(delta):
                await run.reasoning(delta)
            case PartEnd():
                run.output.finish()
            case ToolInputStart() | ToolInputDelta() | ToolInput():
                self._input(piece, streamed)
            case ToolOutput() | ToolError() | ToolApproval():
                await self._answer(piece, streamed)
            case Source() | File() | Data() | Step():
                await self._part(piece)
            case Usage(values):
                run.usage(values)
            case Provider():
                self._provider(piece)
            case Finish(reason):
                streamed.finish_reason = reason
            case Failed(code, message):
                raise RunFailed(code, message)

    def _input(self, piece: ToolInputStart | ToolInputDelta | ToolInput, streamed: Streamed) -> None:
        match piece:
            case ToolInputStart(call, name):
                self._begin(call, self._run.tool(name, call_id=call))
            case ToolInputDelta(call, delta):
                self._call(call).input_delta(delta)
            case ToolInput(call, name, args):
                if call in self._begun and call not in streamed.inputs:
                    self._calls[call].input(args)
                elif call in streamed.inputs or not self._waits(call, name, args):  # Invariant 1.
                    self._begin(call, self._run.tool(name, args, call_id=call))
                streamed.inputs[call] = args
                streamed.calls.append(self._calls[call])

    def _waits(self, call: str, name: str, args: Json) -> bool:
        """Whether an earlier stream made this very call, and it has no result yet."""
        found = self._calls.get(call)
        return found is not None and not found.answered and (found.name, found.args) == (name, args)

    async def _answer(self, piece: ToolOutput | ToolError | ToolApproval, streamed: Streamed) -> None:
        call = self._call(piece.call, piece.payload if isinstance(piece, ToolApproval) else None)
        match piece:
            case ToolOutput(_, output):
                await call.output(output)
            case ToolError(_, message):
                await call.error(message)
            case ToolApproval(_, payload, resume):
                call.ask(payload)
                streamed.asked.append(Asked(call, payload, resume))
        streamed.calls = [one for one in streamed.calls if one is not call]

    async def _part(self, piece: Source | File | Data | Step) -> None:
        run = self._run
        match piece:
            case Source():
                names = ("url", "title", "media_type", "filename", "id")
                values = {name: getattr(piece, name) for name in names if getattr(piece, name)}
                if "id" in values:
                    values["source_id"] = values.pop("id")
                run.part({"type": f"source-{piece.kind}", **values})
            case File(media_type, url, data):
                coded = base64.b64encode(data).decode()
                await run.file(url=url or f"data:{media_type};base64,{coded}", media_type=media_type)
            case Data(name, value, id, transient):
                if not transient:
                    await run.data(name, value, id)
            case Step():
                run.part({"type": "step-start"})

    def _provider(self, piece: Provider) -> None:
        if piece.call is not None:
            self._call(piece.call).provider(piece.values)
        elif not piece.part:
            self._run.provider(piece.values)
        elif not self._run.output.set_open_part({"provider": dict(piece.values)}) and self._last is not None:
            self._last.provider(piece.values)

    def _begin(self, name: str, call: ToolCall) -> None:
        self._calls[name] = self._last = call
        self._begun.add(name)

    def _call(self, name: str, payload: Json = None) -> ToolCall:
        call = self._calls.get(name)
        if call is None:  # Invariant 1, and the id of an interrupt that is no call of the stream's.
            asked = payload if payload is not None else {"id": name}
            call = self._run.tool_again(name) or self._run.tool("approval", asked, call_id=name)
            self._calls[name] = call
        self._last = call
        return call
