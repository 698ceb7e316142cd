"""RunWriting: what a handler writes into its run: text, parts, calls of tools, what it cost.

Knows nothing of what the server says of the run; see `run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from syncd.core.messages import Json
from syncd.core.run_writer import PartPlace
from syncd_client.calls import RunCalls
from syncd_client.run_output import RunOutput
from syncd_client.run_stream import PieceWriter, Streamed
from syncd_client.tool import ToolCall

if TYPE_CHECKING:
    from syncd_client.run import Run


class RunWriting:
    """What can be written into a run. `run.Run` is what it is written into.

    1. Nothing is written that is not this process' to write: see `check`.
    """

    output: RunOutput

    def __init__(self, calls: RunCalls) -> None:
        self._calls = calls
        self._usage: dict[str, Json] = {}
        self._provider: dict[str, Json] = {}
        self._finish_reason: str | None = None
        self._data: dict[tuple[str, str], PartPlace] = {}
        self._streamed_calls: dict[str, ToolCall] = {}

    def check(self) -> None:
        """See `run.Run`."""
        raise NotImplementedError

    def _earlier_data(self, type: str, id: str) -> PartPlace | None:
        """Return where an attempt that this one goes on from, in another process, wrote a value of this type and id."""
        raise NotImplementedError

    def _set_earlier(self, place: PartPlace, fields: Mapping[str, Json]) -> None:
        """Set fields of a part that such an attempt wrote."""
        raise NotImplementedError

    async def text(self, text: str) -> None:
        """Append to the answer. Stored and sent with what comes within 40 ms.

        Raises:
            LeaseLost: another worker has the run now, or it is over.
        """
        self.check()
        await self.output.append(text, "text")

    async def reasoning(self, text: str) -> None:
        """Append to the reasoning that is shown apart from the answer."""
        self.check()
        await self.output.append(text, "reasoning")

    async def source(self, *, url: str, title: str = "") -> None:
        """Name a source."""
        self.part({"type": "source-url", "url": url, **({"title": title} if title else {})})

    async def file(self, *, url: str, media_type: str) -> None:
        """Add a file that was made."""
        self.part({"type": "file", "url": url, "media_type": media_type})

    async def data(self, name: str, value: Json, id: str | None = None) -> None:
        """Add a value of the app's own; the same `name` and `id` again replace it."""
        self.check()
        if id is not None and (place := self._data.get((name, id))) is not None:
            self.output.set_part(place, {"data": value})
            return
        if id is not None and (place := self._earlier_data(f"data-{name}", id)) is not None:
            self._set_earlier(place, {"data": value})
            return
        place = self.part({"type": f"data-{name}", "data": value, **({"id": id} if id is not None else {})})
        if id is not None:
            self._data[name, id] = place

    def part(self, part: Mapping[str, Json]) -> PartPlace:
        """Add a part of any type, whole as it is; return where it stands."""
        self.check()
        return self.output.add_part(part)

    def tool(self, name: str, args: Json = None, *, call_id: str | None = None) -> ToolCall:
        """Begin a call of a tool. Without `args` they follow by `input_delta` and `input`. `call_id`: the model's own.

        A run that is taken up again finds a call of the same name and arguments that an earlier attempt made: it keeps
        that one's id, so what was decided on it counts; see `ToolCall.before`.
        """
        self.check()
        id, before = self._calls.begin(name, args)
        part: dict[str, Json] = {"type": "tool", "name": name, "tool_call": id}
        if call_id is not None:
            part["call_id"] = call_id
        part |= {"state": "input-streaming"} if args is None else {"state": "input-available", "input": args}
        return ToolCall(
            cast("Run", self), id, name, self.output.add_part(part), args=args, call_id=call_id, before=before
        )

    def tool_again(self, call_id: str) -> ToolCall | None:
        """Begin again a call that an earlier attempt made under this id of the model's; None if none did."""
        found = self._calls.named(call_id)
        return self.tool(*found, call_id=call_id) if found is not None else None

    async def stream(self, source: Any) -> Streamed:
        """Write what a model or agent library streams; return how that ended.

        Takes any async iterator of strings or pieces, and what the adapters know. Ends early when somebody steers with
        `interrupt`: `Streamed.interrupted` says so, and `steering` has what was said. Of several at once each returns
        what was its own; in the run's answer their texts come as they come: for answers apart, see `sub`.
        """
        self.check()
        return await PieceWriter(cast("Run", self), self._streamed_calls).run(source)

    def usage(self, counts: Mapping[str, int] | None = None, **more: int) -> None:
        """Add to what the run cost, such as `input_tokens=12, output_tokens=30`."""
        self.check()
        for name, count in {**(counts or {}), **more}.items():
            before = self._usage.get(name, 0)
            self._usage[name] = count + (before if isinstance(before, int | float) else 0)
        self.output.set({"usage": self._usage})

    def provider(self, values: Mapping[str, Json] | None = None, **more: Json) -> None:
        """Keep what only the model's side understands, such as ids to resume there. The same name replaces."""
        self.check()
        self._provider |= {**(values or {}), **more}
        self.output.set({"provider": self._provider})

    def finish_reason(self, reason: str) -> None:
        """Say why the model stopped; it becomes the run's, if it completes."""
        self._finish_reason = reason

    async def flush(self) -> None:
        """Return when all that was written so far is on this disk."""
        self.check()
        await self.output.flush()
