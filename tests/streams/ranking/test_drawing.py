"""Recorded propensities are the probabilities of lists: all lists that could be drawn are enumerated."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streams.ranking.diversity import Marginals, diversify
from streams.ranking.drawing import Drawing, Noise, draw
from streams.ranking.exploration import MAX_TEMPERATURE, MIN_TEMPERATURE, OFF, Exploration

COUNT = 6
SCORES = arrays(np.float32, COUNT, elements=st.floats(-4, 4, width=32))
RAW = arrays(np.float32, (COUNT, 3), elements=st.floats(-1, 1, width=32))
SHARE = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
POLICIES = st.builds(
    Exploration,
    share=SHARE,
    temperature=st.floats(MIN_TEMPERATURE, MAX_TEMPERATURE),
    new_share=SHARE,
    new_places=st.integers(1, 3),
)


class Catalogue:
    """Candidates: the first `usual` of them can get any place, and those in `new` the places for new items."""

    def __init__(self, scores: Sequence[float], raw: np.ndarray, usual: int, new: Sequence[int], strength: float):
        self.scores = np.array(scores, np.float32)
        self.vectors = (raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-6)).astype(np.float32)
        self.usual = np.arange(COUNT) < usual
        self.new = np.isin(np.arange(COUNT), new)
        self.strength = strength

    def drawing(self, of: Exploration, length: int) -> Drawing:
        marginals = Marginals(self.scores, self.vectors, self.strength)
        return Drawing(marginals, usual=self.usual, new=self.new, length=length, exploration=of)

    def lists(
        self, of: Exploration, length: int, above: tuple[int, ...] = ()
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        """Every list that could be drawn, with the product of its propensities."""
        drawing = self.drawing(of, length)
        product = math.prod(drawing.take(one).propensity for one in above)
        if len(above) == drawing.length:
            yield above, product
            return
        chances = drawing.probabilities()
        assert chances.sum() == pytest.approx(1.0, abs=1e-9)
        for one in np.flatnonzero(chances).tolist():
            yield from self.lists(of, length, (*above, one))

    def by_definition(self, of: Exploration, length: int, list_: tuple[int, ...]) -> float:
        """The probability of a list from the text of `streams.ranking.drawing`, without logarithms."""
        length = min(length, int(self.usual.sum()))
        first_new = length - min(of.new_places, int(self.new.sum()))
        total = 0.0
        for explores in (False, True):
            for has_new in (False, True):
                chance = (of.share if explores else 1 - of.share) * (of.new_share if has_new else 1 - of.new_share)
                for place, one in enumerate(list_):
                    above = list_[:place]
                    fresh = [c for c in range(COUNT) if self.new[c] and c not in above]
                    left = [c for c in range(COUNT) if self.usual[c] and c not in above]
                    if has_new and place >= first_new and fresh:
                        chance *= (one in fresh) / len(fresh)
                        continue
                    worth = {c: self.marginal(c, above) for c in left}
                    most = max(worth.values())
                    if not explores:
                        chance *= one == min(c for c in left if worth[c] == most)
                    elif one in worth:
                        odds = {c: math.exp((value - most) / of.temperature) for c, value in worth.items()}
                        chance *= odds[one] / sum(odds.values())
                    else:
                        chance = 0.0
                total += chance
        return total

    def marginal(self, one: int, above: tuple[int, ...]) -> float:
        likest = max([np.float32(0), *(self.vectors[other] @ self.vectors[one] for other in above)])
        return float(self.scores[one] - np.float32(self.strength) * np.float32(likest))


CATALOGUES = st.builds(
    Catalogue,
    SCORES,
    RAW,
    st.integers(1, COUNT),
    st.lists(st.integers(0, COUNT - 1), max_size=3),
    st.sampled_from([0.0, 0.3, 1.0]),
)


@given(CATALOGUES, POLICIES, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_probabilities_of_all_lists_sum_to_one(catalogue: Catalogue, of: Exploration, length: int) -> None:
    products = [product for _, product in catalogue.lists(of, length)]
    assert sum(products) == pytest.approx(1.0, abs=1e-9)


SMALL = Catalogue(
    [1.0, 0.9, 0.5, 0.4, -0.2, -3.0],
    np.random.default_rng(3).normal(size=(COUNT, 3)),
    usual=5,
    new=[4, 5],
    strength=0.3,
)
FULL = Exploration(share=0.4, temperature=0.5, new_share=0.3, new_places=2)


@pytest.mark.parametrize(
    "of",
    [
        FULL,
        OFF,
        Exploration(share=1.0, temperature=2.0, new_share=0.0),
        Exploration(share=0.0, new_share=1.0, new_places=1),
        Exploration(share=0.02, temperature=0.05, new_share=0.02, new_places=3),
    ],
)
def test_product_of_propensities_is_the_probability_of_the_list(of: Exploration) -> None:
    lists = dict(SMALL.lists(of, 4))
    assert sum(lists.values()) == pytest.approx(1.0)
    for list_, product in lists.items():
        assert product == pytest.approx(SMALL.by_definition(of, 4, list_), rel=1e-5), list_


def test_lists_are_drawn_as_often_as_their_probability_says() -> None:
    """Pearson's chi-square over all lists that are expected at least five times, the others together."""
    draws = 20_000
    lists = dict(SMALL.lists(FULL, 3))
    found = Counter[tuple[int, ...]]()
    for seed in range(draws):
        drawn = draw(SMALL.drawing(FULL, 3), Noise(str(seed)), FULL)
        list_ = tuple(drawn.chosen.tolist())
        assert math.prod(drawn.propensities.tolist()) == pytest.approx(lists[list_], rel=1e-9)
        found[list_] += 1
    often = {list_ for list_, chance in lists.items() if chance * draws >= 5}
    rows = [(found[list_], lists[list_] * draws) for list_ in often]
    rows.append((draws - sum(seen for seen, _ in rows), draws - sum(expected for _, expected in rows)))
    chi_square = sum((seen - expected) ** 2 / expected for seen, expected in rows)
    degrees = len(rows) - 1
    assert degrees > 20
    assert abs(chi_square - degrees) < 4 * math.sqrt(2 * degrees)


