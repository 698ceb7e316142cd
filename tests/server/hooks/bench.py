"""Bench: hooks over a real log on disk, with people who are where a test says, and events as it says."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syncd.core.events import Event, event_id
from syncd.core.ids import is_person
from syncd.core.limits import Limits
from syncd.core.messages import Json
from syncd.server.hooks.channel import Channel, Notice, Result, Sent
from syncd.server.hooks.config import HooksConfig
from syncd.server.hooks.hooks import Hooks
from syncd.server.metrics import Metrics
from syncd.store.hook_rows import Delivery
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog
from tests.harness import PATIENCE_S, until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDbjvT"
#: For keys: those of one session differ, over restarts too.
_NUMBERS = itertools.count()
#: Retries that a test can wait for.
QUICK = (0.02, 0.02, 0.02)


@dataclass
class FakePeople:
    """Who is there."""

    statuses: dict[str, str] = field(default_factory=dict)
    watches: set[tuple[str, str]] = field(default_factory=set)
    audiences: dict[str, dict[str, str]] = field(default_factory=dict)
    served: set[str] = field(default_factory=set)
    settles: int = 0
    on_change: list[Callable[[str, str, str, str], None]] = field(default_factory=list)
    on_look: list[Callable[[str, str], None]] = field(default_factory=list)
    on_lost: list[Callable[[str, str, int], None]] = field(default_factory=list)

    def watching(self, session: str, subject: str) -> bool:
        return (session, subject) in self.watches

    def watchers(self, session: str) -> frozenset[str]:
        return frozenset(one for where, one in self.watches if where == session and is_person(one))

    def settles_ms(self) -> int:
        return self.settles

    def status(self, subject: str) -> str:
        return self.statuses.get(subject, "offline")

    def audience(self, session: str) -> Mapping[str, str]:
        return self.audiences.get(session, {})

    def serving(self, agent: str) -> bool:
        return agent in self.served

    def change(self, session: str, subject: str, before: str, after: str) -> None:
        self.statuses[subject] = after
        for told in self.on_change:
            told(session, subject, before, after)
        if self.watching(session, subject):
            for look in self.on_look:
                look(session, subject)

    def lose(self, session: str, subject: str, since_ms: int) -> None:
        """Have it turn out that somebody was gone since then."""
        self.watches.discard((session, subject))
        for lost in self.on_lost:
            lost(session, subject, since_ms)


class FakeChannel:
    """Takes notices, and says what a test wants."""

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.withdrawn: list[Notice] = []
        self.answer: Callable[[Notice], Result] = lambda _: Sent()

    async def send(self, notice: Notice) -> Result:
        self.sent.append(notice)
        return self.answer(notice)

    async def withdraw(self, notice: Notice) -> None:
        self.withdrawn.append(notice)


class Clock:
    """The wall clock, which can be set ahead."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class Bench:
    """What a test holds on to."""

    def __init__(
        self, log: SqliteSessionLog, hooks: Hooks, people: FakePeople, push: FakeChannel, clock: Clock
    ) -> None:
        self.clock = clock
        self.log = log
        self.hooks = hooks
        self.people = people
        self.push = push
        self.waiting_runs: set[str] = set()

    async def happen(self, type: str, by: str = "agent:planner", session: str = "s", /, **body: Json) -> str:
        """Have something happen in a session; return the event's id."""
        return (await self.happened([(type, by, session, body)]))[0]

    async def happened(self, events: Sequence[tuple[str, str, str, Mapping[str, Json]]]) -> list[str]:
        """Have several things happen in one commit for each session."""
        sessions: dict[str, list[Event]] = {}
        for type, by, session, body in events:
            sessions.setdefault(session, []).append(Event(f"k:{next(_NUMBERS)}", type, self.clock(), by, body))
        ids, batch = [], []
        for session, made in sessions.items():
            info = await self.log.create(session, f"i-{session}", 1)
            ids += [event_id(info.incarnation, event.key) for event in made]
            batch.append(Append(session, info.version, [Entry(EntryKind.TRANSCRIPT, b"x")], events=made))
        assert await self.log.append(batch) == []
        self.hooks.wake()
        return ids

    async def message(self, by: str, seq: int, session: str = "s", **body: Json) -> str:
        """Have somebody say something."""
        given = {"message": f"m{seq}", "role": "user", "to": [], "seq": seq, "text": f"text {seq}"} | body
        return (await self.happened([("message.created", by, session, given)]))[0]

    def later(self, seconds: float) -> None:
        """Have time pass."""
        self.clock.ahead_ms += int(seconds * 1000)
        self.hooks.wake()

    async def judged(self) -> None:
        """Wait until all that happened was judged."""
        last = await self.log.last_event()
        await until(lambda: self.hooks.cursor >= last, "the events' being judged")

    async def deliveries(self, *states: str) -> Sequence[Delivery]:
        """Return deliveries, newest first."""
        if states:
            return await self.hooks.deliveries(states=states, limit=100_000)
        return await self.hooks.deliveries(limit=100_000)

    async def settled(self) -> None:
        """Wait until nothing waits to be delivered."""
        await self.judged()
        await until(lambda: not self.hooks.pending, "the deliveries")

    async def caught_up(self) -> None:
        """Wait until all was judged and told that happened or is due by now: also what is no event, as who looks."""
        # Whatever was there before this one is judged in its turn at the latest.
        await self.happen("read.moved", "user:nobody", "elsewhere", subject="user:nobody", seq=0)
        await self.settled()

    async def tried(self, attempts: int, *states: str) -> Delivery:
        """Wait until something to be sent was tried so often, and that is on the disk; return it."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for delivery in await self.deliveries(*states):
                    if delivery.act == "send" and delivery.attempt >= attempts:
                        return delivery
                await asyncio.sleep(0.01)


def webhook(name: str, url: str, **fields: Any) -> dict[str, Any]:
    """A target of the configuration."""
    return {"name": name, "channel": "webhook", "url": url, "secrets": [SECRET]} | fields


def config_of(
    rules: Sequence[Mapping[str, Any]] = (), targets: Sequence[Mapping[str, Any]] = (), **fields: Any
) -> HooksConfig:
    """A configuration with quick retries that allows this machine."""
    given = {"allow": ["127.0.0.1"], "retry_s": QUICK, "person_retry_s": QUICK, "rules": rules, "targets": targets}
    return HooksConfig.model_validate(given | fields)


@asynccontextmanager
async def bench(
    path: Path,
    config: HooksConfig,
    *,
    people: FakePeople | None = None,
    limits: Limits | None = None,
    push: FakeChannel | None = None,
    before: Callable[[Hooks], None] = lambda _: None,
    channels: Mapping[str, Channel] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Bench]:
    """Hooks over the log in a folder, started."""
    people, push, clock = people or FakePeople(), push or FakeChannel(), clock or Clock()
    log = SqliteSessionLog(path / "syncd.db")
    waits: set[str] = set()
    hooks = Hooks(
        config, log, log.outbox, people, limits or Limits(), Metrics(), now_ms=clock,
        waits=lambda session, run: run in waits, channels={"push": push, **(channels or {})},
    )  # fmt: skip
    before(hooks)
    await log.open()
    try:
        await hooks.start()
        here = Bench(log, hooks, people, push, clock)
        here.waiting_runs = waits
        yield here
    finally:
        await hooks.stop()
        await log.close()
