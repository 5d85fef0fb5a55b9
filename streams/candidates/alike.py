"""Items with words or attributes like those of what the user liked."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streams.candidates.evidence import interests
from streams.candidates.moment import Floats, Ints, Moment
from streams.candidates.source import Measured, Signal, Words

MAX_SHARED = 2
DECAY = 0.9
"""How much less a like counts than the next newer one."""


def _alike(moment: Moment) -> Floats:
    """The text similarity of each item to the user's likes, -1 to 1, float32 [n]."""
    likeness, likes = moment.catalogue.likeness, moment.known.likes
    profile = likeness.profile(likes, (DECAY ** np.arange(len(likes))).astype(np.float32))
    alike = np.zeros(len(moment.allowed), np.float32)
    vectors = likeness.vectors()[: len(alike)]
    alike[: len(vectors)] = vectors @ profile
    return alike


def _interest(moment: Moment, numbers: Ints) -> Measured:
    """The cosine of each item's attributes with the user's interest in them."""
    catalogue = moment.catalogue
    attributes, _ = catalogue.attributes()
    wanted, rarity = interests(moment.known, catalogue), catalogue.rarity()
    of_item = attributes[numbers]
    length = np.sqrt((rarity[of_item] ** 2).sum(axis=1))
    return np.asarray((wanted[of_item] * rarity[of_item]).sum(axis=1) / np.where(length > 0, length, 1.0))


def _text(moment: Moment, numbers: Ints) -> Measured:
    return moment.once(_alike)[numbers]


_SIGNALS = (Signal("interest", 0.15, _interest), Signal("alike", 0.03, _text))


@dataclass(frozen=True)
class Alike:
    """The items whose text is most like that of the likes."""

    name: str = "alike"
    size: int = 30
    reads_model: bool = False

    @property
    def signals(self) -> tuple[Signal, ...]:
        return _SIGNALS

    def propose(self, moment: Moment) -> Ints:
        return moment.best(moment.once(_alike), self.size)

    def reason(self, moment: Moment, number: int, *, proposed: bool, shares: Mapping[str, float]) -> Words | None:
        """The attributes that it shares with a like, or the like with the most similar text, whichever contributes
        more. Texts are compared by hashed words, so only items proposed for their text are called alike."""
        shared, described = _shared(moment, number), _described(moment, number) if proposed else None
        if shared is not None and described is not None:
            return shared if shares["interest"] >= shares["alike"] else described
        return shared or described


def _described(moment: Moment, number: int) -> Words | None:
    catalogue = moment.catalogue
    held = [one for one in moment.known.likes.tolist() if catalogue.holds(one)]
    if not held:
        return None
    vectors = catalogue.likeness.vectors()
    alike = vectors[held] @ vectors[number]
    if alike.max() <= 0:
        return None
    like = held[int(alike.argmax())]
    return Words(moment.say("described_like", title=catalogue.at(like).title), (like,))


def _shared(moment: Moment, number: int) -> Words | None:
    """The rarest attributes that the item shares with the like that shares most."""
    catalogue = moment.catalogue
    attributes, _ = catalogue.attributes()
    rarity = catalogue.rarity()
    own = {one for one in attributes[number].tolist() if rarity[one] > 0}  # attributes that all items share say nothing
    best: tuple[float, list[str], int] = (0.0, [], -1)
    for like in moment.known.likes.tolist():
        common = sorted(own & set(attributes[like].tolist()), key=lambda one: -rarity[one]) if like >= 0 else []
        weight = float(rarity[common].sum()) if common else 0.0
        if weight > best[0]:
            best = (weight, [catalogue.attribute(one) for one in common[:MAX_SHARED]], like)
    _, names, like = best
    if not names:
        return None
    return Words(moment.say("shares", names=moment.language.join(names), title=catalogue.at(like).title), (like,))
