"""Demo agents: a planner and a critic, as a process that `syncd serve --demo` runs beside its server.

Their model is a script, so nothing is needed to try them; where a key and its library are there, a real model speaks.
Knows the client alone: these are ordinary agents.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from syncd_client import Agent, Run
from syncd_client.history import turns

PLANNER, CRITIC = "planner", "critic"
HOTEL = "Casa da Graça"
#: The text of the shared state that the console shows beside the chat.
DOCUMENT = "document"

#: About twenty words a second.
_WORD_S = 0.05
_MENTION = re.compile(r"@[\w:.-]+[,:]?\s*")
_PLACE = re.compile(r"\b[A-ZÀ-Þ][\w'-]+")
#: Before a day it thinks, so that there is time to tell it something.
_THINK_S = 1.5
_DAYS = (
    (
        "Friday",
        "arrive at noon, leave the bags, and eat whatever the first open door smells of",
        "walk through the old town, downhill only, and turn where the music is",
        "watch the sun go down from the wall, with everybody else who had the idea",
    ),
    (
        "Saturday",
        "the market before ten, while the fish are still looking at you",
        "the tile museum and its shady garden, slowly, room by room",
        "a ferry over the river and back at dusk, for the price of a coffee",
    ),
    (
        "Sunday",
        "coffee at the river, and a second one, because nobody is waiting",
        "the long tram to its last stop and back, by the window",
        "one more look from the highest street, then the late train",
    ),
)
#: What is planned from the moment on that somebody says a word like these.
_THEMES: tuple[tuple[str, Sequence[str]], ...] = (
    (
        "food|eat|hungry|restaurant|dinner|lunch",
        ("a bakery", "grilled sardines by the harbour", "a slow dinner of five small plates"),
    ),
    ("rain|wet|umbrella|indoor", ("a covered market", "the aquarium", "a concert in a church")),
    ("kid|child|famil", ("the puppet museum", "a playground under trees", "the cable car, twice")),
    ("cheap|money|budget|expensive", ("a free museum", "a picnic on the steps", "the public ferry")),
    ("slow|tired|walk|mother|sit|bench", ("a taxi up", "a bench with a view", "an early evening at home")),
)
_SYSTEM = {
    PLANNER: "You plan trips, in at most 150 words, as a short list by day. Do what people say meanwhile.",
    CRITIC: "You look at travel plans with a critical eye: three short remarks, at most 80 words in all.",
}


async def plan(run: Run) -> None:
    """Plan a trip, ask whether the hotel may be booked, and say what came of it."""
    place = _place(run)
    if not run.resumed:  # Taken up again while it waited for the decision, it has said all this.
        await _speak(run, PLANNER, _Plan(place))
    call = run.tool("book_hotel", {"hotel": HOTEL, "city": place, "nights": 2})
    decision = await call.approval(timeout="1d")
    if decision.approved:
        await call.output({"booked": True, "code": "SY-28"})
        # Beside the chat stands a document that everybody edits at once, agents like people.
        run.session.state.text(DOCUMENT).append(f"Booked in {place}: {HOTEL}, two nights, code SY-28.\n")
        await _say(run, f"Booked: two nights at {HOTEL}, code SY-28. {_name(decision.by)} said yes.")
    else:
        why = f" ({decision.reason})" if decision.reason else ""
        await _say(run, f"Not booked: {_name(decision.by)} said no{why}. The plan stands without it.")


async def criticise(run: Run) -> None:
    """Say what may go wrong."""
    await _speak(run, CRITIC, _Critique(_place(run)))


class _Script:
    """What the scripted model says: lines, of which those to come change when somebody is heard."""

    thought = ""

    def __init__(self, lines: Sequence[str]) -> None:
        self.coming = list(lines)

    def heard(self, text: str) -> None:
        """Change what is to come."""
        raise NotImplementedError


class _Plan(_Script):
    thought = "What is near what, and who is tired when? "

    def __init__(self, place: str) -> None:
        lines = [f"Three days in {place}, without haste.\n"]
        for day, *stops in _DAYS:
            lines += [f"\n**{day}**\n\n", *(f"- {stop}\n" for stop in stops)]
        super().__init__([*lines, f"\nFor the night I would take {HOTEL}: it has a lift and a quiet yard.\n"])

    def heard(self, text: str) -> None:
        stops = next((found for words, found in _THEMES if re.search(words, text, re.IGNORECASE)), ())
        at = 0
        for number, line in enumerate(self.coming):
            if line.startswith("- "):
                wanted = stops[at % len(stops)] if stops else f"{line[2:].strip()}, with “{text}” in mind"
                self.coming[number], at = f"- {wanted}\n", at + 1


class _Critique(_Script):
    thought = "What do people forget when they look forward to something? "

    def __init__(self, place: str) -> None:
        super().__init__(
            [
                f"Before anybody books {place}, three doubts.\n\n",
                "1. The hills: on the map it is near, on foot it is a staircase.\n",
                "2. Saturday: everybody goes to the museum then, so go as it opens.\n",
                "3. The last train: if it is late, who waits with you?\n",
                "\nOtherwise I would come along.\n",
            ]
        )

    def heard(self, text: str) -> None:
        self.coming = [f"Then I only ask this: does “{text}” make it better, or merely longer?\n"]


async def _speak(run: Run, name: str, script: _Script) -> None:
    """Have a real model answer where there is one, else the script."""
    if (model := _model(name)) is not None and await model(run):
        return
    await run.reasoning(script.thought)
    await asyncio.sleep(_THINK_S)
    while script.coming:
        if script.coming[0].startswith("\n**"):
            await asyncio.sleep(_THINK_S)
        await _say(run, script.coming.pop(0))
        for steer in run.steering:
            await _say(run, f"\n(heard: {steer.text})\n\n")
            script.heard(steer.text)


async def _say(run: Run, text: str) -> None:
    for word in re.findall(r"\S+\s*|\s+", text):
        await run.text(word)
        await asyncio.sleep(_WORD_S)


# Real models


class _Model:
    """A model behind a key. Called with a run it returns whether it answered: if not, the script does."""

    def __init__(self, name: str) -> None:
        self._system = _SYSTEM[name]

    async def __call__(self, run: Run) -> bool:
        while True:
            try:
                await run.stream(self.source(run))
            except self.errors as error:
                await run.text(f"\n\n(the model failed: {type(error).__name__}; a script goes on)\n\n")
                return False
            heard = run.steering
            if not heard:
                return True
            for steer in heard:
                await run.text(f"\n\n(heard: {steer.text})\n\n")

    @property
    def errors(self) -> type[Exception]:
        """What its library raises."""
        raise NotImplementedError

    def source(self, run: Run) -> Any:
        """Return what `run.stream` takes."""
        raise NotImplementedError


class _OpenAI(_Model):
    def __init__(self, name: str, library: Any) -> None:
        super().__init__(name)
        self._library = library
        self._client = library.AsyncOpenAI()

    @property
    def errors(self) -> type[Exception]:
        found: type[Exception] = self._library.OpenAIError
        return found

    def source(self, run: Run) -> Any:
        model = os.environ.get("OPENAI_MODEL", "gpt-5-mini")
        messages = [{"role": "system", "content": self._system}, *run.history("openai")]
        return self._client.chat.completions.create(model=model, messages=messages, stream=True)


class _Anthropic(_Model):
    def __init__(self, name: str, library: Any) -> None:
        super().__init__(name)
        self._library = library
        self._client = library.AsyncAnthropic()

    @property
    def errors(self) -> type[Exception]:
        found: type[Exception] = self._library.AnthropicError
        return found

    def source(self, run: Run) -> Any:
        model = os.environ.get("ANTHROPIC_MODEL", "claude-haiku-4-5")
        messages = run.history("anthropic")
        return self._client.messages.create(
            model=model, max_tokens=1024, system=self._system, messages=messages, stream=True
        )


def _model(name: str) -> _Model | None:
    """Return the model whose key and library are here; None if there is none."""
    if os.environ.get("OPENAI_API_KEY"):
        with suppress(ImportError):
            import openai

            return _OpenAI(name, openai)
    if os.environ.get("ANTHROPIC_API_KEY"):
        with suppress(ImportError):
            import anthropic

            return _Anthropic(name, anthropic)
    return None


# The process


def _place(run: Run) -> str:
    """Return where to: the last word with a capital in what a person asked; the first one only if it stands alone.

    What was said while it worked does not count: a run that is taken up again has to ask for the same hotel.
    """
    asked = turns(run.session, "", run.message.id if run.message else None, agent=run.agent)
    said = [turn.parts for turn in asked if turn.role == "user"]
    words = _MENTION.sub("", " ".join(str(part.get("text", "")) for part in said[-1])).split() if said else []
    names = _PLACE.findall(" ".join(words[1:] or words))
    return names[-1] if names else "Lisbon"


def _name(subject: str) -> str:
    return subject.removeprefix("user:")


async def serve(url: str, directory: Path) -> None:
    """Serve both agents until cancelled, their copies in `directory`."""
    async with asyncio.TaskGroup() as group:
        for name, handler in ((PLANNER, plan), (CRITIC, criticise)):
            agent = Agent(name, server=url, store=directory / f"{name}.db", on_interrupted="retry")
            agent.on_work(handler)
            group.create_task(agent.serve(), name=name)


async def _until_told(url: str, directory: Path) -> None:
    """Serve until SIGTERM, or until standard input ends: then whoever started this is gone."""
    serving = asyncio.ensure_future(serve(url, directory))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    await loop.connect_read_pipe(lambda: _End(serving), sys.stdin)
    with suppress(asyncio.CancelledError):
        await serving


class _End(asyncio.Protocol):
    def __init__(self, serving: asyncio.Future[None]) -> None:
        self._serving = serving

    def eof_received(self) -> None:
        self._serving.cancel()


if __name__ == "__main__":
    from syncd.server.logs import configure

    configure("console", "error")
    asyncio.run(_until_told(sys.argv[1], Path(sys.argv[2])))
