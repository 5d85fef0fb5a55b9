"""Exponential backoff after refusals; an answer resets it."""

FIRST_SECONDS, LONGEST_SECONDS = 0.25, 5.0


class Rest:
    """A pause of `first` seconds after a refusal, doubled with each consecutive one up to `longest`. Callers pass in
    times, in seconds."""

    def __init__(self, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._first, self._longest = first, longest
        self._next = first
        self._until = float("-inf")

    def refused(self, now: float) -> None:
        self._until = now + self._next
        self._next = min(2 * self._next, self._longest)

    def answered(self) -> None:
        self._next = self._first

    def left(self, now: float) -> float:
        """Seconds left of the pause, or 0."""
        return max(0.0, self._until - now)
