"""HookStore: what hooks keep in the log's database: how far events were read, what waits, what is to be delivered.

One transaction for all that follows from an event. Knows nothing of rules, of channels or of what an event says.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from syncd.core.codec import pack
from syncd.store.hook_rows import (
    DEAD,
    HOOK_INDEXES,
    HOOK_TABLES,
    NO_SESSION,
    PENDING,
    READ,
    SENT,
    STATES,
    WITHDRAWN,
    About,
    Committed,
    Delivery,
    HookTurn,
    Mark,
    Marked,
    Settled,
    Wait,
    checksum,
    drop_hooks,
    insert_delivery,
    number_of,
    part_of,
    read_deliveries,
    taken_back,
)
from syncd.store.listing import participants
from syncd.store.sqlite import Database

__all__ = ["HOOK_INDEXES", "HOOK_TABLES", "HookStore", "drop_hooks"]


class HookStore:
    """What hooks keep, in one database with the log.

    1. A turn is one transaction: the cursor moves with all that follows from the events it passes.
    2. What is of a session that was deleted, or made anew, is not stored; what is stored goes when the session does.
    3. A delivery's id is there once: what is given again is left as it is.
    4. What does not check is not read back.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self) -> int:
        """Return the row of the last event that was read, 0 for none."""
        found = await self._database.run(lambda c: c.execute("SELECT row FROM hook_cursor").fetchone())
        return int(found[0]) if found else 0

    async def commit(self, turn: HookTurn) -> Committed:
        """Store all of a turn, or nothing.

        Raises:
            StoreError: and its kinds; nothing was stored.
        """
        return await self._database.transaction(lambda connection: _Commit(connection, turn).run())

    async def waits(self) -> Sequence[Wait]:
        """Return all that waits, oldest first."""

        def read(connection: sqlite3.Connection) -> list[Wait]:
            rows = connection.execute(
                "SELECT row, coalesce(session, ''), coalesce(incarnation, ''), due_ms, hook_wait.crc, hook_wait.data "
                "FROM hook_wait LEFT JOIN session USING (number) ORDER BY row"
            )
            return [
                Wait(session, incarnation, due_ms, data, row)
                for row, session, incarnation, due_ms, crc, data in rows
                if crc == checksum(b"wait", data)
            ]

        return await self._database.run(read)

    async def left(self, session: str, rows: Sequence[int]) -> tuple[str, Collection[int]]:
        """Return a session's incarnation, empty if there is none now, and those of some waits that are still there."""

        def read(connection: sqlite3.Connection) -> tuple[str, set[int]]:
            one = "SELECT 1 FROM hook_wait WHERE row = ?"
            found = {row for row in rows if connection.execute(one, (row,)).fetchone()}
            sql = "SELECT incarnation FROM session WHERE session = ? AND deleted_at_ms IS NULL"
            now = connection.execute(sql, (session,)).fetchone()
            return (now[0] if now else ""), found

        return await self._database.run(read)

    async def about(self, sessions: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Mapping[str, bytes]]:
        """Return what is to be known of sessions, named with their incarnation.

        Under `s:SUBJECT` is how far each person has read that takes part, those too of whom nothing was kept.
        """
        wanted = list(sessions)

        def read(connection: sqlite3.Connection) -> dict[tuple[str, str], Mapping[str, bytes]]:
            found: dict[tuple[str, str], Mapping[str, bytes]] = {}
            for session, incarnation in wanted:
                number = number_of(connection, session, incarnation)
                rows = (
                    connection.execute("SELECT key, crc, data FROM hook_about WHERE number = ?", (number,))
                    if number
                    else ()
                )
                kept = {key.decode(): data for key, crc, data in rows if crc == checksum(key, data)}
                for subject, read_seq, _ in participants(connection, number) if number else ():
                    kept.setdefault(f"s:{subject}", pack(read_seq))
                found[session, incarnation] = kept
            return found

        return await self._database.run(read)

    # Deliveries

    async def lanes(self) -> Sequence[tuple[str, str, int]]:
        """Return every lane in which something waits: its name, its target, when its first is due."""
        sql = (
            "SELECT lane, target, due_ms FROM delivery WHERE row IN "
            "(SELECT min(row) FROM delivery WHERE state = 'pending' GROUP BY lane) ORDER BY row"
        )
        return await self._database.run(lambda c: c.execute(sql).fetchall())

    async def counts(self, state: str = PENDING) -> Mapping[str, int]:
        """Return how many deliveries of each target are in a state."""
        sql = "SELECT target, count(*) FROM delivery WHERE state = ? GROUP BY target"
        return dict(await self._database.run(lambda c: c.execute(sql, (state,)).fetchall()))

    async def lane(self, lane: str, limit: int) -> Sequence[Delivery]:
        """Return the first deliveries that wait in a lane. Those that do not check become dead first."""

        def read(connection: sqlite3.Connection) -> list[Delivery]:
            found, broken = read_deliveries(
                connection, "state = 'pending' AND lane = ? ORDER BY delivery.row", (lane,), limit
            )
            if broken:
                connection.executemany(
                    "UPDATE delivery SET state = 'dead', reason = 'does not check' WHERE row = ?",
                    [(r,) for r in broken],
                )
                return read(connection)
            return found

        return await self._database.run(read)

    async def pending(self, rows: Iterable[int]) -> Mapping[int, Delivery]:
        """Return those of these deliveries that wait, as they are now, by row."""

        def read(connection: sqlite3.Connection) -> dict[int, Delivery]:
            one = "delivery.row = ? AND state = 'pending'"
            found = (read_deliveries(connection, one, (row,), 1)[0] for row in rows)
            return {delivery.row: delivery for deliveries in found for delivery in deliveries}

        return await self._database.run(read)

    async def mark(self, marks: Sequence[Mark], *, withdraw: tuple[str, ...] = ()) -> Marked:
        """Write down how attempts ended. Of what does not wait any more, only that it was sent meanwhile.

        What was tried while it was taken back is withdrawn, in lanes that begin with `withdraw`: an attempt that failed
        may have reached one device of several.
        """
        sql = (
            "UPDATE delivery SET state = ?, attempt = ?, due_ms = ?, ended_ms = ?, reason = ? "
            "WHERE row = ? AND state = 'pending'"
        )

        def write(connection: sqlite3.Connection) -> Marked:
            made: list[Delivery] = []
            for m in marks if withdraw else ():
                late, _ = read_deliveries(connection, "delivery.row = ? AND state = 'withdrawn'", (m.row,), 1)
                for delivery in late:
                    if not delivery.lane.startswith(withdraw):
                        continue
                    if m.state == SENT:
                        connection.execute("UPDATE delivery SET state = 'read' WHERE row = ?", (m.row,))
                    number = number_of(connection, delivery.session, "")
                    if number and (stored := insert_delivery(connection, taken_back(delivery, m.ended_ms), number)):
                        made.append(stored)
            changed = [
                m.row
                for m in marks
                if connection.execute(sql, (m.state, m.attempt, m.due_ms, m.ended_ms, m.reason, m.row)).rowcount
            ]
            return Marked(changed, made)

        return await self._database.transaction(write)

    async def drop_oldest(self, target: str, count: int, now_ms: int) -> int:
        """Give up the oldest that wait for a target; return how many."""
        sql = (
            "UPDATE delivery SET state = 'dropped', ended_ms = ?, reason = 'too many waited' WHERE row IN "
            "(SELECT row FROM delivery WHERE target = ? AND state = 'pending' ORDER BY row LIMIT ?)"
        )
        return await self._database.run(lambda c: c.execute(sql, (now_ms, target, count)).rowcount)

    async def bury(self, target: str, reason: str, now_ms: int) -> int:
        """Make all that waits for a target dead; return how many."""
        sql = "UPDATE delivery SET state = 'dead', ended_ms = ?, reason = ? WHERE target = ? AND state = 'pending'"
        return await self._database.run(lambda c: c.execute(sql, (now_ms, reason, target)).rowcount)

    async def prune(self, *, ended_max: int, dead_max: int) -> None:
        """Forget what ended and is not among the newest `ended_max` of all; of dead ones keep the newest `dead_max`."""

        def forget(connection: sqlite3.Connection) -> None:
            (last,) = connection.execute("SELECT coalesce(max(row), 0) FROM delivery").fetchone()
            # By row, which is the table's own order: what is left below are dead ones and what waits.
            connection.execute(
                "DELETE FROM delivery WHERE row <= ? AND state IN ('sent', 'read', 'withdrawn', 'dropped')",
                (last - ended_max,),
            )
            connection.execute(
                "DELETE FROM delivery WHERE row IN (SELECT row FROM delivery WHERE state = 'dead' "
                "ORDER BY row DESC LIMIT -1 OFFSET ?)",
                (dead_max,),
            )

        await self._database.transaction(forget)

    async def list(
        self, *, states: Sequence[str] = STATES, before: int | None = None, target: str = "", limit: int = 100
    ) -> Sequence[Delivery]:
        """Return deliveries, newest first, below row `before`."""
        places = ", ".join("?" * len(states))
        where = f"state IN ({places}) AND delivery.row < ? AND (? = '' OR target = ?) ORDER BY delivery.row DESC"
        given = (*states, before if before is not None else 1 << 62, target, target)
        return await self._database.run(lambda c: read_deliveries(c, where, given, limit)[0])

    async def replay(self, *, ids: Sequence[str] = (), target: str = "", now_ms: int) -> Sequence[Delivery]:
        """Have dead deliveries wait again, as if they were new: by id, or all of a target. Return them."""

        def revive(connection: sqlite3.Connection) -> list[Delivery]:
            found: list[Delivery] = []
            if ids:
                for id in ids:
                    found += read_deliveries(connection, "state = 'dead' AND id = ?", (id,), 1)[0]
            else:
                found, _ = read_deliveries(
                    connection, "state = 'dead' AND target = ? ORDER BY delivery.row", (target,), -1
                )
            connection.executemany(
                "UPDATE delivery SET state = 'pending', attempt = 0, due_ms = ?, ended_ms = 0, reason = '' "
                "WHERE row = ?",
                [(now_ms, delivery.row) for delivery in found],
            )
            return [
                replace(delivery, state=PENDING, attempt=0, due_ms=now_ms, ended_ms=0, reason="") for delivery in found
            ]

        return await self._database.transaction(revive)

    # Rules and targets

    async def rules(self) -> Mapping[str, bytes]:
        """Return the rules that were put, by name."""
        rows = await self._database.run(lambda c: c.execute("SELECT name, crc, data FROM hook_rule").fetchall())
        return {name: data for name, crc, data in rows if crc == checksum(name.encode(), data)}

    async def put_rule(self, name: str, data: bytes) -> None:
        """Keep a rule, in place of the one of that name."""
        row = (name, checksum(name.encode(), data), data)
        await self._database.run(lambda c: c.execute("INSERT OR REPLACE INTO hook_rule VALUES (?, ?, ?)", row))

    async def drop_rule(self, name: str) -> bool:
        """Forget a rule; return whether there was one."""
        sql = "DELETE FROM hook_rule WHERE name = ?"
        return await self._database.run(lambda c: c.execute(sql, (name,)).rowcount) > 0

    async def disabled(self) -> Mapping[str, str]:
        """Return the targets that nothing is sent to any more, with the reasons."""
        return dict(await self._database.run(lambda c: c.execute("SELECT name, reason FROM hook_target").fetchall()))

    async def disable(self, target: str, reason: str, now_ms: int) -> None:
        """Send nothing to a target any more, until it is enabled."""
        row = (target, now_ms, reason)
        await self._database.run(lambda c: c.execute("INSERT OR REPLACE INTO hook_target VALUES (?, ?, ?)", row))

    async def enable(self, target: str) -> bool:
        """Send to a target again; return whether it was disabled."""
        sql = "DELETE FROM hook_target WHERE name = ?"
        return await self._database.run(lambda c: c.execute(sql, (target,)).rowcount) > 0


