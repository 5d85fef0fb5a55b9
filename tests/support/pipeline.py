"""The whole path as its users run it: a broker, the topics, and workers as child processes, with plain Kafka clients
at both ends."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
from aiokafka import AIOKafkaConsumer

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.topics import ITEMS, Topic
from streams.settings import Settings, throwaway, values_of
from tests.support.patience import PATIENCE
from tests.support.topics import read_all, send_all
from tests.support.workers import LOG_LINES, OUZEL_WORKER, Worker

M = TypeVar("M", bound=msgspec.Struct)

GENRES = ("comedy", "drama", "horror", "western", "musical")


def films(count: int = 40) -> tuple[Item, ...]:
    """A small catalogue: `count` films of five genres."""
    return tuple(
        Item(id=f"film-{n}", title=f"The {GENRES[n % 5].title()} of Number {n}", attributes=(GENRES[n % 5],))
        for n in range(count)
    )


def click(user: str, item: str, number: int, *, ts: int | None = None) -> Event:
    now = time.time_ns() // 1_000_000 if ts is None else ts
    return Event(id=f"{user}-{number}", user=user, kind=EventKind.CLICK, item=item, ts=now, scene="home")


class Pipeline:
    """Topics on a broker, and one worker at a time."""

    def __init__(self, broker: Broker, folder: Path, **settings: object) -> None:
        self.broker = broker
        self.folder = folder
        port = free_ports(1)[0]
        self.settings: Settings = throwaway(
            broker.bootstrap, state_dir=folder / "state", web_port=port, app_id=f"ouzel-{port}", **settings
        )
        self._worker: Worker | None = None

    async def prepare(self, items: Iterable[Item] = ()) -> None:
        """Make the topics and publish a catalogue."""
        await create(self.broker.bootstrap)
        await self.send(ITEMS, ((item.id, encode(item)) for item in items))

    @property
    def worker(self) -> Worker:
        """The last worker that was started."""
        assert self._worker is not None, "start a worker first"
        return self._worker

    def change(self, **settings: Any) -> None:
        """Override settings of the workers that are started from now on."""
        self.settings = Settings.make(**{**values_of(self.settings), **settings})

    def begin(self, command: Sequence[str] = OUZEL_WORKER) -> Worker:
        """Start a worker without waiting for it."""
        self._worker = Worker(self.settings, self.folder / "worker.log", command=command)
        return self._worker

    def start(self, command: Sequence[str] = OUZEL_WORKER) -> Worker:
        """Start a worker and wait until it is ready."""
        worker = self.begin(command)
        worker.wait_ready()
        return worker

    async def send(self, topic: Topic, records: Iterable[tuple[str, bytes | None]]) -> None:
        """Write records, each under its key, and wait until the broker has them."""
        await send_all(self.broker.bootstrap, [(key.encode(), value) for key, value in records], topic.name)

    async def records(self, topic: str) -> list[Any]:
        """Every record on a topic now, in the order of each partition."""
        return await read_all(self.broker.bootstrap, topic)

    async def read(
        self, topic: Topic, message_type: type[M], enough: Callable[[list[M]], bool], timeout: float = PATIENCE
    ) -> list[M]:
        """Read a topic from its beginning until what was read is `enough`; TimeoutError with what came otherwise."""
        consumer = AIOKafkaConsumer(
            topic.name, bootstrap_servers=self.broker.bootstrap, auto_offset_reset="earliest", group_id=None
        )
        read: list[M] = []
        await consumer.start()
        try:
            deadline = time.monotonic() + timeout
            while not enough(read):
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"{len(read)} records of {topic.name} in {timeout:g} s; the worker says:\n{self.log()}"
                    )
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    read += [decode(message_type, record.value) for record in records]
        finally:
            await consumer.stop()
        return read

    def log(self) -> str:
        return self._worker.tail(LOG_LINES) if self._worker else ""

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
