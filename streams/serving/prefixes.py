"""Dropping the prefixes that the model caches of users, when they are erased or move to another worker."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from schemas.scoring import MAX_FORGOTTEN, Scorer, ScoringError
from streams.privacy.sessions import PREFIX, Sessions

log = logging.getLogger(__name__)

FORGET_SECONDS = 2.0
"""Maximum time for the model to drop the prefixes of erased users."""

DROP_SECONDS = 60.0
"""Maximum time when nothing waits for it: a partition moved to another worker."""


class State(Protocol):
    """The parts of a partition's state that are needed here."""

    @property
    def sessions(self) -> Sessions | None: ...
    def note_alone(self) -> None: ...


class Prefixes:
    """The prefixes that `scorer` caches; None without a model."""

    def __init__(self, scorer: Scorer | None) -> None:
        self._scorer = scorer
        self._tasks: set[asyncio.Task[None]] = set()

    async def drop(self, state: State, users: Sequence[str]) -> tuple[str, ...]:
        """Drop those of erased users. Returns what may remain, as what@where, until it is the least recently used.

        The first time in the life of a state the model drops all prefixes: it may have cached these users under numbers
        that cannot be computed any more (`Sessions.alone`).
        """
        sessions = state.sessions
        if not users or sessions is None:
            return ()
        if self._scorer is None:
            return (PREFIX,)
        try:
            async with asyncio.timeout(FORGET_SECONDS):
                if not sessions.alone:
                    await self._scorer.forget(None, timeout=FORGET_SECONDS)
                    state.note_alone()
                    return ()
                for first in range(0, len(users), MAX_FORGOTTEN):
                    numbers = [sessions.number(user) for user in users[first : first + MAX_FORGOTTEN]]
                    await self._scorer.forget(numbers, timeout=FORGET_SECONDS)
        except (ScoringError, TimeoutError) as error:
            log.warning("The model could not drop the prefixes of erased users (%s)", type(error).__name__)
            return (PREFIX,)
        return ()

    async def drop_sessions(self, numbers: Sequence[int]) -> bool:
        """Drop those of at most `MAX_FORGOTTEN` sessions; whether none remains."""
        if self._scorer is None:
            return True
        try:
            await self._scorer.forget(numbers, timeout=FORGET_SECONDS)
        except ScoringError as error:
            log.warning("The model could not drop the prefixes of one-off lists (%s)", type(error).__name__)
            return False
        return True

    def release(self) -> None:
        """A partition moved to another worker: that one will erase its users, and cannot reach this process."""
        if self._scorer is not None and self._scorer.keeps_here:
            task = asyncio.get_running_loop().create_task(self._drop_all(self._scorer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drop_all(self, scorer: Scorer) -> None:
        try:
            await scorer.forget(None, timeout=DROP_SECONDS)
        except ScoringError as error:
            log.warning("The model could not drop the prefixes of a lost partition (%s)", type(error).__name__)
