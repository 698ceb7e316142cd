"""Outbox: delivers what waits, in order for each lane, at each target's own pace, until it is delivered or given up.

Deliveries come from the store and go to channels. Knows nothing of events or rules.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from syncd.core.errors import StoreError
from syncd.core.limits import Limits
from syncd.server.hooks.channel import Channel, Gone, Notice, Result, Retry, Sent
from syncd.server.hooks.making import WITHDRAWN_LANES, channel_of, notice_of
from syncd.server.hooks.targets import Target
from syncd.server.metrics import Metrics
from syncd.server.ratelimit import TokenBucket
from syncd.store.hook_rows import DEAD, DROPPED, PENDING, SENT, WITHDRAW, Committed, Delivery, Mark
from syncd.store.outbox import HookStore

_log = structlog.get_logger("syncd.hooks")

#: Deliveries of a lane read at a time, and how long attempts' ends are gathered before they are written down.
_BATCH: Final = 20
_GATHER_S: Final = 0.01
#: Beyond the target's own time limit: a channel that does not keep to it is cut off.
_EXTRA_S: Final = 5.0
_DEFAULT_TIMEOUT_S: Final = 30.0
#: The longest that a target's `Retry-After` is heeded.
_RETRY_AFTER_S_MAX: Final = 86_400.0
_JITTER: Final = 0.2
_STOP_S: Final = 2.0
_PRUNE_EVERY: Final = 1_000
_STORE_RETRY_S: Final = 1.0
#: A push may wait for others to the same service first.
_PUSH_TIMEOUT_S: Final = 120.0
#: Channels whose targets share their pace, and have no slots: each person, and each function, is one lane.
_SHARED: Final = ("push", "call")
_SHARED_PER_S: Final = 1_000.0


@dataclass(slots=True)
class _Pace:
    """How fast one target may be sent to, and how many at a time."""

    slots: AbstractAsyncContextManager[None]
    bucket: TokenBucket
    timeout_s: float


@dataclass(slots=True)
class _Lane:
    """One line of deliveries. `due_at` is when its head may be tried, Unix ms; `task` is at it now."""

    name: str
    target: str
    due_ms: int
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    #: Something came while it was read for the last time.
    again: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """Delays between attempts, in seconds: a target's, and those of persons, who want no late news."""

    retry_s: Sequence[float]
    person_retry_s: Sequence[float]

    def of(self, channel: str) -> Sequence[float]:
        """Return a channel's."""
        return self.person_retry_s if channel == "push" else self.retry_s


@dataclass(slots=True)
class _Ends:
    """How attempts ended that is not written down yet, and who waits for that."""

    marks: list[Mark] = field(default_factory=list)
    #: Of the rows that ended.
    targets: dict[int, str] = field(default_factory=dict)
    written: asyncio.Future[None] | None = None


