"""OpenAI Agents: the events of `result.stream_events()` as pieces, and a syncd session as one of its `Session`s.

Knows events by what they say; imports nothing of the library.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Protocol

from syncd.core.messages import Json
from syncd_client.adapters.calls import Calls
from syncd_client.adapters.openai import Responses
from syncd_client.adapters.pieces import (
    Data,
    PartEnd,
    Piece,
    Text,
    ToolApproval,
    ToolInput,
    ToolOutput,
)
from syncd_client.adapters.plain import arguments, plain

UNDERSTOOD: Final = "openai-agents Runner.run_streamed(...) or its stream_events()"

_KINDS: Final = ("raw_response_event", "run_item_stream_event", "agent_updated_stream_event")


class RunEvents:
    """The events of one run, of all its agents and model calls.

    Raw events are what streams; items say again what was made, and are read for what no raw event says: what tools
    returned, and what a model that does not stream said.
    """

    def __init__(self) -> None:
        self._calls = Calls()
        self._responses = Responses(self._calls)
        self._agent: str | None = None
        self._said = 0  # messages that raw events told, and no item yet

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether `item` is an event of a run."""
        return getattr(item, "type", None) in _KINDS

    def feed(self, item: Any) -> Iterator[Piece]:
        """Return what `item` says."""
        if isinstance(item, ToolApproval):
            yield replace(item, call=self._calls.find(item.call))
        elif item.type == "raw_response_event":
            if Responses.accepts(item.data):
                yield from self._responses.feed(item.data)
            if item.data.type == "response.output_item.done" and item.data.item.type == "message":
                self._said += 1
        elif item.type == "agent_updated_stream_event":
            name, before = item.new_agent.name, self._agent
            self._agent = name
            if before is not None:  # The first is who was asked.
                yield Data("agent", {"name": name})
        else:
            yield from self._item(item.name, item.item)

    def end(self) -> Iterator[Piece]:
        """Return what is left when the stream ended."""
        return self._responses.end()

    def _item(self, name: str, item: Any) -> Iterator[Piece]:
        raw = plain(item.raw_item)
        if name == "message_output_created":
            if not self._said:
                yield from _message(raw)
            self._said = max(0, self._said - 1)
        elif name in ("tool_called", "handoff_requested"):
            id = raw.get("call_id") or raw.get("id")
            if raw.get("type") == "function_call" and not self._calls.has(id):
                yield ToolInput(self._calls.start(id), raw.get("name") or "", arguments(raw.get("arguments")))
        elif name == "tool_output":
            yield ToolOutput(self._calls.find(raw.get("call_id")), plain(item.output))
        elif name == "handoff_occured":
            yield ToolOutput(self._calls.find(raw.get("call_id")), raw.get("output"))


async def events(result: Any) -> AsyncGenerator[Any, None]:
    """Return the events of a result, then the approvals that it waits for: no event says so."""
    async with aclosing(result.stream_events()) as stream:
        async for event in stream:
            yield event
    for approval in interruptions(result):
        yield approval


def interruptions(result: Any) -> list[ToolApproval]:
    """Return what a result that was streamed to its end waits for.

    Answer with `state = result.to_state()`, `state.approve(item)`, and run the state.
    """
    found = []
    for item in result.interruptions:
        raw = plain(item.raw_item)
        id = str(raw.get("call_id") or raw.get("id") or "call")
        payload = {"name": item.tool_name or raw.get("name"), "args": arguments(raw.get("arguments"))}
        found.append(ToolApproval(id, payload, resume=id))
    return found


def _message(raw: Mapping[str, Json]) -> Iterator[Piece]:
    for content in raw.get("content") or ():
        text = content.get("text") or content.get("refusal")
        if text:
            yield Text(text)
            yield PartEnd()


class MessageLike(Protocol):
    """A message, as far as `SyncdSession` reads it."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def by(self) -> str | None:
        """Its verified author, None while that is only this device's word."""

    @property
    def metadata(self) -> Mapping[str, Json]:
        """What was written beside the parts."""

    @property
    def seq(self) -> int | None:
        """Its place in the agreed order, None while it has none."""


class SessionLike(Protocol):
    """What `SyncdSession` needs of a syncd session; `syncd_client.Session` has it."""

    @property
    def subject(self) -> str:
        """Who writes here."""

    async def post(
        self,
        text: str = "",
        *,
        role: str = "user",
        parts: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Json] | None = None,
    ) -> object:
        """Write a message."""

    def messages(self) -> Sequence[MessageLike]:
        """Return all messages in the agreed order."""


