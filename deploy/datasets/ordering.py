"""Events in time order, where no order of a file may decide between equal times."""

from collections.abc import Sequence
from random import Random

from schemas.events import Event


def drawn(events: Sequence[Event], seed: int) -> list[Event]:
    """The events by (time, an order drawn from `seed`)."""
    order = list(range(len(events)))
    Random(seed).shuffle(order)  # noqa: S311 - an order, not a secret
    return sorted((events[at] for at in order), key=lambda event: event.ts)
