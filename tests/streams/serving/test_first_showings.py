"""The time from an item's publication to its first showing."""

from schemas.recommendations import Recommendation
from streams.items.catalogue import Catalogue
from streams.serving.first_showings import FirstShowings
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.ranking_world import item


def showings(*items: tuple[str, int | None]) -> tuple[FirstShowings, list[float]]:
    catalogue, seconds = Catalogue(), list[float]()
    for name, published in items:
        catalogue.add(item(name, published=published))
    return FirstShowings(catalogue, seconds.append, since_ms=1_000), seconds


def test_first_showing_counts_once() -> None:
    first, seconds = showings(("a", 2_000), ("b", 3_000))
    first.note(["a"], 4_500)
    first.note(["b", "a"], 5_000)
    first.note(["b"], 6_000)
    assert seconds == [2.5, 2.0]


def test_item_from_before_the_start_or_without_a_time_does_not_count() -> None:
    first, seconds = showings(("a", 999), ("b", None), ("c", 1_000))
    first.note(["a", "b", "c", "withdrawn-and-unknown"], 5_000)
    assert seconds == [4.0]


def test_showings_of_a_large_catalogue_are_known() -> None:
    first, seconds = showings(*((f"i{n}", 2_000 + n) for n in range(500)))
    for _ in range(2):
        first.note([f"i{n}" for n in (499, 3, 64)], 4_000)
    assert sorted(seconds) == [1.501, 1.936, 1.997]


async def test_worker_observes_first_showings() -> None:
    async with running(Bench(None)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
        assert bench.count("ouzel_new_item_seconds_count") == 0
        made: Recommendation = bench.made()[0]
        bench.lists._catalogue.add(item("brand-new", published=made.ts))
        bench.did("v", "film-2")
        await bench.until(lambda: any(e.item == "brand-new" for m in bench.made("v") for e in m.entries))
        await bench.until(lambda: bench.count("ouzel_new_item_seconds_count") == 1)
