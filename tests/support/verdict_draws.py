"""Draw the likes of users for the tests of a challenger, until the test has a verdict.

The figures are those of the real stream: a hit ratio of .26, and two versions disagree on 12% of lists.
"""

import numpy as np

from inference.versions.rules import Rules
from inference.versions.verdicts import Arms, Outcome, Paired

HIT_RATIO, DISAGREE = 0.26, 0.12


def judged_shadow(rules: Rules, loss: float, random: np.random.Generator) -> tuple[Outcome, int]:
    """The verdict on a challenger that loses this much hit ratio, and the likes that it took."""
    test = Paired.of(rules)
    half = max(DISAGREE, loss) / 2
    shares = [half + loss / 2, 1 - 2 * half, half - loss / 2]
    for value in random.choice([-1.0, 0.0, 1.0], rules.shadow_limit + 1, p=shares).tolist():
        test.differences.add(value)
        found = test.judge(rules)
        if found.outcome != "undecided":
            return found.outcome, found.pairs
    raise AssertionError("a test ends at its limit")


def judged_canary(rules: Rules, loss: float, random: np.random.Generator) -> tuple[Outcome, int]:
    """The same for a canary; the likes are those on its lists."""
    test = Arms.of(rules)
    while True:
        size = 4_096
        shown = random.random(size) < rules.share
        hits = random.random(size) < np.where(shown, HIT_RATIO - loss, HIT_RATIO)
        for canary, hit in zip(shown.tolist(), hits.tolist(), strict=True):
            (test.canary if canary else test.champion).add(float(hit))
            if canary:
                found = test.judge(rules)
                if found.outcome != "undecided":
                    return found.outcome, found.pairs
