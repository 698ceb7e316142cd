"""Bindings: a client id belongs to one subject for ever."""

import pytest

from syncd.core.bindings import Bindings
from syncd.core.errors import Rejected


def test_an_id_never_changes_its_subject() -> None:
    """Free once, then the first subject's; asking for it as somebody else is refused."""
    bindings = Bindings(ids_max=10)
    assert bindings.unbound("user:a", [1, 2]) == [1, 2]
    bindings.bind("user:a", [1, 2])
    assert bindings.unbound("user:a", [1, 3]) == [3]
    with pytest.raises(Rejected) as error:
        bindings.unbound("user:b", [3, 1])
    assert error.value.code == "foreign_client_id"
    assert (bindings.owner(1), bindings.owner(3)) == ("user:a", None)


def test_no_more_ids_than_the_session_may_have() -> None:
    """Known ids stay usable when it is full."""
    bindings = Bindings(ids_max=2)
    bindings.bind("user:a", [1, 2])
    assert bindings.unbound("user:a", [1, 2]) == []
    with pytest.raises(Rejected) as error:
        bindings.unbound("user:a", [3])
    assert error.value.code == "session_full"
    assert len(bindings) == 2


def test_exported_bindings_make_equal_ones() -> None:
    """Subject to its ids, for the log."""
    bindings = Bindings(ids_max=9)
    bindings.bind("user:a", [1, 3])
    bindings.bind("user:b", [2])
    assert bindings.export() == {"user:a": [1, 3], "user:b": [2]}
