"""The devices of people, in the log's own file."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from syncd.core.grant import Right
from syncd.store.log import Append, Entry, EntryKind
from syncd.store.session_log import SqliteSessionLog
from syncd.store.subscriptions import NOTED_MAX, EndpointTaken, Subscription

MONA = Subscription(
    subject="user:mona",
    device="phone",
    endpoint="https://push.example/abc",
    p256dh=b"\x04" + b"p" * 64,
    auth=b"a" * 16,
    name="Phone",
    since_ms=1,
    used_at_ms=1,
    token_id="t1",
    via=("room/i1", "t0"),
    sessions=(("trip", frozenset({Right.TRANSCRIPT})), ("x-*", frozenset())),
)


async def test_what_is_kept_is_what_was_given(sqlite_log: SqliteSessionLog) -> None:
    """Exactly, and after the file was closed and opened."""
    other = replace(MONA, subject="user:theo", endpoint="https://push.example/other")
    await sqlite_log.subscriptions.put(MONA, devices_max=10)
    await sqlite_log.subscriptions.put(other, devices_max=10)
    await sqlite_log.close()
    await sqlite_log.open()

    assert await sqlite_log.subscriptions.of("user:mona") == [MONA]
    assert await sqlite_log.subscriptions.page() == [MONA, other]
    assert await sqlite_log.subscriptions.page(("user:mona", "phone"), 1) == [other]
    assert MONA.may_read("trip")
    assert MONA.may_read("x-1")
    assert not MONA.may_read("salary")


async def test_a_device_used_again_keeps_its_beginning(sqlite_log: SqliteSessionLog) -> None:
    """And one that subscribed anew, by another endpoint, takes the place of the old one."""
    subscriptions = sqlite_log.subscriptions
    await subscriptions.put(MONA, devices_max=10)
    await subscriptions.put(replace(MONA, since_ms=9, used_at_ms=9), devices_max=10)
    assert await subscriptions.of("user:mona") == [replace(MONA, used_at_ms=9)]

    anew = replace(MONA, endpoint="https://push.example/new", p256dh=b"\x04" + b"q" * 64, since_ms=12, used_at_ms=12)
    await subscriptions.put(anew, devices_max=10)
    assert await subscriptions.of("user:mona") == [anew]


async def test_an_endpoint_is_one_persons(sqlite_log: SqliteSessionLog) -> None:
    """The last one's whose browser it is; with other keys it is somebody who only knows of it, and is refused."""
    subscriptions = sqlite_log.subscriptions
    await subscriptions.put(MONA, devices_max=10)
    with pytest.raises(EndpointTaken):
        await subscriptions.put(replace(MONA, subject="user:mallory", auth=b"b" * 16), devices_max=10)
    assert await subscriptions.of("user:mona") == [MONA]

    await subscriptions.put(theo := replace(MONA, subject="user:theo"), devices_max=10)
    assert (await subscriptions.of("user:mona"), await subscriptions.of("user:theo")) == ([], [theo])


async def test_the_least_used_device_makes_room(sqlite_log: SqliteSessionLog) -> None:
    """Of the same person, with what was noted of it."""
    subscriptions = sqlite_log.subscriptions
    devices = [
        replace(MONA, device=f"d{at}", endpoint=f"https://push.example/{at}", used_at_ms=10 - at) for at in range(4)
    ]
    for one in devices[:3]:
        await subscriptions.put(one, devices_max=3)
    await subscriptions.note(devices[2], "tag", "msg_1", "", 1)
    await subscriptions.put(replace(devices[3], used_at_ms=20), devices_max=3)

    assert [one.device for one in await subscriptions.of("user:mona")] == ["d3", "d0", "d1"]
    assert await subscriptions.noted("user:mona", "tag") == {}


async def test_a_damaged_row_counts_as_absent(sqlite_log: SqliteSessionLog, tmp_path: Path) -> None:
    """Nothing is sent to what a flipped bit made of an address; the browser writes it anew when it comes again."""
    await sqlite_log.subscriptions.put(MONA, devices_max=10)

    def flip(connection: sqlite3.Connection) -> None:
        [(data,)] = connection.execute("SELECT data FROM subscription").fetchall()
        connection.execute("UPDATE subscription SET data = ?", (data.replace(b"example", b"exbmple"),))

    await sqlite_log._database.run(flip)

    assert await sqlite_log.subscriptions.of("user:mona") == []
    await sqlite_log.subscriptions.put(MONA, devices_max=10)
    assert await sqlite_log.subscriptions.of("user:mona") == [MONA]


async def test_what_a_device_was_told_is_remembered_and_taken_once(sqlite_log: SqliteSessionLog) -> None:
    """The last notice under each tag; the newest few tags; gone with the device."""
    subscriptions = sqlite_log.subscriptions
    await subscriptions.put(MONA, devices_max=10)
    for at in range(NOTED_MAX + 5):
        await subscriptions.note(MONA, f"tag{at}", f"msg_{at}", "trip", at)
    await subscriptions.note(MONA, "tag9", "msg_again", "trip", 1_000)

    assert await subscriptions.noted("user:mona", "tag9") == {"phone": "msg_again"}
    assert await subscriptions.noted("user:mona", "tag4") == {}
    assert await subscriptions.take_noted("user:theo", "tag9", "msg_again") == []
    assert await subscriptions.take_noted("user:mona", "tag9", "msg_9") == []
    assert await subscriptions.take_noted("user:mona", "tag9", "msg_again") == [MONA]
    assert await subscriptions.take_noted("user:mona", "tag9", "msg_again") == []
    assert await subscriptions.drop("user:mona", "phone")
    assert not await subscriptions.drop("user:mona", "phone")
    assert await subscriptions.noted("user:mona", "tag10") == {}


async def test_a_deleted_session_takes_along_what_was_told_of_it(sqlite_log: SqliteSessionLog) -> None:
    """In the same transaction; what was told of others stays."""
    subscriptions = sqlite_log.subscriptions
    await subscriptions.put(MONA, devices_max=10)
    for session in ("trip", "other"):
        await sqlite_log.create(session, "i", 1)
        await sqlite_log.append([Append(session, 0, [Entry(EntryKind.TRANSCRIPT, b"x")])])
        await subscriptions.note(MONA, session, "msg_1", session, 1)

    await sqlite_log.delete("trip", 2)

    assert await subscriptions.noted("user:mona", "trip") == {}
    assert await subscriptions.noted("user:mona", "other") == {"phone": "msg_1"}
