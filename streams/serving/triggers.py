"""Users who wait for a list. One trigger a user: the newest wins, but the wait counts from the first. Pure.

Users are served in the order in which they began to wait. At most `limit` wait; beyond that, the trigger that has
waited longest is dropped, since a list that late is worth least.
"""

from collections.abc import Container
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Trigger:
    """An event that calls for a list: `user` in `scene`, from `event` (its id) at `partition`/`offset`. `alias` is the
    name under which the user's state is stored: the pseudonym, or the id.

    In seconds of the monotonic clock: the event happened at `born`, by its own timestamp; after `patience` the list no
    longer waits for the model; at `deadline` it is due.
    """

    user: str
    alias: str
    scene: str
    event: str
    partition: int
    offset: int
    born: float
    patience: float
    deadline: float


class Waiting:
    """The users who wait, oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._triggers: dict[str, Trigger] = {}

    def __len__(self) -> int:
        return len(self._triggers)

    def add(self, trigger: Trigger) -> tuple[Trigger | None, Trigger | None]:
        """Add `trigger`; returns the user's trigger that it replaces, and the one that is dropped to make room."""
        before = self._triggers.get(trigger.user)
        if before is not None:
            self._triggers[trigger.user] = replace(trigger, patience=before.patience, deadline=before.deadline)
            return before, None
        dropped = self._triggers.pop(next(iter(self._triggers))) if len(self._triggers) >= self._limit else None
        self._triggers[trigger.user] = trigger
        return None, dropped

    def put_back(self, trigger: Trigger) -> None:
        """Requeue a user whose list failed, unless a newer trigger of theirs waits. May exceed the limit by the lists
        that were being made."""
        self._triggers.setdefault(trigger.user, trigger)

    def take(self, busy: Container[str] = ()) -> Trigger | None:
        """Remove and return the trigger that has waited longest, of users who are not `busy` with a list being made."""
        for user in self._triggers:
            if user not in busy:
                return self._triggers.pop(user)
        return None

    def take_overdue(self, now: float, busy: Container[str] = ()) -> Trigger | None:
        """Like `take`, but only a trigger whose patience has ended."""
        for user, trigger in self._triggers.items():
            if trigger.patience < now and user not in busy:
                return self._triggers.pop(user)
        return None

    def first_offset(self, partition: int) -> int | None:
        """The lowest offset among the triggers of a partition, None without any."""
        return min((t.offset for t in self._triggers.values() if t.partition == partition), default=None)

    def drop(self, user: str) -> bool:
        """Drop a user's trigger; whether there was one."""
        return self._triggers.pop(user, None) is not None

    def forget(self, partition: int) -> None:
        """Drop the triggers of a partition that is no longer ours."""
        self._triggers = {user: t for user, t in self._triggers.items() if t.partition != partition}
