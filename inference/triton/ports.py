"""Free ports for servers that need no fixed port."""

import random
import socket
from contextlib import ExitStack

NUMBERS = range(10_000, 32_768)
"""Below the ephemeral ports of outgoing connections (Linux from 32,768, others from 49,152): a free port stays free
until its server starts, unless another program requests that very port."""

ATTEMPTS = 1_000

_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """`count` free TCP ports of 127.0.0.1; a process never gets the same port twice.

    Raises OSError if there are too few.
    """
    pick = random.SystemRandom()  # processes that start at the same time must not pick the same ports
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
    raise OSError(f"{count} free ports of 127.0.0.1 were not found in {ATTEMPTS} attempts. Stop other servers.")
