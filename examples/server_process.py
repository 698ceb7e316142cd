"""ServerProcess: a syncd server in a process of its own, which can be killed or frozen at any moment.

Knows nothing of what is done with the server.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_POLL_S = 0.02


class ServerProcess:
    """`syncd serve` over one store file, on one port, as often as it is started.

    1. A process that was started is waited for: none is left behind by `kill` or `stop`.
    2. Its settings are these and no other: nothing comes from this process' environment.
    """

    def __init__(
        self,
        store: Path,
        *,
        limits: Mapping[str, float] | None = None,
        cores: frozenset[int] | None = None,
        keys: str = "",
        program: Sequence[str] = ("-m", "syncd"),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Choose a free port. `limits` differ from their defaults; `cores` are those it may run on, all its threads.

        Tokens are signed with `keys`; without any the server is in its development mode. `program` is what Python
        runs, before the arguments; `settings` are more of them by name, without `SYNCD_`.
        """
        self.store = store
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = store.with_suffix(".log")
        self._cores = cores
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("SYNCD_")}  # Invariant 2.
        self._env |= {f"SYNCD_LIMITS__{name.upper()}": f"{value:.17g}" for name, value in (limits or {}).items()}
        self._env |= {f"SYNCD_{name}": value for name, value in (settings or {}).items()}
        self._env |= {"SYNCD_LOG_LEVEL": "warning"} | ({"SYNCD_KEYS": keys} if keys else {"SYNCD_DEV": "1"})
        self._program = program
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process' id. Only while it runs."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and return when it serves.

        Raises:
            RuntimeError: it ended, or did not serve in time; the message ends with what it said last.
        """
        mine = os.sched_getaffinity(0)
        with self.log.open("ab") as log:
            if self._cores is not None:
                # Inherited: of a process that runs already, some threads would have been elsewhere for a while.
                os.sched_setaffinity(0, self._cores)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self.command(), env=self._env, stdout=log, stderr=log
                )
            finally:
                os.sched_setaffinity(0, mine)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                while not await self.ready():
                    if self._process.returncode is not None:
                        raise RuntimeError(f"the server ended ({self._process.returncode}): {self.last_words()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            await self.kill()
            raise RuntimeError(f"the server does not serve: {self.last_words()}") from None

    def command(self) -> tuple[str, ...]:
        """What is run."""
        return (sys.executable, *self._program, "serve", "--port", str(self.port), "--store", str(self.store))

    async def ready(self) -> bool:
        """Whether it serves."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return b" 200 " in await reader.readline()
        except ConnectionError:
            return False
        finally:
            writer.close()

    def last_words(self) -> str:
        """Return the end of what it wrote into its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2_000:]

    async def kill(self) -> None:
        """SIGKILL: it has no chance to write anything more. Idempotent."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """Have it stop in good order; kill it if it does not. Idempotent. Return its exit code."""
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                return await self._end(signal.SIGTERM)
        except TimeoutError:
            return await self._end(signal.SIGKILL)

    async def ended(self) -> int:
        """Wait until it ends by itself; return its exit code, or the negative number of the signal that ended it."""
        return 0 if self._process is None else await self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: it does nothing more, and its sockets stay open, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT. Idempotent."""
        os.kill(self.pid, signal.SIGCONT)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        return await self._process.wait()  # Invariant 1.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


def free_port() -> int:
    """Return a port on loopback that nobody listens on, and that no other program is given while the server is down.

    Systems take those that they choose themselves from above 32,000.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with socket.socket() as probe:
            # As servers do: a connection that has ended holds none.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def disk_bytes(store: Path) -> int:
    """Return what a store takes on disk, its write-ahead log included."""
    return sum(file.stat().st_size for file in store.parent.glob(store.name + "*") if not file.name.endswith(".log"))
