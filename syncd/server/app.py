"""App: puts the server together of its parts, starts it, drains it and stops it.

The one module that knows all parts. Knows nothing of what any of them does with a request.
"""

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import structlog
from aiohttp import web

from syncd.core.errors import LocalProtocolError, StoreError
from syncd.server.config import Settings
from syncd.server.http import edge, guard, secure_headers
from syncd.server.listen import listen
from syncd.server.lists import Lists
from syncd.server.metrics import Metrics
from syncd.server.open_work import OpenWork
from syncd.server.parts import make_auth, make_hooks, make_push, make_services
from syncd.server.people import People
from syncd.server.records import Records
from syncd.server.rest.table import add_routes
from syncd.server.run_records import RunRecords
from syncd.server.services import SERVICES, Services
from syncd.server.sessions import Sessions
from syncd.server.sockets import Links
from syncd.server.work import Dispatcher
from syncd.store.session_log import SqliteSessionLog

_log = structlog.get_logger("syncd.app")

F = TypeVar("F", bound=Callable[..., object])

DEV_BANNER = (
    "DEVELOPMENT MODE: no token is needed, whoever reaches this port may read, write and delete everything. "
    "Never use it for anything you care about."
)


#: Objects in the youngest generation, and collections of a younger one, before each is collected. A full collection
#: walks every loaded session and stops the loop for a tenth of a second or more, to find hardly anything: what the
#: sessions drop is in no cycles. As Python ships it, that was the 99th percentile of the acks under load.
_GC_THRESHOLDS = (50_000, 20, 100)


class StorePort(Protocol):
    """The store, as far as starting and stopping go. Every `SessionLog` is one."""

    async def open(self) -> None:
        """Open it and take it for this process."""
        ...

    async def close(self) -> None:
        """Flush and let go. Idempotent, also when it was never opened."""
        ...


def build_app(services: Services) -> web.Application:
    """Return the aiohttp application: all routes, with what every request has in common around them."""
    app = web.Application(middlewares=[edge, guard])
    app[SERVICES] = services
    app.on_response_prepare.append(secure_headers)
    add_routes(app, services)
    services.console.add_pages(app)
    return app


def create_server(settings: Settings, *, demo: str | None = None) -> "Server":
    """Return a server over the SQLite file that the settings name. `await run()` it next.

    `demo` is the session that the console begins with.

    Raises:
        StoreDamaged: the revocation list does not read, or the key for pushes.
        HooksConfigError: the file of hooks that the settings name cannot be used.
    """
    limits, metrics = settings.make_limits(), Metrics()
    auth = make_auth(settings, limits, metrics)
    store = SqliteSessionLog(settings.store)
    sessions = Sessions(store, limits, metrics)
    dispatcher = Dispatcher(
        metrics, offer_timeout_s=limits.offer_timeout_s, grace_s=limits.presence_grace_s, clock=time.monotonic
    )
    lists = Lists(sessions, People(dispatcher, grace_s=limits.presence_grace_s), limits)
    links = Links(sessions, auth, limits, metrics, dispatcher, lists)
    runs = RunRecords(sessions, dispatcher, limits)
    work = OpenWork(sessions, dispatcher)
    hooks = make_hooks(settings, sessions, store, lists.people, dispatcher, limits, metrics, demo=demo is not None)
    push = make_push(settings, store.subscriptions, auth, limits)
    if push is not None:
        hooks.add_channel("push", push[1])
    services = make_services(
        settings,
        Records(sessions),
        links,
        auth,
        limits,
        metrics,
        runs,
        lists,
        demo=demo,
        hooks=hooks,
        devices=push[0] if push is not None else None,
    )
    server = Server(settings, store, services, work)
    # What a failed flush left on the disk is unknown, so another process has to read it afresh.
    sessions.on_fatal = lambda: server.end(1)
    return server


