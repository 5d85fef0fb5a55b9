"""Everything that the demo runs beside itself: a broker, a tritonserver, workers. None is left behind."""

import asyncio
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from deploy import building, topics
from deploy.brokers import Broker
from deploy.errors import StartFailed
from deploy.processes import Child
from deploy.steps import Step
from inference.errors import TritonNotAvailable
from inference.installation import find_installation
from inference.ports import free_ports
from inference.server import MODEL
from streams.metrics import HITS
from streams.settings import throwaway, to_environment

BUILD_SECONDS = 1_800.0
TRITON_SECONDS = 180.0
WORKER_SECONDS = 120.0
POLL_SECONDS = 0.25

CHILDREN = {
    "HF_HUB_OFFLINE": "1",
    # A model's threads that wait leave the core to the other parts: spinning made a pass several times slower where
    # the parts of the demo share two cores.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
}
"""What every child has in its environment."""


class Stage:
    """The parts of one run. `folder` is this run's (logs, state, the broker's data); `models` outlives it.

    Parts may be started at the same time, workers after the topics. Leaving the context ends all, the workers first.
    """

    def __init__(self, folder: Path, models: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        self.repository = models / "repository"
        self.without_triton = _why_no_triton()
        """Why this machine has no tritonserver; empty if it has one."""
        grpc, self._http, self._metrics = free_ports(3)
        self.triton = "" if self.without_triton else f"127.0.0.1:{grpc}"
        """Where workers ask tritonserver; empty if there is none."""
        self._children: list[Child] = []
        self._workers: dict[int, Child] = {}
        self._built = asyncio.Event()

    async def start_broker(self, step: Step, partitions: int) -> None:
        """Start the broker and make the topics."""
        await self.broker.start_async()
        step.say("making the topics")
        made = await topics.create(self.broker.bootstrap, events_partitions=partitions, items_partitions=partitions)
        step.say(f"{self.broker.name}, {len(made)} topics")

    async def build_model(self, step: Step, judged_from_ms: int) -> None:
        """Build what is missing of the model. `judged_from_ms`: see `deploy.building`."""
        command = [sys.executable, "-m", "deploy.building", str(self.repository), str(judged_from_ms)]
        builder = self._child("The build of the model", command, "build.log")
        seen = ""
        for _ in range(int(BUILD_SECONDS / POLL_SECONDS)):
            if not builder.running():
                break
            last = builder.tail(1)
            if last != seen and (said := building.parse(last)) is not None:
                step.say(*said)
            seen = last
            await asyncio.sleep(POLL_SECONDS)
        if builder.stop() != 0:
            raise StartFailed(f"the model could not be built. The last lines of {builder.log}:\n{builder.tail()}")
        self._built.set()

    async def start_triton(self, step: Step) -> None:
        """Serve the built model and wait until it answers."""
        command = [
            *(sys.executable, "-m", "deploy.cli", "triton", "serve"),
            *("--repository", str(self.repository)),
            *(
                "--grpc-port",
                self.triton.rpartition(":")[2],
                "--http-port",
                str(self._http),
                "--metrics-port",
                str(self._metrics),
            ),
            *("--log", str(self.folder / "tritonserver.log")),
        ]
        step.say("tritonserver loads the model", None, None)
        triton = self._child("Triton", command, "triton.log")
        await triton.until_ready(lambda: _ok(self._http, f"/v2/models/{MODEL}/ready"), TRITON_SECONDS)
        step.say("tritonserver answers")

    async def start_workers(self, step: Step, count: int) -> None:
        """Start workers and wait until each is ready; those that score in-process wait for the model first."""
        if self.without_triton:
            step.say("waiting for the model")
            await self._built.wait()
        for number, port in enumerate(free_ports(count), start=1):
            settings = throwaway(
                self.broker.bootstrap,
                state_dir=self.folder / f"state-{number}",
                triton=self.triton,
                model_repository=str(self.repository),
                web_port=port,
            )
            command = [sys.executable, "-m", "deploy.cli", "worker"]
            environment = to_environment(settings)
            self._workers[port] = self._child(f"Worker {number}", command, f"worker-{number}.log", environment)
        for done, (port, worker) in enumerate(self._workers.items()):
            step.say("joining the group and reading the state", done, count)
            await worker.until_ready(lambda port=port: _ok(port, "/readyz"), WORKER_SECONDS)  # type: ignore[misc]
        step.say("ready")

    async def folded(self) -> int:
        """How many events the workers have folded, and counted into the item graph, since they started."""
        pages = await asyncio.gather(*(asyncio.to_thread(_get, port, "/metrics") for port in self._workers))
        return min(sum(read(page, of) for page in pages) for of in ("ouzel_events", "ouzel_counted_events"))

    async def undescribed(self) -> int:
        """How many items the model has not described yet to the worker that waits for most."""
        pages = await asyncio.gather(*(asyncio.to_thread(_get, port, "/metrics") for port in self._workers))
        return max(read(page, "ouzel_undescribed_items") for page in pages)

    async def counted(self, metric: str) -> int:
        """A counter or gauge, over all workers."""
        pages = await asyncio.gather(*(asyncio.to_thread(_get, port, "/metrics") for port in self._workers))
        return sum(read(page, metric) for page in pages)

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers.values()]

    async def judged(self) -> dict[str, int]:
        """What the workers have judged since they started: `likes` of people with a list, and how many of these stood
        on the `list`, on the list as it would be `without_model`, and among the `popular`."""
        pages = await asyncio.gather(*(asyncio.to_thread(_get, port, "/metrics") for port in self._workers))
        hits = {of: sum(read(page, "ouzel_list_hits", of=of) for page in pages) for of in HITS}
        return {"likes": sum(read(page, "ouzel_judged_likes") for page in pages), **hits}

    def check(self) -> None:
        """Raise `StartFailed` if the broker or a worker has ended by itself. Without Triton the lists go on."""
        if not self.broker.running():
            raise StartFailed(f"the broker has ended; see the logs in {self.broker.folder}")
        for worker in self._workers.values():
            if not worker.running():
                last = worker.tail()
                raise StartFailed(f"{worker.name} has ended with status {worker.returncode}; see {worker.log}:\n{last}")

    def close(self) -> None:
        """End everything. Idempotent."""
        for child in reversed(self._children):
            child.stop()
        self.broker.stop()

    def _child(self, name: str, command: list[str], log: str, environment: dict[str, str] | None = None) -> Child:
        child = Child(name, command, log=self.folder / log, env={**CHILDREN, **(environment or {})})
        self._children.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(page: str, metric: str, **labels: str) -> int:
    """The sum of a counter or gauge over its series with these labels, from a page of metrics."""
    families = [family for family in text_string_to_metric_families(page) if family.name == metric]
    samples = [s for family in families for s in family.samples if s.name in {metric, f"{metric}_total"}]
    return int(sum(s.value for s in samples if labels.items() <= s.labels.items()))


def _why_no_triton() -> str:
    try:
        find_installation()
    except TritonNotAvailable as error:
        return str(error)
    return ""


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2.0) as answer:
        return str(answer.read().decode())


def _ok(port: int, path: str) -> bool:
    """Whether a page answers with success; the errors of urllib are OSErrors."""
    _get(port, path)
    return True
