"""What the page shows: places, what moved, hostile texts, figures."""

import json
from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.recommendations import Degraded, Entry, Reason, Recommendation, Wished
from streams.fold.context import EMPTY, fold
from streams.items.catalogue import Catalogue
from streams.page.views import (
    MAX_HISTORY,
    Fed,
    did,
    fed_list,
    history,
    hits,
    item_view,
    list_view,
    namer,
    percentile,
)
from streams.ranking.comparison import Compared
from streams.web.event_streams import message

HOSTILE = [
    "<script>alert(1)</script>",
    "\u202eevil",
    "a\u2066b\u200f",
    "🦦" * 20,
    "&amp;\"'><img src=x onerror=alert(1)>",
]


def catalogue(*titles: str) -> Catalogue:
    made = Catalogue()
    for number, title in enumerate(titles):
        made.add(Item(id=f"i{number}", title=title, attributes=("drama", "war")))
    return made


def recommendation(items: Sequence[str], *, user: str = "u", trigger: str = "e") -> Recommendation:
    entries = tuple(
        Entry(
            item=item,
            score=1.0 - place / 100,
            behavioural=0.5,
            propensity=1.0,
            sources=("trending",),
            reason=Reason(code="trending", text="many like it"),
            contributions={"trending": 0.5},
        )
        for place, item in enumerate(items)
    )
    return Recommendation(
        id="l",
        user=user,
        scene="default",
        ts=1_000,
        trigger=trigger,
        partition=0,
        offset=0,
        entries=entries,
        degraded=Degraded.DISABLED,
        freshness_ms=34.0,
        took_ms=3.0,
    )


def test_entries_say_where_they_were_and_what_left() -> None:
    items = catalogue("A", "B", "C", "D")
    view = list_view(
        recommendation(["i2", "i0", "i3"]),
        before=recommendation(["i0", "i1", "i2"]),
        compared=Compared(("i2",), ("i3", "i2"), ("i1",), ("i0",)),
        reflects=None,
        past=(),
        catalogue=items,
    )
    assert [(entry.item.title, entry.place, entry.was, entry.without_model) for entry in view.entries] == [
        ("C", 1, 3, 2),
        ("A", 2, 1, None),
        ("D", 3, None, 1),
    ]
    assert view.left == ("B",)
    assert view.without_model is not None
    assert [item.title for item in view.without_model] == ["D", "C"]
    assert view.popular == (item_view(items, "i1"),)
    assert view.item_knn == (item_view(items, "i0"),)


def test_wishes_are_shown_with_the_strongest_meaning_first_and_as_text() -> None:
    means = {"<b>Drama</b>": -0.2, "Horror\u202e": -0.9}
    made = msgspec.structs.replace(recommendation(["i0"]), wishes=(Wished(text="less\u202e", until=9, means=means),))
    view = list_view(made, before=None, compared=None, reflects=None, past=(), catalogue=catalogue("A"))
    (wish,) = view.wishes
    assert (wish.text, wish.until, wish.read) == ("less\\u202e", 9, True)
    assert wish.means == (("Horror\\u202e", -0.9), ("<b>Drama</b>", -0.2))


def test_first_list_has_nothing_to_compare_with() -> None:
    view = list_view(
        recommendation([f"i{n}" for n in range(12)]),
        before=None,
        compared=None,
        reflects=None,
        past=(),
        catalogue=catalogue("A"),
    )
    assert (view.left, view.without_model, view.popular, view.item_knn) == (None, None, None, None)
    assert {entry.was for entry in view.entries} == {None}
    assert len(view.entries) == 10
    assert view.entries[1].item.title == "i1", "an item that is not in the catalogue has its id"


@given(st.sampled_from(HOSTILE) | st.text(min_size=1, max_size=300))
def test_message_holds_any_title_on_one_line(title: str) -> None:
    items = catalogue(title)
    sent = message("feed", Fed(events=(), lists=(fed_list(recommendation(["i0"]), namer(items)),)))
    head, data, *rest = sent.decode().split("\n")
    assert head == "event: feed"
    assert rest == ["", ""]
    shown = json.loads(data.removeprefix("data: "))["lists"][0]["titles"][0]
    assert not [mark for mark in shown if mark in "\u202e\u2066\u200f\u2028\n\r\x00\x1b\x85"]


def test_titles_keep_markup_and_four_byte_characters_as_text() -> None:
    names = [namer(catalogue(*HOSTILE))(f"i{n}") for n in range(len(HOSTILE))]
    assert names == [HOSTILE[0], "\\u202eevil", "a\\u2066b\\u200f", HOSTILE[3], HOSTILE[4]]


def test_history_is_the_newest_first_and_bounded() -> None:
    context = EMPTY
    for number in range(20):
        context = fold(
            context, Event(id=f"e{number}", user="u", kind=EventKind.CLICK, ts=number, item=f"i{number}"), number
        )
    past = history("u", context, "default", namer(catalogue("A")))
    assert [each.at for each in past] == list(range(19, 19 - MAX_HISTORY, -1))
    assert history("u", EMPTY, "default", str) == ()


def test_event_without_an_item_has_no_title() -> None:
    event = Event(id="e", user="u", kind=EventKind.FORGET, ts=1, target="x")
    assert did(event, str).title == ""


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.integers(1, 100))
def test_percentile_is_the_lowest_value_that_so_many_do_not_exceed(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    lower = [value for value in values if value < found]
    assert not lower or sum(value <= max(lower) for value in values) * 100 < percent * len(values)


def test_percentile_of_nothing_is_unknown() -> None:
    assert percentile([], 50) is None


def test_hit_ratios_are_unknown_before_the_first_like() -> None:
    assert msgspec.to_builtins(hits(0, {"list": 0.0})) == {
        "judged": 0,
        "list": None,
        "without_model": None,
        "popularity": None,
        "item_knn": None,
    }
    assert hits(4, {"list": 2, "popularity": 1}).list == 0.5