class Server:
    """One server: a listening socket, the sessions and their store.

    1. Nothing is accepted before the store is open and the sessions have started.
    2. A drain stops accepting first, then tells the links, then waits for requests under way, no longer than the
       settings say; only then is the last commit finished and the store closed.

    `await start()`, then `await stop()`; or `await run()`, which does both and waits for a signal in between.
    """

    def __init__(self, settings: Settings, store: StorePort, services: Services, work: OpenWork | None = None) -> None:
        self._settings = settings
        self._store = store
        self._services = services
        self._work = work
        self._runner = web.AppRunner(
            build_app(services), access_log=None, shutdown_timeout=settings.drain_timeout_s, handle_signals=False
        )
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._ending = asyncio.Event()
        self._draining = asyncio.Lock()
        self._exit_code = 0
        self._pruning: set[asyncio.Task[None]] = set()

    @property
    def services(self) -> Services:
        """What the routes use."""
        return self._services

    def on(self, *types: str, name: str = "", **rule: Any) -> Callable[[F], F]:
        """Have a function of this program told of events: `@server.on("run.ended", where={"status": "failed"})`.

        It gets a `Notice`, at least once for each event across restarts, in order. See `Hooks.on`; call it before
        `start`, at every start.

        Raises:
            LocalProtocolError: the fields make no rule, the name is taken, or this server has no hooks.
        """
        if self._services.hooks is None:
            raise LocalProtocolError("this server was put together without hooks")
        return self._services.hooks.on(*types, name=name, **rule)

    @property
    def port(self) -> int:
        """The port that is listened on.

        Raises:
            LocalProtocolError: `start` was not called.
        """
        if not self._port:
            raise LocalProtocolError("the server has no port yet: await start() first")
        return self._port

    @property
    def url(self) -> str:
        """Where the server is reached, without a slash at the end."""
        host = self._settings.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Open the store, start the sessions, listen. If it fails, all that was opened is closed again.

        Raises:
            StoreError: the store cannot be opened.
            OSError: the address cannot be used.
        """
        services = self._services
        services.auth.revocations.on_revoke = self._cut
        try:
            await self._store.open()
            await self._prune()
            await services.sessions.start()
            services.lifecycle.started = True
            if self._work is not None:
                await self._work.start()
            if services.lists is not None:
                await services.lists.start()
            if services.hooks is not None:
                await services.hooks.start()
            await self._runner.setup()
            assert self._runner.server is not None
            self._listening = await listen(  # Invariant 1.
                self._runner.server,
                self._settings.host,
                self._settings.port,
                header_timeout_s=services.limits.header_timeout_s,
            )
        except BaseException:
            await self.stop()
            raise
        self._port = self._listening.sockets[0].getsockname()[1]
        if self._settings.dev:
            _log.warning(DEV_BANNER)
        _log.info("listening", url=self.url, store=str(self._settings.store))

    async def drain(self) -> None:
        """Stop accepting, tell the links, let requests under way finish. Idempotent; `stop` comes next."""
        async with self._draining:
            if self._services.lifecycle.draining:
                return
            self._services.lifecycle.draining = True
            if self._listening is not None:
                self._listening.close()  # Invariant 2.
            if self._services.runs is not None:
                self._services.runs.workers.drain()
            try:
                async with asyncio.timeout(self._settings.drain_timeout_s):
                    await self._services.links.drain()
            except TimeoutError:
                _log.warning("some links did not close in time")
            await self._runner.cleanup()

    async def stop(self) -> None:
        """Drain, finish the commit under way, close the store. Idempotent."""
        await self.drain()
        try:
            if self._services.lifecycle.started:
                self._services.lifecycle.started = False
                if self._services.hooks is not None:
                    await self._services.hooks.stop()
                if self._work is not None:
                    await self._work.stop()
                if self._services.lists is not None:
                    await self._services.lists.stop()
                await asyncio.gather(*self._pruning)
                await self._services.sessions.stop()
        finally:
            await self._store.close()

    def end(self, exit_code: int = 0) -> None:
        """Make `run` stop the server and return `exit_code`. The first call counts."""
        if not self._ending.is_set():
            self._exit_code = exit_code
            self._ending.set()

    async def run(self, started: Callable[[], Awaitable[None]] | None = None) -> int:
        """Start, serve until SIGTERM, SIGINT or `end`, stop, and return the exit code. A second signal exits at once.

        `started` is called once it accepts connections.

        Raises:
            StoreError: the store cannot be opened.
            OSError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)
        thresholds = gc.get_threshold()
        gc.set_threshold(*_GC_THRESHOLDS)
        try:
            await self.start()
            try:
                if started is not None:
                    await started()
                await self._ending.wait()
            finally:
                await self.stop()
        finally:
            gc.set_threshold(*thresholds)
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
        _log.info("stopped")
        return self._exit_code

    def _signalled(self, number: int) -> None:
        if self._ending.is_set():
            # What is acked is on disk, so there is nothing that a hurried end could lose.
            os._exit(128 + number)
        _log.info("draining", signal=signal.Signals(number).name)
        self.end()

    def _cut(self, token_ids: frozenset[str], subjects: frozenset[str]) -> None:
        self._services.links.revoke(token_ids=token_ids, subjects=subjects)
        if self._services.runs is not None:
            self._services.runs.workers.revoke(token_ids=token_ids, subjects=subjects)
        task = asyncio.get_running_loop().create_task(self._prune())
        self._pruning.add(task)
        task.add_done_callback(self._pruning.discard)

    async def _prune(self) -> None:
        if self._services.devices is None:
            return
        try:
            await self._services.devices.prune()
        except StoreError as error:
            # Whoever it concerns is told nothing as long as the revocation is listed; the next start tries again.
            _log.warning("devices of revoked tokens are still kept", reason=str(error))
