"""`ouzel log` beside the workers, and its rows by the place of their records, across topics that were recreated."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inference.triton.ports import free_ports
from schemas.codec import decode, decode_event
from schemas.errors import Refused
from schemas.events import Event, EventKind
from schemas.feedback import Feedback
from schemas.topics import EVENTS, FEEDBACK, Topic
from streams.settings import throwaway
from streams.training_log.reading import LogReader
from tests.faults.verdict import Place
from tests.support.log_process import LogProcess
from tests.support.patience import PATIENCE

FLUSH_SECONDS = 1.0


class TrainingLog:
    """The process, None while a fault has it, and the folders of its files."""

    def __init__(self, folder: Path, brokers: Mapping[str, Any], app: str) -> None:
        self.process: LogProcess | None = None
        self.root = folder / "log"
        self.output = folder / "log.txt"
        self.port = free_ports(1)[0]
        self._moved: list[tuple[Path, dict[int, int]]] = []
        """Logs of recreated topics, with what is added to the offsets of each partition."""
        self._settings = throwaway(
            training_log=str(self.root),
            training_log_flush_s=FLUSH_SECONDS,
            training_log_port=self.port,
            app_id=app,
            **brokers,
        )

    def start(self) -> None:
        self.process = LogProcess(self._settings, self.output)

    def take(self) -> LogProcess:
        """The process, which from now on nothing else restarts."""
        process, self.process = self.process, None
        assert process is not None, "the log runs"
        return process

    async def stop(self) -> int:
        """Send SIGTERM, and wait for the exit; its exit status, 0 if it does not run."""
        return 0 if self.process is None else await asyncio.to_thread(self.take().stop, 30.0)

    async def works(self) -> None:
        """Wait until the process answers and has logged something. TimeoutError after `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                process = self.process
                if process is not None and await asyncio.to_thread(process.metric, "ouzel_log_rows_total") > 0:
                    return
                await asyncio.sleep(0.2)

    async def has(self, accepted: Mapping[Place, Any], bases: Mapping[int, int]) -> None:
        """Wait until these events are in the log. TimeoutError after `PATIENCE`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = {place for place, _ in await asyncio.to_thread(self.events, bases)}
                if accepted.keys() <= found:
                    return
                await asyncio.sleep(FLUSH_SECONDS / 2)

    def move(self, bases: Mapping[int, int]) -> None:
        """Move the log of the events away, as the process asks for when their topic is recreated. It must not run."""
        target = self.root.with_name(f"log-{len(self._moved)}")
        target.mkdir()
        (self.root / EVENTS.name).rename(target / EVENTS.name)
        self._moved.append((target, dict(bases)))

    def events(self, bases: Mapping[int, int]) -> list[tuple[Place, Any]]:
        """Every row of the events, with the places that the harness uses; `bases` belong to the current topic."""
        roots = [*self._moved, (self.root, dict(bases))]
        return [row for root, added in roots for row in _rows(root, EVENTS, Event, added)]

    def feedback(self) -> list[tuple[Place, Any]]:
        """Every row of the feedback."""
        return list(_rows(self.root, FEEDBACK, Feedback, {}))


def _rows(root: Path, topic: Topic, message: type[Any], bases: Mapping[int, int]) -> Iterator[tuple[Place, Any]]:
    for row in LogReader(str(root)).read(topic.name, message, repeats=True).rows():
        yield (row.partition, row.offset + bases.get(row.partition, 0)), row.message


def belonging(records: Mapping[Place, Any], topic: Topic) -> dict[Place, Any]:
    """The messages that belong in the log: what is refused and orders to erase do not."""
    found: dict[Place, Any] = {}
    for place, record in records.items():
        try:
            message = (
                decode_event(record.value, key=record.key, now_ms=record.timestamp)
                if topic is EVENTS
                else decode(Feedback, record.value)
            )
        except Refused:
            continue
        if not (isinstance(message, Event) and message.kind is EventKind.ERASE):
            found[place] = message
    return found
