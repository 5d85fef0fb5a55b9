"""The newest list of each user and scene is kept, whatever else is on the topic."""

from deploy.export.current_lists import CurrentLists
from schemas.recommendations import Recommendation
from streams.unreadable import Unreadable
from tests.deploy.export.records import made, record
from tests.schemas.examples import NOW


def kept(*lists: Recommendation, scene: str | None = None) -> list[Recommendation]:
    current = CurrentLists(scene)
    for each in lists:
        current.take(record(each.user, each))
    return list(current)


def test_newest_list_of_a_user_is_kept() -> None:
    old, new = made("ann", "a", ts=NOW), made("ann", "b", ts=NOW + 1)
    assert kept(old, new) == [new]
    assert kept(new, old) == [new], "partitions were added: the older list may be read last"


def test_later_of_two_lists_of_one_time_is_kept() -> None:
    first, second = made("ann", "a"), made("ann", "b")
    assert kept(first, second) == [second]


def test_lists_come_by_user_and_scene() -> None:
    lists = [made("bob", "a"), made("ann", "b", scene="shop"), made("ann", "c", scene="home")]
    assert [(each.user, each.scene) for each in kept(*lists)] == [("ann", "home"), ("ann", "shop"), ("bob", "home")]


def test_lists_of_other_scenes_are_dropped() -> None:
    home, shop = made("ann", "a", scene="home"), made("ann", "b", scene="shop", ts=NOW + 1)
    assert kept(home, shop, scene="home") == [home]


def test_record_without_a_value_drops_the_lists_before_it() -> None:
    current = CurrentLists()
    for each in (made("ann", "a", scene="home"), made("ann", "a", scene="shop"), made("bob", "a")):
        current.take(record(each.user, each))
    current.take(record("ann", None))
    assert [each.user for each in current] == ["bob"]
    current.take(record("ann", made("ann", "a")))
    assert [each.user for each in current] == ["ann", "bob"]


def test_unreadable_records_are_counted() -> None:
    current = CurrentLists()
    current.take(record("ann", made("ann", "a")))
    current.take(Unreadable("ouzel.recommendations", 0, 5, 7, "damaged"))
    current.take(record("ann", b"\x81nonsense"))
    current.take(record("bob", made("ann", "b", ts=NOW + 1)))
    current.take(record(None, made("ann", "b", ts=NOW + 1)))
    assert current.unreadable == 6
    assert [each.entries[0].item for each in current] == ["a"]
