"""The users whose partitions this worker serves."""

from collections.abc import Callable

from schemas.recommendations import Recommendation
from streams.agents.events import Lane
from streams.fold.context import Context
from streams.kafka.assignment import BatchLanes
from streams.kafka.partitions import partition_of
from streams.page.guests import PREFIX
from streams.privacy.pseudonyms import Alias
from streams.serving.explaining import Explained, Explaining, NotExplained

DRAWS = 1_000
"""Tries to find a user id of such a partition: enough for one partition in a hundred."""


class OwnUsers:
    """`count` is the number of partitions of the events' topic, None while unknown; `draw` returns random hexadecimal
    digits of as many bytes; `explaining` returns what explains lists, None before the worker makes any."""

    def __init__(
        self,
        lanes: BatchLanes[Lane],
        count: Callable[[], int | None],
        alias: Alias,
        draw: Callable[[int], str],
        explaining: Callable[[], Explaining | None],
    ) -> None:
        self._lanes = lanes
        self._count = count
        self._alias = alias
        self._draw = draw
        self._explaining = explaining

    def new(self) -> str | None:
        """The id of a user who does not exist yet; None if this worker serves no partition."""
        for _ in range(DRAWS):
            user = PREFIX + self._draw(6)
            lane = self._lane(user)
            if lane is not None and lane.ready:
                return user
        return None

    def context(self, user: str) -> Context | None:
        """The context of a user; None if another worker has it."""
        lane = self._lane(user)
        return None if lane is None or lane.state is None else lane.state.context(self._alias(user))

    async def explain(self, made: Recommendation) -> Explained:
        """What each event adds to the last list of a user. Raises `NotExplained`."""
        lane = self._lane(made.user)
        explaining = self._explaining()
        if explaining is None or lane is None or lane.state is None:
            raise NotExplained("Another worker makes this user's lists now.")
        return await explaining.explain(made, self._alias(made.user), lane.state)

    def _lane(self, user: str) -> Lane | None:
        count = self._count()
        return self._lanes.lanes.get(partition_of(user.encode(), count)) if count else None
