"""Filled-up passes of fixed shapes: the states of passes without filling, whatever the memory held before."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.item_tokens.cuda_graphs import BucketedTrunk, Ladder, Person
from inference.item_tokens.trunk import cut, states
from inference.transformer.attention import Pass, group, mask
from inference.transformer.packing import lay
from inference.wire import Answered
from schemas.scoring import Candidate, Past, ScoreRequest
from tests.support import tiny_model as tiny

TOLERANCE = 1e-4
LADDER = Ladder(people=(1, 2, 4), prefix=(4, 8), candidates=(0, 3, 8))
MODEL = tiny.model().base_model
TRUNK = cut(MODEL, 2)
HIDDEN = TRUNK.embed_tokens.weight.shape[1]

sizes = st.tuples(st.integers(1, 8), st.integers(0, 8))


def person(size: tuple[int, int], seed: int) -> Person:
    made = torch.Generator().manual_seed(seed)
    prefix, candidates = size
    return Person(torch.randn(prefix, HIDDEN, generator=made), torch.randn(candidates, HIDDEN, generator=made))


@torch.inference_mode()
def alone(one: Person) -> Tensor:
    """The states of one person's rows in a packed pass without filling."""
    layout = lay(len(one.prefix), [1] * len(one.candidates))
    packed = Pass([layout], [mask(layout, group(MODEL.config), torch.float32, torch.device("cpu"))], [None])
    return states(TRUNK, torch.cat((one.prefix, one.candidates)), torch.from_numpy(layout.positions), packed)


class Replayed:
    """Records as a CUDA graph does: what runs again reads the same memory and writes the same memory."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, work: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        found = work().clone()

        def again() -> None:
            found.copy_(work())

        return again, found


@pytest.mark.parametrize("recorder", [None, Replayed()])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(sizes, min_size=1, max_size=4), min_size=1, max_size=3), st.integers(0, 999))
def test_filling_changes_no_state(recorder: Replayed | None, passes: list[list[tuple[int, int]]], seed: int) -> None:
    """Several passes after one another on the same memory, each of several people."""
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder)
    for number, each in enumerate(passes):
        people = [person(size, seed + 7 * number + place) for place, size in enumerate(each)]
        found = bucketed.run(people)
        for one, got in zip(people, found, strict=True):
            assert torch.allclose(got, alone(one), atol=TOLERANCE)


def test_what_fills_up_is_seen_by_nobody() -> None:
    """Huge numbers wherever nothing real stands."""
    bucketed = BucketedTrunk(TRUNK, LADDER)
    one = person((3, 2), 1)
    (before,) = bucketed.run([one])
    with torch.inference_mode():
        for shape in bucketed._shapes.values():
            shape.embeddings.fill_(1e4)
    (after,) = bucketed.run([one])
    assert torch.allclose(before, after, atol=TOLERANCE)
    assert torch.allclose(after, alone(one), atol=TOLERANCE)


def test_results_outlive_the_next_pass() -> None:
    bucketed = BucketedTrunk(TRUNK, LADDER, Replayed())
    (first,) = bucketed.run([person((3, 2), 1)])
    kept = first.clone()
    bucketed.run([person((4, 1), 2)])
    assert torch.equal(first, kept)


@given(st.lists(sizes, min_size=1, max_size=4))
def test_the_least_bucket_that_holds_all(asked: list[tuple[int, int]]) -> None:
    bucket = LADDER.fit(asked)
    assert bucket is not None
    assert bucket.people in LADDER.people
    assert bucket.people >= len(asked)
    assert bucket.prefix >= max(p for p, _ in asked)
    assert bucket.candidates >= max(c for _, c in asked)
    smaller = [s for s in LADDER.prefix if s < bucket.prefix]
    assert all(s < max(p for p, _ in asked) for s in smaller)


def test_the_shapes_of_usual_lists() -> None:
    found = list(Ladder().upto(50, 100))
    assert {bucket.prefix for bucket in found} == {16, 32, 64}
    assert {bucket.candidates for bucket in found} == {0, 32, 64, 128}
    assert len(found) == len(set(found)) == 60


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10)), max_size=20))
def test_groups_hold_everybody_once_and_fit(asked: list[tuple[int, int]]) -> None:
    found = list(LADDER.groups(asked))
    assert sorted(place for places in found for place in places) == list(range(len(asked)))
    for places in found:
        fits = LADDER.fit([asked[place] for place in places])
        assert (fits is not None) or len(places) == 1


def test_who_fits_no_bucket_is_told_so() -> None:
    assert LADDER.fit([(9, 0)]) is None
    with pytest.raises(ValueError, match="fit no bucket"):
        BucketedTrunk(TRUNK, LADDER).run([person((9, 0), 1)])


def test_shapes_are_recorded_once() -> None:
    recorder = Replayed()
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder)
    bucketed.prepare(8, 3)
    assert recorder.recorded == bucketed.shapes == len(LADDER.people) * len(LADDER.prefix) * 2
    for size in [(1, 0), (4, 3), (8, 1)]:
        bucketed.run([person(size, 1)])
    assert recorder.recorded == bucketed.shapes
    bucketed.run([person((4, 8), 1)])
    assert recorder.recorded == bucketed.shapes == len(LADDER.people) * len(LADDER.prefix) * 2 + 1


def test_shapes_are_bounded() -> None:
    recorder = Replayed()
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder, max_shapes=2)
    for size in [(4, 3), (8, 3), (4, 3), (8, 8), (4, 3)]:
        bucketed.run([person(size, 1)])
    assert (recorder.recorded, bucketed.shapes) == (3, 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=6))
def test_an_engine_with_fixed_shapes_scores_as_one_without(people: list[tuple[int, int]]) -> None:
    """Some fit a bucket and some do not; several are answered together."""
    asked = [
        ScoreRequest(
            session=session,
            scene="default",
            history=tuple(Past(f"film {session + at}", "like", feeling=1) for at in range(history)),
            candidates=tuple(Candidate(f"other {at}") for at in range(candidates)),
        )
        for session, (history, candidates) in enumerate(people)
    ]
    plain, filled = tiny.item_token_engine(), tiny.item_token_engine()
    filled.use(BucketedTrunk(filled._trunk, Ladder(people=(1, 2), prefix=(34, 36), candidates=(0, 2)), Replayed()))
    for wanted, got in zip(plain.score(asked), filled.score(asked), strict=True):
        assert isinstance(wanted, Answered)
        assert isinstance(got, Answered)
        assert got.scores == pytest.approx(wanted.scores, abs=TOLERANCE)
        assert got.vector == pytest.approx(wanted.vector, abs=TOLERANCE)
    assert filled._bucketed is not None
    assert len(filled._prefixes) == 0
