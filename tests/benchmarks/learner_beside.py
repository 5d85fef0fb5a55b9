"""What a learner on the same machine costs the lists: event-to-list p50, p95 and p99 with and without it.

    python -m tests.benchmarks.learner_beside [--rounds 6] [--seconds 40] [--rate 4] [--history 20000] [--broker kafka]

A real broker, tritonserver, worker and `ouzel log`, with MovieLens-100K. `ouzel learn --once` runs beside them with the
niceness of `ouzel learn`: it trains a version from the history and judges it, then begins the next. In every round the
same events are sent at the same rate twice: while it runs, and while it is stopped (SIGSTOP, so it holds its memory).
The order changes from round to round. Prints the ratios of the percentiles, pooled and by round, and what each version
cost: CPU seconds of training and judging, and peak memory. `tests.benchmarks.training_log` has the bytes of a logged
event.
"""

import argparse
import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer
from rich.console import Console

from deploy.datasets.dataset import films
from deploy.errors import DeployError
from deploy.local.brokers import EmbeddedBroker, KafkaBroker
from deploy.local.environment import CHILDREN, environment
from deploy.local.learner import fresh_repository, learn_command, start_log
from deploy.local.processes import guard, release
from deploy.local.stack import STALLED_SECONDS, Stage, until_folded
from deploy.local.steps import Steps
from deploy.replay.send import Sink, kafka_sink, send_history, send_items
from inference.versions.store import VersionStore
from schemas.codec import decode
from schemas.events import Event
from schemas.recommendations import Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.clock import SYSTEM
from streams.settings import Settings
from streams.training_log.reading import LogReader
from tests.benchmarks.scoring import KEPT

BROKERS = {"embedded": EmbeddedBroker, "kafka": KafkaBroker}
PERCENTILES = (50, 95, 99)
WITHOUT, WITH = "without", "with"
DRAIN_SECONDS = 30.0
"""How long a list may come after its phase; later ones are lost."""


