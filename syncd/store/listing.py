"""Listing: what lists of sessions are made of: a summary of each session, who takes part, and who was last seen when.

Written in the transaction of the events it follows; what is of sessions can be made anew from them. Says what a row is
in SQLite and how it is checked. Knows nothing of grants beyond the patterns they name sessions by.
"""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar
from zlib import crc32

from syncd.core.codec import pack, unpack
from syncd.core.events import Event
from syncd.core.listing import UNREAD_MAX, Summary, joins, moves
from syncd.core.record import record

T = TypeVar("T")

#: `data` of a session that nothing is known of yet: made before there were lists, or by an import.
_UNKNOWN = b""

#: What makes somebody have a standing, the most that did: putting the session away, being addressed or made
#: responsible, which others do, and what they wrote or read there themselves.
_PUT_AWAY, _NAMED, _DID = 0, 1, 2

LISTING_TABLES = (
    """CREATE TABLE listing (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, crc INTEGER NOT NULL, data BLOB NOT NULL
    )""",
    "CREATE INDEX listing_at ON listing (at_ms, number)",
    """CREATE TABLE listed_message (
        number INTEGER NOT NULL, seq INTEGER NOT NULL, "by" TEXT NOT NULL, PRIMARY KEY (number, seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE standing (
        number INTEGER NOT NULL, subject TEXT NOT NULL, read_seq INTEGER NOT NULL, archived INTEGER NOT NULL DEFAULT 0,
        since_ms INTEGER NOT NULL, PRIMARY KEY (number, subject)
    ) WITHOUT ROWID""",
    # Few are put away: a page asks which, not of each whether.
    "CREATE INDEX standing_archived ON standing (subject, number) WHERE archived",
    "CREATE TABLE seen (subject TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID",
)
#: With the sessions that are there already; the table of entries is the log's.
INDEX_TABLES = (
    *LISTING_TABLES,
    """INSERT INTO listing SELECT number,
        coalesce((SELECT max(at_ms) FROM entry WHERE entry.number = session.number), created_at_ms), 0, x''
    FROM session WHERE deleted_at_ms IS NULL""",
)
#: A later step. Of who was there before it is not known what they did: less is said of them until they do something.
PART_COLUMN = f"ALTER TABLE standing ADD COLUMN part INTEGER NOT NULL DEFAULT {_NAMED}"

_UNREAD = """SELECT count(*) FROM (
    SELECT 1 FROM listed_message WHERE number = ? AND seq > ? AND "by" != ? LIMIT ?
)"""

_JOIN = """INSERT INTO standing (number, subject, part, read_seq, since_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (number, subject)"""
_READ_ON = "DO UPDATE SET read_seq = max(read_seq, excluded.read_seq), part = max(part, excluded.part)"


@record
class Standing:
    """How somebody stands to a session. `unread` counts messages of others behind `read_seq`, up to 999."""

    read_seq: int
    archived: bool
    unread: int


@record
class Listed:
    """One session's row: what all see of it, and how those stand to it that were asked for and take part."""

    session: str
    at_ms: int
    summary: Summary
    standings: Mapping[str, Standing]


@record
class Page:
    """Rows, the newest first. `next` is what to go on after, empty at the end."""

    rows: Sequence[Listed]
    next: str


class Runner(Protocol):
    """Where the tables are. `sqlite.Database` is one."""

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function on the connection."""
        ...

    async def transaction(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in a transaction."""
        ...


# In the log's own transactions


def open_listing(connection: sqlite3.Connection, number: int, at_ms: int, *, known: bool) -> None:
    """Have a session that was made now in the lists. `known`: it is empty, so nothing has to be read to know it."""
    drop_listing(connection, number)
    _put(connection, number, at_ms, Summary() if known else None)


