"""The two protocols, each as a plan of steps over an order of events. `inference.evaluation.runner` executes plans.

**Prequential**: test, then learn, in the order of events (A. P. Dawid, "Statistical theory: the prequential approach",
JRSS A 147(2), 1984). **Leave-last-out**: each user's last like is the test, and all other events are learned first.

A test is a like of an item that may be on the user's list: the rule of the scene (`schemas.seen`) does not hide it, as
it usually does with items that the user has met. `Plan` counts the likes that are not tests, by reason.

Events are sorted by time; events at the same time are in random order (the "tie seed"). In a test each method ranks the
full catalogue without the items that the user has seen, and is measured by the position of the liked item; among equal
scores the position is drawn at random. There is no negative sampling, and no method learns the item before ranking.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference.evaluation.draws import TESTS_KEY, drawn
from inference.evaluation.met import Met
from schemas.events import Event
from schemas.seen import PLAIN, SeenRules

DEPTH = 10
"""Number of list positions that count."""

RANKED = (
    f"Full catalogue without the items that the user has seen; ties broken at random, the same for every method; "
    f"HR@{DEPTH} and NDCG@{DEPTH}; no negative sampling. Mean and spread (maximum minus minimum) over the tie seeds."
)

Likes = Callable[[Event], bool]


class Step(NamedTuple):
    """The action for event `at` of the order: test, learn, or test and then learn."""

    at: int
    test: bool
    learn: bool


@dataclass(frozen=True)
class Rule:
    """Which events are tests in the prequential protocol: a `share` of those after the warm-up, drawn by a hash of
    user, item and time under the tie `seed`. The selection does not depend on how users' events interleave."""

    warm_up: float = 0.2
    share: float = 0.25
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"Prequential: test, then learn, in order of time; events of the same second in random order (tie seed). "
            f"The first {self.warm_up:.0%} of events are warm-up; after that a like of an item that its user has not "
            f"seen is a test if a hash of user, item and time, under the tie seed, is in the first {self.share:.0%}. "
            f"{RANKED}"
        )


LAST_OUT = (
    "Leave-last-out: each user's test is their last like of an item not seen before, in order of time, events of the "
    "same second in random order (tie seed); users without an earlier event have no test. Events of the user after the "
    "test are left out. All other events are learned first, in order of time, including later ones of other users, as "
    f"is usual in this protocol; lists are made as of the end of the stream. {RANKED}"
)


WARM_UP, SEEN, NOT_DRAWN, FIRST, NOT_LAST = "warm_up", "seen", "not_drawn", "first", "not_last"
WHY_LEFT_OUT = {
    WARM_UP: "in the warm-up",
    SEEN: "of items already seen (see --seen-kinds and --seen-again)",
    NOT_DRAWN: "not drawn",
    FIRST: "the first event of their user",
    NOT_LAST: "not the last like of their user",
}
"""Why a like is not a test, in words."""


@dataclass(frozen=True)
class Plan:
    """The steps of a protocol, the number of likes, and the number of likes that are not tests, by reason."""

    steps: Sequence[Step]
    likes: int
    left_out: Mapping[str, int]


def prequential(events: Sequence[Event], likes: Likes, rule: Rule = Rule(), seen: SeenRules = PLAIN) -> Plan:
    """One step per event that has an item."""
    begin = int(len(events) * rule.warm_up)
    met = Met(seen)
    left_out = dict.fromkeys((WARM_UP, SEEN, NOT_DRAWN), 0)
    steps, liked = [], 0
    for at, event in enumerate(events):
        if event.item is None:
            continue
        test = False
        if likes(event):
            liked += 1
            if at < begin:
                left_out[WARM_UP] += 1
            elif met.hides(event):
                left_out[SEEN] += 1
            elif drawn(event, TESTS_KEY + rule.seed) >= rule.share:
                left_out[NOT_DRAWN] += 1
            else:
                test = True
        steps.append(Step(at, test, True))
        met.learn(event)
    return Plan(steps, liked, left_out)


def leave_last_out(events: Sequence[Event], likes: Likes, seen: SeenRules = PLAIN) -> Plan:
    """First one step per learned event, then one per user's test."""
    met = Met(seen)
    left_out = dict.fromkeys((FIRST, SEEN, NOT_LAST), 0)
    tests: dict[str, int] = {}
    liked = 0
    for at, event in enumerate(events):
        if event.item is None:
            continue
        if likes(event):
            liked += 1
            if not met.any(event.user):
                left_out[FIRST] += 1
            elif met.hides(event):
                left_out[SEEN] += 1
            else:
                left_out[NOT_LAST] += event.user in tests
                tests[event.user] = at
        met.learn(event)
    learned = [
        Step(at, False, True)
        for at, event in enumerate(events)
        if event.item is not None and at < tests.get(event.user, len(events))
    ]
    return Plan(learned + [Step(at, True, False) for at in sorted(tests.values())], liked, left_out)


def before_tests(streams: Sequence[Sequence[Event]], tests: Sequence[Sequence[int]]) -> list[Event]:
    """The events that may be trained on in leave-last-out under any order of ties. `tests` are indices into `streams`.

    Leaves out each user's events from the second of their test on, taking the earliest test over all streams.
    """
    ends: dict[str, int] = {}
    for stream, places in zip(streams, tests, strict=True):
        for event in (stream[place] for place in places):
            ends[event.user] = min(ends.get(event.user, event.ts), event.ts)
    return [event for event in streams[0] if event.user not in ends or event.ts // 1000 < ends[event.user] // 1000]