class Learner:
    """`ouzel learn --once`, again and again, which can be stopped and continued with all its children."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._command, self._log = [sys.executable, *command], log
        self._process: subprocess.Popen[bytes] | None = None
        self.made: list[tuple[float, float]] = []
        """CPU seconds and peak MiB of each finished run, children included."""

    def keep_going(self) -> None:
        """Start the next run if the last one has ended."""
        if self._process is not None:
            pid, status, used = os.wait4(self._process.pid, os.WNOHANG)
            if pid == 0:
                return
            self._process.returncode = os.waitstatus_to_exitcode(status)
            release(pid)
            if self._process.returncode not in {0, 1}:  # 1: a gate failed, and the work was the same
                raise DeployError(f"`ouzel learn --once` ended with {self._process.returncode}; see {self._log}")
            self.made.append((used.ru_utime + used.ru_stime, used.ru_maxrss / 2**10))
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=out, env=environment(CHILDREN), start_new_session=True
            )
        guard(self._process.pid)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the run and everything below it."""
        assert self._process is not None
        for pid in below(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            release(self._process.pid)


def below(pid: int) -> list[int]:
    """A process and all its descendants, parents first (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


@dataclass
class Phase:
    """Milliseconds from each event to the list that answers it; lists without the model's scores; events that a list
    for a later event of the user answers; events without a list."""

    made: list[float] = field(default_factory=list)
    degraded: int = 0
    merged: int = 0
    lost: int = 0


async def phase(sink: Sink, bootstrap: str, events: Sequence[Event], rate: float, name: str) -> Phase:
    """Send the events at `rate` a second, with separate ids, and take in the lists that answer them."""
    found, sent, waiting = Phase(), dict[str, tuple[str, int]](), {f"{name}-{number}" for number in range(len(events))}
    consumer = AIOKafkaConsumer(RECOMMENDATIONS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:

        async def take() -> None:
            async for record in consumer:
                made = decode(Recommendation, record.value)
                if made.trigger in waiting:
                    user, ts = sent[made.trigger]
                    answered = [one for one in waiting & sent.keys() if sent[one][0] == user and sent[one][1] <= ts]
                    waiting.difference_update(answered)
                    found.degraded += made.degraded is not None
                    found.merged += len(answered) - 1
                    found.made += [made.freshness_ms + ts - sent[one][1] for one in answered]
                if not waiting:
                    return

        taking = asyncio.create_task(take())
        began = time.monotonic()
        for number, event in enumerate(events):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            stamped = msgspec.structs.replace(event, id=f"{name}-{number}", ts=SYSTEM.now_ms())
            sent[stamped.id] = stamped.user, stamped.ts
            await sink.send(EVENTS, stamped.user, stamped)
        await sink.flush()
        await asyncio.wait([taking], timeout=DRAIN_SECONDS)
        taking.cancel()
    finally:
        await consumer.stop()
    found.lost = len(waiting)
    return found


async def run(given: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Phase]], Learner, VersionStore]:
    dataset = films()
    stream = dataset.stream(0)
    history, live = stream[: given.history], stream[given.history :]
    store = VersionStore(folder / "versions")
    rounds: list[dict[str, Phase]] = []
    with Stage(folder, KEPT / "models", BROKERS[given.broker](folder / "broker")) as stage, Steps(Console()) as steps:
        stage.repository = fresh_repository(KEPT / "models", "beside")
        stage.control_key = folder / "control.key"
        with steps.step("model") as step:
            await stage.build_model(step, SYSTEM.now_ms())  # nothing is judged here
            await stage.start_triton(step)
        with steps.step("broker") as step:
            await stage.start_broker(step, 4)
        with steps.step("workers") as step:
            await stage.start_workers(step, 1)
        log = await start_log(stage)
        ends = SYSTEM.now_ms() - Settings().lists.trigger_max_age_ms
        async with kafka_sink(stage.broker.bootstrap) as sink:
            with steps.step("history") as step:
                await send_items(sink, dataset.items)
                await send_history(sink, history, last_ms=history[-1].ts, ends_ms=ends)
                await until_folded(stage, step, len(history))
                await until(stage.described, len(dataset.items))
                await until(lambda: asyncio.to_thread(logged, log), len(history))
            learner = Learner(learn_command(stage, log, store, ["--once"]), folder / "learner.log")
            learner.keep_going()
            try:
                with steps.step("rounds") as step:
                    count = round(given.rate * given.seconds)
                    for number in range(given.rounds + 1):
                        order = (WITHOUT, WITH) if number % 2 else (WITH, WITHOUT)
                        made: dict[str, Phase] = {}
                        for which in order:
                            learner.keep_going()
                            learner.signal(signal.SIGCONT if which == WITH else signal.SIGSTOP)
                            events = live[number * count : (number + 1) * count]
                            name = f"{number}-{which}"
                            made[which] = await phase(sink, stage.broker.bootstrap, events, given.rate, name)
                            step.say(name, number, given.rounds)
                        rounds.append(made)
            finally:
                learner.close()
    return rounds[1:], learner, store  # the first is a warm-up


async def until(count: Callable[[], Awaitable[int]], wanted: int) -> None:
    """Return when `count` gives at least `wanted`. Raises `DeployError` after `STALLED_SECONDS`."""
    deadline = time.monotonic() + STALLED_SECONDS
    while await count() < wanted:
        if time.monotonic() > deadline:
            raise DeployError(f"not all {wanted:,} came within {STALLED_SECONDS:g} s")
        await asyncio.sleep(1.0)


def logged(log: Path) -> int:
    return sum(1 for _ in LogReader(str(log)).read(EVENTS.name, Event))


def show(rounds: Sequence[dict[str, Phase]], learner: Learner, store: VersionStore) -> None:
    pooled = {which: np.concatenate([each[which].made for each in rounds]) for which in (WITHOUT, WITH)}
    for which, times in pooled.items():
        found = ", ".join(
            f"p{p} {value:.0f} ms" for p, value in zip(PERCENTILES, np.percentile(times, PERCENTILES), strict=True)
        )
        degraded, merged, lost = (
            sum(getattr(each[which], name) for each in rounds) for name in ("degraded", "merged", "lost")
        )
        print(
            f"{which} a learner: {found}; {len(times):,} events answered, {merged} by the list for a later one of the "
            f"user, {degraded} without the model; {lost} lost"
        )
    for p in PERCENTILES:
        ratio = np.percentile(pooled[WITH], p) / np.percentile(pooled[WITHOUT], p)
        each = [np.percentile(one[WITH].made, p) / np.percentile(one[WITHOUT].made, p) for one in rounds]
        print(
            f"p{p}: {ratio:.2f} times as long with a learner; by round {min(each):.2f} to {max(each):.2f}, "
            f"median {statistics.median(each):.2f}"
        )
    for number in store.numbers():
        made = store.record(number)
        print(
            f"version {number}: trained on {made.likes:,} likes in {made.seconds:.0f} s: {made.cpu_seconds:.0f} CPU "
            f"seconds, at most {made.peak_mib:.0f} MiB"
        )
    for cpu, peak in learner.made:
        print(f"trained and judged: {cpu:.0f} CPU seconds, at most {peak:.0f} MiB in one process")
    print(f"{os.cpu_count()} cores; load of the last minute: {os.getloadavg()[0]:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each phase")
    parser.add_argument("--rate", type=float, default=4.0, help="events a second")
    parser.add_argument("--history", type=int, default=20_000)
    parser.add_argument("--broker", choices=sorted(BROKERS), default="embedded")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ouzel-beside-") as folder:
        try:
            show(*asyncio.run(run(given, Path(folder))))
        except DeployError as error:
            print(error, file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main()
