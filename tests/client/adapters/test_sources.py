"""Sources: what is recognised, and that whatever is opened is closed."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from syncd_client import LocalProtocolError
from syncd_client.adapters import Pieces, recognise
from syncd_client.adapters.floor import Floor
from syncd_client.adapters.pieces import Finish, Text, ToolInput

from tests.client.adapters.stub import pieces_of, stream
from tests.harness import PATIENCE_S, environment


class Source:
    """A stream that says what it is told to, and notes that it was closed."""

    def __init__(self, *items: Any, wait: bool = False) -> None:
        self.closed = 0
        self._items = list(items)
        self._wait = wait

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._items:
            return self._items.pop(0)
        if self._wait:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def close(self) -> None:
        self.closed += 1


async def test_strings_and_pieces_are_understood() -> None:
    """Any generator of strings, or of pieces, is a source; empty strings say nothing."""
    items = ["Hi", "", ToolInput("t1", "f", {}), "there", Finish("stop")]

    assert await pieces_of(stream(items)) == [Text("Hi"), *items[2:3], Text("there"), Finish("stop")]
    assert await pieces_of(stream([])) == []


async def test_characters_that_were_cut_in_two_are_whole() -> None:
    """A server may cut an emoji between two tokens; a half that stays alone is replaced."""
    items = ["Hi \ud83d", "\ude00!", "\ude00 é", "\ud83d", "x"]

    assert await pieces_of(stream(items)) == [
        Text("Hi "), Text("\U0001f600!"), Text("\ufffd é"), Text(""), Text("\ufffdx"),
    ]  # fmt: skip


async def test_awaitables_and_contexts_are_opened() -> None:
    """A call that has to be awaited, or entered, or both, before there is a stream."""

    @asynccontextmanager
    async def context() -> AsyncIterator[AsyncIterator[str]]:
        yield stream(["Hi"])

    async def awaited(source: Any) -> Any:
        return source

    assert await pieces_of(awaited(stream(["Hi"]))) == [Text("Hi")]
    assert await pieces_of(context()) == [Text("Hi")]
    assert await pieces_of(awaited(context())) == [Text("Hi")]


@pytest.mark.parametrize("source", [None, "text", ["a"], 7])
def test_what_is_no_stream_is_refused_at_once(source: Any) -> None:
    """The error says what was given, and what is understood."""
    with pytest.raises(LocalProtocolError, match=rf"{type(source).__name__} is not understood.*LangGraph astream"):
        recognise(source)


@pytest.mark.parametrize("item", [object(), 7, {"event": 1}, ("a", "b", "c"), b"bytes", {}])
async def test_a_stream_of_something_else_is_refused_and_closed(item: Any) -> None:
    """Items of no known library are an error, not silence; the stream is closed."""
    source = Source(item)

    with pytest.raises(LocalProtocolError, match="is not understood"):
        await anext(recognise(source))

    assert source.closed == 1


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_closing_closes_the_source(read: int) -> None:
    """Before the first piece, in the middle, at the last: the source is closed, once."""
    source = Source("one", "two")
    pieces = recognise(source)
    for _ in range(read):
        await anext(pieces)

    await pieces.aclose()
    await pieces.aclose()

    assert source.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)


async def test_a_coroutine_that_is_never_read_is_closed() -> None:
    """Nothing is left unawaited when a run ends before its first token."""

    async def create() -> Source:
        raise AssertionError("nobody asked for it")

    await recognise(create()).aclose()


async def test_the_end_and_a_cancel_close_the_source() -> None:
    """A stream that ends by itself is closed, and so is one whose reader is cancelled."""
    ended, waiting = Source("one"), Source("one", wait=True)
    await pieces_of(ended)
    heard = asyncio.Event()

    async def read(pieces: Pieces) -> None:
        async for _ in pieces:
            heard.set()

    task = asyncio.create_task(read(recognise(waiting)))
    async with asyncio.timeout(PATIENCE_S):
        await heard.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert (ended.closed, waiting.closed) == (1, 1)


async def test_what_an_app_puts_around_a_source_is_closed_too() -> None:
    """A generator over a library's stream gets its chance to clean up."""
    cleaned = []

    async def words() -> AsyncIterator[str]:
        try:
            yield "one"
            yield "two"
        finally:
            cleaned.append(True)

    async with aclosing(recognise(words())) as pieces:
        assert await anext(pieces) == Text("one")

    assert cleaned == [True]


def test_no_library_is_imported() -> None:
    """An app that uses one library, or none, pays for no other."""
    libraries = ["openai", "anthropic", "langchain_core", "langgraph", "pydantic_ai", "agents"]
    program = f"import sys, syncd_client.adapters; assert not set({libraries}) & set(sys.modules)"

    subprocess.run([sys.executable, "-c", program], check=True, env=environment(), timeout=PATIENCE_S)


def test_the_floor_keeps_what_the_others_say() -> None:
    """One speaks at a time; who ended while waiting gives the floor on; at the end nothing is left."""
    floor = Floor()
    heard = [*floor.say("a", [Text("a1")]), *floor.say("b", [Text("b1")]), *floor.say("c", [Text("c1")])]
    heard += [*floor.done("b"), *floor.say("a", [Text("a2")]), *floor.behind("b", [Text("b2")])]
    assert heard == [Text("a1"), Text("a2")]

    assert [*floor.done("a")] == [Text("b1"), Text("b2"), Text("c1")]
    assert [*floor.say("c", [Text("c2")]), *floor.say("d", [Text("d1")])] == [Text("c2")]
    assert [*floor.end()] == [Text("d1")]
