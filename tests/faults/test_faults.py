"""A short version of `make faults`: a few faults of each sort on each broker, with the real pipeline under load."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.report import page
from tests.faults.running import Options, run
from tests.faults.schedule import Kind
from tests.support import parts

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


EVENTS_A_SECOND = 12.0
BUSY_SECONDS = 30.0
"""Every user must get a list, but a machine that runs all tests gets more time; `make faults` checks the deadlines."""


async def hold(folder: Path, options: Options) -> None:
    """Run the faults, and check that all were injected and every promise held."""
    output: list[str] = []
    options = replace(options, rate=EVENTS_A_SECOND, allowed=BUSY_SECONDS)
    sessions = await run(folder, options, output.append)
    assert not any(session.broken for session in sessions), "\n".join([*output, page(sessions)])
    assert sum(len(session.struck) for session in sessions) == options.faults


async def test_pipeline_survives_faults_of_workers_and_disks(tmp_path: Path) -> None:
    kinds = (Kind.WORKER_KILLED, Kind.STATE_DAMAGED, Kind.POISON, Kind.LOG_KILLED)
    await hold(tmp_path, Options(faults=4, brokers=["embedded"], kinds=kinds, seed=5))


async def test_pipeline_survives_paused_brokers_and_workers(tmp_path: Path) -> None:
    parts.need_kafka()
    kinds = (Kind.BROKER_KILLED, Kind.WORKER_FROZEN)
    await hold(tmp_path, Options(faults=2, brokers=["kafka"], kinds=kinds, seed=5))


async def test_pipeline_survives_records_of_other_producers(tmp_path: Path) -> None:
    parts.need_kafka()
    kinds = (Kind.TRANSACTION, Kind.OVERSIZED)
    await hold(tmp_path, Options(faults=2, brokers=["kafka"], kinds=kinds, seed=5))


async def test_pipeline_survives_operator_actions(tmp_path: Path) -> None:
    parts.need_kafka()
    kinds = (Kind.TOPIC_RECREATED, Kind.RETENTION_GAP)
    await hold(tmp_path, Options(faults=2, brokers=["kafka"], kinds=kinds, seed=5))


@pytest.mark.triton
async def test_pipeline_survives_faults_of_the_scorer(tmp_path: Path) -> None:
    parts.need_triton()
    kinds = (Kind.SCORER_FROZEN, Kind.SCORER_NOT_FINITE)
    await hold(tmp_path, Options(faults=2, brokers=["embedded"], kinds=kinds, seed=5))


@pytest.mark.triton
async def test_pipeline_survives_kills_while_versions_are_placed_loaded_and_switched(tmp_path: Path) -> None:
    parts.need_triton()
    kinds = (Kind.PLACING_KILLED, Kind.VERSION_LOAD_KILLED, Kind.VERSION_SWITCHED)
    await hold(tmp_path, Options(faults=3, brokers=["embedded"], kinds=kinds, seed=5))


@pytest.mark.triton
async def test_pipeline_survives_kills_of_the_learner(tmp_path: Path) -> None:
    """The seed strikes while it trains, while it writes a version, and between a verdict and its record."""
    parts.need_triton()
    await hold(tmp_path, Options(faults=1, brokers=["embedded"], kinds=(Kind.LEARNER_KILLED,), seed=15))
