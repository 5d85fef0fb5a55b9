"""The two protocols, each as a plan of steps over one order of events. `inference.evaluation.runner` carries it out.

**Prequential**: test, then learn, in the order in which things happened (A. P. Dawid, "Statistical theory: the
prequential approach", JRSS A 147(2), 1984). **Leave-last-out**: each person's last like is the test, and all else is
learned first.

A test is a like of an item that may be on the user's list: not one that the rule of the scene (`schemas.seen`) keeps
off it, usually because the user has met it. `Plan` says how many likes are no tests, and why.

Events are in order of time, those of one moment in a drawn order (a "tie seed"). In a test each method ranks the full
catalogue without what the person has seen, and scores by the place of the item that comes; among items of one score the
place is drawn. Nothing is sampled, and no method is told the item before its order stands.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inference.evaluation.draws import TESTS_KEY, drawn
from inference.evaluation.met import Met
from schemas.events import Event
from schemas.seen import PLAIN, SeenRules

DEPTH = 10
"""How many places of a list count."""

RANKED = (
    f"Full catalogue, items that the person has seen left out, the place among items of one score drawn, the same draw "
    f"for every method; HR@{DEPTH} and NDCG@{DEPTH}; no sampling. Mean and spread (greatest less least) over the tie "
    "seeds."
)

Likes = Callable[[Event], bool]


class Step(NamedTuple):
    """What to do at event `at` of the order: test with it, learn it, or the one and then the other."""

    at: int
    test: bool
    learn: bool


@dataclass(frozen=True)
class Rule:
    """Which events are tests in the prequential protocol: of those after the warm-up a `share`, drawn for each event by
    a hash of its user, item and time under the tie `seed`. So tests do not follow from turns that users take."""

    warm_up: float = 0.2
    share: float = 0.25
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"Prequential: test, then learn, in order of time; events of one second in a drawn order (tie seed). The "
            f"first {self.warm_up:.0%} of events warm up; then a like of an item that its person has not seen is a "
            f"test if a hash of its user, item and time, under the tie seed, falls in the first {self.share:.0%}. "
            f"{RANKED}"
        )


LAST_OUT = (
    "Leave-last-out: the test of each person is their last like of an item not seen before, in order of time, events "
    "of one second in a drawn order (tie seed); people without an event before it have none. What they did after it is "
    "left out. All other events are learned first, in order of time, other people's later ones included, as is usual "
    f"in this protocol; lists are as of the end of the stream. {RANKED}"
)


WARM_UP, SEEN, NOT_DRAWN, FIRST, NOT_LAST = "warm_up", "seen", "not_drawn", "first", "not_last"
WHY_LEFT_OUT = {
    WARM_UP: "in the warm-up",
    SEEN: "of items that the user had seen (--seen-kinds and --seen-again say what counts)",
    NOT_DRAWN: "not drawn",
    FIRST: "the first that is known of their user",
    NOT_LAST: "not the last of their user",
}
"""Why a like is no test, in words."""


@dataclass(frozen=True)
class Plan:
    """The steps of a protocol, how many likes there are, and how many of them are no tests, by the reason."""

    steps: Sequence[Step]
    likes: int
    left_out: Mapping[str, int]


def prequential(events: Sequence[Event], likes: Likes, rule: Rule = Rule(), seen: SeenRules = PLAIN) -> Plan:
    """A step for each event that names an item."""
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
    """First a step for each event that is learned, then one for each person's test."""
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
    """What may be trained on in leave-last-out whatever the order of ties: `tests` are places in each of `streams`.

    Left out is what a person did in the second of their test, in whichever order it comes first, and later.
    """
    ends: dict[str, int] = {}
    for stream, places in zip(streams, tests, strict=True):
        for event in (stream[place] for place in places):
            ends[event.user] = min(ends.get(event.user, event.ts), event.ts)
    return [event for event in streams[0] if event.user not in ends or event.ts // 1000 < ends[event.user] // 1000]
