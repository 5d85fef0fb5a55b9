"""A trial: what champion and challenger did on the same held-out likes and logged lists. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inference.off_policy.decisions import NO_DECISIONS, Decisions

DEPTH = 10
NONE = -1

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Measured:
    """What one version did in T tests, one for each held-out like, and on D logged decisions.

    `places` int64 [T]: the liked item's position among all items that its user had not met, from 0; `NONE` if it was
    not listed. `top` int64 [T, 10]: the best items, padded with `NONE`. `predicted` float64 and `taken` bool [P]: the
    probability of each item that the version put on top, and whether it was the next like; `shown_to` int64 [P]: its
    user. `chances` float64 [D]: the probability with which the version would have taken each logged decision; none if
    these are too few to decide by (`inference.versions.gates.off_policy.too_few`).
    `broken`: tests and decisions with scores that are not finite.
    """

    places: Ints
    top: Ints
    predicted: Floats
    taken: Bools
    shown_to: Ints
    chances: Floats
    broken: int = 0

    @property
    def hits(self) -> Floats:
        """1 if the item is in the top ten, else 0. [T]."""
        return ((self.places >= 0) & (self.places < DEPTH)).astype(np.float64)

    @property
    def gains(self) -> Floats:
        """1 / log2(position + 2) in the top ten, else 0: the NDCG@10 of each test. [T]."""
        return np.asarray(self.hits / np.log2(np.maximum(self.places, 0) + 2.0), np.float64)


@dataclass(frozen=True, eq=False)
class Trial:
    """Both versions on the same T tests and the same decisions.

    `users` int64 [T] numbers the users. `likes` int64 [T]: the user's likes before the test. `popularity` int64
    [items]: likes in training. `agreement` float64 [A]: for some tests, Spearman's correlation between the order of
    the trained network and that of the challenger as it is served. `groups`: whether each test belongs to a group, bool
    [T], by name, such as "genre=Comedy"; groups may overlap.
    """

    champion: Measured
    challenger: Measured
    users: Ints
    likes: Ints
    popularity: Ints
    agreement: Floats
    decisions: Decisions = NO_DECISIONS
    groups: Mapping[str, Bools] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tests = len(self.users)
        lengths = [len(self.likes), *map(len, self.groups.values())]
        for version in (self.champion, self.challenger):
            lengths += [len(version.places), len(version.top)]
            if len(version.chances) not in {0, len(self.decisions)}:
                raise ValueError(f"{len(version.chances)} chances for {len(self.decisions)} decisions")
            if not len(version.predicted) == len(version.taken) == len(version.shown_to):
                raise ValueError("predicted, taken and shown_to must have one length")
        if set(lengths) - {tests}:
            raise ValueError(f"the trial has {tests} tests, but some arrays have {sorted(set(lengths))} rows")

    @property
    def tests(self) -> int:
        return len(self.users)


def by_attribute(name: str, values: list[tuple[str, ...]]) -> dict[str, Bools]:
    """Groups of tests by an attribute with any number of values each: "name=value" to bool [T]."""
    every = sorted({value for some in values for value in some})
    return {f"{name}={value}": np.array([value in some for some in values], np.bool_) for value in every}
