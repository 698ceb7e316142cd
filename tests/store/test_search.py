"""Words, phrases and excerpts of the search index."""

import pytest

from syncd.store.search import excerpt, phrases, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("snake_case 3.14", ["snake", "case", "3", "14"]),
        ("Straße É é cafe\u0301", ["strasse", "e", "e", "cafe"]),
        ("会议 ok会", ["会", "议", "ok", "会"]),
        ("カタ도움", ["カ", "タ", "도", "움"]),
        ("nice👍🏽🎉", ["nice", "👍", "🎉"]),
        ("ﬁn ２３", ["fin", "23"]),
        ("", []),
    ],
)
def test_words_are_folded(text: str, folded: list[str]) -> None:
    """Case, accents and width do not count; a character of a script without spaces is a word."""
    assert [word.folded for word in words(text)] == folded


def test_a_query_has_bounds() -> None:
    """A document pasted as a query is cut to its first words."""
    assert len(phrases("word " * 1000)) == 32


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        ("The Quick fox", "quick", "The \u2068Quick\u2069 fox"),
        ("The quick fox", "quick fo", "The \u2068quick\u2069 \u2068fox\u2069"),
        ("要开会议记录", "会议", "要开\u2068会议\u2069记录"),
        ("a \u2068fake\u2069 mark", "mark", "a fake \u2068mark\u2069"),
        ("x " * 100 + "needle" + " y" * 100, "needle", "…" + "x " * 20 + "\u2068needle\u2069" + " y" * 57 + "…"),
        ("nothing here", "needle", "nothing here"),
        ("", "needle", ""),
    ],
)
def test_excerpt_marks_what_matched(text: str, query: str, shown: str) -> None:
    """The piece around the first match, matches between isolates that nobody else can put there."""
    assert excerpt(text, phrases(query)) == shown
