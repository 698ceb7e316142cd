"""Servers: what is measured, each in a process of its own whose costs can be read, and how the peers are installed.

Linux only: it reads /proc. Knows nothing of scenarios.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmarks.dialects import HocuspocusWire, RelayWire, SyncdWire, YjsWire
from benchmarks.native import program
from benchmarks.wire import Wire
from examples.server_process import ServerProcess
from syncd.core.grant import Right
from syncd.server.auth import Auth, parse_keys
from syncd.server.metrics import Metrics
from syncd.server.revocations import Revocations

#: Bounds that a load generator on one address and under one name would meet first; everything else is as shipped.
OPEN_LIMITS: Mapping[str, float] = {
    "frames_per_s": 1e6,
    "frames_burst": 1e6,
    "bytes_per_s": 1e9,
    "bytes_burst": 1e9,
    "links_per_subject_max": 1e5,
    "links_per_address_max": 1e5,
}
LIMITS_NOTE = "Rates and links per address and per subject are not limited; all other limits are as shipped."

PEERS = Path(__file__).parent / "peers"
_NODE_MODULES = PEERS / "node_modules"
_VENV = PEERS / ".venv"


class Unavailable(Exception):
    """A server cannot be measured here. The message says what to do."""


class Server(ServerProcess):
    """A server whose costs can be read. This one is syncd, with everything on: tokens are signed and checked."""

    name: ClassVar[str] = "syncd"
    wire: ClassVar[type[Wire]] = SyncdWire
    #: Whether it keeps documents, so that joining them can be measured.
    documents: ClassVar[bool] = True
    #: Whether rooms survive that several clients open them at once.
    joins_at_once: ClassVar[int] = 50

    def __init__(self, folder: Path, cores: frozenset[int], limits: Mapping[str, float] = OPEN_LIMITS) -> None:
        self._key = secrets.token_urlsafe(32)
        super().__init__(folder / "server.db", limits=limits, cores=cores, keys=self._key or "")

    @classmethod
    def check(cls) -> None:
        """Return if it can be started here.

        Raises:
            Unavailable: it cannot.
        """

    @classmethod
    def version(cls) -> str:
        """The version, with those of what it rests on."""
        return "this version"

    @functools.cached_property
    def token(self) -> str:
        """A token for everything in every session; the peers need none."""
        return self.mint("user:load")

    def mint(self, subject: str) -> str:
        """Return a token of somebody for everything in every session."""
        auth = Auth(parse_keys(self._key), revocations=Revocations(None), metrics=Metrics())
        return auth.mint(subject, {"*": [right.value for right in Right]}).token

    async def connect(self, room: str) -> Wire:
        """Return a client of this server, connected."""
        return await self.wire.connect(self.port, room, self.token)

    async def join(self, room: str) -> Wire:
        """Return a client that has opened `room`."""
        wire = await self.connect(room)
        await wire.open()
        return wire

    async def join_all(self, rooms: list[str]) -> list[Wire]:
        """Return a client for each of `rooms`, opened so many at once as the server bears."""
        wires: list[Wire] = []
        for first in range(0, len(rooms), self.joins_at_once):
            wires += await asyncio.gather(*map(self.join, rooms[first : first + self.joins_at_once]))
        return wires

    def cpu_s(self) -> float:
        """Return how much processor time it has used so far, all threads. None of the servers has child processes."""
        return cpu_s(self.pid)

    def rss_kb(self) -> float:
        """Return its resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024


class Peer(Server):
    """A server of somebody else, or the relay."""

    @property
    def token(self) -> str:
        """They need none."""
        return ""

    async def ready(self) -> bool:
        """Whether it listens."""
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True


class Relay(Peer):
    """The floor: one send for each delivery, and nothing else."""

    name = "C relay"
    wire = RelayWire
    documents = False

    @classmethod
    def check(cls) -> None:
        if program("relay") is None:
            raise Unavailable("the relay is written in C: install gcc and libc6-dev")

    @classmethod
    def version(cls) -> str:
        return "one send per delivery"

    def command(self) -> tuple[str, ...]:
        return (str(program("relay")), str(self.port))


