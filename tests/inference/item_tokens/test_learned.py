"""What an adapter records of its sources: enough to know its events again, bounded, and nothing of users."""

from hypothesis import given
from hypothesis import strategies as st

from inference.item_tokens.learned import MOST_SOURCES, SKETCH, Learned, digests, extended, seen_until, sketch

FILMS = [(str(number), f"Film {number} (19{number % 90 + 10})") for number in range(1_682)]
OTHERS = [(str(number), f"Film {number + 7} (19{number % 80 + 10})") for number in range(2_000)]


def source(items: list[tuple[str, str]], until: int = 1_000, data: str = "films") -> Learned:
    return Learned(data=data, until=until, items=sketch(items))


def test_part_of_a_catalogue_is_recognized() -> None:
    learned = [source(FILMS, until=5)]
    assert seen_until(learned, digests(FILMS)) == 5
    assert seen_until(learned, digests(FILMS[::3])) == 5
    assert seen_until([source(FILMS[::2], until=5)], digests(FILMS)) == 5


def test_other_items_under_the_same_ids_are_another_catalogue() -> None:
    assert seen_until([source(FILMS)], digests(OTHERS)) is None
    first = min(FILMS, key=lambda item: min(digests([item])))
    by_chance = [first, *OTHERS]
    assert first[0] in dict(FILMS)
    assert seen_until([source(FILMS)], digests(by_chance)) is None


def test_catalogue_of_one_item_is_recognized() -> None:
    assert seen_until([source(FILMS[:1], until=9)], digests(FILMS[:1])) == 9


def test_same_data_is_one_source_and_other_data_another() -> None:
    first = extended((), source(FILMS, until=10))
    again = extended(first, source([*FILMS, *OTHERS[:50]], until=20))
    assert [one.until for one in again] == [20]
    assert [one.data for one in again] == ["films"]
    both = extended(again, source(OTHERS[100:], until=5, data="others"))
    assert [(one.data, one.until) for one in both] == [("films", 20), ("others", 5)]
    earlier = extended(both, source(FILMS, until=1))
    assert seen_until(earlier, digests(FILMS)) == 20


def test_sources_are_bounded_and_none_is_forgotten() -> None:
    learned: tuple[Learned, ...] = ()
    catalogues = [[(f"{name}-{number}", "") for number in range(300)] for name in range(MOST_SOURCES + 3)]
    for at, catalogue in enumerate(catalogues):
        learned = extended(learned, source(catalogue, until=at, data=f"data {at}"))
    assert len(learned) == MOST_SOURCES
    assert max(len(one.items) for one in learned) == SKETCH
    for at, catalogue in enumerate(catalogues):
        assert (seen_until(learned, digests(catalogue)) or 0) >= at


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=400), st.integers(0, 400))
def test_sketch_of_a_union_follows_from_the_sketches(items: list[tuple[str, str]], cut: int) -> None:
    left, right = sketch(items[:cut]), sketch(items[cut:])
    assert tuple(sorted({*left, *right})[:SKETCH]) == sketch(items)
