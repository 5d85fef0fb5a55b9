"""The benchmark of the blend: its linear blend learns as the blend does without slopes, and its table counts likes."""

from random import Random

import pytest

from deploy.datasets.dataset import Dataset
from deploy.evaluation.live_ranking import LEARN_FROM
from schemas.events import Event, EventKind
from streams.ranking.blend import Blend, learn
from tests.benchmarks.blends import NOWHERE, Apart, One, Together, linear, places, spread, table
from tests.support.ranking_world import NOW, World, done, item

NAMES = [f"i{number:02}" for number in range(60)]


def test_linear_blend_takes_the_steps_of_a_blend_that_does_not_trust_its_slopes():
    world = World([item(name) for name in NAMES])
    rng = Random(1)
    world.tell(*(done(f"u{at % 9}", rng.choice(NAMES), at=at) for at in range(200)))
    chosen = world.shortlist("u1")
    at, ranker = int(chosen.order[3]), world.ranker()
    taken = world.catalogue.index[int(chosen.candidates.numbers[at])]
    after, plain = learn(Blend(), ranker.remember(chosen), taken), linear(Blend(), chosen, at)
    assert plain.weights == pytest.approx(after.weights, abs=1e-6)
    assert plain.squares == pytest.approx(after.squares, abs=1e-6)
    assert plain.weights != Blend().weights


def test_table_counts_every_like_once_and_pairs_the_blends():
    rng, events = Random(1), []
    for at in range(LEARN_FROM + 120):
        user = at % 30
        liked = NAMES[(user + rng.randrange(40)) % 60]
        kind = EventKind.VIEW if at % 2 else EventKind.LIKE
        events.append(Event(id=f"e{at}", user=f"u{user}", kind=kind, ts=NOW + 1000 * at, item=liked))
    found = list(places(Dataset(tuple(item(name) for name in NAMES), tuple(events), "made up"), events))
    assert [one[0] for one in found] == list(range(LEARN_FROM, LEARN_FROM + 120, 2))
    assert {one[1] for one in found} <= {f"u{user}" for user in range(30)}
    assert all(one[2] == NOWHERE or one[2] < 10 for one in found)
    lines = list(table([(number, user, 20 * (number % 4 == 0), 0) for number, user, _, _ in found]))
    assert len(lines) == 2
    assert "60 likes" in lines[0]
    assert "HR@10    0.5000 -> 1.0000  +0.5000" in lines[0]


def test_partitions_that_publish_every_list_make_the_lists_of_one_blend():
    rng = Random(2)
    events = [
        Event(id=f"e{at}", user=f"u{at % 30}", kind=EventKind.LIKE, ts=NOW + 1000 * at, item=NAMES[rng.randrange(60)])
        for at in range(LEARN_FROM + 60)
    ]
    dataset = Dataset(tuple(item(name) for name in NAMES), tuple(events), "made up")
    ways: dict[str, Apart | Together] = {"one": One(), "each": Together(4, 1), "never": Together(4, 10**9)}
    found = list(spread(dataset, events, ways, 4))
    assert len(found) == 60
    assert [each["one"] for _, _, each in found] == [each["each"] for _, _, each in found]
    assert [each["one"] for _, _, each in found] != [each["never"] for _, _, each in found]
