"""Has what the champion does, or what it is asked, changed since it began? Pure, over bounded state.

A reference is gathered from the champion's first lists, and frozen. Later lists are compared with it:

- the **hit ratio** (lists that were taken) and the **calibration** (taken, minus the model's probability) by confidence
  sequences, which may be looked at after each list. A sequence over all later lists would notice a late change late.
  So it starts over with each block of lists, and block k gets a share 6 / (pi k)^2 of the risk: all blocks together err
  with the risk at most, as long as nothing changes. The hit ratio drifts where it falls, the calibration either way.
- **history length, hour of day and item attributes** by the population stability index over windows (N. Siddiqi,
  "Credit Risk Scorecards", 2006; above .25 is a significant shift). Of two samples of the same population it is about
  (bins - 1) (1/n + 1/m) (B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index", 2020),
  which is subtracted. Hours are compared day by day.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from inference.versions.rules import Rules
from schemas.confidence import Confidence

DAY_MS, HOUR_MS = 86_400_000, 3_600_000

MOST_LABELS = 1_000
"""Attributes counted while the reference is gathered; further ones count as `OTHER`."""

MOST_BINS = 30
"""Of these, the most frequent are compared; the rest is `OTHER`."""

PARTS = (8, 4, 2, 1)
"""Blocks are `Rules.drift_lists` divided by these long."""

LEAST_COUNT = 200
"""Values in a window below which its index is not computed."""

OTHER, NONE, UNKNOWN = "other", "none", "unknown"


class Observed(NamedTuple):
    """One list of the champion: whether it was `taken`, when (milliseconds since 1970), the model's `chance` that it is
    and the length of the user's `history`, if known, and the attributes of the item that was taken. These are None
    without such an item, and (`UNKNOWN`,) for one that the catalogue did not have."""

    taken: bool
    ts: int
    chance: float | None = None
    history: int | None = None
    attributes: tuple[str, ...] | None = None


class Finding(NamedTuple):
    """One measure: its `figure` with its interval if it has one, whether it `drifted`, and what it says."""

    measure: str
    figure: float
    low: float | None
    high: float | None
    drifted: bool
    text: str


class Change(NamedTuple):
    """A mean minus that of the reference, and its interval."""

    figure: float
    low: float
    high: float


class Block(msgspec.Struct):
    """The sequence over one block of `size` values. `number` counts the blocks of this size, and `found` is the change
    in the last whole one, if it drifted."""

    size: int
    values: Confidence
    number: int = 1
    found: Change | None = None


class Level(msgspec.Struct):
    """The mean of values between `least` and `most`, against that of the first `Rules.drift_lists`. With `fall`, only a
    lower mean counts. Blocks of several sizes run beside each other: short ones find a large change soon, long ones a
    small change."""

    least: float
    most: float
    fall: bool
    reference: Confidence
    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, least: float, most: float, risk: float, rules: Rules, *, fall: bool) -> "Level":
        """`risk` is the chance that it is said to drift when nothing changed."""
        # Half of the risk is the reference's. A sequence has two bounds, of which a fall looks at one.
        alpha = risk / 2 * (2 if fall else 1)
        sizes = [max(1, rules.drift_lists // part) for part in PARTS]
        blocks = tuple(Block(size, Confidence(least, most, _share(alpha, 1))) for size in sizes)
        return cls(least, most, fall, Confidence(least, most, alpha), blocks)

    def add(self, value: float, rules: Rules) -> None:
        """Take the next value; values out of bounds count as the bound."""
        value = min(self.most, max(self.least, value))
        if self.reference.count < rules.drift_lists:
            self.reference.add(value)
            return
        for block in self.blocks:
            if block.values.count >= block.size:
                change = self.change(block)
                block.found, block.number = change if self._drifts(change, rules) else None, block.number + 1
                block.values = Confidence(self.least, self.most, _share(self.reference.alpha, block.number))
            block.values.add(value)

    def change(self, block: Block) -> Change:
        """The change in a block so far."""
        before, now = self.reference.latest, block.values.latest
        figure = block.values.mean - self.reference.mean if block.values.count else 0.0
        return Change(figure, now.low - before.high, now.high - before.low)

    def finding(self, measure: str, rules: Rules) -> Finding:
        """What the longest block says that drifts, or else the longest; present blocks before whole ones."""
        present = [self.change(block) for block in self.blocks]
        drifting = [block.found for block in self.blocks if block.found is not None]
        drifting += [change for change in present if self._drifts(change, rules)]
        change = drifting[-1] if drifting else present[-1]
        if self.reference.count < rules.drift_lists:
            text = f"gathering its reference: {self.reference.count:,} of {rules.drift_lists:,} lists"
        elif drifting:
            says = "fell" if self.fall else "changed"
            text = f"{says} by more than {rules.drift_margin:g}; the mean was {self.reference.mean:.3f} at first"
        else:
            text = f"no change above {rules.drift_margin:g} is certain in {self.blocks[-1].values.count:,} lists"
        return Finding(measure, *change, bool(drifting), text)

    def _drifts(self, change: Change, rules: Rules) -> bool:
        return change.high < -rules.drift_margin or (not self.fall and change.low > rules.drift_margin)


def _share(alpha: float, number: int) -> float:
    """What block `number` of one size gets: all blocks of all sizes together get `alpha`."""
    return alpha * 6.0 / (math.pi * number) ** 2 / len(PARTS)


class Shares(msgspec.Struct):
    """How values spread over labels: in the reference, and in the present window. `index` is the population stability
    index of the last whole window against the reference, without what chance makes; None before that."""

    reference: dict[str, int] = {}
    frozen: bool = False
    window: dict[str, int] = {}
    count: int = 0
    index: float | None = None

    def add(self, label: str) -> None:
        """Count a value in the present window."""
        if self.frozen:
            label = label if label in self.reference else OTHER
        elif label not in self.window and len(self.window) >= MOST_LABELS:
            label = OTHER
        self.window[label] = self.window.get(label, 0) + 1
        self.count += 1

    def end_window(self) -> None:
        """Compare the window with the reference, or make it that; a window with too few values is left out."""
        if self.count >= LEAST_COUNT:
            if self.frozen:
                self.index = stability_index(self.reference, self.window)
            else:
                self.reference, self.frozen = most_frequent(self.window), True
        self.window, self.count = {}, 0

    def finding(self, measure: str, rules: Rules) -> Finding:
        drifted = self.index is not None and self.index >= rules.drift_psi
        text = f"index {self.index:.3f} of {rules.drift_psi:g}" if self.index is not None else "no whole window yet"
        return Finding(measure, self.index or 0.0, None, None, drifted, text)


class Drift(msgspec.Struct):
    """All measures of one champion. About 100 KiB at most while the reference is gathered, then 10."""

    champion: str
    hits: Level
    calibration: Level
    history: Shares
    hours: Shares
    attributes: Shares
    lists: int = 0
    day: int = 0
    in_window: int = 0

    @classmethod
    def of(cls, champion: str, rules: Rules) -> "Drift":
        half = rules.drift_risk / 2
        return cls(
            champion,
            Level.of(0.0, 1.0, half, rules, fall=True),
            Level.of(-1.0, 1.0, half, rules, fall=False),
            Shares(),
            Shares(),
            Shares(),
        )

    def add(self, given: Observed, rules: Rules) -> None:
        """Take the next list."""
        self.lists += 1
        self.hits.add(float(given.taken), rules)
        if given.chance is not None:
            self.calibration.add(given.taken - given.chance, rules)
        self._add_hour(given.ts)
        if given.history is not None:
            self.history.add(str(given.history.bit_length()))
        for attribute in _labels(given):
            self.attributes.add(attribute)
        self.in_window += 1
        if self.in_window >= rules.drift_lists:
            self.history.end_window()
            self.attributes.end_window()
            self.in_window = 0

    def findings(self, rules: Rules) -> list[Finding]:
        """All measures as they are now."""
        return [
            self.hits.finding("hit_ratio", rules),
            self.calibration.finding("calibration", rules),
            self.history.finding("history_length", rules),
            self.hours.finding("hour_of_day", rules),
            self.attributes.finding("item_attributes", rules),
        ]

    def _add_hour(self, ts: int) -> None:
        if not self.day:
            self.day = ts
        if ts >= self.day + DAY_MS:
            self.hours.end_window()
            self.day += (ts - self.day) // DAY_MS * DAY_MS
        self.hours.add(str(ts % DAY_MS // HOUR_MS))


def stability_index(reference: Mapping[str, int], window: Mapping[str, int]) -> float:
    """The population stability index of two counts by label, each at least one in total, minus what is expected of two
    samples of the same population, and at least 0. Half a count is added to each label, so that none is empty."""
    labels = {*reference, *window}
    n, m = sum(reference.values()), sum(window.values())
    index = 0.0
    for label in labels:
        before = (reference.get(label, 0) + 0.5) / (n + 0.5 * len(labels))
        now = (window.get(label, 0) + 0.5) / (m + 0.5 * len(labels))
        index += (now - before) * math.log(now / before)
    return max(0.0, index - (len(labels) - 1) * (1 / n + 1 / m))


def most_frequent(counts: Mapping[str, int]) -> dict[str, int]:
    """The `MOST_BINS` greatest counts, and the sum of the others under `OTHER`."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    found = dict(ordered[:MOST_BINS])
    rest = sum(count for _, count in ordered[MOST_BINS:])
    found[OTHER] = found.get(OTHER, 0) + rest
    return found


def _labels(given: Observed) -> Iterator[str]:
    if given.attributes is not None:
        yield from given.attributes or (NONE,)
