"""The token bucket and the bounded set of them."""

import pytest

from syncd.server.ratelimit import Buckets, TokenBucket


def test_burst_passes_at_once_then_the_rate() -> None:
    """So many at once, then one every 1/rate seconds."""
    bucket = TokenBucket(10, 3)

    assert [bucket.take(1, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(1, 0.0) == pytest.approx(0.1)
    assert bucket.take(1, 0.3) == 0.0


def test_debt_is_paid_in_time() -> None:
    """A large piece is taken whole, and the wait is as long as it deserves."""
    bucket = TokenBucket(100, 10)

    assert bucket.take(1_010, 0.0) == pytest.approx(10.0)
    assert bucket.wait_s(1, 5.0) == pytest.approx(5.01)
    assert bucket.take(0, 10.0) == pytest.approx(0.0)


def test_idle_time_is_not_saved_beyond_the_burst() -> None:
    """A day of silence allows one burst, no more."""
    bucket = TokenBucket(10, 3)
    bucket.take(3, 0.0)

    assert bucket.take(3, 86_400.0) == 0.0
    assert bucket.take(1, 86_400.0) > 0.0


def test_clock_that_steps_back_gives_nothing() -> None:
    """Time that runs backwards neither refills nor robs."""
    bucket = TokenBucket(10, 3)
    bucket.take(3, 100.0)

    assert bucket.take(1, 50.0) == pytest.approx(0.1)
    assert bucket.wait_s(1, 100.0) == pytest.approx(0.2)


def test_refusal_is_not_charged() -> None:
    """Whoever asks too often while waiting does not wait longer for it."""
    buckets = Buckets(1, 1)

    assert buckets.admit("a", 0.0) == 0.0
    assert [buckets.admit("a", 0.0) for _ in range(100)] == [1.0] * 100
    assert buckets.admit("a", 1.0) == 0.0


def test_more_than_the_burst_waits_for_a_full_bucket() -> None:
    """A piece larger than the bucket is not refused for ever."""
    assert TokenBucket(1, 2).wait_s(5, 0.0) == 0.0


def test_keys_do_not_share_and_do_not_pile_up() -> None:
    """One key's debt is its own; the key not used for longest is forgotten."""
    buckets = Buckets(1, 1, keys_max=2)
    buckets.admit("a", 0.0)
    buckets.admit("b", 0.0)
    assert buckets.admit("a", 0.0) > 0.0
    buckets.admit("c", 0.0)

    assert len(buckets) == 2
    assert buckets.admit("a", 0.0) > 0.0
    assert buckets.admit("b", 0.0) == 0.0
