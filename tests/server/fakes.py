"""A server on a real socket, with sessions and links that are small stand-ins kept in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from multidict import CIMultiDictProxy

from syncd.core.errors import RejectCode, Rejected
from syncd.core.grant import Grant
from syncd.core.messages import Json
from syncd.server.app import Server
from syncd.server.auth import Auth
from syncd.server.config import Settings, load
from syncd.server.metrics import Metrics
from syncd.server.parts import make_auth, make_services
from syncd.store.log import SearchHit, SessionInfo

SECRET = "a-secret-of-at-least-thirty-two-bytes"
Messages = list[dict[str, Any]]
ALL = ["transcript", "state", "presence", "command", "admin"]


class FakeStore:
    """Says what was done to it."""

    def __init__(self, events: list[str]) -> None:
        self._events = events

    async def open(self) -> None:
        self._events.append("store opened")

    async def close(self) -> None:
        self._events.append("store closed")


class FakeSessions:
    """Sessions as dicts. `fail_with` is raised by whatever is called next."""

    def __init__(self, events: list[str]) -> None:
        self.storage_full = False
        self.fail_with: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.messages: dict[str, Messages] = {}
        self._events = events

    async def start(self) -> None:
        self._events.append("sessions started")

    async def stop(self) -> None:
        self._events.append("sessions stopped")

    async def create(self, session: str) -> SessionInfo:
        self._fail()
        self.messages.setdefault(session, [])
        return self._info(session)

    async def info(self, session: str) -> SessionInfo | None:
        return self._info(session) if session in self.messages else None

    async def list(self, *, after: str, limit: int) -> Sequence[SessionInfo]:
        return [self._info(session) for session in sorted(self.messages) if session > after][:limit]

    async def read(self, session: str) -> Mapping[str, Json]:
        messages = self._of(session)
        self.entered.set()
        await self.gate.wait()
        return {
            "session": session,
            "incarnation": "i1",
            "seq": len(messages),
            "messages": messages,
            "commands": [],
            "state": {"blob": b"\x00\xff", "odd": float("nan")},
        }

    async def history(self, session: str, *, before: int | None, limit: int) -> Sequence[Mapping[str, Json]]:
        return [m for m in self._of(session) if before is None or m["seq"] < before][-limit:]

    async def post(
        self,
        session: str,
        grant: Grant,
        *,
        text: str,
        role: str = "user",
        to: Sequence[str] = (),
        metadata: Mapping[str, Json] | None = None,
        message: str | None = None,
    ) -> Mapping[str, Json]:
        messages = self._of(session)
        for known in messages:
            if known["id"] == message:
                if known["by"] != grant.subject:
                    raise Rejected(RejectCode.FOREIGN_ENTRY, "the id is taken")
                return {"message": message, "seq": known["seq"], "by": known["by"], "at": 1}
        seq = len(messages) + 1
        made = message or f"m{seq}"
        messages.append({"id": made, "seq": seq, "by": grant.subject, "role": role, "text": text, "to": [*to]})
        return {"message": made, "seq": seq, "by": grant.subject, "at": 1}

    async def export(self, session: str, format: str) -> bytes:
        messages = self._of(session)
        if format == "markdown":
            return "\n".join(f"**{m['by']}**: {m['text']}" for m in messages).encode()
        return json.dumps({"session": session, "messages": messages}).encode()

    async def import_(self, data: bytes, grant: Grant) -> SessionInfo:
        self._fail()
        content = json.loads(data)
        if content["session"] in self.messages:
            raise FileExistsError
        self.messages[content["session"]] = content["messages"]
        return self._info(content["session"])

    async def delete(self, session: str) -> bool:
        return self.messages.pop(session, None) is not None

    async def search(self, query: str, *, allowed: Callable[[str], bool], limit: int) -> Sequence[SearchHit]:
        return [
            SearchHit(session, m["id"], m["text"])
            for session, messages in self.messages.items()
            for m in messages
            if query in m["text"] and allowed(session)
        ][:limit]

    def _of(self, session: str) -> Messages:
        self._fail()
        if session not in self.messages:
            raise LookupError(session)
        return self.messages[session]

    def _fail(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def _info(self, session: str) -> SessionInfo:
        return SessionInfo(session, "i1", 1, 2, 3, 4, 5)


class FakeLinks:
    """Accepts links, says back what they say, and keeps them until it is drained."""

    def __init__(self, events: list[str]) -> None:
        self.cut: list[tuple[frozenset[str], frozenset[str]]] = []
        self.transports: list[asyncio.Transport | None] = []
        self._events = events
        self._open: set[web.WebSocketResponse] = set()

    async def sync_handler(self, request: web.Request) -> web.WebSocketResponse:
        self.transports.append(request.transport)
        link = web.WebSocketResponse(protocols=("syncd.v1",), compress=False)
        await link.prepare(request)
        self._open.add(link)
        async for message in link:
            await link.send_bytes(message.data)
        self._open.discard(link)
        return link

    async def drain(self) -> None:
        self._events.append("links told")
        for link in tuple(self._open):
            await link.close(code=4000)

    def revoke(self, *, token_ids: frozenset[str], subjects: frozenset[str]) -> None:
        self.cut.append((token_ids, subjects))


@dataclass(frozen=True)
class Reply:
    """One answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The code of an error answer."""
        return str(self.json["error"]["code"])


class Running:
    """A started server and a client to it."""

    def __init__(self, server: Server, sessions: FakeSessions, links: FakeLinks, client: ClientSession) -> None:
        self.server = server
        self.sessions = sessions
        self.links = links
        self.client = client
        self.events: list[str] = []

    @property
    def url(self) -> str:
        return self.server.url

    def token(self, subject: str = "user:mona", sessions: Mapping[str, Sequence[str]] | None = None) -> str:
        """A good token; all rights on everything unless `sessions` says less."""
        return self.server.services.auth.mint(subject, {"*": ALL} if sessions is None else sessions).token

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
    ) -> Reply:
        """Send a request. `token` "" stands for a good one, None for none."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token()}"
        async with self.client.request(
            method, self.url + path, headers=sent, json=json, data=data, allow_redirects=False
        ) as response:
            return Reply(response.status, response.headers, await response.read())


def settings_for(path: Path, **values: Any) -> Settings:
    """Settings of a server on a free port, its files under `path`."""
    return load(**({"port": 0, "store": path / "syncd.db", "keys": SECRET, "drain_timeout_s": 2.0} | values))


@asynccontextmanager
async def running(path: Path, *, auth: Auth | None = None, **values: Any) -> AsyncIterator[Running]:
    """Start a server, and stop it in the end. `auth` replaces what the settings would make."""
    settings = settings_for(path, **values)
    limits, metrics, events = settings.make_limits(), Metrics(), list[str]()
    sessions, links = FakeSessions(events), FakeLinks(events)
    auth = auth or make_auth(settings, limits, metrics)
    services = make_services(settings, sessions, links, auth, limits, metrics)
    server = Server(settings, FakeStore(events), services)
    async with ClientSession() as client:
        here = Running(server, sessions, links, client)
        here.events = events
        await server.start()
        try:
            yield here
        finally:
            sessions.gate.set()
            await server.stop()
