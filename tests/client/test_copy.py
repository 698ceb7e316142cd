"""The local copy, as a session uses it."""

import gc

import pytest
from syncd_client.copy import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_collecting_goes_on_after_a_large_load(enabled: bool) -> None:
    """Garbage is not looked for meanwhile; afterwards it is as it was before, also when the load failed."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(LookupError), uncollected():
            _fail()
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()


def _fail() -> None:
    assert not gc.isenabled()
    raise LookupError
