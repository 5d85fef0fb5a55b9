"""The real parts of the loop: the training log, the training, the gates, and Triton."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.errors import DeployError, MissingPart
from deploy.learning.child import ChildGates, ChildTrainer
from deploy.learning.job import MODULE, MOST_EVENTS, MOST_TESTS, TRAINING_SECONDS, Job, variables
from deploy.learning.ports import Log, Makers, Parts, Server, Watch
from deploy.local.terminal import say
from inference.versions.store import VersionStore


@dataclass(frozen=True)
class Places:
    """Where everything is: the root of the training log (a folder or a URL), the store, Triton's model repository, its
    gRPC address and control key, the brokers, and how to train and judge."""

    log: str
    store: VersionStore
    repository: Path
    triton: str
    control_key: Path
    brokers: str = ""
    timeout: float = 30.0
    device: str = "cpu"
    threads: int | None = None
    seconds: float = TRAINING_SECONDS
    replay: float = 1.0
    days: int = 30
    most: int = MOST_EVENTS
    groups: tuple[str, ...] = ()
    tests: int = MOST_TESTS

    def job(self, **work: object) -> Job:
        """A job of a child process with these places."""
        return msgspec.convert(
            {
                "log": self.log,
                "versions": str(self.store.root.resolve()),
                "repository": str(self.repository.resolve()),
                "triton": self.triton,
                "brokers": self.brokers,
                "timeout": self.timeout,
                "device": self.device,
                "threads": self.threads or 0,
                "seconds": self.seconds,
                "replay": self.replay,
                "days": self.days,
                "most": self.most,
                "groups": self.groups,
                "tests": self.tests,
                **work,
            },
            Job,
        )


@asynccontextmanager
async def parts_of(places: Places) -> AsyncIterator[Parts]:
    """All parts, closed at the end. Raises `MissingPart` where one is not installed."""
    async with server_of(places) as server:
        yield Parts(log=log_of(places), makers=makers_of(places), server=server, watch=watch_of(places))


@asynccontextmanager
async def server_of(places: Places) -> AsyncIterator[Server]:
    """Triton's versions. It is asked only when a method is called."""
    try:
        from deploy.learning.triton_server import TritonServer  # noqa: PLC0415 - imports torch
        from inference.triton.control import find_key  # noqa: PLC0415
        from inference.triton.model_control import ModelControl  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingPart(f"the model ({error.name})", "pip install 'ouzel[demo]'") from None
    key = find_key(places.control_key, os.environ)
    control = ModelControl(places.triton, places.repository, key)
    try:
        yield TritonServer(control, places.repository, places.store)
    finally:
        await control.close()


def log_of(places: Places) -> Log:
    try:
        from deploy.learning.log_growth import LogGrowth  # noqa: PLC0415 - imports pyarrow
    except ModuleNotFoundError as error:
        raise MissingPart(f"the reader of the training log ({error.name})", "pip install 'ouzel[files]'") from None
    if not places.log:
        raise DeployError("there is no training log: name its folder or URL with --log (OUZEL_TRAINING_LOG).")
    return LogGrowth(places.log)


def watch_of(places: Places) -> Watch:
    """Call it after `log_of`, which says what is missing."""
    from deploy.commands.options import connection  # noqa: PLC0415
    from deploy.learning.catalogue import read_catalogue  # noqa: PLC0415
    from deploy.learning.drift import LogDrift  # noqa: PLC0415 - imports pyarrow

    return LogDrift(places.log, lambda: read_catalogue(places.brokers, connection(), places.timeout), say)


def makers_of(places: Places) -> Makers:
    """Children that train and judge; what they print is in `work.log` of the store."""
    log = places.store.root / "work.log"

    def command(**work: object) -> list[str]:
        job = places.job(**work)
        return [sys.executable, "-m", MODULE, msgspec.json.encode(job).decode()]

    environment = variables(os.environ)
    return Makers(
        trainer=ChildTrainer(
            places.store,
            lambda kind, parent, number: command(work="train", kind=kind, other=parent, number=number),
            log,
            environment,
        ),
        gates=ChildGates(
            lambda work, number, champion, result: command(
                work=work, number=number, other=champion, result=str(result)
            ),
            log,
            places.store.root.resolve(),
            environment,
        ),
    )
