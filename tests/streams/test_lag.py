"""The lag of a partition, from its assignment on: also while its state is read, and while it starts over."""

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from streams.agents.events import Lane
from streams.agents.plane import Plane
from streams.clock import SYSTEM, Clock
from streams.fold.marking import Marking, Markings
from streams.kafka.publisher import Output
from streams.kafka.recreated_topics import Range
from streams.metrics import Metrics
from streams.settings import Settings
from streams.state.store import Store
from tests.streams.test_turns import KnownLog
from tests.support.holding import no_letters
from tests.support.patience import PATIENCE
from tests.support.plane import like


@dataclass
class Partition:
    """A partition whose broker states the lag. Its fetches return these in turn: records, and the offset after
    them."""

    fetches: list[tuple[list[Any], int]] = field(default_factory=list)
    end: int | None = None
    left: int = 7
    asked: list[int] = field(default_factory=list)
    at: int = -1

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        if not self.fetches:
            await asyncio.sleep(timeout)
            return []
        records, self.at = self.fetches.pop(0)
        return records

    async def committed(self, partition: int) -> int | None:
        return None

    async def available(self, partition: int) -> Range:
        return Range(0, 10)

    async def seek(self, partition: int, offset: int) -> None: ...

    def end_offset(self, partition: int) -> int | None:
        return self.end

    def past(self, partition: int) -> int:
        return self.at

    async def behind(self, partition: int, at_least: int) -> int:
        self.asked.append(at_least)
        return self.left


@dataclass(frozen=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None


def record(offset: int) -> Record:
    return Record(offset, *like(offset, str(offset)))


class Bench:
    """A lane of one partition whose state is opened once `open` is set. `fails` recoveries fail."""

    def __init__(self, folder: Path, source: Partition, clock: Clock = SYSTEM, fails: int = 0) -> None:
        self.open = asyncio.Event()
        self.fails = fails

        async def publish(outputs: Sequence[Output]) -> None:
            pass

        async def warm(_: Marking) -> None:
            await self.open.wait()
            if self.fails:
                self.fails -= 1
                raise ConnectionError("the broker is gone")

        def changelog(_: int, store: Store) -> Any:
            return KnownLog(store)

        plane = Plane(
            settings=Settings.make(state_dir=folder, write_interval_s=0, sweep_interval_s=3600),
            clock=clock,
            metrics=Metrics(),
            lists=None,
            publish=publish,
            changelog=changelog,
            warm=warm,
            rejected=no_letters,
            markings=Markings(b"secret"),
        )
        self.lane = Lane(0, source, plane)

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        self.open.set()
        await self.lane.stop(10.0)


async def test_lag_is_requested_while_the_state_is_read(tmp_path: Path) -> None:
    source = Partition()
    bench = Bench(tmp_path, source)
    assert math.isnan(bench.lane.lag), "it exists, and is unknown so far"
    await bench.until(lambda: bench.lane.lag == 7)
    assert not bench.lane.ready
    bench.open.set()
    await bench.until(lambda: bench.lane.ready)
    assert bench.lane.lag == 7, "until the first fetch says more"
    source.end = 5
    assert bench.lane.lag == 5, "nothing was folded yet"
    await bench.close()


async def test_folded_and_skipped_offsets_are_no_lag(tmp_path: Path) -> None:
    """After the records there are markers of transactions, which no fetch returns."""
    source = Partition([([record(0), record(1)], 3), ([], 4)], end=4)
    bench = Bench(tmp_path, source)
    bench.open.set()
    await bench.until(lambda: bench.lane.lag == 0)
    await bench.until(lambda: bench.lane.committable == 4)
    await bench.close()
    assert bench.lane.committable == 4


async def test_lag_is_known_while_a_lane_starts_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And "ready in" counts from there, not from the assignment."""
    ticks = itertools.count(0, 1)
    caplog.set_level(logging.INFO)
    source = Partition(end=9)
    bench = Bench(tmp_path, source, Clock(SYSTEM.now_ms, lambda: float(next(ticks))), fails=1)
    bench.open.set()
    await bench.until(lambda: "starting over" in caplog.text)
    await bench.until(lambda: bench.lane.lag == 7)
    for _ in range(1_000):
        next(ticks)
    await bench.until(lambda: bench.lane.ready)
    (ready,) = [each.getMessage() for each in caplog.records if "ready in" in each.getMessage()]
    assert float(ready.split("ready in ")[1].split(" s")[0]) < 1_000
    assert bench.lane.lag == 9
    await bench.close()
