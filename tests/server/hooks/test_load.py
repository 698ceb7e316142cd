"""Ten thousand events to a hundred targets of which one fails: all delivered, once, in order; and a session beside."""

import time
from pathlib import Path

from syncd.core.messages import Json
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog
from tests.harness import until
from tests.server.hooks.bench import bench, config_of, webhook
from tests.server.hooks.receiver import Got, receiving

EVENTS = 10_000
TARGETS = 100
BAD = "t-13"


def _ended(number: int, session: str, target: str) -> tuple[str, str, str, dict[str, Json]]:
    return "run.ended", "agent:a", session, {"run": f"r{number}", "number": number, "target": target}


async def commit_s(log: SqliteSessionLog, version: int) -> float:
    """Commit something in a session beside; return how long that took."""
    at = time.perf_counter()
    assert await log.append([Append("beside", version, [Entry(EntryKind.TRANSCRIPT, b"x")])]) == []
    return time.perf_counter() - at


async def test_ten_thousand_events_with_one_target_in_a_hundred_failing(tmp_path: Path) -> None:
    """Delivered, unique, ordered for each target; the failing one's are dead letters, and delivered when replayed."""
    ids: dict[str, list[str]] = {}
    order: dict[str, list[int]] = {}
    failing = True

    def answer(got: Got) -> int:
        name = got.path.removeprefix("/")
        if name == BAD and failing:
            return 500
        ids.setdefault(name, []).append(got.id)
        order.setdefault(name, []).append(got.json["data"]["number"])
        return 200

    async with receiving() as receiver:
        receiver.answer = answer
        names = [f"t-{number}" for number in range(TARGETS)]
        targets = [webhook(name, receiver.url(f"/{name}"), per_s=10_000) for name in names]
        rules = [
            {"name": name, "on": ["run.ended"], "channel": "webhook", "target": name, "where": {"target": name}}
            for name in names
        ]
        async with bench(tmp_path, config_of(rules, targets, retry_s=[0.001])) as here:
            await here.log.create("beside", "i", 1)
            alone = [await commit_s(here.log, version) for version in range(100)]
            began = time.perf_counter()
            waits: list[float] = []
            for first in range(0, EVENTS, 500):
                numbers = range(first, first + 500)
                await here.happened([_ended(n, f"s-{first % 7}", names[n % TARGETS]) for n in numbers])
            while here.hooks.pending or here.hooks.cursor < await here.log.last_event():
                at = time.perf_counter()
                waits.append(await commit_s(here.log, len(alone) + len(waits)))
                await until(lambda at=at: time.perf_counter() - at > 0.02)  # type: ignore[misc]
                assert at - began < 200, "it goes on for ever"
            took_s = time.perf_counter() - began
            good = EVENTS - EVENTS // TARGETS
            assert sum(len(found) for found in ids.values()) == good
            assert len(await here.deliveries("sent")) == good
            dead = await here.deliveries("dead")
            assert {d.target for d in dead} == {BAD}
            assert len(dead) == EVENTS // TARGETS

            failing = False
            await here.hooks.replay(target=BAD)
            await here.settled()

    waits.sort()
    alone.sort()
    print(
        f"\n{EVENTS} events, {TARGETS} targets, 1 failing: {took_s:.1f} s, {good / took_s:.0f} webhooks/s; "
        f"a session's commit beside: p50 {waits[len(waits) // 2] * 1e3:.1f} ms, "
        f"p99 {waits[len(waits) * 99 // 100] * 1e3:.1f} ms (before: {alone[50] * 1e3:.1f}, {alone[98] * 1e3:.1f})"
    )
    for number, name in enumerate(names):
        assert order[name] == [*range(number, EVENTS, TARGETS)]
        assert len(set(ids[name])) == len(ids[name])
