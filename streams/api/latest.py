"""The last published list of the users of this worker, for answers and streams.

Held for the `MAX_HELD` users whose lists are newest, as encoded for Kafka: 2 to 4 KiB each with ten entries. A list is
dropped when its user is erased, and when the partition moves to another worker, which would carry out the erasure.
"""

from collections import OrderedDict
from collections.abc import Callable

from schemas.codec import decode, encode
from schemas.events import Event
from schemas.recommendations import Recommendation
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Pair
from streams.web.event_streams import Stream, Streams

MAX_HELD = 10_000


class Latest:
    """A `Watcher`. `partition` is that of a user, None while unknown; `told` puts a list into a message of a stream;
    `dropped` is called for each message that a slow client did not get."""

    watching = True

    def __init__(
        self,
        *,
        partition: Callable[[str], int | None],
        told: Callable[[Recommendation], bytes],
        dropped: Callable[[], object],
        most_streams: int,
        most: int = MAX_HELD,
    ) -> None:
        self._partition = partition
        self._told = told
        self._most = most
        self._streams = Streams(most_streams, dropped)
        self._held: OrderedDict[str, tuple[int, bytes]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def of(self, user: str) -> Recommendation | None:
        held = self._held.get(user)
        return None if held is None else decode(Recommendation, held[1])

    def open(self, user: str) -> Stream:
        """A stream of a user's lists, which begins with the last one. Raises `TooManyStreams`."""
        stream = self._streams.open(user)
        last = self.of(user)
        if last is not None:
            stream.put(self._told(last))
        return stream

    def close(self, stream: Stream) -> None:
        self._streams.close(stream)

    def close_all(self) -> None:
        self._streams.close_all()

    @property
    def streams(self) -> int:
        return len(self._streams)

    def asked(self, event: Event) -> None:
        pass

    def published(self, made: Recommendation, _compared: Compared | None) -> None:
        self._held[made.user] = made.partition, encode(made)
        self._held.move_to_end(made.user)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
        if self._streams.followed(made.user):
            self._streams.tell_followers(made.user, self._told(made))

    def paired(self, user: str, name: str, pair: Pair) -> None:
        pass

    def forget(self, user: str) -> bool:
        return self._held.pop(user, None) is not None

    def revoke(self, partition: int) -> None:
        """Streams of its users end: their clients connect again, and reach the next owner."""
        for user in [user for user, (of, _) in self._held.items() if of == partition]:
            del self._held[user]
        for user in self._streams.users():
            if self._partition(user) in (partition, None):
                self._streams.end(user)
