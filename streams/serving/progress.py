"""How far a long job is, and how long the rest takes at the rate of late. Pure: the time is passed in, in seconds."""

from collections import deque

WINDOW_SECONDS = 30.0
LEAST_SECONDS = 3.0
"""A rate over less than this says little."""


class Progress:
    """The rate of a job over the last `WINDOW_SECONDS`. At most one mark a second is kept."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()

    def at(self, now: float, done: float) -> None:
        """`done` is done by now; if that is less than before, the job started over.

        A time in which nothing was done, at the beginning of the window, is no part of the rate.
        """
        marks = self._marks
        if marks and (done < marks[-1][1] or done == marks[0][1]):
            marks.clear()
        if len(marks) > 1 and now - marks[-2][0] < 1.0:
            marks.pop()
        marks.append((now, done))
        while len(marks) > 2 and now - marks[1][0] >= WINDOW_SECONDS:
            marks.popleft()

    def rate(self) -> float:
        """Done a second, 0 while that is not known."""
        if len(self._marks) < 2:
            return 0.0
        (first, before), (last, done) = self._marks[0], self._marks[-1]
        return (done - before) / (last - first) if last - first >= LEAST_SECONDS else 0.0

    def seconds_left(self, left: float) -> float | None:
        """How long what is `left` takes at that rate; None while that is not known."""
        rate = self.rate()
        if left <= 0:
            return 0.0
        return left / rate if rate > 0 else None


def spoken(seconds: float | None) -> str:
    """A remaining time as people say it: "about 2 min left"."""
    if seconds is None:
        return "time left unknown"
    if seconds < 60:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"
