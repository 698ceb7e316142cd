"""KillLoop: real processes under load, killed at random moments, and what was promised held against what is on disk.

Knows what is promised and how to look; knows nothing of how it is shown.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from syncd_client import Client

from examples.server_process import ServerProcess
from tests.fault.actor import Actor
from tests.fault.notes import Content, copy_of, on_client_disk, on_server_disk
from tests.fault.person import END
from tests.harness import SECRET, mint, until

#: A round has a session and people of its own, so that looking at everything after each kill stays cheap.
_KILLS_PER_ROUND = 20
#: Names, and how long each pauses between two things they write; a pause of 0 is a reader.
_PEOPLE = {"ann": 0.03, "bob": 0.06, "eve": 0.1, "rea": 0.0}
_SERVER_SHARE = 0.5
#: The load between two kills.
_LOAD_MIN_S, _LOAD_MAX_S = 0.05, 0.8
#: Far beyond what a loaded machine needs; what has not come by then is stuck.
_ACK_WITHIN_S = 90.0
_END_WITHIN_S = 120.0
#: Dead links are noticed soon, but a starved machine is not taken for one.
_LIMITS = {"heartbeat_s": 5.0}


@dataclass
class Tally:
    """What happened. `lost`, `shown_lost` and `doubles` name what they count, and must stay empty."""

    server_kills: int = 0
    client_kills: int = 0
    freezes: int = 0
    faults: int = 0
    saved: int = 0
    acked: int = 0
    shown: int = 0
    lost: list[str] = field(default_factory=list)
    shown_lost: list[str] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    first_ack_s: list[float] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """All of them."""
        return self.server_kills + self.client_kills

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.shown_lost or self.doubles or self.other)


class KillLoop:
    """One run.

    1. What is held against the disk was noted before the kill, and the disk is read before anybody is back.
    2. A round ends with all faults off; what then is not everywhere is lost.
    """

    def __init__(self, folder: Path, *, kills: int, seed: int, broken: str = "") -> None:
        self.tally = Tally()
        self._folder = folder
        self._kills = kills
        self._chance = random.Random(seed)
        self._broken = broken
        program = ("-m", "tests.fault.broken", broken) if broken else ("-m", "syncd")
        self.server = ServerProcess(folder / "server.db", limits=_LIMITS, keys=SECRET, program=program)
        self._session = ""
        self._actors: list[Actor] = []
        self._frozen = asyncio.Lock()

    async def run(self, step: Callable[[Tally], None] = lambda _: None) -> Tally:
        """Run it, up to the first round that is not clean; `step` is told after each kill."""
        await self.server.start()
        try:
            number = 0
            while self.tally.kills < self._kills and self.tally.clean:
                await self._round(number, min(_KILLS_PER_ROUND, self._kills - self.tally.kills), step)
                number += 1
        finally:
            await self.server.kill()
        return self.tally

    async def _round(self, number: int, kills: int, step: Callable[[Tally], None]) -> None:
        self._session = f"round-{number}"
        folder = self._folder / self._session
        folder.mkdir()
        self._actors = [
            Actor(name, self._session, folder, self.server.port, pause_s=pause_s, broken=self._broken)
            for name, pause_s in _PEOPLE.items()
        ]
        async with AsyncExitStack() as stack:
            for actor in self._actors:
                stack.push_async_callback(actor.stop)
            await asyncio.gather(*(actor.start() for actor in self._actors))
            weather = asyncio.create_task(self._weather(random.Random(self._chance.random())))
            try:
                await self._until_acked(time.monotonic())
                for _ in range(kills):
                    await asyncio.sleep(self._chance.uniform(_LOAD_MIN_S, _LOAD_MAX_S))
                    await self._kill()
                    step(self.tally)
                    if not self.tally.clean:
                        return
            except TimeoutError:
                self.tally.other.append("nothing was acked any more")
                return
            finally:
                weather.cancel()
                [ended] = await asyncio.gather(weather, return_exceptions=True)
                if isinstance(ended, Exception):
                    self.tally.other.append(f"the faults themselves failed: {ended!r}")
            await self._end()

    async def _weather(self, chance: random.Random) -> None:
        """Let people suffer, one fault after another, and freeze the server now and then."""
        while True:
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            if chance.random() < 0.1:
                async with self._frozen:
                    self.server.freeze()
                    try:
                        await asyncio.sleep(chance.uniform(0.1, 0.8))
                    finally:
                        self.server.thaw()
                self.tally.freezes += 1
            else:
                await chance.choice(self._actors).suffer(chance)
                self.tally.faults += 1

    # Kills

    async def _kill(self) -> None:
        if self._chance.random() < _SERVER_SHARE:
            async with self._frozen:
                await self._kill_server()
        else:
            await self._kill_client(self._chance.choice([actor for actor in self._actors if actor.name != "rea"]))

    async def _kill_server(self) -> None:
        await self.server.kill()
        self._read_notes()
        await self._check_server_disk()
        self.tally.server_kills += 1
        started = time.monotonic()
        await self.server.start()
        self.tally.first_ack_s.append(await self._until_acked(started))

    async def _check_server_disk(self) -> None:
        held = await on_server_disk(_copied(self.server.store), self._session)  # Invariant 1.
        for actor in self._actors:
            promises = actor.promises
            self.tally.lost += held.lacks(promises.synced.items(), promises.synced_items)
            self.tally.shown_lost += held.lacks(promises.shown.items(), promises.shown_items)

    async def _kill_client(self, actor: Actor) -> None:
        await actor.kill()
        actor.promises.read()
        held = await on_client_disk(_copied(actor.store), self._session)  # Invariant 1.
        self.tally.lost += held.lacks(actor.promises.saved.items(), actor.promises.saved_items)
        self.tally.client_kills += 1
        await actor.start()

    async def _until_acked(self, since: float) -> float:
        """Return how long it took until anybody was told that something is on the server."""
        async with asyncio.timeout(_ACK_WITHIN_S):
            while True:
                self._read_notes()
                acks = [at for actor in self._actors for at in actor.promises.synced_at if at > since]
                if acks:
                    return min(acks) - since
                await asyncio.sleep(0.02)

    def _read_notes(self) -> None:
        for actor in self._actors:
            actor.promises.read()
            if (words := actor.ended_by_itself) and not self.tally.other:
                self.tally.other.append(f"{actor.name} ended by itself: {words}")

    # The end of a round

    async def _end(self) -> None:
        """All faults are off: have everybody finish, and compare everything with everything."""  # Invariant 2.
        try:
            async with asyncio.timeout(_END_WITHIN_S):
                await self._until(lambda: all(actor.ready for actor in self._actors))
                for actor in self._actors:
                    actor.finish()
                await self._until(lambda: all(actor.promises.drained for actor in self._actors))
                whole = await self._fresh_copy("last", say_end=True)
                codes = await asyncio.gather(*(actor.finished() for actor in self._actors))
        except TimeoutError:
            waiting = [actor.name for actor in self._actors if not actor.promises.drained]
            self.tally.other.append(f"with all faults off, it does not come to rest: not synced are {waiting}")
            return
        self._read_notes()
        again = await self._fresh_copy("fresh", say_end=False)
        await self.server.kill()
        held = await on_server_disk(_copied(self.server.store), self._session)
        await self.server.start()
        await self._compare(held, whole, again, codes)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._read_notes()
            if not self.tally.clean:
                raise TimeoutError
            await asyncio.sleep(0.02)

    async def _fresh_copy(self, name: str, *, say_end: bool) -> str:
        """Return what a client that starts with nothing sees; it may write the last message."""
        store = self._folder / self._session / f"{name}.db"
        async with Client(self.server.url, token=mint(f"user:{name}"), store=store) as client:
            session = await client.open(self._session)
            await until(lambda: session.status.live, "going live")
            if say_end:
                await (await session.post(END)).synced()
                await until(lambda: session.messages()[-1].seq is not None, "a receipt")
            return json.dumps(copy_of(session), sort_keys=True)

    async def _compare(self, held: Content, whole: str, again: str, codes: list[int]) -> None:
        tally = self.tally
        for actor, code in zip(self._actors, codes, strict=True):
            promises = actor.promises
            tally.saved += len(promises.saved) + len(promises.saved_items)
            tally.acked += len(promises.synced) + len(promises.synced_items)
            tally.shown += len(promises.shown) + len(promises.shown_items)
            tally.lost += held.lacks(promises.saved.items(), promises.saved_items)
            tally.shown_lost += held.lacks(promises.shown.items(), promises.shown_items)
            if code != 0 or promises.copy != whole:
                tally.other.append(f"{actor.name}'s copy is not the same as everybody else's (exit code {code})")
            kept = await on_client_disk(_copied(actor.store), self._session)
            if kept.texts != held.texts or kept.items != held.items:
                tally.other.append(f"{actor.name}'s store holds something else than the server's")
        if again != whole:
            tally.other.append("a client that starts with nothing sees something else")
        tally.doubles += held.doubles()
        if held.seqs != list(range(1, len(held.texts) + 1)):
            tally.other.append(f"the agreed order has holes or doubles: {held.seqs}")


def _copied(store: Path) -> Path:
    """Return a copy of a store as it lies on the disk; the store's own next start finds what the kill left."""
    copy = store.with_name("copy-of-" + store.name)
    for end in ("", "-wal"):
        beside, to = store.with_name(store.name + end), copy.with_name(copy.name + end)
        to.unlink(missing_ok=True)
        if beside.exists():
            shutil.copy(beside, to)
    copy.with_name(copy.name + "-shm").unlink(missing_ok=True)
    return copy
