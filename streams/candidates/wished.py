"""Items that the user's active wishes ask for, and a signal that counts for or against every item."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.moment import Floats, Ints, Moment
from streams.candidates.source import Measured, Signal, Words
from streams.graph.pairs import KERNELS
from streams.steering.wish import combined

WISH = "wish"
STRENGTH = 3.0
"""The most that wishes add to the score of an item, or take from it. How much of it counts depends on the list
(`streams.steering.strength`)."""

_NAMED = 0.2
"""Wishes of less strength are not named as reasons."""


def wanted(moment: Moment) -> Floats:
    """How much the wishes ask for each item, -1 to 1, float32 [n]; 0 where they ask neither for nor against it."""
    count = len(moment.allowed)
    if not moment.wishes:
        return np.zeros(count, np.float32)
    attributes, items = combined(moment.wishes)
    of_item, known = moment.catalogue.attributes()
    weights = np.zeros(known, np.float32)
    for name, strength in attributes.items():
        number = moment.catalogue.attribute_number(name)
        if number is not None:
            weights[number] = strength
    found = weights[of_item[:count]].sum(axis=1)
    for number, strength in items.items():
        found += np.float32(strength) * _like(moment, number, count)
        found[number] = min(found[number], strength)
    return np.asarray(found.clip(-1.0, 1.0), np.float32)


def _like(moment: Moment, number: int, count: int) -> Floats:
    """How much each item is like one of them, 0 to 1: by what users like and meet together with it, or if that is not
    known, by words. 0 for the item itself."""
    pairs = moment.graph.reach(np.array([number]))
    inside = pairs.other < count
    weights = pairs.strength[inside] @ _KERNELS
    close = np.bincount(pairs.other[inside], weights, minlength=count).astype(np.float64)  # of no pairs, integers
    if not close.any():
        vectors = moment.catalogue.likeness.vectors()
        close[: len(vectors)] = (vectors @ vectors[number])[:count].clip(0.0)
    close[number] = 0.0
    best = close.max(initial=0.0)
    return np.asarray(np.sqrt(close / best) if best > 0 else close, np.float32)


_KERNELS = np.array([1.0 if kernel.liked or kernel.name == "met_wide" else 0.0 for kernel in KERNELS], np.float32)


def _measure(moment: Moment, numbers: Ints) -> Measured:
    return moment.once(wanted)[numbers]


_SIGNALS = (Signal(WISH, STRENGTH, _measure, fixed=True),)


@dataclass(frozen=True)
class Wished:
    """The items that the wishes ask for most, of equally wanted ones those with the most likes."""

    name: str = "wished"
    size: int = 100
    reads_model: bool = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        if not moment.wishes:
            return np.zeros(0, np.int64)
        likes = moment.graph.likes()[: len(moment.allowed)]
        return moment.best(moment.once(wanted) * (1.0 + np.log1p(likes)), self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        if shares.get(WISH, 0.0) <= 0.0:
            return None
        attributes, items = combined(moment.wishes)
        catalogue = moment.catalogue
        own = {catalogue.attribute(one) for one in catalogue.attributes()[0][number].tolist() if one}
        named = sorted((-strength, name) for name, strength in attributes.items() if strength > _NAMED and name in own)
        if named:
            return Words(moment.say("asked_for_more", name=named[0][1]))
        asked = [(-strength, like) for like, strength in items.items() if strength > _NAMED and catalogue.holds(like)]
        if asked:
            like = min(asked)[1]
            return Words(moment.say("asked_for_more_like", title=catalogue.at(like).title), (like,))
        return None
