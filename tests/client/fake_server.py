"""FakeServer: a server without sockets, stores or checks, for tests of what a client does with what it hears.

It believes everything, and writes the receipts of runs as the protocol says them. One that decides for real is
`syncd.core.server`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from syncd_client.transport import Unreachable

from syncd.core.ids import run_id, run_key, split_run_key
from syncd.core.messages import (
    Ack,
    Claim,
    ClientMessage,
    Closed,
    Hello,
    Json,
    Layer,
    Leave,
    Open,
    Opened,
    Push,
    Serve,
    ServerMessage,
    Update,
    Welcome,
    Work,
)
from syncd.core.replica import Replica
from syncd.core.run_view import RUN_ENDS
from syncd.core.schema import Root
from syncd.core.update import Kind, encode_map_entries
from syncd.core.varint import encode_state_vector

RIGHTS = ("transcript", "state", "presence", "command")
SERVER_ID = (1 << 52) + 1


class FakeTransport:
    """One link; takes the place of `transport.Transport`."""

    def __init__(self, server: "FakeServer") -> None:
        self.server = server
        self.subject = ""
        self.worker = ""
        self.open: set[str] = set()
        self.sent: list[ClientMessage] = []
        self._inbox: asyncio.Queue[ServerMessage | None] = asyncio.Queue()

    async def connect(self, token: str, hello: Hello) -> Welcome:
        if not self.server.up:
            raise Unreachable("the fake is down")
        self.subject = token.removeprefix("dev:")
        self.server.links.append(self)
        return Welcome(1, "peer", self.subject, "fake", 20.0, 1 << 20, 4096, 0.0, self.server.clock_s)

    async def send(self, message: ClientMessage) -> None:
        if self not in self.server.links:
            raise Unreachable("cut")
        self.sent.append(message)
        self.server.receive(self, message)

    def put(self, message: ServerMessage) -> None:
        self._inbox.put_nowait(message)

    async def messages(self) -> AsyncIterator[ServerMessage]:
        while (message := await self._inbox.get()) is not None:
            yield message
        raise Unreachable("cut")

    async def close(self) -> None:
        self.cut()

    def cut(self) -> None:
        if self in self.server.links:
            self.server.links.remove(self)
        self._inbox.put_nowait(None)

    def frames(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


@dataclass
class FakeSession:
    """One session's transcript, and what was decided in it."""

    replica: Replica = field(default_factory=lambda: Replica(dict.fromkeys(map(str, Root), Kind.MAP)))
    clock: int = 0
    seq: int = 0
    facts: Counter[str] = field(default_factory=Counter)
    last: dict[str, dict[str, Json]] = field(default_factory=dict)
    handoffs: int = 0

    def receipt(self, key: str) -> Json:
        return self.replica.read(Root.RECEIPTS, key)