class NodePeer(Peer):
    """A server that runs in Node."""

    packages: ClassVar[tuple[str, ...]]

    @classmethod
    def check(cls) -> None:
        if shutil.which("node") is None:
            raise Unavailable("it needs Node: install nodejs and npm, then `make bench-peers`")
        for package in cls.packages:
            if not (_NODE_MODULES / package / "package.json").exists():
                raise Unavailable(f"{package} is not installed: `make bench-peers`")

    @classmethod
    def version(cls) -> str:
        found = [json.loads((_NODE_MODULES / name / "package.json").read_bytes())["version"] for name in cls.packages]
        return ", ".join(f"{name} {number}" for name, number in zip(cls.packages, found, strict=True))


class YWebsocket(NodePeer):
    """@y/websocket-server: nothing is stored."""

    name = "y-websocket"
    wire = YjsWire
    packages = ("@y/websocket-server", "yjs")

    def __init__(self, folder: Path, cores: frozenset[int], limits: Mapping[str, float] = OPEN_LIMITS) -> None:
        super().__init__(folder, cores, limits)
        self._env |= {"HOST": "127.0.0.1", "PORT": str(self.port)}

    def command(self) -> tuple[str, ...]:
        return ("node", str(_NODE_MODULES / "@y/websocket-server/src/server.js"))


class Hocuspocus(NodePeer):
    """Hocuspocus with its SQLite extension: stored 2 to 10 s later."""

    name = "Hocuspocus"
    wire = HocuspocusWire
    packages = ("@hocuspocus/server", "@hocuspocus/extension-sqlite")

    def command(self) -> tuple[str, ...]:
        return ("node", str(PEERS / "hocuspocus.mjs"), str(self.port), str(self.store))


class PycrdtWebsocket(Peer):
    """pycrdt-websocket under hypercorn: nothing is stored."""

    name = "pycrdt-websocket"
    wire = YjsWire
    joins_at_once = 1  # Clients that come while a room starts hang.

    @classmethod
    def check(cls) -> None:
        if not list(_VENV.glob("lib/*/site-packages/pycrdt/websocket")):
            raise Unavailable("pycrdt-websocket is not installed: `make bench-peers`")

    @classmethod
    def version(cls) -> str:
        lines = (PEERS / "requirements.txt").read_text(encoding="ascii").splitlines()
        return ", ".join(line.replace("==", " ") for line in lines if line.startswith(("pycrdt-w", "Hyper")))

    def command(self) -> tuple[str, ...]:
        return (str(_VENV / "bin" / "python"), str(PEERS / "pycrdt_server.py"), str(self.port))


#: By the word that the command line takes.
KINDS: Mapping[str, type[Server]] = {
    "syncd": Server,
    "relay": Relay,
    "y-websocket": YWebsocket,
    "hocuspocus": Hocuspocus,
    "pycrdt-websocket": PycrdtWebsocket,
}


def install() -> list[str]:
    """Install the peers from their lists in `benchmarks/peers/`; return what went wrong.

    Takes minutes where SQLite has to be compiled for Node.
    """
    complaints = []
    if shutil.which("npm"):
        complaints.append(_run("npm", "ci", "--no-audit", "--no-fund"))
    else:
        complaints.append("Hocuspocus and y-websocket need npm: install nodejs and npm")
    made = _run(sys.executable, "-m", "venv", str(_VENV))
    complaints.append(made or _run(str(_VENV / "bin" / "pip"), "install", "--quiet", "-r", "requirements.txt"))
    return [complaint for complaint in complaints if complaint]


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=PEERS, capture_output=True, text=True)
    return "" if not done.returncode else f"{' '.join(command)}: {(done.stderr or done.stdout)[-2_000:]}"


def cpu_s(pid: int) -> float:
    """Return how much processor time a process has used so far, all threads."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            total_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total_ns / 1e9
