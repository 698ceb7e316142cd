"""Grants: which rights on which session, until when."""

from syncd.core.grant import ALL_RIGHTS, MEMBER_RIGHTS, Grant, Right


def grant(*sessions: tuple[str, frozenset[Right]], expires_at: float | None = None) -> Grant:
    return Grant("user:a", "a", "user", sessions, expires_at)


def test_the_closest_pattern_counts() -> None:
    """An exact id before any prefix, a longer prefix before a shorter one, whatever their order."""
    none = frozenset[Right]()
    found = grant(("*", none), ("team-*", MEMBER_RIGHTS), ("team-x*", ALL_RIGHTS), ("team-xy", none))
    assert found.rights("other") == none
    assert found.rights("team-1") == MEMBER_RIGHTS
    assert found.rights("team-xz") == ALL_RIGHTS
    assert found.rights("team-xy") == none


def test_a_session_that_is_not_named_has_no_rights_at_all() -> None:
    """None is not the empty set: reading needs to be named too."""
    assert grant(("a", ALL_RIGHTS)).rights("ab") is None
    assert grant(("a*", ALL_RIGHTS)).rights("b") is None
    assert grant().rights("a") is None


def test_expiry_has_no_grace() -> None:
    """At its end it is over."""
    assert not grant(expires_at=5.0).expired(4.999)
    assert grant(expires_at=5.0).expired(5.0)
    assert not grant().expired(1e12)
