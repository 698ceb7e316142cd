"""Ids: their grammar, and how they are made."""

import uuid

import pytest

from syncd.core.ids import is_id, is_subject, new_client_id, uuid7


@pytest.mark.parametrize("good", ["a", "A-Z_9", "x" * 64, uuid7(0, bytes(10))])
def test_ids(good: str) -> None:
    """One to 64 letters, digits, dashes and underscores."""
    assert is_id(good)


@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "a/b", "..", "a\n", "a\x00", "ä", "a%2f", None, 5, b"a"])
def test_what_is_no_id(bad: object) -> None:
    """Nothing that a path, a query or a line could be made of."""
    assert not is_id(bad)


@pytest.mark.parametrize(("text", "good"), [
    ("user:mona", True), ("agent:planner 2", True), ("server:", True), ("user:é漢", True), ("user:" + "x" * 110, True),
    ("user", False), (":x", False), ("User:x", False), ("user:a\nb", False), ("user:" + "x" * 111, False), (5, False),
    ("user:\ud800", False),
])  # fmt: skip
def test_subjects(text: object, good: bool) -> None:
    """A kind, a colon, a name without control characters."""
    assert is_subject(text) is good


def test_uuid7_is_one_and_sorts_by_time() -> None:
    """Version and variant are RFC 9562's; later ones sort behind."""
    made = uuid.UUID(uuid7(1_700_000_000_000, b"\xff" * 10))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == 1_700_000_000_000
    assert uuid7(1, b"\xff" * 10) < uuid7(2, bytes(10))


def test_client_ids_are_large_and_exact_in_javascript() -> None:
    """All 52 random bits count, and none is above 2^53 - 1."""
    assert new_client_id(b"\xff" * 7) == (1 << 53) - 1
    assert new_client_id(bytes(7)) == 1 << 52
