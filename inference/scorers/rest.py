"""How long to ask nothing after a refusal: longer with each in a row, and not at all after an answer."""

FIRST_SECONDS, LONGEST_SECONDS = 0.25, 5.0


class Rest:
    """Rests of `first` seconds, doubled with each refusal in a row up to `longest`. Times are the caller's, in
    seconds."""

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
        """Seconds that are left of the rest; 0 where there is none."""
        return max(0.0, self._until - now)
