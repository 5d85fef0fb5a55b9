"""Which versions learned from a record: by the ranges that they read, and by their ancestors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.versions.lineage import Dated, Learning, Place, Use, chain, learned_from, newest_without
from inference.versions.store import Learned, Version

EVENTS = "ouzel.events"


def version(number: int, parent: int, first: int = 0, behind: int = 0, *, since: int = 0, cut: int = 1_000) -> Version:
    return Version(
        number=number, name=f"v{number}", parent=parent, kind="full", made_ms=number, since_ms=since, cut_ms=cut,
        events=1, likes=1, tests=1,
        learned=(Learned(topic=EVENTS, partition=3, first=first, behind=behind),) if behind else (),
    )  # fmt: skip


def at(offset: int, ts: int | None = None, topic: str = EVENTS, partition: int = 3) -> Dated:
    return Dated(Place(topic, partition, offset), ts)


CHAIN = {2: version(2, 1, 0, 10), 3: version(3, 2, 5, 20), 4: version(4, 2), 5: version(5, 3), 6: version(6, 1, 30, 40)}


@pytest.mark.parametrize(
    ("offset", "numbers"), [(0, [2, 3, 4, 5]), (9, [2, 3, 4, 5]), (10, [3, 5]), (19, [3, 5]), (20, []), (30, [6])]
)
def test_range_has_its_first_record_and_not_the_one_behind_it(offset: int, numbers: list[int]) -> None:
    assert [each.number for each in learned_from(CHAIN, [at(offset)])] == numbers


def test_topic_and_partition_count() -> None:
    assert learned_from(CHAIN, [at(0, topic="ouzel.feedback"), at(0, partition=2)]) == []


def test_child_inherits_from_its_nearest_ancestor_that_read_the_record() -> None:
    assert learned_from(CHAIN, [at(7)])[-1] == Learning(5, Use.INHERITED, 3)
    assert learned_from(CHAIN, [at(2)])[-1] == Learning(5, Use.INHERITED, 2)
    assert learned_from(CHAIN, [at(7)])[:2] == [Learning(2, Use.TRAINED, 2), Learning(3, Use.TRAINED, 3)]


@pytest.mark.parametrize(
    ("ts", "use"),
    [(99, Use.REPLAYED), (100, Use.TRAINED), (200, Use.TRAINED), (201, Use.HELD_OUT), (None, Use.TRAINED)],
)
def test_time_says_how_a_record_was_used(ts: int | None, use: Use) -> None:
    assert learned_from({2: version(2, 1, 0, 10, since=100, cut=200)}, [at(0, ts)]) == [Learning(2, use, 2)]


def test_older_record_of_a_version_begins_where_its_parent_ended() -> None:
    versions = {2: version(2, 1, 0, 10, since=0, cut=200), 3: version(3, 2, 0, 10, since=0, cut=300)}
    used = {ts: [each.use for each in learned_from(versions, [at(0, ts)])] for ts in (200, 201)}
    assert used == {200: [Use.TRAINED, Use.REPLAYED], 201: [Use.HELD_OUT, Use.TRAINED]}


def test_of_several_records_the_strongest_use_counts() -> None:
    versions = {2: version(2, 1, 0, 10, since=100, cut=200)}
    assert learned_from(versions, [at(0, 300), at(1, 50), at(2, 150)]) == [Learning(2, Use.TRAINED, 2)]
    assert learned_from(versions, [at(0, 300), at(1, 50)]) == [Learning(2, Use.REPLAYED, 2)]


def test_newest_version_without_the_records_is_the_one_to_train_from() -> None:
    assert newest_without(CHAIN, learned_from(CHAIN, [at(15)])) == 6
    assert newest_without(CHAIN, learned_from(CHAIN, [at(30)])) == 5
    assert newest_without({2: CHAIN[2]}, learned_from({2: CHAIN[2]}, [at(0)])) == 1
    assert newest_without({}, []) == 1


def test_chain_ends_at_the_built_version_and_at_a_damaged_parent() -> None:
    assert chain(CHAIN, 5) == [3, 2, 1]
    assert chain(CHAIN, 1) == []
    assert chain({7: version(7, 7)}, 7) == []
    assert chain({7: version(7, 8), 8: version(8, 7)}, 7) == [8]


@given(st.dictionaries(st.integers(2, 30), st.tuples(st.integers(1, 30), st.booleans()), max_size=20))
def test_version_learned_exactly_if_it_or_an_ancestor_read(told: dict[int, tuple[int, bool]]) -> None:
    versions = {n: version(n, min(parent, n - 1), 0, 1 if read else 0) for n, (parent, read) in told.items()}

    def learned(number: int) -> bool:
        return number in versions and (told[number][1] or learned(versions[number].parent))

    found = learned_from(versions, [at(0)])
    assert [each.number for each in found] == [number for number in sorted(versions) if learned(number)]
    assert not {newest_without(versions, found)} & {each.number for each in found}
