"""What likes say of published lists: the hit ratio, a comparison with other rankings, and training of the blend.

`streams.fold.attribution` decides which list a like is about, and whether it is a hit. This module holds, in memory
only, the data behind each list: the signals of its candidates, for the blend, and the items that two other rankings
would have shown, for the comparison. A ranking has a hit if one of the open lists, as that ranking would have made it,
shows the item: so all rankings are judged over the same lists.

The comparison and the blend leave out likes of lists that are not held: evicted, or published before the worker had
the partition. These are counted. The comparison is made for a sample of the users (`streams.ranking.comparison`).
An event that is read again after the partition started over counts once.
"""

from collections import OrderedDict
from typing import NamedTuple

from streams.fold.attribution import MAX_OPEN, MAX_SHOWN, Judged
from streams.metrics import BLEND, COMPARISON, HIT, LIST, MISS, POPULARITY, WITHOUT_MODEL, Metrics
from streams.ranking.blend import Remembered
from streams.ranking.comparison import Compared

MAX_REMEMBERED = 4_096
"""Lists held in memory, at most `MAX_OPEN` a user; 40 bytes a candidate each."""

JUDGED = MAX_SHOWN
"""How many items of another ranking are held; as many count as the list shows."""


class Published(NamedTuple):
    """The data held of a published list. `shown`: how many of its entries count in attribution. `compared`: the first
    `JUDGED` items of other rankings; None if the user is not in the sample."""

    user: str
    partition: int
    scene: str
    shown: int
    remembered: Remembered
    compared: Compared | None = None


class Judge:
    """Holds the newest `most` published lists, and counts in `metrics` what likes say of them."""

    def __init__(self, metrics: Metrics, most: int = MAX_REMEMBERED) -> None:
        self._metrics = metrics
        self._most = most
        self._lists: OrderedDict[str, Published] = OrderedDict()
        self._of: dict[str, list[str]] = {}
        self._judged_to: dict[int, int] = {}

    def keep(self, name: str, published: Published) -> None:
        """Hold the list with the id `name`; evicts the user's oldest beyond `MAX_OPEN`, then the oldest of all."""
        if name in self._lists:
            self._remove(name)
        self._lists[name] = published
        names = self._of.setdefault(published.user, [])
        names.append(name)
        if len(names) > MAX_OPEN:
            self._remove(names[0])
        if len(self._lists) > self._most:
            self._remove(next(iter(self._lists)))

    def drop(self, user: str) -> bool:
        """Drop a user's lists; whether there were any."""
        names = list(self._of.get(user, ()))
        for name in names:
            self._remove(name)
        return bool(names)

    def forget(self, partition: int) -> None:
        """Drop the lists of a partition that is no longer ours."""
        for name in [name for name, published in self._lists.items() if published.partition == partition]:
            self._remove(name)

    def judge(self, partition: int, judged: Judged, offset: int) -> Published | None:
        """Count the result of the like at `offset`; returns the list that it is about, if that is held."""
        if offset <= self._judged_to.get(partition, -1):
            return None
        self._judged_to[partition] = offset
        self._metrics.likes.labels(MISS if judged.position is None else HIT).inc()
        self._compare(judged)
        about = self._lists.get(judged.list)
        if about is None:
            self._metrics.unremembered.labels(BLEND).inc()
        return about

    def _compare(self, judged: Judged) -> None:
        hits = {LIST: judged.position is not None, WITHOUT_MODEL: False, POPULARITY: False}
        for name in judged.open:
            held = self._lists.get(name)
            if held is None:
                self._metrics.unremembered.labels(COMPARISON).inc()
                return
            if held.compared is None:
                return
            hits[WITHOUT_MODEL] |= judged.item in held.compared.without_model[: held.shown]
            hits[POPULARITY] |= judged.item in held.compared.popular[: held.shown]
        self._metrics.judged.inc()
        for of, hit in hits.items():
            if hit:
                self._metrics.hits.labels(of).inc()

    def _remove(self, name: str) -> None:
        published = self._lists.pop(name)
        names = self._of[published.user]
        names.remove(name)
        if not names:
            del self._of[published.user]
