"""Ports for servers of a run that nobody has to reach by a known number."""

import random
import socket
from contextlib import ExitStack

NUMBERS = range(10_000, 32_768)
"""Below what systems give to outgoing connections of themselves (Linux from 32,768, others from 49,152): a port that is
free now then stays so until its server starts, unless somebody asks for just that number."""

ATTEMPTS = 1_000

_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """`count` TCP ports of 127.0.0.1 that nothing listens on; none is given twice by one process.

    Raises OSError where so many cannot be found.
    """
    pick = random.SystemRandom()  # processes that start at the same time must not find the same ones
    found: list[int] = []
    with ExitStack() as held:
        for _ in range(ATTEMPTS):
            if len(found) == count:
                return found
            port = pick.choice(NUMBERS)
            if port in _given:
                continue
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
            _given.add(port)
    raise OSError(f"{count} free ports of 127.0.0.1 could not be found in {ATTEMPTS} attempts.")
