"""Sort events by time, with ties in random order instead of the file's order."""

from collections.abc import Sequence
from random import Random

from schemas.events import Event


def drawn(events: Sequence[Event], seed: int) -> list[Event]:
    """The events sorted by time, ties in random order from `seed`."""
    order = list(range(len(events)))
    Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return sorted((events[at] for at in order), key=lambda event: event.ts)
