"""Workers as child processes on a broker, and what their state must come to: a plain fold of the same input."""

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.codec import decode, decode_event, encode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.neighbours import Neighbours
from schemas.topics import CONTEXTS, DEAD_LETTERS, EVENTS, NEIGHBOURS
from streams.agents.neighbours import MARKER as NO_ITEM
from streams.fold.context import EMPTY, Context, fold, is_repeat
from streams.fold.marking import UNKEYED, Marking
from streams.settings import throwaway
from streams.state.records import decode_value
from streams.state.store import CONTEXT, ITEM_SECRET, header
from tests.support.patience import PATIENCE
from tests.support.topics import Sent, committed, follow, read_all, send_all
from tests.support.workers import WITHOUT_MODEL, Worker

NOW_MS = 1_700_000_000_000
"""When every event happened: long ago, so that none makes a list, and at once, so that no count decays."""

KINDS = (EventKind.VIEW, EventKind.CLICK, EventKind.LIKE, EventKind.DISLIKE, EventKind.CART)


def person(number: int) -> str:
    """A user id that is not the beginning of another, nor what RocksDB's index shortens the keys of others to."""
    return f"person-{number}."


def traffic(seed: int, count: int, people: int = 60, items: int = 80, ts: int = NOW_MS) -> list[Sent]:
    """`count` records: events in MessagePack and JSON, producers' repeats, steering, forgetting, and garbage.

    All happened at `ts`, in milliseconds since 1970.
    """
    draw = random.Random(seed)
    records: list[Sent] = []
    events: list[Event] = []
    for number in range(count):
        roll = draw.random()
        if roll < 0.04:
            garbage = [(None, draw.randbytes(40)), (b"", b"{"), (b"somebody", b"\x80"), (b"nobody", None)]
            records.append(draw.choice(garbage))
            continue
        if roll < 0.12 and events:
            event = draw.choice(events[-50:])
        else:
            user, name = person(draw.randrange(people)), f"{seed}-{number}"
            if roll < 0.15:
                event = Event(id=name, user=user, kind=EventKind.STEER, ts=ts, text="fewer horror films, please")
            elif roll < 0.18 and events:
                event = Event(id=name, user=user, kind=EventKind.FORGET, ts=ts, target=draw.choice(events).id)
            else:
                item = f"film-{min(draw.randrange(items), draw.randrange(items))}"
                event = Event(id=name, user=user, kind=draw.choice(KINDS), ts=ts, item=item, scene="home")
            events.append(event)
        value = msgspec.json.encode(event) if draw.random() < 0.2 else encode(event)
        records.append((event.user.encode(), value))
    return records


def like(number: int, name: str, item: str = "film-1", ts: int = NOW_MS) -> Sent:
    """The record of a like by `person(number)`; `name` is its id."""
    event = Event(id=name, user=person(number), kind=EventKind.LIKE, ts=ts, item=item)
    return event.user.encode(), encode(event)


class Plane:
    """Topics on a broker and the workers on it, by name."""

    def __init__(self, broker: Broker, folder: Path, **settings: Any) -> None:
        self.bootstrap = broker.bootstrap
        self.folder = folder
        self.settings = {"app_id": "plane", **settings}
        self.workers: dict[str, Worker] = {}
        """By name, the ended ones included."""
        asyncio.run(create(self.bootstrap))

    def start(self, name: str = "a", *, command: Sequence[str] = WITHOUT_MODEL, **more: object) -> Worker:
        """Start a worker without waiting for it."""
        given = {**self.settings, **more}
        settings = throwaway(self.bootstrap, state_dir=self.state_of(name), web_port=free_ports(1)[0], **given)
        log = self.folder / f"{name}.log"
        self.workers[name] = Worker(settings, log, name=f"Worker {name}", command=command)
        return self.workers[name]

    def kill(self, name: str = "a") -> None:
        """End it as a crash would."""
        self.workers[name].kill()

    def stop(self, name: str = "a") -> int:
        """End it as an operator would; its exit status."""
        return self.workers[name].stop(grace=30.0)

    def state_of(self, name: str = "a") -> Path:
        return self.folder / f"state-{name}"

    def lose_state(self, name: str = "a") -> None:
        shutil.rmtree(self.state_of(name))

    def series(self, metric: str) -> list[float]:
        """The values of a metric of worker a; see `Worker.series`."""
        return self.workers["a"].series(metric)

    def letters(self) -> list[DeadLetter]:
        return [decode(DeadLetter, record.value) for record in self.read(DEAD_LETTERS.name)]

    def log(self) -> str:
        return "\n".join(path.read_text()[-4000:] for path in sorted(self.folder.glob("*.log")))

    def send(self, records: Iterable[Sent], topic: str = EVENTS.name) -> None:
        asyncio.run(send_all(self.bootstrap, records, topic))

    def read(self, topic: str) -> list[Any]:
        return asyncio.run(read_all(self.bootstrap, topic))

    def follow(self, topic: str, count: int) -> None:
        """Return the moment that the topic holds `count` records."""
        asyncio.run(follow(self.bootstrap, topic, count))

    def expected(self) -> "Expected":
        """What the input comes to, items marked as the partitions mark them."""
        return Expected(self.read(EVENTS.name), markings_of(self.read(CONTEXTS.name)))

    def held(self) -> dict[str, Context]:
        """The contexts on the changelog, as a recovery would find them."""
        return contexts_of(self.read(CONTEXTS.name))

    def committed(self) -> dict[int, int]:
        return asyncio.run(committed(self.bootstrap, self.settings["app_id"]))

    def wait(self, done: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout:g} s. The workers say:\n{self.log()}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.stop()


