"""History: a conversation in no library's words, and how OpenAI's two APIs and Anthropic's want it said.

Plain data in and out. Knows nothing of sessions, branches or libraries; whoever has messages makes `History` of them,
with `from_parts`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from syncd.core.messages import Json
from syncd.core.schema import SERVER_SUBJECT

#: What a model is told of a call that nobody ran: every call in a history must have a result.
NOT_RUN: Final = "not run"
#: Anthropic wants the user to begin.
_OPENING: Final = "(The conversation begins.)"
_PDF: Final = "application/pdf"
_ANTHROPIC_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call with complete arguments. `ended` False: nobody ran it, or it never came to an end."""

    id: str
    name: str
    args: Json
    output: Json = None
    error: str | None = None
    ended: bool = True

    @property
    def result(self) -> str:
        """What the model is told came of it."""
        if not self.ended:
            return NOT_RUN
        if self.error is not None:
            return self.error
        return self.output if isinstance(self.output, str) else json.dumps(self.output, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that somebody gave with a message: its address, `https:` or `data:`, what it is, and what it is called."""

    url: str
    media_type: str = ""
    name: str = ""

    @property
    def line(self) -> str:
        """What a model is told of one that its API cannot be given."""
        address = "" if self.url.startswith("data:") else self.url
        return f"[file: {' '.join(filter(None, (self.name, self.media_type, address)))}]"

    @property
    def data(self) -> str:
        """Its content in base64; empty where that is elsewhere, or not written so."""
        head, _, content = self.url.partition(",")
        return content if head == f"data:{self.media_type};base64" else ""

    @property
    def is_given(self) -> bool:
        """Whether an API can be given it: by an address that it may load, or whole."""
        return self.url.startswith("https://") or bool(self.data)


#: Returns how an API is given a file; None for one that it does not take.
_Given = Callable[[Attached], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class History:
    """What one author said at one time: text and files, then the calls that were made at once.

    `name` may be a subject, such as `user:mona`. `provider` has, by library, the blocks that must go back unchanged.
    """

    role: Literal["user", "assistant", "system"]
    text: str = ""
    name: str | None = None
    calls: Sequence[Call] = ()
    provider: Mapping[str, Sequence[Mapping[str, Json]]] = field(default_factory=dict)
    files: Sequence[Attached] = ()


def from_parts(
    role: Literal["user", "assistant", "system"], parts: Iterable[Mapping[str, Json]], *, name: str | None = None
) -> list[History]:
    """Return one message's parts as history: an item for each model call, since results come between them.

    A call whose arguments never were complete is left out.
    """
    items: list[History] = []
    texts: list[str] = []
    calls: list[Call] = []
    files: list[Attached] = []
    blocks: dict[str, list[Mapping[str, Json]]] = {}

    def close() -> None:
        if texts or calls or files:  # Provider blocks alone are refused by whoever made them.
            items.append(History(role, "\n\n".join(texts), name, tuple(calls), dict(blocks), tuple(files)))
        texts.clear()
        calls.clear()
        files.clear()
        blocks.clear()

    for part in parts:
        kind = part.get("type")
        if kind == "step-start" or (calls and kind in ("text", "reasoning", "file")):
            close()
        if kind == "text" and part.get("text"):
            texts.append(str(part["text"]))
        elif kind == "file" and isinstance(part.get("url"), str):
            named = part.get("filename") or part.get("name") or ""
            files.append(Attached(part["url"], str(part.get("media_type") or ""), str(named)))
        given = _blocks(part)
        # What the provider ran itself goes back as its own blocks, or not at all.
        if kind == "tool" and not any("type" in block for found in given.values() for block in found):
            calls += _calls(part)
        for library, found in given.items():
            blocks.setdefault(library, []).extend(found)
    close()
    return items


def openai_chat(items: Iterable[History], *, me: str | None = None) -> list[dict[str, Any]]:
    """Return messages for OpenAI's `chat.completions`. With `me`, what others said comes from users."""
    messages: list[dict[str, Any]] = []
    for item in _prepared(items, me, _chat_file):
        if not item.calls:
            messages.append({"role": item.role, "content": _content(item, "text", _chat_file)})
            continue
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
            for call in item.calls
        ]
        messages.append({"role": "assistant", "content": item.text or None, "tool_calls": calls})
        messages += [{"role": "tool", "tool_call_id": call.id, "content": call.result} for call in item.calls]
    return messages


