"""The parts of a replayed stream: history, live events, and the likes that judge the lists. Pure.

The first `start` share of the stream is history, and the start model has learned nothing after it. The rest is live.
A test is a like of a catalogue item that its user had not met before, by the rule of the offline evaluation
(`inference.evaluation.protocol`), of a user with an earlier live event: that event's list is judged by it. The tests of
the last third are those of the report; the earlier ones show how the hit ratio develops.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from deploy.datasets.dataset import likes
from inference.evaluation.protocol import SEEN, WARM_UP, Rule, prequential
from schemas.events import Event
from schemas.items import Item
from schemas.seen import PLAIN, SeenRules

LAST = 2 / 3
"""The share of the stream before its last third."""

UNKNOWN, FIRST = "unknown", "first"
WHY_LEFT_OUT = {
    WARM_UP: "in the history",
    SEEN: "of items that the user had met",
    UNKNOWN: "of items that are not in the catalogue",
    FIRST: "the first live event of their user, before which there is no list",
}
"""Why a like is not a test, in words."""


@dataclass(frozen=True)
class Split:
    """A stream and its parts. `start` and `last` are the indices of the first live event and the first event of the
    last third; `tests` are the indices of the judged likes; `left_out` counts the other likes, by reason."""

    events: tuple[Event, ...]
    start: int
    last: int
    tests: tuple[int, ...]
    likes: int
    left_out: Mapping[str, int]

    @property
    def history(self) -> tuple[Event, ...]:
        return self.events[: self.start]

    @property
    def live(self) -> tuple[Event, ...]:
        return self.events[self.start :]

    @property
    def judged(self) -> tuple[int, ...]:
        """The tests of the last third."""
        return tuple(at for at in self.tests if at >= self.last)

    def sent(self, seconds: float, after_ms: int) -> "Split":
        """The same parts with the times of a pass: the live events come evenly within `seconds`, the first one
        `after_ms` after the history."""
        begin, count = self.history[-1].ts + after_ms, max(1, len(self.live))
        sent = (replace(event, ts=begin + int(1_000 * seconds * at / count)) for at, event in enumerate(self.live))
        return dataclasses.replace(self, events=(*self.history, *sent))


def split(events: Sequence[Event], items: Sequence[Item], start: float, seen: SeenRules = PLAIN) -> Split:
    """The parts of a stream in order of time, of which the first `start`, at most `LAST`, is history."""
    plan = prequential(events, likes, Rule(warm_up=start, share=1.0), seen)
    begin = int(len(events) * start)
    left_out = {WARM_UP: plan.left_out[WARM_UP], SEEN: plan.left_out[SEEN], UNKNOWN: 0, FIRST: 0}
    held = {item.id for item in items}
    live: set[str] = set()
    tests = []
    for step in plan.steps:
        event = events[step.at]
        if step.test and event.item not in held:
            left_out[UNKNOWN] += 1
        elif step.test and event.user not in live:
            left_out[FIRST] += 1
        elif step.test:
            tests.append(step.at)
        if step.at >= begin:
            live.add(event.user)
    return Split(tuple(events), begin, int(len(events) * LAST), tuple(tests), plan.likes, left_out)
