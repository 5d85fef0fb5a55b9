"""Session numbers of lists for contexts in requests: the model drops what it cached of them afterwards, in batches."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.scoring import MAX_FORGOTTEN
from streams.privacy.sessions import one_off
from streams.serving.one_off import OneOffLists


class RequestSessions:
    """`lists` returns what makes one-off lists, None while the worker starts."""

    def __init__(self, lists: Callable[[], OneOffLists | None]) -> None:
        self._lists = lists
        self._over: list[int] = []
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def one(self) -> Iterator[int]:
        """A number for one list."""
        number = one_off(secrets.randbits(63))
        try:
            yield number
        finally:
            self._over.append(number)
            if self._task is None or self._task.done():
                self._task = asyncio.get_running_loop().create_task(self._drop())

    async def _drop(self) -> None:
        while self._over and (lists := self._lists()) is not None:
            some, self._over = self._over[:MAX_FORGOTTEN], self._over[MAX_FORGOTTEN:]
            await lists.forget(some)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
