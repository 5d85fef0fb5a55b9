"""Fold the same events with Ouzel's worker, a Faust agent, Quix Streams and Bytewax, on one broker, in one run.

The job: decode, drop duplicates among a user's last 32 events, keep the last 50 events and counts, write the changelog
to the broker, commit every second. The figure is events per second of CPU time (of all threads and children), which
depends less on other processes than wall time; it is the median of alternating rounds. Each contestant must reach the
same state as a plain fold of the events.

Ouzel runs twice: with OUZEL_DUTIES=contexts, which is the job, and in full, with co-visits, the item graph and
triggers. Even for the job its context holds more than the others': see docs/guide/performance.md.
"""

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

from deploy.errors import MissingPart
from deploy.local.brokers import Broker, EmbeddedBroker, KafkaBroker, find_kafka
from inference.triton.ports import free_ports
from tests.benchmarks.fold import load as loads
from tests.benchmarks.fold.contestants import ALL, Contestant, Place
from tests.benchmarks.fold.running import Run, expected, run

PARTITIONS = 4


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [each.name for each in ALL]
    parser.add_argument("--broker", choices=["auto", "embedded", "kafka"], default="auto")
    parser.add_argument("--events", type=int, default=1_200_000, help="The Faust agent and the full Ouzel get a tenth.")
    parser.add_argument("--people", type=int, default=42_000)
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument(
        "--peers", type=Path, default=Path(".ouzel/peers"), help="Folder for the environments of the peers."
    )
    asked = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader for a moment
    contestants = [each for each in ALL if each.name in asked.only]
    kind = choose(asked.broker)
    runs: dict[str, list[Run]] = {each.name: [] for each in contestants}
    for number in range(asked.rounds):
        with tempfile.TemporaryDirectory(prefix="ouzel-bench-") as folder, kind(Path(folder) / "broker") as broker:
            for contestant in contestants:
                found = once(contestant, broker, Path(folder), asked)
                runs[contestant.name].append(found)
                speed = f"{found.events_per_core_second:12,.0f} events per core-second"
                rest = f"{found.peak_mib:8,.0f} MiB{found.seconds:8.1f} s"
                print(f"round {number + 1}  {contestant.name:12}{speed}{rest}", file=sys.stderr)
    figures = {name: summary(each) for name, each in runs.items()}
    show(figures, kind.name)
    if asked.json is not None:
        asked.json.write_text(json.dumps({"broker": kind.name, "events": asked.events, "fold": figures}, indent=2))
    return 0


def choose(name: str) -> type[Broker]:
    """The named broker, or for "auto", Apache Kafka if installed, else the embedded broker."""
    if name == "auto":
        try:
            find_kafka()
        except MissingPart:
            return EmbeddedBroker
    return EmbeddedBroker if name == "embedded" else KafkaBroker


@lru_cache(maxsize=2)
def prepared(events: int, people: int, items: int) -> tuple[loads.Load, str, int]:
    """A load, the digest of the state after a plain fold, and the number of events that are not duplicates."""
    load = loads.make(events, people, items, PARTITIONS)
    return load, *expected(load)


def once(contestant: Contestant, broker: Broker, folder: Path, asked: argparse.Namespace) -> Run:
    """One run. Exits if the state differs from that of a plain fold."""
    load, state, accepted = prepared(int(asked.events * contestant.share), asked.people, asked.items)
    port = free_ports(1)[0]
    place = Place(broker.bootstrap, folder / contestant.name, f"bench-{contestant.name}", PARTITIONS, port)
    place.folder.mkdir()
    found = asyncio.run(run(contestant, place, load, asked.peers, accepted))
    if found.state != state:
        sys.exit(f"{contestant.name} reached another state than a plain fold of the same events: its figure is invalid")
    return found


def summary(runs: list[Run]) -> dict[str, float]:
    return {
        "events_per_core_second": statistics.median(each.events_per_core_second for each in runs),
        "peak_mib": statistics.median(each.peak_mib for each in runs),
    }


def show(figures: dict[str, dict[str, float]], broker: str) -> None:
    first = next(iter(figures))
    print(f"\n| on {broker} | events per core-second, {first} as 1 | {first} is faster | peak memory, {first} as 1 |")
    print("|---|---|---|---|")
    for name, each in figures.items():
        speed = each["events_per_core_second"] / figures[first]["events_per_core_second"]
        memory = each["peak_mib"] / figures[first]["peak_mib"]
        print(f"| {name} | {speed:.2f} | {1 / speed:.1f} times | {memory:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