def follow(connection: sqlite3.Connection, told: Iterable[tuple[int, Sequence[Event]]]) -> None:
    """Bring the summaries, messages and standings of sessions, by their numbers, up to their events."""
    listed: list[tuple[int, int, bytes, int]] = []
    messages: list[tuple[int, int, str]] = []
    joined: list[tuple[int, str, int, int, int]] = []
    read: list[tuple[int, str, int, int, int]] = []
    for number, events in told:
        at_ms, summary = _get(connection, number)
        # Of one that is not known, what came before is found when it is loaded; what comes now is kept meanwhile.
        known, summary = summary is not None, summary or Summary()
        changed = False
        for event in events:
            summary.take(event)
            if moves(event):
                changed, at_ms = True, max(at_ms, event.at_ms)
            if event.type == "message.created" and event.body.get("role") != "system":
                messages.append((number, int(event.body["seq"]), event.by))
            rows = read if event.type == "read.moved" else joined
            rows += [
                (number, subject, _DID if subject == event.by else _NAMED, seq, event.at_ms)
                for subject, seq in joins(event, summary.seq).items()
            ]
        if changed:
            data = pack(summary.encode()) if known else _UNKNOWN
            listed.append((at_ms, _crc(number, data), data, number))
    connection.executemany("UPDATE listing SET at_ms = ?, crc = ?, data = ? WHERE number = ?", listed)
    connection.executemany("INSERT OR REPLACE INTO listed_message VALUES (?, ?, ?)", messages)
    connection.executemany(f"{_JOIN} DO UPDATE SET part = excluded.part WHERE part < excluded.part", joined)
    connection.executemany(f"{_JOIN} {_READ_ON}", read)


def drop_listing(connection: sqlite3.Connection, number: int) -> None:
    """Remove all that lists know of the session of this number."""
    for table in ("listing", "listed_message", "standing"):
        connection.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608


def _put(connection: sqlite3.Connection, number: int, at_ms: int, summary: Summary | None) -> None:
    data = _UNKNOWN if summary is None else pack(summary.encode())
    connection.execute("INSERT OR REPLACE INTO listing VALUES (?, ?, ?, ?)", (number, at_ms, _crc(number, data), data))


def _get(connection: sqlite3.Connection, number: int) -> tuple[int, Summary | None]:
    """Return when something last happened in a session, and its summary: None if nothing is known, or it is damaged."""
    found = connection.execute("SELECT at_ms, crc, data FROM listing WHERE number = ?", (number,)).fetchone()
    return (0, None) if found is None else (found[0], _decode(number, *found[1:]))


def _decode(number: int, crc: object, data: object) -> Summary | None:
    if type(data) is not bytes or data == _UNKNOWN or crc != _crc(number, data):
        return None
    try:
        return Summary.decode(unpack(data))
    except (ValueError, TypeError, AttributeError):
        return None


def _crc(number: int, data: bytes) -> int:
    return crc32(data, crc32(b"%d\n" % number))


def participants(connection: sqlite3.Connection, number: int) -> Sequence[tuple[str, int, bool]]:
    """Return the persons that take part in the session of this number, how far they have read, and whether they wrote
    or read there themselves."""
    sql = "SELECT subject, read_seq, part FROM standing WHERE number = ? AND part ORDER BY subject"
    return [(subject, read_seq, part == _DID) for subject, read_seq, part in connection.execute(sql, (number,))]


# What lists ask for


