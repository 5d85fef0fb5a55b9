"""Users' wishes: the sentences of their contexts that still hold, as the model reads them.

What a sentence asks for depends on the sentence, the catalogue and the language model only. So nothing of it is stored:
it is read when a list needs it, and held for the next lists under a digest. A list waits for the model for at most half
of the time that it has left, and says of a wish that is not read yet that it is not (`schemas.recommendations.Wished`);
reading goes on, for the user's next list.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from schemas.limits import MAX_MEANINGS
from schemas.recommendations import Wished
from schemas.scoring import Scorer, Scores, ScoringError
from streams.clock import Clock
from streams.fold.context import Context, Steer
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.serving.outage import Outage
from streams.steering.expiry import DAY_MS, expires
from streams.steering.wish import Offer, Wish, offer

log = logging.getLogger(__name__)

READ_SECONDS = 10.0
"""Maximum time that the model has for a sentence: its first one takes seconds."""

REST_SECONDS = 5.0
"""After a failure, sentences are not read for this long, and no list waits."""

MAX_HELD = 10_000
MAX_QUEUED = 100
WAIT_SHARE = 0.5
NOTHING = "something"
"""A sentence that asks for nothing. The model reads it first, with all attributes, so that those of users are quick."""


@dataclass(frozen=True, eq=False)
class _Reading:
    """A sentence to read; `done` is set once it was tried."""

    key: bytes
    text: str
    offer: Offer
    done: asyncio.Event


class Wishes:
    """`days`: how long a sentence holds that does not say. Run `run` beside the lists: without it nothing is read."""

    def __init__(
        self, scorer: Scorer | None, catalogue: Catalogue, *, days: float, metrics: Metrics, clock: Clock
    ) -> None:
        self._scorer = scorer
        self._catalogue = catalogue
        self._days = days
        self._metrics = metrics
        self._clock = clock
        self._held: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()
        self._asked: dict[bytes, _Reading] = {}
        self._queue: asyncio.Queue[_Reading] = asyncio.Queue(MAX_QUEUED)
        self._rests_until = 0.0
        self._outage = Outage("sentences of users change no list", clock.monotonic)
        self._reads_text: bool | None = None if scorer is not None else False
        self._told = False

    @property
    def may_read_text(self) -> bool:
        """Whether the model that scores reads sentences in its prompt besides, as far as is known."""
        return self._reads_text is not False

    def arrived(self, count: int) -> None:
        """Note that this many steer events were folded."""
        if self._scorer is not None or not count:
            return
        self._metrics.wishes.labels("failed").inc(count)
        if not self._told:
            self._told = True
            log.warning(
                "Steer events change no list: this worker has no model to read them. They stay in the users' contexts. "
                "Set OUZEL_TRITON. Counted as ouzel_wishes_total."
            )

    def answered(self, scores: Scores) -> None:
        """Note an answer of the active model. After the first, it gets ready for sentences."""
        if self._reads_text is None:
            self._request(NOTHING, offer(self._catalogue, NOTHING))
        self._reads_text = not scores.vector

    async def of(self, context: Context, *, now_ms: int, deadline: float) -> tuple[Wish, ...]:
        """The wishes of a user that hold now, oldest first. Waits for the model, but not beyond its share of the time
        until `deadline`, in seconds of the monotonic clock."""
        held = [(steer, until) for steer in context.steers if (until := self._until(steer)) > now_ms]
        return tuple([await self._wish(steer, until, deadline) for steer, until in held])

    async def run(self) -> None:
        """Read sentences until cancelled."""
        while True:
            reading = await self._queue.get()
            try:
                await self._read(reading)
            finally:
                del self._asked[reading.key]
                reading.done.set()

    def _until(self, steer: Steer) -> int:
        said = expires(steer.text, steer.ts)
        return steer.ts + int(self._days * DAY_MS) if said is None else said

    async def _wish(self, steer: Steer, until_ms: int, deadline: float) -> Wish:
        found = offer(self._catalogue, steer.text)
        reading = self._request(steer.text, found)
        now = self._clock.monotonic()
        if reading is not None and self._scorer is not None and now >= self._rests_until:
            try:
                async with asyncio.timeout(max(0.0, WAIT_SHARE * (deadline - now))):
                    await reading.done.wait()
            except TimeoutError:
                pass
        strengths = self._held.get(_key(steer.text, found))
        if strengths is None:
            return Wish(steer.text, until_ms, read=False)
        attributes, items = found.meant(strengths)
        return Wish(steer.text, until_ms, attributes, items)

    def _request(self, text: str, found: Offer) -> _Reading | None:
        """Have a sentence read, unless it was; None if it was, or cannot be."""
        key = _key(text, found)
        if key in self._held:
            self._held.move_to_end(key)
            return None
        if key not in self._asked:
            reading = _Reading(key, text, found, asyncio.Event())
            try:
                self._queue.put_nowait(reading)
            except asyncio.QueueFull:
                self._metrics.wishes.labels("failed").inc()
                return None
            self._asked[key] = reading
        return self._asked[key]

    async def _read(self, reading: _Reading) -> None:
        names = reading.offer.names
        now = self._clock.monotonic()
        if self._scorer is None or now < self._rests_until:
            return
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await self._scorer.interpret(reading.text, names, timeout=READ_SECONDS)
        except (ScoringError, TimeoutError) as error:
            self._failed(error)
            return
        except Exception as error:
            log.error("A sentence could not be read (%s); it changes no list", type(error).__name__)
            self._failed(None)
            return
        self._outage.over()
        self._held[reading.key] = found.strengths
        while len(self._held) > MAX_HELD:
            self._held.popitem(last=False)
        if reading.text != NOTHING:
            self._metrics.wishes.labels("understood" if any(found.strengths) else "nothing").inc()

    def _failed(self, error: ScoringError | TimeoutError | None) -> None:
        self._metrics.wishes.labels("failed").inc()
        self._rests_until = self._clock.monotonic() + REST_SECONDS
        if isinstance(error, ScoringError):
            self._outage.failed(error)


def published(wish: Wish, catalogue: Catalogue) -> Wished:
    """A wish as lists state it."""
    means = dict(wish.attributes)
    means |= {catalogue.at(number).title: one for number, one in wish.items if catalogue.holds(number)}
    strongest = sorted(means.items(), key=lambda one: -abs(one[1]))[:MAX_MEANINGS]
    return Wished(text=wish.text, until=wish.until_ms, means=dict(strongest), read=wish.read)


def _key(text: str, found: Offer) -> bytes:
    """A digest of a sentence and of what it may be about; the sentence itself is not held."""
    whole = blake2b(digest_size=16)
    for part in (text, *found.names):
        whole.update(f"{len(part)} {part}".encode(errors="replace"))
    return whole.digest()
