"""Lists become rows, and what is left out is counted."""

from types import SimpleNamespace
from typing import Any

from deploy.export.current_lists import CurrentLists
from deploy.export.erased_users import ErasedUsers
from deploy.export.list_rows import Counts, ListRow, rows
from deploy.export.reading import Read, take_title
from deploy.export.report import report
from schemas.items import Item
from schemas.privacy import ErasureOrder
from streams.unreadable import Unreadable
from tests.deploy.export.records import made, record
from tests.schemas.examples import NOW


def rows_of(*lists: Any, **options: Any) -> tuple[list[ListRow], Counts]:
    counts = Counts()
    erased = options.pop("erased", ErasedUsers())
    return list(rows(lists, {"a": "Alien"}, erased, counts, **options)), counts


def test_row_has_what_the_list_says() -> None:
    (first, second), counts = rows_of(made("ann", "a", "b"))
    assert first == ListRow(
        user="ann",
        scene="home",
        list=f"ann-{NOW}",
        ts=NOW,
        position=0,
        item="a",
        title="Alien",
        score=1.0,
        reason="trending",
        reason_text="a is trending",
        degraded="deadline",
        model_version="7",
    )
    assert (second.position, second.item, second.title, second.score) == (1, "b", None, 0.99)
    assert counts == Counts(users=1, lists=1, rows=2, untitled=1)


def test_list_with_the_model_has_no_degraded() -> None:
    (row,), _ = rows_of(made("ann", "a", degraded=None, model_version=None))
    assert (row.degraded, row.model_version) == (None, None)


def test_users_are_counted_once() -> None:
    _, counts = rows_of(made("ann", "a"), made("ann", "a", scene="shop"), made("bob", "a"))
    assert (counts.users, counts.lists) == (2, 3)


def test_top_shortens_each_list() -> None:
    found, counts = rows_of(made("ann", "a", "b", "c"), made("bob", "b"), top=2)
    assert [(row.user, row.item) for row in found] == [("ann", "a"), ("ann", "b"), ("bob", "b")]
    assert counts.rows == 3


def test_lists_that_are_left_out_are_counted() -> None:
    erased = ErasedUsers()
    erased.order(record("eve", ErasureOrder(id="o", user="eve", ts=NOW)))
    found, counts = rows_of(
        made("ann", "a", ts=NOW - 1), made("bob"), made("cyd", "a"), made("eve", "a"), since_ms=NOW, erased=erased
    )
    assert [row.user for row in found] == ["cyd"]
    assert counts == Counts(users=1, lists=1, rows=1, older=1, empty=1, erased=1)


def test_titles_follow_the_catalogue() -> None:
    titles: dict[bytes, str] = {}
    take_title(titles, record("a", Item(id="a", title="Alien")))
    take_title(titles, record("b", Item(id="b", title="Brazil")))
    take_title(titles, record("a", Item(id="a", title="Aliens")))
    take_title(titles, record("b", None))
    take_title(titles, record("c", Item(id="d", title="Under another key")))
    take_title(titles, Unreadable("ouzel.items", 0, 3, 4, "damaged"))
    assert titles == {b"a": "Aliens"}


def test_report_says_what_was_left_out_and_why() -> None:
    lists, erased = CurrentLists("hom"), ErasedUsers()
    lists.take(record("ann", made("ann", "a")))
    lists.take(record("ann", b"nonsense"))
    erased.order(record("eve", b"nonsense"))
    counts = Counts(users=1, lists=2, rows=3, untitled=1, erased=4, older=5, empty=6)
    told = "\n".join(report(counts, Read(lists, {}, erased), "hom"))
    assert "exported 3 rows: 2 lists of 1 user\n" in told
    for part in (
        "left out 5 lists older than --since",
        "left out 6 lists without entries",
        "left out 4 lists of users who were erased since",
        "rows without a title, since ouzel.items does not have the item (any more): 1",
        "1 record of ouzel.recommendations cannot be read",
        "1 record of ouzel.privacy and ouzel.privacy-receipts cannot be read",
        "no list is of the scene hom. The first scenes are: home",
    ):
        assert part in told


def test_report_of_a_whole_export_is_one_line() -> None:
    read: Any = SimpleNamespace(lists=CurrentLists(), erased=ErasedUsers())
    assert list(report(Counts(), read, None)) == ["exported 0 rows: 0 lists of 0 users"]
