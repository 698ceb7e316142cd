"""Services: what the server's routes may use, and the shape they need it in.

Holds references only. Knows nothing of how any of them works or of who starts and stops them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from syncd.core.grant import Grant
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.server.address import ClientAddresses
from syncd.server.auth import Auth
from syncd.server.console import Console
from syncd.server.hooks.devices import Devices
from syncd.server.hooks.hooks import Hooks
from syncd.server.lists import Lists
from syncd.server.metrics import Metrics
from syncd.server.origin import OriginPolicy
from syncd.server.run_records import RunRecords
from syncd.store.log import SearchHit, SessionInfo


class SessionsPort(Protocol):
    """All sessions of this process, as far as requests need them. `syncd.server.sessions.Sessions` is one."""

    @property
    def storage_full(self) -> bool:
        """Whether nothing can be written at the moment."""
        ...

    async def start(self) -> None:
        """Begin committing. The store is open."""
        ...

    async def stop(self) -> None:
        """Finish the commit under way, and stop."""
        ...

    async def create(self, session: str) -> SessionInfo:
        """Create a session, or return the one that is there."""
        ...

    async def info(self, session: str) -> SessionInfo | None:
        """Return a session's row, None if it is absent or deleted."""
        ...

    async def list(self, *, after: str, limit: int) -> Sequence[SessionInfo]:
        """Return sessions with ids above `after`, in order of id."""
        ...

    async def read(self, session: str) -> Mapping[str, Json]:
        """Return a whole session. Raises LookupError if it is absent."""
        ...

    async def history(self, session: str, *, before: int | None, limit: int) -> Sequence[Mapping[str, Json]]:
        """Return the newest messages below `seq` `before`, oldest first. Raises LookupError if it is absent."""
        ...

    async def post(
        self,
        session: str,
        grant: Grant,
        *,
        text: str,
        role: str = "user",
        to: Sequence[str] = (),
        metadata: Mapping[str, Json] = ...,
        message: str | None = None,
    ) -> Mapping[str, Json]:
        """Write a message on behalf of the grant's subject; return once it is on disk."""
        ...

    async def export(self, session: str, format: str) -> bytes:
        """Return a session as `json` (lossless) or `markdown`. Raises LookupError if it is absent."""
        ...

    async def import_(self, data: bytes, grant: Grant) -> SessionInfo:
        """Create a session from its export. Raises FileExistsError if its id is taken, Rejected."""
        ...

    async def delete(self, session: str) -> bool:
        """Erase a session; return whether there was one."""
        ...

    async def search(self, query: str, *, allowed: Callable[[str], bool], limit: int) -> Sequence[SearchHit]:
        """Return messages that hold all words of `query`."""
        ...


class LinksPort(Protocol):
    """All WebSocket links of this process. `syncd.server.sockets.Links` is one."""

    async def sync_handler(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one link until it ends."""
        ...

    async def drain(self) -> None:
        """Tell every link that the server goes away, and close them."""
        ...

    def revoke(self, *, token_ids: frozenset[str], subjects: frozenset[str]) -> None:
        """Close the links of these tokens and subjects at once."""
        ...


@dataclass(slots=True)
class Lifecycle:
    """Where the server is in its life. Written by `app.Server`, read by routes."""

    started: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a route may use."""

    sessions: SessionsPort
    links: LinksPort
    auth: Auth
    limits: Limits
    metrics: Metrics
    origins: OriginPolicy
    addresses: ClientAddresses
    #: None where there are no real sessions to run in.
    runs: RunRecords | None = None
    #: An invite is good for this long at most.
    invite_ttl_max_s: float = 30 * 86_400.0
    #: None where there are no real sessions to list.
    lists: Lists | None = None
    console: Console = field(default_factory=Console)
    #: None where no pushes are sent.
    devices: Devices | None = None
    #: None where nobody is told anything.
    hooks: Hooks | None = None
    lifecycle: Lifecycle = field(default_factory=Lifecycle)


SERVICES = web.AppKey("services", Services)
#: The grant of a request whose token was good. For the access log.
GRANT = web.RequestKey("grant", Grant)
#: The client's address, the key to count by.
ADDRESS = web.RequestKey("address", str)
