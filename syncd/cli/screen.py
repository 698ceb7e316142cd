"""Screen: a chat on a whole terminal: the transcript, who is here, where the link stands, and a line to type in.

Shows what the session holds; every edit goes through the session. Knows nothing of links or stores.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.formatted_text import ANSI, AnyFormattedText
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import BeforeInput
from rich.console import Group, RenderableType
from rich.text import Text
from syncd_client import (
    Assigned,
    CaughtUp,
    Change,
    Client,
    EditRefused,
    MessageChanged,
    RunChanged,
    Session,
    StatusChanged,
)

from syncd.cli import paint
from syncd.cli.logbook import logs_to
from syncd.cli.mentions import addressed
from syncd.cli.outcomes import Outcomes
from syncd.cli.scroll import Transcript
from syncd.cli.slash import Slash
from syncd.cli.words import clean, now_ms, plural
from syncd.core.errors import SyncdError

_TYPING_S = 4.0
#: Whoever typed nothing for this long only looks on.
_ACTIVE_S = 60.0
_TICK_S = 1.0
#: How long it says what is new.
_NEWS_S = 8.0
#: Of what was asked here, so much is shown of what became of it.
_NEWS_MAX = 4
_INPUT_LINES_MAX = 8
#: Redrawn no more often than this, however fast an answer streams.
_REDRAW_S = 0.04


class Screen:
    """One chat. `await run()` shows it until the person leaves.

    1. What is shown is read from the session at each drawing: there is no second copy that could disagree.
    2. The line typed is emptied only once the message is on this disk.
    """

    def __init__(self, client: Client, session: Session, *, to: Sequence[str], dev: bool) -> None:
        self._client = client
        self._session = session
        self._to = to
        self._dev = dev
        self._slash = Slash(client, session)
        self._outcomes = Outcomes(session)
        self._transcript = Transcript(session.messages, self._outcomes.of)
        self._note: RenderableType | None = None
        self._note_scroll = 0
        self._news: list[Text] = []
        # Who opens a session is at it.
        self._typed_at = time.monotonic() - _TYPING_S
        self._fresh = False
        self._said = ("", "")
        self._tasks: set[asyncio.Task[None]] = set()
        names = [f"/{name}" for name in (*self._slash.commands, "quit")]
        self._buffer = Buffer(
            multiline=True,
            history=InMemoryHistory(),
            completer=WordCompleter(names, sentence=True),
            complete_while_typing=Condition(lambda: self._buffer.text.startswith("/")),
            on_text_changed=lambda _: self._typed(),
        )
        self.app: Application[None] = Application(
            layout=self._layout(),
            key_bindings=self._keys(),
            full_screen=True,
            min_redraw_interval=_REDRAW_S,
            refresh_interval=_TICK_S,
        )

    async def run(self) -> None:
        """Show the chat until the person leaves."""
        self._fresh = not self._session.messages()
        changes = self._session.changes()
        tasks = [
            asyncio.create_task(self._watch(changes), name="changes"),
            asyncio.create_task(self._say_presence(), name="presence"),
        ]
        try:
            with logs_to(lambda line: self.show(Text(clean(line), style="red"))):
                await self.app.run_async()
        finally:
            for task in (*tasks, *self._tasks):
                task.cancel()
            await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)

    # What is shown

    def _layout(self) -> Layout:
        def line(text: object, style: str) -> Window:
            return Window(FormattedTextControl(text), height=1, style=style)  # type: ignore[arg-type]

        input_window = Window(
            BufferControl(self._buffer, input_processors=[BeforeInput(self._prompt)]),
            height=Dimension(min=1, max=_INPUT_LINES_MAX),
            dont_extend_height=True,
            wrap_lines=True,
        )
        note = ConditionalContainer(
            HSplit(
                [
                    Window(height=1, char="─", style="fg:ansibrightblack"),
                    Window(
                        FormattedTextControl(self._note_text),
                        height=lambda: Dimension(max=self._note_rows()),
                        dont_extend_height=True,
                        get_vertical_scroll=lambda _: self._note_scroll,
                    ),
                ]
            ),
            filter=Condition(lambda: self._note is not None),
        )
        runs = ConditionalContainer(
            Window(FormattedTextControl(self._runs_text), dont_extend_height=True),
            filter=Condition(lambda: any(not run.ended for run in self._session.runs())),
        )
        body = HSplit(
            [
                line(self._title, "reverse"),
                Window(self._transcript, always_hide_cursor=True),
                note,
                Window(height=1, char="─", style="fg:ansibrightblack"),
                runs,
                input_window,
                line(self._status_line, ""),
            ]
        )
        menu = Float(xcursor=True, ycursor=True, content=CompletionsMenu(max_height=10))
        return Layout(FloatContainer(body, [menu]), focused_element=input_window)

    def _columns(self) -> int:
        return self.app.output.get_size().columns

    def _ansi(self, text: RenderableType) -> ANSI:
        return ANSI("\n".join(paint.to_lines(text, self._columns())))

    def _title(self) -> AnyFormattedText:
        responsible = self._session.responsible
        whose = f"  ·  with {paint.short(responsible)}" if responsible is not None else ""
        return f" {self._session.id}  ·  {clean(self._client.url, lines=False)}{whose} "

    def _prompt(self) -> AnyFormattedText:
        me = paint.short(self._client.subject) or "me"
        colour = paint.colour(self._client.subject).replace("_", "")
        return [(f"bold fg:ansi{colour}", me), ("", " › ")]

    def _note_text(self) -> AnyFormattedText:
        return self._ansi(self._note) if self._note is not None else ""

    def _runs_text(self) -> AnyFormattedText:
        lines = paint.open_runs(self._session, now_ms())
        for line in lines:
            line.truncate(self._columns(), overflow="ellipsis")
        return self._ansi(Text("\n").join(lines))

    def _status_line(self) -> AnyFormattedText:
        status = self._session.status
        line = paint.badge(status)
        parts = [
            paint.unsynced(self._session.unsynced),
            Text(f"↑ {plural(self._transcript.below, 'line')} below", style="cyan")
            if self._transcript.below
            else Text(),
            paint.here(self._session.presence.everyone(), self._client.subject),
            paint.why(status),
        ]
        for part in parts:
            if part:
                line.append("   ").append_text(part)
        line.truncate(self._columns(), overflow="ellipsis")
        return self._ansi(line)

    def show(self, note: RenderableType | None) -> None:
        """Show something above the line to type in, until the next message or Esc."""
        self._note, self._note_scroll = note, 0
        self.app.invalidate()

    def _forget(self, note: RenderableType | None) -> None:
        if self._note is note:
            self.show(None)

    # What happens

    async def _watch(self, changes: AsyncIterator[Change]) -> None:
        async for change in changes:
            self._happened(change)
            self.app.invalidate()

    def _happened(self, change: Change) -> None:
        if isinstance(change, RunChanged | CaughtUp):
            self._outcomes.refresh()
        match change:
            case CaughtUp(count, live) if live and count and not self._fresh:
                self.show(Text(f"{plural(count, 'new message')} since this device was here last", style="dim"))
                asyncio.get_running_loop().call_later(_NEWS_S, self._forget, self._note)
            case MessageChanged(_, own) if own:
                self._transcript.to_end()
            case StatusChanged(status):
                if what := paint.hint(status, dev=self._dev):
                    self.show(Text(what, style="yellow"))
            case EditRefused(code, reason):
                self.show(Text(f"the server refused what you wrote ({code}): {clean(reason)}; it is kept", style="red"))
            case Assigned(to, by, note):
                words = f": {note}" if note else ""
                self.show(Text(clean(f"{paint.short(by)} handed this over to {paint.short(to)}{words}", lines=False)))
        if (news := self._slash.sent.news(change)) is not None:
            self._news = [*self._news[1 - _NEWS_MAX :], news]
            self.show(Group(*self._news))

    def _typed(self) -> None:
        self._typed_at = time.monotonic()

    async def _say_presence(self) -> None:
        """Have the others see that this person is here, or typing; said only when it changes."""
        while True:
            typing = bool(self._buffer.text) and time.monotonic() - self._typed_at < _TYPING_S
            doing = "typing" if typing and not self._buffer.text.startswith("/") else "here"
            activity = "active" if time.monotonic() - self._typed_at < _ACTIVE_S else "idle"
            if (doing, activity) != self._said:
                self._said = (doing, activity)
                self._session.presence.update(status=doing, activity=activity)
            await asyncio.sleep(_TICK_S / 4)

    # What is typed

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        typing = has_focus(self._buffer)

        @keys.add("enter", filter=typing)
        def _(_: KeyPressEvent) -> None:
            self._submit()

        @keys.add("escape", "enter", filter=typing)
        def _(_: KeyPressEvent) -> None:
            self._buffer.insert_text("\n")

        @keys.add("escape", eager=False)
        def _(_: KeyPressEvent) -> None:
            self.show(None)

        @keys.add("escape", "/", filter=typing)
        def _(_: KeyPressEvent) -> None:
            # Esc, and a command right behind it. Together they would be a key of the editor's own.
            self.show(None)
            self._buffer.insert_text("/")

        @keys.add("pageup")
        def _(_: KeyPressEvent) -> None:
            self._scroll(1)

        @keys.add("pagedown")
        def _(_: KeyPressEvent) -> None:
            self._scroll(-1)

        @keys.add("end", filter=Condition(lambda: not self._buffer.text))
        def _(_: KeyPressEvent) -> None:
            self._transcript.to_end()

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if self._buffer.text:
                self._buffer.reset()
            else:
                event.app.exit()

        @keys.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _(event: KeyPressEvent) -> None:
            event.app.exit()

        return keys

    def _scroll(self, pages: int) -> None:
        """Scroll what is open above the line to type in, the transcript if nothing is."""
        if self._note is None:
            self._transcript.scroll(pages)
            return
        lines = len(paint.to_lines(self._note, self._columns()))
        self._note_scroll = min(max(0, self._note_scroll - pages * self._note_rows()), max(0, lines - 1))

    def _note_rows(self) -> int:
        return max(3, self.app.output.get_size().rows // 2)

    def _submit(self) -> None:
        line = self._buffer.text
        text = line.strip()
        if text in ("/quit", "/exit"):
            self.app.exit()
        elif text and not any(task.get_name() == "submit" for task in self._tasks):
            task = asyncio.create_task(self._submitted(text, line), name="submit")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _submitted(self, text: str, line: str) -> None:
        self._news = []
        try:
            if text.startswith("/") and not text.startswith("//"):
                note: RenderableType | None = await self._slash.run(text)
            else:
                text = text.removeprefix("/") if text.startswith("//") else text
                await self._session.post(text, to=list(dict.fromkeys([*self._to, *addressed(text, self._session)])))
                note = None
                self._transcript.to_end()
        except SyncdError as error:
            self.show(Text(clean(str(error)), style="red"))
            return
        typed = self._buffer.text
        self._buffer.text = line
        self._buffer.reset(append_to_history=True)  # Invariant 2.
        if typed.startswith(line):
            self._buffer.insert_text(typed[len(line) :])  # Typed while it was being saved.
        self.show(note)
