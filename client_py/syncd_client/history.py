"""History: the conversation that an agent answers, as its model wants it.

Reads a session. What the formats look like is the adapters' matter.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from syncd.core.branches import Branches
from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json
from syncd.core.run_view import RunView, is_output
from syncd.core.schema import SERVER_SUBJECT
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

    def message(self, message: str) -> MessageView | None:
        """Return one message."""
        ...

    def superseded(self, message: MessageView) -> bool:
        """Whether it no longer counts."""
        ...

    def output_of(self, message: MessageView) -> RunView | None:
        """Return the run that it is output of."""
        ...

    def answers(self, message: MessageView) -> str | None:
        """Return the message that it is an agent's answer to."""
        ...

    def runs(self) -> list[RunView]:
        """Return all runs."""
        ...

    def command_json(self, command: str) -> dict[str, Json] | None:
        """Return one command with its receipt."""
        ...


def turns(transcript: Transcript, run: str, message: str | None, *, agent: str) -> list[Turn]:
    """Return the conversation up to `message`, then what `agent` wrote in `run` so far, without what does not count.

    1. Nobody says anything in another's name: a message is its verified author's, a steer is whose command or message
       it was. As system speak the server and the agent itself: others are users, whatever they call themselves.
    2. Steers that a run took stand where it took them. What it asked another agent stands before the answers, once
       there are some: it is nothing for its own model to answer.
    3. Of a tool call that goes through several messages the last word of whoever made it counts; one that is still open
       is left out.
    """
    views = transcript.messages()
    superseded = frozenset(view.id for view in views if transcript.superseded(view))
    own = [view for view in views if view.id not in superseded and is_output(view, run, agent)]
    mine = {view.id for view in own}
    shown = []
    if message is not None:
        path = Branches(views, superseded=superseded, answers=transcript.answers).path_to(message)
        shown = [view for view in path if view.id not in mine]
    for view in own:  # Invariant 2.
        answers = _answers(transcript, view, views, superseded)
        shown += [view, *answers] if answers or not view.to else []
    last: dict[tuple[str, str], tuple[str, int]] = {}
    for view in shown:
        for at, part in enumerate(view.parts):
            if part.get("type") == "tool" and isinstance(part.get("tool_call"), str):
                last[_author(view), part["tool_call"]] = (view.id, at)
    found: list[Turn] = []
    for view in shown:
        parts: list[Mapping[str, Json]] = []
        for at, part in enumerate(view.parts):
            if part.get("type") == "steering-message":
                if (told := heard(transcript, view, part)) is not None:
                    _add(found, view, parts, agent)
                    parts = []
                    found.append(Turn("user", told[0], [{"type": "text", "text": told[1]}]))
            elif part.get("type") != "tool" or (
                part.get("state") in _DONE and last.get((_author(view), str(part.get("tool_call")))) == (view.id, at)
            ):
                parts.append(part)
        _add(found, view, parts, agent)
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


def _answers(
    transcript: Transcript, asked: MessageView, views: Sequence[MessageView], superseded: Collection[str]
) -> list[MessageView]:
    """Return what agents answered to a message that asked them, as far as they are done."""
    over = {run.id for run in transcript.runs() if run.message == asked.id and run.ended} if asked.to else set()
    return [
        view
        for view in views
        if view.run in over and not view.to and view.id not in superseded and transcript.output_of(view)
    ]


def heard(transcript: Transcript, view: MessageView, part: Mapping[str, Json]) -> tuple[str, str] | None:
    """Return who told a run something, and what, of a part that says so; None if nobody did.

    The part only says where: by which command or message. Who it was and what they said stands there.
    """
    run = transcript.output_of(view)
    if run is None:
        return None
    said = transcript.message(str(part.get("message")))
    if said is not None and any((one.message, one.agent) == (said.id, run.agent) for one in transcript.runs()):
        return _author(said), said.text
    command = transcript.command_json(str(part.get("command"))) or {}
    receipt, payload = command.get("receipt"), command.get("payload")
    aimed = command.get("run") == run.id or (run.message is not None and command.get("message") == run.message)
    if command.get("kind") != "steer" or not aimed or not isinstance(receipt, dict):
        return None
    text = payload.get("text") if isinstance(payload, dict) else payload
    return str(receipt.get("by", "")), text if isinstance(text, str) else ""


def _add(found: list[Turn], view: MessageView, parts: Sequence[Mapping[str, Json]], agent: str) -> None:
    if parts:
        author = _author(view)
        role: Any = "user" if view.role == "system" and author not in (agent, SERVER_SUBJECT) else view.role
        found.append(Turn(role, author, parts))


def _author(view: MessageView) -> str:
    return view.by or f"{view.author.get('kind')}:{view.author.get('name')}"