def openai_responses(items: Iterable[History], *, me: str | None = None) -> list[dict[str, Any]]:
    """Return input items for OpenAI's `responses`; reasoning items go back verbatim, before what they led to."""
    given: list[dict[str, Any]] = []
    for item in _prepared(items, me, _responses_file):
        given += [dict(block) for block in item.provider.get("openai", ()) if "type" in block]
        if item.text or item.files:
            given.append({"role": item.role, "content": _content(item, "input_text", _responses_file)})
        for call in item.calls:
            given.append(
                {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": _arguments(call)}
            )
        for call in item.calls:
            given.append({"type": "function_call_output", "call_id": call.id, "output": call.result})
    return given


def anthropic_messages(items: Iterable[History], *, me: str | None = None) -> list[dict[str, Any]]:
    """Return messages for Anthropic's `messages`, the user first, then in turns. See `system_text` for the rest."""
    messages: list[dict[str, Any]] = []

    def say(role: str, content: list[dict[str, Any]]) -> None:
        if not content:
            return
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})

    for item in _prepared(items, me, _anthropic_file):
        if item.role == "system":
            continue
        content: list[dict[str, Any]] = []
        if item.role == "assistant":
            if not messages:
                say("user", [{"type": "text", "text": _OPENING}])
            content += [dict(block) for block in item.provider.get("anthropic", ())]
        if item.text.strip():  # An empty text block is refused.
            content.append({"type": "text", "text": item.text})
        content += [block for file in item.files if (block := _anthropic_file(file)) is not None]
        content += [{"type": "tool_use", "id": c.id, "name": c.name, "input": _input(c)} for c in item.calls]
        say(item.role, content)
        # Results open the next turn of the user: nothing may stand between a call and its result.
        say("user", [_tool_result(call) for call in item.calls])
    if messages and messages[-1]["role"] == "assistant" and messages[-1]["content"][-1]["type"] == "text":
        last = messages[-1]["content"][-1]
        last["text"] = last["text"].rstrip()  # A last turn of the assistant must not end in white space.
    return messages


def system_text(items: Iterable[History], *, me: str | None = None) -> str:
    """Return what the system said: Anthropic wants it beside the messages. With `me`, without what others call so."""
    return "\n\n".join(
        item.text for item in items if item.role == "system" and item.text and _is_heard_as_said(item, me)
    )


def _prepared(items: Iterable[History], me: str | None, block: _Given) -> list[History]:
    """Name the people where there are several, hear others as users, and give every call an id of its own.

    Calls, and blocks that go back unchanged, are the assistant's alone: whoever else writes such parts made them up.
    Files are users' alone, those that `block` knows: of any other a line of the text says that it is there.
    """
    found = [item for item in items if item.text or item.calls or item.files]
    several = len({item.name for item in found if item.role == "user"}) > 1
    ids: set[str] = set()
    prepared = []
    for item in found:
        as_said = _is_heard_as_said(item, me)
        role = item.role if as_said else "user"
        files = [file for file in item.files if role == "user" and block(file) is not None]
        lines = [file.line for file in item.files if file not in files]
        item = replace(item, text="\n\n".join(filter(None, (item.text, *lines))), files=files)
        if as_said and role == "assistant":
            prepared.append(replace(item, calls=[_with_own_id(call, ids) for call in item.calls]))
        elif item.text or files:
            named = not as_said or (role == "user" and several and item.name)
            prepared.append(History(role, _said_by(item) if named else item.text, files=files))
    return prepared


