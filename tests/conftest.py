"""What all tests share: the brokers, and the rule for parts that are missing."""

import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.errors import MissingPart
from deploy.local.brokers import Broker, EmbeddedBroker, KafkaBroker, find_kafka
from tests.support import parts

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


MODEL_FIXTURES = {"exact_model", "item_token_model", "item_token_triton", "model", "triton"}


def strongest_broker() -> str:
    """Apache Kafka where it is found, or must be; else the embedded broker."""
    try:
        find_kafka()
    except MissingPart:
        return "kafka" if parts.require_all() else "embedded"
    return "kafka"


STRONGEST = [pytest.param(strongest_broker(), marks=pytest.mark.kafka)]

on_the_strongest_broker = pytest.mark.parametrize("broker", STRONGEST, indirect=True)
"""For a long test that shares `broker` with its module: run it on the strongest broker only."""


@pytest.fixture(params=STRONGEST)
def strong_broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running broker for one long test alone, without topics: Apache Kafka where found, else the embedded one."""
    with start_broker(request.param, tmp_path_factory) as running:
        yield running


def group_of(item: pytest.Item) -> str:
    """Tests that share a broker or tritonserver have the same group."""
    if MODEL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
        return "model"
    params = getattr(getattr(item, "callspec", None), "params", {})
    broker = next((params[name] for name in ("broker", "own_broker", "strong_broker") if name in params), "")
    return f"{item.path.stem}-{broker}"


def pytest_collection_modifyitems(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Let one process of `pytest --dist loadgroup` run the tests of a group.

    pytest-xdist 3.8 would read the marker `xdist_group` and append the group to `_nodeid`, which pytest 9.2 ignores.
    """
    if getattr(config.option, "loadgroup", False):
        for item in items:
            item._id = type(item._id).parse(f"{item.nodeid}@{group_of(item)}")


def pytest_report_header() -> str:
    return "without PyTorch: tests are skipped that import it or what comes with it" if parts.without_torch() else ""


class Module(pytest.Module):
    """A module of tests, which is skipped as a whole if it imports what is missing without PyTorch."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            if parts.for_want_of_torch(error.__cause__):
                pytest.skip(parts.WITHOUT_TORCH, allow_module_level=True)
            raise


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    return Module.from_parent(parent, path=module_path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, None]:
    """A test that imports what is missing without PyTorch was skipped. Under OUZEL_REQUIRE_ALL=1 a skipped test has
    failed, whatever it was skipped for but that."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and call.excinfo is not None and parts.for_want_of_torch(call.excinfo.value):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {parts.WITHOUT_TORCH}")
    elif report.skipped and not hasattr(report, "wasxfail") and parts.require_all():
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and OUZEL_REQUIRE_ALL is set. {reason}"
