"""The learner as a service, with a real store and everything else in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from prometheus_client import generate_latest

from deploy.errors import DeployError
from deploy.learning.by_hand import Desk
from deploy.learning.executor import Executor
from deploy.learning.metrics import LearnerMetrics
from deploy.learning.service import Service
from deploy.learning.store_facts import AnotherLearner, learning_alone
from inference.versions.drift import Drift, Observed
from inference.versions.rules import Rules
from inference.versions.state import State
from inference.versions.store import VersionStore
from schemas.models import ModelStatus
from tests.support.learning_parts import Bench, MemoryChannel, write_version
from tests.support.loop_world import QUICK, Quality, named
from tests.support.patience import PATIENCE

GOOD, BAD_LIVE = Quality(0.5, 0.5), Quality(0.3, 0.02)


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path / "versions")


@asynccontextmanager
async def learning(bench: Bench, metrics: LearnerMetrics | None = None) -> AsyncIterator[Service]:
    """A service with workers beside it; both are killed at the end of the block."""
    service = Service(
        bench.store, MemoryChannel(bench.topics), bench.parts, rules=bench.rules, clock=bench.clock,
        tell=bench.told.append, metrics=metrics,
    )  # fmt: skip
    tasks = [asyncio.create_task(service.run()), asyncio.create_task(bench.workers.run())]
    try:
        yield service
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def happens(condition: Callable[[], bool], bench: Bench) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 - conditions of plain data
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError("\n".join(bench.told[-20:])) from None


def events(bench: Bench, number: int) -> list[str]:
    return [verdict.event for verdict in bench.store.verdicts(number)]


async def test_good_version_becomes_champion_without_help(store: VersionStore) -> None:
    bench, metrics = Bench(store, {2: GOOD}), LearnerMetrics()
    async with learning(bench, metrics):
        await happens(lambda: "promoted" in events(bench, 2), bench)
        await happens(lambda: 1 not in bench.server.loaded, bench)
    assert events(bench, 2)[:3] == ["shadow", "canary", "promoted"]
    assert [gate.name for gate in store.gates(2)] == ["next item", "p99"]
    text = generate_latest(metrics.registry).decode()
    assert 'ouzel_learn_versions_total{kind="full"}' in text
    assert 'ouzel_learn_verdicts_total{event="promoted"} 1.0' in text
    assert "version 2 is canary for 50% of users" in bench.told


async def test_champion_that_is_not_in_the_store_is_retired_once(store: VersionStore) -> None:
    """Its verdict is stored all the same, and a learner that does not find it would give it without end."""
    bench = Bench(store, {3: GOOD})
    bench.topics.models.append(ModelStatus(model="scorer", version=named(2), role="champion", ts=1, number=2))
    bench.server.loaded, bench.server.placed = {2}, {2}
    async with learning(bench):
        await happens(lambda: "promoted" in events(bench, 3), bench)
        await happens(lambda: 2 not in bench.server.placed, bench)
        await happens(lambda: bench.topics.models[-1].role == "retired", bench)
    assert events(bench, 2) == ["retired"]
    assert sum(status.number == 2 and status.role == "retired" for status in bench.topics.models) == 1


async def test_version_that_is_worse_live_is_withdrawn_with_its_cost(store: VersionStore) -> None:
    bench = Bench(store, {2: BAD_LIVE})
    async with learning(bench):
        await happens(lambda: "withdrawn" in events(bench, 2), bench)
        await happens(lambda: 2 not in bench.server.placed, bench)
    verdict = next(each for each in store.verdicts(2) if each.event == "withdrawn")
    assert verdict.lists >= verdict.pairs > 0
    assert bench.roles().champion.number == 1  # type: ignore[union-attr]


async def test_version_that_the_server_refuses_is_rejected_with_the_reason(store: VersionStore) -> None:
    bench = Bench(store, {2: Quality(loads=False)})
    async with learning(bench):
        await happens(lambda: "rejected" in events(bench, 2), bench)
    assert "has a NaN" in store.verdicts(2)[-1].reason
    assert bench.server.loaded == {1}


async def test_training_that_failed_is_tried_again(store: VersionStore) -> None:
    bench = Bench(store, {2: GOOD})
    bench.trainer.failures = 2
    async with learning(bench):
        await happens(lambda: store.numbers() != [], bench)
    assert any("killed by signal 9" in text and "next try in" in text for text in bench.told)
    assert store.clear_unfinished() == 0


async def test_server_that_is_away_is_waited_for_and_said_once(store: VersionStore) -> None:
    bench = Bench(store, {2: GOOD})
    bench.server.away = 5
    async with learning(bench):
        await happens(lambda: "shadow" in events(bench, 2), bench)
    assert sum("Connection refused" in text for text in bench.told) == 1


async def test_learner_killed_again_and_again_still_comes_to_its_verdict(store: VersionStore) -> None:
    bench = Bench(store, {2: GOOD})
    bench.trainer.hangs = True
    async with learning(bench):
        await asyncio.wait_for(bench.trainer.began.wait(), PATIENCE)
    assert store.numbers() == []
    bench.trainer.hangs = False
    for event in ("shadow", "canary", "promoted"):
        async with learning(bench):
            await happens(lambda event=event: event in events(bench, 2), bench)
    async with learning(bench):
        await happens(lambda: bench.server.loaded == {2}, bench)
    assert events(bench, 2).count("promoted") == 1


class FallingHits:
    """The hit ratio of version 1 falls; that of any other version stays."""

    async def drift(self, champion: ModelStatus, rules: Rules) -> Drift:
        drift, falls = Drift.of(champion.version, rules), champion.number == 1
        for number in range(3 * rules.drift_lists):
            taken = number % 2 == 0 and not (falls and number > rules.drift_lists)
            drift.add(Observed(taken, 1_000 * number), rules)
        return drift


async def test_drift_is_said_exported_and_starts_a_training(store: VersionStore) -> None:
    rules = msgspec.structs.replace(QUICK, full_likes=10_000_000, drift_lists=400, drift_minutes=1.0)
    bench, metrics = Bench(store, {2: GOOD}, rules, FallingHits()), LearnerMetrics()
    async with learning(bench, metrics):
        await happens(lambda: "version 1 drifts: hit ratio: " in "\n".join(bench.told), bench)
        assert 'ouzel_learn_drift{measure="hit_ratio"} 1.0' in generate_latest(metrics.registry).decode()
        await happens(lambda: "promoted" in events(bench, 2), bench)
        await happens(lambda: "version 2 no longer drifts: hit ratio: " in "\n".join(bench.told), bench)
    text = generate_latest(metrics.registry).decode()
    assert 'ouzel_learn_drift{measure="hit_ratio"} 0.0' in text
    assert 'ouzel_learn_drift_figure{bound="high",measure="hit_ratio"}' in text
    assert "ouzel_learn_drift_lists 1200.0" in text
    assert store.numbers() == [2]


def test_store_has_one_learner(store: VersionStore) -> None:
    with (
        learning_alone(store),
        pytest.raises(AnotherLearner, match="another `ouzel learn` uses"),
        learning_alone(store),
    ):
        pass


async def desk(bench: Bench) -> tuple[Desk, State]:
    channel, state = MemoryChannel(bench.topics), State()
    executor = Executor(
        bench.store, channel, bench.server, clock=bench.clock, tell=bench.told.append, metrics=LearnerMetrics(),
        read=lambda state: channel.catch_up(state, bench.rules),
    )  # fmt: skip
    await channel.catch_up(state, bench.rules)
    await executor.refresh(state)
    return Desk(executor, channel, state, bench.rules, bench.clock), state


def add_version(bench: Bench, number: int) -> None:
    with bench.store.written(number) as folder:
        write_version(folder, number)


async def test_operator_takes_every_step(store: VersionStore) -> None:
    bench = Bench(store)
    add_version(bench, 2)
    workers = asyncio.create_task(bench.workers.run())
    try:
        given, state = await desk(bench)
        with pytest.raises(DeployError, match="was not judged"):
            await given.shadow(2)
        await given.shadow(2, force=True)
        assert bench.roles().challenger.role == "shadow"  # type: ignore[union-attr]
        await given.canary(2, 0.2, force=True)
        assert bench.roles().challenger.share == 0.2  # type: ignore[union-attr]
        await given.promote(2, force=True)
        await given.settle(30)
        assert bench.server.loaded == {2}
        assert bench.roles().champion.version == named(2)  # type: ignore[union-attr]
        with pytest.raises(DeployError, match="is the champion already"):
            await given.promote(2)
        assert await given.rollback() == 1
        await given.settle(30)
        assert bench.server.loaded == {1}
        assert [verdict.event for verdict in store.verdicts(2)] == ["promoted", "rolled_back"]
        assert state.roles[named(2)].status.role == "retired"
        with pytest.raises(DeployError, match="no version made lists before"):
            await given.rollback()
    finally:
        workers.cancel()


async def test_rollback_first_withdraws_the_challenger(store: VersionStore) -> None:
    bench = Bench(store)
    add_version(bench, 2)
    given, _ = await desk(bench)
    await given.shadow(2, force=True)
    assert await given.rollback() == 1
    await given.settle(30)
    assert bench.roles().challenger is None
    assert bench.server.loaded == {1}
    assert [verdict.event for verdict in store.verdicts(2)] == ["rejected"]


async def test_unknown_version_is_refused(store: VersionStore) -> None:
    given, _ = await desk(Bench(store))
    with pytest.raises(DeployError, match="there is no version 9"):
        await given.promote(9)
