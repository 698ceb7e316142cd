"""Vectors of the search: which words a text has, what a query asks for, and how a match is shown. Not on the wire."""

from syncd.store.search import excerpt, matches, phrases, words
from tests.vectors.vector import Vectors

#: Text and query. No isolates in the texts: the store takes them out, to mark matches by them.
_CASES = [
    ("Hello, World!", "hello"),
    ("Hello, World!", "WOR"),
    ("Hello, World!", "wor hello"),
    ("Hello, World!", "hello world"),
    ("Hello, World!", "hello,world"),
    ("Hello, World!", "world,hello"),
    ("Hello, World!", "planet"),
    ("snake_case 3.14", "snake 3.1"),
    ("Straße É é cafe\u0301 caf\u00e9", "strasse cafe"),
    ("STRASSE STRAẞE", "straße"),
    ("ΣΟΦΟΣ σοφός", "σοφος"),
    ("Ἀθῆναι, Тётя Ёлка", "αθηναι тетя елка"),
    ("会议 ok会", "ok会"),
    ("要开会议记录", "会议"),
    ("要开会议记录", "议会"),
    ("カタ도움 ｶﾀ", "도움"),
    ("ｶﾞ ガ", "ガ"),
    ("nice👍🏽🎉", "👍🎉"),
    ("ﬁn ２３ Ⅻ", "fin 23 xii"),
    ("हिन्दी भाषा", "हिन्दी"),
    ("สวัสดีครับ", "ดีครับ"),
    ("שָׁלוֹם עולם", "שלום"),
    ("مَرْحَبًا", "مرحبا"),
    ("don't stop", "don't"),
    ('quotes "as they are" * NEAR(', '"as they" near'),
    ("line\nbreak\ttab", "break tab"),
    ("x " * 100 + "needle" + " y" * 100, "needle"),
    ("é" * 300 + " nadel " + "ü" * 300, "nadel"),
    ("tram " * 50, "tram"),
    ("the tram, a tram and the tramway", "the tram"),
    ("nothing", ""),
    ("nothing", "… — ?!"),
    ("", "needle"),
]


def search_vectors() -> Vectors:
    """Return each text and query with all that is found."""
    return {"cases": [_case(text, query) for text, query in _CASES]}


def _case(text: str, query: str) -> Vectors:
    wanted = phrases(query)
    return {
        "text": text,
        "query": query,
        "words": [word.folded for word in words(text)],
        "phrases": wanted,
        "matches": matches(text, wanted),
        "excerpt": excerpt(text, wanted) if wanted else "",
    }
