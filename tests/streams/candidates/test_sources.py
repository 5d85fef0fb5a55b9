"""Candidates and signals: which items are candidates, from which sources, and the signals of each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.events import EventKind
from schemas.recommendations import Source
from streams.candidates.covisited import COVISITS, covisit_scores
from streams.candidates.evidence import evidence, interests
from streams.candidates.moment import top
from streams.candidates.registry import BUILT_IN_COLUMNS, Sources
from streams.graph.pairs import KERNELS
from streams.ranking.settings import Ranking
from streams.ranking.standardization import CLIP, standardize
from tests.support.ranking_world import NOW, World, done, item

DAY = 86_400_000
SIGNALS = BUILT_IN_COLUMNS.names


@pytest.fixture
def world() -> World:
    """Crime films that users like one after the other, a trend, a new film, and one that is similar only in text."""
    crime = [item(f"crime-{n}", f"Crime {n}", ["crime"]) for n in range(4)]
    others = [item(f"film-{n}", f"Film number {n}", ["drama"]) for n in range(20)]
    made = World(
        (*crime, *others, item("unmet", "Crime Story", ["crime"]), item("new", "Brand New", published=NOW - DAY))
    )
    for n in range(6):
        made.tell(*(done(f"p{n}", f"crime-{k}", at=10 * n + k) for k in range(4)))
        made.tell(*(done(f"q{n}", f"film-{k}", at=10 * n + k) for k in range(n)))
    return made


def sources(world: World, user: str, scene: str = "home") -> dict[str, tuple[str, ...]]:
    found = world.shortlist(user, scene, now_ms=NOW + DAY).candidates
    pairs = zip(found.numbers.tolist(), found.sources.tolist(), strict=True)
    return {world.catalogue.index[number]: Sources().named(bits) for number, bits in pairs}


def test_covisits_of_one_like_are_candidates(world):
    world.tell(done("ann", "crime-0", at=1000))
    found = sources(world, "ann")
    assert Source.COVISITED in found["crime-1"]
    assert Source.ALIKE in found["unmet"]
    assert Source.COVISITED not in found["unmet"]
    assert world.ids(world.shortlist("ann"))[0] == "crime-1"


def test_new_user_gets_the_trend_of_the_scene_and_new_items(world):
    found = sources(world, "nobody")
    assert found["crime-0"] == (Source.TRENDING,)
    assert found["new"] == (Source.FRESH, Source.NEW)
    assert world.ids(world.shortlist("nobody"))[0].startswith("crime")
    world.tell(*(done(f"r{n}", "film-19", at=2000 + n, scene="cart") for n in range(3)))
    assert world.ids(world.shortlist("nobody", "cart"))[0] == "film-19"


def test_seen_disliked_withdrawn_and_unpublished_items_are_excluded(world):
    world.tell(done("ann", "crime-0", at=1000), done("ann", "crime-1", EventKind.VIEW, at=1001))
    world.tell(done("ann", "crime-2", EventKind.DISLIKE, at=1002))
    world.catalogue.withdraw("crime-3")
    world.catalogue.add(item("later", "Crime Later", ["crime"], published=NOW + 9 * DAY))
    assert not {"crime-0", "crime-1", "crime-2", "crime-3", "later"} & sources(world, "ann").keys()


def test_sources_are_bounded(world):
    world.tell(done("ann", "crime-0", at=1000), done("ann", "film-0", at=1001))
    small = Ranking(sources=Sources().sized(covisited=2, trending=3, fresh=1, alike=1), length=1, diversity=0.0)
    found = world.shortlist("ann", settings=small).candidates
    for name, most in (("covisited", 2), ("trending", 3), ("fresh", 1), ("alike", 1)):
        assert ((found.sources & Sources().bits[name]) > 0).sum() <= most
    assert len(set(found.numbers.tolist())) == len(found.numbers)


def test_empty_catalogue_gives_no_candidates_and_one_without_events_gives_some():
    assert not len(World().shortlist("ann").order)
    assert sorted(World([item("a"), item("b")]).ids(World([item("a"), item("b")]).shortlist("ann"))) == ["a", "b"]


def test_order_of_tied_items_does_not_depend_on_their_age():
    """If ties went by number, the items with the lowest numbers would be on every list."""
    made = World([item(f"i{n}") for n in range(400)])
    hits = 0
    for n in range(300):
        chosen = made.shortlist("ann")
        hits += f"i{n}" in made.ids(chosen)[:10]
        made.tell(done("ann", f"i{n}", at=n))
    assert 0 < hits / 300 < 0.15  # at chance 0.06


def test_ties_go_by_digest_whatever_the_order_of_the_catalogue():
    items = [item(f"i{n}") for n in range(100)]
    one, other = World(items), World(items[::-1])
    assert one.ids(one.shortlist("ann")) == other.ids(other.shortlist("ann"))


@given(
    arrays(np.float64, 30, elements=st.sampled_from([-1.0, 0.0, 2.0, 3.5])), arrays(np.bool_, 30), st.integers(0, 40)
)
def test_top_takes_the_best_of_those_allowed(score, among, most):
    marks = np.random.default_rng(0).permutation(30).astype(np.uint64)
    best = top(score, among, most, marks)
    allowed = np.flatnonzero(among).tolist()
    assert sorted(best.tolist()) == sorted(sorted(allowed, key=lambda n: (-score[n], marks[n]))[:most])
    assert len(best) == min(most, among.sum())
    assert among[best].all()
    assert sorted(score[best]) == sorted(score[among])[len(score[among]) - len(best) :]


@given(arrays(np.float64, (7, 4), elements=st.floats(-1e6, 1e6)))
def test_standardized_columns_have_mean_0_and_deviation_1_or_are_0(matrix):
    scaled = standardize(matrix).astype(np.float64)
    assert np.abs(scaled).max() <= CLIP
    for before, after in zip(matrix.T, scaled.T, strict=True):
        if after.any():
            assert after.mean() == pytest.approx(0, abs=1e-4)
            assert after.std() == pytest.approx(1, abs=1e-4)
        else:
            assert np.ptp(before) <= 1e-6 * max(1.0, np.abs(before).max())


def test_covisit_signals_equal_the_documented_sums(world):
    world.tell(done("ann", "crime-0", at=1000), done("ann", "film-1", EventKind.VIEW, at=1001))
    world.tell(done("ann", "crime-2", at=1002), done("ann", "film-2", EventKind.DISLIKE, at=1003))
    known = evidence(world.people["ann"], "home", world.catalogue)
    reach = world.graph.reach(np.unique(np.concatenate((known.likes, known.met))))
    scores = covisit_scores(reach, known, len(world.catalogue.index))
    names = [kernel.name for kernel in KERNELS]
    for row, signal in zip(scores, COVISITS, strict=True):
        expected = np.zeros_like(row)
        past = getattr(known, signal.past).tolist()
        for of, other, strength, after in zip(reach.of, reach.other, reach.strength, reach.after, strict=True):
            number = int(reach.rows[of])
            if number in past and (after or not signal.after):
                expected[other] += signal.decay ** past.index(number) * strength[names.index(signal.kernel)]
        assert row == pytest.approx(expected, abs=1e-6)
    assert scores.any()


def test_evidence_is_newest_first_and_topped_up_from_other_scenes_only_if_short(world):
    world.tell(*(done("ann", f"film-{n}", at=n, scene="cart") for n in range(3)), done("ann", "crime-0", at=9))
    known = evidence(world.people["ann"], "home", world.catalogue)
    assert [world.catalogue.index[n] for n in known.likes.tolist()] == ["crime-0", "film-2", "film-1", "film-0"]
    world.tell(*(done("ann", f"film-{n}", at=20 + n) for n in range(5, 15)))
    known = evidence(world.people["ann"], "home", world.catalogue)
    assert "film-0" not in {world.catalogue.index[n] for n in known.likes.tolist()}


def test_interest_follows_likes_and_turns_from_dislikes(world):
    world.tell(done("ann", "crime-0"), done("ann", "film-0", EventKind.DISLIKE, at=1))
    wanted = interests(evidence(world.people["ann"], "home", world.catalogue), world.catalogue)
    named_interest = {world.catalogue.attribute(n): wanted[n] for n in range(len(wanted))}
    assert named_interest["crime"] > 0 > named_interest["drama"]
    assert np.linalg.norm(wanted) == pytest.approx(1, abs=1e-6)


def test_matrix_has_a_column_for_each_signal(world):
    chosen = world.shortlist("p0")
    assert chosen.signals.shape == (len(chosen.candidates.numbers), len(SIGNALS))
    assert chosen.signals.dtype == np.float32
