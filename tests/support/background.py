"""What a bench runs in the background, for the length of a test."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar


class Bench(Protocol):
    def tasks(self) -> Iterable[Coroutine[Any, Any, None]]:
        """What runs until it is cancelled."""


Running = TypeVar("Running", bound=Bench)


@asynccontextmanager
async def running(bench: Running) -> AsyncIterator[Running]:
    """Run the tasks of a bench beside the block, and cancel them at its end."""
    tasks = [asyncio.create_task(each) for each in bench.tasks()]
    try:
        yield bench
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
