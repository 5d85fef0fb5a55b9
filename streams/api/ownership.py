"""Finding the state of a user: here, at another worker, or not at the moment."""

from schemas.topics import EVENTS
from streams.api.problems import Kind, Problem
from streams.serving.explaining import Subject
from streams.state.partition import PartitionState
from streams.web.own_users import OwnUsers


class Elsewhere(Exception):
    """Another worker has this partition."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"another worker has partition {partition}")
        self.partition = partition


class Ownership:
    """Every method raises `Elsewhere` if another worker has the user, and `Problem` while that is not known or the
    partition's state is being read."""

    def __init__(self, own_users: OwnUsers) -> None:
        self._own_users = own_users

    def state(self, user: str) -> PartitionState:
        """The state of the user's partition."""
        partition = self._own_users.partition(user)
        if partition is None:
            raise Problem(
                Kind.STARTING, f"The worker has not seen the partitions of {EVENTS.name} yet. Try again in a second."
            )
        lane = self._own_users.lane(user)
        if lane is None:
            raise Elsewhere(partition)
        if lane.state is None:
            raise Problem(
                Kind.STARTING,
                f"This worker has just been given partition {partition} of {EVENTS.name}, the user's, and reads its "
                "state. Try again in a few seconds.",
            )
        return lane.state

    def alias(self, user: str) -> str:
        return self._own_users.alias(user)

    def subject(self, user: str) -> Subject:
        """Whose list is made or explained."""
        self.state(user)
        found = self._own_users.subject(user)
        assert found is not None, "its state is here"
        return found
