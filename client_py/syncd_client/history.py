"""History: the conversation that an agent answers, as its model wants it.

Reads a session. What the formats look like is the adapters' matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from syncd.core.branches import Branches
from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json
from syncd.core.transcript import MessageView
from syncd_client.adapters.history import anthropic_messages, from_parts, openai_chat

Format = Literal["openai", "anthropic", "parts"]
#: A tool call that is none of these is still open: no model may be asked with it.
_DONE: Final = frozenset({"output-available", "output-error", "output-denied"})


@dataclass(frozen=True, slots=True)
class Turn:
    """What one author said at one time. `name` is the verified subject, where there is a receipt."""

    role: Literal["user", "assistant", "system"]
    name: str
    parts: Sequence[Mapping[str, Json]]


class Transcript(Protocol):
    """What a history is made of."""

    def messages(self) -> list[MessageView]:
        """Return all messages in order."""
        ...

    def superseded(self, message: MessageView) -> bool:
        """Whether it no longer counts."""
        ...


def turns(transcript: Transcript, run: str, message: str | None, *, agent: str) -> list[Turn]:
    """Return the branch that ends in `message`, then what `agent` wrote in `run` so far, without what does not count.

    Steers that the run took stand where it took them. Of a tool call that goes through several messages of a run the
    last word counts; one that is still open is left out.
    """
    views = transcript.messages()
    superseded = frozenset(view.id for view in views if transcript.superseded(view))
    # Whoever else names the run in a message of theirs does not put words into its agent's mouth.
    own = [view for view in views if view.run == run and view.id not in superseded and view.by in (None, agent)]
    before = Branches(views, superseded=superseded).path_to(message) if message is not None else []
    shown = [view for view in before if view.run != run] + own
    last: dict[str, tuple[str, int]] = {}
    for view in shown:
        for at, part in enumerate(view.parts):
            if part.get("type") == "tool" and isinstance(part.get("tool_call"), str):
                last[part["tool_call"]] = (view.id, at)
    found: list[Turn] = []
    for view in shown:
        parts: list[Mapping[str, Json]] = []
        for at, part in enumerate(view.parts):
            if part.get("type") == "steering-message":
                _add(found, view, parts)
                parts = []
                text = {"type": "text", "text": str(part.get("text", ""))}
                found.append(Turn("user", str(part.get("by", "")), [text]))
            elif part.get("type") != "tool" or (
                part.get("state") in _DONE and last.get(str(part.get("tool_call"))) == (view.id, at)
            ):
                parts.append(part)
        _add(found, view, parts)
    return found


def render(turns: Sequence[Turn], format: Format, *, me: str) -> list[dict[str, Any]]:
    """Return turns as a model's library wants them. `me` is the agent who asks.

    Raises:
        LocalProtocolError: no such format.
    """
    if format == "parts":
        return [{"role": turn.role, "name": turn.name, "parts": [dict(part) for part in turn.parts]} for turn in turns]
    if format not in ("openai", "anthropic"):
        raise LocalProtocolError(f"history comes as openai, anthropic or parts, not as {format!r}")
    items = [item for turn in turns for item in from_parts(turn.role, turn.parts, name=turn.name)]
    return openai_chat(items, me=me) if format == "openai" else anthropic_messages(items, me=me)


def _add(found: list[Turn], view: MessageView, parts: Sequence[Mapping[str, Json]]) -> None:
    if parts:
        role: Any = view.role
        found.append(Turn(role, view.by or ":".join(map(str, view.author.values())), parts))
