"""Is the challenger worse than the champion? Two tests that may be looked at after every like. Pure.

In shadow both versions order the same lists and the user's next like decides, so the test is of paired differences:
hits of the challenger minus hits of the champion, each in [-1, 1]. In the canary stage users see the lists of one
version only, so the test compares two arms of users. Both use `Confidence`, whose bounds hold at every moment, so
stopping at the first clear result is sound. Hit ratios drift with time and taste, hence its `latest` bounds: the others
would hold an arm to what it was earlier.

The two arms are different users. Their hit ratios differ by chance by about the spread among users divided by the root
of the number of canary users, which no number of likes reduces: a canary needs hundreds of users.
"""

from typing import Literal

import msgspec

from inference.versions.rules import Rules
from schemas.confidence import Bounds, Confidence
from schemas.models import Comparison

RECENT = 20_000
"""Comparisons whose ids are remembered to drop repeats: at most 2 MB. A worker repeats only its latest ones."""

Outcome = Literal["undecided", "passed", "worse", "inconclusive"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a test says now. `difference` is the challenger's hit ratio minus the champion's, with its interval; `pairs`
    counts the likes that it rests on: in the canary stage, those on the canary's lists. `reason` is one sentence."""

    outcome: Outcome
    reason: str
    difference: float
    low: float
    high: float
    pairs: int


class _Recent(msgspec.Struct):
    """The ids of the latest `RECENT` comparisons, oldest first."""

    ids: dict[str, None] = {}

    def repeats(self, given: Comparison) -> bool:
        """Whether it was seen recently; remembers it."""
        if given.id in self.ids:
            return True
        if len(self.ids) >= RECENT:
            del self.ids[next(iter(self.ids))]
        self.ids[given.id] = None
        return False


class Paired(msgspec.Struct):
    """The test of a challenger in shadow. `repeats` counts the comparisons that arrived again."""

    differences: Confidence
    recent: _Recent = msgspec.field(default_factory=_Recent)
    repeats: int = 0

    @classmethod
    def of(cls, rules: Rules) -> "Paired":
        # Each of the two bounds is wrong with probability `risk` at most.
        return cls(Confidence(-1.0, 1.0, alpha=2 * rules.risk))

    def add(self, given: Comparison) -> None:
        if given.canary:
            return  # decided by a list that the challenger ordered
        if self.recent.repeats(given):
            self.repeats += 1
            return
        self.differences.add(float(given.challenger_hit) - float(given.champion_hit))

    def judge(self, rules: Rules) -> Judgement:
        low, high = self.differences.latest
        mean, pairs = self.differences.mean if self.differences.count else 0.0, self.differences.count
        outcome: Outcome
        if high < 0.0:
            outcome, reason = "worse", f"its hit ratio is lower by {-high:.3f} or more"
        elif pairs >= rules.shadow_pairs and low > -rules.margin:
            outcome, reason = "passed", f"a loss of hit ratio of {rules.margin:g} or more is ruled out"
        elif pairs >= rules.shadow_limit:
            outcome = "inconclusive"
            reason = f"a loss of hit ratio of {rules.margin:g} is not ruled out after {pairs:,} likes"
        else:
            outcome, reason = "undecided", "comparing"
        return Judgement(outcome=outcome, reason=reason, difference=mean, low=low, high=high, pairs=pairs)


class Arms(msgspec.Struct):
    """The test of a canary: the hit ratio of its lists against that of the champion's lists."""

    champion: Confidence
    canary: Confidence
    recent: _Recent = msgspec.field(default_factory=_Recent)
    repeats: int = 0

    @classmethod
    def of(cls, rules: Rules) -> "Arms":
        # The arms share the risk: the bound that counts is wrong in each with probability `risk` / 2 at most.
        return cls(Confidence(0.0, 1.0, alpha=rules.risk), Confidence(0.0, 1.0, alpha=rules.risk))

    def add(self, given: Comparison) -> None:
        if self.recent.repeats(given):
            self.repeats += 1
        elif given.canary:
            self.canary.add(float(given.challenger_hit))
        else:
            self.champion.add(float(given.champion_hit))

    @property
    def bounds(self) -> Bounds:
        """Of the canary's hit ratio minus the champion's."""
        champion, canary = self.champion.latest, self.canary.latest
        return Bounds(canary.low - champion.high, canary.high - champion.low)

    def judge(self, rules: Rules) -> Judgement:
        low, high = self.bounds
        pairs = self.canary.count
        difference = self.canary.mean - self.champion.mean if pairs and self.champion.count else 0.0
        outcome: Outcome
        if high < 0.0:
            outcome, reason = "worse", f"the hit ratio of its lists is lower by {-high:.3f} or more"
        elif pairs >= rules.canary_likes and self.champion.count and difference >= -rules.margin:
            outcome = "passed"
            reason = f"no loss of hit ratio above {rules.margin:g} was seen in {pairs:,} likes on its lists"
        elif pairs >= rules.canary_limit:
            outcome, reason = "inconclusive", f"its lists still look worse after {pairs:,} likes"
        else:
            outcome, reason = "undecided", "comparing"
        return Judgement(outcome=outcome, reason=reason, difference=difference, low=low, high=high, pairs=pairs)
