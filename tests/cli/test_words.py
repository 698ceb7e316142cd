"""Words of others on a terminal."""

from hypothesis import given
from hypothesis import strategies as st

from syncd.cli.words import ago, clean, plural, size


@given(st.text())
def test_nothing_cleaned_is_obeyed_by_a_terminal(text: str) -> None:
    """No control character but the line break survives, C1 ones included, nor anything that turns the direction."""
    shown = clean(text)

    assert not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert "\n" not in clean(text, lines=False)


def test_words_stay_as_they_are() -> None:
    """Emoji, accents and right-to-left letters are nobody's harm."""
    text = "héllo 😀 שלום مرحبا 👩‍👩‍👧\nsecond line"

    assert clean(text) == text


def test_figures_as_people_read_them() -> None:
    """Counts, sizes and times."""
    assert (plural(1, "edit"), plural(2, "edit")) == ("1 edit", "2 edits")
    assert (size(12), size(1_500), size(2_500_000), size(3e9)) == ("12 B", "1.5 kB", "2.5 MB", "3.0 GB")
    assert (ago(0, 59_000), ago(0, 60_000), ago(0, 7_200_000), ago(0, 3 * 86_400_000)) == (
        "just now",
        "1 min ago",
        "2 h ago",
        "3 d ago",
    )