#: Where in a message's metadata the items are.
_KEY: Final = "openai_agents"
#: Items of one message, in characters of JSON. An update of more than the frame limit (1 MiB) is refused.
_MESSAGE_CHARS_MAX: Final = 256 << 10


class SyncdSession:
    """A syncd session as a `Session` of openai-agents: what the agent remembers is in the transcript.

    1. Items come back equal to what was added: they are kept as JSON text beside what people see of them.
    2. Nothing is rewritten: taking away is a message that says what no longer counts, and all replicas agree on it.
    3. Items are told from other messages; several agents may keep theirs in one session under ids of their own.
    4. What others write counts for nothing, whatever it calls itself: only this subject's own messages are read.

    With `visible=False` people see nothing of it: for agents whose answers `run.stream` writes already.
    """

    def __init__(
        self, session: SessionLike, session_id: str, *, visible: bool = True, limit: int | None = None
    ) -> None:
        self.session_id = session_id
        self.session_settings: Any = None
        self._session = session
        self._visible = visible
        self._limit = limit

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the newest `limit` items, oldest first; all with None."""
        if limit is None:
            limit = getattr(self.session_settings, "limit", None) or self._limit
        items = [json.loads(item) for _, item in self._items()]
        return items if limit is None else items[max(0, len(items) - max(0, limit)) :]

    async def add_items(self, items: Sequence[Any]) -> None:
        """Keep `items`; return when they are on this disk."""
        batch: list[str] = []
        shown: list[Any] = []
        for item in items:
            text = json.dumps(item)
            if batch and sum(map(len, batch)) + len(text) > _MESSAGE_CHARS_MAX:
                await self._post({"items": batch}, shown)
                batch, shown = [], []
            batch.append(text)
            shown.append(item)
        if batch:
            await self._post({"items": batch}, shown)

    async def pop_item(self) -> Any | None:
        """Take away the newest item and return it; None if there is none."""
        items = self._items()
        if not items:
            return None
        at, item = items[-1]
        await self._post({"drop": at})
        return json.loads(item)

    async def clear_session(self) -> None:
        """Take away all items."""
        await self._post({"clear": True})

    def _entries(self) -> list[tuple[str, dict[str, Json]]]:
        """Return what messages, by id, say about items here, in the agreed order."""
        found = []
        for view in self._session.messages():
            entry = view.metadata.get(_KEY)
            own = view.by in (None, self._session.subject)  # Invariant 4.
            if own and isinstance(entry, dict) and entry.get("session") == self.session_id:
                # Own messages that have no place yet may be of one millisecond; their numbers say which was first.
                order = (view.seq, 0) if view.seq is not None else (1 << 53, entry.get("number", 0))
                found.append((order, view.id, entry))
        found.sort(key=lambda each: each[0])
        return [(id, entry) for _, id, entry in found]

    def _items(self) -> list[tuple[str, str]]:
        """Return what counts: the place of each item, and its JSON."""
        items: list[tuple[str, str]] = []
        for id, entry in self._entries():
            if entry.get("clear"):
                items.clear()
            elif "drop" in entry:
                items = [pair for pair in items if pair[0] != entry["drop"]]
            else:
                items += [(f"{id}.{at}", text) for at, text in enumerate(entry.get("items") or ())]
        return items

    async def _post(self, entry: Mapping[str, Json], items: Sequence[Any] = ()) -> None:
        number = max((found.get("number", 0) for _, found in self._entries()), default=0) + 1
        kept = {"session": self.session_id, "number": number, **entry}
        shown = "\n\n".join(filter(None, map(_visible_text, items))) if self._visible else ""
        role = "user" if items and all(_role(item) == "user" for item in items) else "assistant"
        parts = () if shown else ({"id": "0", "type": "custom", "kind": "openai-agents.items"},)
        await self._session.post(_writable(shown), role=role, parts=parts, metadata={_KEY: kept})


def _role(item: Any) -> str:
    return str(item.get("role") or "assistant") if isinstance(item, dict) else "assistant"


def _visible_text(item: Any) -> str:
    """Return what people see of an item: the text of a message."""
    content = item.get("content") if isinstance(item, dict) and "role" in item else None
    if isinstance(content, str):
        return content
    texts = [part.get("text") or part.get("refusal") for part in content or () if isinstance(part, dict)]
    return "\n\n".join(text for text in texts if isinstance(text, str))


def _writable(text: str) -> str:
    # Half a surrogate pair, which JSON can say and a transcript cannot, is kept in the item alone.
    return text.encode(errors="replace").decode()
