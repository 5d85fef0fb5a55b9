"""A confidence sequence for the mean of bounded values that arrive one by one.

Its bounds hold after every value at once with probability 1 - `alpha`, so a comparison may be looked at after each list
and stopped at any time. A fixed-size interval that is looked at repeatedly has no such guarantee.

The method is the predictable plug-in empirical Bernstein sequence of Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting" (2024), Theorem 2. It needs no variance and adapts to it. Memory is constant.
"""

import math
from typing import NamedTuple

import msgspec

LARGEST_BET = 0.5
"""The bound on a bet, below 1; the paper recommends 1/2 to 3/4."""


class Bounds(NamedTuple):
    """The mean is between `low` and `high`."""

    low: float
    high: float


class Confidence(msgspec.Struct):
    """The sequence of values between `least` and `most`, as far as it has come. It can be stored and continued.

    `add` takes the next value; `bounds` are those of the mean, and never widen; `latest` allow for a mean that drifts.
    """

    least: float
    most: float
    alpha: float = 0.05
    count: int = 0
    total: float = 0.0
    low: float = 0.0
    high: float = 1.0
    spread: float = 0.0
    bets: float = 0.0
    weighted: float = 0.0
    penalty: float = 0.0

    def __post_init__(self) -> None:
        if not self.least < self.most:
            raise ValueError(f"least must be below most, not {self.least} and {self.most}")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, not {self.alpha}")

    def add(self, value: float) -> None:
        """Take the next value. Raises ValueError where it is not between `least` and `most`."""
        if not self.least <= value <= self.most:
            raise ValueError(f"{value} is not between {self.least} and {self.most}")
        scaled = (value - self.least) / (self.most - self.least)
        # Mean and variance before this value: a bet must not depend on what it is about.
        mean = (0.5 + self.total) / (self.count + 1)
        variance = (0.25 + self.spread) / (self.count + 1)
        self.count += 1
        size = 2 * math.log(2 / self.alpha) / (variance * self.count * math.log1p(self.count))
        bet = min(math.sqrt(size), LARGEST_BET)
        self.total += scaled
        self.spread += (scaled - (0.5 + self.total) / (self.count + 1)) ** 2
        self.bets += bet
        self.weighted += bet * scaled
        self.penalty += (scaled - mean) ** 2 * (-math.log1p(-bet) - bet)
        center, radius = self.weighted / self.bets, (math.log(2 / self.alpha) + self.penalty) / self.bets
        self.low, self.high = max(self.low, center - radius), min(self.high, center + radius)

    @property
    def mean(self) -> float:
        """The mean of the values so far; the middle of the range before the first."""
        return self._unscaled(self.total / self.count if self.count else 0.5)

    @property
    def latest(self) -> Bounds:
        """The bounds without those of earlier moments. They hold also where the mean drifts: for its average over the
        values so far, weighted by the bets, which give early values more weight."""
        if not self.count:
            return Bounds(self.least, self.most)
        center, radius = self.weighted / self.bets, (math.log(2 / self.alpha) + self.penalty) / self.bets
        return Bounds(self._unscaled(max(0.0, center - radius)), self._unscaled(min(1.0, center + radius)))

    @property
    def bounds(self) -> Bounds:
        """The bounds of a mean that stays the same."""
        return Bounds(self._unscaled(self.low), self._unscaled(self.high))

    def _unscaled(self, value: float) -> float:
        return self.least + value * (self.most - self.least)
