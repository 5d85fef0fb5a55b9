"""Retrying: pauses, what is retried, and how it ends."""

import asyncio
import logging
from itertools import pairwise

import pytest
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import Clock
from streams.errors import StoreFailed
from streams.log_limit import RateLimitedLog
from streams.retry import Pauses, logged, retry

log = logging.getLogger(__name__)


class Hand:
    """A clock that moves only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.clock = Clock(now_ms=lambda: 0, monotonic=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        await asyncio.sleep(0)


class Work:
    """Work that raises the given errors, one each time, and then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.tries = 0

    async def __call__(self) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


async def test_work_is_retried_until_it_succeeds() -> None:
    hand, work = Hand(), Work(*[KafkaError()] * 5)
    told: list[tuple[str, float]] = []
    await retry(
        work,
        pauses=Pauses(0.5, 3.0),
        clock=hand.clock,
        failed=lambda error, pause: told.append((type(error).__name__, pause)),
    )
    assert work.tries == 6
    assert hand.slept == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert told == [("KafkaError", pause) for pause in hand.slept]


@given(st.floats(0.01, 10), st.floats(1, 100), st.integers(1, 40))
def test_pauses_double_within_their_bound_and_begin_again(first: float, factor: float, count: int) -> None:
    pauses = Pauses(first, first * factor)
    seen = [pauses.next() for _ in range(count)]
    assert seen[0] == first
    assert all(pause <= first * factor for pause in seen)
    assert all(after == min(2 * before, first * factor) for before, after in pairwise(seen))
    pauses.reset()
    assert pauses.next() == first


async def test_success_resets_the_pauses() -> None:
    hand, pauses = Hand(), Pauses(1.0, 8.0)
    for _ in range(2):
        await retry(Work(OSError(), OSError()), pauses=pauses, clock=hand.clock, failed=lambda *_: None)
    assert hand.slept == [1.0, 2.0, 1.0, 2.0]


async def test_other_errors_are_raised_at_once() -> None:
    hand, work = Hand(), Work(KafkaError(), ValueError("a bug"), KafkaError())
    with pytest.raises(ValueError, match="a bug"):
        await retry(work, pauses=Pauses(1.0), clock=hand.clock, failed=lambda *_: None, errors=(KafkaError,))
    assert work.tries == 2


async def test_work_that_is_no_longer_wanted_is_not_tried_again() -> None:
    hand, work = Hand(), Work(*[KafkaError()] * 9)
    await retry(work, pauses=Pauses(1.0), clock=hand.clock, failed=lambda *_: None, wanted=lambda: work.tries < 3)
    assert work.tries == 3
    await retry(work, pauses=Pauses(1.0), clock=hand.clock, failed=lambda *_: None, wanted=lambda: False)
    assert work.tries == 3


async def test_cancelling_ends_a_try() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    failures: list[Exception] = []
    task = asyncio.create_task(
        retry(endless, pauses=Pauses(1.0), clock=Hand().clock, failed=lambda error, _: failures.append(error))
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    assert not failures


async def test_cancelling_ends_a_pause() -> None:
    resting, work = asyncio.Event(), Work(KafkaError(), KafkaError())

    async def rest(_seconds: float) -> None:
        resting.set()
        await asyncio.Event().wait()

    clock = Clock(now_ms=lambda: 0, monotonic=lambda: 0.0, sleep=rest)
    task = asyncio.create_task(retry(work, pauses=Pauses(3600.0), clock=clock, failed=lambda *_: None))
    await resting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.tries == 1


async def test_failures_are_logged_once_a_minute_without_their_text(caplog: pytest.LogCaptureFixture) -> None:
    hand = Hand()
    errors = [KafkaError("ann"), TopicAuthorizationFailedError("ouzel.items"), StoreFailed("the disk is full")] * 50
    await retry(
        Work(*errors),
        pauses=Pauses(1.0),
        clock=hand.clock,
        failed=logged(RateLimitedLog(log, hand.clock.monotonic), "Orders could not be published"),
    )
    lines = [each.getMessage() for each in caplog.records]
    assert lines[0] == "Orders could not be published (KafkaError); retrying in 1 s, and until it succeeds"
    assert len(lines) == 3
    assert lines[1].endswith("(the last of 60)")
    assert "ann" not in caplog.text
