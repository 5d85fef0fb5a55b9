"""What partitions learn by themselves adds up to one blend, and one partition alone learns as a blend does."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.blends import BlendPart, LearnedSignal
from schemas.codec import decode, encode
from streams.candidates.registry import BUILT_IN_COLUMNS as COLUMNS
from streams.candidates.registry import Columns
from streams.fold.context import digest
from streams.ranking.blend import KEPT, MOST, MOST_SLOPE, PATIENCE, SLOPE_PATIENCE, Blend, Remembered, learn
from streams.ranking.modifiers import MODIFIERS
from streams.ranking.parts import (
    SLOPE_SQUARES,
    SLOPES,
    SQUARES,
    Learned,
    carried_over,
    combined,
    foreseen,
    learned_of,
    nothing,
    part_of,
    same,
    stepped,
)

SIGNALS = COLUMNS.names
N = 20
ITEMS = [f"i{n}" for n in range(N)]
MARKS = np.array([digest(one) for one in ITEMS], np.uint64)


def offered(rng: np.random.Generator, scale: float = 1.0, *, model: bool = True) -> Remembered:
    signals = rng.normal(size=(N, len(SIGNALS))) * scale
    modifiers = rng.uniform(-1, 1, (N, len(MODIFIERS)))
    scores = rng.normal(size=N).astype(np.float16) if model else None
    return Remembered(MARKS, signals.astype(np.float16), modifiers.astype(np.float16), scores)


def numbers(blend: Blend) -> np.ndarray:
    rows = (blend.weights, blend.squares, *blend.slopes, *blend.slope_squares)
    return np.array([*(each for row in rows for each in row), blend.model_weight, blend.model_square, blend.advantage])


def took(learned: Learned, before: Blend, list_: Remembered, taken: str) -> Learned:
    after = learn(before, list_, taken)
    return learned if after is before else stepped(learned, before, after)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([0.3, 1.0, 30.0]))
def test_one_partition_learns_as_a_blend_does(seed, lists, scale):
    """Also where every step runs into a bound, and through what is stored and published after each step."""
    rng = np.random.default_rng(seed)
    alone, learned = Blend(), nothing(COLUMNS)
    for _ in range(lists):
        list_, taken = offered(rng, scale, model=bool(rng.integers(2))), ITEMS[int(rng.integers(N))]
        alone = learn(alone, list_, taken)
        learned = took(learned, combined([learned], COLUMNS), list_, taken)
        learned = learned_of(decode(BlendPart, encode(part_of(learned, COLUMNS, 0, "home"))), COLUMNS)
    blend = combined([learned], COLUMNS)
    assert blend.lists == learned.lists == learned.heard == alone.lists
    assert numbers(blend) == pytest.approx(numbers(alone), rel=1e-9, abs=1e-9)


def test_step_into_a_bound_is_cut_in_what_the_partition_learned():
    near = msgspec.structs.replace(Blend(), weights=(MOST - 0.001, *COLUMNS.priors[1:]))
    learned = carried_over(near, COLUMNS, 1)
    list_ = offered(np.random.default_rng(3))
    list_.signals[:, 0] = np.linspace(-3, 3, N)
    learned = took(learned, combined([learned], COLUMNS), list_, ITEMS[-1])
    assert combined([learned], COLUMNS).weights[0] == pytest.approx(MOST)
    assert learned.moved[0, 0] == pytest.approx(MOST - COLUMNS.priors[0])


@pytest.mark.parametrize("partitions", [2, 5])
def test_partitions_that_hear_of_each_other_at_once_learn_as_one(partitions):
    rng = np.random.default_rng(partitions)
    alone, parts = Blend(), [nothing(COLUMNS) for _ in range(partitions)]
    for _ in range(300):
        list_, taken, at = offered(rng), ITEMS[int(rng.integers(N))], int(rng.integers(partitions))
        alone = learn(alone, list_, taken)
        parts[at] = took(parts[at], combined(parts, COLUMNS), list_, taken)
    blend = combined(parts, COLUMNS)
    assert blend.lists == 300
    assert numbers(blend) == pytest.approx(numbers(alone), rel=1e-6, abs=1e-6)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_blend_of_stale_parts_stays_within_its_bounds(seed):
    """Every partition learns by itself and pushes the same way, so the sum goes beyond the bounds."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(40):
        learned = nothing(COLUMNS)
        for _ in range(3):
            list_ = offered(rng, 5.0)
            list_.signals[:, 0] = np.linspace(3, -3, N)
            learned = took(learned, combined([learned], COLUMNS), list_, ITEMS[0])
        parts.append(learned)
    blend = combined(parts, COLUMNS)
    assert sum(each.moved[0, 0] for each in parts) > MOST
    assert np.abs(blend.weights).max() <= MOST
    assert np.abs(blend.slopes).max() <= MOST_SLOPE
    assert 0 <= blend.model_weight <= MOST
    assert np.isfinite(numbers(blend)).all()


