"""How long tests wait for a condition. Seconds are usual; the rest is for a machine that is slow or busy."""

import time
from collections.abc import Callable

PATIENCE = 240.0


def until(done: Callable[[], bool], what: str = "what was waited for", seconds: float = PATIENCE) -> None:
    """Return when `done()` is true. Fails after `seconds` with a sentence that says what is missing."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; this machine is slow, or it never comes"
        time.sleep(0.02)
