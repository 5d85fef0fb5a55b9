"""The processes of the demo: a broker, a tritonserver, workers. All are stopped at the end."""

import asyncio
import fcntl
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.errors import DeployError, StartFailed, TooSlow
from deploy.kafka import topics
from deploy.local import build_model as building
from deploy.local import pages
from deploy.local.brokers import Broker
from deploy.local.environment import CHILDREN
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

STALLED_SECONDS = 300.0
"""Workers that make no progress for this long fail the run."""


class Stage:
    """The parts of one run. `folder` is for this run (logs, state, the broker's data); later runs reuse `models`.

    Parts may be started concurrently, but workers after the topics. Exiting the context stops all, workers first.
    """

    def __init__(self, folder: Path, models: Path, broker: Broker) -> None:
        self.folder = folder
        self.broker = broker
        self.repository = models / "repository"
        self.without_triton = _why_no_triton()
        """The reason why this machine cannot run tritonserver; empty if it can."""
        grpc, self._metrics = free_ports(2)
        self.triton = "" if self.without_triton else f"127.0.0.1:{grpc}"
        """The address of tritonserver for workers; empty if there is none."""
        self._children: list[Child] = []
        self._workers: dict[int, Child] = {}
        self._pages: list[Page] = []
        self._triton: Child | None = None
        self._built = asyncio.Event()
        self._required: list[Child] = []
        self.model: tuple[str, ...] = ()
        """The adapter and the number format of the model that is built; empty: the usual ones."""
        self.control_key: Path | None = None
        """The key file with which a learner may load versions in tritonserver; None: no process may."""
        self.settings: dict[str, Any] = {}
        """Settings of the workers that differ from those of a short-lived worker."""

    async def start_broker(self, step: Step, partitions: int) -> None:
        """Start the broker and create the topics."""
        await self.broker.start_async()
        step.say("creating the topics")
        made = await topics.create(self.broker.bootstrap, events_partitions=partitions, items_partitions=partitions)
        step.say(f"{self.broker.name}, {len(made)} topics")

    async def build_model(self, step: Step, judged_from_ms: int) -> None:
        """Build the missing parts of the model. `judged_from_ms`: see `deploy.local.build_model`."""
        given = [str(self.repository), str(judged_from_ms), *self.model]
        command = [sys.executable, "-m", "deploy.local.build_model", *given]
        builder = self._child("The build of the model", command, "build.log")
        seen = ""
        deadline = time.monotonic() + BUILD_SECONDS
        while builder.running():
            if time.monotonic() > deadline:
                raise TooSlow(
                    f"the model was not built within {BUILD_SECONDS / 60:g} min; see {builder.log}. Last output: "
                    f"{seen or 'none'}"
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
            "--no-restart",  # the demo reports a part that exited
            *("--log", str(self.folder / "tritonserver.log")),
        ]
        if self.control_key is not None:
            command += ["--model-control", "--control-key", str(self.control_key)]
        step.say("tritonserver is loading the model", None, None)
        self._triton = self._child("Triton", command, "triton.log")
        # Its ports open after the model is loaded.
        await self._triton.until_ready(lambda: pages.answers(self._metrics, "/metrics"), TRITON_SECONDS)
        step.say("tritonserver is ready")

    async def start_workers(self, step: Step, count: int) -> None:
        """Start workers and wait until each is ready. Workers that score in-process first wait for the model."""
        if self.without_triton:
            step.say("waiting for the model")
            await self._built.wait()
        for number, port in enumerate(free_ports(count), start=1):
            usual = {
                "state_dir": self.folder / f"state-{number}",
                "triton": self.triton,
                "model_repository": str(self.repository),
                "web_port": port,
                "compared_users": 1,  # a run has too few users for a sample
            }
            settings = throwaway(self.broker.bootstrap, **{**usual, **self.settings})
            command = [sys.executable, "-m", "deploy.cli", "worker"]
            environment = to_environment(settings)
            worker = self._child(f"Worker {number}", command, f"worker-{number}.log", environment)
            self._workers[port] = worker
            self._pages.append(Page(worker.name, port, "/metrics", worker.log))
        for done, (port, worker) in enumerate(self._workers.items()):
            step.say("joining the group and reading the state", done, count)
            await worker.until_ready(lambda port=port: pages.answers(port, "/readyz"), WORKER_SECONDS)  # type: ignore[misc]
        step.say("ready")

    async def start(
        self, name: str, command: Sequence[str], log: str, environment: dict[str, str] | None = None
    ) -> Child:
        """Start another part, which must run until the end: `ended` reports it. `command` follows the interpreter, as
        in `-m deploy.cli learn`; `environment` adds to the variables of every child. Raises `StartFailed`."""
        child = self._child(name, [sys.executable, *command], log, environment)
        self._required.append(child)
        return child

    async def folded(self) -> int:
        """Events that the workers have folded, and counted into the item graph, since they started."""
        read = await self._read()
        return min(sum(pages.number(page, of) for page in read) for of in ("ouzel_events", "ouzel_counted_events"))

    async def undescribed(self) -> int:
        """Items without a vector in the worker that lacks most."""
        return max(pages.number(page, "ouzel_undescribed_items") for page in await self._read())

    async def described(self) -> int:
        """Items of the catalogue with a vector in the worker that has fewest."""
        return min(
            pages.number(page, "ouzel_catalogue_items") - pages.number(page, "ouzel_undescribed_items")
            for page in await self._read()
        )

    async def counted(self, metric: str) -> int:
        """A counter or gauge, summed over all workers."""
        return sum(pages.number(page, metric) for page in await self._read())

    @property
    def addresses(self) -> list[str]:
        """Where each worker's web server is."""
        return [f"http://127.0.0.1:{port}/" for port in self._workers]

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers.values()]

    async def judged(self) -> dict[str, int]:
        """The workers' counts since they started: `likes` of users with a list, and how many of these were on the
        `list`, on the list `without_model`, among the most popular items, and on that of item-kNN."""
        read = await self._read()
        hits = {of: sum(pages.number(page, "ouzel_list_hits", of=of) for page in read) for of in HITS}
        return {"likes": sum(pages.number(page, "ouzel_judged_likes") for page in read), **hits}

    def ended(self) -> str | None:
        """The message for a broker, worker or part of `start` that exited by itself; None while all run."""
        if self.broker.ended:
            return _last_words(f"The {self.broker.name} broker", self.broker.ended, self.broker.log)
        for child in (*self._workers.values(), *self._required):
            if not child.running():
                return _last_words(child.name, how_it_ended(child.returncode), child.log)
        return None

    def check(self) -> None:
        """Raise `StartFailed` if the broker or a worker exited by itself."""
        if (sentence := self.ended()) is not None:
            raise StartFailed(sentence)

    def triton_ended(self) -> str | None:
        """The message, with the tail of the log, if tritonserver exited by itself; None while it runs.

        Lists continue without it, so the caller decides whether that is an error.
        """
        if self._triton is None or self._triton.running():
            return None
        # `ouzel triton serve` exits when its server does, and prints how that exited.
        said = re.search(
            r"^ouzel: tritonserver ([^.\n]+)\.", self._triton.log.read_text(errors="replace"), re.MULTILINE
        )
        if said is None:
            return _last_words("`ouzel triton serve`", how_it_ended(self._triton.returncode), self._triton.log)
        return _last_words("tritonserver", said[1], self.folder / "tritonserver.log")

    def close(self) -> None:
        """Stop everything. Idempotent."""
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


async def until_folded(stage: Stage, step: Step, wanted: int) -> None:
    """Return when the workers have folded and counted this many events. Raises `TooSlow` if they stand still."""
    most, deadline = -1, 0.0
    while (done := await stage.folded()) < wanted:
        if done > most:
            most, deadline = done, time.monotonic() + STALLED_SECONDS
        elif time.monotonic() > deadline:
            raise TooSlow(
                f"the workers folded {done:,} of {wanted:,} ratings, then none for {STALLED_SECONDS:g} s: a worker "
                f"hangs, or this machine is overloaded. See the logs in {stage.folder}, and try again."
            )
        step.say(f"{done:,} ratings folded and counted", done, wanted)
        await asyncio.sleep(POLL_SECONDS)
    step.say(f"{wanted:,} ratings folded and counted")


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """An empty folder for this run, locked. Raises `DeployError` while another run has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            what = f"another {folder.name} is running in {folder.parent}"
            raise DeployError(f"{what}. Stop it, or use another folder.") from None
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
    return f"{name} {how}. Start again; if it exits again, see {log}. Its last lines:\n{tail(log)}"
