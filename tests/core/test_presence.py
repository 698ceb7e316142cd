"""Presence: one entry a peer, stamped once, published at a bounded rate."""

from syncd.core.messages import PresenceEntry
from syncd.core.presence import PresenceTable, apply_presence


def entry(peer: str, state: object = None) -> PresenceEntry:
    return PresenceEntry(peer, f"user:{peer}", peer, "user", "d", {} if state is None else state)


def test_a_peer_changes_its_state_and_nothing_else() -> None:
    """Unknown peers change nothing, and an unchanged state is not published again."""
    table = PresenceTable(per_s=10, gather_s=0.0)
    table.set(entry("a"))
    assert table.take(0.0) == (entry("a"),)
    table.update("a", {"x": 1})
    table.update("nobody", {"x": 1})
    assert table.take(1.0) == (entry("a", {"x": 1}),)
    table.update("a", {"x": 1})
    assert not table.pending()


def test_between_two_publications_the_last_state_wins() -> None:
    """What is too early waits, and is not lost."""
    table = PresenceTable(per_s=10, gather_s=0.0)
    table.set(entry("a"))
    table.take(0.0)
    for n in range(5):
        table.update("a", {"n": n})
        assert table.take(0.01 * n) == ()
        assert table.pending()
    assert table.take(0.1) == (entry("a", {"n": 4}),)


def test_leaving_is_published_at_once_and_once() -> None:
    """And nothing of the entry stays."""
    table = PresenceTable(per_s=10, gather_s=0.0)
    table.set(entry("a"))
    table.take(0.0)
    table.update("a", {"x": 1})
    table.remove("a")
    table.remove("a")
    [left] = table.take(0.0)
    assert (left.peer, left.state) == ("a", None)
    assert len(table) == 0
    assert not table.pending()


def test_who_comes_and_goes_is_gathered() -> None:
    """The first is told at once; those that come and go right after it are told together, a little later."""
    table = PresenceTable(per_s=10, gather_s=0.05)
    table.set(entry("a"))
    assert table.take(1.0) == (entry("a"),)
    table.set(entry("b"))
    table.set(entry("c"))
    table.remove("a")
    assert table.take(1.04) == ()
    assert table.pending()
    assert [(e.peer, e.state) for e in table.take(1.06)] == [("a", None), ("b", {}), ("c", {})]
    assert not table.pending()


def test_a_readers_table_follows() -> None:
    """Entries replace by peer; one without a state goes."""
    table: dict[str, PresenceEntry] = {}
    apply_presence(table, [entry("a"), entry("b"), entry("a", {"x": 1})])
    assert table["a"].state == {"x": 1}
    apply_presence(table, [PresenceEntry("a", "", "", "", "", None), PresenceEntry("c", "", "", "", "", None)])
    assert list(table) == ["b"]
