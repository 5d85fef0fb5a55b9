"""Lists that explore, on the path of a worker: drawn again alike, and logged with their propensities."""

from dataclasses import replace
from math import prod
from random import Random

import pytest

from schemas.codec import decode
from schemas.feedback import Feedback
from schemas.recommendations import Recommendation, Source
from schemas.topics import FEEDBACK
from streams.clock import SYSTEM
from streams.fold.attribution import MAX_OPEN
from streams.ranking.exploration import Exploration, Explorations
from streams.ranking.settings import Ranking
from streams.training_log.tables import Row, rows_of, table_of
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.ranking_world import NOW, item

AT_NOW = replace(SYSTEM, now_ms=lambda: NOW)
"""Lists depend on when the events happened, so runs that are compared happen at one time."""

EXPLORING = Ranking(exploration=Explorations(Exploration(share=0.5, temperature=1.0, new_share=0.5)))


async def lists(count: int, *, ranking: Ranking = EXPLORING, failures: int = 0) -> Bench:
    """A list path after a user had this many lists; `failures` of them could not be published at first."""
    bench = Bench(None, ranking=ranking, clock=AT_NOW)
    published = bench.clock.now_ms() - 3_600_000
    for number in range(6):
        bench.lists._catalogue.add(item(f"new-{number}", published=published))
    films, rng = [f"film-{number}" for number in range(40)], Random(1)
    async with running(bench):
        for made in range(count):
            bench.failures = 1 if made < failures else 0
            bench.did("u", rng.choice(films))
            await bench.until(lambda made=made: len(bench.made()) == made + 1 and not bench.lists.busy())
    return bench


def drawn(made: Recommendation) -> list[tuple[str, float]]:
    return [(entry.item, entry.propensity) for entry in made.entries]


async def test_list_that_is_made_again_is_the_same() -> None:
    """By another worker, or after it could not be published."""
    first, second, third = await lists(6), await lists(6), await lists(6, failures=2)
    assert [drawn(made) for made in first.made()] == [drawn(made) for made in second.made()]
    assert [drawn(made) for made in first.made()] == [drawn(made) for made in third.made()]
    assert any(entry.reason.code == Source.NEW for made in first.made() for entry in made.entries)
    assert any(Source.EXPLORED in entry.sources for made in first.made() for entry in made.entries)
    assert all(0 < entry.propensity < 1 for made in first.made() for entry in made.entries[:1])


async def test_propensities_reach_the_training_log() -> None:
    bench = await lists(MAX_OPEN + 8)
    told = [decode(Feedback, out.value) for out in bench.sent if out.topic == FEEDBACK.name]
    logged = [row.message for row in rows_of(Feedback, table_of(Feedback, [Row(0, 0, 0, one) for one in told]))]
    by_list = {one.list: [(entry.item, entry.propensity) for entry in one.shown] for one in logged if one.shown}
    made_by_id = {made.id: made for made in bench.made()}
    assert by_list
    for name, shown in by_list.items():
        made = made_by_id[name]
        assert shown == drawn(made)
        assert prod(chance for _, chance in shown) == prod(entry.propensity for entry in made.entries)


@pytest.mark.parametrize("share", [0.0, 1.0])
async def test_compared_rankings_do_not_explore(share: float) -> None:
    """`ouzel_list_hits_total` of `list` is that of the list without exploration."""
    of = Exploration(share=share, temperature=2.0, new_share=share)
    bench = await lists(1, ranking=Ranking(exploration=Explorations(of), compared=1))
    (made,) = bench.made()
    (held,) = bench.lists._judge._lists.values()
    assert held.compared is not None
    assert held.compared.listed == held.compared.without_model
    assert ([entry.item for entry in made.entries] == list(held.compared.listed)) == (share == 0.0)
