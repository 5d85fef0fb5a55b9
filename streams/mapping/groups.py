"""The groups in which mapped records are sent: each is acknowledged and committed before the next one is sent. Pure.

After a crash a group may be sent again. The fold drops an event whose id is among the last `MAX_IDS` of its user, so a
group has at most half as many events of one user: there is room for as many that came from elsewhere in between.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from schemas.dead_letters import DeadLetter
from schemas.topics import EVENTS
from streams.fold.context import MAX_IDS
from streams.mapping.outcomes import Mapped, Outcome, Skipped

MOST_OF_A_USER = MAX_IDS // 2
MOST_RECORDS = 2_000

Result = Outcome | DeadLetter


class Place(NamedTuple):
    """A partition of a source topic."""

    topic: str
    partition: int


class Group:
    """What was made of some records, in order. `behind` has the next offset to read of each partition."""

    def __init__(self) -> None:
        self.results: list[Mapped | DeadLetter] = []
        self.behind: dict[Place, int] = {}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.skips: Counter[tuple[str, str]] = Counter()
        self._users: Counter[bytes] = Counter()

    def __bool__(self) -> bool:
        return bool(self.behind)

    @property
    def letters(self) -> list[DeadLetter]:
        return [each for each in self.results if isinstance(each, DeadLetter)]

    def has_room(self, results: Sequence[Result]) -> bool:
        """Whether the results of one more record fit in. They always fit into an empty group."""
        if not self.results:
            return True
        if len(self.results) >= MOST_RECORDS:
            return False
        return all(self._users[user] < MOST_OF_A_USER for user in map(_user, results) if user is not None)

    def add(self, place: Place, offset: int, results: Sequence[Result]) -> None:
        """Add the results of the record at `offset`."""
        self.behind[place] = offset + 1
        for each in results:
            if isinstance(each, Skipped):
                outcome = "skipped"
                self.skips[place.topic, each.reason] += 1
            else:
                self.results.append(each)
                user = _user(each)
                if user is not None:
                    self._users[user] += 1
                outcome = (
                    "rejected" if isinstance(each, DeadLetter) else "withdrawn" if each.value is None else "mapped"
                )
            self.outcomes[place.topic, outcome] += 1


def _user(result: Result) -> bytes | None:
    return result.key if isinstance(result, Mapped) and result.topic == EVENTS.name else None
