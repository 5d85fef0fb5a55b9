"""How fast a worker folds, starts and recovers, on a separate broker. Run: python -m tests.benchmarks.events --help

Covers the path of an event except the list: decode, fold, publish co-visits, write contexts to the changelog and disk,
commit offsets, and count the item graph in the same process. The events are older than the trigger age.
"""

import argparse
import asyncio
import random
import re
import tempfile
import time
from pathlib import Path

from aiokafka import AIOKafkaProducer

from deploy.kafka.topics import create
from deploy.local.brokers import Broker, EmbeddedBroker, KafkaBroker
from inference.triton.ports import free_ports
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.topics import EVENTS
from streams.settings import throwaway
from tests.benchmarks.load.pipeline import processor_seconds, resident_mib
from tests.support.workers import WITHOUT_MODEL, Worker

LONG_AGO_MS = 1_700_000_000_000
PATIENCE_SECONDS = 1_800.0


async def produce(bootstrap: str, count: int, people: int, items: int, seed: int, *, even: bool = False) -> None:
    """Events of `people` users over `items`, both with a long tail, or `even`: users in turn; one in three a like."""
    draw = random.Random(seed)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=512 * 1024)
    await producer.start()
    kinds = (EventKind.VIEW, EventKind.VIEW, EventKind.LIKE)
    for number in range(count):
        event = Event(
            id=f"{seed}-{number}",
            user=f"person-{number % people if even else int(people * draw.random() ** 2)}",
            kind=draw.choice(kinds),
            ts=LONG_AGO_MS + number,
            item=f"film-{int(items * draw.random() ** 2)}",
            scene="home",
        )
        await producer.send(EVENTS.name, encode(event), key=event.user.encode())
    await producer.stop()


class Run(Worker):
    """A worker on a broker, timed from its start."""

    def __init__(self, broker: Broker, folder: Path, batch: int) -> None:
        self.began = time.monotonic()
        port = free_ports(1)[0]
        settings = throwaway(broker.bootstrap, state_dir=folder / "state", web_port=port, batch_max_events=batch)
        super().__init__(settings, folder / f"worker-{port}.log", command=WITHOUT_MODEL)

    def fold(self, count: float) -> float:
        """Seconds from the start until `count` events were folded. Raises `DeployError` if that never happens."""
        self.until_metric("ouzel_events_total", count, PATIENCE_SECONDS)
        return time.monotonic() - self.began

    def recoveries(self) -> list[tuple[float, int]]:
        """Seconds and records of the recovery of each partition so far."""
        lines = re.findall(r"ready in ([\d.]+) s .* (\d+) changelog records", self.log.read_text())
        return [(float(seconds), int(records)) for seconds, records in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=["embedded", "kafka"], default="kafka")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--people", type=int, default=5_000)
    parser.add_argument("--items", type=int, default=2_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--even", action="store_true", help="Users in turn: with enough events, each has a context.")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ouzel-bench-"))
    make = EmbeddedBroker if asked.broker == "embedded" else KafkaBroker
    with make(folder / "broker") as broker:
        asyncio.run(create(broker.bootstrap))
        asyncio.run(produce(broker.bootstrap, asked.events, asked.people, asked.items, seed=1, even=asked.even))
        run = Run(broker, folder, asked.batch)
        first = run.fold(1)
        used = processor_seconds(run.pid)
        last = run.fold(asked.events)
        used = processor_seconds(run.pid) - used
        print(f"start to first batch   {first:6.2f} s")
        print(f"events folded          {asked.events / (last - first):8,.0f} per second, after the first batch")
        print(f"                       {asked.events / used:8,.0f} per second of CPU time")
        run.stop()
        again = Run(broker, folder, asked.batch)
        asyncio.run(produce(broker.bootstrap, 100, asked.people, asked.items, seed=2))
        print(f"restart to first batch {again.fold(1):6.2f} s, state on disk")
        again.kill()
        (folder / "state").rename(folder / "lost")
        lost = Run(broker, folder, asked.batch)
        asyncio.run(produce(broker.bootstrap, 100, asked.people, asked.items, seed=3))
        lost.fold(1)
        recovered = lost.recoveries()
        records, seconds = sum(r for _, r in recovered), max(s for s, _ in recovered)
        speed = records / seconds
        print(f"recovery               {speed:8,.0f} records per second ({records:,} in {seconds:.2f} s), state lost")
        memory = resident_mib(lost.pid)
        print(f"                       {memory:8,.0f} MiB of memory after it")
        lost.stop()


if __name__ == "__main__":
    main()
