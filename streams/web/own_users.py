"""The users whose partitions this worker serves."""

from collections.abc import Callable

from streams.agents.events import Lane
from streams.fold.context import EMPTY, Context
from streams.kafka.assignment import BatchLanes
from streams.kafka.partitions import partition_of
from streams.privacy.pseudonyms import Alias
from streams.serving.explaining import Subject
from streams.serving.one_off import Basis

DRAWS = 1_000
"""Tries to find a user id of such a partition: enough for one partition in a hundred."""


class OwnUsers:
    """`count` is the number of partitions of the events' topic, None while unknown; `draw` returns random hexadecimal
    digits of as many bytes."""

    def __init__(
        self,
        lanes: BatchLanes[Lane],
        count: Callable[[], int | None],
        alias: Alias,
        draw: Callable[[int], str],
    ) -> None:
        self._lanes = lanes
        self._count = count
        self._alias = alias
        self._draw = draw

    def new(self, prefix: str) -> str | None:
        """The id of a user who does not exist yet, beginning with `prefix`; None if this worker serves no partition."""
        for _ in range(DRAWS):
            user = prefix + self._draw(6)
            lane = self.lane(user)
            if lane is not None and lane.ready:
                return user
        return None

    def partition(self, user: str) -> int | None:
        """The partition of a user; None while it is not known how many there are."""
        count = self._count()
        return partition_of(user.encode(), count) if count else None

    def lane(self, user: str) -> Lane | None:
        """The lane of a user's partition; None if another worker has it."""
        partition = self.partition(user)
        return None if partition is None else self._lanes.lanes.get(partition)

    def alias(self, user: str) -> str:
        """The name under which the state of a user is stored."""
        return self._alias(user)

    def context(self, user: str) -> Context | None:
        """The context of a user; None if another worker has it."""
        lane = self.lane(user)
        return None if lane is None or lane.state is None else lane.state.context(self._alias(user))

    def subject(self, user: str) -> Subject | None:
        """A user whose lists can be explained here; None if another worker has them."""
        lane = self.lane(user)
        if lane is None or lane.state is None:
            return None
        alias, state = self._alias(user), lane.state
        session = None if state.sessions is None else state.sessions.number(user)
        return Subject(lambda: state.context(alias) if state.open else EMPTY, state.marking, session, alias)

    def basis(self, user: str) -> Basis | None:
        """The context of a user and how it marks items; None if another worker has it."""
        lane = self.lane(user)
        if lane is None or lane.state is None:
            return None
        return Basis(lane.state.context(self._alias(user)), lane.state.marking)
