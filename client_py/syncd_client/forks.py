"""Forks: what is written to edit a message, or to have an answer made again. PROTOCOL 5.2.

Knows nothing of how it is written, nor of what becomes of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from syncd.core.branches import REGENERATE, Branches, is_request
from syncd.core.errors import LocalProtocolError
from syncd.core.messages import Json
from syncd.core.schema import STREAMED_PARTS, text_part
from syncd.core.transcript import MessageView


class Fork(TypedDict):
    """The fields of a message that is an alternative to another."""

    role: str
    to: Sequence[str]
    parent: str | None
    fork_of: str
    parts: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, Json] | None


def edit_of(messages: Sequence[MessageView], message: str, text: str, *, to: Sequence[str] | None = None) -> Fork:
    """Return the message that says `text` in place of `message`, with its files and all else that is no text.

    Raises:
        LocalProtocolError: there is no such message, or nothing in it to edit.
    """
    view = _find(messages, message)
    if is_request(view):
        raise LocalProtocolError(f"message {message} only asks for another answer: there is nothing to edit in it")
    kept = tuple(dict(part) for part in view.parts if part.get("type") not in STREAMED_PARTS)
    if not text and not kept:
        raise LocalProtocolError("a message holds a text or parts")
    return Fork(
        role=view.role,
        to=view.to if to is None else to,
        parent=Branches(messages).parent_of(message),
        fork_of=message,
        parts=((text_part(text),) if text else ()) + kept,
        metadata=view.metadata,
    )


def regeneration_of(messages: Sequence[MessageView], message: str, *, to: str | None = None) -> Fork:
    """Return the request for another answer in place of `message`. `to`: who is to make it, else who made that one.

    Raises:
        LocalProtocolError: there is no such message, it is no answer, or no agent is known to have made it.
    """
    view = _find(messages, message)
    if view.role != "assistant" and not is_request(view):
        raise LocalProtocolError(f"message {message} is no answer: edit it instead")
    made_by = view.to[:1] if is_request(view) else (view.by or f"{view.author.get('kind')}:{view.author.get('name')}",)
    agents = (to,) if to is not None else tuple(name for name in made_by if name.startswith("agent:"))
    if not agents:
        raise LocalProtocolError(f"no agent made message {message}: say whom to ask, as in to='agent:planner'")
    return Fork(
        role="system",
        to=agents,
        parent=Branches(messages).parent_of(message),
        fork_of=message,
        parts=(),
        metadata={REGENERATE: message},
    )


def _find(messages: Sequence[MessageView], message: str) -> MessageView:
    found = next((view for view in messages if view.id == message), None)
    if found is None:
        raise LocalProtocolError(f"there is no message {message} in this copy")
    return found