class _Commit:
    """One turn's transaction."""

    def __init__(self, connection: sqlite3.Connection, turn: HookTurn) -> None:
        self._connection = connection
        self._turn = turn
        self._numbers: dict[tuple[str, str], int | None] = {}

    def run(self) -> Committed:
        """Write it."""
        execute, turn = self._connection.execute, self._turn
        if turn.cursor is not None:
            execute("INSERT OR REPLACE INTO hook_cursor VALUES (1, ?)", (turn.cursor,))  # Invariant 1.
        made: list[Delivery] = []
        rows: list[tuple[int, str, str]] = []
        for settled in turn.settled:
            self._settle(settled, rows, made)
        self._connection.executemany("DELETE FROM hook_wait WHERE row = ?", [(row,) for row in turn.done_waits])
        waits = [self._wait(wait) for wait in turn.waits]
        for about in turn.about:
            self._learn(about)
        for delivery in turn.deliveries:
            number = self._number(delivery.session, delivery.incarnation)
            data = part_of(delivery.data, [self._number(*key) is not None for key in delivery.of])
            if number is None or not data:
                continue
            if (stored := insert_delivery(self._connection, replace(delivery, data=data), number)) is not None:
                made.append(stored)
        return Committed(made, waits, rows)

    def _number(self, session: str, incarnation: str) -> int | None:  # Invariant 2.
        key = session, incarnation
        if key not in self._numbers:
            self._numbers[key] = number_of(self._connection, session, incarnation) if session else NO_SESSION
        return self._numbers[key]

    def _wait(self, wait: Wait) -> Wait | None:
        number = self._number(wait.session, wait.incarnation)
        if number is None:
            return None
        cursor = self._connection.execute(
            "INSERT INTO hook_wait (number, due_ms, crc, data) VALUES (?, ?, ?, ?)",
            (number, wait.due_ms, checksum(b"wait", wait.data), wait.data),
        )
        return replace(wait, row=cursor.lastrowid or 0)

    def _learn(self, about: About) -> None:
        number, key = self._number(about.session, about.incarnation), about.key.encode()
        if not number:
            return
        if about.data:
            row = (number, key, checksum(key, about.data), about.data)
            self._connection.execute("INSERT OR REPLACE INTO hook_about VALUES (?, ?, ?, ?)", row)
        else:
            self._connection.execute("DELETE FROM hook_about WHERE number = ? AND key = ?", (number, key))

    def _settle(self, settled: Settled, rows: list[tuple[int, str, str]], made: list[Delivery]) -> None:
        number = self._number(settled.session, settled.incarnation)
        if not number:
            return
        where = "delivery.number = ? AND act = 'send' AND state IN ('pending', 'sent', 'dead') AND "
        if settled.tag:
            found, _ = read_deliveries(self._connection, where + "tag = ?", (number, settled.tag), -1)
        else:
            given = (number, settled.subject, settled.seq)
            found, _ = read_deliveries(self._connection, where + "subject = ? AND seq > 0 AND seq <= ?", given, -1)
        now_ms = self._turn.now_ms
        for delivery in found:
            withdrawable = delivery.lane.startswith(settled.withdraw or ("\0",))
            if (delivery.state == SENT and not withdrawable) or (delivery.state == DEAD and not delivery.subject):
                continue
            if delivery.state == PENDING:
                rows.append((delivery.row, delivery.target, delivery.lane))
            # An attempt that failed may have reached one device of several.
            if withdrawable and (delivery.state == SENT or delivery.attempt):
                again = taken_back(delivery, now_ms)
                if (stored := insert_delivery(self._connection, again, number)) is not None:
                    made.append(stored)
            state = READ if delivery.state == SENT else WITHDRAWN
            self._connection.execute(
                "UPDATE delivery SET state = ?, ended_ms = ? WHERE row = ?", (state, now_ms, delivery.row)
            )