def contexts_of(records: Iterable[Any]) -> dict[str, Context]:
    """What changelog records come to: of each key the value with the highest stamp, the last of equals."""
    best: dict[bytes, bytes | None] = {}
    for record in records:
        if record.key is None:  # nothing of ours, or what cannot be read
            continue
        held = best.get(record.key)
        if record.key[:1] == CONTEXT and (
            held is None or record.value is None or header(record.value).stamp >= header(held).stamp
        ):
            best[record.key] = record.value
    return {key[1:].decode(): decode_value(key, value) for key, value in best.items() if value is not None}


def markings_of(records: Iterable[Any]) -> dict[int, Marking]:
    """How each partition marks items, by its changelog's records."""
    found = {each.partition: decode_value(each.key, each.value) for each in records if each.key == ITEM_SECRET}
    return {partition: Marking(each.secret, mixed=each.mixed) for partition, each in found.items()}


def counts_of(records: Iterable[Any]) -> dict[str, int]:
    """How many events of each item the records of `ouzel.neighbours` tell of."""
    latest = {record.key: record.value for record in records if not (record.key or NO_ITEM).startswith(NO_ITEM)}
    rows = [decode(Neighbours, value) for value in latest.values() if value is not None]
    return {row.item: round(row.seen) for row in rows}


class Expected:
    """What a plain fold of the input makes: contexts, refused records, accepted events by item and one by one, and
    erasure orders with the place of the first that says so. `markings` are those of the partitions.

    An event counts as read when its record was made.
    """

    def __init__(self, records: Sequence[Any], markings: Mapping[int, Marking] = {}) -> None:
        self.contexts: dict[str, Context] = {}
        self.refused: dict[tuple[int, int], bytes | None] = {}
        self.seen: dict[str, int] = {}
        self.accepted: dict[tuple[int, int], Event] = {}
        """By partition and offset; without the repeats."""
        self.orders: dict[tuple[str, str], tuple[int, int]] = {}
        for record in records:
            try:
                event = decode_event(record.value, key=record.key, now_ms=record.timestamp)
            except Refused:
                self.refused[record.partition, record.offset] = record.value
                continue
            if event.kind is EventKind.ERASE:
                if (
                    self.orders.setdefault((event.id, event.user), (record.partition, record.offset))[1]
                    == record.offset
                ):
                    self.contexts.pop(event.user, None)
                continue
            before = self.contexts.get(event.user, EMPTY)
            if not is_repeat(before, event, record.offset):
                self.accepted[record.partition, record.offset] = event
                if event.item is not None:
                    self.seen[event.item] = self.seen.get(event.item, 0) + 1
            marking = markings.get(record.partition, UNKEYED)
            self.contexts[event.user] = fold(before, event, record.offset, marking)


def check(plane: Plane) -> None:
    """Wait until the workers' state is what a plain fold of their input makes, and see that it stays so: contexts, dead
    letters with the original bytes, and every accepted event counted once in the item graph."""
    partitions = {record.partition for record in plane.read(EVENTS.name)}
    plane.wait(lambda: markings_of(plane.read(CONTEXTS.name)).keys() >= partitions, "a secret for each partition")
    expected = plane.expected()
    plane.wait(lambda: plane.held() == expected.contexts, "the contexts of an undisturbed fold")

    letters = [decode(DeadLetter, record.value) for record in plane.read(DEAD_LETTERS.name)]
    assert {(each.partition, each.offset): each.value for each in letters} == expected.refused

    plane.wait(lambda: counts_of(plane.read(NEIGHBOURS.name)) == expected.seen, "every accepted event counted once")
    assert plane.held() == expected.contexts
