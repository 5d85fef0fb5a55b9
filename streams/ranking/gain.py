"""What the model adds to lists, from likes of lists that were also ordered without it. Pure.

A like gives two differences, each the list with the model minus the list without it: in hits (does the list show the
item?) and in worth (1 / log2(2 + place), the like's NDCG). The question is whether the mean difference reaches a
margin. It is asked after every like, so the answer is an e-value: with a mean of at least the margin, the probability
that the e-value ever reaches 1 / `RISK` is at most `RISK`, however often one looks (Ville's inequality). The e-value is
the capital of a gambler who bets against the margin (Waudby-Smith and Ramdas, "Estimating means of bounded random
variables by betting", 2024). The bets are fixed, so the capital follows from sums, and sums of several partitions add
up. Its mean over several sizes of bets is as good as nearly the best size.
"""

import math
from enum import StrEnum
from typing import NamedTuple

import msgspec

RISK = 0.05
"""Probability of "adds nothing" about a model that adds the margin, in each window."""

WINDOW = 100_000
"""Likes after which the next window begins. Evidence is of this one and the one before."""

RELIEF = 1.0
"""By how much the logarithm of the evidence has to fall before the model is asked again: it wavers around the limit."""

SHARES = tuple(2.0**-step for step in range(1, 7))
"""Bets, as shares of the largest that cannot lose everything."""


class Verdict(StrEnum):
    """What the model adds to the lists of a scene."""

    ADDS = "adds"
    UNDECIDED = "undecided"
    NOTHING = "nothing"


class PairedLike(NamedTuple):
    """A like of lists that the champion `version` made in one scene. `listed` and `without_model` are the item's best
    place on them with the model and without it, from 0; None if no list shows it."""

    scene: str
    version: str
    listed: int | None
    without_model: int | None


class Sums(msgspec.Struct, frozen=True, array_like=True):
    """The differences of `likes` likes: their sums, and the sums of their squares."""

    likes: int = 0
    hits: int = 0
    hit_squares: int = 0
    worth: float = 0.0
    worth_squares: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.likes + other.likes,
            self.hits + other.hits,
            self.hit_squares + other.hit_squares,
            self.worth + other.worth,
            self.worth_squares + other.worth_squares,
        )


NO_LIKES = Sums()


class Gain(msgspec.Struct, frozen=True, array_like=True):
    """The evidence of one scene about one version of the model: this window, and the one before. About 100 bytes."""

    version: str = ""
    now: Sums = NO_LIKES
    before: Sums = NO_LIKES

    @property
    def sums(self) -> Sums:
        return self.now + self.before


def differences(listed: int | None, without_model: int | None) -> Sums:
    """The differences of one like, by the places that `PairedLike` has."""
    hit = (listed is not None) - (without_model is not None)
    worth = _worth(listed) - _worth(without_model)
    return Sums(1, hit, hit * hit, worth, worth * worth)


def taken(gain: Gain, like: PairedLike) -> Gain:
    """The evidence after a like. Another version starts over."""
    held = gain if gain.version == like.version else Gain(like.version)
    return msgspec.structs.replace(held, now=held.now + differences(like.listed, like.without_model))


def turned(gain: Gain) -> Gain:
    """The evidence at the beginning of the next window."""
    return Gain(gain.version, NO_LIKES, gain.now)


def verdict(sums: Sums, margin: float, held: Verdict = Verdict.UNDECIDED) -> Verdict:
    """What these likes say of the model, after the verdict `held` before.

    `NOTHING`: it adds less than `margin` (-1 to below 1) both to hits and to worth. `ADDS`: it adds to hits.
    """
    hits = evidence(sums.likes, sums.hits, sums.hit_squares, margin)
    worth = evidence(sums.likes, sums.worth, sums.worth_squares, margin)
    limit = -math.log(RISK)
    if min(hits, worth) >= limit - RELIEF * (held is Verdict.NOTHING):
        return Verdict.NOTHING
    adds = evidence(sums.likes, -sums.hits, sums.hit_squares, 0.0) >= limit
    return Verdict.ADDS if adds else Verdict.UNDECIDED


def evidence(count: int, total: float, squares: float, margin: float) -> float:
    """The logarithm of an e-value against a mean of at least `margin`, of `count` values between -1 and 1 with this sum
    and sum of squares.

    It bounds the capital from below: log(1 + u) >= u + (log(1 - s) + s) (u / s)^2 for u >= -s (Fan, Grama and Liu,
    "Exponential inequalities for martingales with applications", 2015).
    """
    short = count * margin - total
    short_squares = count * margin**2 - 2 * margin * total + squares
    found = []
    for share in SHARES:
        bet = share / (1 - margin)
        found.append(bet * short + (math.log1p(-share) + share) * (bet / share) ** 2 * short_squares)
    most = max(found)
    return most + math.log(sum(math.exp(each - most) for each in found) / len(found))


def _worth(place: int | None) -> float:
    return 0.0 if place is None else 1 / math.log2(2 + place)
