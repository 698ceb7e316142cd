"""Replay a recorded hour of two people typing one document, over a network that breaks and a server that is killed.

    python examples/replay_trace.py examples/data/friendsforever.json.gz --cuts 50 --kills 5

Two clients with stores of their own type what the two people typed, key by key, into one shared text, through a real
server in a process of its own. Meanwhile their links are cut in the middle of frames and the server is killed with
SIGKILL. At the end both copies, the server and a third client that starts with nothing must hold exactly the text that
the recording ends with, and nothing may be unsynced; then the exit code is 0.

How it is faithful. A transaction's positions count in what its author had on the screen at that moment: all of their
own, and the other's up to some transaction, since what the other typed takes a second to arrive. So nothing is
transformed and no merge is staged: the positions are typed as they are, and what is reproduced is the *network*. Each
person's link has a gate, which lets an edit go up to the server no earlier than the recording says the other had it.
Up to four stretches of text are on their way like this at any time, in both directions, and every one of the 2,258
places where they meet is an ordinary merge of concurrent edits in the product. Edits that may not arrive yet are not
on the server either, so that a reconnect, which fetches all there is, brings nobody anything early.

A gate must be able to stop between two transactions, so a frame may not hold edits of both sides of such a point:
before typing on, a person waits until the frame up to there has come to the gate. Links are cut only while everything
that was typed may go up, since what is unsynced is sent again in larger frames; the recording is never far from such
a moment (240 transactions at most; 510 for both people at once, as a kill needs it).

Of two inserts at the same place, the recording has person 0's first. Yjs sorts them by client id, which are random, so
person 0 is whoever of the two clients has the lower one. With the ids the other way round the text has the same
letters, some of them in another order; `trace.merged_text`, a model of the merge in plain Python, agrees with both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from syncd_client import Client, SyncdError
from syncd_client.transport import request

from examples.replay_person import Person, ReplayFailed
from examples.server_process import ServerProcess, disk_bytes
from examples.trace import Trace, TraceError, load

SESSION = "replay"
#: So many transactions are typed between two turns of the event loop: about as long as storing the last ones takes.
_BURST = 16
#: Nobody types further ahead of the server than this many edits: typing costs less than sending.
_AHEAD_MAX = 256
_CUT_BYTES_MAX = 400
_CUT_PATIENCE_S = 0.05
_STALL_MAX_S = 0.05
_KILL_WITHIN_S = 0.01
_THIRD = "carl"
_JOIN_TIMEOUT_S = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What happened. `wire_bytes` are those of each person's link; `disk_bytes` of each store, by name."""

    txns: int
    cuts: int
    kills: int
    links: int
    seconds: float
    wire_bytes: tuple[tuple[int, int], ...]
    disk_bytes: dict[str, int]


