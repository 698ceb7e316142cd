"""Slash: what a line that begins with `/` does in a chat.

Works on a session and answers with text to show. Knows nothing of the screen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from rich.console import Group, RenderableType
from rich.text import Text
from syncd_client import Client, Command, Session

from syncd.cli import mentions, paint
from syncd.cli.sent import Sent
from syncd.cli.trouble import Trouble
from syncd.cli.words import clean, now_ms
from syncd.core.messages import Json
from syncd.core.run_view import is_call_in
from syncd.core.transcript import MessageView

_FOUND_MAX = 20
_RUNS_MAX = 20
_EXCERPT_CHARS = 160


@dataclass(frozen=True, slots=True)
class Typed:
    """One command: how it is written, and what it is for."""

    usage: str
    about: str
    run: Callable[[str], Awaitable[RenderableType]]


class Target(TypedDict, total=False):
    """What a command is for: a run, or all runs of a message."""

    run: str
    message: str


class Slash:
    """The commands of a chat.

    `sent` holds what was asked here, so that the screen can say what became of it.
    """

    def __init__(self, client: Client, session: Session) -> None:
        self.sent = Sent(session)
        self._client = client
        self._session = session
        self.commands: dict[str, Typed] = {
            "runs": Typed("/runs", "who works on what, and what became of it", self._runs),
            "stop": Typed(
                "/stop [NAME | #N]", "stop all that is at work, or this agent, or the answer to #N", self._stop
            ),
            "steer": Typed("/steer [@NAME] TEXT", "tell the agents at work something, or one of them", self._steer),
            "interrupt": Typed(
                "/interrupt TEXT", "the same, and they leave what they are just saying", self._interrupt
            ),
            "approve": Typed("/approve [CALL]", "allow a tool call: the newest that waits", self._approve),
            "deny": Typed("/deny [CALL] [REASON]", "forbid it, and say why", self._deny),
            "handoff": Typed(
                "/handoff NAME [NOTE]", "make an agent or a person responsible from now on", self._handoff
            ),
            "who": Typed("/who", "who is here", self._who),
            "search": Typed("/search WORD …", "find messages, offline too", self._search),
            "state": Typed("/state", "show the shared state", self._state),
            "export": Typed("/export FILE", "write this copy to a .md or .json file", self._export),
            "help": Typed("/help", "this list", self._help),
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
        rows += [("@NAME …", "ask an agent: @planner plan Lisbon; several at once: @planner @critic …")]
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

    # Runs

    async def _runs(self, _: str) -> RenderableType:
        runs = self._session.runs()[-_RUNS_MAX:]
        if not runs:
            return Text("no agent was asked for anything here: @NAME at the beginning of a message asks one")
        return Group(*(paint.run_line(run, self._session, now_ms()) for run in runs))

    async def _stop(self, what: str) -> RenderableType:
        return Group(
            *[
                self.sent.add(await self._session.cancel(**target), f"stop {name}")
                for name, target in self._targets(what, "stop")
            ]
        )

    async def _steer(self, text: str, *, interrupt: bool = False) -> RenderableType:
        first, _, rest = text.partition(" ")
        whom, text = (first, rest.strip()) if first.startswith("@") else ("", text)
        if not text:
            raise Trouble("tell them what? /steer TEXT, or /steer @NAME TEXT")
        return Group(
            *[
                self.sent.add(await self._session.steer(text, interrupt=interrupt, **target), f"“{text}” to {name}")
                for name, target in self._targets(whom, "steer")
            ]
        )

    async def _interrupt(self, text: str) -> RenderableType:
        return await self._steer(text, interrupt=True)

    async def _approve(self, call: str) -> RenderableType:
        call = call or self._waiting_call()
        return self.sent.add(await self._session.approve(call), f"approve {self._tool(call)}")

    async def _deny(self, rest: str) -> RenderableType:
        first, _, reason = rest.partition(" ")
        if first in self._calls():
            call, reason = first, reason.strip()
        else:
            call, reason = self._waiting_call(), rest
        return self.sent.add(await self._session.deny(call, reason), f"deny {self._tool(call)}")

    async def _handoff(self, rest: str) -> RenderableType:
        name, _, note = rest.partition(" ")
        if not name:
            raise Trouble("to whom? /handoff NAME, and a note if you like")
        subject = mentions.subject_of(name, self._session)
        if subject is None:
            plain = clean(name, lines=False)
            raise Trouble(f"nobody here is called {plain}: write @{plain} for an agent, user:{plain} for a person")
        command: Command = await self._session.assign(subject, note=note.strip())
        return self.sent.add(command, f"hand over to {paint.short(subject)}")

    def _targets(self, what: str, verb: str) -> list[tuple[str, Target]]:
        """Return what is meant, each with a name to say: all that is at work, or what `what` names."""
        name = what.removeprefix("@").removeprefix("agent:")
        number = what.removeprefix("#")
        if what and number.isdecimal():
            return [self._numbered(int(number))]
        # What people say is for whoever was asked; what that one's helpers do ends with it, or by being stopped.
        runs = [
            run
            for run in self._session.runs()
            if not run.ended
            and (verb == "stop" or run.parent_run is None)
            and (not what or what == run.id or name == run.agent.removeprefix("agent:"))
        ]
        # Those that wait first, lest they begin in the place of one that was stopped.
        runs.sort(key=lambda run: run.status != "queued")
        if runs:
            return [(paint.short(run.agent), {"run": run.id}) for run in runs]
        if what:
            raise Trouble(f"{clean(what, lines=False)} is not at work here: /runs lists what is")
        view = next((view for view in reversed(self._session.messages()) if view.streaming), None)
        if view is None:
            raise Trouble(f"nobody is at work here that you could {verb}: /runs lists what was")
        return [self._message_target(view)]

    def _numbered(self, seq: int) -> tuple[str, Target]:
        view = next((view for view in self._session.messages() if view.seq == seq), None)
        if view is None:
            raise Trouble(f"there is no message #{seq} here")
        return self._message_target(view)

    def _message_target(self, view: MessageView) -> tuple[str, Target]:
        """Return the run that wrote a message, or else all runs that answer it."""
        run = self._session.output_of(view)
        return f"#{view.seq}" if view.seq is not None else view.id, {"run": run.id} if run else {"message": view.id}

    def _calls(self) -> dict[str, str]:
        """Return the tool calls that agents made in their runs, each with its tool's name.

        Anybody can write a part that looks like one, under whatever name, with the id of another's call.
        """
        return {
            paint.tool_call(part): clean(str(part.get("name") or "the tool call"), lines=False)
            for view in self._session.messages()
            if (run := self._session.output_of(view)) is not None
            for part in view.parts
            if is_call_in(part, run.id)
        }

    def _tool(self, call: str) -> str:
        return self._calls().get(call, call)

    def _waiting_call(self) -> str:
        for view in reversed(self._session.messages()):
            for part in reversed(view.parts):
                if paint.waits_for_approval(part) and self._decidable(part, view):
                    return paint.tool_call(part)
        raise Trouble("no tool call waits for an answer: name one, such as /approve CALL")

    def _decidable(self, part: Mapping[str, Json], view: MessageView) -> bool:
        run = self._session.output_of(view)
        if run is None or run.ended or self._session.superseded(view) or not is_call_in(part, run.id):
            return False
        return self._session.decision(paint.tool_call(part)) is None

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
