"""Everything that the demo runs beside itself: a broker, a tritonserver, workers. None is left behind."""

import asyncio
import fcntl
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.errors import DeployError, StartFailed, TooSlow
from deploy.kafka import topics
from deploy.local import build_model as building
from deploy.local import pages
from deploy.local.brokers import Broker
from deploy.local.pages import Page
from deploy.local.processes import Child, how_it_ended, tail
from deploy.local.steps import Step
from inference.errors import TritonNotAvailable
from inference.triton.installation import find_installation
from inference.triton.ports import free_ports
from streams.metrics import HITS
from streams.private import private_folder
from streams.settings import throwaway, to_environment

BUILD_SECONDS = 3_600.0
TRITON_SECONDS = 720.0
WORKER_SECONDS = 480.0
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
        grpc, self._metrics = free_ports(2)
        self.triton = "" if self.without_triton else f"127.0.0.1:{grpc}"
        """Where workers ask tritonserver; empty if there is none."""
        self._children: list[Child] = []
        self._workers: dict[int, Child] = {}
        self._pages: list[Page] = []
        self._triton: Child | None = None
        self._built = asyncio.Event()
        self.seen: dict[str, str] = {}

    async def start_broker(self, step: Step, partitions: int) -> None:
        """Start the broker and make the topics."""
        await self.broker.start_async()
        step.say("making the topics")
        made = await topics.create(self.broker.bootstrap, events_partitions=partitions, items_partitions=partitions)
        step.say(f"{self.broker.name}, {len(made)} topics")

    async def build_model(self, step: Step, judged_from_ms: int) -> None:
        """Build what is missing of the model. `judged_from_ms`: see `deploy.local.build_model`."""
        command = [sys.executable, "-m", "deploy.local.build_model", str(self.repository), str(judged_from_ms)]
        builder = self._child("The build of the model", command, "build.log")
        seen = ""
        deadline = time.monotonic() + BUILD_SECONDS
        while builder.running():
            if time.monotonic() > deadline:
                raise TooSlow(
                    f"the model was not built in {BUILD_SECONDS / 60:g} min; it last said: {seen or 'nothing'}"
                )
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
            *("--grpc-port", self.triton.rpartition(":")[2], "--metrics-port", str(self._metrics)),
            "--no-restart",  # a demo names the part that has ended
            *("--log", str(self.folder / "tritonserver.log")),
        ]
        step.say("tritonserver loads the model", None, None)
        self._triton = self._child("Triton", command, "triton.log")
        # Its ports open when the model is loaded.
        await self._triton.until_ready(lambda: pages.answers(self._metrics, "/metrics"), TRITON_SECONDS)
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
                **self.seen,
            )
            command = [sys.executable, "-m", "deploy.cli", "worker"]
            environment = to_environment(settings)
            worker = self._child(f"Worker {number}", command, f"worker-{number}.log", environment)
            self._workers[port] = worker
            self._pages.append(Page(worker.name, port, "/metrics", worker.log))
        for done, (port, worker) in enumerate(self._workers.items()):
            step.say("joining the group and reading the state", done, count)
            await worker.until_ready(lambda port=port: pages.answers(port, "/readyz"), WORKER_SECONDS)  # type: ignore[misc]
        step.say("ready")

    async def folded(self) -> int:
        """How many events the workers have folded, and counted into the item graph, since they started."""
        read = await self._read()
        return min(sum(pages.number(page, of) for page in read) for of in ("ouzel_events", "ouzel_counted_events"))

    async def undescribed(self) -> int:
        """How many items the model has not described yet to the worker that waits for most."""
        return max(pages.number(page, "ouzel_undescribed_items") for page in await self._read())

    async def described(self) -> int:
        """How many items of the catalogue the model has described to the worker that has fewest."""
        return min(
            pages.number(page, "ouzel_catalogue_items") - pages.number(page, "ouzel_undescribed_items")
            for page in await self._read()
        )

    async def counted(self, metric: str) -> int:
        """A counter or gauge, over all workers."""
        return sum(pages.number(page, metric) for page in await self._read())

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers.values()]

    async def judged(self) -> dict[str, int]:
        """What the workers have judged since they started: `likes` of people with a list, and how many of these stood
        on the `list`, on the list as it would be `without_model`, and among the `popular`."""
        read = await self._read()
        hits = {of: sum(pages.number(page, "ouzel_list_hits", of=of) for page in read) for of in HITS}
        return {"likes": sum(pages.number(page, "ouzel_judged_likes") for page in read), **hits}

    def ended(self) -> str | None:
        """What to say of the broker or a worker that has ended by itself; None while all run."""
        if self.broker.ended:
            return _last_words(f"The {self.broker.name} broker", self.broker.ended, self.broker.log)
        for worker in self._workers.values():
            if not worker.running():
                return _last_words(worker.name, how_it_ended(worker.returncode), worker.log)
        return None

    def check(self) -> None:
        """Raise `StartFailed` if the broker or a worker has ended by itself."""
        if (sentence := self.ended()) is not None:
            raise StartFailed(sentence)

    def triton_ended(self) -> str | None:
        """What to say where tritonserver has ended by itself, with the tail of its log; None while it has not.

        Lists go on without it, so it is the caller's to say whether that is an error.
        """
        if self._triton is None or self._triton.running():
            return None
        # `ouzel triton serve` ends when its server does, and says how that ended.
        said = re.search(
            r"^ouzel: tritonserver ([^.\n]+)\.", self._triton.log.read_text(errors="replace"), re.MULTILINE
        )
        if said is None:
            return _last_words("`ouzel triton serve`", how_it_ended(self._triton.returncode), self._triton.log)
        return _last_words("tritonserver", said[1], self.folder / "tritonserver.log")

    def close(self) -> None:
        """End everything. Idempotent."""
        for child in reversed(self._children):
            child.stop()
        self.broker.stop()

    async def _read(self) -> list[str]:
        """The metrics of every worker."""
        return await asyncio.gather(*(page.read() for page in self._pages))

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


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """An empty folder for this run alone. Raises `DeployError` while another run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DeployError(f"another demo runs in {folder.parent}. End it, or take another folder.") from None
        shutil.rmtree(folder)
        private_folder(folder)
        yield folder


def _why_no_triton() -> str:
    try:
        find_installation()
    except TritonNotAvailable as error:
        return str(error)
    return ""


def _last_words(name: str, how: str, log: Path) -> str:
    return f"{name} {how}. Start again; if it ends again, look at {log}, whose last lines are:\n{tail(log)}"