class FakeServer:
    """Sessions by name, and the links that are there."""

    def __init__(self) -> None:
        self.up = True
        self.sessions: dict[str, FakeSession] = {}
        self.links: list[FakeTransport] = []
        #: Whether a claim is answered by itself.
        self.grants = True
        self.outcomes: dict[str, str] = {}
        self.claims: list[tuple[FakeTransport, Claim]] = []
        self.now_ms = 1_000
        self._offers: list[tuple[str, Work]] = []
        #: What it says of the time when it is connected to; 0 for nothing.
        self.clock_s = 0.0

    def transport(self, url: str) -> FakeTransport:
        return FakeTransport(self)

    def session(self, id: str) -> FakeSession:
        return self.sessions.setdefault(id, FakeSession())

    # What tests do

    def link_of(self, subject: str) -> FakeTransport:
        return next(link for link in self.links if link.subject == subject)

    def down(self) -> None:
        self.up = False
        for link in list(self.links):
            link.cut()

    def tell(self, session: str, run: str, lease: str, **extra: Json) -> None:
        """Write the next receipt about a run; attempt, since and worker as before unless they are given."""
        found = self.session(session)
        before = found.last.get(run) or {"attempt": 0, "since": 0}
        kept: dict[str, Json] = {
            name: before[name] for name in ("attempt", "since", "worker", "cancelled_by") if name in before
        }
        value: dict[str, Json] = {"at": self.now_ms, "lease": lease, **kept, **extra}
        found.last[run] = value
        key = f"r:{run}.{found.facts[run]}"
        found.facts[run] += 1
        self.write(session, key, value)

    def write(self, session: str, key: str, value: Json) -> None:
        found = self.session(session)
        update = encode_map_entries(SERVER_ID, found.clock, Root.RECEIPTS, [(key, value)])
        found.clock += 1
        found.replica.apply([update])
        for link in self.links:
            if session in link.open:
                link.put(Update(session, Layer.TRANSCRIPT, update))

    def offer(self, session: str, run: str, message: str = "", *, agent: str = "agent:planner") -> None:
        """Offer a run to a worker of `agent`: the one that is there, or the next one to come."""
        last = self.session(session).last.get(run, {})
        self._offers.append((agent, Work(session, run, message, int(last.get("attempt", 0)))))
        for link in list(self.links):
            self._tell_offers(link)

    def _tell_offers(self, link: FakeTransport) -> None:
        if link.worker:
            for work in [work for agent, work in self._offers if agent == link.subject]:
                link.put(work)
            self._offers = [(agent, work) for agent, work in self._offers if agent != link.subject]

    # What links do

    def receive(self, link: FakeTransport, message: ClientMessage) -> None:
        match message:
            case Serve(worker, _, _):
                link.worker = worker
                self._tell_offers(link)
            case Open(session):
                self._opened(link, session)
            case Leave(session):
                link.open.discard(session)
                link.put(Closed(session, 1000, ""))
            case Push(session, layer, number, update):
                if layer is Layer.TRANSCRIPT:
                    self._pushed(link, session, update)
                link.put(Ack(session, number))
            case Claim(session, run, policy, attempts_max):
                self.claims.append((link, message))
                if self.grants:
                    self.grant(session, run, link.worker, policy=policy, attempts_max=attempts_max)

    def grant(self, session: str, run: str, worker: str, **extra: Json) -> None:
        before = self.session(session).last[run]
        attempt = before["attempt"] + 1
        since = before["since"] if before.get("resume") else attempt
        self.tell(session, run, "live", attempt=attempt, since=since, worker=worker, **extra)

    def _opened(self, link: FakeTransport, session: str) -> None:
        found = self.session(session)
        link.open.add(session)
        link.put(
            Opened(
                session, "inc", 1, found.seq, 0, RIGHTS, {Layer.TRANSCRIPT: found.replica.diff()},
                {Layer.TRANSCRIPT: encode_state_vector(found.replica.vector()), Layer.STATE: b"\x00"}, {}, (),
            )
        )  # fmt: skip

    def _pushed(self, link: FakeTransport, session: str, update: bytes) -> None:
        found = self.session(session)
        found.replica.apply([update])
        for other in self.links:
            if session in other.open and other is not link:
                other.put(Update(session, Layer.TRANSCRIPT, update))
        for key in found.replica.keys(Root.MESSAGES):
            if found.receipt(f"m:{key}") is None:
                self._receipt(session, f"m:{key}", link.subject)
                below = self._below(session, link.subject, found.replica.read(Root.MESSAGES, key, "run"))
                for subject in found.replica.read(Root.MESSAGES, key, "to") or ():
                    if subject.startswith("agent:"):
                        run = run_id(key, subject)
                        self.tell(session, run, "queued", agent=subject, message=key, by=link.subject, **below)
        for key in found.replica.keys(Root.COMMANDS):
            if found.receipt(f"c:{key}") is None:
                command = found.replica.read(Root.COMMANDS, key)
                self._receipt(session, f"c:{key}", link.subject, outcome=self._decide(session, link.subject, command))
        for key in found.replica.keys(Root.RUNS):
            self._moved(link, session, *split_run_key(key))

    def _below(self, session: str, by: str, run: Json) -> dict[str, Json]:
        """What the first fact of work says of the run that asked for it: only a run of the asker's own counts."""
        first = self.session(session).receipt(f"r:{run}.0")
        return {"parent_run": run} if isinstance(first, dict) and first.get("agent") == by else {}

    def _receipt(self, session: str, key: str, by: str, **extra: Json) -> None:
        found = self.session(session)
        found.seq += 1
        self.write(session, key, {"seq": found.seq, "by": by, "at": self.now_ms, **extra})

    def _decide(self, session: str, by: str, command: dict[str, Json]) -> str:
        found, kind, payload = self.session(session), command["kind"], command.get("payload")
        if kind in self.outcomes:
            return self.outcomes[kind]
        if kind in ("approve", "deny", "tool_result"):
            if found.receipt(f"d:{command['tool_call']}") is not None:
                return "late"
            decision = {"command": "c", "by": by, "kind": kind, "at": self.now_ms}
            self.write(session, f"d:{command['tool_call']}", decision | ({"payload": payload} if payload else {}))
        elif kind == "handoff" and "session" in command:
            self.write(session, f"a:{found.handoffs}", {"by": by, "at": self.now_ms, "command": "c", **(payload or {})})
            found.handoffs += 1
        elif kind == "cancel":
            runs = [run for run in found.last if command.get("run") == run]
            if not runs or found.last[runs[0]]["lease"] == "ended":
                return "late" if runs else "denied"
            self.tell(session, runs[0], found.last[runs[0]]["lease"], cancelled_by=by)
        return "accepted"

    def _moved(self, link: FakeTransport, session: str, run: str, attempt: int) -> None:
        found = self.session(session)
        status = found.replica.read(Root.RUNS, run_key(run, attempt), "status")
        last = found.last.get(run)
        if last is None:
            self.tell(session, run, "live", attempt=1, since=1, worker=link.worker, agent=link.subject, by=link.subject)
            last = found.last[run]
        if last["lease"] == "ended" or last["attempt"] != attempt:
            return
        if status in RUN_ENDS:
            self.tell(session, run, "ended", status=status)
        elif status in ("suspended", "detached") and last["lease"] == "live":
            self.tell(session, run, "suspended")
        elif status == "running" and last["lease"] == "suspended":
            self.tell(session, run, "live")
