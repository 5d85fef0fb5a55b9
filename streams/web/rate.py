"""Rate limits: token buckets, and values that are renewed at a bounded rate."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Bucket:
    """At most `per_second` per second over time, and as many in a burst."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._left = per_second
        self._at = 0.0

    def take(self, now: float) -> bool:
        """Whether there is room for one more at `now` (seconds of a monotonic clock)."""
        self._left = min(self._per_second, self._left + max(0.0, now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Buckets:
    """A bucket per name, for the `most` most recent names; an evicted name starts with a full bucket."""

    def __init__(self, per_second: float, most: int) -> None:
        self._per_second = per_second
        self._most = most
        self._held: OrderedDict[str, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, name: str, now: float) -> bool:
        """Whether there is room for one more of `name` at `now`."""
        bucket = self._held.pop(name, None) or Bucket(self._per_second)
        self._held[name] = bucket
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        return bucket.take(now)


class Renewed(Generic[T]):
    """The result of `make`, renewed at most `per_second` times per second; in between, the last result.

    Clients that ask too often cost little and do not hold up others.
    """

    def __init__(self, make: Callable[[], T], per_second: float, monotonic: Callable[[], float]) -> None:
        self._make = make
        self._bucket = Bucket(per_second)
        self._monotonic = monotonic
        self._last: tuple[T] | None = None

    def __call__(self) -> T:
        if self._bucket.take(self._monotonic()) or self._last is None:
            self._last = (self._make(),)
        return self._last[0]
