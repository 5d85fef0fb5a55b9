"""The whole loop with users that are simulated; `python -m tests.benchmarks.versions` prints the figures."""

import pytest

from tests.benchmarks.versions import planted
from tests.support.taste_world import TasteWorld


def test_version_that_is_worse_where_users_see_it_is_withdrawn_and_says_what_it_cost() -> None:
    found = planted(0.15, 10)
    assert found["ends"].get("promoted", 0) == 0
    assert found["ends"]["withdrawn"] >= 8
    low, _, high = found["lists"]
    assert 0 < low <= high < 3_000


@pytest.mark.parametrize("seed", [0, 1])
def test_learning_recovers_from_taste_that_flips_and_frozen_does_not(seed: int) -> None:
    world = TasteWorld(seed=seed)
    world.run(1_000)
    before = world.ratio(world.flip_at - 3_000, world.flip_at)
    end = len(world.series)
    assert before > 0.2
    assert world.ratio(end - 3_000, end) >= 0.9 * before
    assert world.ratio(end - 3_000, end, frozen=True) < 0.5 * before
    assert any(each.event == "promoted" for known in world.known.values() for each in known.verdicts)
