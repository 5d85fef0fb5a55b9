"""The users who wait for a list, with one trigger each: the newest wins, but the wait counts from the first. Pure.

Users are served in the order in which they began to wait. At most `limit` users wait; beyond it, the one who has waited
longest is dropped, since the latest list is worth least.
"""

from collections.abc import Container
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Trigger:
    """An event that calls for a list: `user` in `scene`, from `event` (its id, made at `ts`, milliseconds since 1970)
    at `partition`/`offset`. In seconds of the monotonic clock: after `patience` the list is made without the model, and
    at `deadline` it is due."""

    user: str
    scene: str
    event: str
    ts: int
    partition: int
    offset: int
    patience: float
    deadline: float


class Waiting:
    """The waiting users, oldest first."""

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
        given_up = self._triggers.pop(next(iter(self._triggers))) if len(self._triggers) >= self._limit else None
        self._triggers[trigger.user] = trigger
        return None, given_up

    def put_back(self, trigger: Trigger) -> None:
        """Requeue a user whose list failed, unless a newer trigger of the same user waits. May exceed the limit by the
        number of lists in the making."""
        self._triggers.setdefault(trigger.user, trigger)

    def take(self, busy: Container[str] = ()) -> Trigger | None:
        """Remove and return the trigger that has waited longest and whose user is not `busy` (in the making)."""
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
        """The lowest offset among the triggers of a partition; None if there are none."""
        return min((t.offset for t in self._triggers.values() if t.partition == partition), default=None)

    def drop(self, user: str) -> bool:
        """Drop a user's trigger; whether there was one."""
        return self._triggers.pop(user, None) is not None

    def forget(self, partition: int) -> None:
        """Drop all triggers of a revoked partition."""
        self._triggers = {user: t for user, t in self._triggers.items() if t.partition != partition}
