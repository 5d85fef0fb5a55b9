"""A worker that cannot start says why, and ends."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from inference.triton.ports import free_ports
from streams.secret import Secret
from streams.settings import throwaway, to_environment
from tests.support.patience import PATIENCE

COMMAND = [sys.executable, "-c", "from streams import worker; raise SystemExit(worker.run())"]


def run(folder: Path, port: int, host: str = "127.0.0.1") -> "subprocess.CompletedProcess[str]":
    """A worker without a reachable broker, until it ends."""
    no_broker = f"127.0.0.1:{free_ports(1)[0]}"
    settings = throwaway(no_broker, state_dir=folder, web_host=host, web_port=port, web_token=Secret("t" * 32))
    environment = {**os.environ, **to_environment(settings)}
    return subprocess.run(COMMAND, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)


def test_taken_port_is_named_with_its_setting(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    with socket.create_server(("127.0.0.1", port)):
        ended = run(tmp_path, port)
    assert ended.returncode == 2
    assert f"Nothing can listen on 127.0.0.1 port {port}" in ended.stderr
    assert "Set OUZEL_WEB_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["192.0.2.1", "no-broker.invalid", "2001:db8::1"])
def test_address_of_another_machine_is_refused(host: str, tmp_path: Path) -> None:
    ended = run(tmp_path, free_ports(1)[0], host)
    assert ended.returncode == 2
    assert "OUZEL_WEB_HOST" in ended.stderr


def test_worker_without_its_broker_ends(tmp_path: Path) -> None:
    ended = run(tmp_path, free_ports(1)[0])
    assert ended.returncode == 1
    assert "Check that the broker runs, and OUZEL_BROKERS." in ended.stderr.splitlines()[-1]