def test_advantage_of_a_partition_fades_with_the_lists_of_all():
    idle = nothing(COLUMNS)._replace(lists=10, heard=10, advantage=5.0)
    other = nothing(COLUMNS)._replace(lists=500, heard=510)
    assert combined([idle], COLUMNS).advantage == 5.0
    assert combined([idle, other], COLUMNS).advantage == pytest.approx(5.0 * KEPT**500)


def test_blend_of_nothing_learned_is_the_prior():
    blend = combined([], COLUMNS)
    assert blend == combined([nothing(COLUMNS)] * 3, COLUMNS)
    assert (blend.names, blend.weights, blend.squares) == (Blend().names, Blend().weights, Blend().squares)
    assert (blend.lists, blend.advantage, blend.model_weight) == (0, 0.0, 0.0)


def learned_alone(seed: int, lists: int = 60) -> Blend:
    rng = np.random.default_rng(seed)
    blend = Blend()
    for _ in range(lists):
        blend = learn(blend, offered(rng), ITEMS[int(rng.integers(N))])
    return blend


def test_blend_of_an_older_worker_is_carried_over():
    old = learned_alone(1)
    blend = combined([carried_over(old, COLUMNS, 1)], COLUMNS)
    assert blend.lists == old.lists
    assert numbers(blend) == pytest.approx(numbers(old))


def test_blends_that_partitions_had_learned_alone_become_their_mean():
    """Each had moved as far as all would together: their sum would go four times too far."""
    old = [learned_alone(seed) for seed in range(4)]
    blend = combined([carried_over(each, COLUMNS, 4) for each in old], COLUMNS)
    assert np.array(blend.weights) == pytest.approx(np.mean([each.weights for each in old], axis=0))
    assert np.array(blend.slopes) == pytest.approx(np.mean([each.slopes for each in old], axis=0))
    assert blend.model_weight == pytest.approx(np.mean([each.model_weight for each in old]))
    assert blend.advantage == pytest.approx(np.mean([each.advantage for each in old]))
    squares = np.array([each.squares for each in old]) - PATIENCE
    assert np.array(blend.squares) == pytest.approx(squares.sum(axis=0) + PATIENCE)
    assert blend.lists == 240


def test_damaged_blend_of_an_older_worker_is_left_out():
    damaged = msgspec.structs.replace(Blend(), weights=(float("nan"),) * len(SIGNALS), lists=7)
    assert same(carried_over(damaged, COLUMNS, 2), nothing(COLUMNS))


def test_part_of_a_worker_with_other_signals_is_matched_by_name():
    part = BlendPart(
        id="0:home",
        partition=0,
        scene="home",
        lists=7,
        heard=9,
        advantage=4.0,
        model=LearnedSignal(0.4, 2.0),
        modifiers=("item_likes", "gone"),
        signals={
            "trend": LearnedSignal(0.6, 2.0, (0.3, 0.2), (3.0, 1.0)),
            "other": LearnedSignal(3.0, 1.0, (0.1, 0.1), (1.0, 1.0)),
        },
    )
    blend = combined([learned_of(part, COLUMNS)], COLUMNS)
    weights = dict(zip(SIGNALS, blend.weights, strict=True))
    priors = dict(zip(SIGNALS, COLUMNS.priors, strict=True))
    assert weights == {**priors, "trend": pytest.approx(priors["trend"] + 0.6)}
    slopes = np.array(blend.slopes)
    assert slopes[SIGNALS.index("trend"), MODIFIERS.index("item_likes")] == 0.3
    assert np.count_nonzero(slopes) == 1
    assert np.count_nonzero(np.array(blend.slope_squares) != SLOPE_PATIENCE) == 1
    assert (blend.model_weight, blend.model_square, blend.lists) == (0.4, PATIENCE + 2.0, 7)
    assert blend.advantage == 4.0


