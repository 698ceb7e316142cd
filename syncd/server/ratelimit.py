"""Rate limits: a token bucket, and a bounded set of them by key.

Pure: the time comes in, in seconds of any clock that does not jump. Knows nothing of requests or sockets.
"""

from collections import OrderedDict

#: Keys one set remembers. Beyond it the one not seen for longest is forgotten, which frees it: better than to grow.
KEYS_MAX = 10_000


class TokenBucket:
    """Allows `rate` units a second and `burst` at once.

    1. Never holds more than `burst`.
    2. May go into debt: what came has come. The debt is what the sender has to wait for.
    """

    __slots__ = ("_burst", "_left", "_rate", "_seen")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._seen: float | None = None

    def take(self, n: float, now: float) -> float:
        """Take `n` units and return 0.0, or the seconds to wait before anything more is read (they are taken anyway).

        For what has come already and cannot be sent back. A link's frames have a `Pace`.
        """
        self._refill(now)
        self._left -= n  # Invariant 2.
        return max(0.0, -self._left / self._rate)

    def wait_s(self, n: float, now: float) -> float:
        """Return how long until `n` units can be taken without debt, 0.0 for at once. Takes nothing.

        For requests, which can be refused: what was refused is not charged.
        """
        self._refill(now)
        return max(0.0, (min(n, self._burst) - self._left) / self._rate)

    def _refill(self, now: float) -> None:
        if self._seen is not None and now > self._seen:
            self._left = min(self._burst, self._left + (now - self._seen) * self._rate)  # Invariant 1.
        self._seen = now if self._seen is None else max(self._seen, now)


class Pace:
    """How fast one link may send, in frames and in bytes: two token buckets of one clock, in one step for each frame.

    1. As `TokenBucket`, each of them.
    """

    __slots__ = ("_burst", "_byte_burst", "_byte_rate", "_bytes", "_frames", "_rate", "_seen")

    def __init__(self, frames_per_s: float, frames_burst: float, bytes_per_s: float, bytes_burst: float) -> None:
        self._rate = frames_per_s
        self._burst = self._frames = float(frames_burst)
        self._byte_rate = bytes_per_s
        self._byte_burst = self._bytes = float(bytes_burst)
        self._seen = 0.0

    def take(self, size: int, now: float) -> float:
        """Take one frame of `size` bytes; return the seconds to wait before anything more is read, 0.0 for none."""
        past_s = now - self._seen
        if past_s > 0.0:
            self._seen = now
            self._frames = min(self._burst, self._frames + past_s * self._rate)
            self._bytes = min(self._byte_burst, self._bytes + past_s * self._byte_rate)
        self._frames -= 1.0
        self._bytes -= size
        if self._frames >= 0.0 and self._bytes >= 0.0:
            return 0.0
        return max(-self._frames / self._rate, -self._bytes / self._byte_rate)


class Buckets:
    """One `TokenBucket` per key, such as a subject or an address.

    1. Never more than `keys_max`; the key not used for longest goes first.
    """

    def __init__(self, rate: float, burst: float, *, keys_max: int = KEYS_MAX) -> None:
        self._rate = rate
        self._burst = burst
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def __getitem__(self, key: str) -> TokenBucket:
        """Return the bucket of `key`, a full one if it was not known."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst)
            if len(self._buckets) > self._keys_max:
                self._buckets.popitem(last=False)  # Invariant 1.
        else:
            self._buckets.move_to_end(key)
        return bucket

    def admit(self, key: str, now: float) -> float:
        """Take one unit of `key` and return 0.0, or take nothing and return the seconds until there is one."""
        bucket = self[key]
        wait_s = bucket.wait_s(1, now)
        if wait_s == 0.0:
            bucket.take(1, now)
        return wait_s
