"""Drawing a list: who gets each place, and with which probability. Pure: the noise follows from the list's id.

A list is drawn from a mixture of four policies. Two independent draws choose one of them: whether the list explores
(with the scene's `share`), and whether its last places go to new items (`new_share`).

- A list that does not explore gives each place to the best marginal score (`streams.ranking.diversity`).
- A list that explores gives place k to candidate i with the probability softmax(marginal scores / temperature), over
  the candidates left: the Plackett-Luce model (R. L. Plackett, "The analysis of permutations", JRSS C 1975; R. D. Luce,
  "Individual Choice Behavior", 1959) in which a candidate's worth depends on those above it. The Gumbel-max trick draws
  it (J. I. Yellott, "The relationship between Luce's choice axiom, Thurstone's theory ...", 1977). The noise is drawn
  again for each place: since diversity changes the scores, noise drawn once for the list would not be exact.
- A place for new items goes to each new item that is left, equally likely; to a usual candidate if none is left.

The recorded propensity of an entry is the probability of its item at its place given the entries above, over all four
policies: those under which the entries above are likely count more. The product of a list's propensities is the
probability of the list, and the products of all lists that could be drawn sum to 1.
"""

from hashlib import shake_128
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.ranking.diversity import Floats, Ints, Marginals
from streams.ranking.exploration import Exploration

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

BITS = 52
"""Bits of a uniform number, so that it is never 0 nor 1."""


class Noise:
    """Noise that follows from a list's id alone: the same on every worker, in every version of numpy."""

    def __init__(self, name: str) -> None:
        self._name = name

    def uniforms(self, use: str, count: int) -> Doubles:
        """Numbers between 0 and 1, exclusive, float64 [count]; independent of those for another use."""
        drawn = np.frombuffer(shake_128(f"{use} {self._name}".encode()).digest(8 * count), "<u8")
        return ((drawn >> np.uint64(64 - BITS)).astype(np.float64) + 0.5) / 2.0**BITS

    def gumbels(self, use: str, count: int) -> Doubles:
        """The same with the standard Gumbel distribution."""
        return -np.log(-np.log(self.uniforms(use, count)))


class Taken(NamedTuple):
    """One place of a list: the probability that its candidate gets it, given those above; the candidate's marginal
    score; whether another candidate would have the place if the list did not explore."""

    propensity: float
    value: float
    explored: bool


class Drawing:
    """A list in the making: the probabilities of its next place, given those above.

    There are n candidates, in the order in which ties are broken; `marginals` are theirs. `usual`, bool [n], marks
    those that can get any place, `new`, bool [n], those that can get a place for new items. The list gets `length`
    entries, or as many as there are usual candidates.
    """

    def __init__(
        self, marginals: Marginals, *, usual: Bools, new: Bools, length: int, exploration: Exploration
    ) -> None:
        self.length = min(length, int(usual.sum()))
        self._marginals = marginals
        self._usual = usual.copy()
        self._new = new.copy()
        self._exploration = exploration
        self._first_new = self.length - min(exploration.new_places, int(new.sum()))
        self._place = 0
        share, new_share = exploration.share, exploration.new_share
        with np.errstate(divide="ignore"):
            self._weights: Doubles = np.log(
                [
                    (1.0 - share) * (1.0 - new_share),
                    share * (1.0 - new_share),
                    (1.0 - share) * new_share,
                    share * new_share,
                ]
            )
        """The logarithm of the probability of each policy, given the entries so far and up to a constant."""

    def policies(self) -> Doubles:
        """The logarithms of the probabilities of the next place under each policy, float64 [4, n].

        Neither, explores, new items, both: -inf for what the policy does not do.
        """
        rows = np.full((4, len(self._usual)), -np.inf)
        marginal = np.where(self._usual, self._marginals.values, -np.inf).astype(np.float64)
        best = int(np.argmax(marginal))
        rows[0::2, best] = 0.0
        scaled = (marginal - marginal[best]) / self._exploration.temperature
        rows[1::2] = scaled - np.log(np.exp(scaled).sum())
        if self.new_place:
            rows[2:] = np.where(self._new, -np.log(self._new.sum()), -np.inf)
        return rows

    @property
    def new_place(self) -> bool:
        """Whether the next place is one for new items, if the list has any."""
        return self._place >= self._first_new and bool(self._new.any())

    def probabilities(self) -> Doubles:
        """The probability of each candidate at the next place, given those above, float64 [n]; they sum to 1."""
        return self._mixed(self.policies())

    def take(self, candidate: int, policies: Doubles | None = None) -> Taken:
        """Give the next place to a candidate. `policies` are those of this place, if they are known."""
        rows = self.policies() if policies is None else policies
        propensity = float(self._mixed(rows)[candidate])
        weights = self._weights + rows[:, candidate]
        self._weights = weights - weights.max()
        self._usual[candidate] = self._new[candidate] = False
        self._place += 1
        return Taken(propensity, self._marginals.take(candidate), candidate != int(np.argmax(rows[0])))

    def _mixed(self, rows: Doubles) -> Doubles:
        total = np.logaddexp.reduce(self._weights)
        mixed: Doubles = np.exp(np.logaddexp.reduce(self._weights[:, np.newaxis] + rows, axis=0) - total)
        return np.minimum(mixed, 1.0)  # it may be above by rounding


class Drawn(NamedTuple):
    """A drawn list of m entries.

    `chosen`: the candidates in order, int64 [m]; `values`: the score of each when it was chosen, at most that of the
    one above, float32 [m]; `propensities`, float64 [m]; `explored`: whether another candidate would have the place if
    the list did not explore, bool [m]; `new`: whether the place went to a new item because it is new, bool [m].
    """

    chosen: Ints
    values: Floats
    propensities: Doubles
    explored: Bools
    new: Bools


def draw(drawing: Drawing, noise: Noise, exploration: Exploration) -> Drawn:
    """Draw the list; the same noise draws the same list."""
    explores, has_new = (noise.uniforms("policy", 2) < (exploration.share, exploration.new_share)).tolist()
    policy = 2 * has_new + explores
    chosen, taken, new = [], [], []
    for place in range(drawing.length):
        rows = drawing.policies()
        new.append(has_new and drawing.new_place)
        chosen.append(int(np.argmax(rows[policy] + noise.gumbels(f"place {place}", rows.shape[1]))))
        taken.append(drawing.take(chosen[-1], rows))
    return Drawn(
        chosen=np.array(chosen, np.int64),
        values=np.minimum.accumulate(np.array([one.value for one in taken], np.float32)),
        propensities=np.array([one.propensity for one in taken], np.float64),
        explored=np.array([one.explored for one in taken], np.bool_),
        new=np.array(new, np.bool_),
    )
