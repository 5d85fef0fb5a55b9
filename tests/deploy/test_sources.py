"""Tables of any make become events and items; what cannot be used is counted, and nothing crashes."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy.errors import BadSource
from deploy.ordering import Ordered
from deploy.sources import EventColumns, ItemColumns, Tally, events, items, milliseconds
from deploy.tables import columns
from schemas.events import Event, EventKind


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, **wanted: object) -> tuple[list[Event], Tally]:
    tally = Tally()
    return list(events(path, EventColumns(**wanted), tally)), tally  # type: ignore[arg-type]


def test_ratings_with_typed_headers_become_rate_events(tmp_path: Path) -> None:
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    text += "196\t242\t3\t881250949\n186\t302\t4.5\t891717742\n"
    found, tally = read(written(tmp_path, "ml.inter", text))
    assert found == [
        Event(id="ml-1", user="196", kind=EventKind.RATE, ts=881250949000, item="242", value=3.0),
        Event(id="ml-2", user="186", kind=EventKind.RATE, ts=891717742000, item="302", value=4.5),
    ]
    assert str(tally) == "2 rows used"


def test_kinds_are_translated_and_times_may_be_iso(tmp_path: Path) -> None:
    text = (
        "timestamp,visitorid,event,itemid\n"
        "2015-06-02T05:02:12+00:00,7,addtocart,355\n"
        '2015-06-02 05:02:13,7,VIEW,"35,6"\n'
        "1433221334000,7,teleport,1\n"
    )
    found, tally = read(written(tmp_path, "shop.csv", text), kinds={"addtocart": EventKind.CART})
    assert [(e.kind, e.ts, e.item) for e in found] == [
        (EventKind.CART, 1433221332000, "355"),
        (EventKind.VIEW, 1433221333000, "35,6"),
    ]
    assert (tally.used, tally.bad) == (2, 1)
    assert "row 3" in str(tally)


def test_one_kind_for_all_rows_and_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "plays.csv", "who,track,at,ref\nann,t1,1000000000,a\n")
    found, _ = read(path, user="who", item="track", time="at", id="ref", fixed=EventKind.LIKE, scene="radio")
    assert found == [
        Event(id="a", user="ann", kind=EventKind.LIKE, ts=1_000_000_000_000, item="t1", scene="radio"),
    ]


def test_ratings_of_another_scale_are_brought_to_five(tmp_path: Path) -> None:
    path = written(
        tmp_path, "books.csv", "user,item,rating,ts\nu,i,8,1000000000\nu,i,11,1000000000\nu,i,nan,1000000000\n"
    )
    found, tally = read(path, rating_max=10)
    assert [e.value for e in found] == [4.0]
    assert tally.bad == 2


def test_parquet_of_numbers_and_datetimes(tmp_path: Path) -> None:
    at = datetime(2020, 5, 17, 12, 30, tzinfo=UTC)
    table = pa.table(
        {
            "userId": pa.array([1, 2, None]),
            "movieId": pa.array([10.0, 20.0, 30.0]),
            "rating": pa.array([4.0, None, 3.0]),
            "timestamp": pa.array([at, at, at], pa.timestamp("us", tz="UTC")),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    found, tally = read(tmp_path / "r.parquet")
    assert found == [
        Event(id="r-1", user="1", kind=EventKind.RATE, ts=round(at.timestamp() * 1000), item="10", value=4.0)
    ]
    assert tally.bad == 2, "a row without a rating, and a row without a user"


def test_rows_that_cannot_be_used_are_counted_without_their_values(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(
        b"user,item,rating,ts\n"
        b"secret-person,i,9,1000000000\n"
        b"secret-person,i\n"
        b"secret-person,,3,1000000000\n"
        b"secret-person,i,3,yesterday\n"
        b"secret-\xff\xfe,i,3,1000000000\n"
        b"\n"
        b"fine,i,3,1000000000\n"
    )
    found, tally = read(path)
    assert [e.user for e in found] == ["fine"]
    assert found[0].id == "r-6", "a blank line is not a row"
    assert (tally.used, tally.bad) == (1, 5)
    assert "secret" not in str(tally)
    assert "row 2: 2 fields, and 4 columns" in str(tally)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "user,item,ts\n", "neither a rating nor a kind"),
        ("a.csv", "user,rating,ts\n", "no column that looks like the item"),
        ("a.xlsx", "user", "ending that is not known"),
        ("a.parquet", "user", "cannot be read as Parquet"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    with pytest.raises(BadSource, match=complaint):
        read(written(tmp_path, name, text))
    with pytest.raises(BadSource, match="is not a file"):
        read(tmp_path / "nowhere.csv")


def test_items_with_labels_in_one_or_more_columns(tmp_path: Path) -> None:
    text = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy  Story\t1995\tComedy Crime\n"
    )
    path = written(tmp_path, "ml.item", text)
    wanted = ItemColumns(attributes=("class", "release_year"), separator=" ")
    tally = Tally()
    found = list(items(path, wanted, tally))
    assert [(i.id, i.title, i.attributes) for i in found] == [("1", "Toy Story", ("Comedy", "Crime", "1995"))]


def test_items_with_text_and_too_much_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, "c.csv", f"id2,name,description,genres\n1,A,{'x' * 5000},a|a|b|\n2,,t,a\n")
    tally = Tally()
    found = list(items(path, ItemColumns(item="id2"), tally))
    assert [(len(i.text), i.attributes) for i in found] == [(4000, ("a", "b"))]
    assert tally.bad == 1, "an item without a title"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".tsv"]))
@example(b'a,b,c,"unclosed', ".csv")
@example(b"a,b,c,\x00\n1,2,3,4", ".csv")
def test_no_bytes_crash_the_reader(tmp_path: Path, tail: bytes, ending: str) -> None:
    path = tmp_path / f"fuzz{ending}"
    separator = b"," if ending == ".csv" else b"\t"
    path.write_bytes(separator.join([b"user", b"item", b"rating", b"ts"]) + b"\n" + tail)
    found, tally = read(path)
    assert tally.used == len(found)
    assert len(columns(path)) == 4


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1)))
def test_one_moment_in_every_form_is_the_same(naive: datetime) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    forms = (moment, moment.replace(tzinfo=None), moment.isoformat(), str(ms), ms, ms / 1000, str(ms / 1000))
    assert {milliseconds(form) for form in forms} == {ms}


def test_a_day_is_its_midnight() -> None:
    assert milliseconds(date(1970, 1, 2)) == milliseconds("1970-01-02") == 86_400_000


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 70))
def test_events_come_in_time_order_and_ties_as_given(times: list[int], chunk: int) -> None:
    given_events = [Event(id=str(n), user="u", kind=EventKind.VIEW, ts=ts, item="i") for n, ts in enumerate(times)]
    with Ordered(iter(given_events), chunk=chunk) as ordered:
        assert ordered.total == len(times)
        assert [ordered.time_at(n) for n in range(len(times))] == sorted(times)
        assert list(ordered) == sorted(given_events, key=lambda e: e.ts)
