"""Subscriptions: the devices of people that take pushes, and what each of them was last told.

Says what a row is in SQLite and how it is checked. Knows nothing of what is sent to a device, or of who may be told.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.errors import SyncdError
from syncd.core.grant import Grant, Right
from syncd.core.record import record
from syncd.store.sqlite import Database

#: Notices remembered of one device, to be withdrawn or not sent twice; older ones are forgotten.
NOTED_MAX = 64

# `target` finds an endpoint again; the endpoint itself is in `data`, under the checksum. `number` is the session's,
# 0 for a notice about several.
PUSH_TABLES = (
    """CREATE TABLE subscription (
        subject TEXT NOT NULL, device TEXT NOT NULL, target BLOB NOT NULL UNIQUE, crc INTEGER NOT NULL,
        data BLOB NOT NULL, PRIMARY KEY (subject, device)
    ) WITHOUT ROWID""",
    """CREATE TABLE noted (
        subject TEXT NOT NULL, device TEXT NOT NULL, tag TEXT NOT NULL, notice TEXT NOT NULL, number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, PRIMARY KEY (subject, device, tag)
    ) WITHOUT ROWID""",
    "CREATE INDEX noted_number ON noted (number)",
)


class EndpointTaken(SyncdError):
    """Somebody else's device has this endpoint, with other keys."""


@record
class Subscription:
    """One device of one person, as its browser subscribed it. Times are Unix milliseconds.

    `token_id`, `via` and `sessions` are those of the token it was last named with: as long as that was not revoked,
    the device may be told of what that token could read.
    """

    subject: str
    device: str
    endpoint: str
    p256dh: bytes
    auth: bytes
    name: str
    since_ms: int
    used_at_ms: int
    token_id: str
    via: tuple[str, ...]
    sessions: tuple[tuple[str, frozenset[Right]], ...]

    def may_read(self, session: str) -> bool:
        """Whether the token it was named with could read `session`."""
        grant = Grant(self.subject, "", "", self.sessions)
        return grant.rights(session) is not None


class Subscriptions:
    """All subscriptions of one store.

    1. An endpoint is one subject's: who subscribes it last has it, since a browser has one for all who use it.
    2. A row that is not what was written counts as absent: its browser writes it anew when it comes again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, given: Subscription, *, devices_max: int) -> None:
        """Keep a device's subscription in place of the one before; beyond `devices_max` the least used one goes.

        Raises:
            EndpointTaken: another one has its endpoint with other keys, so this is not the same browser.
        """

        def write(connection: sqlite3.Connection) -> None:
            target = _target(given.endpoint)
            row = connection.execute(
                "SELECT subject, device, crc, data FROM subscription WHERE target = ?", (target,)
            ).fetchone()
            before = row and _decode(*row)
            since_ms = given.since_ms
            if before is not None:
                if (before.p256dh, before.auth) != (given.p256dh, given.auth):
                    raise EndpointTaken("this endpoint is another device's")
                if before.subject == given.subject:
                    since_ms = before.since_ms
            if row:
                _drop(connection, row[0], row[1], keep_noted=row[:2] == (given.subject, given.device))  # Invariant 1.
            kept = replace(given, since_ms=since_ms)
            connection.execute(
                "INSERT OR REPLACE INTO subscription (subject, device, target, crc, data) VALUES (?, ?, ?, ?, ?)",
                (kept.subject, kept.device, target, *_encode(kept)),
            )
            for old in _of(connection, kept.subject)[devices_max:]:
                _drop(connection, old.subject, old.device)

        await self._database.transaction(write)

    async def of(self, subject: str) -> Sequence[Subscription]:
        """Return a person's subscriptions, the last used first."""
        return await self._database.run(lambda connection: _of(connection, subject))

    async def page(self, after: tuple[str, str] = ("", ""), limit: int = 500) -> Sequence[Subscription]:
        """Return subscriptions of all, in order of subject and device, behind those of `after`."""

        def read(connection: sqlite3.Connection) -> Sequence[Subscription]:
            rows = connection.execute(
                "SELECT subject, device, crc, data FROM subscription WHERE (subject, device) > (?, ?) "
                "ORDER BY subject, device LIMIT ?",
                (*after, limit),
            )
            return [found for row in rows if (found := _decode(*row)) is not None]

        return await self._database.run(read)

    async def drop(self, subject: str, device: str, *, endpoint: str = "") -> bool:
        """Forget a device; return whether there was one. With `endpoint` only if it still has that one."""

        def erase(connection: sqlite3.Connection) -> bool:
            if endpoint:
                found = connection.execute(
                    "SELECT 1 FROM subscription WHERE subject = ? AND device = ? AND target = ?",
                    (subject, device, _target(endpoint)),
                ).fetchone()
                if found is None:
                    return False
            return _drop(connection, subject, device)

        return await self._database.transaction(erase)

    async def note(self, device: Subscription, tag: str, notice: str, session: str, now_ms: int) -> None:
        """Remember that a device was sent a notice under a tag, in place of the last one under it."""

        def write(connection: sqlite3.Connection) -> None:
            key = (device.subject, device.device)
            connection.execute(
                "INSERT OR REPLACE INTO noted (subject, device, tag, notice, number, at_ms) "
                "VALUES (?, ?, ?, ?, coalesce((SELECT number FROM session WHERE session = ?), 0), ?)",
                (*key, tag, notice, session, now_ms),
            )
            connection.execute(
                "DELETE FROM noted WHERE subject = ? AND device = ? AND tag NOT IN "
                "(SELECT tag FROM noted WHERE subject = ? AND device = ? ORDER BY at_ms DESC, tag LIMIT ?)",
                (*key, *key, NOTED_MAX),
            )

        await self._database.transaction(write)

    async def noted(self, subject: str, tag: str) -> dict[str, str]:
        """Return the devices that were sent something under a tag, each with the last notice's id."""
        sql = "SELECT device, notice FROM noted WHERE subject = ? AND tag = ?"
        return dict(await self._database.run(lambda connection: connection.execute(sql, (subject, tag)).fetchall()))

    async def take_noted(self, subject: str, tag: str, notice: str) -> Sequence[Subscription]:
        """Return the devices that were sent this notice last under a tag, and forget that."""

        def take(connection: sqlite3.Connection) -> Sequence[Subscription]:
            devices = connection.execute(
                "DELETE FROM noted WHERE subject = ? AND tag = ? AND notice = ? RETURNING device",
                (subject, tag, notice),
            ).fetchall()
            shown = {device for (device,) in devices}
            return [found for found in _of(connection, subject) if found.device in shown] if shown else []

        return await self._database.transaction(take)


