"""Progress of the model's reading of the catalogue, and when lists can begin. Pure: time is passed in."""

from streams.serving.rate import Rate, spoken

USEFUL = 300
"""Films to read before lists begin. The most popular are read first; 300 of them get six of ten live ratings."""

FEW, SOON_SECONDS = 50, 60.0
"""After `SOON_SECONDS`, `FEW` films are enough."""

AT_LAST_SECONDS = 300.0
"""After this long, lists begin however many films are read."""


class Reading:
    """Progress of reading `total` films."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._progress = Rate()

    def enough(self, read: int, waited: float) -> bool:
        """Whether lists can begin, `waited` seconds after everything else was ready."""
        return read >= min(USEFUL, self._total) or (read >= FEW and waited >= SOON_SECONDS) or waited >= AT_LAST_SECONDS

    def told(self, read: int, now: float) -> str:
        """The progress message while films are unread."""
        self._progress.at(now, read)
        left = spoken(self._progress.seconds_left(self._total - read))
        return f"{read:,} of {self._total:,} films read, {left}"