def test_signal_that_only_this_worker_has_starts_at_its_prior():
    columns = Columns((*SIGNALS, "picks"), (*COLUMNS.priors, 0.5), (*COLUMNS.of_model, False), (*COLUMNS.fixed, False))
    part = part_of(nothing(COLUMNS)._replace(lists=3), COLUMNS, 0, "home")
    assert combined([learned_of(part, columns)], columns).weights[-1] == 0.5


def test_part_is_small_and_read_as_it_was_written():
    learned = took(nothing(COLUMNS), Blend(), offered(np.random.default_rng(1)), ITEMS[2])
    value = encode(part_of(learned, COLUMNS, 2**31 - 1, "x" * 32))
    assert len(value) < 3_000
    assert same(learned_of(decode(BlendPart, value), COLUMNS), learned)


def test_number_that_is_not_finite_teaches_nothing():
    learned = took(nothing(COLUMNS), Blend(), offered(np.random.default_rng(1)), ITEMS[2])
    after = msgspec.structs.replace(Blend(), model_square=float("inf"), lists=1)
    assert stepped(learned, Blend(), after) is learned


def test_foreseen_squares_are_those_that_ours_added_since_they_were_published():
    rng = np.random.default_rng(1)
    first = took(nothing(COLUMNS), Blend(), offered(rng), ITEMS[2])
    second = took(first, combined([first], COLUMNS), offered(rng), ITEMS[2])
    assert not foreseen([(first, first)], 3.0, COLUMNS).moved.any()
    ahead = foreseen([(first, None), (second, first)], 3.0, COLUMNS).moved
    for squares in (SQUARES, SLOPE_SQUARES):
        assert ahead[:, squares] == pytest.approx(3.0 * second.moved[:, squares])
        ahead[:, squares] = 0.0
    assert not ahead.any()  # the weights are those that are known
    assert not foreseen([(first, second)], 3.0, COLUMNS).moved.any()  # damaged: the topic has more than we learned


def test_partitions_that_start_together_take_smaller_steps():
    """16 partitions that have not heard of each other learn from 20 lists each, of users who follow one signal more
    than expected."""
    trend, count = SIGNALS.index("trend"), 16
    wanted = np.array(COLUMNS.priors) + 0.4 * (np.arange(len(SIGNALS)) == trend)

    def liked(rng: np.random.Generator) -> tuple[Remembered, str]:
        list_ = offered(rng, model=False)
        utility = list_.signals.astype(np.float64) @ wanted
        chance = np.exp(utility - utility.max())
        return list_, ITEMS[int(rng.choice(N, p=chance / chance.sum()))]

    def moved(others: float) -> float:
        rng, total = np.random.default_rng(5), 0.0
        for _ in range(count):
            learned = nothing(COLUMNS)
            for _ in range(20):
                ahead = foreseen([(learned, None)], others, COLUMNS)
                learned = took(learned, combined([learned, ahead], COLUMNS), *liked(rng))
            total += learned.moved[trend, 0]
        return total

    assert moved(count - 1.0) < 0.6 * moved(0.0)


def test_slopes_that_a_part_has_too_few_of_are_zero():
    part = BlendPart(
        id="0:home", partition=0, scene="home", modifiers=MODIFIERS, signals={"trend": LearnedSignal(0.1, 1.0, (0.5,))}
    )
    assert not learned_of(part, COLUMNS).moved[:, SLOPES].any()
