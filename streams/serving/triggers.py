"""Who waits for a list. One trigger a person: the newest wins, but the wait counts from the first. Pure.

People are served in the order in which they began to wait. At most `limit` people wait; past that, the one who has
waited longest is given up, since a list that late is worth least.
"""

from collections.abc import Container
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Trigger:
    """An event that calls for a list: `user` in `scene`, from `event` (its id, made at `ts`, milliseconds since 1970)
    at `partition`/`offset`. In seconds of the monotonic clock: after `patience` the model is waited for no longer, at
    `deadline` the list is to be out."""

    user: str
    scene: str
    event: str
    ts: int
    partition: int
    offset: int
    patience: float
    deadline: float


class Waiting:
    """The people who wait, oldest first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._triggers: dict[str, Trigger] = {}

    def __len__(self) -> int:
        return len(self._triggers)

    def add(self, trigger: Trigger) -> tuple[Trigger | None, Trigger | None]:
        """Put `trigger` in; returns the person's trigger that it replaces, and the one that is given up for room."""
        before = self._triggers.get(trigger.user)
        if before is not None:
            self._triggers[trigger.user] = replace(trigger, patience=before.patience, deadline=before.deadline)
            return before, None
        given_up = self._triggers.pop(next(iter(self._triggers))) if len(self._triggers) >= self._limit else None
        self._triggers[trigger.user] = trigger
        return None, given_up

    def put_back(self, trigger: Trigger) -> None:
        """Have somebody wait on whose list could not be made, unless a newer trigger of theirs waits. May go over the
        limit by those whose lists were being made."""
        self._triggers.setdefault(trigger.user, trigger)

    def take(self, busy: Container[str] = ()) -> Trigger | None:
        """Take out the person who has waited longest and is not among the `busy`, whose list is being made."""
        for user in self._triggers:
            if user not in busy:
                return self._triggers.pop(user)
        return None

    def take_overdue(self, now: float, busy: Container[str] = ()) -> Trigger | None:
        """Like `take`, but only someone whose patience has ended."""
        for user, trigger in self._triggers.items():
            if trigger.patience < now and user not in busy:
                return self._triggers.pop(user)
        return None

    def first_offset(self, partition: int) -> int | None:
        """The lowest offset among the triggers of a partition, or None where nobody of it waits."""
        return min((t.offset for t in self._triggers.values() if t.partition == partition), default=None)

    def drop(self, user: str) -> bool:
        """Drop a person; whether they waited."""
        return self._triggers.pop(user, None) is not None

    def forget(self, partition: int) -> None:
        """Drop everybody of a partition that is no longer ours."""
        self._triggers = {user: t for user, t in self._triggers.items() if t.partition != partition}
