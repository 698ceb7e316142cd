"""DemoProcess: the demo's agents as a process of their own, started again when it dies, ended with the server.

A process rather than tasks of the server's: it can be killed, to see what becomes of what it was doing. Knows nothing
of what the agents do.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import suppress
from typing import Self

#: It is started again after this, and after twice as long each time that it does not last.
_AGAIN_S = 1.0
_AGAIN_MAX_S = 60.0
_LASTED_S = 10.0
_END_S = 5.0


class DemoProcess:
    """Runs `syncd.cli.demo_agents` for the server at `url`. Use it as `async with`.

    1. It never outlives this process: its standard input ends then, and so does it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._directory = tempfile.TemporaryDirectory(prefix="syncd-demo-agents-", ignore_cleanup_errors=True)
        self._process: asyncio.subprocess.Process | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process' id; None while there is none."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        await self._start()
        self._keeping = asyncio.create_task(self._keep(), name="demo agents")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _END_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._directory.cleanup()

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "syncd.cli.demo_agents", self._url, self._directory.name),
            stdin=asyncio.subprocess.PIPE,  # Invariant 1.
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the server, which then ends this.
        )

    async def _keep(self) -> None:
        loop, pause_s = asyncio.get_running_loop(), _AGAIN_S
        while True:
            assert self._process is not None
            started = loop.time()
            await self._process.wait()
            pause_s = _AGAIN_S if loop.time() - started > _LASTED_S else min(2 * pause_s, _AGAIN_MAX_S)
            await asyncio.sleep(pause_s)
            await self._start()