class Listing:
    """The lists of sessions, over the log's database.

    1. A session is found by what a grant names it by, in time by the sessions named, not by those that there are;
       unless all are named: then by those that are returned.
    """

    def __init__(self, database: Runner) -> None:
        self._database = database

    async def page(
        self, subject: str, patterns: Iterable[str], *, after: str = "", limit: int = 100, archived: bool = False
    ) -> Page:
        """Return a page of the sessions that `patterns` name: ids, or prefixes followed by `*`; the newest first.

        `after` is a page's `next`; one that is none begins anew. With `archived`, those that the subject put away, else
        the others.
        """
        where, named = _named(patterns)
        at_ms, number = _place(after)
        # What a row shows is read of those that are returned alone.
        sql = f"""SELECT found.number, session, found.at_ms, listing.crc, data, read_seq, coalesce(archived, 0)
            FROM (
                SELECT listing.number, at_ms FROM {where}
                WHERE (at_ms, listing.number) < (?, ?) AND listing.number {"" if archived else "NOT"} IN
                    (SELECT number FROM standing WHERE subject = ? AND archived)
                ORDER BY at_ms DESC, listing.number DESC LIMIT ?
            ) AS found CROSS JOIN listing ON listing.number = found.number
            CROSS JOIN session ON session.number = found.number
            LEFT JOIN standing ON standing.number = found.number AND subject = ?
            ORDER BY found.at_ms DESC, found.number DESC"""  # noqa: S608

        def read(connection: sqlite3.Connection) -> Page:
            given = (*named, at_ms, number, subject, limit, subject)
            found = connection.execute(sql, given).fetchall()
            rows = []
            for number_, session, at, crc, data, read_seq, put_away in found:
                standings = {}
                if read_seq is not None:
                    unread = connection.execute(_UNREAD, (number_, read_seq, subject, UNREAD_MAX)).fetchone()[0]
                    standings[subject] = Standing(read_seq, bool(put_away), unread)
                rows.append(Listed(session, at, _decode(number_, crc, data) or Summary(), standings))
            end = f"{found[-1][2]}.{found[-1][0]}" if len(found) == limit and found else ""
            return Page(rows, end)

        return await self._database.run(read)

    async def rows(self, sessions: Iterable[str], subjects: Collection[str]) -> Sequence[Listed]:
        """Return the rows of these sessions, those that are there, with the standings of these subjects."""
        wanted, asked = json.dumps([*sessions]), json.dumps([*subjects])

        def read(connection: sqlite3.Connection) -> Sequence[Listed]:
            found = connection.execute(
                "SELECT listing.number, session, at_ms, listing.crc, data FROM session JOIN listing USING (number) "
                "WHERE session IN (SELECT value FROM json_each(?)) AND deleted_at_ms IS NULL",
                (wanted,),
            ).fetchall()
            return [
                Listed(session, at, _decode(number, crc, data) or Summary(), _standings(connection, number, asked))
                for number, session, at, crc, data in found
            ]

        return await self._database.run(read)

    async def participants(self, session: str) -> Mapping[str, bool]:
        """Return the persons that take part in a session, and whether they wrote or read there themselves.

        The others were addressed or made responsible. Who only put it away does not take part.
        """

        def read(connection: sqlite3.Connection) -> Mapping[str, bool]:
            number = _number(connection, session)
            found = participants(connection, number) if number is not None else ()
            return {subject: did for subject, _, did in found}

        return await self._database.run(read)

    async def stand(self, session: str, subject: str, *, archived: bool, now_ms: int) -> bool:
        """Put a session away for one subject, or back; return whether there is such a session."""

        def put(connection: sqlite3.Connection) -> bool:
            number = _number(connection, session)
            if number is None:
                return False
            _, summary = _get(connection, number)
            connection.execute(
                "INSERT INTO standing (number, subject, part, read_seq, archived, since_ms) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (number, subject) DO UPDATE SET archived = excluded.archived",
                (number, subject, _PUT_AWAY, summary.seq if summary else 0, archived, now_ms),
            )
            return True

        return await self._database.transaction(put)

    # Following what is no event

    async def call(self, session: str, title: str, tags: tuple[str, ...]) -> bool:
        """Note what a session is called; return whether that is new."""

        def put(summary: Summary) -> bool:
            changed = (summary.title, summary.tags) != (title, tags)
            summary.title, summary.tags = title, tags
            return changed

        return await self._change(session, put)

    async def quote(self, session: str, message: str, excerpt: str) -> bool:
        """Note how a message begins that was written bit by bit, if it is still the last; return whether it is new."""

        def put(summary: Summary) -> bool:
            changed = summary.message == message and summary.excerpt != excerpt
            if changed:
                summary.excerpt = excerpt
            return changed

        return await self._change(session, put)

    async def _change(self, session: str, put: Callable[[Summary], bool]) -> bool:
        def change(connection: sqlite3.Connection) -> bool:
            number = _number(connection, session)
            if number is None:
                return False
            at_ms, summary = _get(connection, number)
            if summary is None or not put(summary):
                return False
            _put(connection, number, at_ms, summary)
            return True

        return await self._database.transaction(change)

    async def summary(self, session: str) -> Summary | None:
        """Return what is known of a session, None if nothing is: `renew` it then."""

        def read(connection: sqlite3.Connection) -> Summary | None:
            number = _number(connection, session)
            return None if number is None else _get(connection, number)[1]

        return await self._database.run(read)

    async def renew(
        self, session: str, summary: Summary, messages: Iterable[tuple[int, str]], reads: Mapping[str, int], now_ms: int
    ) -> None:
        """Put what a session itself says in the place of what was kept: all its messages (seq, by), and who read.

        What somebody did by this is not taken for their doing: an import says whatever its author wants.
        """
        given = [*messages]

        def put(connection: sqlite3.Connection) -> None:
            number = _number(connection, session)
            if number is None:
                return
            at_ms, known = _get(connection, number)
            if known is not None and known.seq > summary.seq:
                return  # An event was faster.
            _put(connection, number, at_ms, summary)
            connection.executemany(
                "INSERT OR REPLACE INTO listed_message VALUES (?, ?, ?)", [(number, *m) for m in given]
            )
            connection.executemany(
                f"{_JOIN} {_READ_ON}", [(number, subject, _NAMED, seq, now_ms) for subject, seq in reads.items()]
            )

        await self._database.transaction(put)

    async def unknown(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """Return sessions of which nothing is known, ids above `after`, in order of id."""
        sql = (
            "SELECT session FROM session JOIN listing USING (number) WHERE session > ? AND data = x'' "
            "AND deleted_at_ms IS NULL AND damaged = '' ORDER BY session LIMIT ?"
        )
        rows = await self._database.run(lambda connection: connection.execute(sql, (after, limit)).fetchall())
        return [session for (session,) in rows]

    # Who was seen when

    async def saw(self, times: Mapping[str, int]) -> None:
        """Note when subjects were last here, in Unix ms."""
        rows = [*times.items()]
        sql = "INSERT INTO seen VALUES (?, ?) ON CONFLICT (subject) DO UPDATE SET at_ms = max(at_ms, excluded.at_ms)"
        await self._database.transaction(lambda connection: connection.executemany(sql, rows))

    async def anybody_seen(self) -> bool:
        """Return whether anybody ever was here."""
        sql = "SELECT EXISTS (SELECT 1 FROM seen)"
        return bool((await self._database.run(lambda connection: connection.execute(sql).fetchone()))[0])

    async def seen(self, subjects: Iterable[str]) -> Mapping[str, int]:
        """Return when these subjects were last here, of those that ever were; in Unix ms."""
        sql = "SELECT subject, at_ms FROM seen WHERE subject IN (SELECT value FROM json_each(?))"
        wanted = json.dumps([*subjects])
        return dict(await self._database.run(lambda connection: connection.execute(sql, (wanted,)).fetchall()))


def _number(connection: sqlite3.Connection, session: str) -> int | None:
    sql = "SELECT number FROM session WHERE session = ? AND deleted_at_ms IS NULL"
    found = connection.execute(sql, (session,)).fetchone()
    return None if found is None else int(found[0])


def _standings(connection: sqlite3.Connection, number: int, subjects: str) -> Mapping[str, Standing]:
    """Return how subjects (a JSON array) stand to a session: its messages are read once for all of them."""
    found = connection.execute(
        "SELECT subject, read_seq, archived FROM standing "
        "WHERE number = ? AND subject IN (SELECT value FROM json_each(?))",
        (number, subjects),
    ).fetchall()
    if not found:
        return {}
    oldest = min(read_seq for _, read_seq, _ in found)
    messages = connection.execute(
        'SELECT seq, "by" FROM listed_message WHERE number = ? AND seq > ? ORDER BY seq DESC LIMIT ?',
        (number, oldest, UNREAD_MAX + 1),
    ).fetchall()
    seqs = [seq for seq, _ in reversed(messages)]
    own: dict[str, list[int]] = {}
    for seq, by in reversed(messages):
        own.setdefault(by, []).append(seq)
    standings = {}
    for subject, read_seq, archived in found:
        mine = own.get(subject, [])
        unread = len(seqs) - bisect_right(seqs, read_seq) - (len(mine) - bisect_right(mine, read_seq))
        if unread < UNREAD_MAX < len(seqs) and read_seq < seqs[0]:  # Of these many are its own.
            unread = connection.execute(_UNREAD, (number, read_seq, subject, UNREAD_MAX)).fetchone()[0]
        standings[subject] = Standing(read_seq, bool(archived), min(unread, UNREAD_MAX))
    return standings


def _named(patterns: Iterable[str]) -> tuple[str, tuple[object, ...]]:
    """Return what to select from, to look at the listings of the sessions that `patterns` name; and its parameters."""
    given = set(patterns)
    if "*" in given:
        return "listing", ()
    exact = json.dumps([pattern for pattern in given if not pattern.endswith("*")])
    prefixes = json.dumps([pattern[:-1] for pattern in given if pattern.endswith("*")])
    # Ids hold nothing above `z`, whose successor is `{`.
    named = """(
        SELECT number FROM session WHERE session IN (SELECT value FROM json_each(?)) UNION
        SELECT number FROM json_each(?) CROSS JOIN session ON session >= value AND session < value || '{'
    ) AS named CROSS JOIN listing ON listing.number = named.number"""
    return named, (exact, prefixes)


def _place(after: str) -> tuple[int, int]:
    at_ms, _, number = after[:40].partition(".")
    beginning = (1 << 62, 0)
    if not (at_ms.isascii() and at_ms.isdigit() and number.isascii() and number.isdigit()):
        return beginning
    place = int(at_ms), int(number)
    return place if max(place) < 1 << 62 else beginning
