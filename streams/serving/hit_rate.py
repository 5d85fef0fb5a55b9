"""Judging lists on live events: a person's next like says whether their last list had it, and who else would have.

The last list of each person is kept in memory with the items that would have stood in it without the model, and the
popular ones: the three answer for the same like, so that their hit ratios can be compared.
"""

from collections import OrderedDict
from typing import NamedTuple

from schemas.events import Event
from streams.fold.context import sentiment
from streams.metrics import HITS, Metrics
from streams.ranking.blend import Remembered
from streams.ranking.comparison import Compared

MAX_REMEMBERED = 4_096
"""People whose last list is kept to be judged; 40 bytes a candidate each."""

JUDGED = 10
"""How many entries of a list are looked at."""


class Last(NamedTuple):
    """The last list of a user, as far as judging and learning need it.

    `compared` has `JUDGED` items of each at most; None where the list is outside the sample that is judged.
    """

    scene: str
    compared: Compared | None
    remembered: Remembered


class Judge:
    """Keeps the last lists of `most` people, those served last, and counts in `metrics` which would have hit."""

    def __init__(self, metrics: Metrics, most: int = MAX_REMEMBERED) -> None:
        self._metrics = metrics
        self._most = most
        self._last: OrderedDict[str, tuple[int, Last]] = OrderedDict()

    def keep(self, user: str, last: Last, partition: int) -> None:
        self._last[user] = partition, last
        self._last.move_to_end(user)
        if len(self._last) > self._most:
            self._last.popitem(last=False)

    def drop(self, user: str) -> bool:
        """Forget a person's last list; whether there was one."""
        return self._last.pop(user, None) is not None

    def forget(self, partition: int) -> None:
        """Forget everybody of a partition that is no longer ours."""
        for user in [user for user, (of, _) in self._last.items() if of == partition]:
            del self._last[user]

    def judge(self, event: Event) -> Last | None:
        """The list that `event` judges; None unless it is a like of somebody whose last list is kept."""
        _, last = self._last.get(event.user, (0, None))
        if last is None or event.item is None or sentiment(event.kind, event.value) <= 0:
            return None
        if last.compared is not None:
            self._metrics.judged.inc()
            for of, items in zip(HITS, last.compared, strict=True):
                if event.item in items:
                    self._metrics.hits.labels(of).inc()
        return last
