"""An entry's contributions sum to its blended score, and its reason is the largest one that can be put into words."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.recommendations import Recommendation, Source
from schemas.scoring import Scores
from streams.candidates.registry import Sources
from streams.ranking.blend import MOST, MOST_SLOPE, TRUSTED, Blend
from streams.ranking.contributions import contributions, reason
from streams.ranking.modifiers import MODIFIERS
from streams.ranking.shortlist import Shortlist
from tests.streams.items.test_vectors import fill
from tests.streams.ranking.test_reasons import CATALOGUE, events
from tests.support.ranking_world import World

SOURCES = Sources()
weights = st.lists(st.floats(-MOST, MOST), min_size=len(SOURCES.columns), max_size=len(SOURCES.columns))
slopes = st.lists(st.floats(-MOST_SLOPE, MOST_SLOPE), min_size=len(MODIFIERS), max_size=len(MODIFIERS))


def shortlisted(world: World, user: str, blend: Blend, *, model: bool) -> Shortlist:
    chosen = world.shortlist(user, blend=blend)
    if not model or not len(chosen.order):
        return chosen
    asked = min(2, len(chosen.order))
    answer = Scores(scores=tuple(float(7 * n) for n in range(asked)), model_version="v1", vector=(1.0, 0.5))
    return world.ranker().rescore(chosen, answer, blend)


@given(
    past=events(["ann", "bob", "cem"]),
    learned=st.tuples(weights, slopes, st.floats(-TRUSTED, 2 * TRUSTED)),
    model_weight=st.floats(0, MOST),
    user=st.sampled_from(["ann", "bob", "newcomer"]),
    model=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_reason_names_the_largest_contribution_that_can_be_put_into_words(past, learned, model_weight, user, model):
    world = World(CATALOGUE)
    fill(world.catalogue.vectors)
    world.tell(*past)
    rows, ones = (tuple(learned[1]),) * len(SOURCES.columns), ((1.0,) * len(MODIFIERS),) * len(SOURCES.columns)
    blend = Blend(
        weights=tuple(learned[0]),
        model_weight=model_weight,
        modifiers=MODIFIERS,
        slopes=rows,
        slope_squares=ones,
        advantage=learned[2],
    )
    chosen = shortlisted(world, user, blend, model=model)
    places = np.arange(len(chosen.order))
    found = contributions(chosen, places, blend=blend, sources=SOURCES)
    blended = world.ranker().arrange(chosen, blend, length=1).blended
    for place in places.tolist():
        total = found.by_source(place)
        assert sum(total.values()) == pytest.approx(float(blended[place]), abs=1e-4)
        why = reason(chosen, place, place, found, total)
        number, bits = int(chosen.candidates.numbers[place]), int(chosen.candidates.sources[place])
        if chosen.prepared.met[number]:
            assert why.because == (world.catalogue.index[number],)
            continue
        worded = {
            source.name: total.get(source.name, 0.0)
            for source in SOURCES.all
            if source.signals
            and SOURCES.reason(
                source,
                chosen.moment,
                number,
                proposed=bool(bits & SOURCES.bits[source.name]),
                shares=found.shares(place, source),
            )
        }
        if worded:
            assert worded[why.code] == max(worded.values())
        else:
            assert why.code == Source.EXPLORED


@given(past=events(["ann", "bob", "cem"]))
@settings(max_examples=50, deadline=None)
def test_entry_carries_contributions_that_survive_the_wire(past):
    world = World(CATALOGUE)
    world.tell(*past)
    made = Recommendation(
        id="l",
        user="ann",
        scene="home",
        ts=1,
        trigger="e",
        partition=0,
        offset=0,
        entries=world.listed("ann"),
        freshness_ms=0.0,
        took_ms=0.0,
    )
    assert decode(Recommendation, encode(made)) == made
    for entry in made.entries:
        assert sum(entry.contributions.values()) == pytest.approx(entry.score, abs=1e-4)
        assert all(value != 0.0 for value in entry.contributions.values())