def _is_heard_as_said(item: History, me: str | None) -> bool:
    """Whether an item's role is its author's to take: `me` is the assistant, and who the system may speak for."""
    own = me is None or item.name in (None, me)
    return own or item.role == "user" or (item.role == "system" and item.name == SERVER_SUBJECT)


def _said_by(item: History) -> str:
    # `user:mona` is mona to a model.
    name = str(item.name)
    return f"[{name.partition(':')[2] or name}] {item.text}".rstrip()


def _content(item: History, text_type: str, block: _Given) -> str | list[dict[str, Any]]:
    """Return a text as OpenAI wants it: as it is, or beside files as one of several blocks."""
    if not item.files:
        return item.text
    texts: list[dict[str, Any]] = [{"type": text_type, "text": item.text}] if item.text else []
    return texts + [found for file in item.files if (found := block(file)) is not None]


def _chat_file(file: Attached) -> dict[str, Any] | None:
    if not file.is_given:
        return None
    if file.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": file.url}}
    # Chat completions take a document whole, and by no address.
    if file.media_type == _PDF and file.data:
        return {"type": "file", "file": {"filename": file.name or "file.pdf", "file_data": file.url}}
    return None


def _responses_file(file: Attached) -> dict[str, Any] | None:
    if not file.is_given:
        return None
    if file.media_type.startswith("image/"):
        return {"type": "input_image", "image_url": file.url, "detail": "auto"}
    if file.media_type != _PDF:
        return None
    if file.data:
        return {"type": "input_file", "filename": file.name or "file.pdf", "file_data": file.url}
    return {"type": "input_file", "file_url": file.url}


def _anthropic_file(file: Attached) -> dict[str, Any] | None:
    if not file.is_given or file.media_type not in (*_ANTHROPIC_IMAGES, _PDF):
        return None
    source = (
        {"type": "base64", "media_type": file.media_type, "data": file.data}
        if file.data
        else {"type": "url", "url": file.url}
    )
    return {"type": "document" if file.media_type == _PDF else "image", "source": source}


def _with_own_id(call: Call, ids: set[str]) -> Call:
    # Anthropic's grammar of ids; those of other makers' models may differ, and may come twice.
    id = re.sub(r"[^A-Za-z0-9_-]", "_", call.id) or "call"
    own, number = id, 2
    while own in ids:
        own, number = f"{id}_{number}", number + 1
    ids.add(own)
    return replace(call, id=own)


def _blocks(part: Mapping[str, Json]) -> dict[str, list[Mapping[str, Json]]]:
    provider = part.get("provider")
    found: dict[str, list[Mapping[str, Json]]] = {}
    for library, given in (provider if isinstance(provider, dict) else {}).items():
        blocks = given if isinstance(given, list) else [given]
        found[str(library)] = [block for block in blocks if isinstance(block, dict)]
    return found


def _calls(part: Mapping[str, Json]) -> list[Call]:
    """Return the call that a tool part is, none while its arguments are not complete."""
    state = part.get("state")
    if state == "input-streaming" or "input" not in part:
        return []
    error = part.get("error")
    if state == "output-denied":
        error = f"denied: {error}" if error else "denied"
    call = Call(
        str(part.get("call_id") or part.get("tool_call") or part.get("id") or ""),
        str(part.get("name") or ""),
        part["input"],
        output=part.get("output"),
        error=str(error) if state in ("output-error", "output-denied") else None,
        ended=state in ("output-available", "output-error", "output-denied"),
    )
    return [call]


def _arguments(call: Call) -> str:
    return call.args if isinstance(call.args, str) else json.dumps(call.args, ensure_ascii=False)


def _input(call: Call) -> Json:
    return call.args if isinstance(call.args, dict) else {"input": call.args}


def _tool_result(call: Call) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": call.id, "content": call.result}
    if call.error is not None or not call.ended:
        result["is_error"] = True
    return result
