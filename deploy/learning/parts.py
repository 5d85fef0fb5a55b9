"""The real parts of the loop: the training log, the training, the gates, and Triton."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import MissingPart
from deploy.learning.ports import Log, Makers, Parts, Server
from inference.versions.store import VersionStore

NOT_HERE = "This build of Ouzel lacks it; install a complete one."


@dataclass(frozen=True)
class Places:
    """Where everything is: the root of the training log (a folder or a URL), the store, Triton's model repository, its
    gRPC address and control key, and how to train."""

    log: str
    store: VersionStore
    repository: Path
    triton: str
    control_key: Path
    device: str = "cpu"
    threads: int | None = None


@asynccontextmanager
async def parts_of(places: Places) -> AsyncIterator[Parts]:
    """All parts, closed at the end. Raises `MissingPart` where one is not installed."""
    async with server_of(places) as server:
        yield Parts(log=log_of(places), makers=makers_of(places, server), server=server)


@asynccontextmanager
async def server_of(places: Places) -> AsyncIterator[Server]:
    """Triton's versions. It is asked only when a method is called."""
    raise MissingPart("the control of Triton's versions", NOT_HERE)
    yield  # a generator until the control is connected


def log_of(places: Places) -> Log:
    raise MissingPart("the reader of the training log", NOT_HERE)


def makers_of(places: Places, server: Server) -> Makers:
    raise MissingPart("the training of versions", NOT_HERE)
