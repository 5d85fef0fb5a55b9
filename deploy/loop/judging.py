"""What the lists of one pass were worth: the place of each liked item on its user's newest list. Pure.

A list answers the event that it names as its trigger. Every live event calls for one: an event without a list by the
end of the pass has **lost** it. A list is **late** if it was published after the deadline, counted from its event.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from deploy.replay.scoreboard import Times
from inference.evaluation.protocol import DEPTH
from schemas.events import Event
from schemas.recommendations import Recommendation

NO_VERSION = "none"


@dataclass
class Account:
    """The account of one pass. `tests` are the ids of the events that judge lists.

    `places`: by test, the place of its item on the list, from 0; -1 if it is not among the first `DEPTH`, or the list
    before it was lost. `versions` counts the lists by model version, `degraded` those without the model by reason.
    Holds each user's newest list, and an id for each live event.
    """

    tests: Collection[str]
    deadline_ms: float
    places: dict[str, int] = field(default_factory=dict)
    lists: int = 0
    late: int = 0
    foreign: int = 0
    without_list: int = 0
    versions: Counter[str] = field(default_factory=Counter)
    degraded: Counter[str] = field(default_factory=Counter)
    event_to_list: Times = field(default_factory=Times)
    _waiting: dict[str, int] = field(default_factory=dict)
    _answered: dict[str, int] = field(default_factory=dict)
    _latest: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    _sent: int = 0

    @property
    def sent(self) -> int:
        return self._sent

    @property
    def lost(self) -> int:
        """Events that have no list yet."""
        return len(self._waiting)

    @property
    def hits(self) -> int:
        return sum(place >= 0 for place in self.places.values())

    def about_to_send(self, event: Event) -> None:
        """Judge the user's newest list, if this is a test."""
        if event.id in self.tests:
            _, items = self._latest.get(event.user, (-1, ()))
            self.without_list += not items
            self.places[event.id] = items.index(event.item) if event.item in items else -1
        self._waiting[event.id] = self._sent
        self._sent += 1

    def published(self, made: Recommendation) -> bool:
        """Take in a list; whether it is the first that answers its event."""
        number = self._waiting.pop(made.trigger, None)
        if number is None:
            # A repeat, after a crash of a worker; or a list for an event of the history.
            self.foreign += made.trigger not in self._answered
            return False
        self._answered[made.trigger] = number
        self.lists += 1
        self.late += made.freshness_ms > self.deadline_ms
        self.event_to_list.add(made.freshness_ms)
        self.versions[made.model_version or NO_VERSION] += 1
        if made.degraded is not None:
            self.degraded[made.degraded.value] += 1
        if number > self._latest.get(made.user, (-1, ()))[0]:
            self._latest[made.user] = number, tuple(entry.item for entry in made.entries[:DEPTH])
        return True
