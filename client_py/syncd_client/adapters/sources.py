"""Sources: whose stream is this? Opens what a library returned, has it translated, and closes it.

Knows no library: each translator says which items are its own, and none imports its library.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final, Protocol, Self

from syncd.core.errors import LocalProtocolError
from syncd_client.adapters import anthropic, langchain, langgraph, neutral, openai, openai_agents, pydantic_ai
from syncd_client.adapters.pieces import Piece, Reasoning, Text, ToolInputDelta


class Translator(Protocol):
    """Turns the items of one stream into pieces. One object for one stream."""

    def feed(self, item: Any) -> Iterable[Piece]:
        """Return what `item` says; nothing for an item that says nothing new."""

    def end(self) -> Iterable[Piece]:
        """Return what is left when the stream ended by itself."""


class TranslatorKind(Protocol):
    """A class of translators, and what they translate."""

    def __call__(self) -> Translator:
        """Return a translator for one stream."""

    @staticmethod
    def accepts(item: Any) -> bool:
        """Whether a stream that begins with `item` is for it. Must not raise, whatever the item."""


#: In this order: LangGraph's tuples hold LangChain's messages.
KINDS: Final[tuple[tuple[TranslatorKind, str], ...]] = (
    (neutral.Neutral, neutral.UNDERSTOOD),
    (openai.Chat, openai.CHAT_UNDERSTOOD),
    (openai.Responses, openai.RESPONSES_UNDERSTOOD),
    (anthropic.Messages, anthropic.UNDERSTOOD),
    (langgraph.Graph, langgraph.UNDERSTOOD),
    (langgraph.GraphEvents, langgraph.EVENTS_UNDERSTOOD),
    (langchain.Chunks, langchain.UNDERSTOOD),
    (langchain.Events, langchain.EVENTS_UNDERSTOOD),
    (pydantic_ai.RunEvents, pydantic_ai.UNDERSTOOD),
    (openai_agents.RunEvents, openai_agents.UNDERSTOOD),
)


def recognise(source: Any) -> Pieces:
    """Return the pieces of `source`, whichever library it comes from; see `KINDS` for what is understood.

    Iterate it, and `aclose()` it if you stop before its end: that closes the library's stream, so that the model
    stops. What the library raises is raised.

    Raises:
        LocalProtocolError: `source` is nothing to iterate; while iterating: its items are of no known library.
    """
    if not (inspect.isawaitable(source) or any(hasattr(source, name) for name in _OPENABLE)):
        raise _unknown(source)
    return Pieces(source)


_OPENABLE: Final = ("__aiter__", "__aenter__", "stream_events")
#: A call that returns a stream may have to be awaited, entered and asked; never more often than this.
_LAYERS_MAX: Final = 6


class Pieces(AsyncIterator[Piece]):
    """The pieces of one source.

    1. However it ends, by itself, by an error, by a cancelled task or by `aclose`, the source is closed.
    2. Nothing is asked of the source before the first piece is.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._pieces = _translated(source)
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        self._begun = True
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Close the source, wherever it is. May be called again."""
        if not self._begun:
            self._begun = True
            async with AsyncExitStack() as stack:  # Invariant 1: a generator that never began cleans up nothing.
                _close_with(stack, self._source)
        await self._pieces.aclose()


async def _translated(source: Any) -> AsyncGenerator[Piece, None]:
    async with AsyncExitStack() as stack:
        translator: Translator | None = None
        halves = _Halves()
        async for item in await _opened(source, stack):
            if translator is None:
                translator = _translator_for(item)
            for piece in translator.feed(item):
                yield halves.joined(piece)
        for piece in translator.end() if translator is not None else ():
            yield piece


class _Halves:
    """Joins characters that a server cut in two: half a surrogate pair is legal in JSON, and in no transcript."""

    def __init__(self) -> None:
        self._kept = ""

    def joined(self, piece: Piece) -> Piece:
        """Return `piece` with whole characters; a half at its end is kept for the next."""
        if not isinstance(piece, Text | Reasoning | ToolInputDelta) or (piece.delta.isascii() and not self._kept):
            return piece
        text, self._kept = self._kept + piece.delta, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._kept = text[:-1], text[-1]
        return replace(piece, delta=text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))


def _translator_for(item: Any) -> Translator:
    for kind, _ in KINDS:
        if kind.accepts(item):
            return kind()
    raise _unknown(item)


async def _opened(source: Any, stack: AsyncExitStack) -> AsyncIterator[Any]:
    """Await, enter and ask `source` until it can be iterated; leave in `stack` what has to be closed."""
    for _ in range(_LAYERS_MAX):
        if hasattr(source, "stream_events"):
            run, source = source, openai_agents.events(source)
            _close_with(stack, source)
            _cancel_with(stack, run)
            return aiter(source)
        elif hasattr(source, "__aiter__"):  # Before awaiting: LangChain's v3 streams, awaited, are the whole message.
            _close_with(stack, source)
            iterator: AsyncIterator[Any] = aiter(source)
            if iterator is not source:
                _close_with(stack, iterator)
            return iterator
        elif hasattr(source, "__aenter__"):
            source = await stack.enter_async_context(source)
        elif inspect.isawaitable(source):
            source = await source
        else:
            break
    raise _unknown(source)


def _close_with(stack: AsyncExitStack, source: Any) -> None:
    """Have `source` closed when `stack` is: by the first of these that it has."""
    for name in ("aclose", "close", "abort", "cancel"):
        method = getattr(source, name, None)
        if callable(method):
            stack.push_async_callback(_call, method)
            return


async def _call(method: Callable[[], Any]) -> None:
    result = method()
    if inspect.isawaitable(result):
        await result


def _cancel_with(stack: AsyncExitStack, run: Any) -> None:
    """Have a run of openai-agents cancelled first of all: its events, closed alone, wait for the run's end."""

    def cancel() -> None:
        if not run.is_complete:
            run.cancel()

    stack.callback(cancel)


def _unknown(thing: Any) -> LocalProtocolError:
    kind = type(thing)
    understood = "; ".join(said for _, said in KINDS)
    return LocalProtocolError(
        f"a stream of {kind.__module__}.{kind.__qualname__} is not understood. Give one of: {understood}. Or write a "
        "generator that yields strings or pieces (syncd_client.adapters.pieces)"
    )
