"""Padded passes of fixed shapes give the same states as unpadded ones, for any earlier content of the memory."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inference.item_tokens.cuda_graphs import BucketedTrunk, Ladder, UserInput
from inference.item_tokens.trunk import cut, states
from inference.transformer.attention import Pass, group, mask
from inference.transformer.packing import lay
from inference.wire import Answered
from schemas.scoring import Candidate, Past, ScoreRequest
from tests.support import tiny_model as tiny

TOLERANCE = 1e-4
LADDER = Ladder(users=(1, 2, 4), prefix=(4, 8), candidates=(0, 3, 8))
MODEL = tiny.model().base_model
TRUNK = cut(MODEL, 2)
HIDDEN = TRUNK.embed_tokens.weight.shape[1]

sizes = st.tuples(st.integers(1, 8), st.integers(0, 8))


def user(size: tuple[int, int], seed: int) -> UserInput:
    made = torch.Generator().manual_seed(seed)
    prefix, candidates = size
    return UserInput(torch.randn(prefix, HIDDEN, generator=made), torch.randn(candidates, HIDDEN, generator=made))


@torch.inference_mode()
def alone(one: UserInput) -> Tensor:
    """The states of one user's rows in a packed pass without padding."""
    layout = lay(len(one.prefix), [1] * len(one.candidates))
    packed = Pass([layout], [mask(layout, group(MODEL.config), torch.float32, torch.device("cpu"))], [None])
    return states(TRUNK, torch.cat((one.prefix, one.candidates)), torch.from_numpy(layout.positions), packed)


class Replayed:
    """Records like a CUDA graph: replays read and write the same memory."""

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
def test_padding_changes_no_state(recorder: Replayed | None, passes: list[list[tuple[int, int]]], seed: int) -> None:
    """Several consecutive passes on the same memory, each with several users."""
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder)
    for number, each in enumerate(passes):
        users = [user(size, seed + 7 * number + place) for place, size in enumerate(each)]
        found = bucketed.run(users)
        for one, got in zip(users, found, strict=True):
            assert torch.allclose(got, alone(one), atol=TOLERANCE)


def test_padding_is_never_attended_to() -> None:
    """Padding filled with huge numbers."""
    bucketed = BucketedTrunk(TRUNK, LADDER)
    one = user((3, 2), 1)
    (before,) = bucketed.run([one])
    with torch.inference_mode():
        for shape in bucketed._shapes.values():
            shape.embeddings.fill_(1e4)
    (after,) = bucketed.run([one])
    assert torch.allclose(before, after, atol=TOLERANCE)
    assert torch.allclose(after, alone(one), atol=TOLERANCE)


def test_results_outlive_the_next_pass() -> None:
    bucketed = BucketedTrunk(TRUNK, LADDER, Replayed())
    (first,) = bucketed.run([user((3, 2), 1)])
    kept = first.clone()
    bucketed.run([user((4, 1), 2)])
    assert torch.equal(first, kept)


@given(st.lists(sizes, min_size=1, max_size=4))
def test_smallest_fitting_bucket_is_chosen(asked: list[tuple[int, int]]) -> None:
    bucket = LADDER.fit(asked)
    assert bucket is not None
    assert bucket.users in LADDER.users
    assert bucket.users >= len(asked)
    assert bucket.prefix >= max(p for p, _ in asked)
    assert bucket.candidates >= max(c for _, c in asked)
    smaller = [s for s in LADDER.prefix if s < bucket.prefix]
    assert all(s < max(p for p, _ in asked) for s in smaller)


def test_usual_lists_have_these_shapes() -> None:
    found = list(Ladder().upto(50, 100))
    assert {bucket.prefix for bucket in found} == {16, 32, 64}
    assert {bucket.candidates for bucket in found} == {0, 32, 64, 128}
    assert len(found) == len(set(found)) == 60


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 10)), max_size=20))
def test_groups_hold_every_request_once_and_fit(asked: list[tuple[int, int]]) -> None:
    found = list(LADDER.groups(asked))
    assert sorted(place for places in found for place in places) == list(range(len(asked)))
    for places in found:
        fits = LADDER.fit([asked[place] for place in places])
        assert (fits is not None) or len(places) == 1


def test_request_that_fits_no_bucket_is_reported() -> None:
    assert LADDER.fit([(9, 0)]) is None
    with pytest.raises(ValueError, match="fit no bucket"):
        BucketedTrunk(TRUNK, LADDER).run([user((9, 0), 1)])


def test_shapes_are_recorded_once() -> None:
    recorder = Replayed()
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder)
    bucketed.prepare(8, 3)
    assert recorder.recorded == bucketed.shapes == len(LADDER.users) * len(LADDER.prefix) * 2
    for size in [(1, 0), (4, 3), (8, 1)]:
        bucketed.run([user(size, 1)])
    assert recorder.recorded == bucketed.shapes
    bucketed.run([user((4, 8), 1)])
    assert recorder.recorded == bucketed.shapes == len(LADDER.users) * len(LADDER.prefix) * 2 + 1


def test_shapes_are_bounded() -> None:
    recorder = Replayed()
    bucketed = BucketedTrunk(TRUNK, LADDER, recorder, max_shapes=2)
    for size in [(4, 3), (8, 3), (4, 3), (8, 8), (4, 3)]:
        bucketed.run([user(size, 1)])
    assert (recorder.recorded, bucketed.shapes) == (3, 2)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=6))
def test_engine_scores_the_same_with_and_without_fixed_shapes(users: list[tuple[int, int]]) -> None:
    """Requests with and without a fitting bucket, answered together."""
    asked = [
        ScoreRequest(
            session=session,
            scene="default",
            history=tuple(Past(f"film {session + at}", "like", feeling=1) for at in range(history)),
            candidates=tuple(Candidate(f"other {at}") for at in range(candidates)),
        )
        for session, (history, candidates) in enumerate(users)
    ]
    plain, filled = tiny.item_token_engine(), tiny.item_token_engine()
    filled.use(BucketedTrunk(filled._trunk, Ladder(users=(1, 2), prefix=(34, 36), candidates=(0, 2)), Replayed()))
    for wanted, got in zip(plain.score(asked), filled.score(asked), strict=True):
        assert isinstance(wanted, Answered)
        assert isinstance(got, Answered)
        assert got.scores == pytest.approx(wanted.scores, abs=TOLERANCE)
        assert got.vector == pytest.approx(wanted.vector, abs=TOLERANCE)
    assert filled._bucketed is not None
    assert len(filled._prefixes) == 0
