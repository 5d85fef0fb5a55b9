"""The brake that keeps a replay near its learner, and what is counted of the versions."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from deploy.local.steps import Step
from deploy.loop.learning import LOG, VERSIONS, Ahead, Learning, keep
from inference.versions.store import RECORD, Version, VersionStore
from schemas.models import ModelStatus, Role
from streams.clock import Clock
from streams.serving.trials import Trials
from tests.support.patience import PATIENCE
from tests.support.version_records import status


def made(store: VersionStore, number: int, cut_ms: int) -> None:
    """A version in the store, rejected or not."""
    record = Version(
        number=number,
        name=f"v{number}",
        parent=1,
        kind="full",
        made_ms=1,
        cut_ms=cut_ms,
        events=1,
        likes=1,
        tests=1,
    )
    with store.written(number) as folder:
        (folder / RECORD).write_bytes(msgspec.json.encode(record))


class Steady:
    """A clock of which each look is a millisecond later."""

    def __init__(self) -> None:
        self.now = 0

    def now_ms(self) -> int:
        self.now += 1
        return self.now


async def idle(*_: Any) -> None:
    """Start nothing."""


def learning(
    store: VersionStore,
    *,
    ahead: int,
    patience: float = PATIENCE,
    start: Callable[..., Awaitable[None]] = idle,
    statuses: Sequence[ModelStatus] = (),
) -> Learning:
    async def follow(_: str, into: Trials) -> None:
        for one in statuses:
            into.take_status(one)
        await asyncio.Event().wait()

    clock = Clock(now_ms=Steady().now_ms, monotonic=lambda: 0.0)
    return Learning(
        start,
        store,
        ahead=ahead,
        patience=patience,
        clock=clock,
        follow=lambda bootstrap, into: asyncio.ensure_future(follow(bootstrap, into)),
    )


def test_likes_ahead_are_those_after_the_cut() -> None:
    ahead = Ahead()
    for ts in (10, 20, 20, 30):
        ahead.sent(ts)
    assert [ahead.of(cut) for cut in (0, 10, 19, 20, 30)] == [4, 3, 3, 1, 0]


async def test_replay_waits_for_a_version_that_learned_enough(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    ours = learning(store, ahead=3)
    async with asyncio.timeout(PATIENCE):
        for sent in range(3):
            await ours.before_like(sent)
        held = asyncio.create_task(ours.before_like(3))
        await asyncio.sleep(0.05)
        assert not held.done()
        made(store, 2, cut_ms=2)
        await held
        assert ours.held_seconds > 0
        await ours.before_like(4)
        held = asyncio.create_task(ours.before_like(5))
        await asyncio.sleep(0.05)
        assert not held.done(), "likes 3, 4 and 5 came after the version's last"
        held.cancel()


async def test_learner_that_makes_nothing_is_not_waited_for_again(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    ours = learning(store, ahead=1, patience=0.0)
    async with asyncio.timeout(PATIENCE):
        for sent in range(5):
            await ours.before_like(sent)
        assert ours.given_up == 1
        made(store, 2, cut_ms=1)
        await ours.before_like(5)
        assert ours.given_up == 2, "it made a version, so it is waited for again"


async def test_replay_goes_on_while_a_version_is_tried(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    statuses = [status(1, Role.CHAMPION), status(2, Role.SHADOW)]
    ours = learning(store, ahead=1, statuses=statuses)
    stage: Any = SimpleNamespace(broker=SimpleNamespace(bootstrap="broker:1"))
    async with asyncio.timeout(PATIENCE):
        await ours.begin(stage, Step(lambda note, done, total: None))
        await asyncio.sleep(0)
        for sent in range(5):
            await ours.before_like(sent)
    assert (await ours.end()).held_seconds < PATIENCE


async def test_learner_is_started_and_versions_counted(tmp_path: Path) -> None:
    store = VersionStore(tmp_path)
    made(store, 2, cut_ms=1)
    made(store, 3, cut_ms=1)
    started: list[tuple[Any, ...]] = []

    async def start(*given: Any) -> None:
        started.append(given)

    stage: Any = SimpleNamespace(broker=SimpleNamespace(bootstrap="broker:1"))
    statuses = [status(1, Role.CHAMPION), status(2, Role.SHADOW), status(2, Role.CHAMPION)]
    ours = learning(store, ahead=1, start=start, statuses=statuses)
    await ours.begin(stage, Step(lambda note, done, total: None))
    await asyncio.sleep(0)
    learned = await ours.end()
    assert [given[0] for given in started] == [stage]
    assert (learned.versions, learned.promoted, learned.rolled_back, learned.withdrawn) == (2, 1, 0, 0)


def test_keep_moves_versions_and_log_and_replaces_those_of_an_earlier_run(tmp_path: Path) -> None:
    for run in ("first", "second"):
        for part in (VERSIONS, LOG):
            (tmp_path / run / part).mkdir(parents=True)
            (tmp_path / run / part / run).touch()
        keep(tmp_path / run, tmp_path / "kept")
    assert sorted(each.relative_to(tmp_path / "kept").as_posix() for each in (tmp_path / "kept").rglob("*")) == [
        LOG,
        f"{LOG}/second",
        VERSIONS,
        f"{VERSIONS}/second",
    ]
