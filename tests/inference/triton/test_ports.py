"""Ports that are free, and stay so until they are used."""

import socket

import pytest

from inference.triton import ports
from inference.triton.ports import free_ports


def test_ports_are_never_returned_twice() -> None:
    given = [port for _ in range(200) for port in free_ports(3)]
    assert len(set(given)) == 600


def test_ports_are_below_the_ephemeral_range() -> None:
    with socket.create_server(("127.0.0.1", 0)) as of_the_system:
        assert of_the_system.getsockname()[1] not in ports.NUMBERS
    assert all(port in ports.NUMBERS for port in free_ports(20))


def test_used_port_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = free_ports(2)
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports, "NUMBERS", [taken, free])
    with socket.create_server(("127.0.0.1", taken)):
        assert free_ports(1) == [free]
        with pytest.raises(OSError, match="were not found"):
            free_ports(1)
