"""What the block of a command that asks brokers lets through, and what it explains."""

import pytest

from deploy.errors import DeployError
from deploy.kafka.asking import PLAIN, asking
from inference.triton.ports import free_ports


async def test_reader_that_has_enough_is_no_failure_of_brokers() -> None:
    with pytest.raises(BrokenPipeError):
        async with asking("127.0.0.1:9", PLAIN, seconds=5, rights={}):
            raise BrokenPipeError


async def test_brokers_that_refuse_are_named() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(DeployError, match=address):
        async with asking(address, PLAIN, seconds=5, rights={}):
            raise ConnectionRefusedError
