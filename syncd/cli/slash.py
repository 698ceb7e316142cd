"""Slash: what a line that begins with `/` does in a chat.

Works on a session and answers with text to show. Knows nothing of the screen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text
from syncd_client import Client, Session

from syncd.cli import paint
from syncd.cli.trouble import Trouble
from syncd.cli.words import clean
from syncd.core.transcript import MessageView

_FOUND_MAX = 20
_EXCERPT_CHARS = 160


@dataclass(frozen=True, slots=True)
class Command:
    """One command: how it is written, and what it is for."""

    usage: str
    about: str
    run: Callable[[str], Awaitable[RenderableType]]


class Slash:
    """The commands of a chat.

    `sent` holds the ids of commands that were given here, so that the screen can say what became of them.
    """

    def __init__(self, client: Client, session: Session) -> None:
        self.sent: dict[str, str] = {}
        self._client = client
        self._session = session
        self.commands: dict[str, Command] = {
            "who": Command("/who", "who is here", self._who),
            "search": Command("/search WORD …", "find messages, offline too", self._search),
            "state": Command("/state", "show the shared state", self._state),
            "cancel": Command("/cancel [#N | RUN]", "stop an answer: the newest, or the one named", self._cancel),
            "steer": Command("/steer TEXT", "tell the agent something while it works", self._steer),
            "approve": Command("/approve [CALL]", "allow a tool call", self._approve),
            "deny": Command("/deny [CALL [WHY]]", "forbid a tool call", self._deny),
            "export": Command("/export FILE", "write this copy to a .md or .json file", self._export),
            "help": Command("/help", "this list", self._help),
        }

    async def run(self, line: str) -> RenderableType:
        """Do what a line says and return what to show.

        Raises:
            SyncdError: it cannot be done; the message says what to do instead.
        """
        name, _, rest = line.removeprefix("/").partition(" ")
        command = self.commands.get(name)
        if command is None:
            raise Trouble(f"there is no /{clean(name, lines=False)}: /help lists what there is, // begins a message")
        return await command.run(rest.strip())

    async def _help(self, _: str) -> RenderableType:
        rows = [(command.usage, command.about) for command in self.commands.values()]
        rows += [("/quit", "leave; what is not synced goes out the next time"), ("", "")]
        rows += [("Enter, Alt-Enter", "send, new line"), ("PageUp, PageDown, End", "scroll"), ("Esc", "close this")]
        return Group(*(Text.assemble((f"{usage:<24}", "bold"), about) for usage, about in rows))

    async def _who(self, _: str) -> RenderableType:
        entries = self._session.presence.everyone()
        if not entries:
            return Text("Nobody to be seen: " + ("only you are here" if self._session.status.live else "no link now"))
        lines = []
        for entry in sorted(entries, key=lambda entry: (entry.subject, entry.peer)):
            doing = json.dumps(entry.state, ensure_ascii=False)
            line = Text(clean(entry.subject, lines=False), style=paint.colour(entry.subject))
            line.append(f"  {clean(doing, lines=False)}", style="dim")
            lines.append(line)
        return Group(*lines)

    async def _search(self, words: str) -> RenderableType:
        if not words:
            raise Trouble("what to search for? /search WORD")
        views = await self._session.search(words, limit=_FOUND_MAX)
        if not views:
            return Text(f"nothing found for {words!r}")
        lines = []
        for view in views:
            name, subject = paint.speaker(view)
            text = clean(view.text, lines=False)[:_EXCERPT_CHARS]
            place = f"#{view.seq}" if view.seq is not None else "–"
            lines.append(Text.assemble((f"{place:>6} ", "dim"), (f"{name}: ", paint.colour(subject)), text))
        return Group(*lines)

    async def _state(self, _: str) -> RenderableType:
        state = self._session.state.json()
        return Text(clean(json.dumps(state, ensure_ascii=False, indent=2))) if state else Text("nothing shared yet")

    async def _cancel(self, what: str) -> RenderableType:
        return await self._command("cancel", self._target(what))

    async def _steer(self, text: str) -> RenderableType:
        if not text:
            raise Trouble("steer where? /steer TEXT")
        return await self._command("steer", self._target(""), {"text": text})

    async def _approve(self, call: str) -> RenderableType:
        return await self._command("approve", {"tool_call": call or self._waiting_call()})

    async def _deny(self, rest: str) -> RenderableType:
        call, _, reason = rest.partition(" ")
        payload = {"reason": reason.strip()} if reason else None
        return await self._command("deny", {"tool_call": call or self._waiting_call()}, payload)

    async def _command(self, kind: str, target: dict[str, str], payload: object = None) -> RenderableType:
        id = await self._session.command(kind, target=target, payload=payload)
        what, whom = next(iter(target.items()))
        self.sent[id] = f"{kind} {what} {whom}"
        waits = "" if self._session.status.live else "; it goes out when the link is back"
        return Text(clean(f"{kind} of {what} {whom} is on this disk{waits}", lines=False))

    def _target(self, what: str) -> dict[str, str]:
        views = self._session.messages()
        if not what:
            view = next((view for view in reversed(views) if view.streaming), None)
            if view is None:
                raise Trouble("nobody is writing an answer now: name it by its number, such as #12")
            return _target_of(view)
        number = what.removeprefix("#")
        if number.isdecimal():
            view = next((view for view in views if view.seq == int(number)), None)
            if view is None:
                raise Trouble(f"there is no message #{number} here")
            return _target_of(view)
        if any(view.id == what for view in views):
            return {"message": what}
        return {"run": what}

    def _waiting_call(self) -> str:
        for view in reversed(self._session.messages()):
            for part in reversed(view.parts):
                if paint.waits_for_approval(part):
                    return paint.tool_call(part)
        raise Trouble("no tool call waits for an answer: name one, such as /approve CALL")

    async def _export(self, name: str) -> RenderableType:
        if not name:
            raise Trouble("where to? /export FILE.md or FILE.json")
        data = self._as_json() if name.endswith(".json") else self._as_markdown()
        try:
            path = await asyncio.to_thread(_write_new, name, data)
        except FileExistsError:
            raise Trouble(f"{name} exists: name another file") from None
        except OSError as error:
            raise Trouble(f"{name} cannot be written: {error.strerror}") from None
        return Text(f"written to {path}")

    def _as_json(self) -> str:
        messages = [view.json() for view in self._session.messages()]
        body = {"session": self._session.id, "messages": messages, "state": self._session.state.json()}
        return json.dumps(body, ensure_ascii=False, indent=1)

    def _as_markdown(self) -> str:
        from syncd.server.records import markdown

        return markdown(self._session.id, self._session.messages())


def _write_new(name: str, text: str) -> Path:
    path = Path(name).expanduser()
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def _target_of(view: MessageView) -> dict[str, str]:
    return {"run": view.run} if view.run else {"message": view.id}