class Replay:
    """One replay of one trace.

    1. A person types a transaction only when their copy holds exactly what its author had.
    2. Faults come only while edits are on their way.
    """

    def __init__(self, trace: Trace, folder: Path, *, cuts: int, kills: int, seed: int) -> None:
        self._trace = trace
        self._folder = folder
        self._random = random.Random(seed)
        self._cuts, self._kills = cuts, kills
        self._cut_at = _spread(cuts, len(trace.txns), self._random)
        self._kill_at = _spread(kills, len(trace.txns), self._random)
        self.server = ServerProcess(folder / "server.db")
        self._people: list[Person] = []
        self._restart: asyncio.Task[None] | None = None

    async def run(self, step: Callable[[int], None] = lambda _: None) -> Report:
        """Replay it all and check the outcome. `step` is told how many transactions were typed.

        Raises:
            ReplayFailed: it did not come out as recorded, or came to a halt.
            SyncdError: a client failed.
        """
        started = time.perf_counter()
        await self.server.start()
        try:
            async with self._two_people() as self._people:
                await self._type_all(step)
                await self._finish()
                seconds = time.perf_counter() - started
                return Report(
                    txns=len(self._trace.txns),
                    cuts=self._cuts - len(self._cut_at),
                    kills=self._kills - len(self._kill_at),
                    links=sum(person.links for person in self._people),
                    seconds=seconds,
                    wire_bytes=tuple((person.proxy.bytes_up, person.proxy.bytes_down) for person in self._people),
                    disk_bytes={"server": disk_bytes(self.server.store)}
                    | {person.name: disk_bytes(person.store) for person in self._people},
                )
        finally:
            await self.server.kill()

    @contextlib.asynccontextmanager
    async def _two_people(self) -> AsyncIterator[list[Person]]:
        async with contextlib.AsyncExitStack() as stack:
            people = [
                await stack.enter_async_context(Person.joining(name, SESSION, self.server.port, self._folder))
                for name in ("ann", "bob")
            ]
            people.sort(key=lambda person: person.client_id)
            for number, person in enumerate(people):
                person.plan(number, self._trace.txns)
            yield people

    async def _type_all(self, step: Callable[[int], None]) -> None:
        for number, txn in enumerate(self._trace.txns):
            author, other = self._people[txn.person], self._people[1 - txn.person]
            if author.must_part() or not author.has(txn.sees):
                self._mark()
                await author.parted()
                await author.until_has(txn.sees)  # Invariant 1.
            author.type(txn)
            other.other_needs(author.next_sees)
            if number % _BURST == 0:
                self._mark()
                await asyncio.sleep(0)
                step(number)
            if author.session.unsynced > _AHEAD_MAX and author.is_free():
                self._mark()
                await author.until_synced()
            await self._maybe_break(number, author)

    def _mark(self) -> None:
        for person in self._people:
            person.mark()

    # Faults

    async def _maybe_break(self, number: int, author: Person) -> None:
        if self._cut_at and number >= self._cut_at[0] and author.is_free() and author.session.status.live:
            self._cut_at.pop(0)
            self._mark()
            await self._cut(author)
        if (
            self._kill_at
            and number >= self._kill_at[0]
            and all(person.is_free() and person.session.status.live for person in self._people)
            and author.session.unsynced
        ):
            self._kill_at.pop(0)
            self._mark()
            await self._kill()

    async def _cut(self, person: Person) -> None:
        if self._random.random() < 0.3:
            await person.proxy.stall_for(self._random.uniform(0.0, _STALL_MAX_S))
        await person.proxy.cut_after(self._random.randrange(_CUT_BYTES_MAX), patience_s=_CUT_PATIENCE_S)
        await person.until_lost()
        person.client.retry()

    async def _kill(self) -> None:
        await asyncio.sleep(self._random.uniform(0.0, _KILL_WITHIN_S))
        await self.server.kill()
        for person in self._people:
            await person.until_lost()
        self._restart = asyncio.create_task(self._start_again())  # They go on typing meanwhile.

    async def _start_again(self) -> None:
        await self.server.start()
        for person in self._people:
            person.client.retry()

    # The outcome

    async def _last_faults(self) -> None:
        """Break what found no moment before; the edit that is on its way is then somebody's mark."""
        while self._cut_at or self._kill_at:
            for person in self._people:
                await person.until_live()
            self._people[0].mark(again=True)
            await self._maybe_break(len(self._trace.txns), self._people[0])

    async def _finish(self) -> None:
        self._mark()
        await self._last_faults()
        if self._restart is not None:
            await self._restart
        for person, other in zip(self._people, reversed(self._people), strict=True):
            await person.until_has(other.typed)
            await person.until_synced()
        texts = {f"{person.name}'s copy": person.text() for person in self._people}
        whole = await request(self.server.url, "GET", f"/v1/sessions/{SESSION}")
        texts["the server"] = str(whole["state"]["document"])
        async with Client(self.server.url, token=f"dev:{_THIRD}", store=self._folder / f"{_THIRD}.db") as third:
            session = await third.open(SESSION)
            async with asyncio.timeout(_JOIN_TIMEOUT_S):
                async for _ in session.changes():
                    if session.status.live:
                        break
            texts["a third client"] = str(session.state.text("document"))
        for name, text in texts.items():
            if text != self._trace.end:
                raise ReplayFailed(f"{name} has another text than recorded: {_difference(text, self._trace.end)}")
        for person in self._people:
            await person.check()


def _spread(count: int, total: int, chance: random.Random) -> list[int]:
    """Return `count` places, one in each of as many equal stretches of `total`."""
    return [int((number + chance.random() * 0.9) * total / count) for number in range(count)]


def _difference(text: str, expected: str) -> str:
    same = next((at for at, (a, b) in enumerate(zip(text, expected, strict=False)) if a != b), None)
    at = min(len(text), len(expected)) if same is None else same
    return (
        f"{len(text)} code points instead of {len(expected)}; from {at} on {text[at : at + 30]!r} "
        f"instead of {expected[at : at + 30]!r}"
    )


def table(report: Report) -> Table:
    """Return the report as a table."""
    rows = {
        "transactions": f"{report.txns:,}",
        "links cut": f"{report.cuts}",
        "server killed": f"{report.kills}",
        "links made": f"{report.links}",
        "seconds": f"{report.seconds:.1f}",
        "bytes up": " + ".join(f"{up:,}" for up, _ in report.wire_bytes),
        "bytes down": " + ".join(f"{down:,}" for _, down in report.wire_bytes),
    } | {f"bytes on disk, {name}": f"{size:,}" for name, size in report.disk_bytes.items()}
    shown = Table(show_header=False)
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("a number of times, 0 or more")
    return count


def main() -> int:
    """Run it from a shell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("trace", type=Path, help="a trace of github.com/josephg/editing-traces (.json.gz)")
    parser.add_argument("--cuts", type=_count, default=50, help="how often links are cut (default: %(default)s)")
    parser.add_argument("--kills", type=_count, default=5, help="how often the server is killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="what happens when (default: %(default)s)")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N transactions")
    options = parser.parse_args()
    console = Console()
    try:
        trace = load(options.trace)
        if options.first:
            trace = trace.first(options.first)
        with tempfile.TemporaryDirectory() as folder, _bar(console) as bar:
            task = bar.add_task("replaying", total=len(trace.txns))
            replay = Replay(trace, Path(folder), cuts=options.cuts, kills=options.kills, seed=options.seed)
            report = asyncio.run(replay.run(lambda done: bar.update(task, completed=done)))
            bar.update(task, completed=len(trace.txns))
    except (ReplayFailed, TraceError, SyncdError, RuntimeError) as failure:
        console.print(f"failed: {failure}", style="bold red", markup=False)
        return 1
    console.print(table(report))
    console.print("Both copies, the server and a third client have exactly the recorded text; nothing is unsynced.")
    return 0


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


if __name__ == "__main__":
    sys.exit(main())
