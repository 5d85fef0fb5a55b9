"""What likes say of published lists: the hit ratio, a comparison with other rankings, and training of the blend.

`streams.fold.attribution` decides which list a like is about, and whether it is a hit. This module holds, in memory
only, the data behind each list: the signals of its candidates, for the blend, and the items that three rankings would
have shown without exploration, for the comparison. A ranking has a hit if one of the open lists, as that ranking would
have made it, shows the item: so all rankings are judged over the same lists, and none pays for exploration.

The comparison and the blend leave out likes of lists that are not held: evicted, or published before the worker had
the partition. These are counted. The comparison is made for a sample of the users (`streams.ranking.comparison`).
An event that is read again after the partition started over counts once.

What a like says of the model (`streams.ranking.gain`) is told where the champion made all open lists, in one scene:
other lists do not show what asking it is worth.

While there is a challenger, a list is held with the orders of both versions (`Pair`), once they are known. A like makes
one `Comparison`, by the newest list before it. The like may come before the list is scored a second time: then it waits
for the orders, which depend on the moment of the list alone.
"""

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from schemas.models import Comparison
from streams.fold.attribution import MAX_OPEN, MAX_SHOWN, Judged
from streams.metrics import BLEND, COMPARISON, HIT, HITS, LIST, MISS, VERSIONS, WITHOUT_MODEL, Metrics
from streams.ranking.blend import Remembered
from streams.ranking.comparison import Compared
from streams.ranking.gain import PairedLike

MAX_REMEMBERED = 4_096
"""Lists held in memory, at most `MAX_OPEN` a user; 50 bytes a candidate each."""

JUDGED = MAX_SHOWN
"""How many items of another ranking are held; as many count as the list shows."""


class Pair(NamedTuple):
    """The first `JUDGED` items of a list as each of two versions orders it, without exploration. `canary`: whether the
    challenger's order was shown."""

    champion: str
    challenger: str
    of_champion: tuple[str, ...]
    of_challenger: tuple[str, ...]
    canary: bool


class Published(NamedTuple):
    """The data held of a published list. `shown`: how many of its entries count in attribution. `compared`: the first
    `JUDGED` items of the rankings compared; None if the user is not in the sample. `champion`: the champion's version
    if it made the list, else empty. `pair`: the orders of two versions; None without a challenger, or until both are
    known."""

    user: str
    partition: int
    scene: str
    shown: int
    remembered: Remembered
    compared: Compared | None = None
    champion: str = ""
    pair: Pair | None = None


class Like(NamedTuple):
    """A like that waits for the orders of a list: its item and offset, and when it came (milliseconds since 1970)."""

    item: str
    offset: int
    ts: int


MAX_LIKES = 32
"""Likes of one list that wait for its orders; further ones are counted as not remembered."""


class Judge:
    """Holds the newest `most` published lists, and counts in `metrics` what likes say of them.

    `tell` is called with each comparison of two versions and the user whose like it was; `now_ms` is its time.
    `paired` is called with each like that says what the model adds, and its partition.
    """

    def __init__(
        self,
        metrics: Metrics,
        most: int = MAX_REMEMBERED,
        *,
        tell: Callable[[str, Comparison], object] = lambda _user, _comparison: None,
        paired: Callable[[int, PairedLike], object] = lambda _partition, _like: None,
        now_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        self._metrics = metrics
        self._most = most
        self._tell = tell
        self._paired = paired
        self._now_ms = now_ms
        self._lists: OrderedDict[str, Published] = OrderedDict()
        self._of: dict[str, list[str]] = {}
        self._awaited: dict[str, list[Like]] = {}
        """Likes by the list whose orders they wait for; empty for a list without a like so far."""
        self._unpaired: set[str] = set()
        """Lists whose orders will not come."""
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

    def holds(self, name: str) -> bool:
        return name in self._lists

    def expect(self, name: str) -> None:
        """The orders of a list will come (`pair`), or not (`give_up`): likes of it wait until then."""
        if name in self._lists:
            self._awaited.setdefault(name, [])

    def pair(self, name: str, pair: Pair) -> None:
        """Hold the orders of two versions with a list, if that is held, and compare by the likes that waited."""
        published = self._lists.get(name)
        if published is not None:
            published = self._lists[name] = published._replace(pair=pair)
            for like in self._awaited.pop(name, ()):
                self._compare_versions(name, published, pair, like)

    def give_up(self, name: str) -> None:
        """No orders of this list will come; its likes, those that waited and later ones, are counted."""
        if name in self._awaited and name in self._lists:
            self._unpaired.add(name)
        self._metrics.unremembered.labels(VERSIONS).inc(len(self._awaited.pop(name, ())))

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
        self._compare(partition, judged)
        self._take_like(judged, offset)
        about = self._lists.get(judged.list)
        if about is None:
            self._metrics.unremembered.labels(BLEND).inc()
        return about

    def _compare(self, partition: int, judged: Judged) -> None:
        places: dict[str, list[int]] = {of: [] for of in HITS}
        made: set[tuple[str, str]] = set()
        for name in judged.open:
            held = self._lists.get(name)
            if held is None:
                self._metrics.unremembered.labels(COMPARISON).inc()
                return
            if held.compared is None:
                return
            for of, items in zip(HITS, held.compared, strict=True):
                places[of] += [place for place, item in enumerate(items[: held.shown]) if item == judged.item]
            made.add((held.scene, held.champion))
        self._metrics.judged.inc()
        best = {of: min(found, default=None) for of, found in places.items()}
        for of, place in best.items():
            if place is not None:
                self._metrics.hits.labels(of).inc()
        scene, champion = made.pop() if len(made) == 1 else ("", "")
        if champion:
            self._paired(partition, PairedLike(scene, champion, best[LIST], best[WITHOUT_MODEL]))

    def _take_like(self, judged: Judged, offset: int) -> None:
        """Compare two versions by a like, or have it wait for the orders of the newest list before it."""
        name = judged.open[0] if judged.open else ""
        published = self._lists.get(name)
        if published is None:
            return
        like = Like(judged.item, offset, self._now_ms())
        if published.pair is not None:
            self._compare_versions(name, published, published.pair, like)
        elif len(self._awaited.get(name, ())) < MAX_LIKES and name in self._awaited:
            self._awaited[name].append(like)
        elif name in self._awaited or name in self._unpaired:
            self._metrics.unremembered.labels(VERSIONS).inc()

    def _compare_versions(self, name: str, published: Published, pair: Pair, like: Like) -> None:
        self._tell(
            published.user,
            Comparison(
                id=comparison_id(name, published.partition, like.offset),
                list=name,
                scene=published.scene,
                ts=like.ts,
                champion=pair.champion,
                challenger=pair.challenger,
                champion_hit=like.item in pair.of_champion[: published.shown],
                challenger_hit=like.item in pair.of_challenger[: published.shown],
                canary=pair.canary,
            ),
        )

    def _remove(self, name: str) -> None:
        published = self._lists.pop(name)
        self.give_up(name)
        self._unpaired.discard(name)
        names = self._of[published.user]
        names.remove(name)
        if not names:
            del self._of[published.user]


def comparison_id(name: str, partition: int, offset: int) -> str:
    """The id of what the event at `offset` says of a list: the same each time that the event is read."""
    return blake2b(f"{name}:{partition}:{offset}".encode(), digest_size=16).hexdigest()
