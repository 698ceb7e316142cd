"""Callables: notices as calls of functions of the program that runs the server.

Knows nothing of when they are called.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from syncd.core.errors import LocalProtocolError
from syncd.server.hooks.channel import Gone, Notice, Result, Retry, Sent

#: What `@server.on(...)` takes. An ordinary function is called in a thread. What it returns does not matter, unless it
#: is a `Result`; one that raises is called again by the schedule.
Handler: TypeAlias = Callable[[Notice], object] | Callable[[Notice], Awaitable[object]]


class CallableChannel:
    """`Channel` of functions, by the name of their rule."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, name: str, handler: Handler) -> None:
        """Have a function called by a name.

        Raises:
            LocalProtocolError: another one has that name.
        """
        if name in self._handlers:
            raise LocalProtocolError(f"there is a function named {name} already: give this one another name")
        self._handlers[name] = handler

    async def send(self, notice: Notice) -> Result:
        """Call the function; whatever it raises comes out of here."""
        handler = self._handlers.get(notice.target)
        if handler is None:
            return Retry(None, "there is no function of that name")
        if inspect.iscoroutinefunction(handler):
            result = await handler(notice)
        else:
            result = await asyncio.to_thread(handler, notice)
            if inspect.isawaitable(result):
                result = await result
        return result if isinstance(result, Sent | Retry | Gone) else Sent()

    async def withdraw(self, notice: Notice) -> None:
        """Nothing: what was called was called."""
