"""Actor: a person of the kill loop as the loop sees them: a process to start, kill and freeze, behind a bad network.

Knows nothing of what is done when, nor of the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

from examples.fault_proxy import FaultProxy
from tests.fault.notes import Promises
from tests.harness import ROOT, environment, mint


class Actor:
    """One person: one store and one file of notes for all their lives.

    1. Whatever fault of the network or freezing is begun here is ended here.
    """

    def __init__(self, name: str, session: str, folder: Path, port: int, *, pause_s: float, broken: str = "") -> None:
        self.name = name
        self.store = folder / f"{name}.db"
        self.promises = Promises(folder / f"{name}.notes")
        self.lives = 0
        self._session = session
        self._said = folder / f"{name}.log"
        self._pause_s = pause_s
        self._proxy = FaultProxy(port)
        self._env = environment() | ({"SYNCD_FAULT_BREAK": broken} if broken else {})
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Begin a life."""
        if not self._proxy.url:
            await self._proxy.start()
        self.lives += 1
        about = {
            "url": self._proxy.url,
            "token": mint(f"user:{self.name}"),
            "store": str(self.store),
            "notes": str(self.promises.path),
            "session": self._session,
            "name": self.name,
            "life": self.lives,
            "pause_s": self._pause_s,
        }
        with self._said.open("ab") as said:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fault.person", json.dumps(about)),
                cwd=ROOT,
                env=self._env,
                stdout=said,
                stderr=said,
            )

    async def kill(self) -> None:
        """End a life without any chance to tidy up. Idempotent."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def finish(self) -> None:
        """Ask for an end in good order."""
        self.signal(signal.SIGTERM)

    async def finished(self) -> int:
        """Return the exit code."""
        assert self._process is not None
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    @property
    def ready(self) -> bool:
        """Whether this life has begun to work, and can be asked to finish."""
        return self.promises.life == self.lives

    @property
    def ended_by_itself(self) -> str:
        """What it said last, if it ended although nobody wanted that."""
        code = self._process.returncode if self._process is not None else None
        if code in (None, 0, -signal.SIGKILL):
            return ""
        return f"code {code}: {self._said.read_text(encoding='utf-8', errors='replace')[-2_000:]}"

    async def stop(self) -> None:
        """Be gone, and the network too."""
        await self.kill()
        await self._proxy.stop()

    async def suffer(self, chance: random.Random) -> None:
        """Go through one fault, of the network or of the process, and be well again at the end."""
        proxy = self._proxy
        kind = chance.choice(("cut", "cut", "stall", "half up", "half down", "refuse", "slow", "late", "freeze"))
        try:
            if kind == "cut":
                await proxy.cut_after(chance.randrange(4_000), patience_s=0.5)
                return
            if kind == "stall":
                proxy.stall()
            elif kind == "half up":
                proxy.stall(down=False)
            elif kind == "half down":
                proxy.stall(up=False)
            elif kind == "refuse":
                proxy.refusing = True
                proxy.cut()
            elif kind == "slow":
                proxy.bytes_per_s = 20_000
            elif kind == "late":
                proxy.delay_s = 0.1
            else:
                self.signal(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            if kind.startswith(("stall", "half")) and chance.random() < 0.5:
                proxy.cut()  # What it kept is lost.
        finally:  # Invariant 1.
            self.signal(signal.SIGCONT)
            proxy.heal()
