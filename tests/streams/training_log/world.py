"""What the tests of the training log share: a clock to set, records, and logs of partition 0."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.feedback import Feedback, Outcome
from schemas.topics import EVENTS
from streams.clock import Clock
from streams.privacy.pseudonyms import Alias, same
from streams.training_log.erasures import Erasures
from streams.training_log.files import Files
from streams.training_log.intake import Intake
from streams.training_log.metrics import LogMetrics
from streams.training_log.partition_log import PartitionLog, Rules

DAY_MS = 86_400_000
NOW = 20_000 * DAY_MS + 1_000
"""A second after a midnight of 2024."""


RULES = Rules(rows=1_000, seconds=60.0, days=30)


class Record(NamedTuple):
    """The fields of a consumed record that the log reads."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = NOW
    partition: int = 0


def event(number: int, user: str = "ann", **fields: Any) -> Event:
    given = {"kind": EventKind.LIKE, "item": "alien", "ts": NOW, **fields}
    return Event(id=f"e-{number}", user=user, **given)


def record(offset: int, user: str = "ann", *, timestamp: int = NOW, **fields: Any) -> Record:
    """The record of a separate event."""
    made = event(offset, user, **{"ts": min(timestamp, NOW), **fields})
    return Record(offset, user.encode(), encode(made), timestamp)


def feedback_record(offset: int, user: str, *, ts: int = NOW, timestamp: int = NOW) -> Record:
    made = Feedback(id=f"f-{offset}", list="l", user=user, scene="home", ts=ts, outcome=Outcome.NOT_TAKEN, reward=0.0)
    return Record(offset, user.encode(), encode(made), timestamp)


@dataclass
class World:
    """A root, and the processes that log partition 0 of a topic under it."""

    root: Path | str
    now: int = NOW
    monotonic: float = 0.0
    alias: Alias = same
    rules: Rules = RULES
    erasures: Erasures = field(default_factory=Erasures)
    metrics: LogMetrics = field(default_factory=LogMetrics)

    def __post_init__(self) -> None:
        self.files = Files(str(self.root))
        self.clock = Clock(now_ms=lambda: self.now, monotonic=lambda: self.monotonic)

    def log(self, topic: str = EVENTS.name, *, erasures: Erasures | None = None) -> PartitionLog:
        """A new process's log of partition 0, not opened."""
        return PartitionLog(
            topic,
            0,
            files=self.files,
            intake=Intake(self.alias, 0),
            erasures=self.erasures if erasures is None else erasures,
            rules=self.rules,
            metrics=self.metrics,
            clock=self.clock,
        )

    def logged(self, records: Iterable[Any], topic: str = EVENTS.name) -> PartitionLog:
        """Log these records from where the log ends, to one file."""
        log = self.log(topic)
        log.open(0, 2**40)
        log.take([each for each in records if each.offset >= log.behind])
        log.flush()
        return log

    def count(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0
