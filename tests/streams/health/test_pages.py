"""The pages of services answer this machine only."""

import http.client
import socket
from collections.abc import Iterator

import pytest

from inference.triton.ports import free_ports
from streams.errors import BadSetting
from streams.health.pages import Pages
from streams.training_log.metrics import LogMetrics

UNSERVED: list[str] = []
"""What the service cannot do."""


@pytest.fixture
def port() -> Iterator[int]:
    (free,) = free_ports(1)
    metrics = LogMetrics()
    metrics.rows.labels("ouzel.events").inc(5)
    pages = Pages(free, metrics.registry, "training_log_port", lambda: list(UNSERVED))
    yield free
    pages.close()


def get(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_metrics_and_health_are_served(port: int) -> None:
    status, text = get(port, "/metrics")
    assert status == 200
    assert 'ouzel_log_rows_total{topic="ouzel.events"} 5.0' in text
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/other")[0] == 404


def test_readiness_says_what_is_not_served(port: int) -> None:
    assert get(port, "/readyz") == (200, "ready\n")
    UNSERVED.append("The topic shop does not exist.")
    try:
        assert get(port, "/readyz") == (503, "The topic shop does not exist.\n")
    finally:
        UNSERVED.clear()


@pytest.mark.parametrize("host", ["rebound.example", "192.0.2.1:80", ""])
def test_other_hosts_are_refused(port: int, host: str) -> None:
    assert get(port, "/metrics", host)[0] == 421
    assert get(port, "/metrics", f"127.0.0.1:{port}")[0] == 200


def test_taken_port_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadSetting, match="OUZEL_TRAINING_LOG_PORT"):
        Pages(taken.getsockname()[1], LogMetrics().registry, "training_log_port")
