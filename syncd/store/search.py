"""The search index over message texts, as both the server's log and the local store keep it.

Words are found here, not by SQLite, whose tokenizers take a Chinese sentence for one word and skip emoji: letters and
digits make words, folded in case and accents; each character of a script written without spaces, and each emoji, is a
word of its own, so that any run of them is found as a phrase. FTS5 gets the words apart by spaces. Functions take a
connection and run on its thread. Knows nothing of sessions' logs.
"""

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from syncd.store.log import SearchHit

#: Part of a store's schema: kept as it is once released.
SEARCH_TABLES = (
    """CREATE TABLE message (
        row INTEGER PRIMARY KEY, session TEXT NOT NULL, message TEXT NOT NULL,
        author TEXT NOT NULL, at_ms INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE (session, message)
    )""",
    # The ascii tokenizer leaves everything beyond ASCII alone: the words come through as they were made here.
    "CREATE VIRTUAL TABLE message_words USING fts5 (words, tokenize = 'ascii')",
)

#: Characters of an excerpt, and of it those before the first match.
EXCERPT_CHARS = 160
_LEAD_CHARS = 40
#: Words of a query that count: more would be a document, not a query.
_QUERY_WORDS_MAX = 32
#: Pages one step of `purge` rewrites: about 2 ms.
_PURGE_PAGES = 500

# Thai, Lao, Burmese, Khmer, kana, Han, Hangul; arrows to symbols, emoji without the skin tones.
_SINGLE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\uff66-\uff9f\u2190-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff\U00020000-\U0003ffff"
)
_ACCENTS = "\u0300-\u036f"
_WORD = re.compile(f"[{_SINGLE}]|[^\\W_{_SINGLE}]+(?:[{_ACCENTS}]+[^\\W_{_SINGLE}]*)*")
_OPEN, _CLOSE = "\u2068", "\u2069"


class Word(NamedTuple):
    """A word as it is compared, and where it stands in its text."""

    folded: str
    start: int
    end: int


def words(text: str) -> Iterator[Word]:
    """Yield the words of `text` in order."""
    for match in _WORD.finditer(text):
        folded = match[0]
        if not folded.isascii():
            parts = unicodedata.normalize("NFKD", folded)
            folded = unicodedata.normalize("NFC", "".join(c for c in parts if not unicodedata.combining(c)))
        yield Word(folded.casefold(), match.start(), match.end())


def phrases(query: str) -> list[list[str]]:
    """Return the folded words of each blank-separated part of `query`; parts that hold none are left out."""
    found = ([word.folded for word in words(part)] for part in query.split())
    return list(islice((phrase for phrase in found if phrase), _QUERY_WORDS_MAX))


def excerpt(text: str, query: Sequence[Sequence[str]]) -> str:
    """Return the piece of `text` around the first match, every match in it marked. The last phrase is a prefix."""
    spans: list[tuple[int, int]] = []
    window: list[Word] = []
    longest = max(map(len, query))
    ahead = words(text)
    while True:
        window += islice(ahead, longest - len(window))
        if not window or (spans and window[0].start > spans[0][0] + EXCERPT_CHARS - _LEAD_CHARS):
            break
        length = max((_matched(window, phrase, phrase is query[-1]) for phrase in query), default=0)
        if length:
            spans.append((window[0].start, window[length - 1].end))
        del window[: length or 1]
    begin = max(0, spans[0][0] - _LEAD_CHARS) if spans else 0
    end = begin + EXCERPT_CHARS
    out, at = [], begin
    for start, stop in spans:
        if start < end:
            out += [_plain(text[at:start]), _OPEN, _plain(text[start:stop]), _CLOSE]
            at = stop
    tail = _plain(text[at : max(at, end)])
    return ("…" if begin else "") + "".join(out) + tail + ("…" if max(at, end) < len(text) else "")


def put(connection: sqlite3.Connection, session: str, message: str, author: str, text: str, at_ms: int) -> None:
    """Index one message in place of what was indexed under its id; an empty `text` takes it out."""
    drop(connection, session, [message])
    if text:
        row = connection.execute(
            "INSERT INTO message (session, message, author, at_ms, text) VALUES (?, ?, ?, ?, ?)",
            (session, message, author, at_ms, text),
        ).lastrowid
        folded = " ".join(word.folded for word in words(text))
        connection.execute("INSERT INTO message_words (rowid, words) VALUES (?, ?)", (row, folded))


def drop(connection: sqlite3.Connection, session: str, messages: Iterable[str] | None = None) -> None:
    """Take `messages`, or all, of a session out of the index. Their words stay in its file until `purge`."""
    if messages is None:
        rows = connection.execute("SELECT row FROM message WHERE session = ?", (session,)).fetchall()
    else:
        find = "SELECT row FROM message WHERE session = ? AND message = ?"
        rows = [row for message in messages for row in connection.execute(find, (session, message))]
    for row in rows:
        connection.execute("DELETE FROM message_words WHERE rowid = ?", row)
        connection.execute("DELETE FROM message WHERE row = ?", row)


def find(connection: sqlite3.Connection, query: str, sessions: Sequence[str] | None, limit: int) -> Sequence[SearchHit]:
    """Return the best `limit` messages that hold every phrase of `query`, in `sessions` or in all."""
    wanted = phrases(query)
    if not wanted or limit < 1:
        return []
    # In quotes nothing is an operator; folding may bring a quote forth, so none is let through.
    match = " AND ".join('"' + " ".join(phrase).replace('"', "") + '"' for phrase in wanted) + " *"
    rows = connection.execute(
        "SELECT message.session, message.message, message.text FROM message_words "
        "JOIN message ON message.row = message_words.rowid WHERE message_words MATCH ?1 "
        "AND (?2 IS NULL OR message.session IN (SELECT value FROM json_each(?2))) "
        "ORDER BY message_words.rank LIMIT ?3",
        (match, None if sessions is None else json.dumps(list(sessions)), limit),
    )
    return [SearchHit(session, message, excerpt(text, wanted)) for session, message, text in rows]


def purge(connection: sqlite3.Connection, *, start: bool) -> bool:
    """Rewrite some of the index without the words of messages taken out; return whether there is more to do.

    Begin with `start=True`, go on without until it returns False. FTS5 keeps deleted words until segments are merged.
    """
    before = connection.total_changes
    pages = -_PURGE_PAGES if start else _PURGE_PAGES
    connection.execute("INSERT INTO message_words (message_words, rank) VALUES ('merge', ?)", (pages,))
    return connection.total_changes - before >= 2  # FTS5 documents: less than two means nothing was left


def _matched(window: Sequence[Word], phrase: Sequence[str], prefix: bool) -> int:
    """Return how many words at the head of `window` are `phrase`, 0 if they are not."""
    have = [word.folded for word in window[: len(phrase)]]
    if have == phrase or (prefix and have[:-1] == phrase[:-1] and have[-1].startswith(phrase[-1])):
        return len(phrase)
    return 0


def _plain(text: str) -> str:
    # The marks are ours alone.
    return text.replace(_OPEN, "").replace(_CLOSE, "")


def matches(text: str, query: Sequence[Sequence[str]]) -> bool:
    """Whether `text` holds every phrase of `query`, the last one as a prefix; what `find` asks of FTS5."""
    found = list(words(text))
    return all(
        any(_matched(found[at : at + len(phrase)], phrase, phrase is query[-1]) for at in range(len(found)))
        for phrase in query
    )
