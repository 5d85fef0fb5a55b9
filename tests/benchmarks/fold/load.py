"""The events of the benchmark: users and items with a long tail, and duplicates. Deterministic for a seed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from aiokafka.partitioner import murmur2

from schemas.codec import encode
from schemas.events import Event, EventKind

LONG_AGO_MS = 1_700_000_000_000
"""The time of the first event: too old to trigger lists."""

KINDS = (EventKind.VIEW,) * 5 + (EventKind.CLICK,) * 2 + (EventKind.LIKE,) * 2 + (EventKind.CART,)
STEEPNESS = 1.1
REPEATS = 0.02
REACH = 25
"""Duplicates repeat one of the last this many events, so that their ids are among the user's last 32."""

Sent = tuple[bytes, bytes]


class Load(NamedTuple):
    """Records (key and value) by partition: first `warm`, one per partition, then `rest`, which also ends with one per
    partition."""

    warm: list[list[Sent]]
    rest: list[list[Sent]]
    users: frozenset[str]
    """The users of the last record of each partition."""
    first: frozenset[str]
    """The users of the first record of each partition."""
    events: int
    """The number of records in `rest`."""


def make(count: int, people: int, items: int, partitions: int, seed: int = 1) -> Load:
    """`count` events over `people` users and `items`, by a power law of `STEEPNESS`; one in fifty is sent twice."""
    draw = np.random.default_rng(seed)
    who = _power_law(draw, people, count)
    what = _power_law(draw, items, count)
    kinds = draw.integers(0, len(KINDS), count)
    again = draw.random(count) < REPEATS
    back = draw.integers(1, REACH, count)
    rest: list[list[Sent]] = [[] for _ in range(partitions)]
    sent: list[tuple[int, Sent]] = []
    for number in range(count - partitions):
        if again[number] and number > REACH:
            partition, record = sent[number - int(back[number])]
        else:
            user = f"person-{who[number]}"
            event = Event(
                id=f"{seed}-{number}",
                user=user,
                kind=KINDS[kinds[number]],
                ts=LONG_AGO_MS + number,
                item=f"film-{what[number]}",
                scene="home",
            )
            record = (user.encode(), encode(event))
            partition = partition_of(record[0], partitions)
        sent.append((partition, record))
        rest[partition].append(record)
    first, last = _marks("first", partitions), _marks("last", partitions)
    for partition, user in enumerate(last):
        rest[partition].append(_mark(user))
    warm = [[_mark(user)] for user in first]
    return Load(warm, rest, frozenset(last), frozenset(first), count)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as in Kafka's default partitioner."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def _power_law(draw: np.random.Generator, among: int, count: int) -> list[int]:
    weight = 1.0 / np.arange(1, among + 1) ** STEEPNESS
    numbers: list[int] = draw.choice(among, size=count, p=weight / weight.sum()).tolist()
    return numbers


def _marks(name: str, partitions: int) -> list[str]:
    return [next(u for u in _names(name) if partition_of(u.encode(), partitions) == p) for p in range(partitions)]


def _names(name: str) -> Iterator[str]:
    return (f"{name}-{number}" for number in range(100_000))


def _mark(user: str) -> Sent:
    event = Event(id=user, user=user, kind=EventKind.VIEW, ts=LONG_AGO_MS, item="film-0", scene="home")
    return user.encode(), encode(event)
