"""Agent: the ten lines that make a program an agent.

Settings and the handler; what happens to a run is the `worker`'s, what a handler does with it the `run`'s.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from syncd.core.errors import LocalProtocolError
from syncd.core.ids import is_subject
from syncd.core.limits import DEFAULT_LIMITS, Limits
from syncd_client.client import Client, Token
from syncd_client.worker import Busy, Handler, Worker, WorkerSettings

OnInterrupted = Literal["wait", "retry", "fail"]
OnCancel = Literal["stop", "tell"]


class Agent:
    """One agent, and how it is served by this process.

    `on_interrupted` is what becomes of a run whose worker is lost for longer than the server's grace: it waits for
    this very process, is begun anew by any worker (`retry`, at most `attempts_max` times), or fails. `busy` is what a
    message does that comes to a session where the agent is at work: it waits its turn (`queue`), is given to the run
    at work as a steer (`steer`), or gets a run beside it (`parallel`). `on_cancel`: an accepted
    cancel cancels the handler's task (`stop`), or is only told by `Run.cancelled`.

    Decorate one function with `on_work`, then await `serve`.
    """

    def __init__(
        self,
        name: str,
        *,
        server: str,
        token: Token = None,
        store: str | Path | None = None,
        on_interrupted: OnInterrupted = "retry",
        attempts_max: int = 3,
        busy: Busy = "queue",
        on_cancel: OnCancel = "stop",
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """`name` is the subject's, without `agent:`. Without a `token` the server has to be in development mode.

        Raises:
            LocalProtocolError: a setting that is none.
        """
        self.subject = f"agent:{name.removeprefix('agent:')}"
        for value, kind, what in (
            (on_interrupted, OnInterrupted, "on_interrupted"),
            (busy, Busy, "busy"),
            (on_cancel, OnCancel, "on_cancel"),
        ):
            if value not in get_args(kind):
                raise LocalProtocolError(f"{what} is one of {', '.join(get_args(kind))}, not {value!r}")
        if not is_subject(self.subject) or self.subject == "agent:" or attempts_max < 1:
            raise LocalProtocolError("an agent has a name, and at least one attempt")
        self.server = server
        self._token = token if token is not None else f"dev:{self.subject}"
        self._store = store if store is not None else f"syncd-{name.removeprefix('agent:').replace('/', '-')}.db"
        self._on_interrupted = on_interrupted
        self._attempts_max = attempts_max
        self._busy: Busy = busy
        self._on_cancel = on_cancel
        self._limits = limits
        self._handler: Handler | None = None
        self._client: Client | None = None

    def on_work(self, handler: Handler) -> Handler:
        """Have `handler` called with every run. A decorator.

        Raises:
            LocalProtocolError: there is one already.
        """
        if self._handler is not None:
            raise LocalProtocolError("an agent has one handler")
        self._handler = handler
        return handler

    @property
    def client(self) -> Client:
        """The client that it is served with, for sessions that the program opens itself.

        Raises:
            LocalProtocolError: it is not being served.
        """
        if self._client is None:
            raise LocalProtocolError(f"{self.subject} is not being served: await agent.serve()")
        return self._client

    async def serve(self, *, concurrency: int = 8, drain_s: float = 20.0) -> None:
        """Take work until cancelled, `concurrency` runs at a time; those that wait for a decision do not count.

        SIGTERM, unless the program handles it, ends it in good order: no more work is taken, and what is being worked
        on may go on for `drain_s`; then `serve` returns. A second one ends the waiting. So do all agents of a program.

        When cancelled, or drained, handlers are cancelled. What they leave open is ended as failed, with the code
        `abandoned`; what waits for a decision, or was detached, stays open for the next worker. Everything is saved,
        and on the server if there is a link.

        Raises:
            LocalProtocolError: there is no handler; or the server refuses the agent for good.
        """
        if self._handler is None:
            raise LocalProtocolError("an agent needs a handler: decorate one with on_work")
        if concurrency < 1:
            raise LocalProtocolError("an agent works on at least one run at a time")
        settings = WorkerSettings(
            self.subject,
            concurrency,
            self._busy,
            self._on_interrupted,
            self._attempts_max,
            cancel_stops=self._on_cancel == "stop",
        )
        client = Client(self.server, token=self._token, store=self._store, limits=self._limits)
        worker = Worker(client, self._handler, settings)
        client.worker = worker
        async with client:
            self._client = client
            try:
                with _on_sigterm(lambda: worker.drain(drain_s)):
                    await worker.run()
            finally:
                self._client = None
                await worker.stop()


#: What SIGTERM does, by loop: all agents that are served on one are told of it.
_on_sigterm_acts: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = {}


@contextmanager
def _on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Have `act` called on SIGTERM, where a program may say so and has not done it itself."""
    loop = asyncio.get_running_loop()
    if loop not in _on_sigterm_acts and not _take_sigterm(loop):
        yield
        return
    acts = _on_sigterm_acts.setdefault(loop, [])
    acts.append(act)
    try:
        yield
    finally:
        acts.remove(act)
        if not acts:
            del _on_sigterm_acts[loop]
            loop.remove_signal_handler(signal.SIGTERM)


def _take_sigterm(loop: asyncio.AbstractEventLoop) -> bool:
    """Have SIGTERM tell the agents of `loop`; whether that is so."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return False

    def tell() -> None:
        for act in tuple(_on_sigterm_acts.get(loop, ())):
            act()

    try:
        loop.add_signal_handler(signal.SIGTERM, tell)
    except NotImplementedError:  # Windows
        return False
    return True
