"""The cost of the training log: `python -m tests.benchmarks.training_log`.

Logs the same events, and feedback with 20 items shown, to Parquet files of different sizes in a folder that is removed
afterwards: decoding, gathering and writing, as `ouzel log` does for one partition. Prints the bytes of a row
beside those of the same records as JSON and MessagePack, and the rows logged and read back per second of CPU time (the
fastest of several rounds).
"""

import argparse
import random
import tempfile
import time
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.events import Event
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.topics import EVENTS, FEEDBACK
from streams.clock import SYSTEM
from streams.privacy.pseudonyms import Alias, alias_with, same
from streams.training_log.erasures import Erasures
from streams.training_log.files import Files
from streams.training_log.intake import Intake
from streams.training_log.metrics import LogMetrics
from streams.training_log.partition_log import PartitionLog, Rules
from streams.training_log.reading import LogReader
from tests.benchmarks.codec import NOW, events
from tests.streams.training_log.world import Record

SHOWN = 20


def reactions(count: int, seed: int) -> list[Feedback]:
    """Lists that were not taken, as the log has them most often: 20 items each."""
    rng = random.Random(seed)
    return [
        Feedback(
            id=f"{rng.getrandbits(128):032x}:closed",
            list=f"{rng.getrandbits(128):032x}",
            user=f"user-{rng.randrange(100_000)}",
            scene="home",
            ts=NOW + number,
            outcome=Outcome.NOT_TAKEN,
            reward=0.0,
            delay_ms=1_800_000.0,
            model_version="bf16-3f2a",
            closed=Closed.WINDOW,
            shown=tuple(Shown(item=f"item-{rng.randrange(10_000)}", propensity=rng.random()) for _ in range(SHOWN)),
            context=f"{rng.getrandbits(64):016x}",
        )
        for number in range(count)
    ]


def logged(topic: str, records: list[Record], rows: int, alias: Alias, root: str) -> float:
    """Log the records, in files of `rows`; returns the seconds of CPU time."""
    began = time.process_time()
    log = PartitionLog(
        topic, 0, files=Files(root), intake=Intake(alias, 0), erasures=Erasures(),
        rules=Rules(rows, 3_600, 3_650), metrics=LogMetrics(), clock=SYSTEM,
    )  # fmt: skip
    log.open(0, len(records))
    for at in range(0, len(records), 1_000):
        log.take(records[at : at + 1_000])
        if log.due():
            log.flush()
    log.flush()
    return time.process_time() - began


def measured(
    topic: str, messages: list[Any], rows: int, rounds: int, alias: Alias = same
) -> tuple[float, float, float]:
    """Bytes of a row, and rows logged and read per second of CPU time."""
    records = [Record(at, each.user.encode(), encode(each), NOW + at) for at, each in enumerate(messages)]
    fastest = read = float("inf")
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as root:
            fastest = min(fastest, logged(topic, records, rows, alias, root))
            size = sum(each.size for each in Files(root).of_topic(topic))
            began = time.process_time()
            found = sum(1 for _ in LogReader(root).read(topic, type(messages[0])))
            read = min(read, time.process_time() - began)
            assert found == len(messages)
    return size / len(messages), len(messages) / fastest, len(messages) / read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    made: list[tuple[str, str, list[Any], Alias]] = [
        ("events", EVENTS.name, list[Event](events(asked.rows, seed=1)), same),
        ("events, pseudonyms", EVENTS.name, list[Event](events(asked.rows, seed=1)), alias_with("k" * 32)),
        ("feedback, 20 shown", FEEDBACK.name, reactions(asked.rows // 5, seed=1), same),
    ]
    print(f"{'':20}{'rows':>8}{'of a file':>10}{'JSON':>8}{'MsgPack':>9}{'Parquet':>9}{'logged/s':>11}{'read/s':>10}")
    for name, topic, messages, alias in made:
        text = sum(len(msgspec.json.encode(each)) for each in messages) / len(messages)
        packed = sum(len(encode(each)) for each in messages) / len(messages)
        for rows in (500, 5_000, 50_000):
            size, rate, read = measured(topic, messages, rows, asked.rounds, alias)
            print(f"{name:20}{len(messages):8,}{rows:10,}{text:8.0f}{packed:9.0f}{size:9.1f}{rate:11,.0f}{read:10,.0f}")


if __name__ == "__main__":
    main()
