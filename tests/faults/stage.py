"""The system under test and its users: a broker, workers, a scorer, load, and a reader."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from inference.triton.ports import free_ports
from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.topics import EVENTS, ITEMS
from streams.settings import throwaway
from tests.faults.cluster import FaultyKafka
from tests.faults.load import ITEMS as FILMS
from tests.faults.load import PARTITIONS, Load
from tests.faults.monitor import Monitor
from tests.faults.operator import LOG_NAME, Operator
from tests.faults.pulse import Pulse
from tests.faults.scorer import Scorer
from tests.faults.training_log import TrainingLog, belonging
from tests.faults.verdict import Place
from tests.faults.versions import Versions
from tests.faults.watch import Watch
from tests.faults.worker import VARIABLE
from tests.support.pipeline import films
from tests.support.topics import send_all
from tests.support.workers import Worker

APP = "faults"
DEADLINE_SECONDS = 2.0
ALLOWED_SECONDS = 3 * DEADLINE_SECONDS
"""Maximum seconds until a reader has a list: the deadline, plus twice as much for a busy machine. Faults of the model
last longer than that."""
SETTINGS: dict[str, Any] = {
    "app_id": APP,
    "batch_max_events": 100,
    "commit_interval_s": 0.2,
    "list_deadline_ms": int(DEADLINE_SECONDS * 1000),
    "patience_ms": 1_500,
    "trigger_max_age_ms": 600_000,
    "warm_up_s": 10.0,
}
"""Small batches, so that faults hit the middle of a burst; events that waited through an outage are still answered."""

NAMES = ("a", "b", "c")
DISK_MB = 64
LOOK_SECONDS = 0.2


class Stage:
    """One broker with its topics, and everything that uses it.

    `scorer` is None without a tritonserver; `prometheus` is the path of that program, None if not installed.
    """

    def __init__(
        self,
        broker: Broker,
        folder: Path,
        *,
        scorer: Scorer | None,
        seed: int,
        rate: float,
        allowed: float = ALLOWED_SECONDS,
        prometheus: str | None = None,
    ) -> None:
        self.broker = broker
        self.allowed = allowed
        self.folder = folder
        self.scorer = scorer
        self.workers: dict[str, Worker] = {}
        self.load = Load(broker.bootstrap, seed, rate)
        self.watch = Watch(broker.bootstrap, self.load)
        self.log = TrainingLog(folder, self._brokers, APP)
        self.versions = None if scorer is None else Versions(broker.bootstrap, scorer)
        self.operator = Operator(None if prometheus is None else Monitor(prometheus, folder / "prometheus"))
        self.pulse = Pulse()
        self.ended: list[str] = []
        """Workers and logs that exited unexpectedly, with their exit status."""
        self.partitions = PARTITIONS
        """The number of partitions of `ouzel.events`."""
        self.archived: dict[Place, Any] = {}
        """Records deleted since, by place."""
        self.expired: set[Place] = set()
        """The places of deleted records that no worker had read."""
        self.letters: dict[Place, bytes | None] = {}
        """The bytes of dead letters from before the topic was recreated, by the place of the original."""
        self.letters_before = 0
        """The number of those dead letters."""
        self.states = folder / "state"
        self.mounted = False
        self._ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        self._supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            if self.operator.monitor is not None:
                self.operator.monitor.start()
            await create(self.broker.bootstrap)
            await send_all(
                self.broker.bootstrap, [(film.id.encode(), encode(film)) for film in films(FILMS)], ITEMS.name
            )
            self.states.mkdir(parents=True)
            self.mounted = mount(self.states)
            if self.scorer is not None:
                await asyncio.to_thread(self.scorer.start)
            if self.versions is not None:
                await self.versions.start()
            self.start(NAMES[0])
            self.start_log()
            await self.load.start()
            await self.watch.start()
            self.operator.start()
            self.pulse.start()
            self._supervisor = asyncio.create_task(self._supervise(), name="supervisor")
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
        await self.pulse.stop()
        await self.operator.stop()
        await self.load.stop()
        await self.watch.stop()
        for name in list(self.workers):
            await self.stop(name)
        await self.log.stop()
        if self.versions is not None:
            await self.versions.stop()
        if self.scorer is not None:
            await asyncio.to_thread(self.scorer.stop)
        if self.mounted:
            unmount(self.states)

    # Workers

    def start(self, name: str, **more: Any) -> None:
        """Start a worker on the state of the last one with this name; `more` are settings for this start only."""
        settings = throwaway(
            state_dir=self.states / name,
            web_port=self._ports[name],
            triton=self.scorer.address if self.scorer else "",
            **self._brokers,
            **(SETTINGS | more),
        )
        worker = Worker(
            settings,
            self.folder / f"{name}.log",
            name=f"worker {name}",
            command=[sys.executable, "-m", "tests.faults.worker"],
            env={VARIABLE: str(self.clock_of(name)), "OMP_NUM_THREADS": "1"},
        )
        self.workers[name] = worker
        self.operator.follow(name, self._ports[name], worker.log)

    @property
    def _brokers(self) -> dict[str, Any]:
        """The connection settings of workers and the training log."""
        if isinstance(self.broker, FaultyKafka):
            return self.broker.for_workers
        return {"brokers": self.broker.bootstrap}

    def start_log(self) -> None:
        """Start `ouzel log` on the files of the last one."""
        self.log.start()
        self.operator.follow(LOG_NAME, self.log.port, self.log.output)

    async def logged(self, records: Iterable[Any]) -> None:
        """Wait until these events, which are about to be deleted, are in the training log."""
        await self.log.has(belonging(self.placed(records), EVENTS), self.load.bases)

    def clock_of(self, name: str) -> Path:
        """The file with the seconds that a worker's clock is off by."""
        return self.folder / f"{name}.clock"

    def kill(self, name: str) -> None:
        """kill -9, at once."""
        self.workers.pop(name).kill()

    async def stop(self, name: str) -> int:
        """Send SIGTERM, and wait for the exit; returns the exit status."""
        return await asyncio.to_thread(self.workers.pop(name).stop, 30.0)

    def lose_state(self, name: str) -> None:
        shutil.rmtree(self.states / name, ignore_errors=True)

    def signal(self, name: str, number: signal.Signals) -> None:
        os.killpg(self.workers[name].pid, number)

    def archive(self, records: Iterable[Any], unread: Iterable[Place]) -> None:
        """Store records that are about to be deleted, and the places of those that no worker has read."""
        self.archived.update(self.placed(records))
        self.expired.update(unread)

    def placed(self, records: Iterable[Any]) -> dict[Place, Any]:
        """Records of `ouzel.events` by place, with the offsets that workers use."""
        places = {self.load.place(record): record for record in records}
        return {place: replace(record, offset=place[1]) for place, record in places.items()}

    def letters_of(self, records: Sequence[Any]) -> list[tuple[Place, bytes | None]]:
        """The dead letters of the current `ouzel.events`: the place and the bytes of each original."""
        found = [decode(DeadLetter, record.value) for record in records[self.letters_before :]]
        return [(self.load.place(each), each.value) for each in found if each.topic == EVENTS.name]

    def free_name(self) -> str:
        return next(name for name in NAMES if name not in self.workers)

    async def _supervise(self) -> None:
        """Restart workers and `ouzel log` where they exited unexpectedly, like a supervisor, and record it."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            log = self.log.process
            if log is not None and not log.running():
                self.ended.append(f"the training log ended with status {log.returncode}")
                log.kill()
                self.start_log()
            for name, worker in list(self.workers.items()):
                if not worker.running() and self.workers.get(name) is worker:
                    self.ended.append(f"worker {name} ended with status {worker.returncode}")
                    worker.kill()
                    self.start(name)


def mount(folder: Path) -> bool:
    """Mount a file system of `DISK_MB` on `folder`; False without permission."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "ouzel-faults", str(folder)]
    with contextlib.suppress(OSError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


def unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False)
