"""What all tests share: the brokers, and the rule for parts that are missing."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from deploy.brokers import Broker, EmbeddedBroker, KafkaBroker
from deploy.errors import MissingPart
from tests import parts

# Read when numpy and torch are imported: on a busy machine, threads that wait by spinning make minutes of seconds.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Property tests are about values, not about time: a busy machine must not fail them.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

BROKERS = [pytest.param(name, marks=pytest.mark.kafka) for name in ("embedded", "kafka")]


def start_broker(name: str, folder: pytest.TempPathFactory) -> Broker:
    """A started broker on data of its own; skips the test where the broker is missing."""
    try:
        return {"embedded": EmbeddedBroker, "kafka": KafkaBroker}[name](folder.mktemp(name)).start()
    except MissingPart as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker, one after the other the embedded one and Apache Kafka; without topics; shared by a module.

    A test that stops or kills the broker, or cannot bear the topics of others, takes `own_broker`.
    """
    with start_broker(request.param, tmp_path_factory) as running:
        yield running


@pytest.fixture(params=BROKERS)
def own_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker for one test alone, one after the other the embedded one and Apache Kafka; without topics."""
    with start_broker(request.param, tmp_path_factory) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, None]:
    """Under OUZEL_REQUIRE_ALL=1 a skipped test has failed, whatever it was skipped for."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and parts.require_all():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and OUZEL_REQUIRE_ALL is set. {reason}"