def drop_noted(connection: sqlite3.Connection, number: int) -> None:
    """Forget what devices were sent about the session of this number."""
    connection.execute("DELETE FROM noted WHERE number = ?", (number,))


def _of(connection: sqlite3.Connection, subject: str) -> list[Subscription]:
    rows = connection.execute(
        "SELECT subject, device, crc, data FROM subscription WHERE subject = ?", (subject,)
    ).fetchall()
    found = [one for row in rows if (one := _decode(*row)) is not None]
    return sorted(found, key=lambda one: (-one.used_at_ms, one.device))


def _drop(connection: sqlite3.Connection, subject: str, device: str, *, keep_noted: bool = False) -> bool:
    key = (subject, device)
    if not keep_noted:
        connection.execute("DELETE FROM noted WHERE subject = ? AND device = ?", key)
    return connection.execute("DELETE FROM subscription WHERE subject = ? AND device = ?", key).rowcount > 0


def _target(endpoint: str) -> bytes:
    return hashlib.sha256(endpoint.encode()).digest()[:16]


def _encode(one: Subscription) -> tuple[int, bytes]:
    sessions = [[pattern, sorted(rights)] for pattern, rights in one.sessions]
    # More fields may be added at the end.
    data = pack(
        [
            one.endpoint,
            one.p256dh,
            one.auth,
            one.name,
            one.since_ms,
            one.used_at_ms,
            one.token_id,
            [*one.via],
            sessions,
        ]
    )
    return _crc(one.subject, one.device, data), data


def _decode(subject: str, device: str, crc: object, data: object) -> Subscription | None:
    if type(data) is not bytes or crc != _crc(subject, device, data):  # Invariant 2.
        return None
    try:
        endpoint, p256dh, auth, name, since_ms, used_at_ms, token_id, via, sessions, *_ = unpack(data)
        held = tuple((pattern, frozenset(Right(right) for right in rights)) for pattern, rights in sessions)
        return Subscription(
            subject, device, endpoint, p256dh, auth, name, since_ms, used_at_ms, token_id, tuple(via), held
        )
    except (ValueError, TypeError):
        return None


def _crc(subject: str, device: str, data: bytes) -> int:
    return crc32(data, crc32(f"{subject}\n{device}\n".encode()))
