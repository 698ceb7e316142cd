"""Callables: notices as calls of functions of the program that runs the server.

Knows nothing of when they are called.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from syncd.core.errors import LocalProtocolError
from syncd.server.hooks.channel import Gone, Notice, Result, Retry, Sent

#: What `@server.on(...)` takes. An ordinary function is called in a thread. What it returns does not matter, unless it
#: is a `Result`; one that raises is called again by the schedule.
Handler: TypeAlias = Callable[[Notice], object] | Callable[[Notice], Awaitable[object]]


@dataclass(slots=True)
class _Function:
    """A function, its one thread, which begins with its first call, and its last call there."""

    handler: Handler
    thread: ThreadPoolExecutor
    last: Future[object] | None = None


class CallableChannel:
    """`Channel` of functions, by the name of their rule.

    1. A function that hangs holds up itself: it has one thread of its own, and is called when its last call has ended.
    """

    def __init__(self) -> None:
        self._functions: dict[str, _Function] = {}

    def add(self, name: str, handler: Handler) -> None:
        """Have a function called by a name.

        Raises:
            LocalProtocolError: another one has that name.
        """
        if name in self._functions:
            raise LocalProtocolError(f"there is a function named {name} already: give this one another name")
        self._functions[name] = _Function(handler, ThreadPoolExecutor(1, thread_name_prefix=f"function {name}"))

    async def send(self, notice: Notice) -> Result:
        """Call the function; whatever it raises comes out of here."""
        function = self._functions.get(notice.target)
        if function is None:
            return Retry(None, "there is no function of that name")
        if inspect.iscoroutinefunction(function.handler):
            result = await function.handler(notice)
        else:
            if function.last is not None and not function.last.done():  # Invariant 1.
                return Retry(None, "its last call has not ended yet")
            # Kept when this call is cut off: the thread goes on to its end all the same.
            function.last = function.thread.submit(function.handler, notice)
            result = await asyncio.wrap_future(function.last)
            if inspect.isawaitable(result):
                result = await result
        return result if isinstance(result, Sent | Retry | Gone) else Sent()

    async def withdraw(self, notice: Notice) -> None:
        """Nothing: what was called was called."""

    async def close(self) -> None:
        """Call nothing more. What is under way ends by itself."""
        for function in self._functions.values():
            function.thread.shutdown(wait=False, cancel_futures=True)
