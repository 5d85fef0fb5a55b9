"""The recent rate of a long job, and the time left at that rate. Pure: the time is passed in, in seconds."""

from collections import deque

WINDOW_SECONDS = 30.0
LEAST_SECONDS = 3.0
"""A rate over a shorter time is not used."""


class Rate:
    """The rate of a job over the last `WINDOW_SECONDS`. Keeps at most one mark per second."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, float]] = deque()

    def at(self, now: float, done: float) -> None:
        """`done` is done by now; a smaller number than before means that the job started over.

        Idle time at the beginning of the window does not count.
        """
        marks = self._marks
        if marks and (done < marks[-1][1] or done == marks[0][1]):
            marks.clear()
        if len(marks) > 1 and now - marks[-2][0] < 1.0:
            marks.pop()
        marks.append((now, done))
        while len(marks) > 2 and now - marks[1][0] >= WINDOW_SECONDS:
            marks.popleft()

    def a_second(self) -> float:
        """Done per second; 0 while unknown."""
        if len(self._marks) < 2:
            return 0.0
        (first, before), (last, done) = self._marks[0], self._marks[-1]
        return (done - before) / (last - first) if last - first >= LEAST_SECONDS else 0.0

    def seconds_left(self, left: float) -> float | None:
        """The time for what is `left` at that rate; None while unknown."""
        rate = self.a_second()
        if left <= 0:
            return 0.0
        return left / rate if rate > 0 else None


def spoken(seconds: float | None) -> str:
    """A remaining time in words: "about 2 min left"."""
    if seconds is None:
        return "time left unknown"
    if seconds < 60:
        return f"about {max(5, 5 * round(seconds / 5))} s left"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min left"
    return f"about {seconds / 3600:.1f} h left"
