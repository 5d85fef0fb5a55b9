"""The live view: what open pages are told of events and lists, as they pass through this worker.

The list path calls `asked` and `published` while a page is open (`watching`), and nothing otherwise. The feed and the
figures are made once for all pages, `FEEDS_PER_SECOND` times per second and once per second; a whole list is made into
JSON only where a page follows its user. In memory, while pages are open: the last list and event of `MAX_RECENT` users
and of the followed ones, at about 10 KiB each.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import Counter

from schemas.events import Event
from schemas.recommendations import Recommendation
from streams.fold.context import Context, likes
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.page.guests import PREFIX
from streams.page.versions import VersionsView, pair_view
from streams.page.views import (
    Did,
    Fed,
    FedList,
    Offer,
    Pulse,
    did,
    fed_list,
    history,
    hits,
    list_view,
    namer,
    percentile,
)
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Pair
from streams.web.event_streams import Stream, Streams, message

MAX_RECENT = 256
MAX_FEED = 6
"""Events, and lists, in one message of the feed: the newest."""

MAX_TIMED = 512
"""Lists whose latency counts."""

OFFERED = 8
"""Users that a page offers to watch."""

FEEDS_PER_SECOND = 4
RATE_SECONDS = 5
NOTHING = 0.0, 0.0


@dataclass
class Seen:
    """The last event of a user that called for a list, and the last list, with what it was told with."""

    last: Event | None = None
    made: Recommendation | None = None
    before: Recommendation | None = None
    compared: Compared | None = None
    reflects: Did | None = None
    pair: Pair | None = None


class Viewing:
    """What all open pages see. `context` returns the context of a user of this worker, None for others; `versions` says
    which versions of the model there are."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        context: Callable[[str], Context | None],
        versions: Callable[[], VersionsView],
        metrics: Metrics,
        most_streams: int,
    ) -> None:
        self._catalogue = catalogue
        self._context = context
        self._versions = versions
        self._told = versions()
        self._metrics = metrics
        self._dropped = 0
        self._streams = Streams(most_streams, self._drop)
        self._seen: OrderedDict[str, Seen] = OrderedDict()
        self._events: deque[Did] = deque(maxlen=MAX_FEED)
        self._lists: deque[FedList] = deque(maxlen=MAX_FEED)
        self._timed: deque[float] = deque(maxlen=MAX_TIMED)
        self._counted: deque[tuple[float, float]] = deque(maxlen=RATE_SECONDS + 1)
        self._ticking: asyncio.Task[None] | None = None

    @property
    def watching(self) -> bool:
        return len(self._streams) > 0

    def asked(self, event: Event) -> None:
        self._of(event.user).last = event
        self._events.append(did(event, namer(self._catalogue)))

    def published(self, made: Recommendation, compared: Compared | None) -> None:
        name = namer(self._catalogue)
        seen = self._of(made.user)
        answered = seen.last if seen.last is not None and seen.last.id == made.trigger else None
        seen.before, seen.made, seen.compared, seen.pair = seen.made, made, compared, None
        seen.reflects = None if answered is None else did(answered, name)
        self._lists.append(fed_list(made, name))
        self._timed.append(made.freshness_ms)
        if self._streams.followed(made.user):
            self._streams.tell_followers(made.user, self._list_of(seen, made))

    def paired(self, user: str, name: str, pair: Pair) -> None:
        seen = self._seen.get(user)
        if seen is not None and seen.made is not None and seen.made.id == name:
            seen.pair = pair
            self._streams.tell_followers(user, message("pair", pair_view(name, pair, self._catalogue)))

    def forget(self, user: str) -> bool:
        """Drop what is held of an erased user; whether there was something. The feed has it for a quarter of a second
        more, and pages show what they were told."""
        return self._seen.pop(user, None) is not None

    def revoke(self, partition: int) -> None:
        """Drop the lists of a partition's users: they may be erased elsewhere, and this worker would not know."""
        self._seen = OrderedDict(
            (user, seen) for user, seen in self._seen.items() if seen.made is None or seen.made.partition != partition
        )

    def open(self, user: str | None) -> Stream:
        """A new page, which follows `user`; the first messages are the figures, the versions, and the user's last
        list, if it is known. Raises `TooManyStreams`."""
        stream = self._streams.open(user)
        self._metrics.page_streams.set(len(self._streams))
        if self._ticking is None:
            self._counted.clear()
            self._told = self._versions()
            self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="page")
        stream.put(self._pulse())
        stream.put(message("versions", self._told))
        seen = None if user is None else self._seen.get(user)
        if seen is not None and seen.made is not None:
            stream.put(self._list_of(seen, seen.made))
            if seen.pair is not None:
                stream.put(message("pair", pair_view(seen.made.id, seen.pair, self._catalogue)))
        return stream

    def close(self, stream: Stream) -> None:
        self._streams.close(stream)
        self._metrics.page_streams.set(len(self._streams))
        if not self.watching and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            # Without a page, what was seen of others gets out of date. Guests act through pages only.
            self._seen = OrderedDict((user, seen) for user, seen in self._seen.items() if user.startswith(PREFIX))
            self._events.clear()
            self._lists.clear()
            self._timed.clear()

    def close_all(self) -> None:
        """End every stream; each is then closed by its own request."""
        self._streams.close_all()

    def likes(self, user: str) -> tuple[str, ...]:
        """What a user whose lists are seen here liked last, oldest first, of what is in the catalogue."""
        seen = self._seen.get(user)
        context = None if seen is None else self._context(user)
        if seen is None or seen.made is None or context is None:
            return ()
        found = (like.item for like in likes(context, seen.made.scene))
        return tuple(item for item in found if self._catalogue.get(item) is not None)

    def last(self, user: str) -> Recommendation | None:
        """The last list of a user that was seen here."""
        seen = self._seen.get(user)
        return None if seen is None else seen.made

    def scene_of(self, user: str) -> str | None:
        """The scene of the last list of a user whose lists are seen here; None for others."""
        seen = self._seen.get(user)
        return None if seen is None or seen.made is None else seen.made.scene

    def _of(self, user: str) -> Seen:
        seen = self._seen.get(user)
        if seen is None:
            seen = self._seen[user] = Seen()
            if len(self._seen) > MAX_RECENT:
                self._evict()
        else:
            self._seen.move_to_end(user)
        return seen

    def _evict(self) -> None:
        """Drop a user: the longest inactive one who is neither followed nor a guest, or else the longest inactive."""
        spare = (user for user in self._seen if not user.startswith(PREFIX) and not self._streams.followed(user))
        del self._seen[next(spare, next(iter(self._seen)))]

    def _list_of(self, seen: Seen, made: Recommendation) -> bytes:
        context = self._context(made.user)
        name = namer(self._catalogue)
        view = list_view(
            made,
            before=seen.before,
            compared=seen.compared,
            reflects=seen.reflects,
            past=() if context is None else history(made.user, context, made.scene, name),
            catalogue=self._catalogue,
        )
        return message("list", view)

    async def _tick(self) -> None:
        """Tell all pages the feed and the figures."""
        while True:
            for _ in range(FEEDS_PER_SECOND):
                await asyncio.sleep(1 / FEEDS_PER_SECOND)
                if self._events or self._lists:
                    self._streams.tell(message("feed", Fed(events=tuple(self._events), lists=tuple(self._lists))))
                    self._events.clear()
                    self._lists.clear()
            self._counted.append(self._counts())
            self._streams.tell(self._pulse())
            versions = self._versions()
            if versions != self._told:
                self._told = versions
                self._streams.tell(message("versions", versions))

    def _pulse(self) -> bytes:
        """The figures of this second; `_counted` has those of the seconds before."""
        first, last = (self._counted[0], self._counted[-1]) if self._counted else (NOTHING, NOTHING)
        seconds = max(1, len(self._counted) - 1)
        metrics, name = self._metrics, namer(self._catalogue)
        by_reason = values(metrics.lists, "degraded")
        full = by_reason.get("none", 0.0)
        users = [
            Offer(id=user, last=did(seen.last, name))
            for user, seen in reversed(self._seen.items())
            if seen.last is not None and seen.made is not None and not user.startswith(PREFIX)
        ]
        return message(
            "pulse",
            Pulse(
                events_per_second=(last[0] - first[0]) / seconds,
                lists_per_second=(last[1] - first[1]) / seconds,
                p50=percentile(self._timed, 50),
                p99=percentile(self._timed, 99),
                lists=int(sum(by_reason.values())),
                degraded=int(sum(by_reason.values()) - full),
                hits=hits(sum(values(metrics.judged).values()), values(metrics.hits, "of")),
                pages=len(self._streams),
                dropped=self._dropped,
                users=tuple(users[:OFFERED]),
            ),
        )

    def _counts(self) -> tuple[float, float]:
        return sum(values(self._metrics.events, "kind").values()), sum(values(self._metrics.lists, "degraded").values())

    def _drop(self) -> None:
        self._dropped += 1
        self._metrics.page_dropped.inc()


def values(counter: Counter, label: str = "") -> dict[str, float]:
    """The values of a counter by one of its labels."""
    return {
        sample.labels.get(label, ""): sample.value
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