class Outbox:
    """All that is to be delivered.

    1. A delivery waits on disk until its end is: whatever kills this process, it is sent once at the least.
    2. One lane has one delivery under way, its oldest; the next is sent only after that one was delivered or given up.
    3. A target's lanes share its slots and its pace and nothing else: a target that hangs holds up its own. How many
       pushes one service may hold up is for their channel to bound.
    4. A target that says it is gone is sent nothing more; what waits for it becomes dead letters.
    5. Beyond `hooks_deliveries_max` for one target, its oldest are given up, logged and counted.
    6. What was taken back or erased before its attempt began is not sent, however long it waited for its turn here.
    """

    def __init__(
        self,
        store: HookStore,
        channels: Mapping[str, Channel],
        targets: Mapping[str, Target],
        schedule: Schedule,
        limits: Limits,
        metrics: Metrics,
        *,
        now_ms: Callable[[], int],
        chance: random.Random | None = None,
    ) -> None:
        self._store = store
        self._channels = channels
        self._targets = targets
        self._schedule = schedule
        self._limits = limits
        self._metrics = metrics
        self._now_ms = now_ms
        self._chance = chance or random.Random()  # noqa: S311 - it spreads attempts, it keeps no secret
        self._lanes: dict[str, _Lane] = {}
        self._paces: dict[str, _Pace] = {}
        self._counts: Counter[str] = Counter()
        self._gate = asyncio.Lock()
        #: Rows that are to be read anew, and those that were for lanes that did not take them yet.
        self._asked: set[int] = set()
        self._found: dict[int, Delivery] = {}
        self._reading = asyncio.Lock()
        self._ends = _Ends()
        self._writing: asyncio.Task[None] | None = None
        self._housework: set[asyncio.Task[None]] = set()
        self._ended = 0
        self._running = False
        #: Targets that nothing is sent to, with the reasons.
        self.disabled: dict[str, str] = {}

    @property
    def pending(self) -> Mapping[str, int]:
        """How many deliveries wait for each target."""
        return {target: count for target, count in self._counts.items() if count > 0}

    async def start(self) -> None:
        """Take up what waits."""
        self._running = True
        self.disabled.update(await self._store.disabled())
        self._metrics.hook_disabled.set(len(self.disabled))
        await self._store.prune(ended_max=self._limits.hooks_log_max, dead_max=self._limits.hooks_log_max)
        self._counts.update(await self._store.counts())
        self._measure()
        for name, target, due_ms in await self._store.lanes():
            self._look(self._lanes.setdefault(name, _Lane(name, target, due_ms)))

    async def stop(self) -> None:
        """Let what is under way come to an end for a moment, write down how, and stop. Idempotent."""
        self._running = False
        tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._housework, return_exceptions=True)
        self._lanes.clear()
        if self._ends.marks and self._writing is None:
            self._writing = asyncio.create_task(self._write())
        writing = self._writing
        if writing is not None:
            await asyncio.wait([writing], timeout=_STOP_S)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            self._writing = None

    def committed(self, committed: Committed) -> None:
        """Take notice of what the engine stored."""
        self._counts.subtract(Counter(target for _, target, _ in committed.taken_back))
        self.added(committed.deliveries)
        for name in {lane for _, _, lane in committed.taken_back}:
            self._hurry(name)

    def erased(self) -> None:
        """Take notice of a session that was deleted, with what waited of it."""
        self._do(self._recount())

    async def _recount(self) -> None:
        self._counts = Counter(await self._store.counts())
        self._measure()

    def replayed(self, deliveries: Sequence[Delivery]) -> None:
        """Take notice of dead ones that wait again: they are older than what waits already."""
        self.added(deliveries)
        for name in {delivery.lane for delivery in deliveries}:
            self._hurry(name)

    def _hurry(self, name: str) -> None:
        """Have a lane's head tried: it is another one than the lane waits with."""
        lane = self._lanes.get(name)
        if lane is not None:
            lane.due_ms, lane.again = self._now_ms(), True
            self._look(lane)

    def added(self, deliveries: Iterable[Delivery]) -> None:
        """Take notice of deliveries that were stored, or wait again."""
        crowded = set()
        for delivery in deliveries:
            if delivery.state != PENDING:
                continue
            self._counts[delivery.target] += 1
            if self._counts[delivery.target] > self._limits.hooks_deliveries_max:
                crowded.add((delivery.target, channel_of(delivery)))
            lane = self._lanes.get(delivery.lane)
            if lane is None:
                lane = self._lanes[delivery.lane] = _Lane(delivery.lane, delivery.target, delivery.due_ms)
                self._look(lane)
            else:
                lane.again = True
        for target, channel in crowded:
            self._do(self._thin(target, channel))
        self._measure()

    async def disable(self, target: str, reason: str) -> None:
        """Send nothing to a target any more; what waits for it becomes dead letters."""
        _log.warning("hook_target_disabled", target=target, reason=reason)
        self.disabled[target] = reason
        await self._store.disable(target, reason, self._now_ms())
        await self._written()  # What was attempted has an end of its own, which says so.
        await self._store.bury(target, f"the target is disabled: {reason}"[:200], self._now_ms())
        self._counts[target] = 0
        self._metrics.hook_disabled.set(len(self.disabled))
        self._measure()

    async def enable(self, target: str) -> bool:
        """Send to a target again; return whether it was disabled."""
        enabled = await self._store.enable(target)
        self.disabled.pop(target, None)
        self._metrics.hook_disabled.set(len(self.disabled))
        return enabled

    # Lanes

    def _look(self, lane: _Lane) -> None:
        """Have a lane's head tried when it is due."""
        if not self._running or lane.task is not None:
            return
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        delay_s = (lane.due_ms - self._now_ms()) / 1000
        if delay_s > 0:
            lane.timer = asyncio.get_running_loop().call_later(delay_s, self._begin, lane)
        else:
            self._begin(lane)

    def _begin(self, lane: _Lane) -> None:
        lane.timer = None
        if self._running and lane.task is None:
            lane.task = asyncio.create_task(self._serve(lane), name=f"deliver {lane.name}")
            lane.task.add_done_callback(lambda done: self._served(lane, done))

    def _served(self, lane: _Lane, task: asyncio.Task[None]) -> None:
        lane.task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("hook_lane_failed", target=lane.target, error=type(error).__name__, reason=str(error)[:200])
            lane.due_ms = self._now_ms() + int(_STORE_RETRY_S * 1000)
            lane.again = True
        if lane.again:
            self._look(lane)
        elif self._lanes.get(lane.name) is lane:
            del self._lanes[lane.name]

    def _live(self) -> bool:
        return self._running

    async def _serve(self, lane: _Lane) -> None:
        """Deliver what is due in a lane, until nothing is, or an attempt failed."""
        while self._live():
            lane.again = False
            waiting = await self._store.lane(lane.name, _BATCH)
            if not waiting:
                return
            for delivery in waiting:
                if not self._live():
                    return
                lane.due_ms = delivery.due_ms
                if delivery.due_ms > self._now_ms():
                    lane.again = True
                    return
                mark = await self._deliver(delivery)
                if mark is None:
                    continue
                self._mark(mark, delivery.target)
                if mark.state == PENDING:  # Invariant 2.
                    lane.due_ms = mark.due_ms
                    await self._written()
                    lane.again = True
                    return
            await self._written()

    async def _deliver(self, delivery: Delivery) -> Mark | None:
        """Try once; return how it ended, None if it waits no longer."""
        channel, attempt = channel_of(delivery), delivery.attempt + 1
        disabled = self.disabled.get(delivery.target)
        if disabled is not None:  # Invariant 4.
            reason = f"the target is disabled: {disabled}"[:200]
            return Mark(delivery.row, DEAD, delivery.attempt, delivery.due_ms, self._now_ms(), reason)
        pace = self._pace(channel, delivery.target)
        async with pace.slots:  # Invariant 3.
            await self._wait_turn(pace)
            async with self._gate:
                # One is begun in each round of the loop: many at once would let everybody else wait.
                await asyncio.sleep(0)
            # A lane is read many at a time; and erasing takes a session's part out of a digest, too.
            found = await self._read_anew(delivery.row)
            if found is None:  # Invariant 6.
                return None
            result = await self._attempt(found, channel, attempt, pace.timeout_s)
        now_ms = self._now_ms()
        if isinstance(result, Sent):
            self._metrics.hook(channel, "sent")
            self._metrics.hook_seconds.observe(max(0, now_ms - delivery.made_ms) / 1000)
            return Mark(delivery.row, SENT, attempt, delivery.due_ms, now_ms)
        if isinstance(result, Gone):
            self._metrics.hook(channel, "gone")
            if delivery.target == delivery.subject:
                # A person without a device is no failure, and may be most people: dead letters are for what failed.
                return Mark(delivery.row, DROPPED, attempt, delivery.due_ms, now_ms, result.reason[:200])
            _log.warning("hook_gone", target=delivery.target, delivery=delivery.id, reason=result.reason)
            if delivery.target in self._targets:
                self._do(self.disable(delivery.target, result.reason))  # Invariant 4.
                self.disabled[delivery.target] = result.reason
            return Mark(delivery.row, DEAD, attempt, delivery.due_ms, now_ms, result.reason[:200])
        delays = self._schedule.of(channel)
        if attempt > len(delays) and not result.answered:
            self._metrics.hook(channel, "dead")
            _log.warning("hook_dead", target=delivery.target, delivery=delivery.id, reason=result.reason)
            return Mark(delivery.row, DEAD, attempt, delivery.due_ms, now_ms, result.reason[:200])
        self._metrics.hook(channel, "retry")
        again_s = result.after_s if result.answered else None
        delay_s = again_s or self._delay_s(delays, attempt, result.after_s)
        return Mark(delivery.row, PENDING, attempt, now_ms + int(delay_s * 1000), 0, result.reason[:200])

    async def _read_anew(self, row: int) -> Delivery | None:
        """Return a delivery as it is on disk now, None if it waits no longer.

        What lanes ask for while one reads is read at once for all of them: sessions wait for the same disk.
        """
        self._asked.add(row)
        async with self._reading:
            if row in self._asked:
                asked, self._asked = self._asked, set()
                self._found.update(await self._store.pending(asked))
            return self._found.pop(row, None)

    def _delay_s(self, delays: Sequence[float], attempt: int, after_s: float | None) -> float:
        planned_s = delays[min(attempt, len(delays)) - 1] * (1 + _JITTER * self._chance.random())
        return max(planned_s, min(after_s or 0.0, _RETRY_AFTER_S_MAX))

    async def _attempt(self, delivery: Delivery, channel: str, attempt: int, timeout_s: float) -> Result:
        way = self._channels.get(channel)
        if way is None:
            return Retry(None, f"there is no channel {channel}")
        try:
            notice: Notice = notice_of(delivery, attempt)
            async with asyncio.timeout(timeout_s + _EXTRA_S):
                if delivery.act != WITHDRAW:
                    return await way.send(notice)
                await way.withdraw(notice)
        except TimeoutError:
            reason = "took too long"
        except Exception as error:  # noqa: BLE001 - a channel's failure is its own
            _log.warning("hook_failed", target=delivery.target, delivery=delivery.id, error=type(error).__name__)
            reason = type(error).__name__
        else:
            return Sent()
        return Retry(None, reason) if delivery.act != WITHDRAW else Sent()

    # Pace and bounds

    def _pace(self, channel: str, target: str) -> _Pace:
        shared = channel in _SHARED
        key = channel if shared else target
        pace = self._paces.get(key)
        if pace is None:
            set_up = self._targets.get(target)
            if shared:
                timeout_s = _PUSH_TIMEOUT_S if channel == "push" else _DEFAULT_TIMEOUT_S
                set_up = Target(key, channel, per_s=_SHARED_PER_S, timeout_s=timeout_s)
            elif set_up is None:
                set_up = Target(key, channel, per_s=_SHARED_PER_S)
            slots = nullcontext() if shared else asyncio.Semaphore(set_up.concurrency)
            bucket = TokenBucket(set_up.per_s, max(1.0, set_up.per_s))
            pace = self._paces[key] = _Pace(slots, bucket, set_up.timeout_s)
        return pace

    async def _wait_turn(self, pace: _Pace) -> None:
        wait_s = pace.bucket.take(1, time.monotonic())
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _thin(self, target: str, channel: str) -> None:
        over = self._counts[target] - self._limits.hooks_deliveries_max
        if over <= 0:
            return
        # Some more than needed, so that a crowd does not cost a statement for each that comes.
        over += self._limits.hooks_deliveries_max // 100
        dropped = await self._store.drop_oldest(target, over, self._now_ms())  # Invariant 5.
        self._counts[target] -= dropped
        self._metrics.hook(channel, "dropped", dropped)
        _log.error("hooks_dropped", target=target, count=dropped, hint="the target does not keep up, or is down")
        self._measure()

    def _over(self, targets: Sequence[str]) -> None:
        """Take notice of deliveries that ended, and that this is on disk."""
        for target in targets:
            self._counts[target] = max(0, self._counts[target] - 1)
        self._measure()
        if (self._ended + len(targets)) // _PRUNE_EVERY > self._ended // _PRUNE_EVERY:
            self._do(self._prune())
        self._ended += len(targets)

    async def _prune(self) -> None:
        await self._store.prune(ended_max=self._limits.hooks_log_max, dead_max=self._limits.hooks_log_max)

    def _measure(self) -> None:
        self._metrics.hook_pending.set(sum(count for count in self._counts.values() if count > 0))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(self._shielded(work))
        self._housework.add(task)
        task.add_done_callback(self._housework.discard)

    async def _shielded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except StoreError as error:
            _log.error("hooks_housework_failed", error=type(error).__name__, reason=str(error))

    # Writing down

    def _mark(self, mark: Mark, target: str) -> None:
        self._ends.marks.append(mark)
        if mark.state != PENDING:
            self._ends.targets[mark.row] = target
        if self._ends.written is None:
            self._ends.written = asyncio.get_running_loop().create_future()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="hooks marks")

    async def _written(self) -> None:
        """Wait until what was marked so far is on disk."""
        if self._ends.written is not None:
            await asyncio.shield(self._ends.written)

    async def _write(self) -> None:
        """Write marks, many at a time: each alone would cost the disk a flush, which sessions share."""
        while self._ends.marks:
            await asyncio.sleep(_GATHER_S)
            ends, self._ends = self._ends, _Ends()
            while True:
                try:
                    marked = await self._store.mark(ends.marks, withdraw=WITHDRAWN_LANES)
                    # Whoever took a row back, or gave it up, meanwhile has counted it already.
                    self._over([ends.targets[row] for row in marked.rows if row in ends.targets])
                    self.added(marked.deliveries)
                    break
                except StoreError as error:
                    _log.error("hooks_marks_wait", error=type(error).__name__, reason=str(error))
                    await asyncio.sleep(_STORE_RETRY_S)
            assert ends.written is not None
            if not ends.written.done():
                ends.written.set_result(None)
        self._writing = None
