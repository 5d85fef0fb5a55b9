"""How far the model has read the catalogue: when lists can begin, and what is said of it. Pure: time is passed in."""

from streams.serving.rate import Rate, spoken

USEFUL = 300
"""Films: the most popular are read first, and 300 of them have six of ten live ratings."""

FEW, SOON_SECONDS = 50, 60.0
"""After so long these many films will do."""

AT_LAST_SECONDS = 300.0
"""After so long lists begin whatever is read."""


class Reading:
    """The reading of `total` films."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._progress = Rate()

    def enough(self, read: int, waited: float) -> bool:
        """Whether lists can begin, `waited` seconds after everything else was ready."""
        return read >= min(USEFUL, self._total) or (read >= FEW and waited >= SOON_SECONDS) or waited >= AT_LAST_SECONDS

    def told(self, read: int, now: float) -> str:
        """What is said while films are unread."""
        self._progress.at(now, read)
        left = spoken(self._progress.seconds_left(self._total - read))
        return f"{read:,} of {self._total:,} films read, {left}"
