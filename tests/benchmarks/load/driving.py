"""Send events at a steady rate (open loop), and measure how long users wait for their lists.

An event is answered by the first list that was made for it or for a later event of the same user. Latency counts from
the time at which the event was due, so that a sender that falls behind does not hide it.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS

TICK_SECONDS = 0.005
GENRES = ("comedy", "drama", "horror", "western", "musical", "thriller", "romance")
THINGS = ("river", "door", "winter", "train", "letter", "island", "garden", "clock", "road", "mirror", "song")


def catalogue(count: int) -> tuple[Item, ...]:
    """Films with two words and a number as title, and one of seven genres."""
    return tuple(
        Item(
            id=f"film-{n}",
            title=f"The {THINGS[n % 11].title()} and the {THINGS[n // 11 % 11].title()} {n}",
            attributes=(GENRES[n % 7],),
        )
        for n in range(count)
    )


def events(people: int, items: int, seed: int, ts: int | None = None) -> Iterator[Event]:
    """Endless events: users and items with a long tail, one event in three a like. Times are now, or from `ts` on."""
    draw = random.Random(seed)
    number = 0
    while True:
        yield Event(
            id=f"{seed}-{number}",
            user=f"person-{int(people * draw.random() ** 2)}",
            kind=draw.choice((EventKind.VIEW, EventKind.VIEW, EventKind.LIKE)),
            ts=time.time_ns() // 1_000_000 if ts is None else ts + number,
            item=f"film-{int(items * draw.random() ** 2)}",
            scene="home",
        )
        number += 1


@dataclass
class Answers:
    """The answers of one run. Times are from `time.monotonic`; `waits` has the seconds of each answered event."""

    waits: list[float] = field(default_factory=list)
    lists: int = 0
    degraded: int = 0
    sent: int = 0
    late_to_send: float = 0.0
    _open: dict[str, deque[tuple[str, float]]] = field(default_factory=dict)

    def due(self, event: Event, at: float) -> None:
        self._open.setdefault(event.user, deque()).append((event.id, at))
        self.sent += 1

    def take(self, made: Recommendation, at: float) -> None:
        """Record a list: it answers its trigger and all earlier events of the user. Ignores lists of other runs."""
        waiting = self._open.get(made.user, deque())
        if all(event != made.trigger for event, _ in waiting):
            return
        self.lists += 1
        self.degraded += made.degraded is not None
        while waiting:
            event, due = waiting.popleft()
            self.waits.append(at - due)
            if event == made.trigger:
                return

    @property
    def unanswered(self) -> int:
        return sum(map(len, self._open.values()))

    def wait(self, share: float) -> float:
        """The seconds within which a share of all events was answered; infinite if it was not."""
        place = int(share * self.sent)
        ordered = sorted(self.waits)
        return ordered[place] if place < len(ordered) else float("inf")


async def drive(bootstrap: str, source: Iterator[Event], rate: float, seconds: float, patience: float = 5.0) -> Answers:
    """Send `rate` events a second while reading the lists, and wait up to `patience` seconds for the last lists."""
    answers = Answers()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=2, acks=1)
    consumer = AIOKafkaConsumer(RECOMMENDATIONS.name, bootstrap_servers=bootstrap, fetch_max_wait_ms=20)
    await producer.start()
    await consumer.start()
    try:
        await consumer.seek_to_end()
        for partition in consumer.assignment():
            await consumer.position(partition)  # resolves the end now, before the first event
        reading = asyncio.create_task(_read(consumer, answers))
        begin = time.monotonic()
        while (passed := time.monotonic() - begin) < seconds:
            while (due := answers.sent / rate) <= passed:
                event = next(source)
                answers.due(event, begin + due)
                await producer.send(EVENTS.name, encode(event), key=event.user.encode())
            answers.late_to_send = max(answers.late_to_send, time.monotonic() - begin - passed)
            await asyncio.sleep(TICK_SECONDS)
        await producer.flush()
        for _ in range(int(patience / TICK_SECONDS)):
            if not answers.unanswered or reading.done():
                break
            await asyncio.sleep(TICK_SECONDS)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    finally:
        await producer.stop()
        await consumer.stop()
    return answers


async def _read(consumer: AIOKafkaConsumer, answers: Answers) -> None:
    while True:
        for records in (await consumer.getmany(timeout_ms=20)).values():
            now = time.monotonic()
            for record in records:
                answers.take(decode(Recommendation, record.value), now)