@given(CATALOGUES, st.integers(1, 6), st.text(max_size=8))
@settings(deadline=None)
def test_list_without_exploration_is_the_diversified_one(catalogue: Catalogue, length: int, name: str) -> None:
    drawn = draw(catalogue.drawing(OFF, length), Noise(name), OFF)
    usual = catalogue.usual
    chosen, values = diversify(catalogue.scores[usual], catalogue.vectors[usual], length, catalogue.strength)
    assert drawn.chosen.tolist() == chosen.tolist()
    assert drawn.values == pytest.approx(values, abs=1e-5)
    assert drawn.propensities.tolist() == [1.0] * len(chosen)
    assert not drawn.explored.any()
    assert not drawn.new.any()


@given(CATALOGUES, POLICIES, st.integers(1, 6), st.text(max_size=8))
@settings(deadline=None)
def test_drawn_list_is_possible_and_the_same_for_the_same_noise(
    catalogue: Catalogue, of: Exploration, length: int, name: str
) -> None:
    drawn, again = (draw(catalogue.drawing(of, length), Noise(name), of) for _ in range(2))
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(set(drawn.chosen.tolist())) == min(length, catalogue.usual.sum())
    assert ((drawn.propensities > 0) & (drawn.propensities <= 1)).all()
    assert (np.diff(drawn.values) <= 0).all()
    assert catalogue.new[drawn.chosen[drawn.new]].all()
    assert (catalogue.usual | catalogue.new)[drawn.chosen].all()


def test_long_list_at_a_low_temperature_has_propensities_above_zero() -> None:
    """A hundred places, and scores that are a thousand temperatures apart."""
    count, of = 300, Exploration(share=0.5, temperature=MIN_TEMPERATURE, new_share=0.5, new_places=20)
    scores = np.linspace(10, 0, count).astype(np.float32)
    for seed in range(8):
        drawing = Drawing(
            Marginals(scores, np.eye(count, dtype=np.float32), 0.3),
            usual=np.ones(count, np.bool_), new=np.arange(count) >= 260, length=100, exploration=of,
        )  # fmt: skip
        drawn = draw(drawing, Noise(str(seed)), of)
        assert ((drawn.propensities > 0) & (drawn.propensities <= 1)).all()
        assert drawn.new.sum() in (0, 20)


def test_noise_is_uniform_and_never_at_the_ends() -> None:
    drawn = np.concatenate([Noise(str(seed)).uniforms("place 0", 1000) for seed in range(20)])
    assert 0 < drawn.min() < 0.001
    assert 0.999 < drawn.max() < 1
    counts, _ = np.histogram(drawn, 20, (0, 1))
    assert ((counts - 1000) ** 2 / 1000).sum() < 19 + 4 * math.sqrt(38)
    assert np.isfinite(Noise("x").gumbels("place 0", 10_000)).all()


def test_noise_of_a_list_never_changes() -> None:
    """Lists are drawn again on replay: by another worker, or a later version."""
    assert Noise("6f1d").uniforms("policy", 2).tolist() == NOISE
    assert Noise("6f1d").uniforms("place 0", 2).tolist() != NOISE


NOISE = [0.07840430964815737, 0.8688583514408003]
